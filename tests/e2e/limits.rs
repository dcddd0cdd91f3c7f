//! Limits over several gateways: exact as long as Redis counts for all of them, bounded when it does not, and told to whom they
//! concern.

mod away;
mod exact;
mod told;

use patchbay_e2e::{Client, Fixture, TestGateway, database::Postgres, setup::tenant};
use serde_json::{Value, json};

/// A tenant with a server over HTTP, and these limits.
fn limited(fixture: &Fixture, limits: Value) -> Value {
    let mut acme = tenant("acme", [("one", fixture.server())]);
    acme["limits"] = limits;
    acme
}

/// Gateways on one store and one Redis: the first with the tenant, the others after it.
async fn replicas(
    count: usize,
    database: &Postgres,
    redis: std::net::SocketAddr,
    acme: &Value,
    config: &Value,
) -> (Vec<TestGateway>, Client) {
    let setup = || {
        TestGateway::setup()
            .postgres(database)
            .redis(redis)
            .limit("principal_per_second", 100_000)
            .limit("principal_burst", 100_000)
            .set("limits", config.clone())
            // A machine that is busy with other tests is no Redis that is away.
            .set("redis", json!({ "timeout_ms": 1000 }))
    };
    let mut gateways = vec![setup().tenant(acme.clone()).start().await];
    for _ in 1..count {
        gateways.push(setup().start().await);
    }
    let client = gateways[0].modern("acme");
    for gateway in &gateways {
        counts_for_all(gateway).await;
        patchbay_e2e::wait_until("the gateway knows of all replicas", || async {
            let metrics = gateway.metrics().await;
            metrics.lines().any(|line| line == format!("patchbay_limiter_replicas {count}"))
        })
        .await;
        let here = client.at(gateway.address);
        patchbay_e2e::wait_until("the tool is there", || async { !here.tools().await.is_empty() }).await;
    }
    (gateways, client)
}

/// Waits until the gateway counts in Redis.
async fn counts_for_all(gateway: &TestGateway) {
    patchbay_e2e::wait_until("limits are counted in Redis", || async { mode(gateway).await == "shared" }).await;
}

/// How a gateway counts.
async fn mode(gateway: &TestGateway) -> String {
    let metrics = gateway.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with("patchbay_limiter_mode{") && line.ends_with(" 1"));
    let mode = line.and_then(|line| line.split_once("mode=\"")?.1.split_once('"')).map(|(mode, _)| mode.to_owned());
    mode.unwrap_or_default()
}

/// A limit of a tenant.
fn rate(by: &[&str], count: u32, burst: u32) -> Value {
    json!({ "by": by, "count": count, "burst": burst })
}
