//! Which era a server speaks, and how that is found out, remembered and mended.

use crate::*;

#[tokio::test]
async fn a_modern_server_is_found_by_one_question_and_gets_mirrored_headers() {
    let server = Server::modern(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let mut request = echo("hi");
    request.mirror_name = Some("größe".into());
    request.mirror_params.push(("Region".into(), "eu".into()));
    assert_eq!(one(http.call(cx(), request).await).await["result"]["text"], "hi");
    let call = server.log.wait_for(|seen| seen.method() == "tools/call").await;
    assert_eq!(server.log.methods(), ["server/discover", "tools/call"]);
    assert_eq!(call.path, "/mcp");
    assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
    assert_eq!(call.header("mcp-param-region"), Some("eu"));
    assert_eq!(call.header("mcp-session-id"), None);
    assert_eq!(call.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    let hello = http.hello(soon()).await.unwrap();
    assert_eq!((hello.version, &*hello.server_info), (Version::V2026_07_28, r#"{"name":"modern","version":"1"}"#));
}

#[tokio::test]
async fn a_legacy_server_is_found_by_the_second_question_and_keeps_its_session() {
    let (server, _) = Server::legacy(|seen| ready(echoed(&seen))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let hello = http.hello(soon()).await.unwrap();
    assert_eq!(hello.version, Version::V2025_11_25);
    for text in ["a", "b"] {
        assert_eq!(one(http.call(cx(), echo(text)).await).await["result"]["text"], text);
    }
    let methods = ["server/discover", "initialize", "notifications/initialized", "tools/call", "tools/call"];
    assert_eq!(server.log.methods(), methods);
    let all = server.log.all();
    assert_eq!(all[1].body["params"]["protocolVersion"], "2025-11-25");
    assert_eq!((all[1].header("mcp-session-id"), all[1].header("mcp-protocol-version")), (None, None));
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
    assert_eq!((server.log.count("server/discover"), server.log.count("initialize")), (1, 1));
}

#[tokio::test]
async fn a_remembered_era_costs_no_question() {
    let server = Server::modern(|seen| ready(echoed(&seen))).await;
    let remembered = remembered(Version::V2026_07_28);
    let http = HttpDownstream::new(HttpOptions { remembered, ..options(server.address) }).unwrap();
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
        let http = HttpDownstream::new(HttpOptions { remembered: remembered(wrong), ..options(address) }).unwrap();
        let mut events = http.events();
        assert_eq!(one(http.call(cx(), echo("x")).await).await["result"]["text"], "x");
        match events.recv().await.unwrap() {
            Event::HelloChanged(hello) => assert_eq!(hello.version, right),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((legacy.log.count("tools/call"), modern.log.count("tools/call")), (2, 1));
}

#[tokio::test]
async fn a_server_of_neither_era_is_said_to_be_none() {
    let server = Server::start(|_| ready(bytes(404, "text/html", "<h1>Not here</h1>"))).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let error = http.hello(soon()).await.unwrap_err();
    assert_eq!((error.fault, error.delivery), (Fault::Protocol, Delivery::NotSent));
    assert!(error.detail.contains("Streamable HTTP") && error.detail.contains("Not here"), "{}", error.detail);
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
    assert_eq!(http.hello(soon()).await.unwrap().version, Version::V2025_03_26);
    let call = server.log.wait_for(|seen| seen.method() == "tools/call").await;
    assert_eq!((call.header("mcp-protocol-version"), call.header("mcp-session-id")), (None, None));
}
