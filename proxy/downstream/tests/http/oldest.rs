//! Servers of the HTTP+SSE transport: one stream for what comes, an endpoint for what goes.

use std::collections::BTreeMap;

use crate::*;

/// The streams of a server, by their numbers.
type Feeds = Arc<Mutex<BTreeMap<usize, server::Feed>>>;

struct Old {
    server: Server,
    feeds: Feeds,
}

impl Old {
    /// A server whose streams name this endpoint (`{}` is the number of the stream); the script says what is answered to a
    /// message over its stream, and with which status it is taken.
    async fn naming<F>(endpoint: &'static str, script: F) -> Self
    where
        F: Fn(&server::Seen, &server::Feed) -> u16 + Send + Sync + 'static,
    {
        let feeds = Feeds::default();
        let kept = feeds.clone();
        let opened = AtomicUsize::new(0);
        let server = Server::start(move |seen| {
            if seen.http == http::Method::GET {
                let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
                let (feed, reply) = events();
                feed.raw(format!(": hello\n\nevent: endpoint\ndata: {}\n\n", endpoint.replace("{}", &number.to_string())));
                kept.lock().unwrap().insert(number, feed);
                return ready(reply);
            }
            let number = seen.path.rsplit('=').next().and_then(|number| number.parse::<usize>().ok());
            let feed = number.and_then(|number| kept.lock().unwrap().get(&number).cloned());
            let Some(feed) = feed else { return ready(bytes(404, "text/plain", "Session not found")) };
            if seen.method() == "initialize" {
                let capabilities = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}});
                let result = json!({"protocolVersion": "2024-11-05", "capabilities": capabilities, "serverInfo": {"name": "old"}});
                feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}));
                return ready(empty(202));
            }
            ready(empty(script(&seen, &feed)))
        })
        .await;
        Self { server, feeds }
    }

    async fn new<F>(script: F) -> Self
    where
        F: Fn(&server::Seen, &server::Feed) -> u16 + Send + Sync + 'static,
    {
        Self::naming("/messages?sessionId={}", script).await
    }

    fn http(&self) -> Arc<SseDownstream> {
        let url = format!("http://{}/sse", self.server.address).parse().unwrap();
        let options = HttpOptions {
            net: loopback(),
            headers: vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("s3cr3t-key"))],
            ..HttpOptions::new(url)
        };
        SseDownstream::new("old", options, tokio::runtime::Handle::current()).unwrap()
    }

    /// Ends this stream.
    fn cut(&self, number: usize) {
        self.feeds.lock().unwrap().remove(&number);
    }
}

/// Answers calls with their text.
fn echoing(seen: &server::Seen, feed: &server::Feed) -> u16 {
    if seen.method() == "tools/call" {
        let result = json!({"text": seen.body["params"]["arguments"]["text"]});
        feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}));
    }
    202
}

fn mine() -> CallCx {
    CallCx { share: ShareKey::Principal([1; 16]), capabilities: r#"{"elicitation":{}}"#.into(), ..cx() }
}

#[tokio::test]
async fn calls_go_to_the_endpoint_and_come_back_over_the_stream() {
    let old = Old::new(echoing).await;
    let http = old.http();
    assert_eq!(http.hello(soon()).await.unwrap().version, Version::V2025_03_26);
    let texts: Vec<String> = (0..50).map(|n| format!("n{n}")).collect();
    let answers = join_all(texts.iter().map(|text| http.call(cx(), echo(text)))).await;
    for (text, answer) in texts.iter().zip(answers) {
        assert_eq!(one(answer).await["result"]["text"], **text);
    }
    let methods = old.server.log.methods();
    assert_eq!(methods[..3], ["GET", "initialize", "notifications/initialized"]);
    let opened = &old.server.log.all()[..3];
    assert_eq!(opened[1].body["params"]["protocolVersion"], "2024-11-05");
    assert_eq!(opened[0].header("accept"), Some("text/event-stream"));
    assert!(opened.iter().all(|seen| seen.header("x-key") == Some("s3cr3t-key")));
    assert_eq!((opened[1].path.as_str(), old.server.log.count("GET")), ("/messages?sessionId=1", 1));
    assert_eq!((http.health().state, http.load().sessions), (HealthState::Up, Some(1)));
    http.close().await;
    assert_eq!(failed(http.call(cx(), echo("x")).await).fault, Fault::Closed);
    old.server.log.wait_for_open(0).await;
}

#[tokio::test]
async fn an_endpoint_at_another_origin_is_refused_and_gets_nothing() {
    let other = Server::start(|seen| ready(result(&seen, json!({})))).await;
    let foreign: &'static str = Box::leak(format!("http://{}/messages?sessionId={{}}", other.address).into_boxed_str());
    for endpoint in [foreign, "//evil.example/m", "https:///"] {
        let old = Old::naming(endpoint, echoing).await;
        let error = failed(old.http().call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::Protocol, Delivery::NotSent), "{error}");
    }
    assert!(other.log.all().is_empty());
}

