//! A second process changes something, and running gateways see it: tenants, servers, keys, sessions. On both stores, and with
//! two gateways on one.

use std::time::{Duration, Instant};

use patchbay_e2e::{
    Ask, Client, TestGateway,
    database::Postgres,
    setup::{Setup, scripted, tenant},
    wait::hold,
    wait_until,
};
use serde_json::json;

/// Within what time a change is in force. What is promised is a second; a shared machine gets a little more.
const PROMPT: Duration = Duration::from_secs(10);

/// Waits for a change that has just been made, and holds the time.
async fn promptly<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    let began = Instant::now();
    wait_until(what, condition).await;
    assert!(began.elapsed() < PROMPT, "{what} took {:?}", began.elapsed());
}

async fn status(gateway: &TestGateway, path: &str, key: &str) -> u16 {
    Client::modern(gateway.address, path, Some(key)).ask("tools/list", json!({})).send(gateway.address).await.status
}

#[tokio::test]
async fn changes_of_a_second_process_are_in_force_at_once_on_sqlite() {
    changes_of_a_second_process_are_in_force_at_once(TestGateway::setup()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_second_process_are_in_force_at_once_on_postgres() {
    let Some(database) = Postgres::fresh().await else { return };
    changes_of_a_second_process_are_in_force_at_once(TestGateway::setup().postgres(&database)).await;
    database.clear().await;
}

async fn changes_of_a_second_process_are_in_force_at_once(setup: Setup) {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    let gateway = setup.tenant(acme.clone()).start().await;
    let client = gateway.modern("acme");
    let session = gateway.legacy("acme").await;

    // A key, made and revoked.
    let key = gateway.new_key("acme", "second", &[]);
    promptly("a new key opens the door", || async { status(&gateway, "/t/acme/mcp", &key.text).await == 200 }).await;
    let own = Client::legacy(gateway.address, "/t/acme/mcp", Some(&key.text)).await;
    gateway.patchbay(&["key", "revoke", "--tenant", "acme", &key.id]).good();
    promptly("a revoked key is refused", || async { status(&gateway, "/t/acme/mcp", &key.text).await == 401 }).await;
    assert_eq!(own.ask("ping", json!({})).send(gateway.address).await.status, 401, "its session goes with it");
    assert_eq!(status(&gateway, "/t/acme/mcp", gateway.key("acme")).await, 200, "the other key stays");

    // A rename, a new server, a toolset.
    acme["servers"]["one"]["prefix"] = json!("uno");
    acme["servers"]["two"] = scripted(&["--no-odd", "--era", "modern"]);
    acme["toolsets"] = json!({ "narrow": { "servers": ["two"], "prefix": "never" } });
    gateway.apply(&acme);
    promptly("the new names are listed", || async { client.tools().await.contains(&"uno_echo".to_owned()) }).await;
    wait_until("the new server is listed", || async { client.tools().await.contains(&"two_echo".to_owned()) }).await;
    assert_eq!(client.call("one_echo", json!({})).await.code(), -32602);
    assert!(!session.call("uno_echo", json!({})).await.is_error(), "open sessions see the change too");
    assert_eq!(status(&gateway, "/t/acme/narrow/mcp", gateway.key("acme")).await, 200);

    // A server that goes while a call of it runs: the call ends as it would have.
    let slow = client.ask_tool("two_slow", json!({ "ms": 3000 }));
    let address = gateway.address;
    let running = tokio::spawn(async move { patchbay_e2e::client::gather(slow.send(address).await).await });
    wait_until("the call runs", || async {
        let seen = client.call("two_seen", json!({})).await;
        seen.text().contains(r#""slow":1"#)
    })
    .await;
    acme["servers"].as_object_mut().unwrap().remove("two");
    acme["toolsets"] = json!({});
    gateway.apply(&acme);
    promptly("the server is gone", || async { !client.tools().await.iter().any(|name| name.starts_with("two_")) })
        .await;
    assert_eq!(client.call("two_echo", json!({})).await.code(), -32602);
    assert_eq!(status(&gateway, "/t/acme/narrow/mcp", gateway.key("acme")).await, 404);
    assert_eq!(running.await.unwrap().text(), "slept 3000 ms");
    wait_until("its child is gone", || async { gateway.children().len() == 1 }).await;

    // A tenant that comes and goes.
    gateway.apply(&tenant("globex", [("one", scripted(&["--no-odd"]))]));
    let key = gateway.new_key("globex", "first", &[]);
    promptly("a new tenant is served", || async { status(&gateway, "/t/globex/mcp", &key.text).await == 200 }).await;
    gateway.patchbay(&["tenant", "delete", "globex", "--yes"]).good();
    promptly("it is gone, and its keys with it", || async {
        status(&gateway, "/t/globex/mcp", &key.text).await == 401
    })
    .await;
    assert_eq!(status(&gateway, "/t/globex/mcp", gateway.key("acme")).await, 404);
    wait_until("its child is gone", || async { gateway.children().len() == 1 }).await;
}

#[tokio::test]
async fn what_is_refused_or_only_rehearsed_changes_nothing() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    acme["toolsets"] = json!({ "default": { "tools_max": 20, "overflow": "refuse" } });
    let gateway = TestGateway::setup().tenant(acme.clone()).start().await;
    let client = gateway.modern("acme");
    let before = client.tools().await;
    assert_eq!(before.len(), 16);

    let mut wrong = acme.clone();
    wrong["servers"]["one"]["prefx"] = json!("uno");
    let refused = gateway.home().apply(&wrong);
    assert_ne!(refused.code, 0);
    assert!(
        refused.err.contains("prefx") && refused.err.contains("prefix"),
        "it does not say what is wrong: {}",
        refused.err
    );
    let mut other = acme.clone();
    other["servers"]["one"]["prefix"] = json!("uno");
    let file = gateway.home().path("other.yaml");
    std::fs::write(&file, other.to_string()).unwrap();
    let shown = gateway.patchbay(&["apply", "--dry-run", "-f", file.to_str().unwrap()]).good();
    assert!(shown.contains("uno"), "{shown}");
    assert!(
        !hold(Duration::from_millis(800), || async { client.tools().await != before }).await,
        "a rehearsal was taken for the play"
    );

    // What a server does cannot take the tenant down: over the maximum, the last good list stays.
    for _ in 0..5 {
        client.call("one_grow", json!({})).await;
    }
    wait_until("the log says why nothing changes", || async { gateway.log().contains("last good one stays in force") })
        .await;
    let after = client.tools().await;
    assert!(
        (16..=20).contains(&after.len()) && after.iter().filter(|name| !name.contains("grown")).eq(before.iter()),
        "{after:?}"
    );
    assert!(!client.call("one_echo", json!({})).await.is_error());
    let metrics = gateway.metrics().await;
    assert!(metrics.lines().any(|line| line.contains("snapshot") && line.contains("acme")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_on_one_store_are_one_to_their_clients() {
    let Some(database) = Postgres::fresh().await else { return };
    let acme = tenant("acme", [("one", scripted(&["--no-odd", "--tools", "20"]))]);
    let first = TestGateway::setup().postgres(&database).limit("page_size", 10).tenant(acme.clone()).start().await;
    let second = TestGateway::setup().postgres(&database).limit("page_size", 10).start().await;
    let there = |client: &Client| client.at(second.address);

    // A session, a cursor and a key of one are good at the other.
    let session = first.legacy("acme").await;
    assert_eq!(there(&session).tools().await, session.tools().await);
    assert!(!there(&session).call("one_echo", json!({})).await.is_error());
    let modern = first.modern("acme");
    let page = modern.request("tools/list", json!({})).await;
    let next = there(&modern).request("tools/list", json!({ "cursor": page.result()["nextCursor"] })).await;
    assert_eq!(next.result()["tools"].as_array().unwrap().len(), 10);

    // What ends at one has ended at both.
    let end = Ask::new("DELETE", "/t/acme/mcp")
        .bearer(first.key("acme"))
        .header("Mcp-Session-Id", session.session.clone().unwrap());
    assert_eq!(end.send(second.address).await.status, 200);
    assert_eq!(session.ask("ping", json!({})).send(second.address).await.status, 404);
    promptly("the other refuses the session too", || async {
        session.ask("ping", json!({})).send(first.address).await.status == 404
    })
    .await;
    let key = second.new_key("acme", "second", &[]);
    for gateway in [&first, &second] {
        promptly("a new key opens every door", || async { status(gateway, "/t/acme/mcp", &key.text).await == 200 })
            .await;
    }
    first.patchbay(&["key", "revoke", "--tenant", "acme", &key.id]).good();
    for gateway in [&first, &second] {
        promptly("a revoked key opens none", || async { status(gateway, "/t/acme/mcp", &key.text).await == 401 }).await;
    }
    let mut other = acme;
    other["servers"]["one"]["prefix"] = json!("uno");
    second.apply(&other);
    for client in [modern.clone(), there(&modern)] {
        promptly("both have the new names", || async { client.tools().await.contains(&"uno_echo".to_owned()) }).await;
    }

    // One goes; the other goes on.
    first.stop();
    let survivor = there(&modern);
    assert!(!survivor.call("uno_echo", json!({})).await.is_error());
    drop(second);
    database.clear().await;
}

#[tokio::test]
async fn a_burst_of_changes_ends_in_the_last_one() {
    let mut acme = tenant("acme", [("one", scripted(&["--no-odd"]))]);
    let gateway = TestGateway::setup().tenant(acme.clone()).start().await;
    let client = gateway.modern("acme");
    let caller = {
        let client = client.clone();
        tokio::spawn(async move {
            // Names change under the caller; whatever it sees is one world or the other, never a failure.
            for _ in 0..200 {
                let listed = client.tools().await;
                assert_eq!(listed.len(), 16, "{listed:?}");
                let answer = client.call(listed.iter().find(|name| name.ends_with("_echo")).unwrap(), json!({})).await;
                let fine =
                    answer.response["error"]["code"] == -32602 || answer.response["result"]["content"].is_array();
                assert!(fine && !answer.is_error(), "{}", answer.raw);
            }
        })
    };
    for number in 0..12 {
        acme["servers"]["one"]["prefix"] = json!(format!("p{number}"));
        gateway.apply(&acme);
    }
    wait_until("the last change is in force", || async { client.tools().await.contains(&"p11_echo".to_owned()) }).await;
    caller.await.unwrap();
    assert_eq!(gateway.children().len(), 1, "a new name is no reason for a new child");
}
