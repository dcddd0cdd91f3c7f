//! Caps hold, and permits come back from every way out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    Decision, Granted, MemoryLimiter, Place,
    conformance::{ask, place},
};

fn enter(limiter: &MemoryLimiter, places: &[Place]) -> Option<Granted> {
    match limiter.decide(&ask(&[], places), 1 << 40) {
        Decision::Allowed(granted) => Some(granted),
        Decision::Denied(_) => None,
    }
}

#[test]
fn a_permit_comes_back_from_a_panic() {
    let limiter = MemoryLimiter::new(64);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = enter(&limiter, &[place(1, 1)]).unwrap();
        panic!("the call fell over");
    }));
    assert!(panicked.is_err());
    assert!(enter(&limiter, &[place(1, 1)]).is_some());
}

#[test]
fn a_key_without_calls_is_forgotten() {
    let limiter = MemoryLimiter::new(64);
    let held = enter(&limiter, &[place(1, 1), place(2, 1)]).unwrap();
    for _ in 0..10 {
        assert!(enter(&limiter, &[place(3, 1), place(2, 1)]).is_none());
        assert!(enter(&limiter, &[place(4, 0)]).is_none());
    }
    assert_eq!(limiter.running().keys(), 2);
    drop(held);
    assert_eq!(limiter.running().keys(), 0);
}

#[test]
fn eight_threads_never_run_more_than_the_cap() {
    let limiter = MemoryLimiter::new(64);
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (limiter, now, most) = (&limiter, &now, &most);
            scope.spawn(move || {
                let mut caps = [place(1, 3), place(2, 100)];
                if thread % 2 == 0 {
                    caps.reverse();
                }
                for _ in 0..20_000 {
                    if let Some(_permit) = enter(limiter, &caps) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(limiter.running().keys(), 0);
}
