//! What the protocol demands of a server, revision by revision: statuses, codes, headers. One table where a table will do; each
//! row is a request that is good but for one thing.

use std::collections::BTreeSet;

use patchbay_e2e::{
    Ask, Client, TestGateway,
    client::{LEGACY, META_CAPABILITIES, META_VERSION, MODERN},
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
async fn a_modern_request_states_its_version_twice_and_the_same() {
    let gateway = gateway().await;
    let client = gateway.modern("acme");
    let good = client.ask("tools/list", json!({}));
    let answer = expect("a good request", &good, &gateway, 200, 0).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert!(answer["result"]["ttlMs"].is_u64() && answer["result"]["cacheScope"] == "private", "{answer}");

    let header = "MCP-Protocol-Version";
    for (what, ask) in [
        ("no version header", good.clone().without(header)),
        ("a header that names another version than the body", good.clone().with(header, LEGACY)),
        ("a header that stands twice", good.clone().header(header, MODERN)),
    ] {
        expect(what, &ask, &gateway, 400, -32020).await;
    }
    for (version, header) in [("2019-01-01", "2019-01-01"), ("latest", "latest"), (LEGACY, LEGACY)] {
        let meta = json!({ "_meta": { META_VERSION: version, META_CAPABILITIES: {} } });
        let ask = good.clone().with("MCP-Protocol-Version", header);
        let ask = ask.body(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": meta }).to_string());
        let body = expect(version, &ask, &gateway, 400, -32022).await;
        assert_eq!(body["id"], 1);
        assert_eq!(body["error"]["data"]["requested"], version, "{body}");
        let supported = body["error"]["data"]["supported"].as_array().unwrap();
        assert_eq!(supported.len(), 4, "{body}");
        for served in [MODERN, LEGACY, "2025-06-18", "2025-03-26"] {
            assert!(supported.contains(&json!(served)), "{served}: {body}");
        }
    }
    // Nothing in the body says which era it is, and the header names a version that nobody serves.
    let bare = client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).header(header, "1999-09-09");
    let body = expect("an unknown version", &bare, &gateway, 400, -32022).await;
    assert_eq!(body["error"]["data"]["requested"], "1999-09-09");
}

#[tokio::test]
async fn a_modern_request_lacks_nothing_that_its_meta_must_have() {
    let gateway = gateway().await;
    let client = gateway.modern("acme");
    let with = |meta: Value| {
        let params = json!({ "_meta": meta });
        let ask = client.ask("tools/list", json!({}));
        ask.body(json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": params }).to_string())
    };
    for (what, meta) in [
        ("no version", json!({ META_CAPABILITIES: {} })),
        ("no capabilities", json!({ META_VERSION: MODERN })),
        ("capabilities that are none", json!({ META_VERSION: MODERN, META_CAPABILITIES: "all" })),
        ("an empty _meta", json!({})),
    ] {
        let body = expect(what, &with(meta), &gateway, 400, -32602).await;
        assert_eq!(body["id"], 7, "{what}");
    }
    let ask = client.ask("tools/list", json!({})).body(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#);
    expect("no params", &ask, &gateway, 400, -32602).await;
}

#[tokio::test]
async fn what_headers_repeat_must_be_what_the_body_says() {
    let gateway = gateway().await;
    let client = gateway.modern("acme");
    let call = client.ask_tool("plain_echo", json!({}));
    let read = client.ask("resources/read", json!({ "uri": "test://static-text" }));
    let prompt = client.ask("prompts/get", json!({ "name": "rich_test_simple_prompt" }));
    for (what, ask) in [
        ("no Mcp-Method", call.clone().without("Mcp-Method")),
        ("another Mcp-Method", call.clone().with("Mcp-Method", "tools/list")),
        ("a method in capitals", call.clone().with("Mcp-Method", "Tools/Call")),
        ("two Mcp-Methods", call.clone().header("Mcp-Method", "tools/call")),
        ("no Mcp-Name", call.clone().without("Mcp-Name")),
        ("another Mcp-Name", call.clone().with("Mcp-Name", "plain_env")),
        ("a name in capitals", call.clone().with("Mcp-Name", "PLAIN_ECHO")),
        ("broken base64", call.clone().with("Mcp-Name", "=?base64?!!!!?=")),
        ("another name in base64", call.clone().with("Mcp-Name", "=?base64?cGxhaW5fZW52?=")),
        ("no Mcp-Name of a resource", read.clone().without("Mcp-Name")),
        ("another resource", read.clone().with("Mcp-Name", "test://other")),
        ("no Mcp-Name of a prompt", prompt.clone().without("Mcp-Name")),
        ("another prompt", prompt.clone().with("Mcp-Name", "other")),
    ] {
        expect(what, &ask, &gateway, 400, -32020).await;
    }
    let named = call.clone().with("Mcp-Name", "=?base64?cGxhaW5fZWNobw==?=");
    expect("the same name in base64", &named, &gateway, 200, 0).await;
    expect("a resource", &read, &gateway, 200, 0).await;
    expect("a prompt", &prompt, &gateway, 200, 0).await;
    let seen = client.call("plain_seen", json!({})).await;
    let seen: Value = serde_json::from_str(seen.text()).unwrap();
    assert_eq!(seen["calls"]["echo"], 1, "a refused call was forwarded: {seen}");
}

#[tokio::test]
async fn methods_that_an_era_does_not_have_are_not_found_in_it() {
    let gateway = gateway().await;
    let [legacy, modern] = gateway.both("acme").await;
    for method in [
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "no/such",
        "tasks/list",
        "Tools/list",
    ] {
        let params = json!({ "level": "info", "uri": "test://static-text" });
        let body = expect(method, &modern.ask(method, params), &gateway, 404, -32601).await;
        assert!(body["id"].is_u64(), "{body}");
    }
    for method in ["server/discover", "subscriptions/listen", "no/such", "roots/list"] {
        expect(method, &legacy.ask(method, json!({})), &gateway, 200, -32601).await;
    }
    for method in ["notifications/initialized", "notifications/cancelled", "notifications/no-such"] {
        let (status, body) = sent(&modern.notification(method, json!({ "requestId": 1 })), &gateway).await;
        assert_eq!((status, body), (202, Value::Null), "{method}");
        let (status, body) = sent(&legacy.notification(method, json!({ "requestId": 1 })), &gateway).await;
        assert_eq!((status, body), (202, Value::Null), "{method}");
    }
    // A modern client has no requests of ours to answer.
    let answer = modern.post_in_era(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    expect("a response of a modern client", &answer, &gateway, 400, -32600).await;
    // A legacy one may be late.
    let late = legacy.post_in_era(r#"{"jsonrpc":"2.0","id":"unheard-of","result":{}}"#);
    assert_eq!(sent(&late, &gateway).await, (202, Value::Null));

    let discovered = modern.request("server/discover", json!({})).await;
    let result = discovered.result();
    for member in ["supportedVersions", "capabilities", "ttlMs", "cacheScope", "resultType", "_meta"] {
        assert!(result.get(member).is_some(), "server/discover lacks {member}: {result}");
    }
    assert!(result["capabilities"].get("logging").is_none(), "logging is no capability of this era: {result}");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "patchbay");
}

#[tokio::test]
async fn http_itself_has_rules_too() {
    let gateway = gateway().await;
    let client = gateway.modern("acme");
    let good = client.ask("tools/list", json!({}));
    let path = "/t/acme/mcp";
    let key = gateway.key("acme");
    for method in ["GET", "PUT", "PATCH", "HEAD"] {
        let reply =
            Ask::new(method, path).bearer(key).header("Accept", "text/event-stream").send(gateway.address).await;
        assert_eq!(reply.status, 405, "{method}");
        let allowed = reply.header("allow").unwrap();
        assert!(allowed.contains("POST") && allowed.contains("DELETE"), "{method}: {allowed}");
    }
    expect("DELETE without a session", &Ask::new("DELETE", path).bearer(key), &gateway, 400, -32600).await;

    for (kind, status) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("Application/JSON"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("application/jsonp"), 415),
        (None, 415),
    ] {
        let ask =
            kind.map_or_else(|| good.clone().without("Content-Type"), |kind| good.clone().with("Content-Type", kind));
        expect(&format!("{kind:?}"), &ask, &gateway, status, if status == 200 { 0 } else { -32600 }).await;
    }
    for (accept, status) in [
        ("application/json, text/event-stream", 200),
        ("text/event-stream,application/json;q=0.5", 200),
        ("*/*", 200),
        ("application/*, text/*", 200),
        ("application/json", 406),
        ("text/event-stream", 406),
        ("text/html", 406),
    ] {
        let ask = good.clone().with("Accept", accept);
        expect(accept, &ask, &gateway, status, if status == 200 { 0 } else { -32600 }).await;
    }
    let reply = good.send(gateway.address).await;
    assert_eq!(reply.kind(), "application/json");
    assert_eq!(reply.header("mcp-session-id"), None, "a modern request gets no session");
    let with_session = good.clone().header("Mcp-Session-Id", "whatever").header("Last-Event-ID", "1");
    expect("headers that mean nothing in this era", &with_session, &gateway, 200, 0).await;
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
async fn too_much_is_too_much() {
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("plain", scripted(&["--no-odd"]))]))
        .set("limits", json!({ "body_bytes_max": 65_536, "header_bytes_max": 8192, "header_read_timeout_s": 1, "body_read_timeout_s": 1 }))
        .start()
        .await;
    let client = gateway.modern("acme");
    let of = |bytes: usize| client.ask_tool("plain_echo", json!({ "text": "x".repeat(bytes) }));
    expect("what fits", &of(60_000), &gateway, 200, 0).await;
    expect("what does not", &of(70_000), &gateway, 413, 41301).await;

    // Only the head says how much there will be; the refusal does not wait for it.
    let mut ask = of(10).header("Content-Length", "5000000");
    ask.body = ask.body.slice(..0);
    let raw = raw(&gateway, &head(&ask, "")).await;
    assert!(raw.starts_with("HTTP/1.1 413"), "{raw:?}");
    // Nothing says how much there will be.
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, "x".repeat(40_000));
    let raw = raw_of(&gateway, &head(&of(10).header("Transfer-Encoding", "chunked"), &chunk.repeat(3))).await;
    assert!(raw.starts_with("HTTP/1.1 413"), "{raw:?}");

    let fat = client.ask("tools/list", json!({})).header("X-Fat", "x".repeat(70_000));
    let outcome = fat.try_send(gateway.address).await;
    assert!(outcome.as_ref().map_or(true, |reply| reply.status == 431), "{outcome:?}");

    // A head, and a body, that come too slowly end the connection; others do not suffer.
    for slow in [
        "POST /t/acme/mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        &head(&of(1000).header("Content-Length", "1000"), "{"),
    ] {
        let raw = raw_of(&gateway, slow).await;
        assert!(raw.is_empty() || raw.starts_with("HTTP/1.1 408"), "{raw:?}");
        expect("somebody else", &of(10), &gateway, 200, 0).await;
    }
}

/// The head of a request as bytes, and a beginning of its body.
fn head(ask: &Ask, body: &str) -> String {
    let headers: String = ask.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{} {} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}", ask.method, ask.path)
}

