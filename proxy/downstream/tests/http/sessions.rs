//! Sessions with legacy servers.

use crate::*;

#[tokio::test]
async fn a_lost_session_is_opened_anew_unseen() {
    let (server, sessions) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    one(http.call(cx(), echo("a")).await).await;
    sessions.forget_all();
    assert_eq!(one(http.call(cx(), echo("b")).await).await["result"]["text"], "b");
    assert_eq!(server.log.count("initialize"), 2);
    assert_eq!(server.log.all().last().unwrap().header("mcp-session-id"), Some("s2"));
}

#[tokio::test]
async fn a_session_that_is_lost_again_at_once_is_an_error_that_may_be_retried() {
    let opened = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |seen| match seen.method() {
        "initialize" => {
            let mut reply = result(&seen, server::initialized("2025-06-18"));
            let id = format!("x{}", opened.fetch_add(1, Ordering::SeqCst));
            reply.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            ready(reply)
        }
        "notifications/initialized" => ready(empty(202)),
        _ => ready(rpc_error(400, Some(seen.id()), -32000, "Bad Request: No valid session ID provided")),
    })
    .await;
    let http = pinned(server.address, EraPin::Legacy);
    let error = failed(http.call(cx(), echo("a")).await);
    assert_eq!((error.fault, error.delivery), (Fault::SessionLost, Delivery::NotSent));
    assert_eq!((server.log.count("initialize"), server.log.count("tools/call")), (2, 2));
}

#[tokio::test]
async fn callers_that_differ_in_sharing_or_capabilities_get_sessions_of_their_own() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    let able: Arc<str> = r#"{"elicitation":{}}"#.into();
    for _ in 0..2 {
        one(http.call(cx(), echo("a")).await).await;
        one(http.call(CallCx { capabilities: able.clone(), ..cx() }, echo("b")).await).await;
        one(http.call(CallCx { share: ShareKey::Principal([1; 16]), ..cx() }, echo("c")).await).await;
    }
    let opened: Vec<_> = server.log.all().into_iter().filter(|seen| seen.method() == "initialize").collect();
    assert_eq!(opened.len(), 3);
    assert_eq!(opened[1].body["params"]["capabilities"], json!({"elicitation": {}}));
    assert_eq!(http.load().sessions, Some(3));
}

#[tokio::test]
async fn the_session_that_was_used_the_longest_ago_makes_room() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = pinned(server.address, EraPin::Legacy);
    for n in 0..=1024_u16 {
        let mut digest = [0; 16];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        one(http.call(CallCx { share: ShareKey::Session(digest), ..cx() }, echo("x")).await).await;
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
    server.log.wait_for(|seen| seen.method() == "tools/call").await;
    http.close().await;
    assert_eq!(failed(waiting.await.unwrap()).fault, Fault::Closed);
    assert_eq!(server.log.count("DELETE"), 1);
    assert_eq!(failed(http.call(cx(), echo("y")).await).fault, Fault::Closed);
    assert_eq!(http.health().state, HealthState::Closed);
    assert_eq!(http.load().sessions, Some(0));
}
