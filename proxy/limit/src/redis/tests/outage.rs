//! Redis stopped, paused, emptied, made read-only: what callers see meanwhile, and how soon all is well again.

use std::time::{Duration, Instant};

use patchbay_core::limits::{Rate, WhenAway};

use super::{super::*, rig::Shared, server::Server};
use crate::conformance::{self, charge, place};

const TIMEOUT: Duration = Duration::from_millis(50);
/// What is promised, and what a busy machine may take to notice it.
const RECOVERY: Duration = Duration::from_secs(10);

fn hourly(burst: u32) -> Rate {
    Rate { count: 1, period: Duration::from_secs(3600), burst }
}

async fn count_allowed(shared: &Shared, charge: Charge, tries: u32) -> u32 {
    let mut count = 0;
    for _ in 0..tries {
        count += u32::from(conformance::take(shared, &[charge], &[]).await.is_allowed());
    }
    count
}

/// Asks until the breaker is open.
async fn until_away(shared: &Shared) {
    let started = Instant::now();
    while shared.stats().mode != Mode::Away {
        assert!(started.elapsed() < RECOVERY, "{:?}", shared.stats());
        conformance::take(shared, &[charge(99, Rate::per_second(1000, 1000))], &[]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_redis_that_never_was_there_is_told_of_once() {
    let Some(server) = Server::start() else { return };
    server.kill();
    let shared = Shared::begin(&server, TIMEOUT, "never".to_owned());
    assert_eq!(count_allowed(&shared, charge(1, hourly(3)), 10).await, 3);
    for _ in 0..4000 {
        if !shared.heard().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(shared.heard(), [(Mode::Away, "refused")]);
    server.run();
    assert!(shared.until(|stats| stats.mode == Mode::Shared).await < RECOVERY);
    assert_eq!(shared.heard(), [(Mode::Away, "refused"), (Mode::Shared, "recovered")]);
}

#[tokio::test]
async fn a_stopped_redis_leaves_each_replica_its_share_and_recovery_is_quick() {
    let Some(server) = Server::start() else { return };
    let one = Shared::impatient(&server, TIMEOUT).await;
    let two = one.twin(&server).await;
    for shared in [&one, &two] {
        shared.until(|stats| stats.replicas == 2).await;
    }
    server.kill();
    until_away(&one).await;
    until_away(&two).await;
    let key = charge(1, hourly(9));
    let (first, second) = (count_allowed(&one, key, 20).await, count_allowed(&two, key, 20).await);
    assert_eq!((first, second), (5, 5), "half of nine, rounded up");
    let caps = [place(2, 3)];
    let held = (conformance::take(&one, &[], &caps).await, conformance::take(&one, &[], &caps).await);
    assert!(held.0.is_allowed() && held.1.is_allowed());
    assert!(!conformance::take(&one, &[], &caps).await.is_allowed());
    drop(held);
    server.run();
    assert!(one.until(|stats| stats.mode == Mode::Shared).await < RECOVERY);
    assert_eq!(one.heard().len(), 3, "{:?}", one.heard());
    assert_eq!(one.heard()[2], (Mode::Shared, "recovered"));
    // It came back empty: one more burst for all replicas together.
    two.until(|stats| stats.mode == Mode::Shared).await;
    assert_eq!(count_allowed(&one, key, 20).await + count_allowed(&two, key, 20).await, 9);
}

#[tokio::test]
async fn a_share_is_warm_from_the_first_moment() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    let key = charge(1, hourly(5));
    assert_eq!(count_allowed(&shared, key, 4).await, 4);
    let _held = conformance::take(&shared, &[], &[place(2, 2)]).await;
    server.kill();
    until_away(&shared).await;
    assert_eq!(count_allowed(&shared, key, 10).await, 1, "an outage gave a fresh burst");
    let caps = [place(2, 2)];
    let second = conformance::take(&shared, &[], &caps).await;
    assert!(second.is_allowed());
    assert!(!conformance::take(&shared, &[], &caps).await.is_allowed());
}

#[tokio::test]
async fn closed_refuses_and_open_lets_through() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    server.kill();
    until_away(&shared).await;
    let closed = [Charge { away: WhenAway::Closed, ..charge(1, hourly(5)) }];
    let Decision::Denied(refused) = conformance::take(&shared, &closed, &[]).await else { panic!("it passed") };
    assert_eq!(refused, Refused { at: 0, retry_after: Duration::from_secs(1), away: true });
    let open = Charge { away: WhenAway::Open, ..charge(1, hourly(1)) };
    assert_eq!(count_allowed(&shared, open, 10).await, 10);
}

#[tokio::test]
async fn a_restart_that_lost_all_gives_at_most_one_more_burst() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    let key = charge(1, hourly(20));
    assert_eq!(count_allowed(&shared, key, 10).await, 10);
    server.kill();
    server.run();
    let mut count = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) || shared.stats().mode != Mode::Shared {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", shared.stats());
        count += count_allowed(&shared, key, 1).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // What was left of the first burst may have been granted here in the meantime.
    assert!((20..=30).contains(&count), "{count} more");
}

#[tokio::test]
async fn a_paused_redis_delays_nobody_once_the_breaker_is_open() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    server.pause();
    let key = charge(1, Rate::per_second(1000, 1000));
    let mut waits = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(conformance::take(&shared, &[key], &[]).await.is_allowed());
        waits.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Without the breaker each of them would have waited for its time.
    let slow = waits.iter().filter(|wait| **wait >= TIMEOUT).count();
    assert!(slow >= 1 && slow * 3 < waits.len(), "{slow} of {} calls waited for Redis", waits.len());
    assert_eq!(shared.heard().last(), Some(&(Mode::Away, "timeout")));
    server.resume();
    assert!(shared.until(|stats| stats.mode == Mode::Shared).await < RECOVERY);
}

