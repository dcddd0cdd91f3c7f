//! Against real Redis servers: each test has one of its own, so that it may stop, pause and empty it.

mod exact;
mod leases;
mod outage;
mod rig;
mod server;

use std::time::Duration;

use patchbay_core::limits::{Rate, VECTORS};

use self::{rig::Shared, server::Server};
use super::*;
use crate::conformance::{self, Rig, ask, charge, place};

#[tokio::test]
async fn the_redis_limiter_passes_the_suite() {
    let Some(server) = Server::start() else { return };
    conformance::run(async || Shared::start(&server).await).await;
    assert_eq!(server.redis().keys_without_expiry(), Vec::<String>::new());
}

#[test]
fn the_script_satisfies_the_table_of_the_core() {
    let Some(server) = Server::start() else { return };
    let script = format!(
        "{}\nlocal fits, tat, left, retry, whole = gcra(tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),\
         tonumber(ARGV[4]), tonumber(ARGV[5]))\n\
         return string.format('%d %.0f %.0f %.0f %.0f', fits and 1 or 0, tat, left, retry, whole)",
        include_str!("gcra.lua")
    );
    for v in VECTORS {
        let kept = v.tat.map_or("none".to_owned(), |tat| tat.to_string());
        let found: String = ::redis::cmd("EVAL")
            .arg(&script)
            .arg(0)
            .arg(kept)
            .arg(v.now_us)
            .arg(v.emission_us)
            .arg(v.capacity_us)
            .arg(v.cost)
            .query(&mut server.redis().0)
            .unwrap();
        let expected = format!(
            "{} {} {} {} {}",
            u8::from(v.allowed),
            v.tat_after,
            v.remaining,
            v.retry_after_us,
            v.reset_after_us
        );
        assert_eq!(found, expected, "{}", v.name);
    }
}

#[tokio::test]
async fn a_request_is_one_round_trip() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    let (charges, places) =
        ([1, 2, 3].map(|id| charge(id, Rate::per_second(1000, 1000))), [place(4, 100), place(5, 100)]);
    let before = (shared.stats().round_trips, server.redis().scripts_run());
    for _ in 0..50 {
        assert!(conformance::take(&shared, &charges, &places).await.is_allowed());
    }
    let after = (shared.stats().round_trips, server.redis().scripts_run());
    assert_eq!(after.0 - before.0, 50);
    // The keeper may have said once or twice that this replica is there.
    assert!((50..=53).contains(&(after.1 - before.1)), "{} scripts were run", after.1 - before.1);
    assert_eq!(shared.stats().fallbacks, 0);
}

#[tokio::test]
async fn a_denied_caller_is_refused_without_redis() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    let charges = [
        charge(1, Rate::per_second(1000, 1000)),
        charge(2, Rate { count: 1, period: Duration::from_secs(1), burst: 1 }),
    ];
    assert!(conformance::take(&shared, &charges, &[]).await.is_allowed());
    assert!(!conformance::take(&shared, &charges, &[]).await.is_allowed());
    let before = shared.stats().round_trips;
    let mut last = Duration::MAX;
    for _ in 0..10_000 {
        let Take::Ready(Decision::Denied(refused)) = shared.limiter.take(&ask(&charges, &[]), 0) else {
            panic!("Redis was asked again")
        };
        assert!(refused.at == 1 && refused.retry_after <= last);
        last = refused.retry_after;
    }
    let stats = shared.stats();
    assert_eq!((stats.round_trips, stats.refused_here, stats.denied_keys), (before, 10_000, 1));
    shared.pass(last).await;
    assert!(conformance::take(&shared, &charges, &[]).await.is_allowed(), "who comes in time is refused");
}

#[tokio::test]
async fn a_crowd_on_one_replica_is_refused_without_redis() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    let held = conformance::take(&shared, &[], &[place(1, 1)]).await;
    assert!(held.is_allowed());
    let before = shared.stats().round_trips;
    for _ in 0..100 {
        assert!(matches!(shared.limiter.take(&ask(&[], &[place(1, 1)]), 0), Take::Ready(Decision::Denied(_))));
    }
    assert_eq!(shared.stats().round_trips, before);
}

#[tokio::test]
async fn a_rate_that_takes_longer_is_named_before_a_cap_that_another_replica_fills() {
    let Some(server) = Server::start() else { return };
    let one = Shared::start(&server).await;
    let two = one.twin(&server).await;
    let (charges, places) = ([charge(1, Rate { count: 1, period: Duration::from_secs(60), burst: 1 })], [place(2, 1)]);
    let held = conformance::take(&one, &charges, &places).await;
    assert!(held.is_allowed());
    let Decision::Denied(crowded) = conformance::take(&two, &[], &places).await else { panic!("it passed") };
    assert_eq!((crowded.at, crowded.retry_after), (0, RETRY_CROWDED));
    let Decision::Denied(refused) = conformance::take(&two, &charges, &places).await else { panic!("it passed") };
    assert!(refused.at == 0 && refused.retry_after > Duration::from_secs(50), "{refused:?}");
    drop(held);
}

#[tokio::test]
async fn a_forgotten_script_is_sent_again() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    let charges = [charge(1, Rate::per_second(1000, 1000))];
    server.redis().run(&["SCRIPT", "FLUSH"]);
    let before = shared.stats().round_trips;
    for _ in 0..3 {
        assert!(conformance::take(&shared, &charges, &[]).await.is_allowed());
    }
    assert_eq!(shared.stats().round_trips - before, 4);
    assert_eq!((shared.stats().fallbacks, shared.limiter.mode()), (0, Mode::Shared));
}

#[tokio::test]
async fn replicas_are_counted_while_they_are_there() {
    let Some(server) = Server::start() else { return };
    let one = Shared::start(&server).await;
    let two = one.twin(&server).await;
    let three = one.twin(&server).await;
    one.until(|stats| stats.replicas == 3).await;
    drop((two, three));
    one.until(|stats| stats.replicas == 1).await;
}

#[tokio::test]
async fn a_limit_that_changes_its_kind_is_counted_anew() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    assert!(conformance::take(&shared, &[charge(1, Rate::per_second(1, 1))], &[]).await.is_allowed());
    assert!(conformance::take(&shared, &[], &[place(1, 1)]).await.is_allowed());
    assert_eq!(shared.stats().fallbacks, 0);
}

#[test]
fn nothing_of_the_url_is_shown() {
    let options = RedisOptions {
        url: "redis://:hunter2@127.0.0.1:1/".to_owned().into(),
        timeout: Duration::from_millis(25),
        prefix: "pb".to_owned(),
        replica: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let limiter = RedisLimiter::start(options.clone(), MemoryLimiter::new(64), Arc::new(|_, _| ())).unwrap();
    assert!(!format!("{options:?} {limiter:?}").contains("hunter2"));
}
