//! Never more than the bound, and nearly all of it, however many replicas ask, whatever it costs, whatever their clocks say.

use std::{
    thread,
    time::{Duration, Instant},
};

use patchbay_core::limits::{Gcra, Rate};

use super::{super::*, rig::Shared, server::Server};
use crate::conformance::{ask, charge};

/// What one replica was granted: when, by Redis's clock, and how much.
type Granted = Vec<(u64, u32)>;

/// Asks as fast as it can until then, from several tasks, and tells what was granted.
fn saturate(server: &Server, prefix: &str, rate: Rate, costs: &'static [u32], skew_us: u64, until: Instant) -> Granted {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shared = Shared::begin(server, Duration::from_secs(2), prefix.to_owned());
        shared.until(|stats| stats.mode == Mode::Shared).await;
        let limiter = shared.limiter.clone();
        let clock = Clock::start();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    for round in task.. {
                        if Instant::now() >= until {
                            break;
                        }
                        let cost = costs[round % costs.len()];
                        let charges = [Charge { cost, ..charge(1, rate) }];
                        let now_us = clock.now_us().wrapping_add(skew_us);
                        if !limiter.take(&ask(&charges, &[]), now_us).decision().await.is_allowed() {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(shared.stats().fallbacks, 0, "Redis was too slow for this test");
        std::mem::take(&mut *limiter.inner.granted.lock().unwrap())
    })
}

/// Three replicas for two seconds, the first of which ends early if it is to.
fn run(rate: Rate, costs: &'static [u32], skews_us: [u64; 3], first: Duration) -> Option<Granted> {
    let server = Server::start()?;
    let started = Instant::now();
    let whole = Duration::from_secs(2);
    let mut all: Granted = thread::scope(|scope| {
        let replicas: Vec<_> = [(first, skews_us[0]), (whole, skews_us[1]), (whole, skews_us[2])]
            .into_iter()
            .map(|(time, skew)| {
                let server = &server;
                scope.spawn(move || saturate(server, "exact", rate, costs, skew, started + time))
            })
            .collect();
        replicas.into_iter().flat_map(|replica| replica.join().unwrap()).collect()
    });
    all.sort_unstable();
    Some(all)
}

/// At most the bound between any two moments.
fn assert_bound(all: &Granted, rate: Rate) {
    let emission_us = Gcra::new(rate).emission_us;
    for first in 0..all.len() {
        let mut sum = 0;
        for &(at, cost) in &all[first..] {
            sum += u64::from(cost);
            let bound = u64::from(rate.burst) + (at - all[first].0) / emission_us + 1;
            assert!(sum <= bound, "{sum} within {} us, at most {bound} expected", at - all[first].0);
        }
    }
}

/// At least 98 % of what the time between the first and the last gave. The bursts are worth half a second, so that nothing is
/// lost while a busy machine runs something else.
fn assert_saturated(all: &Granted, rate: Rate) {
    let sum: u64 = all.iter().map(|(_, cost)| u64::from(*cost)).sum();
    let time = all.last().unwrap().0 - all[0].0;
    let ceiling = u64::from(rate.burst) + time / Gcra::new(rate).emission_us;
    assert!(time > 1_500_000, "only {time} us were seen");
    assert!(sum * 100 >= ceiling * 98, "{sum} of {ceiling} admitted");
}

#[test]
fn three_replicas_admit_the_bound_and_nearly_all_of_it() {
    let rate = Rate::per_second(200, 100);
    let Some(all) = run(rate, &[1], [0; 3], Duration::from_secs(2)) else { return };
    assert_bound(&all, rate);
    assert_saturated(&all, rate);
}

#[test]
fn mixed_costs_and_skewed_clocks_change_nothing() {
    let rate = Rate::per_second(500, 250);
    // A minute ahead, and a minute behind.
    let Some(all) = run(rate, &[1, 3, 1, 7, 2], [60_000_000, 0, 0u64.wrapping_sub(3_600_000)], Duration::from_secs(2))
    else {
        return;
    };
    assert_bound(&all, rate);
    assert_saturated(&all, rate);
}

#[test]
fn a_replica_that_ends_leaves_the_whole_rate_to_the_others() {
    let rate = Rate::per_second(200, 100);
    let Some(all) = run(rate, &[1], [0; 3], Duration::from_millis(500)) else { return };
    assert_bound(&all, rate);
    assert_saturated(&all, rate);
}
