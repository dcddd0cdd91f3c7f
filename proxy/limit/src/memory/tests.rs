//! The memory limiter passes the suite, stays bounded, and gives nobody a fresh allowance who has just used theirs up.

use std::sync::atomic::{AtomicU64, Ordering};

use patchbay_core::limits::{LimitKey, LimitSpec, Rate};

use super::*;
use crate::conformance::{self, Rig, key};

/// A limiter whose time the test moves.
struct Memory {
    limiter: MemoryLimiter,
    now_us: AtomicU64,
}

impl Memory {
    fn new(keys_max: usize) -> Self {
        Self { limiter: MemoryLimiter::new(keys_max), now_us: AtomicU64::new(1 << 40) }
    }

    fn take(&self, request: &[Charge]) -> Decision {
        match self.limiter.take(request, self.now_us()) {
            Take::Ready(decision) => decision,
            Take::Pending(_) => panic!("memory never waits"),
        }
    }
}

impl Rig for Memory {
    fn limiter(&self) -> &dyn RateLimiter {
        &self.limiter
    }

    fn now_us(&self) -> u64 {
        self.now_us.load(Ordering::Relaxed)
    }

    async fn pass(&self, time: Duration) {
        self.now_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_memory_limiter_passes_the_suite() {
    conformance::run(|| Memory::new(10_000)).await;
}

#[test]
fn eight_threads_never_get_more_than_the_bound() {
    let clock = crate::Clock::start();
    let limiter = MemoryLimiter::new(1000);
    let spec = LimitSpec::new(Dimension::Principal, Rate::per_second(2000, 50));
    let started_us = clock.now_us();
    let until_us = started_us + 300_000;
    let work = || {
        let (mut allowed, mut tried) = (0u64, 0u64);
        while clock.now_us() < until_us {
            tried += 1;
            let charges = [Charge { key: key(1), spec, cost: 1 }, Charge { key: key(2), spec, cost: 0 }];
            let taken = limiter.take(&charges[..1 + (tried % 2) as usize], clock.now_us());
            allowed += u64::from(matches!(taken, Take::Ready(Decision::Allowed { .. })));
        }
        (allowed, tried)
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let bound = 50 + (clock.now_us() - started_us) / spec.gcra.emission_us + 1;
    assert!(all.0 <= bound, "{} of {} allowed, at most {bound} expected", all.0, all.1);
    assert!(all.1 > 10 * all.0, "{} tries do not saturate", all.1);
    assert!(all.0 >= 50, "only {} allowed", all.0);
}

#[test]
fn threads_that_charge_the_same_keys_in_other_orders_do_not_wait_for_ever() {
    let limiter = MemoryLimiter::new(1000);
    let spec = LimitSpec::new(Dimension::Tool, Rate::per_second(1_000_000, 1_000_000));
    std::thread::scope(|scope| {
        for thread in 0..8u128 {
            let limiter = &limiter;
            scope.spawn(move || {
                for round in 0..2000u128 {
                    let order = [thread, round, thread + round, 3, 5].map(|n| key(100 + n % 6));
                    let mut charges: Vec<_> = order.into_iter().map(|key| Charge { key, spec, cost: 1 }).collect();
                    charges.sort_by_key(|charge| std::cmp::Reverse(charge.key));
                    charges.dedup();
                    limiter.take(&charges, 1 << 40);
                }
            });
        }
    });
}

#[test]
fn a_flood_of_keys_stays_within_the_bound() {
    let memory = Memory::new(640);
    let spec = LimitSpec::new(Dimension::Address, Rate::per_second(1, 10));
    for id in 0..50_000 {
        memory.take(&[Charge { key: key(id), spec, cost: 1 }]);
    }
    assert!(memory.limiter.keys() <= 640, "{} keys", memory.limiter.keys());
}

#[tokio::test]
async fn keys_that_are_whole_again_are_forgotten_before_those_in_use() {
    let memory = Memory::new(6400);
    let spec = LimitSpec::new(Dimension::Address, Rate::per_second(1, 10));
    for id in 0..3200 {
        memory.take(&[Charge { key: key(id), spec, cost: 1 }]);
    }
    memory.pass(Duration::from_secs(2)).await;
    for id in 10_000..12_000 {
        memory.take(&[Charge { key: key(id), spec, cost: 10 }]);
    }
    for id in 20_000..26_000 {
        memory.take(&[Charge { key: key(id), spec, cost: 1 }]);
    }
    let forgotten = (10_000..12_000)
        .filter(|id| matches!(memory.take(&[Charge { key: key(*id), spec, cost: 1 }]), Decision::Allowed { .. }))
        .count();
    assert_eq!(forgotten, 0, "keys in use were forgotten");
}

#[test]
fn who_took_most_is_not_forgotten_in_a_flood() {
    let memory = Memory::new(64 * 64);
    let spec = LimitSpec::new(Dimension::Address, Rate::per_second(1, 10));
    let heavy = Charge { key: key(7), spec, cost: 10 };
    memory.take(&[heavy]);
    for id in 1000..100_000 {
        memory.take(&[Charge { key: key(id), spec, cost: 1 }]);
    }
    assert!(matches!(memory.take(&[Charge { cost: 1, ..heavy }]), Decision::Denied { .. }));
}

#[test]
fn a_request_with_too_many_charges_is_refused() {
    let memory = Memory::new(64);
    let spec = LimitSpec::new(Dimension::Tool, Rate::per_second(100, 100));
    let charges: Vec<_> = (0..=CHARGES_MAX as u128).map(|id| Charge { key: key(id), spec, cost: 1 }).collect();
    assert!(matches!(memory.take(&charges), Decision::Denied { .. }));
    assert!(matches!(memory.take(&charges[1..]), Decision::Allowed { .. }));
    assert_eq!(memory.limiter.keys(), CHARGES_MAX);
}

#[test]
fn a_look_is_not_remembered() {
    let memory = Memory::new(64);
    let spec = LimitSpec::new(Dimension::Tool, Rate::per_second(100, 100));
    memory.take(&[Charge { key: LimitKey(1), spec, cost: 0 }]);
    assert_eq!(memory.limiter.keys(), 0);
}
