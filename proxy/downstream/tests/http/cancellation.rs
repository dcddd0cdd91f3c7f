//! What servers are told when nobody waits any more.

use crate::*;

#[tokio::test]
async fn a_legacy_server_is_told_when_nobody_waits_any_more() {
    let (server, _) = Server::legacy(|_| std::future::pending().boxed()).await;
    let http = pinned(server.address, EraPin::Legacy);
    let call = tokio::spawn({
        let http = http.clone();
        async move { http.call(cx(), echo("x")).await.map(drop) }
    });
    let asked = server.log.wait_for(|seen| seen.method() == "tools/call").await;
    call.abort();
    let cancelled = server.log.wait_for(|seen| seen.method() == "notifications/cancelled").await;
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
    let cancelled = server.log.wait_for(|seen| seen.method() == "notifications/cancelled").await;
    let asked = server.log.wait_for(|seen| seen.body["params"]["arguments"]["text"] == "go on").await;
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
