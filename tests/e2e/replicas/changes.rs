//! A tenant that changes all the time, under load: every answer is of one state, and no call fails for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use patchbay_e2e::{Ask, Client, Redis, TestGateway, database::Postgres, wait_until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{ADMIN, Load, World, replica};

/// How long it changes, in a usual run.
const WHILE: Duration = Duration::from_secs(10);
/// A thousand changes a minute.
const PAUSE: Duration = Duration::from_millis(60);
/// The tools whose texts each change replaces, all at once.
const TOOLS: [&str; 4] = ["echo", "slow", "whoami", "seen"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_changes_a_minute_never_mix_and_fail_no_call() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let world = World::start(|| replica(&database, &redis)).await;
    let load = Load::begin([world.legacy().await, world.modern()]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for address in world.addresses() {
        readers.spawn(read(world.modern().at(address), stop.clone()));
    }

    // Each change gives all tools the same new text; a second server comes and goes while it is called.
    let (began, mut changes) = (Instant::now(), 0_u64);
    let mut document = ask_document(&world.gateways[0]).await;
    let mut second = document["servers"]["one"].clone();
    second["headers"] = json!({ "X-Team": "another-secret" });
    while began.elapsed() < WHILE {
        changes += 1;
        let texts: Value = TOOLS.iter().map(|tool| ((*tool).to_owned(), json!(format!("state {changes}")))).collect();
        document["servers"]["one"]["tools"] = json!({ "describe": texts });
        match changes % 5 {
            0 => document["servers"]["two"] = second.clone(),
            3 => drop(document["servers"].as_object_mut().unwrap().remove("two")),
            _ => {}
        }
        let through = &world.gateways[usize::try_from(changes).unwrap() % world.gateways.len()];
        let reply = Ask::new("PUT", "/admin/v1/tenants/acme/document")
            .header("content-type", "application/json")
            .header("if-match", "*")
            .bearer(ADMIN)
            .body(document.to_string())
            .send(through.admin)
            .await;
        let status = reply.status;
        assert_eq!(status, 200, "{}", reply.text().await);
        tokio::time::sleep(PAUSE).await;
    }
    let last = format!("state {changes}");
    for address in world.addresses() {
        let client = world.modern().at(address);
        wait_until("each replica has the last state", || async { states(&client).await == [last.clone()] }).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = 0;
    while let Some(reader) = readers.join_next().await {
        seen += reader.unwrap();
    }
    let calls = load.end().await;
    assert!(changes > 20 && seen > 10 && calls > 20, "{changes} changes, {seen} states seen, {calls} calls");
    drop(world);
    database.clear().await;
}

async fn ask_document(gateway: &TestGateway) -> Value {
    Ask::get("/admin/v1/tenants/acme/document").bearer(ADMIN).send(gateway.admin).await.json().await
}

/// Reads the list again and again; gives how many states it saw.
async fn read(client: Client, stop: Arc<AtomicBool>) -> usize {
    let (mut seen, mut last) = (0, String::new());
    while !stop.load(Ordering::Relaxed) {
        let states = states(&client).await;
        assert!(states.len() <= 1, "one list shows several states: {states:?}");
        if let Some(state) = states.into_iter().next().filter(|state| *state != last) {
            (seen, last) = (seen + 1, state);
        }
    }
    seen
}

/// The states of which a list has texts.
async fn states(client: &Client) -> Vec<String> {
    let tools = client.list("tools/list").await;
    let texts = tools.iter().filter(|tool| tool["name"].as_str().is_some_and(|name| name.starts_with("one_")));
    let mut states: Vec<_> = texts
        .filter_map(|tool| tool["description"].as_str())
        .filter(|text| text.starts_with("state "))
        .map(str::to_owned)
        .collect();
    states.sort();
    states.dedup();
    states
}
