//! Three real gateways and one Redis, saturated for seconds: never above the bound in any span of time, and nearly all of it used.

use std::time::{Duration, Instant};

use patchbay_e2e::{
    Fixture, Redis,
    database::Postgres,
    flood::{flood, worst_excess},
    wait_until,
};
use serde_json::json;

use super::{limited, rate, replicas};

/// How long the limit is saturated.
const SATURATED: Duration = Duration::from_secs(4);
/// One unit in a second and what may be taken at once.
const PER_S: f64 = 100.0;
const BURST: f64 = 50.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_on_one_redis_admit_all_of_the_limit_and_never_more() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    let acme = limited(&fixture, json!({ "rules": { "team": rate(&["tenant"], 100, 50) } }));
    let (gateways, client) = replicas(3, &database, redis.address, &acme, &json!({})).await;
    let asks: Vec<_> =
        gateways.iter().map(|gateway| (gateway.address, client.ask_tool("one_echo", json!({})))).collect();
    let began = Instant::now();
    let shots = flood(&asks, 6, began + SATURATED).await;
    let admitted = shots.iter().filter(|shot| shot.status == 200).count() as f64;
    assert!(shots.iter().all(|shot| matches!(shot.status, 200 | 429)), "something else was answered");
    assert!(shots.len() as f64 > 2.0 * admitted, "the limit was not saturated: {} requests", shots.len());
    let excess = worst_excess(&shots, BURST, PER_S, |_| 1.0);
    assert!(excess <= 1.0, "{excess} too many in some span of time");
    // What was taken while the gateways were made ready has come back meanwhile, or counts against it.
    let ceiling = BURST + PER_S * SATURATED.as_secs_f64();
    assert!(admitted >= 0.98 * ceiling - 15.0, "{admitted} of {ceiling} were admitted");
    let shares = (0..3).map(|of| shots.iter().filter(|shot| shot.of == of && shot.status == 200).count());
    assert!(shares.clone().all(|share| share > 0), "a gateway admitted nothing: {:?}", shares.collect::<Vec<_>>());
    drop(gateways);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_weights_and_a_killed_replica_do_not_widen_the_limit() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    let limits = json!({ "rules": { "team": rate(&["tenant"], 100, 50) }, "weights": { "one/echo": 5 } });
    let acme = limited(&fixture, limits);
    let (mut gateways, client) = replicas(3, &database, redis.address, &acme, &json!({})).await;
    let (heavy, light) = (client.ask_tool("one_echo", json!({})), client.ask_tool("one_seen", json!({})));
    let asks: Vec<_> = gateways
        .iter()
        .flat_map(|gateway| [(gateway.address, heavy.clone()), (gateway.address, light.clone())])
        .collect();
    let until = Instant::now() + SATURATED;
    let shooting = tokio::spawn({
        let asks = asks.clone();
        async move { flood(&asks, 3, until).await }
    });
    // Somewhere in the middle one of them dies.
    tokio::time::sleep(SATURATED / 2).await;
    gateways[2].kill();
    let shots = shooting.await.unwrap();
    let cost = |shot: &patchbay_e2e::flood::Shot| if shot.of.is_multiple_of(2) { 5.0 } else { 1.0 };
    let excess = worst_excess(&shots, BURST, PER_S, cost);
    assert!(excess <= 1.0, "{excess} units too many in some span of time");
    let units: f64 = shots.iter().filter(|shot| shot.status == 200).map(cost).sum();
    let ceiling = BURST + PER_S * SATURATED.as_secs_f64();
    // What the dead one had taken and not answered is lost, and so is the heavy request that does not fit yet.
    assert!(units >= 0.9 * ceiling - 15.0, "{units} of {ceiling} units were used");
    drop(gateways);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgot_everything_gives_one_more_burst_and_no_more() {
    let (Some(database), Some(mut redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    // Closed, so that no share of a replica is let through while Redis is away.
    let mut rule = rate(&["tenant"], 50, 60);
    rule["away"] = json!("closed");
    let acme = limited(&fixture, json!({ "rules": { "team": rule } }));
    let (gateways, client) = replicas(3, &database, redis.address, &acme, &json!({})).await;
    let asks: Vec<_> =
        gateways.iter().map(|gateway| (gateway.address, client.ask_tool("one_echo", json!({})))).collect();
    let until = Instant::now() + SATURATED;
    let shooting = tokio::spawn(async move { flood(&asks, 4, until).await });
    tokio::time::sleep(SATURATED / 4).await;
    redis.again();
    let shots = shooting.await.unwrap();
    let excess = worst_excess(&shots, 60.0, 50.0, |_| 1.0);
    assert!(excess <= 60.0 + 1.0, "{excess} too many, which is more than a burst");
    assert!(shots.iter().all(|shot| matches!(shot.status, 200 | 429 | 503)), "something else was answered");
    for gateway in &gateways {
        super::counts_for_all(gateway).await;
    }
    drop(gateways);
    database.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_are_counted_over_replicas_and_the_places_of_a_dead_one_come_back() {
    let (Some(database), Some(redis)) = (Postgres::fresh().await, Redis::fresh()) else { return };
    let fixture = Fixture::scripted(&["--no-odd"]);
    let mut acme = limited(&fixture, json!({ "rules": { "busy": { "by": ["tenant"], "concurrent": 2 } } }));
    acme["servers"]["one"]["call_timeout_s"] = json!(5);
    let (mut gateways, client) = replicas(2, &database, redis.address, &acme, &json!({})).await;
    let hang = client.ask_tool("one_hang", json!({}));
    let (here, there) = (gateways[0].address, gateways[1].address);
    let hanging: Vec<_> = [here, there]
        .map(|address| {
            let hang = hang.clone();
            // Whose time is over begins again.
            tokio::spawn(async move {
                loop {
                    let _ = hang.try_send(address).await;
                }
            })
        })
        .into();
    let echo = client.ask_tool("one_echo", json!({}));
    for address in [here, there] {
        wait_until("the cap is reached", || async { echo.send(address).await.status == 429 }).await;
    }
    let refusal = echo.send(here).await.json().await;
    assert_eq!(refusal["error"]["data"]["limit"], "busy", "{refusal}");
    gateways[1].kill();
    wait_until("the place of the dead one comes back", || async { echo.send(here).await.status == 200 }).await;
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    drop(gateways);
    database.clear().await;
}
