//! What the protocol demands of a server, revision by revision: statuses, codes, headers. One table where a table will do; each
//! row is a request that is good but for one thing.

mod modern;
mod sessions;
mod transport;

use std::collections::BTreeSet;

use patchbay_e2e::{
    Ask, Client, TestGateway,
    setup::{conformance, scripted, tenant},
};
use serde_json::{Value, json};

/// A gateway with a scripted server without a prefix, and one with resources and prompts.
async fn gateway() -> TestGateway {
    let mut acme = tenant("acme", [("plain", scripted(&["--no-odd"])), ("rich", conformance(&["--era", "legacy"]))]);
    acme["toolsets"] = json!({ "bare": { "servers": ["plain"], "prefix": "never" } });
    acme["servers"]["plain"]["tools"] = json!({ "deny": ["die"] });
    TestGateway::setup().tenant(acme).start().await
}

/// The code of an answer, and its body.
async fn sent(ask: &Ask, gateway: &TestGateway) -> (u16, Value) {
    let reply = ask.send(gateway.address).await;
    let status = reply.status;
    let text = reply.text().await;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    (status, body)
}

/// Sends and expects this status, and this code when it is not 0.
async fn expect(what: &str, ask: &Ask, gateway: &TestGateway, status: u16, code: i64) -> Value {
    let (got, body) = sent(ask, gateway).await;
    assert_eq!(got, status, "{what}: {body}");
    if code != 0 {
        assert_eq!(body["error"]["code"], code, "{what}: {body}");
        assert!(body["error"]["message"].as_str().is_some_and(|text| text.len() > 5), "{what}: no sentence in {body}");
    }
    body
}

