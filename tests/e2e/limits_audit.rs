//! How much anybody may ask, and that all of it is written down: also what was refused, also when the gateway is killed.

use std::{collections::BTreeSet, time::Duration};

use patchbay_e2e::{
    Ask, Client, Fixture, TestGateway,
    client::gather,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

#[tokio::test]
async fn who_asks_too_much_is_told_when_to_come_again_and_others_are_not() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["limits"] = json!({ "principal_per_second": 1, "principal_burst": 5 });
    let gateway = TestGateway::setup().tenant(acme).at_once().start().await;
    let others = gateway.new_key("acme", "other", &[]);
    wait_until("the new key opens the door", || async {
        let probe =
            Client::modern(gateway.address, "/t/acme/mcp", Some(&others.text)).ask("server/discover", json!({}));
        probe.send(gateway.address).await.status == 200
    })
    .await;
    let client = gateway.modern("acme");
    let mut told = None;
    for number in 0..20 {
        let reply = client.ask_as("77", "tools/list", json!({})).send(gateway.address).await;
        if reply.status == 429 {
            told = Some((number, reply));
            break;
        }
        assert_eq!(reply.status, 200);
    }
    let (number, reply) = told.expect("nobody is ever told");
    assert!((5..=12).contains(&number), "after {number} requests");
    let retry_s: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&retry_s));
    let body = reply.json().await;
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!(77), &json!(42901)), "{body}");
    assert_eq!(body["error"]["data"]["limit"], "principal", "{body}");
    let retry_ms = body["error"]["data"]["retryAfterMs"].as_u64().unwrap();
    assert!(retry_ms <= retry_s * 1000 && retry_ms > 0, "{body}");

    let other = Client::modern(gateway.address, "/t/acme/mcp", Some(&others.text));
    assert_eq!(other.request("tools/list", json!({})).await.status, 200, "another principal has its own");
    wait_until("there is room again", || async {
        client.ask("tools/list", json!({})).send(gateway.address).await.status == 200
    })
    .await;
    wait_until("the refusal is on record", || async {
        let audit = gateway.audit().await;
        audit
            .iter()
            .any(|record| record["outcome"] == "refused" && record["status"] == 429 && record["action"] == "list")
    })
    .await;
    assert!(gateway.metrics().await.lines().any(|line| line.contains("denied") || line.contains("limit")));
}

#[tokio::test]
async fn calls_at_once_are_bounded_and_places_are_given_back() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["limits"] = json!({ "principal_concurrency": 3 });
    let gateway = TestGateway::setup().tenant(acme).start().await;
    let client = gateway.modern("acme");
    let hang = client.ask_tool("one_hang", json!({}));
    let address = gateway.address;
    let hanging: Vec<_> = (0..3)
        .map(|_| {
            let ask = hang.clone();
            tokio::spawn(async move { ask.try_send(address).await.map(drop) })
        })
        .collect();
    // Who looks on has places of their own.
    let observer = gateway.new_key("acme", "observer", &[]);
    let observer = Client::modern(address, &client.path, Some(&observer.text));
    let seen = observer.ask_tool("one_seen", json!({}));
    wait_until("all of them run", || async {
        let reply = seen.send(address).await;
        reply.status == 200 && gather(reply).await.text().contains(r#""hang":3"#)
    })
    .await;
    let echo = client.ask_tool("one_echo", json!({}));
    let reply = echo.send(address).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")));
    assert_eq!(reply.json().await["error"]["data"]["limit"], "principal_concurrency");
    assert_eq!(client.request("tools/list", json!({})).await.status, 200, "a list takes no place");
    hanging[0].abort();
    wait_until("a place is given back", || async { echo.send(address).await.status == 200 }).await;
    hanging[1].abort();
    hanging[2].abort();
}

