//! The memory limiter passes the suite, stays bounded, and gives nobody a fresh allowance who has just used theirs up.

use std::sync::atomic::{AtomicU64, Ordering};

use patchbay_core::limits::{LimitKey, Rate};

use super::*;
use crate::conformance::{self, Rig, ask, charge, key, place};

/// A limiter whose time the test moves.
struct Memory {
    limiter: MemoryLimiter,
    now_us: AtomicU64,
}

impl Memory {
    fn new(keys_max: usize) -> Self {
        Self { limiter: MemoryLimiter::new(keys_max), now_us: AtomicU64::new(1 << 40) }
    }

    fn take(&self, charges: &[Charge]) -> Decision {
        match self.limiter.take(&ask(charges, &[]), self.now_us()) {
            Take::Ready(decision) => decision,
            Take::Pending(_) => panic!("memory never waits"),
        }
    }
}

impl Rig for Memory {
    fn limiter(&self) -> &dyn Limiter {
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
    conformance::run(async || Memory::new(10_000)).await;
}

#[test]
fn eight_threads_never_get_more_than_the_bound() {
    let clock = crate::Clock::start();
    let limiter = MemoryLimiter::new(1000);
    let rate = Rate::per_second(2000, 50);
    let started_us = clock.now_us();
    let until_us = started_us + 300_000;
    let work = || {
        let (mut allowed, mut tried) = (0u64, 0u64);
        while clock.now_us() < until_us {
            tried += 1;
            let charges = [charge(1, rate), Charge { cost: 0, ..charge(2, rate) }];
            let ask = ask(&charges[..1 + (tried % 2) as usize], &[]);
            allowed += u64::from(limiter.decide(&ask, clock.now_us()).is_allowed());
        }
        (allowed, tried)
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let bound = 50 + (clock.now_us() - started_us) / Gcra::new(rate).emission_us + 1;
    assert!(all.0 <= bound, "{} of {} allowed, at most {bound} expected", all.0, all.1);
    assert!(all.1 > 10 * all.0, "{} tries do not saturate", all.1);
    assert!(all.0 >= 50, "only {} allowed", all.0);
}

#[test]
fn threads_that_charge_the_same_keys_in_other_orders_do_not_wait_for_ever() {
    let limiter = MemoryLimiter::new(1000);
    std::thread::scope(|scope| {
        for thread in 0..8u128 {
            let limiter = &limiter;
            scope.spawn(move || {
                for round in 0..2000u128 {
                    let mut ids = [thread, round, thread + round, 3, 5].map(|n| 100 + n % 6).to_vec();
                    ids.sort_by_key(|id| std::cmp::Reverse((id * 7 + round) % 13));
                    let mut seen = std::collections::HashSet::new();
                    ids.retain(|id| seen.insert(*id));
                    let rate = Rate::per_second(1_000_000, 1_000_000);
                    let charges: Vec<_> = ids.iter().map(|id| charge(*id, rate)).collect();
                    let places: Vec<_> = ids.iter().rev().map(|id| place(*id, 4)).collect();
                    drop(limiter.decide(&ask(&charges, &places), 1 << 40));
                }
            });
        }
    });
    assert_eq!(limiter.running().keys(), 0);
}

#[test]
fn a_flood_of_keys_stays_within_the_bound() {
    let memory = Memory::new(640);
    for id in 0..50_000 {
        memory.take(&[charge(id, Rate::per_second(1, 10))]);
    }
    assert!(memory.limiter.keys() <= 640, "{} keys", memory.limiter.keys());
}

#[tokio::test]
async fn keys_that_are_whole_again_are_forgotten_before_those_in_use() {
    let memory = Memory::new(6400);
    let rate = Rate::per_second(1, 10);
    for id in 0..3200 {
        memory.take(&[charge(id, rate)]);
    }
    memory.pass(Duration::from_secs(2)).await;
    for id in 10_000..12_000 {
        memory.take(&[Charge { cost: 10, ..charge(id, rate) }]);
    }
    for id in 20_000..26_000 {
        memory.take(&[charge(id, rate)]);
    }
    let forgotten = (10_000..12_000).filter(|id| memory.take(&[charge(*id, rate)]).is_allowed()).count();
    assert_eq!(forgotten, 0, "keys in use were forgotten");
}

#[test]
fn who_took_most_is_not_forgotten_in_a_flood() {
    let memory = Memory::new(64 * 64);
    let rate = Rate::per_second(1, 10);
    let heavy = Charge { key: key(7), cost: 10, ..charge(7, rate) };
    memory.take(&[heavy]);
    for id in 1000..100_000 {
        memory.take(&[charge(id, rate)]);
    }
    assert!(!memory.take(&[Charge { cost: 1, ..heavy }]).is_allowed());
}

#[test]
fn a_rate_that_takes_longer_is_named_before_a_cap() {
    let memory = Memory::new(64);
    let (charges, places) = ([charge(1, Rate::per_second(1, 1))], [place(2, 1)]);
    let Decision::Allowed(_held) = memory.limiter.decide(&ask(&charges, &places), memory.now_us()) else {
        panic!("refused")
    };
    let Decision::Denied(refused) = memory.limiter.decide(&ask(&charges, &places), memory.now_us()) else {
        panic!("passed")
    };
    assert_eq!((refused.at, refused.retry_after), (0, Duration::from_secs(1)));
}

#[test]
fn a_look_is_not_remembered() {
    let memory = Memory::new(64);
    memory.take(&[Charge { key: LimitKey(1), cost: 0, ..charge(1, Rate::per_second(100, 100)) }]);
    assert_eq!(memory.limiter.keys(), 0);
}

#[test]
fn what_somebody_else_granted_counts_as_far_as_there_is_room() {
    let memory = Memory::new(64);
    let one = charge(1, Rate::per_second(1, 4));
    memory.limiter.note(&Charge { cost: 3, ..one }, memory.now_us());
    assert!(!memory.take(&[Charge { cost: 2, ..one }]).is_allowed());
    assert!(memory.take(&[one]).is_allowed());
    memory.limiter.note(&Charge { cost: 100, ..one }, memory.now_us());
    let Decision::Denied(refused) = memory.take(&[one]) else { panic!("nothing was left") };
    assert_eq!(refused.retry_after, Duration::from_secs(1), "more than the whole allowance was owed");
}
