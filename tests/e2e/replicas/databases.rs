//! Postgres and Redis go away and come back under load; a gateway starts while Postgres is away.

use patchbay_e2e::{Ask, Redis, TestGateway, Wire, database::Postgres, wait_until};
use serde_json::json;

use super::{Load, World, replica};

/// Whether the gateway says that it is ready.
async fn is_ready(gateway: &TestGateway) -> bool {
    Ask::get("/readyz").send(gateway.operations).await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_go_on_while_postgres_is_away_and_a_gateway_even_starts() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let (wire, through) = database.behind_wire().await;
    let mut world = World::start(|| replica(&through, &redis)).await;
    let clients = [world.legacy().await, world.legacy().await, world.modern()];
    let leaked = world.gateways[0].new_key("acme", "leaked", &[]);
    // Each has written down what it would need for a start without Postgres.
    for gateway in &world.gateways {
        let copies = gateway.home().path("data/last-good");
        wait_until("the copies are written", || async {
            std::fs::read_dir(&copies).is_ok_and(|mut entries| entries.next().is_some())
        })
        .await;
    }

    let load = Load::begin(clients);
    wire.cut();
    let before = load.calls();
    wait_until("calls go on", || async { load.calls() > before + 50 }).await;
    let fresh = world.legacy().await;
    assert!(!fresh.tools().await.is_empty(), "new sessions are opened");
    world.restart(1).await;
    let restarted = &world.gateways[1];
    assert!(is_ready(restarted).await);
    let metrics = restarted.metrics().await;
    let age = metrics.lines().find_map(|line| line.strip_prefix("patchbay_snapshot_age_seconds "));
    assert!(age.is_some_and(|age| age.parse::<f64>().unwrap() > 0.0), "its age is not told:\n{metrics}");
    assert!(!fresh.at(restarted.address).tools().await.is_empty(), "a session of another gateway is honoured");

    // What was changed meanwhile, on the other side of the wire, is in force soon after.
    let home = TestGateway::setup().postgres(&database).home();
    home.patchbay(&["key", "revoke", "--tenant", "acme", &leaked.id]).good();
    wire.mend();
    for gateway in &world.gateways {
        let client = world.modern().at(gateway.address).with(Some(&leaked.text));
        wait_until("the revoked key is refused by each", || async {
            client.ask("tools/list", json!({})).send(gateway.address).await.status == 401
        })
        .await;
    }
    wait_until("the age is over", || async {
        world.gateways[1].metrics().await.lines().any(|line| line == "patchbay_snapshot_age_seconds 0")
    })
    .await;
    let calls = load.end().await;
    assert!(calls > 100, "only {calls} calls");
    drop(world);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_go_on_while_redis_is_away_and_count_together_again_after_it() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let wire = Wire::to(redis.address).await;
    let setup = || replica(&database, &redis).redis(wire.address());
    let world = World::start(setup).await;
    let clients = [world.legacy().await, world.modern()];
    let load = Load::begin(clients);
    for _ in 0..2 {
        wire.cut();
        for gateway in &world.gateways {
            wait_until("the gateway counts alone", || async { mode(gateway).await == "away" }).await;
            assert!(is_ready(gateway).await);
        }
        let before = load.calls();
        wait_until("calls go on", || async { load.calls() > before + 20 }).await;
        wire.mend();
        for gateway in &world.gateways {
            wait_until("all count together again", || async { mode(gateway).await == "shared" }).await;
        }
    }
    load.end().await;
    drop(world);
    database.clear().await;
}

/// How the gateway counts limits now.
async fn mode(gateway: &TestGateway) -> String {
    let said = Ask::get("/limits").send(gateway.operations).await.json().await;
    said["mode"].as_str().unwrap_or_default().to_owned()
}