#[tokio::test]
async fn what_is_no_stream_of_the_kind_is_said_to_be_none() {
    for status in [200, 401, 405] {
        let server = Server::start(move |_| ready(bytes(status, "application/json", "{}"))).await;
        let url = format!("http://{}/sse", server.address).parse().unwrap();
        let options = HttpOptions { net: loopback(), ..HttpOptions::new(url) };
        let http = SseDownstream::new("old", options, tokio::runtime::Handle::current()).unwrap();
        let error = failed(http.call(cx(), echo("x")).await);
        let fault = if status == 200 { Fault::Protocol } else { Fault::Refused(status) };
        assert_eq!((error.fault, error.delivery), (fault, Delivery::NotSent), "{error}");
        assert_eq!(http.health().state, HealthState::Down);
    }
    let forbidden = HttpOptions {
        net: NetPolicy { allow_plain_http: true, ..NetPolicy::default() },
        ..HttpOptions::new("http://127.0.0.1:9/sse".parse().unwrap())
    };
    let http = SseDownstream::new("old", forbidden, tokio::runtime::Handle::current()).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    assert!(error.detail.contains("not one that this gateway may connect to"), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_fails_its_calls_and_the_next_call_gets_another() {
    let old = Old::new(|seen, feed| match seen.body["params"]["arguments"]["text"].as_str() {
        Some("never") => 202,
        _ => echoing(seen, feed),
    })
    .await;
    let http = old.http();
    let mut events = http.events();
    let waiting = tokio::spawn({
        let http = http.clone();
        async move { http.call(cx(), echo("never")).await }
    });
    old.server.log.wait_for(|seen| seen.method() == "tools/call").await;
    old.cut(1);
    let error = failed(waiting.await.unwrap());
    assert_eq!((error.fault, error.delivery), (Fault::Closed, Delivery::MayHaveRun));
    assert_eq!(one(http.call(cx(), echo("x")).await).await["result"]["text"], "x");
    assert_eq!(events.recv().await, Ok(Event::Reconnected));
    assert_eq!((old.server.log.count("GET"), old.server.log.count("initialize")), (2, 2));
}

#[tokio::test]
async fn a_message_that_the_server_does_not_take_fails_its_own_call_alone() {
    let old = Old::new(|seen, feed| match seen.body["params"]["arguments"]["text"].as_str() {
        Some("never") => 202,
        Some("large") => 413,
        _ => echoing(seen, feed),
    })
    .await;
    let http = old.http();
    let waiting = tokio::spawn({
        let http = http.clone();
        async move { http.call(cx(), echo("never")).await }
    });
    old.server.log.wait_for(|seen| seen.method() == "tools/call").await;
    assert_eq!(failed(http.call(cx(), echo("large")).await).fault, Fault::Refused(413));
    assert_eq!(one(http.call(cx(), echo("x")).await).await["result"]["text"], "x");
    assert!(!waiting.is_finished());
    waiting.abort();
    let cancelled = old.server.log.wait_for(|seen| seen.method() == "notifications/cancelled").await;
    let never = old.server.log.wait_for(|seen| seen.method() == "tools/call").await;
    assert_eq!(cancelled.body["params"]["requestId"], never.id());
    assert_eq!(old.server.log.count("GET"), 1);
}

#[tokio::test]
async fn a_server_that_forgot_the_stream_did_not_get_the_call() {
    let forgot = Arc::new(AtomicBool::new(false));
    let forgets = forgot.clone();
    let old =
        Old::new(move |seen, feed| if forgets.swap(false, Ordering::SeqCst) { 404 } else { echoing(seen, feed) }).await;
    let http = old.http();
    one(http.call(cx(), echo("x")).await).await;
    forgot.store(true, Ordering::SeqCst);
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::SessionLost, Delivery::NotSent));
    assert_eq!(one(http.call(cx(), echo("y")).await).await["result"]["text"], "y");
    assert_eq!(old.server.log.count("GET"), 2);
}

