//! Bytes, not trees: what the gateway need not change arrives as it was written — unknown members at every level, the order of
//! keys, numbers that no float can hold, escapes, white space — in both directions and between all eras.

use patchbay_e2e::{
    Client, Fixture, TestGateway, Wire,
    setup::{scripted, tenant},
};
use serde_json::{Value, json};

/// Arguments in a spelling that a decoder and an encoder would not give back.
const ARGUMENTS: &str = r#"{"z":1,"a":{"y":[1.50,-0.0,1e3,1E+2,12345678901234567890123456789,0.1000000000000000055511151231257827],"b":{"deep":[[[{"x":null}]]]}},"esc":"\u00e9\ud83d\ude00\/\"\\ \u0000 é😀","key\u0041":true,"":"empty key","name":"not the tool's","_meta":{"not":"meta"},"dup\u006cicate":1, "spaced" : [ 1 , 2 ] }"#;

/// The rest of a result, as `ARGUMENTS`.
const RESULT: &str = r#""x-first":[1.50,1e3,-0.0],"content":[{"type":"text","x-block":{"n":12345678901234567890123},"text":"\u00e9\/ é"},{"type":"x-unknown","data":[1.0]}],"structuredContent":{"b":1.10,"a":{"\u0062":2e0}},"x-last":{"deep":[{"deeper":[null,9.9e307]}]}"#;

/// The result's own `_meta`, without its braces.
const RESULT_META: &str = r#""example.org/x":{"kept":[1.0,"\u0041"]},"y":0.10"#;

struct Pairs {
    gateway: TestGateway,
    wires: [Wire; 2],
    _fixtures: [Fixture; 2],
}

/// Servers of both eras over both transports; what goes to those over HTTP is tapped.
async fn pairs() -> Pairs {
    let fixtures = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let wires = [Wire::to(fixtures[0].address).await, Wire::to(fixtures[1].address).await];
    let servers = [
        ("old", fixtures[0].server_through(&wires[0])),
        ("new", fixtures[1].server_through(&wires[1])),
        ("child", scripted(&["--no-odd"])),
        ("kid", scripted(&["--no-odd", "--era", "modern"])),
    ];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).start().await;
    Pairs { gateway, wires, _fixtures: fixtures }
}

