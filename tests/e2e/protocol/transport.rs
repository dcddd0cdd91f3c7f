//! What HTTP itself demands, whatever is said over it: methods, media types, sizes, patience, hosts and pages.

use patchbay_e2e::{
    Ask, TestGateway,
    setup::{scripted, tenant},
};
use serde_json::json;

use super::{expect, gateway};

#[tokio::test]
async fn http_itself_has_rules_too() {
    let gateway = gateway().await;
    let client = gateway.modern("acme");
    let good = client.ask("tools/list", json!({}));
    let path = "/t/acme/mcp";
    let key = gateway.key("acme");
    for method in ["PUT", "PATCH", "HEAD"] {
        let reply =
            Ask::new(method, path).bearer(key).header("Accept", "text/event-stream").send(gateway.address).await;
        assert_eq!(reply.status, 405, "{method}");
        let allowed = reply.header("allow").unwrap();
        assert!(allowed.contains("POST") && allowed.contains("DELETE"), "{method}: {allowed}");
    }
    let get = Ask::get(path).bearer(key).header("Accept", "text/event-stream");
    let modern = get.clone().header("MCP-Protocol-Version", "2026-07-28");
    assert_eq!(modern.send(gateway.address).await.status, 405, "the modern era has no such stream");
    expect("GET without a session", &get, &gateway, 400, -32600).await;
    expect("GET by a browser", &get.clone().with("Accept", "text/html"), &gateway, 406, -32600).await;
    expect("GET without Accept", &get.without("Accept"), &gateway, 406, -32600).await;
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
async fn too_much_is_too_much() {
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("plain", scripted(&["--no-odd"]))]))
        .set("limits", json!({ "body_bytes_max": 65_536, "header_bytes_max": 8192, "header_read_timeout_s": 1, "body_read_timeout_s": 3 }))
        .start()
        .await;
    let client = gateway.modern("acme");
    let of = |bytes: usize| client.ask_tool("plain_echo", json!({ "text": "x".repeat(bytes) }));
    expect("what fits", &of(60_000), &gateway, 200, 0).await;
    expect("what does not", &of(70_000), &gateway, 413, 41301).await;

    // Only the head says how much there will be; the refusal does not wait for it.
    let mut ask = of(10).header("Content-Length", "5000000");
    ask.body = ask.body.slice(..0);
    let raw = raw_of(&gateway, &head(&ask, "")).await;
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
async fn requests_on_one_connection_are_answered_in_their_order() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = gateway().await;
    let client = gateway.modern("acme");
    let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let ask = |id: &str, tool: &str, arguments: serde_json::Value| {
        let ask = client.ask_as(id, "tools/call", json!({ "name": tool, "arguments": arguments }));
        let body = String::from_utf8(ask.body.to_vec()).unwrap();
        head(&ask.header("Content-Length", body.len().to_string()), &body)
    };
    // All at once, the slow one first.
    let all = ask("1", "plain_slow", json!({ "ms": 300 }))
        + &ask("2", "plain_echo", json!({}))
        + &ask("3", "no_such", json!({}));
    stream.write_all(all.as_bytes()).await.unwrap();
    let mut answers = String::new();
    while answers.matches("\"jsonrpc\"").count() < 3 {
        let mut bytes = [0; 8192];
        let read = patchbay_e2e::within("the next answer", stream.read(&mut bytes)).await.unwrap();
        assert!(read > 0, "the connection ended after {answers}");
        answers.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    let at = |part: &str| answers.find(part).unwrap_or_else(|| panic!("no {part} in {answers}"));
    assert!(at("slept 300 ms") < at("structuredContent") && at("structuredContent") < at("unknown tool"), "{answers}");

    // A client that asks before it sends its body is told to go on.
    let large = client.ask_tool("plain_echo", json!({ "text": "x".repeat(100_000) }));
    let bytes = large.body.clone();
    let polite = head(&large.header("Content-Length", bytes.len().to_string()).header("Expect", "100-continue"), "");
    stream.write_all(polite.as_bytes()).await.unwrap();
    let mut said = [0; 1024];
    let read = patchbay_e2e::within("the leave to go on", stream.read(&mut said)).await.unwrap();
    assert!(said[..read].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&said[..read]));
    stream.write_all(&bytes).await.unwrap();
    let read = patchbay_e2e::within("the answer", stream.read(&mut said)).await.unwrap();
    assert!(said[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said[..read]));

    for smuggled in
        ["Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: identity, chunked, x", "Content-Length: -1"]
    {
        let text = format!("POST /t/acme/mcp HTTP/1.1\r\nHost: localhost\r\n{smuggled}\r\n\r\nhello");
        let raw = raw_of(&gateway, &text).await;
        assert!(raw.is_empty() || raw.starts_with("HTTP/1.1 400"), "{smuggled}: {raw:?}");
    }
}
