//! What the stateless revision demands of each request: its version, its `_meta`, the headers that repeat the body, and which
//! methods there are. Called by nobody; the tests of the other eras are beside it.

use patchbay_e2e::{
    Fixture, TestGateway, Wire,
    client::{LEGACY, META_CAPABILITIES, META_VERSION, MODERN},
    setup::tenant,
};
use serde_json::{Value, json};

use super::{expect, gateway, sent};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_repeat_arguments_are_held_against_them_and_made_anew_for_the_server() {
    let far = Fixture::conformance(&["--era", "modern"]);
    let wire = Wire::to(far.address).await;
    let gateway = TestGateway::setup().tenant(tenant("acme", [("far", far.server_through(&wire))])).start().await;
    let client = gateway.modern("acme");
    let of = |region: Value| client.ask_tool("far_test_x_mcp_header", json!({ "region": region }));
    let header = "Mcp-Param-Region";
    for (what, ask) in [
        ("no header", of(json!("eu"))),
        ("another value", of(json!("eu")).header(header, "us")),
        ("another case", of(json!("eu")).header(header, "EU")),
        ("two of them", of(json!("eu")).header(header, "eu").header(header, "eu")),
        ("a header for nothing", of(Value::Null).header(header, "eu")),
        ("plain text that has to be encoded", of(json!("=?base64?ZXU=?=")).header(header, "=?base64?ZXU=?=")),
        ("base64 of something else", of(json!("eu")).header(header, "=?base64?dXM=?=")),
        ("no base64", of(json!("eu")).header(header, "=?base64?*?=")),
    ] {
        expect(what, &ask, &gateway, 400, -32020).await;
    }
    assert!(!wire.tapped().contains("test_x_mcp_header\""), "a refused call was forwarded");
    for (region, sent) in [("eu", "eu"), ("eu", "=?base64?ZXU=?="), ("größe", "=?base64?Z3LDtsOfZQ==?=")] {
        let answer = expect(region, &of(json!(region)).header("mcp-param-region", sent), &gateway, 200, 0).await;
        assert_eq!(answer["result"]["content"][0]["text"], json!({ "region": region }).to_string());
    }
    // What a client of the other era cannot send, and what another header would say of the same name, is not copied through.
    let stray = of(json!("eu")).header(header, "eu").header("Mcp-Param-Stray", "x");
    expect("a header that stands for nothing", &stray, &gateway, 200, 0).await;
    gateway.legacy("acme").await.call("far_test_x_mcp_header", json!({ "region": "from the past" })).await.result();
    let said = wire.tapped().to_ascii_lowercase();
    for value in [
        "mcp-param-region: eu\r\n",
        "mcp-param-region: =?base64?z3ldtsofzq==?=\r\n",
        "mcp-param-region: from the past\r\n",
    ] {
        assert!(said.contains(value), "{value:?} did not reach the server");
    }
    assert!(!said.contains("stray"), "a header of the client was copied through");
    assert!(said.contains("mcp-name: test_x_mcp_header\r\n"), "the server is called by its own name for the tool");
}
