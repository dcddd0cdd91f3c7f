//! Redis is away, frozen, back again: each limit does what it says, it is told, and it heals by itself.

use std::time::Instant;

use patchbay_e2e::{Client, Fixture, Redis, TestGateway, database::Postgres, flood::flood, wait_until};
use serde_json::{Value, json};

use super::{counts_for_all, limited, mode, rate, replicas};

fn away(mut rule: Value, what: &str) -> Value {
    rule["away"] = json!(what);
    rule
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_each_limit_falls_back_as_it_says() {
    let (Some(database), Some(mut redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    let toolsets = json!({ "open": {}, "closed": {}, "shared": {} });
    let of = |mut rule: Value, toolset: &str| {
        rule["toolsets"] = json!([toolset]);
        rule
    };
    let mut acme = limited(
        &fixture,
        json!({ "rules": {
        "local": of(rate(&["tenant"], 1, 8), "shared"),
        "strict": of(away(rate(&["tenant"], 1000, 1000), "closed"), "closed"),
        "lax": of(away(rate(&["tenant"], 1, 4), "open"), "open"),
    } }),
    );
    acme["toolsets"] = toolsets;
    let (gateways, client) = replicas(2, &database, redis.address, &acme, &json!({})).await;
    let gateway = &gateways[0];
    let at = |toolset: &str| {
        Client::modern(gateway.address, &format!("/t/acme/{toolset}/mcp"), client.key.as_deref())
            .ask_tool("one_echo", json!({}))
    };
    assert_eq!(at("closed").send(gateway.address).await.status, 200);
    redis.kill();
    wait_until("the gateway knows", || async {
        // Nobody asks, nobody finds out: a probe does.
        let _ = at("closed").send(gateway.address).await;
        mode(gateway).await == "away"
    })
    .await;
    let refused = at("closed").send(gateway.address).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    for _ in 0..12 {
        assert_eq!(at("open").send(gateway.address).await.status, 200, "an open limit refused somebody");
    }
    // Half of the limit of two replicas; the rest of the burst is not given twice.
    let mut passed = 0;
    for _ in 0..12 {
        passed += u32::from(at("shared").send(gateway.address).await.status == 200);
    }
    assert!((1..=6).contains(&passed), "{passed} of a local share of 4 passed");
    wait_until("the change is on record", || async {
        let out = gateway.patchbay(&["audit", "query", "--no-tenant", "--action", "limits.mode", "--json"]).good();
        out.contains("away")
    })
    .await;

    redis.again();
    counts_for_all(gateway).await;
    assert_eq!(at("closed").send(gateway.address).await.status, 200);
    drop(gateways);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_holds_nobody_up() {
    let Some(redis) = Redis::fresh() else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    let acme = limited(&fixture, json!({ "rules": { "team": rate(&["tenant"], 100_000, 100_000) } }));
    let gateway = TestGateway::setup().redis(redis.address).tenant(acme).start().await;
    counts_for_all(&gateway).await;
    let client = gateway.modern("acme");
    redis.freeze();
    let began = Instant::now();
    for _ in 0..100 {
        assert!(!client.call("one_echo", json!({})).await.is_error());
    }
    assert!(began.elapsed().as_secs() < 20, "100 calls waited {:?} for a Redis that says nothing", began.elapsed());
    assert_eq!(mode(&gateway).await, "away");
    redis.thaw();
    counts_for_all(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_refused_costs_redis_nothing() {
    let Some(redis) = Redis::fresh() else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    let slow = json!({ "by": ["tenant"], "count": 1, "per_s": 600, "burst": 3 });
    let acme = limited(&fixture, json!({ "rules": { "slow": slow } }));
    let gateway = TestGateway::setup()
        .redis(redis.address)
        .limit("principal_burst", 100_000)
        .limit("principal_per_second", 100_000)
        .tenant(acme)
        .start()
        .await;
    counts_for_all(&gateway).await;
    let client = gateway.modern("acme");
    let ask = client.ask_tool("one_echo", json!({}));
    wait_until("the limit is reached", || async { ask.send(gateway.address).await.status == 429 }).await;
    let before = round_trips(&gateway).await;
    let shots = flood(&[(gateway.address, ask)], 2, Instant::now() + std::time::Duration::from_millis(500)).await;
    assert!(shots.len() > 20 && shots.iter().all(|shot| shot.status == 429));
    let during = round_trips(&gateway).await - before;
    assert!(during < 10.0, "{during} round trips for {} refusals", shots.len());
}

/// Round trips to Redis for requests.
async fn round_trips(gateway: &TestGateway) -> f64 {
    let metrics = gateway.metrics().await;
    let lines = metrics.lines().filter(|line| line.starts_with("patchbay_limiter_round_trips_total"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}