#[tokio::test]
async fn only_the_one_call_of_a_stream_of_its_own_can_be_asked() {
    let asker = Arc::new(Mutex::new(None));
    let asking = asker.clone();
    let old = Old::new(move |seen, feed| {
        if seen.method() == "tools/call" {
            *asking.lock().unwrap() = Some(seen.id());
            feed.event(
                &json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"message": "Sure?"}}),
            );
        } else if seen.body["id"] == "q"
            && let Some(id) = asking.lock().unwrap().take()
        {
            feed.event(
                &json!({"jsonrpc": "2.0", "id": id, "result": {"said": seen.body["result"], "no": seen.body["error"]}}),
            );
        }
        202
    })
    .await;
    let http = old.http();
    let mut asked = stream(http.call(mine(), echo("x")).await);
    let Ok(Message::Request(question)) = asked.next().await else { panic!("no question") };
    question.answer.answer(Bytes::from_static(br#""result":{"action":"accept"}"#)).await.unwrap();
    let Ok(Message::Response(answer)) = asked.next().await else { panic!("no response") };
    assert_eq!(serde_json::from_slice::<Value>(&answer.head).unwrap()["result"]["said"]["action"], "accept");
    let refused = one(http.call(cx(), echo("x")).await).await;
    assert_eq!(refused["result"]["no"]["code"], -32601, "nobody is asked on a stream that all share");
    let opened: Vec<_> = old.server.log.all().into_iter().filter(|seen| seen.method() == "initialize").collect();
    let offered: Vec<_> = opened.iter().map(|seen| seen.body["params"]["capabilities"].clone()).collect();
    assert_eq!(offered, [json!({"elicitation": {}}), json!({})]);
}

#[tokio::test]
async fn changes_and_updates_are_heard_and_pings_answered() {
    let old = Old::new(|seen, feed| {
        if seen.method() == "resources/subscribe" {
            feed.event(&json!({"jsonrpc": "2.0", "id": seen.id(), "result": {}}));
            feed.event(&json!({"jsonrpc": "2.0", "id": 5, "method": "ping"}));
            feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
            // An event of several lines is one message.
            feed.raw("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\ndata: \"params\":{\"uri\":\"a:1\"}}\n\n");
        }
        202
    })
    .await;
    let http = old.http();
    let mut events = http.events();
    http.watch(Arc::new(BTreeSet::from(["a:1".into()])));
    http.hello(soon()).await.unwrap();
    assert_eq!(timeout(Duration::from_secs(10), events.recv()).await.unwrap(), Ok(Event::ListChanged(List::Tools)));
    assert_eq!(events.recv().await, Ok(Event::ResourceUpdated("a:1".into())));
    let pong = old.server.log.wait_for(|seen| seen.body["id"] == 5).await;
    assert_eq!(pong.body["result"], json!({}));
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_with_pauses_and_found_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options = HttpOptions { net: loopback(), ..HttpOptions::new(format!("http://{address}/sse").parse().unwrap()) };
    let http = SseDownstream::new("old", options, tokio::runtime::Handle::current()).unwrap();
    for _ in 0..4 {
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent));
    }
    assert!(http.health().retry_in.is_some());
    assert!(!format!("{http:?}").contains("sse"));
}
