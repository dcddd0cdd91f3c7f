//! What servers are told beside calls: watched resources, levels, roots.

use crate::*;

fn set(uris: &[&str]) -> Arc<BTreeSet<Arc<str>>> {
    Arc::new(uris.iter().map(|uri| Arc::from(*uri)).collect())
}

type Feeds = Arc<Mutex<Vec<server::Feed>>>;

/// A legacy server whose streams the test feeds.
async fn streaming() -> (Server, server::Sessions, Feeds) {
    let feeds = Feeds::default();
    let kept = feeds.clone();
    let (server, sessions) = Server::legacy(move |seen| {
        if seen.method() != "GET" {
            return ready(echoed(&seen));
        }
        let (feed, reply) = events();
        // So that the head of the response leaves at once.
        feed.raw(": here\n\n");
        kept.lock().unwrap().push(feed);
        ready(reply)
    })
    .await;
    sessions.streams.store(true, Ordering::SeqCst);
    (server, sessions, feeds)
}

fn said(server: &Server, method: &str) -> Vec<(String, Option<String>)> {
    let all = server.log.all().into_iter().filter(|seen| seen.method() == method);
    all.map(|seen| {
        let session = seen.header("mcp-session-id").map(str::to_owned);
        (seen.body["params"]["uri"].as_str().unwrap().to_owned(), session)
    })
    .collect()
}

#[tokio::test]
async fn a_legacy_server_is_told_what_is_new_and_what_is_gone_and_all_of_it_in_a_new_session() {
    let (server, sessions, feeds) = streaming().await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let mut events = http.events();
    http.watch(set(&["a:1", "a:2"]));
    http.hello(soon()).await.unwrap();
    server.log.wait_for(|seen| seen.body["params"]["uri"] == "a:2").await;
    feeds.lock().unwrap()[0]
        .event(&json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a:1"}}));
    assert_eq!(
        timeout(Duration::from_secs(10), events.recv()).await.unwrap(),
        Ok(Event::ResourceUpdated("a:1".into()))
    );
    http.watch(set(&["a:2", "a:3"]));
    server.log.wait_for(|seen| seen.body["params"]["uri"] == "a:3").await;
    server.log.wait_for(|seen| seen.method() == "resources/unsubscribe").await;
    assert_eq!(said(&server, "resources/unsubscribe"), [("a:1".to_owned(), Some("s1".to_owned()))]);
    // A stream that ends in the same session keeps its subscriptions.
    feeds.lock().unwrap().clear();
    server.log.wait_for(|seen| seen.method() == "GET" && server.log.count("GET") == 2).await;
    // A restart.
    sessions.forget_all();
    feeds.lock().unwrap().clear();
    let again = |uri: &str| {
        let uri = uri.to_owned();
        move |seen: &server::Seen| seen.body["params"]["uri"] == *uri && seen.header("mcp-session-id") == Some("s2")
    };
    server.log.wait_for(again("a:2")).await;
    server.log.wait_for(again("a:3")).await;
    assert_eq!(said(&server, "resources/subscribe").len(), 5, "{:?}", said(&server, "resources/subscribe"));
}

#[tokio::test]
async fn a_legacy_server_that_forgot_the_session_at_a_subscription_gets_all_of_them_anew() {
    let (server, sessions, _feeds) = streaming().await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let mut events = http.events();
    http.watch(set(&["a:1"]));
    http.hello(soon()).await.unwrap();
    server.log.wait_for(|seen| seen.body["params"]["uri"] == "a:1").await;
    sessions.forget_all();
    http.watch(set(&["a:1", "a:2"]));
    let renewed =
        |seen: &server::Seen| seen.method() == "resources/subscribe" && seen.header("mcp-session-id") == Some("s2");
    server.log.wait_for(|seen| renewed(seen) && seen.body["params"]["uri"] == "a:1").await;
    server.log.wait_for(|seen| renewed(seen) && seen.body["params"]["uri"] == "a:2").await;
    assert_eq!(timeout(Duration::from_secs(10), events.recv()).await.unwrap(), Ok(Event::Reconnected));
}

#[tokio::test]
async fn a_modern_server_is_asked_anew_before_the_last_stream_is_closed() {
    let feeds = Feeds::default();
    let kept = feeds.clone();
    let overlap = Arc::new(AtomicBool::new(false));
    let overlapped = overlap.clone();
    let server = Server::modern(move |seen| {
        let (feed, reply) = events();
        let params = json!({
            "notifications": seen.body["params"]["notifications"],
            "_meta": {"io.modelcontextprotocol/subscriptionId": seen.id()},
        });
        let mut feeds = kept.lock().unwrap();
        if let Some(last) = feeds.last() {
            let last: &server::Feed = last;
            overlapped.store(!last.is_closed(), Ordering::SeqCst);
            // What is told at the very last moment is heard as well.
            last.event(
                &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a:1"}}),
            );
        }
        feed.event(&json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params}));
        feeds.push(feed);
        ready(reply)
    })
    .await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    http.watch(set(&["a:1"]));
    let mut events = http.events();
    http.hello(soon()).await.unwrap();
    let first = server.log.wait_for(|seen| seen.method() == "subscriptions/listen").await;
    assert_eq!(first.body["params"]["notifications"]["resourceSubscriptions"], json!(["a:1"]));
    http.watch(set(&["a:1", "a:2"]));
    http.watch(set(&["a:1", "a:3"]));
    server
        .log
        .wait_for(|seen| seen.body["params"]["notifications"]["resourceSubscriptions"] == json!(["a:1", "a:3"]))
        .await;
    assert_eq!(
        timeout(Duration::from_secs(10), events.recv()).await.unwrap(),
        Ok(Event::ResourceUpdated("a:1".into()))
    );
    let last = feeds.lock().unwrap()[0].clone();
    last.closed().await;
    assert!(overlap.load(Ordering::SeqCst), "the first stream was closed before the second was open");
    assert!(server.log.count("subscriptions/listen") <= 3, "changes are gathered");
    assert!(events.try_recv().is_err(), "no gap, so nothing is said to have changed");
}

