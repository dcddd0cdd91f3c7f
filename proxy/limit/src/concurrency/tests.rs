//! Caps hold, and permits come back from every way out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::conformance::key;

fn cap(id: u128, max: u32) -> Concurrent {
    Concurrent { key: key(id), dimension: Dimension::Principal, max }
}

#[test]
fn a_call_over_the_cap_is_refused_until_one_ends() {
    let limiter = ConcurrencyLimiter::new();
    let first = limiter.enter(&[cap(1, 2)]).unwrap();
    let second = limiter.enter(&[cap(1, 2)]).unwrap();
    assert_eq!(limiter.enter(&[cap(1, 2)]).err(), Some(Crowded(Dimension::Principal)));
    assert!(limiter.enter(&[cap(2, 2)]).is_ok(), "another key was refused");
    drop(first);
    let third = limiter.enter(&[cap(1, 2)]).unwrap();
    assert_eq!(limiter.running(key(1)), 2);
    drop((second, third));
    assert_eq!(limiter.keys(), 0, "a key without calls is remembered");
}

#[test]
fn a_call_that_one_cap_refuses_holds_nothing_of_the_others() {
    let limiter = ConcurrencyLimiter::new();
    let held = limiter.enter(&[cap(2, 1)]).unwrap();
    for _ in 0..10 {
        assert!(limiter.enter(&[cap(1, 1), cap(2, 1)]).is_err());
    }
    drop(held);
    let both = limiter.enter(&[cap(1, 1), cap(2, 1)]).unwrap();
    drop(both);
    assert_eq!(limiter.keys(), 0);
}

#[test]
fn a_cap_of_none_and_too_many_caps_are_refused() {
    let limiter = ConcurrencyLimiter::new();
    assert!(limiter.enter(&[cap(1, 0)]).is_err());
    let caps: Vec<_> = (0..=CONCURRENT_MAX as u128).map(|id| cap(id, 9)).collect();
    assert!(limiter.enter(&caps).is_err());
    assert_eq!(limiter.keys(), 0);
}

#[test]
fn a_permit_comes_back_from_a_panic() {
    let limiter = ConcurrencyLimiter::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = limiter.enter(&[cap(1, 1)]).unwrap();
        panic!("the call fell over");
    }));
    assert!(panicked.is_err());
    assert!(limiter.enter(&[cap(1, 1)]).is_ok());
}

#[test]
fn eight_threads_never_run_more_than_the_cap() {
    let limiter = ConcurrencyLimiter::new();
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if let Ok(_permit) = limiter.enter(&[cap(1, 3), cap(2, 100)]) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(limiter.keys(), 0);
}