#[tokio::test]
async fn what_is_no_message_is_refused_before_anybody_acts_on_it() {
    let gateway = gateway().await;
    let [legacy, modern] = gateway.both("acme").await;
    let nested = |depth: usize| {
        let inner = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{inner}}}}}"#)
    };
    for (what, body, code) in [
        ("nothing", String::new(), -32700),
        ("no JSON", "hello".into(), -32700),
        ("half of it", r#"{"jsonrpc":"2.0","id":1"#.into(), -32700),
        ("a byte order mark", "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}".into(), -32700),
        ("two messages in a row", r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#.into(), -32700),
        ("another protocol", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.into(), -32600),
        ("a null id", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.into(), -32600),
        ("a fraction for an id", r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.into(), -32600),
        ("a number for a method", r#"{"jsonrpc":"2.0","id":1,"method":1}"#.into(), -32600),
        ("an array for params", r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#.into(), -32600),
        ("two methods", r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#.into(), -32600),
        ("two ids", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#.into(), -32600),
        (
            "a method that another parser reads",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"x"}"#.into(),
            -32600,
        ),
        ("params that another parser reads", r#"{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{}}"#.into(), -32600),
        (
            "two names",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#.into(),
            -32600,
        ),
        ("a batch", r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), -32600),
        ("65 levels", nested(63), -32600),
        ("100,000 levels", nested(100_000), -32600),
    ] {
        for client in [&legacy, &modern] {
            expect(&format!("{what} in {}", client.version), &client.post_in_era(body.clone()), &gateway, 400, code)
                .await;
        }
    }
    assert_eq!(sent(&legacy.post_in_era(nested(61)), &gateway).await.0, 200);
    for id in [r#""\u00e9 text""#, "9007199254740993", "-1", r#""""#, "0"] {
        let reply = legacy.ask_raw(id, "ping", None, "{}").send(gateway.address).await;
        assert_eq!(reply.text().await, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
}

#[tokio::test]
async fn what_is_hidden_and_what_never_was_are_told_in_the_same_words() {
    let gateway = gateway().await;
    for client in gateway.both("acme").await {
        let names = client.tools().await;
        assert!(names.contains(&"plain_echo".to_owned()) && !names.contains(&"plain_die".to_owned()), "{names:?}");
        let mut words = BTreeSet::new();
        // Denied by the server's filter; never there; there under its native name; of no server at all.
        for name in ["plain_die", "plain_nil", "echo", "nowhere_echo"] {
            let refused =
                client.gather(&client.ask_as("9", "tools/call", json!({ "name": name, "arguments": {} }))).await;
            assert_eq!((refused.status, refused.code()), (200, -32602), "{name}: {}", refused.raw);
            words.insert(refused.raw.replace(name, "NAME"));
        }
        assert_eq!(words.len(), 1, "{words:?}");
        let mut words = BTreeSet::new();
        for name in ["rich_nil", "test_simple_prompt"] {
            let refused = client.gather(&client.ask_as("9", "prompts/get", json!({ "name": name }))).await;
            assert_eq!((refused.status, refused.code()), (200, -32602), "{name}: {}", refused.raw);
            words.insert(refused.raw.replace(name, "NAME"));
        }
        assert_eq!(words.len(), 1, "{words:?}");
        if client.is_modern() {
            let bare = Client::modern(gateway.address, "/t/acme/bare/mcp", Some(gateway.key("acme")));
            assert!(bare.tools().await.contains(&"echo".to_owned()));
            assert_eq!(bare.call("rich_test_simple_text", json!({})).await.code(), -32602, "it is not in this toolset");
        }

        // A resource that is not there: where the gateway knows that, and where only its server does.
        let expected = if client.is_modern() { -32602 } else { -32002 };
        for uri in ["nowhere://at/all", "test://template/", "TEST://static-text", ""] {
            let refused = client.request("resources/read", json!({ "uri": uri })).await;
            assert_eq!((refused.status, refused.code()), (200, expected), "{uri}: {}", refused.raw);
        }
        for (method, params) in [
            ("tools/call", json!({})),
            ("tools/call", json!({ "name": 7 })),
            ("prompts/get", json!({})),
            ("resources/read", json!({})),
            ("completion/complete", json!({})),
            ("completion/complete", json!({ "ref": { "type": "ref/tool", "name": "x" } })),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/prompt", "name": "nil" }, "argument": { "name": "a", "value": "" } }),
            ),
            ("tools/list", json!({ "cursor": 7 })),
        ] {
            let mut ask = client.ask(method, params.clone());
            if client.is_modern()
                && params["name"].is_null()
                && matches!(method, "tools/call" | "prompts/get" | "resources/read")
            {
                ask = ask.with("Mcp-Name", "x");
            }
            let (status, body) = sent(&ask, &gateway).await;
            let code = body["error"]["code"].as_i64();
            let mirrored = client.is_modern() && matches!(method, "tools/call" | "prompts/get" | "resources/read");
            let expected = if mirrored { (400, Some(-32020)) } else { (200, Some(-32602)) };
            assert_eq!((status, code), expected, "{method} {params}: {body}");
        }
    }
}

#[tokio::test]
async fn both_eras_are_served_at_once_on_one_url() {
    let gateway = gateway().await;
    let [legacy, modern] = gateway.both("acme").await;
    let (old, new) = (legacy.tools().await, modern.tools().await);
    assert_eq!(old, new);
    let mut sorted = old.clone();
    sorted.sort();
    assert_eq!(old, sorted, "lists are sorted");
    for _ in 0..3 {
        for client in [&legacy, &modern] {
            let answer = client.call("plain_echo", json!({ "who": client.version })).await;
            assert_eq!(answer.result()["structuredContent"]["who"], client.version);
            assert_eq!(answer.result().get("resultType").is_some(), client.is_modern(), "{}", answer.raw);
            let bytes = [0, 1].map(|_| client.ask_as("1", "tools/list", json!({})));
            let [first, second] = bytes;
            let (first, second) = (client.gather(&first).await, client.gather(&second).await);
            assert_eq!(first.response["result"]["tools"].to_string(), second.response["result"]["tools"].to_string());
        }
    }
}
