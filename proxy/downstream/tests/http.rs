//! Servers over Streamable HTTP, as the trunk sees them: real sockets, scripted servers. What needs no socket is tested
//! beside its code.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "http/server.rs"]
mod server;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::join_all};
use http::{HeaderName, HeaderValue};
use patchbay_core::{
    era::{Era, Version},
    model::EraPin,
};
use patchbay_downstream::{
    Answer, CallCx, Delivery, Downstream, DownstreamError, Event, Fault, HealthState, Hello, List,
    Message, MessageStream, Outgoing, Reply, ShareKey,
    http::{HttpDownstream, HttpError, HttpOptions, NetPolicy},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::server::{Server, bytes, empty, events, ready, result, rpc_error};

fn loopback() -> NetPolicy {
    NetPolicy {
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        allow_plain_http: true,
    }
}

fn options(address: std::net::SocketAddr) -> HttpOptions {
    HttpOptions {
        net: loopback(),
        ..HttpOptions::new(format!("http://{address}/mcp").parse().unwrap())
    }
}

fn pinned(address: std::net::SocketAddr, era: EraPin) -> Arc<HttpDownstream> {
    HttpDownstream::new(HttpOptions {
        era,
        ..options(address)
    })
    .unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn cx() -> CallCx {
    CallCx {
        deadline: soon(),
        share: ShareKey::Tenant,
        capabilities: "{}".into(),
    }
}

fn echo(text: &str) -> Outgoing {
    let params = format!(r#""name":"echo","arguments":{{"text":{}}}"#, json!(text));
    let mut request = Outgoing::plain("tools/call", vec![params.into()]);
    request.mirror_name = Some("echo".into());
    request
}

fn remembered(version: Version) -> Option<Hello> {
    Some(Hello {
        version,
        capabilities: "{}".into(),
        server_info: "{}".into(),
        instructions: None,
    })
}

async fn whole(answer: Answer) -> Result<Bytes, DownstreamError> {
    let mut all = answer.head.to_vec();
    if let Some(mut rest) = answer.rest {
        while let Some(piece) = rest.next().await {
            all.extend_from_slice(&piece?);
        }
    }
    Ok(all.into())
}

async fn one(reply: Result<Reply, DownstreamError>) -> Value {
    match reply.expect("a reply") {
        Reply::One(answer) => {
            serde_json::from_slice(&whole(answer).await.expect("a whole answer")).unwrap()
        }
        Reply::Stream(_) => panic!("expected one answer"),
    }
}

fn stream(reply: Result<Reply, DownstreamError>) -> Box<dyn MessageStream> {
    match reply.expect("a reply") {
        Reply::Stream(stream) => stream,
        Reply::One(answer) => panic!("expected a stream and got {answer:?}"),
    }
}

fn failed(reply: Result<Reply, DownstreamError>) -> DownstreamError {
    reply.expect_err("an error")
}

fn echoed(seen: &server::Seen) -> server::Reply {
    result(
        seen,
        json!({"text": seen.body["params"]["arguments"]["text"]}),
    )
}

/// A server of raw bytes: reads a request, writes this, and closes.
async fn raw(answer: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            read_request(&mut tcp).await;
            // The client may have seen enough before the end.
            let _ = tcp.write_all(&answer).await;
        }
    });
    address
}

/// Reads one request with a body of announced length.
async fn read_request(tcp: &mut TcpStream) -> bool {
    let mut all = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match tcp.read(&mut piece).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => all.extend_from_slice(&piece[..count]),
        }
        let text = String::from_utf8_lossy(&all);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.parse().unwrap());
        if body.len() >= length {
            return true;
        }
    }
}

// --- eras

