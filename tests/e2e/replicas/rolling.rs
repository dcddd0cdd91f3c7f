//! A rolling restart under load.

use patchbay_e2e::{Redis, database::Postgres};

use super::{Load, REPLICAS, World, replica};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_restart_loses_no_call_and_no_session() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let mut world = World::start(|| replica(&database, &redis)).await;
    let mut clients = vec![world.legacy().await, world.legacy().await, world.modern(), world.modern()];
    let sessions: Vec<_> = clients.iter().filter_map(|client| client.session.clone()).collect();
    assert_eq!(sessions.len(), 2);
    // One more of each that is silent meanwhile.
    let (silent, other) = (world.legacy().await, world.modern());
    clients.extend([world.legacy().await, world.modern()]);

    let load = Load::begin(clients);
    for index in 0..REPLICAS {
        let before = load.calls();
        let served = world.restart(index).await;
        assert!(served > 0, "the gateway was idle, so nothing is proved by its restart");
        assert!(load.calls() > before, "nobody called while it was restarted");
    }
    let calls = load.end().await;
    assert!(calls > 100, "only {calls} calls");
    assert_eq!(world.balancer.nobody(), 0);
    for client in [&silent, &other] {
        // Each is answered by each gateway.
        for address in world.addresses() {
            assert!(!client.at(address).tools().await.is_empty());
        }
    }
    let said = world.gateways[0].patchbay(&["audit", "verify"]).good();
    assert!(said.contains("chains"), "{said}");
    drop(world);
    database.clear().await;
}
