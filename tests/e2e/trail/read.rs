//! Reading the trail: by who, what, when and how it ended, a page at a time; and what is older than it is kept goes, by the
//! gateway's signed word.

use std::collections::BTreeSet;

use patchbay_e2e::{
    TestGateway,
    database::Postgres,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

use super::{query, verify};

#[tokio::test]
async fn records_are_found_by_who_what_when_and_how_it_ended() {
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd"]))]))
        .tenant(tenant("globex", [("one", scripted(&["--no-odd"]))]))
        .start()
        .await;
    let acme = gateway.modern("acme");
    for tool in ["one_echo", "two_echo", "one_echo", "no_such_tool"] {
        acme.call(tool, json!({ "canary": "argument-canary" })).await;
    }
    gateway.modern("globex").call("one_echo", json!({})).await;
    let calls = |args: &[&str]| query(&gateway, &[&["--action", "tool.call"], args].concat()).len();
    wait_until("all calls are there", || async { calls(&[]) == 5 }).await;
    assert_eq!(calls(&["--tenant", "acme"]), 4);
    assert_eq!(calls(&["--tenant", "globex"]), 1);
    assert_eq!(calls(&["--tenant", "acme", "--server-name", "two"]), 1);
    assert_eq!(calls(&["--tenant", "acme", "--name", "one_echo"]), 2);
    assert_eq!(calls(&["--tenant", "acme", "--outcome", "refused"]), 1);
    assert_eq!(calls(&["--tenant", "acme", "--actor", "key:*"]), 4);
    assert_eq!(calls(&["--tenant", "acme", "--actor", "token:*"]), 0);
    assert_eq!(calls(&["--since", "1h"]), 5);
    assert_eq!(calls(&["--until", "1h"]), 0);
    let page =
        gateway.patchbay(&["audit", "query", "--tenant", "acme", "--action", "tool.call", "--limit", "3", "--json"]);
    let next = page.err.split_whitespace().last().unwrap_or_default().to_owned();
    let rest = query(&gateway, &["--tenant", "acme", "--action", "tool.call", "--before", &next]);
    let ids =
        |records: &[Value]| -> BTreeSet<String> { records.iter().map(|record| record["event"].to_string()).collect() };
    let first: Vec<Value> = page.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((first.len(), rest.len()), (3, 1));
    assert!(ids(&first).is_disjoint(&ids(&rest)), "a page repeats the one before");
    assert!(!page.out.contains("argument-canary"));
    // Who reads is on record as well.
    assert!(!query(&gateway, &["--tenant", "acme", "--action", "audit.query", "--actor", "operator"]).is_empty());
    let shown = gateway.patchbay(&["audit", "query", "--tenant", "acme"]).good();
    assert!(shown.lines().any(|line| line.contains("tool.call") && line.contains("one_echo")), "{shown}");
    for wrong in [&["--since", "yesterday"][..], &["--limit", "0"], &["--tenant", "nobody"]] {
        let told = gateway.patchbay(&[&["audit", "query"], wrong].concat());
        assert!(told.code != 0 && !told.err.is_empty(), "{wrong:?}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_the_rest_still_verifies() {
    let Some(database) = Postgres::fresh().await else { return };
    let gateway = TestGateway::setup()
        .postgres(&database)
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .start()
        .await;
    let client = gateway.modern("acme");
    for _ in 0..5 {
        client.call("one_echo", json!({})).await;
    }
    let calls = || query(&gateway, &["--tenant", "acme", "--action", "tool.call"]).len();
    wait_until("they are there", || async { calls() == 5 }).await;
    // Nothing is that old.
    gateway.patchbay(&["audit", "retain", "--days", "1"]).good();
    assert_eq!(calls(), 5);
    assert_eq!(verify(&gateway).code, 0);
    drop(gateway);
    database.clear().await;
}
