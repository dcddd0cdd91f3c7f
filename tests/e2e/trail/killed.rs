//! `kill -9` at any moment under load: every call whose answer a client got is on record, the chain is whole, the gateway starts.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use patchbay_e2e::{
    Fixture, TestGateway,
    setup::{scripted, tenant},
    wait_until,
};

use super::{answered, called, verify};

/// Calls that are made in one round, until the gateway is killed.
const CALLS: usize = 200;
/// How often a gateway is killed.
const ROUNDS: usize = 10;
/// How many gateways go through that in the long run.
const GATEWAYS_LONG: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_call_is_missing_from_the_trail_of_a_killed_gateway() {
    let gateways = if std::env::var_os("PATCHBAY_TEST_SOAK").is_some() { GATEWAYS_LONG } else { 1 };
    for seed in 0..gateways {
        killed_again_and_again(seed).await;
    }
}

async fn killed_again_and_again(seed: usize) {
    let count = (ROUNDS * CALLS).to_string();
    let far = Fixture::scripted(&["--no-odd", "--tools", &count]);
    let servers = [("near", scripted(&["--no-odd", "--tools", &count])), ("far", far.server())];
    let mut gateway =
        TestGateway::setup().tenant(tenant("acme", servers)).limit("catalog_items_max", 100_000).start().await;
    for round in 0..ROUNDS {
        let clients = gateway.both("acme").await;
        let done = Arc::new(Mutex::new(BTreeSet::new()));
        let mut callers = tokio::task::JoinSet::new();
        for lane in 0..8_usize {
            let (client, done) = (clients[lane % 2].clone(), done.clone());
            callers.spawn(async move {
                for number in (round * CALLS + lane..(round + 1) * CALLS).step_by(8) {
                    // Each call is of a tool of its own, also in later rounds, so that its record is known by the name.
                    let name = format!("{}_tool_{:04}", if number % 3 == 0 { "far" } else { "near" }, number + 1);
                    match called(&client, name).await {
                        Some(name) => drop(done.lock().unwrap().insert(name)),
                        None => return,
                    }
                }
            });
        }
        let enough = 10 + (round * 97 + seed * 31) % (CALLS / 2);
        wait_until("some calls were answered", || async { done.lock().unwrap().len() >= enough }).await;
        gateway.kill();
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        let done = done.lock().unwrap().clone();
        assert!(done.len() >= enough, "{}", done.len());
        gateway = gateway.again().await;
        wait_until(format!("all {} answered calls of round {round} are on record", done.len()), || async {
            done.is_subset(&answered(&gateway).await)
        })
        .await;
    }
    gateway.terminate();
    gateway.ended();
    let verified = verify(&gateway);
    assert!(verified.code == 0, "{verified:?}");
    let records = gateway.audit().await;
    let ids: Vec<_> =
        records.iter().map(|record| (record["event"].to_string(), record["outcome"].to_string())).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "a record is there twice");
}