/// A call whose params are written by hand.
fn call(client: &Client, tool: &str, arguments: &str, meta: &str) -> patchbay_e2e::Ask {
    let comma = if client.is_modern() && !meta.is_empty() { "," } else { "" };
    let params = format!(
        r#"{{"x-before":[1.50],"name":"{tool}","x-between":"\u0041","arguments":{arguments},"_meta":{{{}{comma}{meta}}},"x-after":{{"n":1e0}}}}"#,
        client.meta()
    );
    client.ask_raw(r#""an \u0069d""#, "tools/call", Some(tool), &params)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_reaches_the_server_as_it_was_written() {
    let pairs = pairs().await;
    let meta =
        r#""example.org/trace":{"n":1.50},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01""#;
    for client in pairs.gateway.both("acme").await {
        for server in ["old", "new", "child", "kid"] {
            let what = format!("{} to {server}", client.version);
            let answer = client.gather(&call(&client, &format!("{server}_echo"), ARGUMENTS, meta)).await;
            // The server returns its arguments as it got them.
            let structured = format!(r#""structuredContent":{ARGUMENTS}"#);
            assert!(answer.raw.contains(&structured), "{what}: {}", answer.raw);
            assert_eq!(answer.text(), ARGUMENTS, "{what}");
            assert!(answer.raw.contains(r#""id":"an \u0069d""#), "{what}: the id is another: {}", answer.raw);
        }
        for (server, wire) in ["old", "new"].into_iter().zip(&pairs.wires) {
            let said = wire.tapped();
            let body = said.rsplit("\r\n\r\n").find(|body| body.contains(ARGUMENTS)).unwrap();
            let what = format!("{} to {server}: {body}", client.version);
            let kept = format!(
                r#""x-before":[1.50],"name":"echo","x-between":"\u0041","arguments":{ARGUMENTS},"x-after":{{"n":1e0}}"#
            );
            assert!(body.contains(&kept), "{what}");
            assert!(body.contains(r#""example.org/trace":{"n":1.50}"#), "{what}");
            assert_eq!(
                body.matches("io.modelcontextprotocol/protocolVersion").count(),
                usize::from(server == "new"),
                "{what}"
            );
            assert!(!body.contains("an \\u0069d"), "the client's id is no business of the server: {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_reaches_the_client_as_it_was_written() {
    let pairs = pairs().await;
    for client in pairs.gateway.both("acme").await {
        for server in ["old", "new", "child", "kid"] {
            let modern_server = matches!(server, "new" | "kid");
            let own_info = r#""io.modelcontextprotocol/serverInfo":{"name":"liar","version":"0"}"#;
            let shapes = [
                format!(r#"{{{RESULT},"_meta":{{{RESULT_META}}}}}"#),
                format!(r#"{{ "_meta" : {{{RESULT_META}}} , {RESULT} }}"#),
                format!(r#"{{"_meta":{{{own_info},{RESULT_META}}},{RESULT}}}"#),
                format!("{{{RESULT}}}"),
            ];
            for shape in shapes {
                let mut variants = vec![shape.clone()];
                if modern_server {
                    variants = vec![
                        shape.replacen('{', r#"{"resultType":"complete","#, 1),
                        format!(r#"{},"resultType":"complete"}}"#, &shape[..shape.len() - 1]),
                        shape.replace(r#","x-last""#, r#", "resultType" : "complete" ,"x-last""#),
                    ];
                }
                for result in variants {
                    let arguments = format!(r#"{{"result":{result}}}"#);
                    let answer = client.gather(&call(&client, &format!("{server}_raw_result"), &arguments, "")).await;
                    let what = format!("{server} to {}: {result}\n{}", client.version, answer.raw);
                    same_but_for_the_era(&client, &shape, &answer.raw, &what);
                    assert_eq!(answer.response["id"], "an id", "{what}");
                    if client.is_modern() {
                        // Whoever a server says it is: this client talks to the gateway.
                        let info = &answer.result()["_meta"]["io.modelcontextprotocol/serverInfo"]["name"];
                        assert_eq!(info, "patchbay", "{what}");
                        assert_eq!(answer.result()["resultType"], "complete", "{what}");
                    } else {
                        assert!(answer.result().get("resultType").is_none(), "{what}");
                    }
                }
            }
        }
    }
}

/// Whether all that the server wrote is there as it was written, in its order; what the eras add or take may stand between.
fn same_but_for_the_era(client: &Client, shape: &str, raw: &str, what: &str) {
    let (early, late) = RESULT.split_at(RESULT.find(r#","x-last""#).unwrap());
    let (first, second) = (raw.find(early), raw.find(&late[1..]));
    assert!(first.is_some() && second.is_some() && first < second, "{what}");
    if shape.contains("_meta") {
        let kept = raw.contains(r#""example.org/x":{"kept":[1.0,"\u0041"]}"#) && raw.contains(r#""y":0.10"#);
        assert!(kept, "{what}");
    }
    assert!(client.is_modern() || !raw.contains("ttlMs"), "{what}");
}

#[tokio::test]
async fn long_results_keep_every_byte_too() {
    let pairs = pairs().await;
    let long: Vec<String> =
        (0..4000).map(|n| format!(r#"{{"type":"text","text":"\u00e9 {n}","x":[{n}.50,1e{}]}}"#, n % 300)).collect();
    let content = format!(r#""content":[{}],"x-tail":[1.0]"#, long.join(","));
    for client in pairs.gateway.both("acme").await {
        for server in ["old", "new", "child", "kid"] {
            let arguments = format!(r#"{{"result":{{{content}}}}}"#);
            let answer = client.gather(&call(&client, &format!("{server}_raw_result"), &arguments, "")).await;
            assert!(answer.raw.contains(&content), "{server} to {}: {} bytes", client.version, answer.raw.len());
        }
    }
}

#[tokio::test]
async fn the_errors_of_servers_keep_their_words() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    let before = gateway.modern("acme").tools().await;
    assert!(before.contains(&"one_echo".to_owned()));
    for client in gateway.both("acme").await {
        // The server itself does not know this prompt's method: what it says is what the client hears, id apart.
        let refused = client.request("prompts/get", json!({ "name": "one_x" })).await;
        assert_eq!(refused.code(), -32602);
        let result = json!({ "content": [], "isError": true, "x-why": { "n": 1.5 } });
        let failed = client.call("one_raw_result", json!({ "result": result })).await;
        assert!(failed.is_error());
        assert_eq!(failed.result()["x-why"], json!({ "n": 1.5 }));
    }
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused_wherever_it_decides_something() {
    let gateway = TestGateway::setup().tenant(tenant("acme", [("one", scripted(&["--no-odd"]))])).start().await;
    for client in gateway.both("acme").await {
        let meta = client.meta();
        for params in [
            format!(r#"{{"name":"one_echo","name":"one_env","arguments":{{}},"_meta":{{{meta}}}}}"#),
            format!(r#"{{"name":"one_echo","n\u0061me":"one_env","arguments":{{}},"_meta":{{{meta}}}}}"#),
            format!(r#"{{"name":"one_echo","Name":"one_env","arguments":{{}},"_meta":{{{meta}}}}}"#),
            format!(r#"{{"name":"one_echo","arguments":{{}},"arguments":{{"x":1}},"_meta":{{{meta}}}}}"#),
            format!(r#"{{"name":"one_echo","arguments":{{}},"_meta":{{{meta}}},"_meta":{{{meta}}}}}"#),
            format!(
                r#"{{"name":"one_echo","_meta":{{"progressToken":1,"progressToken":2{}{meta}}}}}"#,
                if meta.is_empty() { "" } else { "," }
            ),
        ] {
            let ask = client.ask_raw("1", "tools/call", Some("one_echo"), &params);
            let reply = ask.send(gateway.address).await;
            assert_eq!(reply.status, 400, "{params}");
            let body = reply.json().await;
            assert_eq!(body["error"]["code"], -32600, "{params}: {body}");
        }
        // In what nobody but the server reads, a double member is the server's business.
        let params = format!(r#"{{"name":"one_echo","arguments":{{"a":1,"a":2}},"_meta":{{{meta}}}}}"#);
        let answer = client.gather(&client.ask_raw("1", "tools/call", Some("one_echo"), &params)).await;
        assert!(answer.raw.contains(r#""structuredContent":{"a":1,"a":2}"#), "{}", answer.raw);
        let seen: Value = serde_json::from_str(client.call("one_seen", json!({})).await.text()).unwrap();
        assert!(seen["calls"].get("env").is_none(), "{seen}");
    }
}
