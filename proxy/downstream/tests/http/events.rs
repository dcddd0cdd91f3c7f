//! What servers say outside of calls.

use crate::*;

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
    assert_eq!(timeout(Duration::from_secs(10), events.recv()).await.unwrap(), Ok(Event::ListChanged(List::Tools)));
    feeds.lock().unwrap()[0].event(&json!({
        "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"},
    }));
    assert_eq!(events.recv().await, Ok(Event::ResourceUpdated("file:///a".into())));
    // A restart: the stream breaks, the session is gone.
    sessions.forget_all();
    feeds.lock().unwrap().clear();
    assert_eq!(timeout(Duration::from_secs(20), events.recv()).await.unwrap(), Ok(Event::Reconnected));
    assert_eq!(events.recv().await, Ok(Event::ListChanged(List::Tools)));
    assert_eq!(server.log.all().last().unwrap().header("mcp-session-id"), Some("s2"));
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
        feed.event(
            &json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"_meta": meta}}),
        );
        feed.event(
            &json!({"jsonrpc": "2.0", "method": "notifications/resources/list_changed", "params": {"_meta": meta}}),
        );
        kept.lock().unwrap().push(feed);
        ready(reply)
    })
    .await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let mut events = http.events();
    http.hello(soon()).await.unwrap();
    assert_eq!(timeout(Duration::from_secs(10), events.recv()).await.unwrap(), Ok(Event::ListChanged(List::Resources)));
    let listening = server.log.wait_for(|seen| seen.method() == "subscriptions/listen").await;
    assert_eq!(listening.body["params"]["notifications"]["toolsListChanged"], true);
    feeds.lock().unwrap().clear();
    assert_eq!(timeout(Duration::from_secs(20), events.recv()).await.unwrap(), Ok(Event::Reconnected));
    let last = feeds.lock().unwrap()[0].clone();
    drop(http);
    last.closed().await;
}
