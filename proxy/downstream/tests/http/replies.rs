//! What comes back: whole, streamed, broken, refused.

use crate::*;

#[tokio::test]
async fn a_stream_is_the_same_wherever_it_is_split() {
    let at = Arc::new(AtomicUsize::new(0));
    let split = at.clone();
    let server = Server::modern(move |seen| {
        let (feed, reply) = events();
        let text = format!(
            ": hi\r\n\r\nevent: message\r\ndata: {}\r\n\r\ndata: {{\"jsonrpc\":\"2.0\",\r\ndata: \"id\":{},\"result\":{{\"ü\":1}}}}\r\n\r\n",
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}),
            seen.id()
        );
        let at = split.load(Ordering::SeqCst).min(text.len());
        tokio::spawn(async move {
            feed.raw(text.as_bytes()[..at].to_vec());
            // Gives the first piece time to be written by itself; the reader must not care either way.
            tokio::time::sleep(Duration::from_millis(1)).await;
            feed.raw(text.as_bytes()[at..].to_vec());
        });
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for split in 0..230 {
        at.store(split, Ordering::SeqCst);
        let mut stream = stream(http.call(cx(), echo("x")).await);
        assert!(matches!(stream.next().await, Ok(Message::Notification(_))), "split at {split}");
        let Ok(Message::Response(answer)) = stream.next().await else { panic!("no response when split at {split}") };
        let answer: Value = serde_json::from_slice(&answer.head).unwrap();
        assert_eq!(answer["result"], json!({"ü": 1}), "split at {split}");
        assert!(stream.next().await.is_err());
    }
}

#[tokio::test]
async fn only_the_response_to_the_own_request_counts() {
    let server = Server::modern(|seen| {
        let (feed, reply) = events();
        for id in [json!(seen.id() + 1), json!(seen.id().to_string()), json!(null)] {
            feed.event(&json!({"jsonrpc": "2.0", "id": id, "result": {"text": "another's"}}));
        }
        feed.raw("data: {broken\n\n");
        feed.raw(&b"data: \xff\xfe\n\n"[..]);
        feed.raw("event: gossip\ndata: {}\n\n");
        feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {"text": "own"}}));
        feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {"text": "twice"}}));
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..3 {
        assert_eq!(one(http.call(cx(), echo("x")).await).await["result"]["text"], "own");
    }
}

#[tokio::test]
async fn a_long_answer_streams_and_a_short_one_comes_whole() {
    let server = Server::modern(|seen| {
        let text = "x".repeat(seen.body["params"]["arguments"]["text"].as_str().unwrap().parse().unwrap());
        ready(result(&seen, json!({"text": text})))
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for (length, streamed) in [(10, false), (60_000, false), (3_000_000, true)] {
        let Ok(Reply::One(answer)) = http.call(cx(), echo(&length.to_string())).await else { panic!("no answer") };
        assert_eq!((answer.rest.is_some(), answer.era), (streamed, Era::Modern));
        let answer: Value = serde_json::from_slice(&whole(answer).await.unwrap()).unwrap();
        assert_eq!(answer["result"]["text"].as_str().unwrap().len(), length);
    }
    assert_eq!((server.log.connections.load(Ordering::SeqCst), http.health().in_flight), (1, 0));
}

#[tokio::test]
async fn half_a_body_is_never_passed_off_as_whole() {
    let short =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\":".to_vec();
    let mut long = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n".to_vec();
    long.extend_from_slice(&[b'x'; 200_000]);
    let mut chunked =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"id\":1\r\n"
            .to_vec();
    let unframed = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\":1,\"result\":{}".to_vec();
    chunked.truncate(chunked.len() - 1);
    for answer in [short, long, chunked, unframed] {
        let http = pinned(raw(answer).await, EraPin::Modern);
        let error = match http.call(cx(), echo("x")).await {
            Ok(Reply::One(answer)) => whole(answer).await.expect_err("half a body is an error"),
            Ok(Reply::Stream(_)) => panic!("no stream was sent"),
            Err(error) => error,
        };
        assert_eq!((error.fault, error.delivery), (Fault::Closed, Delivery::MayHaveRun), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_counts_when_its_json_does() {
    let whole =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\":1,\"result\":{\"text\":\"x\"}}".to_vec();
    let http = pinned(raw(whole).await, EraPin::Modern);
    assert_eq!(one(http.call(cx(), echo("x")).await).await["result"]["text"], "x");
}

#[tokio::test]
async fn answers_over_the_bound_are_refused() {
    let server = Server::modern(|seen| {
        let text = "x".repeat(300_000);
        if seen.body["params"]["arguments"]["text"] == "stream" {
            let (feed, reply) = events();
            feed.event(&json!({"id": seen.id(), "result": text}));
            return ready(reply);
        }
        ready(result(&seen, json!({"text": text})))
    })
    .await;
    let bounded = HttpOptions {
        response_bytes_max: 200_000,
        sse_event_bytes_max: 100_000,
        era: EraPin::Modern,
        ..options(server.address)
    };
    let http = HttpDownstream::new(bounded).unwrap();
    for kind in ["plain", "stream"] {
        let error = failed(http.call(cx(), echo(kind)).await);
        assert_eq!((error.fault, error.delivery), (Fault::TooLarge, Delivery::MayHaveRun), "{kind}");
    }
}

#[tokio::test]
async fn statuses_say_whether_the_server_may_have_acted() {
    let status = Arc::new(AtomicUsize::new(0));
    let next = status.clone();
    let server = Server::modern(move |_| {
        let status = u16::try_from(next.load(Ordering::SeqCst)).unwrap();
        let mut reply = bytes(status, "text/plain", "go\r\naway");
        reply.headers_mut().insert("location", "http://127.0.0.1:1/".parse().unwrap());
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for (code, fault, delivery) in [
        (401, Fault::Refused(401), Delivery::NotSent),
        (403, Fault::Refused(403), Delivery::MayHaveRun),
        (404, Fault::Refused(404), Delivery::MayHaveRun),
        (429, Fault::Refused(429), Delivery::NotSent),
        (503, Fault::Refused(503), Delivery::NotSent),
        (500, Fault::Refused(500), Delivery::MayHaveRun),
        (302, Fault::Refused(302), Delivery::MayHaveRun),
        (202, Fault::Protocol, Delivery::MayHaveRun),
        (204, Fault::Protocol, Delivery::MayHaveRun),
        (200, Fault::Protocol, Delivery::MayHaveRun),
    ] {
        status.store(code, Ordering::SeqCst);
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (fault, delivery), "HTTP {code}");
        assert!(!error.detail.contains(['\r', '\n']), "{}", error.detail);
    }
}

#[tokio::test]
async fn an_error_of_the_protocol_is_an_answer_whatever_its_status() {
    let server = Server::modern(|seen| {
        let (status, code) = if seen.method() == "tools/call" { (400, -32020) } else { (404, -32601) };
        ready(rpc_error(status, Some(seen.id()), code, "no"))
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    assert_eq!(one(http.call(cx(), echo("x")).await).await["error"]["code"], -32020);
    assert_eq!(one(http.call(cx(), Outgoing::plain("prompts/list", vec![])).await).await["error"]["code"], -32601);
}

#[tokio::test]
async fn what_is_not_http_is_a_fault_of_the_protocol() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2_000_000));
    for said in [b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(), endless.into_bytes()] {
        let http = pinned(raw(said).await, EraPin::Modern);
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::Protocol, Delivery::MayHaveRun), "{error}");
    }
}