#[tokio::test]
async fn a_modern_server_is_found_by_one_question_and_gets_mirrored_headers() {
    let server = Server::modern(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let mut request = echo("hi");
    request.mirror_name = Some("größe".into());
    request.mirror_params.push(("Region".into(), "eu".into()));
    assert_eq!(
        one(http.call(cx(), request).await).await["result"]["text"],
        "hi"
    );
    let call = server
        .log
        .wait_for(|seen| seen.method() == "tools/call")
        .await;
    assert_eq!(server.log.methods(), ["server/discover", "tools/call"]);
    assert_eq!(call.path, "/mcp");
    assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
    assert_eq!(call.header("mcp-param-region"), Some("eu"));
    assert_eq!(call.header("mcp-session-id"), None);
    assert_eq!(
        call.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    let hello = http.hello(soon()).await.unwrap();
    assert_eq!(
        (hello.version, &*hello.server_info),
        (Version::V2026_07_28, r#"{"name":"modern","version":"1"}"#)
    );
}

#[tokio::test]
async fn a_legacy_server_is_found_by_the_second_question_and_keeps_its_session() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let hello = http.hello(soon()).await.unwrap();
    assert_eq!(hello.version, Version::V2025_11_25);
    for text in ["a", "b"] {
        assert_eq!(
            one(http.call(cx(), echo(text)).await).await["result"]["text"],
            text
        );
    }
    let methods = [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/call",
        "tools/call",
    ];
    assert_eq!(server.log.methods(), methods);
    let all = server.log.all();
    assert_eq!(all[1].body["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(
        (
            all[1].header("mcp-session-id"),
            all[1].header("mcp-protocol-version")
        ),
        (None, None)
    );
    for later in &all[2..] {
        assert_eq!(later.header("mcp-session-id"), Some("s1"));
        assert_eq!(later.header("mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!(later.header("mcp-method"), None);
    }
    assert_eq!(server.log.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_first_calls_ask_for_the_era_once() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let replies = join_all((0..20).map(|n| http.call(cx(), echo(&n.to_string())))).await;
    for (n, reply) in replies.into_iter().enumerate() {
        assert_eq!(one(reply).await["result"]["text"], n.to_string());
    }
    assert_eq!(
        (
            server.log.count("server/discover"),
            server.log.count("initialize")
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_remembered_era_costs_no_question() {
    let server = Server::modern(|seen| ready(echoed(&seen))).await;
    let remembered = remembered(Version::V2026_07_28);
    let http = HttpDownstream::new(HttpOptions {
        remembered,
        ..options(server.address)
    })
    .unwrap();
    one(http.call(cx(), echo("x")).await).await;
    assert_eq!(server.log.methods(), ["tools/call"]);
}

#[tokio::test]
async fn a_wrongly_remembered_era_is_mended_within_the_call_and_told() {
    let (legacy, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let modern = Server::modern(|seen| ready(echoed(&seen))).await;
    for (address, wrong, right) in [
        (legacy.address, Version::V2026_07_28, Version::V2025_11_25),
        (modern.address, Version::V2025_11_25, Version::V2026_07_28),
    ] {
        let http = HttpDownstream::new(HttpOptions {
            remembered: remembered(wrong),
            ..options(address)
        })
        .unwrap();
        let mut events = http.events();
        assert_eq!(
            one(http.call(cx(), echo("x")).await).await["result"]["text"],
            "x"
        );
        match events.recv().await.unwrap() {
            Event::HelloChanged(hello) => assert_eq!(hello.version, right),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        (
            legacy.log.count("tools/call"),
            modern.log.count("tools/call")
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn a_server_of_neither_era_is_said_to_be_none() {
    let server = Server::start(|_| ready(bytes(404, "text/html", "<h1>Not here</h1>"))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let error = http.hello(soon()).await.unwrap_err();
    assert_eq!(
        (error.fault, error.delivery),
        (Fault::Protocol, Delivery::NotSent)
    );
    assert!(
        error.detail.contains("Streamable HTTP") && error.detail.contains("Not here"),
        "{}",
        error.detail
    );
    assert_eq!(http.health().state, HealthState::Down);
}

#[tokio::test]
async fn an_old_server_that_answers_in_events_is_spoken_to_in_its_revision() {
    let server = Server::start(|seen| match seen.method() {
        "initialize" => {
            let (feed, reply) = events();
            let hello = json!({"jsonrpc": "2.0", "id": seen.id(), "result": server::initialized("2024-11-05")});
            feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}));
            feed.event(&hello);
            ready(reply)
        }
        "notifications/initialized" => ready(empty(202)),
        "tools/call" => ready(echoed(&seen)),
        _ => ready(rpc_error(400, None, -32601, "what?")),
    })
    .await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    one(http.call(cx(), echo("x")).await).await;
    assert_eq!(
        http.hello(soon()).await.unwrap().version,
        Version::V2025_03_26
    );
    let call = server
        .log
        .wait_for(|seen| seen.method() == "tools/call")
        .await;
    assert_eq!(
        (
            call.header("mcp-protocol-version"),
            call.header("mcp-session-id")
        ),
        (None, None)
    );
}

// --- sessions

#[tokio::test]
async fn a_lost_session_is_opened_anew_unseen() {
    let (server, sessions) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    one(http.call(cx(), echo("a")).await).await;
    sessions.forget_all();
    assert_eq!(
        one(http.call(cx(), echo("b")).await).await["result"]["text"],
        "b"
    );
    assert_eq!(server.log.count("initialize"), 2);
    assert_eq!(
        server.log.all().last().unwrap().header("mcp-session-id"),
        Some("s2")
    );
}

#[tokio::test]
async fn a_session_that_is_lost_again_at_once_is_an_error_that_may_be_retried() {
    let opened = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |seen| match seen.method() {
        "initialize" => {
            let mut reply = result(&seen, server::initialized("2025-06-18"));
            let id = format!("x{}", opened.fetch_add(1, Ordering::SeqCst));
            reply
                .headers_mut()
                .insert("mcp-session-id", id.parse().unwrap());
            ready(reply)
        }
        "notifications/initialized" => ready(empty(202)),
        _ => ready(rpc_error(
            400,
            Some(seen.id()),
            -32000,
            "Bad Request: No valid session ID provided",
        )),
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let error = failed(http.call(cx(), echo("a")).await);
    assert_eq!(
        (error.fault, error.delivery),
        (Fault::SessionLost, Delivery::NotSent)
    );
    assert_eq!(
        (
            server.log.count("initialize"),
            server.log.count("tools/call")
        ),
        (2, 2)
    );
}

#[tokio::test]
async fn callers_that_differ_in_sharing_or_capabilities_get_sessions_of_their_own() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    let able: Arc<str> = r#"{"elicitation":{}}"#.into();
    for _ in 0..2 {
        one(http.call(cx(), echo("a")).await).await;
        one(http
            .call(
                CallCx {
                    capabilities: able.clone(),
                    ..cx()
                },
                echo("b"),
            )
            .await)
        .await;
        one(http
            .call(
                CallCx {
                    share: ShareKey::Principal([1; 16]),
                    ..cx()
                },
                echo("c"),
            )
            .await)
        .await;
    }
    let opened: Vec<_> = server
        .log
        .all()
        .into_iter()
        .filter(|seen| seen.method() == "initialize")
        .collect();
    assert_eq!(opened.len(), 3);
    assert_eq!(
        opened[1].body["params"]["capabilities"],
        json!({"elicitation": {}})
    );
}

#[tokio::test]
async fn the_session_that_was_used_the_longest_ago_makes_room() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    for n in 0..=1024_u16 {
        let mut digest = [0; 16];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        one(http
            .call(
                CallCx {
                    share: ShareKey::Session(digest),
                    ..cx()
                },
                echo("x"),
            )
            .await)
        .await;
    }
    let ended = server.log.wait_for(|seen| seen.method() == "DELETE").await;
    assert_eq!(ended.header("mcp-session-id"), Some("s1"));
}

#[tokio::test]
async fn closing_ends_sessions_and_waiting_calls() {
    let (server, _) = Server::legacy(|_| std::future::pending().boxed()).await;
    let http = pinned(server.address, EraPin::Legacy);
    let waiting = tokio::spawn({
        let http = http.clone();
        async move { http.call(cx(), echo("x")).await }
    });
    server
        .log
        .wait_for(|seen| seen.method() == "tools/call")
        .await;
    http.close().await;
    assert_eq!(failed(waiting.await.unwrap()).fault, Fault::Closed);
    assert_eq!(server.log.count("DELETE"), 1);
    assert_eq!(
        failed(http.call(cx(), echo("y")).await).fault,
        Fault::Closed
    );
    assert_eq!(http.health().state, HealthState::Closed);
}

// --- replies

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
        assert!(
            matches!(stream.next().await, Ok(Message::Notification(_))),
            "split at {split}"
        );
        let Ok(Message::Response(answer)) = stream.next().await else {
            panic!("no response when split at {split}")
        };
        let answer: Value = serde_json::from_slice(&answer.head).unwrap();
        assert_eq!(answer["result"], json!({"ü": 1}), "split at {split}");
        assert!(stream.next().await.is_err());
    }
}

#[tokio::test]
async fn only_the_response_to_the_own_request_counts() {
    let server = Server::modern(|seen| {
        let (feed, reply) = events();
        for id in [
            json!(seen.id() + 1),
            json!(seen.id().to_string()),
            json!(null),
        ] {
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
        assert_eq!(
            one(http.call(cx(), echo("x")).await).await["result"]["text"],
            "own"
        );
    }
}

#[tokio::test]
async fn a_long_answer_streams_and_a_short_one_comes_whole() {
    let server = Server::modern(|seen| {
        let text = "x".repeat(
            seen.body["params"]["arguments"]["text"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
        );
        ready(result(&seen, json!({"text": text})))
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for (length, streamed) in [(10, false), (60_000, false), (3_000_000, true)] {
        let Ok(Reply::One(answer)) = http.call(cx(), echo(&length.to_string())).await else {
            panic!("no answer")
        };
        assert_eq!((answer.rest.is_some(), answer.era), (streamed, Era::Modern));
        let answer: Value = serde_json::from_slice(&whole(answer).await.unwrap()).unwrap();
        assert_eq!(answer["result"]["text"].as_str().unwrap().len(), length);
    }
    assert_eq!(
        (
            server.log.connections.load(Ordering::SeqCst),
            http.health().in_flight
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn half_a_body_is_never_passed_off_as_whole() {
    let short = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\":".to_vec();
    let mut long =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n"
            .to_vec();
    long.extend_from_slice(&[b'x'; 200_000]);
    let mut chunked =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"id\":1\r\n".to_vec();
    let unframed =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\":1,\"result\":{}"
            .to_vec();
    chunked.truncate(chunked.len() - 1);
    for answer in [short, long, chunked, unframed] {
        let http = pinned(raw(answer).await, EraPin::Modern);
        let error = match http.call(cx(), echo("x")).await {
            Ok(Reply::One(answer)) => whole(answer).await.expect_err("half a body is an error"),
            Ok(Reply::Stream(_)) => panic!("no stream was sent"),
            Err(error) => error,
        };
        assert_eq!(
            (error.fault, error.delivery),
            (Fault::Closed, Delivery::MayHaveRun),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_counts_when_its_json_does() {
    let whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\":1,\"result\":{\"text\":\"x\"}}".to_vec();
    let http = pinned(raw(whole).await, EraPin::Modern);
    assert_eq!(
        one(http.call(cx(), echo("x")).await).await["result"]["text"],
        "x"
    );
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
        assert_eq!(
            (error.fault, error.delivery),
            (Fault::TooLarge, Delivery::MayHaveRun),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn statuses_say_whether_the_server_may_have_acted() {
    let status = Arc::new(AtomicUsize::new(0));
    let next = status.clone();
    let server = Server::modern(move |_| {
        let status = u16::try_from(next.load(Ordering::SeqCst)).unwrap();
        let mut reply = bytes(status, "text/plain", "go\r\naway");
        reply
            .headers_mut()
            .insert("location", "http://127.0.0.1:1/".parse().unwrap());
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for (code, fault, delivery) in [
        (401, Fault::Refused(401), Delivery::MayHaveRun),
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
        assert_eq!(
            (error.fault, error.delivery),
            (fault, delivery),
            "HTTP {code}"
        );
        assert!(!error.detail.contains(['\r', '\n']), "{}", error.detail);
    }
}

#[tokio::test]
async fn an_error_of_the_protocol_is_an_answer_whatever_its_status() {
    let server = Server::modern(|seen| {
        let (status, code) = if seen.method() == "tools/call" {
            (400, -32020)
        } else {
            (404, -32601)
        };
        ready(rpc_error(status, Some(seen.id()), code, "no"))
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    assert_eq!(
        one(http.call(cx(), echo("x")).await).await["error"]["code"],
        -32020
    );
    assert_eq!(
        one(http
            .call(cx(), Outgoing::plain("prompts/list", vec![]))
            .await)
        .await["error"]["code"],
        -32601
    );
}

#[tokio::test]
async fn what_is_not_http_is_a_fault_of_the_protocol() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2_000_000));
    for said in [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
        endless.into_bytes(),
    ] {
        let http = pinned(raw(said).await, EraPin::Modern);
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!(
            (error.fault, error.delivery),
            (Fault::Protocol, Delivery::MayHaveRun),
            "{error}"
        );
    }
}

// --- time

#[tokio::test]
async fn a_server_that_hangs_costs_no_more_than_the_deadline() {
    let server = Server::modern(|seen| {
        if seen.body["params"]["arguments"]["text"] == "stream" {
            let (feed, reply) = events();
            tokio::spawn(async move {
                feed.raw(": still here\n\n");
                feed.closed().await;
            });
            return ready(reply);
        }
        std::future::pending().boxed()
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for kind in ["silent", "stream"] {
        let began = Instant::now();
        let error = failed(
            http.call(
                CallCx {
                    deadline: began + Duration::from_millis(150),
                    ..cx()
                },
                echo(kind),
            )
            .await,
        );
        assert_eq!(
            (error.fault, error.delivery),
            (Fault::Timeout, Delivery::MayHaveRun)
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    server.log.wait_for_open(0).await;
    assert_eq!(
        (http.health().in_flight, http.health().state),
        (0, HealthState::Down)
    );
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = pinned(listener.local_addr().unwrap(), EraPin::Modern);
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_request(&mut tcp).await;
        tcp.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999\r\n\r\n{",
        )
        .await
        .unwrap();
        std::future::pending::<()>().await;
    });
    let deadline = Instant::now() + Duration::from_millis(200);
    let Ok(Reply::One(answer)) = http.call(CallCx { deadline, ..cx() }, echo("x")).await else {
        panic!("no answer")
    };
    assert_eq!(whole(answer).await.unwrap_err().fault, Fault::Timeout);
}

#[tokio::test]
async fn tls_that_stalls_is_a_server_that_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/mcp",
        listener.local_addr().unwrap().port()
    );
    let mut net = loopback();
    net.allow_private.push("::1/128".parse().unwrap());
    let connect_timeout = Duration::from_millis(400);
    let options = HttpOptions {
        net,
        connect_timeout,
        ..HttpOptions::new(url.parse().unwrap())
    };
    let http = HttpDownstream::new(options).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!(
        (error.fault, error.delivery),
        (Fault::Unavailable, Delivery::NotSent),
        "{error}"
    );
    drop(listener);
}

#[tokio::test]
async fn a_server_that_is_down_and_comes_up_is_used_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let http = pinned(address, EraPin::Modern);
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!(
        (error.fault, error.delivery),
        (Fault::Unavailable, Delivery::NotSent)
    );
    assert_eq!(http.health().state, HealthState::Down);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_request(&mut tcp).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"id\":2,\"result\":1}";
        tcp.write_all(answer).await.unwrap();
    });
    assert_eq!(one(http.call(cx(), echo("x")).await).await["result"], 1);
    assert_eq!(http.health().state, HealthState::Up);
}

// --- addresses

#[tokio::test]
async fn addresses_that_are_not_allowed_are_refused_with_one_text_and_not_a_packet() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let mut texts = Vec::new();
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fec0::1]",
        "100.64.0.1",
        "169.254.169.254",
    ] {
        let net = NetPolicy {
            allow_private: vec![],
            allow_plain_http: true,
        };
        let url = format!("http://{host}:{port}/mcp").parse().unwrap();
        let http = HttpDownstream::new(HttpOptions {
            net,
            ..HttpOptions::new(url)
        })
        .unwrap();
        let error = http.hello(soon()).await.unwrap_err();
        assert_eq!(
            (error.fault, error.delivery),
            (Fault::Unavailable, Delivery::NotSent),
            "{host}"
        );
        texts.push(error.detail);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        canary.accept().now_or_never().is_none(),
        "somebody connected"
    );
}

#[tokio::test]
async fn urls_that_cannot_be_are_refused_with_the_reason() {
    let made = |url: &str, plain| {
        let net = NetPolicy {
            allow_private: vec![],
            allow_plain_http: plain,
        };
        HttpDownstream::new(HttpOptions {
            net,
            ..HttpOptions::new(url.parse().unwrap())
        })
        .map(drop)
    };
    assert_eq!(
        made("http://example.com/", false),
        Err(HttpError::PlainHttp)
    );
    assert_eq!(
        made("https://me:secret@example.com/", false),
        Err(HttpError::Credentials)
    );
    assert!(matches!(
        made("ftp://example.com/", true),
        Err(HttpError::Url(_))
    ));
    assert_eq!(made("https://example.com/mcp?a=b", false), Ok(()));
}

// --- connections

#[tokio::test]
async fn the_pool_does_not_grow_beyond_what_runs_at_once() {
    let server = Server::modern(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..20 {
        let replies = join_all((0..4).map(|n| http.call(cx(), echo(&n.to_string())))).await;
        for reply in replies {
            one(reply).await;
        }
    }
    assert!(server.log.connections.load(Ordering::SeqCst) <= 4);
}

#[tokio::test]
async fn answers_in_events_keep_their_connection_too() {
    let server = Server::modern(|seen| {
        let (feed, reply) = events();
        feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..20 {
        one(http.call(cx(), echo("x")).await).await;
        // The end of the stream is read on the side.
        server.log.wait_for_open(1).await;
        tokio::task::yield_now().await;
    }
    assert!(
        server.log.connections.load(Ordering::SeqCst) <= 5,
        "connections are thrown away"
    );
}

#[tokio::test]
async fn connections_have_a_bound_and_an_end() {
    let server = Server::modern(
        |seen| match seen.body["params"]["arguments"]["text"].as_str() {
            Some("hang") => std::future::pending().boxed(),
            _ => ready(echoed(&seen)),
        },
    )
    .await;
    let tight = HttpOptions {
        connections_max: 1,
        idle_timeout: Duration::from_millis(80),
        era: EraPin::Modern,
        ..options(server.address)
    };
    let http = HttpDownstream::new(tight).unwrap();
    let mut hanging = http.call(cx(), echo("hang"));
    assert!((&mut hanging).now_or_never().is_none());
    tokio::select! {
        _ = &mut hanging => panic!("it hangs"),
        _ = server.log.wait_for(|seen| seen.method() == "tools/call") => {}
    }
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!(
        (error.fault, error.delivery),
        (Fault::Busy, Delivery::NotSent)
    );
    drop(hanging);
    one(http.call(cx(), echo("x")).await).await;
    server.log.wait_for_open(0).await;
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_unseen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = pinned(listener.local_addr().unwrap(), EraPin::Modern);
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    // Answers one request on each connection, and closes it without saying so.
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            if read_request(&mut tcp).await {
                let id = count.fetch_add(1, Ordering::SeqCst) + 1;
                let body = format!(r#"{{"id":{id},"result":{id}}}"#);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                tcp.write_all(format!("{head}{body}").as_bytes())
                    .await
                    .unwrap();
            }
        }
    });
    for n in 1..=10 {
        assert_eq!(one(http.call(cx(), echo("x")).await).await["result"], n);
        // Lets the end of the connection arrive; a request that crosses it is rightly not repeated.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn a_server_that_closes_after_reading_the_request_is_not_asked_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = pinned(listener.local_addr().unwrap(), EraPin::Modern);
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            read_request(&mut tcp).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!(
        (error.fault, error.delivery),
        (Fault::Closed, Delivery::MayHaveRun)
    );
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

#[test]
fn connections_survive_neither_their_runtime_nor_are_they_needed_to() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let servers = runtime();
    let server = servers.block_on(Server::modern(|seen| ready(echoed(&seen))));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || servers.block_on(stopped));
    let http = pinned(server.address, EraPin::Modern);
    for _ in 0..3 {
        let reply = runtime().block_on(async { one(http.call(cx(), echo("x")).await).await });
        assert_eq!(reply["result"]["text"], "x");
    }
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let http = http.clone();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    for _ in 0..20 {
                        one(http.call(cx(), echo("x")).await).await;
                    }
                });
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    drop(stop);
    let _ = thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_on_many_threads_get_their_own_answers() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let calls = (0..200).map(|n| {
        let http = http.clone();
        tokio::spawn(async move {
            let text = n.to_string();
            assert_eq!(
                one(http.call(cx(), echo(&text)).await).await["result"]["text"],
                text
            );
        })
    });
    for call in join_all(calls).await {
        call.unwrap();
    }
    assert_eq!(http.health().in_flight, 0);
}

// --- cancellation

#[tokio::test]
async fn a_legacy_server_is_told_when_nobody_waits_any_more() {
    let (server, _) = Server::legacy(|_| std::future::pending().boxed()).await;
    let http = pinned(server.address, EraPin::Legacy);
    let call = tokio::spawn({
        let http = http.clone();
        async move { http.call(cx(), echo("x")).await.map(drop) }
    });
    let asked = server
        .log
        .wait_for(|seen| seen.method() == "tools/call")
        .await;
    call.abort();
    let cancelled = server
        .log
        .wait_for(|seen| seen.method() == "notifications/cancelled")
        .await;
    assert_eq!(cancelled.body["params"]["requestId"], asked.body["id"]);
    assert_eq!(cancelled.header("mcp-session-id"), Some("s1"));
    assert_eq!(http.health().in_flight, 0);
}

#[tokio::test]
async fn a_legacy_stream_that_is_dropped_is_cancelled_and_one_that_ended_is_not() {
    let feeds = Arc::new(Mutex::new(Vec::new()));
    let kept = feeds.clone();
    let (server, _) = Server::legacy(move |seen| {
        let (feed, reply) = events();
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}));
        if seen.body["params"]["arguments"]["text"] == "end" {
            feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
        }
        kept.lock().unwrap().push(feed);
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut ended = stream(http.call(cx(), echo("end")).await);
    while !matches!(ended.next().await.unwrap(), Message::Response(_)) {}
    drop(ended);
    drop(stream(http.call(cx(), echo("go on")).await));
    let cancelled = server
        .log
        .wait_for(|seen| seen.method() == "notifications/cancelled")
        .await;
    let asked = server
        .log
        .wait_for(|seen| seen.body["params"]["arguments"]["text"] == "go on")
        .await;
    assert_eq!(cancelled.body["params"]["requestId"], asked.body["id"]);
    let dropped = feeds.lock().unwrap()[1].clone();
    dropped.closed().await;
    assert_eq!(server.log.count("notifications/cancelled"), 1);
}

#[tokio::test]
async fn a_modern_server_sees_the_stream_close() {
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let server = Server::modern(move |_| {
        let (feed, reply) = events();
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}));
        tell.try_send(feed).unwrap();
        ready(reply)
    })
    .await;
    let http = pinned(server.address, EraPin::Modern);
    let stream = stream(http.call(cx(), echo("x")).await);
    assert_eq!(http.health().in_flight, 1);
    drop(stream);
    told.recv().await.unwrap().closed().await;
    assert_eq!(http.health().in_flight, 0);
    assert_eq!(server.log.methods(), ["tools/call"]);
}

// --- both directions

#[tokio::test]
async fn a_question_of_the_server_gets_its_answer_within_the_call() {
    let feed = Arc::new(Mutex::new(None));
    let asking = feed.clone();
    let (server, _) = Server::legacy(move |seen| {
        if seen.method() == "tools/call" {
            let (feed, reply) = events();
            feed.event(&json!({"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": {"message": "Sure?"}}));
            *asking.lock().unwrap() = Some((feed, seen.id()));
            return ready(reply);
        }
        // The answer to the question.
        let (feed, id) = asking.lock().unwrap().take().unwrap();
        feed.event(&json!({"jsonrpc": "2.0", "id": id, "result": {"said": seen.body["result"]["action"]}}));
        ready(empty(202))
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("x")).await);
    let Ok(Message::Request(question)) = stream.next().await else {
        panic!("no question")
    };
    assert!(question.message.windows(7).any(|word| word == b"Sure?\"}"));
    question
        .answer
        .answer(Bytes::from_static(br#""result":{"action":"accept"}"#))
        .await
        .unwrap();
    let Ok(Message::Response(answer)) = stream.next().await else {
        panic!("no response")
    };
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.head).unwrap()["result"]["said"],
        "accept"
    );
    let answered = server.log.wait_for(|seen| seen.body["id"] == "q-1").await;
    assert_eq!(
        answered.body,
        json!({"jsonrpc": "2.0", "id": "q-1", "result": {"action": "accept"}})
    );
    assert_eq!(answered.header("mcp-session-id"), Some("s1"));
}

#[tokio::test]
async fn pings_are_answered_here_and_list_changes_become_events() {
    let feed = Arc::new(Mutex::new(None));
    let pinging = feed.clone();
    let (server, _) = Server::legacy(move |seen| {
        if seen.method() == "tools/call" {
            let (feed, reply) = events();
            feed.event(&json!([
                {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"},
                {"jsonrpc": "2.0", "id": 99, "method": "ping"},
            ]));
            *pinging.lock().unwrap() = Some((feed, seen.id()));
            return ready(reply);
        }
        let (feed, id) = pinging.lock().unwrap().take().unwrap();
        feed.event(&json!({"jsonrpc": "2.0", "id": id, "result": {}}));
        ready(empty(202))
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let mut events = http.events();
    one(http.call(cx(), echo("x")).await).await;
    assert_eq!(
        events.recv().await.unwrap(),
        Event::ListChanged(List::Prompts)
    );
    let pong = server.log.wait_for(|seen| seen.body["id"] == 99).await;
    assert_eq!(pong.body["result"], json!({}));
}

#[tokio::test]
async fn a_legacy_stream_that_breaks_is_taken_up_where_it_broke() {
    let asked = Arc::new(Mutex::new(0));
    let (server, sessions) = Server::legacy(move |seen| {
        let (feed, reply) = events();
        match seen.header("last-event-id") {
            None => {
                *asked.lock().unwrap() = seen.id();
                feed.raw("id: e1\nretry: 60\ndata:\n\n");
            }
            Some("e1") => {
                feed.numbered(
                    "e2",
                    &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}),
                );
            }
            Some("e2") => feed.numbered(
                "e3",
                &json!({"jsonrpc": "2.0", "id": *asked.lock().unwrap(), "result": {}}),
            ),
            Some(other) => panic!("{other}"),
        }
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    let http = pinned(server.address, EraPin::Legacy);
    let mut stream = stream(http.call(cx(), echo("x")).await);
    assert!(matches!(stream.next().await, Ok(Message::Notification(_))));
    assert!(matches!(stream.next().await, Ok(Message::Response(_))));
    assert_eq!(
        (server.log.count("tools/call"), server.log.count("GET")),
        (1, 2)
    );
}

#[tokio::test]
async fn a_stream_that_cannot_be_taken_up_is_broken() {
    let numbered = Arc::new(AtomicBool::new(false));
    let with_id = numbered.clone();
    let (server, sessions) = Server::legacy(move |seen| {
        let (feed, reply) = events();
        if seen.method() == "tools/call" && with_id.load(Ordering::SeqCst) {
            feed.raw("id: e1\nretry: 1\ndata:\n\n");
        }
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    let http = pinned(server.address, EraPin::Legacy);
    for (with_id, tries) in [(false, 0), (true, 3)] {
        numbered.store(with_id, Ordering::SeqCst);
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!(
            (error.fault, error.delivery),
            (Fault::Closed, Delivery::MayHaveRun)
        );
        assert_eq!(server.log.count("GET"), tries);
    }
}

// --- events

#[tokio::test]
async fn a_legacy_server_is_heard_while_somebody_listens() {
    let feeds = Arc::new(Mutex::new(Vec::new()));
    let kept = feeds.clone();
    let (server, sessions) = Server::legacy(move |seen| {
        if seen.method() != "GET" {
            return ready(empty(202));
        }
        let (feed, reply) = events();
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        kept.lock().unwrap().push(feed);
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    let http = HttpDownstream::new(options(server.address)).unwrap();
    http.hello(soon()).await.unwrap();
    assert_eq!(server.log.count("GET"), 0, "nobody listens yet");
    let mut events = http.events();
    assert_eq!(
        timeout(Duration::from_secs(10), events.recv())
            .await
            .unwrap(),
        Ok(Event::ListChanged(List::Tools))
    );
    feeds.lock().unwrap()[0].event(&json!({
        "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"},
    }));
    assert_eq!(
        events.recv().await,
        Ok(Event::ResourceUpdated("file:///a".into()))
    );
    // A restart: the stream breaks, the session is gone.
    sessions.forget_all();
    feeds.lock().unwrap().clear();
    assert_eq!(
        timeout(Duration::from_secs(20), events.recv())
            .await
            .unwrap(),
        Ok(Event::Reconnected)
    );
    assert_eq!(events.recv().await, Ok(Event::ListChanged(List::Tools)));
    assert_eq!(
        server.log.all().last().unwrap().header("mcp-session-id"),
        Some("s2")
    );
}

#[tokio::test]
async fn a_legacy_server_without_a_stream_is_asked_once() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let _events = http.events();
    http.hello(soon()).await.unwrap();
    server.log.wait_for(|seen| seen.method() == "GET").await;
    for _ in 0..5 {
        let _more = http.events();
        one(http.call(cx(), echo("x")).await).await;
    }
    assert_eq!(server.log.count("GET"), 1);
}

#[tokio::test]
async fn a_modern_server_is_heard_while_somebody_listens() {
    let feeds = Arc::new(Mutex::new(Vec::new()));
    let kept = feeds.clone();
    let server = Server::modern(move |seen| {
        let (feed, reply) = events();
        let meta = json!({"io.modelcontextprotocol/subscriptionId": seen.id()});
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"_meta": meta}}));
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/resources/list_changed", "params": {"_meta": meta}}));
        kept.lock().unwrap().push(feed);
        ready(reply)
    })
    .await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let mut events = http.events();
    http.hello(soon()).await.unwrap();
    assert_eq!(
        timeout(Duration::from_secs(10), events.recv())
            .await
            .unwrap(),
        Ok(Event::ListChanged(List::Resources))
    );
    let listening = server
        .log
        .wait_for(|seen| seen.method() == "subscriptions/listen")
        .await;
    assert_eq!(
        listening.body["params"]["notifications"]["toolsListChanged"],
        true
    );
    feeds.lock().unwrap().clear();
    assert_eq!(
        timeout(Duration::from_secs(20), events.recv())
            .await
            .unwrap(),
        Ok(Event::Reconnected)
    );
    let last = feeds.lock().unwrap()[0].clone();
    drop(http);
    last.closed().await;
}

// --- secrets

#[tokio::test]
async fn fixed_headers_are_sent_and_shown_nowhere() {
    let server = Server::modern(|seen| {
        let said = format!("the token {} is bad", seen.header("authorization").unwrap());
        ready(bytes(500, "text/plain", said))
    })
    .await;
    let secret = HeaderValue::from_static("Bearer canary-7f3a");
    let mut made = options(server.address);
    made.headers
        .push((HeaderName::from_static("authorization"), secret));
    made.url.set_query(Some("key=canary-query"));
    made.era = EraPin::Modern;
    let shown = format!("{made:?}");
    let http = HttpDownstream::new(made).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    let call = server
        .log
        .wait_for(|seen| seen.method() == "tools/call")
        .await;
    assert_eq!(
        (call.header("authorization"), &*call.path),
        (Some("Bearer canary-7f3a"), "/mcp?key=canary-query")
    );
    for text in [
        shown,
        format!("{http:?}"),
        format!("{error:?} {error}"),
        format!("{:?}", http.health()),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}
