//! The sealing key is changed on all replicas, one after the other, and nobody has to sign in again.

use patchbay_e2e::{Ask, Redis, database::Postgres};
use serde_json::json;

use super::{ADMIN, Load, REPLICAS, World, replica};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sealing_key_is_changed_without_a_logout() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let mut world = World::start(|| replica(&database, &redis)).await;
    let clients = [world.legacy().await, world.legacy().await, world.modern()];
    let silent = world.legacy().await;
    let load = Load::begin(clients);

    // First all know the new key, then all seal with it, then what the store has is sealed anew, and the old one goes.
    let steps = [("file:sealing.key", Some("file:new.key")), ("file:new.key", Some("file:sealing.key"))];
    for (current, old) in steps {
        for index in 0..REPLICAS {
            change_keys(&world, index, current, old);
            world.restart(index).await;
        }
        assert!(!silent.tools().await.is_empty(), "a session ended with {current}");
    }
    let young = world.legacy().await;
    let reply = Ask::new("POST", "/admin/v1/sealing-key/reseal").bearer(ADMIN).send(world.gateways[0].admin).await;
    let (status, said) = (reply.status, reply.json().await);
    assert_eq!(status, 200, "{said}");
    assert!(said["resealed"].as_u64() > Some(0) && said["closed"] == 0, "{said}");
    load.end().await;

    for index in 0..REPLICAS {
        change_keys(&world, index, "file:new.key", None);
        world.restart(index).await;
    }
    assert!(!young.tools().await.is_empty(), "a session of the new key goes on");
    let over = silent.ask("tools/list", json!({})).send(silent.address).await;
    assert_eq!(over.status, 404, "a session of the key that is gone has ended");
    let said = world.gateways[0].patchbay(&["check"]).good();
    assert!(said.contains("store: ok"), "{said}");
    drop(world);
    database.clear().await;
}

fn change_keys(world: &World, index: usize, current: &str, old: Option<&str>) {
    let home = world.gateways[index].home();
    std::fs::write(home.path("new.key"), "fedcba9876543210fedcba9876543210-for-tests").unwrap();
    let file = home.config();
    let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    config["sealing_key"] = json!(current);
    config["sealing_keys_old"] = json!(old.into_iter().collect::<Vec<_>>());
    std::fs::write(&file, config.to_string()).unwrap();
}
