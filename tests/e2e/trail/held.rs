//! What a record holds: levels, arguments by the tenant's policy, and never a secret.

use patchbay_e2e::{
    TestGateway,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

#[tokio::test]
async fn arguments_are_held_as_the_tenant_says_and_secrets_never() {
    let server = || ("one", scripted(&["--no-odd"]));
    let policies = [
        ("none", json!({})),
        ("keys", json!({ "arguments": "keys" })),
        ("digest", json!({ "arguments": "digest" })),
        (
            "redacted",
            json!({ "arguments": "redacted", "keep": [{ "tools": "one/*", "arguments": ["city", "token"] }] }),
        ),
    ];
    let mut setup = TestGateway::setup();
    for (name, audit) in &policies {
        let mut one = tenant(name, [server()]);
        one["audit"] = audit.clone();
        setup = setup.tenant(one);
    }
    let gateway = setup.start().await;
    let arguments =
        json!({ "city": "Berlin", "note": "value-canary", "token": "sk-canary-0123456789abcdef0123456789" });
    for (name, _) in &policies {
        gateway.modern(name).call("one_echo", arguments.clone()).await;
    }
    let call = async |tenant: &str| -> Option<Value> {
        let out = gateway.patchbay(&["audit", "query", "--tenant", tenant, "--action", "tool.call", "--json"]).good();
        out.lines().next().map(|line| serde_json::from_str(line).unwrap())
    };
    for (name, _) in &policies {
        wait_until(format!("the call of {name} is there"), || async { call(name).await.is_some() }).await;
    }
    let held = async |tenant: &str| call(tenant).await.unwrap()["arguments"].clone();
    assert_eq!(held("none").await, Value::Null);
    let keys = held("keys").await.to_string();
    assert!(keys.contains("city") && keys.contains("note") && !keys.contains("Berlin"), "{keys}");
    let digest = held("digest").await.to_string();
    assert!(digest.len() >= 32 && !digest.contains("Berlin"), "{digest}");
    let redacted = held("redacted").await.to_string();
    assert!(redacted.contains("Berlin") && redacted.contains("note"), "{redacted}");
    let all = Value::from(gateway.audit().await).to_string() + &gateway.written();
    assert!(!all.contains("canary"), "an argument that was not to be kept is in the trail or the log");
}

#[tokio::test]
async fn every_level_leaves_the_record_of_an_answered_call() {
    let mut setup = TestGateway::setup();
    for level in ["sync", "ack", "async"] {
        let mut one = tenant(level, [("one", scripted(&["--no-odd"]))]);
        one["audit"] = json!({ "level": level });
        setup = setup.tenant(one);
    }
    let gateway = setup.start().await;
    for level in ["sync", "ack", "async"] {
        for client in gateway.both(level).await {
            assert!(!client.call("one_echo", json!({})).await.is_error());
            let stream = client.call("one_progress", json!({ "n": 3 })).await;
            assert!(!stream.is_error(), "{}", stream.raw);
        }
        wait_until(format!("the calls of {level} are there"), || async {
            let out = gateway.patchbay(&[
                "audit",
                "query",
                "--tenant",
                level,
                "--action",
                "tool.call",
                "--outcome",
                "answered",
                "--json",
            ]);
            out.good().lines().count() == 4
        })
        .await;
    }
    let metrics = gateway.metrics().await;
    let syncs = metrics.lines().find(|line| line.starts_with("patchbay_audit_sync_seconds_count"));
    assert!(syncs.is_some_and(|line| !line.ends_with(" 0")), "nothing was ever brought to the disk");
}