async fn raw(gateway: &TestGateway, bytes: &str) -> String {
    raw_of(gateway, bytes).await
}

/// Writes these bytes, then nothing, and reads until the gateway closes or has answered.
async fn raw_of(gateway: &TestGateway, bytes: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = patchbay_e2e::within("an answer or the end of the connection", stream.read(&mut answer)).await;
    String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
}

#[tokio::test]
async fn hosts_and_pages_from_elsewhere_are_turned_away() {
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("plain", scripted(&["--no-odd"]))]))
        .set("allowed_origins", json!(["http://localhost", "https://ide.example"]))
        .start()
        .await;
    let good = gateway.modern("acme").ask("tools/list", json!({}));
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.2"] {
        expect(host, &good.clone().header("Host", host), &gateway, 403, 40301).await;
    }
    for host in ["localhost", "LOCALHOST:1234", "[::1]:8080", "127.0.0.1"] {
        expect(host, &good.clone().header("Host", host), &gateway, 200, 0).await;
    }
    for origin in ["https://evil.example", "null", "https://ide.example.evil.example", "http://ide.example"] {
        let refused = good.clone().header("Origin", origin);
        expect(origin, &refused, &gateway, 403, 40301).await;
        let reply = refused.send(gateway.address).await;
        assert_eq!(reply.header("access-control-allow-origin"), None, "{origin}");
        let asked =
            Ask::new("OPTIONS", "/t/acme/mcp").header("Origin", origin).header("Access-Control-Request-Method", "POST");
        let reply = asked.send(gateway.address).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, None), "{origin}");
    }
    let page = "https://ide.example";
    let reply = good.clone().header("Origin", page).send(gateway.address).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(page)));
    assert!(reply.header("access-control-expose-headers").unwrap().contains("Mcp-Session-Id"));
    assert_eq!(reply.header("access-control-allow-credentials"), None, "keys come in headers, never with cookies");
    let unauthenticated = good.clone().without("Authorization").header("Origin", page).send(gateway.address).await;
    assert_eq!((unauthenticated.status, unauthenticated.header("access-control-allow-origin")), (401, Some(page)));

    let preflight = Ask::new("OPTIONS", "/t/acme/mcp")
        .header("Origin", page)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization, mcp-param-city, x-evil");
    let reply = preflight.send(gateway.address).await;
    assert!(matches!(reply.status, 200 | 204), "{}", reply.status);
    assert_eq!(reply.header("access-control-allow-origin"), Some(page));
    let allowed = reply.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    for name in [
        "authorization",
        "content-type",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "mcp-param-city",
    ] {
        assert!(allowed.contains(name), "{name} is not in {allowed}");
    }
    assert!(!allowed.contains("x-evil"), "{allowed}");
    let elsewhere = Ask { path: "/t/nobody-lives-here/mcp".into(), ..preflight }.send(gateway.address).await;
    assert_eq!(elsewhere.status, reply.status, "a preflight tells who lives where");
}

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
