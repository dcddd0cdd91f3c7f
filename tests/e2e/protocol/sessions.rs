//! What the revisions with a handshake demand: which version is agreed on, what a session is good for and when it ends, batches.

use patchbay_e2e::{
    Ask, Client,
    client::{LEGACY, MODERN},
};
use serde_json::{Value, json};

use super::{expect, gateway, sent};

#[tokio::test]
async fn a_handshake_agrees_on_a_version_and_a_session_keeps_to_it() {
    let gateway = gateway().await;
    let key = gateway.key("acme");
    for (asked, given) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        (LEGACY, LEGACY),
        (MODERN, LEGACY),
        ("2024-11-05", LEGACY),
        ("2099-01-01", LEGACY),
        ("", LEGACY),
    ] {
        let mut client = Client::modern(gateway.address, "/t/acme/mcp", Some(key));
        client.version = asked.into();
        let reply = client.initialize().send(gateway.address).await;
        let session = reply.header("mcp-session-id").unwrap().to_owned();
        assert!(session.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) && session.len() >= 32, "{session}");
        let answer = reply.json().await;
        assert_eq!(answer["result"]["protocolVersion"], given, "{asked}: {answer}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "patchbay");
        for capability in ["tools", "prompts", "resources", "completions", "logging"] {
            assert!(answer["result"]["capabilities"][capability].is_object(), "{capability}: {answer}");
        }
        assert!(answer["result"].get("resultType").is_none(), "{answer}");
        client.session = Some(session);
        client.version = given.into();
        let ping = client.ask_raw("5", "ping", None, "{}");
        for ask in [ping.clone(), ping.clone().without("MCP-Protocol-Version")] {
            assert_eq!(
                ask.send(gateway.address).await.text().await,
                r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
                "{asked}"
            );
        }
        let listed = client.request("tools/list", json!({})).await;
        for member in ["resultType", "ttlMs", "cacheScope"] {
            assert!(listed.result().get(member).is_none(), "{member} is a word of the other era: {}", listed.raw);
        }
        expect("an unknown version", &ping.clone().with("MCP-Protocol-Version", "2000-01-01"), &gateway, 400, -32022)
            .await;
    }
    let client = gateway.legacy("acme").await;
    let mut lost = client.clone();
    lost.session = None;
    expect("a legacy request without a session", &lost.ask("tools/list", json!({})), &gateway, 400, -32600).await;
    let nothing = client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    expect("a request without anything", &nothing, &gateway, 400, -32600).await;
    let unfinished = client.post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    expect("initialize without a version", &unfinished, &gateway, 200, -32602).await;
    let noted = client
        .post(r#"{"jsonrpc":"2.0","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#);
    expect("initialize as a notification", &noted, &gateway, 400, -32600).await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_told_to_and_outlives_a_restart_otherwise() {
    let mut gateway = gateway().await;
    let (kept, ended) = (gateway.legacy("acme").await, gateway.legacy("acme").await);
    let end = Ask::new("DELETE", "/t/acme/mcp").bearer(gateway.key("acme"));
    let end = end.header("Mcp-Session-Id", ended.session.clone().unwrap());
    assert!(matches!(end.send(gateway.address).await.status, 200 | 204));
    expect("an ended session", &ended.ask("ping", json!({})), &gateway, 404, -32600).await;
    assert_eq!(end.send(gateway.address).await.status, 404);

    gateway.terminate();
    gateway.ended();
    let gateway = gateway.again().await;
    assert_eq!(kept.ask("ping", json!({})).send(gateway.address).await.status, 200);
    expect("an ended session, after a restart", &ended.ask("ping", json!({})), &gateway, 404, -32600).await;
}

#[tokio::test]
async fn the_log_level_of_a_session_is_one_of_eight_words() {
    let gateway = gateway().await;
    let client = gateway.legacy("acme").await;
    for level in ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] {
        let set = client.request("logging/setLevel", json!({ "level": level })).await;
        assert_eq!(set.result(), &json!({}), "{level}");
    }
    for params in [json!({ "level": "loud" }), json!({ "level": "INFO" }), json!({ "level": 3 }), json!({})] {
        let refused = client.request("logging/setLevel", params.clone()).await;
        assert_eq!((refused.status, refused.code()), (200, -32602), "{params}");
    }
}

#[tokio::test]
async fn batches_are_for_the_one_revision_that_has_them() {
    let gateway = gateway().await;
    let old =
        Client::legacy_as(gateway.address, "/t/acme/mcp", Some(gateway.key("acme")), "2025-03-26", json!({})).await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "ping" },
        { "jsonrpc": "2.0", "method": "notifications/progress", "params": {} },
        { "jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": { "name": "plain_echo", "arguments": { "a": 1 } } },
        { "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "no-such-tool" } },
        { "jsonrpc": "2.0", "id": 4, "method": "no/such" },
    ]);
    let (status, answers) = sent(&old.post_in_era(batch.to_string()), &gateway).await;
    assert_eq!(status, 200, "{answers}");
    let of = |id: Value| {
        answers.as_array().unwrap().iter().find(|answer| answer["id"] == id).unwrap_or(&Value::Null).clone()
    };
    assert_eq!(answers.as_array().unwrap().len(), 4, "{answers}");
    assert_eq!(of(json!(1))["result"], json!({}));
    assert_eq!(of(json!("two"))["result"]["structuredContent"], json!({ "a": 1 }));
    assert_eq!(of(json!(3))["error"]["code"], -32602);
    assert_eq!(of(json!(4))["error"]["code"], -32601);
    let notes = json!([{ "jsonrpc": "2.0", "method": "notifications/progress", "params": {} }]);
    assert_eq!(sent(&old.post_in_era(notes.to_string()), &gateway).await, (202, Value::Null));
    expect("an empty batch", &old.post_in_era("[]"), &gateway, 400, -32600).await;
    let many = vec![json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }); 51];
    expect("a batch that is too long", &old.post_in_era(Value::from(many).to_string()), &gateway, 400, -32600).await;
    let [legacy, modern] = gateway.both("acme").await;
    for client in [legacy, modern] {
        expect("a batch elsewhere", &client.post_in_era(batch.to_string()), &gateway, 400, -32600).await;
    }
}