#[tokio::test]
async fn every_call_every_refusal_and_every_session_leaves_its_record() {
    let far = Fixture::scripted(&["--no-odd"]);
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"])), ("far", far.server())]);
    acme["servers"]["far"]["call_timeout_s"] = json!(1);
    acme["toolsets"] = json!({ "narrow": { "servers": ["one"] } });
    let gateway = TestGateway::setup().tenant(acme).start().await;
    let key_id = {
        let keys: Value =
            serde_json::from_str(&gateway.patchbay(&["key", "list", "--tenant", "acme", "--json"]).good()).unwrap();
        keys[0]["id"].as_str().unwrap().to_owned()
    };
    let legacy = gateway.legacy("acme").await;
    let modern = gateway.modern("acme");
    let at = gateway.address;
    legacy.call("one_echo", json!({ "secret": "argument-canary" })).await;
    modern.call("far_hang", json!({})).await;
    modern.call("one_raw_result", json!({ "result": { "content": [], "isError": true } })).await;
    modern.call("no_such_tool", json!({})).await;
    modern.ask("no/such", json!({})).send(at).await;
    modern.ask_tool("one_echo", json!({})).bearer("pb_wrong").send(at).await;
    modern.ask_tool("one_echo", json!({})).without("Mcp-Name").send(at).await;
    modern.ask_tool("one_echo", json!({})).header("Origin", "https://evil.example").send(at).await;
    modern.post_in_era("no JSON").header("User-Agent", "curious \"agent\" \\n").send(at).await;
    let end = Ask::new("DELETE", "/t/acme/mcp")
        .bearer(gateway.key("acme"))
        .header("Mcp-Session-Id", legacy.session.clone().unwrap());
    end.send(at).await;

    // What is to be found: the action, the outcome, the status or code, and what it was done to.
    let expected: [(&str, Found<'_>); 10] = [
        ("a call", &|r| {
            r["action"] == "tool.call"
                && r["outcome"] == "answered"
                && r["native"] == "echo"
                && r["exposed"] == "one_echo"
        }),
        ("a failed call", &|r| {
            r["native"] == "hang" && r["outcome"] == "failed" && r["reason"] == "timeout" && r["server"] == "far"
        }),
        ("a tool's own failure", &|r| {
            r["native"] == "raw_result" && r["outcome"] == "answered" && r["is_error"] == true
        }),
        ("an unknown tool", &|r| r["action"] == "tool.call" && r["outcome"] == "refused" && r["code"] == -32602),
        ("an unknown method", &|r| r["outcome"] == "refused" && r["status"] == 404 && r["code"] == -32601),
        ("a wrong key", &|r| r["action"] == "auth.fail" && r["status"] == 401 && r["actor"]["kind"] == "unknown"),
        ("headers that lie", &|r| r["outcome"] == "refused" && r["code"] == -32020),
        ("a foreign page", &|r| r["outcome"] == "refused" && r["status"] == 403),
        ("no JSON", &|r| {
            r["code"] == -32700 && r["actor"]["agent"].as_str().is_some_and(|agent| agent.contains("curious"))
        }),
        ("the end of a session", &|r| r["action"] == "session.end" && r["outcome"] == "answered"),
    ];
    for (what, found) in expected {
        wait_until(format!("{what} is on record"), || async { gateway.audit().await.iter().any(found) }).await;
    }
    let audit = gateway.audit().await;
    assert!(audit.iter().any(|record| record["action"] == "session.open"));
    let call = audit.iter().find(|record| record["native"] == "echo" && record["outcome"] == "answered").unwrap();
    assert_eq!((&call["actor"]["kind"], &call["actor"]["key"]), (&json!("key"), &json!(key_id)), "{call}");
    assert_eq!((&call["actor"]["ip"], &call["toolset"]), (&json!("127.0.0.1"), &json!("default")), "{call}");
    assert!(
        call["bytes_in"].as_u64() > Some(50) && call["bytes_out"].as_u64() > Some(50) && call["duration_us"].is_u64(),
        "{call}"
    );
    // What the operator did before the start, and does now, is on record too.
    gateway.patchbay(&["key", "revoke", "--tenant", "acme", &key_id]).good();
    wait_until("the revocation is on record", || async {
        let audit = gateway.audit().await;
        let done = audit.iter().filter(|r| r["action"] == "config.update" && r["actor"]["kind"] == "operator");
        done.filter(|record| record["tenant"] == call["tenant"]).count() == 3
    })
    .await;
    let text = Value::from(audit.clone()).to_string();
    assert!(!text.contains("argument-canary"), "arguments have no place in the trail");
    let ids: BTreeSet<_> = audit.iter().filter_map(|record| record["event"].as_str()).collect();
    assert!(ids.len() >= 12, "{ids:?}");
    // Who is turned away at the door is not known to belong anywhere.
    let stranger = audit.iter().find(|record| record["action"] == "auth.fail").unwrap();
    assert!(stranger.get("tenant").is_none(), "{stranger}");
}

/// Whether a record is the one that is looked for.
type Found<'a> = &'a dyn Fn(&Value) -> bool;

#[tokio::test]
async fn a_flood_from_a_server_drowns_nobody() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["servers"]["one"]["call_timeout_s"] = json!(40);
    let globex = tenant("globex", [("one", scripted(&["--no-odd"]))]);
    let gateway = TestGateway::setup().tenant(acme).tenant(globex).start().await;
    let client = gateway.legacy("acme").await;
    let params = json!({ "name": "one_progress", "arguments": { "n": 50_000 }, "_meta": { "progressToken": 1 } });
    let ask = client.ask("tools/call", params);
    let address = gateway.address;
    let flooded = tokio::spawn(async move { gather(ask.send(address).await).await });
    let other = gateway.modern("globex");
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = std::time::Instant::now();
        assert!(!other.call("one_echo", json!({})).await.is_error());
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "a neighbour waited {slowest:?}");
    let answer = flooded.await.unwrap();
    assert_eq!(answer.text(), "50000 steps");
    let steps: Vec<_> = answer.before.iter().filter_map(|message| message["params"]["progress"].as_u64()).collect();
    assert!(steps.is_sorted_by(|one, next| one < next), "progress goes back");
}