#[tokio::test]
async fn calls_at_once_on_a_paused_redis_wait_no_longer_than_one() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    server.pause();
    let asked = Instant::now();
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let limiter = shared.limiter.clone();
            tokio::spawn(async move {
                let charges = [charge(1, Rate::per_second(1000, 1000))];
                limiter.take(&conformance::ask(&charges, &[]), 1 << 40).decision().await.is_allowed()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert!(asked.elapsed() < TIMEOUT * 100, "{:?}", asked.elapsed());
    server.resume();
}

/// Takes at once, in tasks of this thread; how many passed.
async fn take_at_once(shared: &Shared, charge: Charge, count: usize) -> usize {
    let one = || {
        let limiter = shared.limiter.clone();
        async move { limiter.take(&conformance::ask(&[charge], &[]), 1 << 40).decision().await.is_allowed() }
    };
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(one())).collect();
    let mut passed = 0;
    for task in tasks {
        passed += usize::from(task.await.unwrap());
    }
    passed
}

#[tokio::test]
async fn a_thread_that_is_held_up_does_not_take_redis_for_away() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    let key = charge(1, Rate::per_second(1000, 1000));
    // Somebody's large message keeps the thread from sending what others ask, and from hearing the answers.
    let asked = take_at_once(&shared, key, 20);
    let held_up = async { tokio::spawn(async { std::thread::sleep(3 * TIMEOUT) }).await.unwrap() };
    // The way to Redis and back takes a moment, too.
    server.pause();
    let answers = async {
        tokio::time::sleep(3 * TIMEOUT + TIMEOUT / 5).await;
        server.resume();
    };
    let (passed, (), ()) = tokio::join!(asked, held_up, answers);
    let stats = shared.stats();
    assert_eq!((passed, stats.fallbacks, stats.mode), (20, 0, Mode::Shared), "{:?}", shared.heard());
}

#[tokio::test]
async fn a_script_that_redis_forgot_costs_no_connection() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    server.redis().run(&["SCRIPT", "FLUSH"]);
    let passed = take_at_once(&shared, charge(1, Rate::per_second(1000, 1000)), 20).await;
    let stats = shared.stats();
    assert_eq!((passed, stats.fallbacks, stats.lanes), (20, 0, 1), "{stats:?}");
}

#[tokio::test]
async fn a_redis_that_only_reads_is_away() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    server.redis().run(&["REPLICAOF", "127.0.0.1", "1"]);
    until_away(&shared).await;
    let word = shared.heard().last().unwrap().1;
    assert!(["read_only", "master_down"].contains(&word), "{word}");
    assert_eq!(count_allowed(&shared, charge(1, hourly(3)), 10).await, 3);
    server.redis().run(&["REPLICAOF", "NO", "ONE"]);
    assert!(shared.until(|stats| stats.mode == Mode::Shared).await < RECOVERY);
}

#[tokio::test]
async fn a_redis_without_room_is_away() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    server.redis().run(&["CONFIG", "SET", "maxmemory", "1"]);
    until_away(&shared).await;
    assert_eq!(shared.heard().last(), Some(&(Mode::Away, "out_of_memory")));
    server.redis().run(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(shared.until(|stats| stats.mode == Mode::Shared).await < RECOVERY);
}

#[tokio::test]
async fn a_password_that_is_wanted_is_told_as_such() {
    let Some(server) = Server::start() else { return };
    server.redis().run(&["CONFIG", "SET", "requirepass", "other"]);
    let shared = Shared::begin(&server, TIMEOUT, "auth".to_owned());
    for _ in 0..4000 {
        if !shared.heard().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(shared.heard(), [(Mode::Away, "auth")]);
}

#[tokio::test]
async fn connections_that_redis_closes_are_made_anew() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, Duration::from_secs(1)).await;
    let key = charge(1, Rate::per_second(1000, 1000));
    for _ in 0..5 {
        server.redis().run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        shared.until(|stats| stats.lanes == 0).await;
        let started = Instant::now();
        while shared.stats().lanes == 0 {
            assert!(conformance::take(&shared, &[key], &[]).await.is_allowed());
            assert!(started.elapsed() < Duration::from_secs(20), "{:?}", shared.stats());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(shared.heard(), [(Mode::Shared, "connected")]);
}

#[tokio::test]
async fn an_idle_gateway_notices_too() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, TIMEOUT).await;
    server.kill();
    shared.until(|stats| stats.mode == Mode::Away).await;
    assert_eq!(shared.heard().last(), Some(&(Mode::Away, "refused")));
}