#[tokio::test]
async fn a_session_is_asked_for_more_log_messages_once_and_only_when_a_call_wants_them() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    for level in [None, Some("\"info\""), Some("\"error\""), Some("\"info\""), Some("\"debug\"")] {
        let request = Outgoing { log_level: level.map(|level| Bytes::from_static(level.as_bytes())), ..echo("x") };
        one(http.call(cx(), request).await).await;
    }
    let all = server.log.all().into_iter().filter(|seen| seen.method() == "logging/setLevel");
    let levels: Vec<_> = all.map(|seen| seen.body["params"]["level"].clone()).collect();
    assert_eq!(levels, ["info", "debug"]);
}

#[tokio::test]
async fn a_server_that_refuses_a_level_gets_the_call_all_the_same() {
    let server = Server::start(|seen| match seen.method() {
        "initialize" => ready(result(&seen, server::initialized("2025-06-18"))),
        "logging/setLevel" => ready(rpc_error(500, Some(seen.id()), -32603, "no")),
        "tools/call" => ready(echoed(&seen)),
        _ => ready(empty(202)),
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    for _ in 0..2 {
        let request = Outgoing { log_level: Some(Bytes::from_static(b"\"info\"")), ..echo("x") };
        assert_eq!(one(http.call(cx(), request).await).await["result"]["text"], "x");
    }
    assert_eq!(server.log.count("logging/setLevel"), 1);
}

#[tokio::test]
async fn only_an_open_session_that_was_offered_roots_hears_that_they_changed() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    let able = CallCx { capabilities: r#"{"roots":{"listChanged":true}}"#.into(), ..cx() };
    http.roots_changed(able.clone()).await;
    for cx in [able.clone(), cx()] {
        one(http.call(cx, echo("x")).await).await;
    }
    http.roots_changed(cx()).await;
    http.roots_changed(able).await;
    let seen = server.log.wait_for(|seen| seen.method() == "notifications/roots/list_changed").await;
    assert_eq!(seen.header("mcp-session-id"), Some("s1"));
    assert_eq!(server.log.count("notifications/roots/list_changed"), 1);
}
