//! Places come back: with the permit, from a holder that died, from an answer that nobody waited for, after an outage.

use std::{thread, time::Duration};

use super::{super::*, rig::Shared, server::Server};
use crate::conformance::{self, Rig, ask, place};

async fn until_free(server: &Server, count: u64) {
    for _ in 0..2000 {
        if server.redis().leases() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} leases are held, {count} expected", server.redis().leases());
}

#[tokio::test]
async fn a_cap_holds_over_replicas() {
    let Some(server) = Server::start() else { return };
    let one = Shared::start(&server).await;
    let two = one.twin(&server).await;
    let caps = [place(1, 2)];
    let (first, second) = (conformance::take(&one, &[], &caps).await, conformance::take(&two, &[], &caps).await);
    assert!(first.is_allowed() && second.is_allowed());
    assert!(!conformance::take(&one, &[], &caps).await.is_allowed());
    assert!(!conformance::take(&two, &[], &caps).await.is_allowed());
    drop(first);
    until_free(&server, 1).await;
    assert!(conformance::take(&two, &[], &caps).await.is_allowed());
}

#[tokio::test]
async fn calls_one_after_the_other_never_meet_their_own_place() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    for round in 0..500 {
        assert!(conformance::take(&shared, &[], &[place(1, 1)]).await.is_allowed(), "refused in round {round}");
    }
}

#[tokio::test]
async fn the_places_of_a_dead_replica_come_back_when_their_time_is_up() {
    let Some(server) = Server::start() else { return };
    let dying = Shared::start(&server).await;
    let other = dying.twin(&server).await;
    let caps = [place(1, 1)];
    let short = Ask { hold: Duration::from_millis(700), ..ask(&[], &caps) };
    let held = dying.limiter.take(&short, 0).decision().await;
    assert!(held.is_allowed());
    std::mem::forget(held);
    drop(dying);
    assert!(!other.limiter.take(&short, 0).decision().await.is_allowed());
    other.pass(Duration::from_millis(710)).await;
    assert!(other.limiter.take(&short, 0).decision().await.is_allowed());
    assert_eq!(server.redis().leases(), 1, "the old lease is still there");
}

#[tokio::test]
async fn a_short_lease_does_not_end_a_long_one() {
    let Some(server) = Server::start() else { return };
    let one = Shared::start(&server).await;
    let two = one.twin(&server).await;
    let caps = [place(1, 2)];
    let with = |hold| Ask { hold, ..ask(&[], &caps) };
    let long = one.limiter.take(&with(Duration::from_secs(60)), 0).decision().await;
    std::mem::forget(two.limiter.take(&with(Duration::from_millis(50)), 0).decision().await);
    two.pass(Duration::from_millis(200)).await;
    let left = one.limiter.look(&with(Duration::from_secs(1)), 0).await;
    assert_eq!(left[0].remaining, 1);
    drop(long);
}

#[tokio::test]
async fn a_permit_may_be_dropped_outside_of_any_runtime() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    let held: Vec<_> = {
        let mut held = Vec::new();
        for _ in 0..300 {
            held.push(conformance::take(&shared, &[], &[place(1, 1000), place(2, 1000)]).await);
        }
        held
    };
    assert_eq!(server.redis().leases(), 600);
    thread::spawn(move || drop(held)).join().unwrap();
    until_free(&server, 0).await;
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_gives_its_places_back() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::start(&server).await;
    for _ in 0..20 {
        let Take::Pending(mut later) = shared.limiter.take(&ask(&[], &[place(1, 100)]), 0) else { panic!("not asked") };
        tokio::select! {
            biased;
            _ = &mut later => {}
            () = tokio::task::yield_now() => {}
        }
    }
    until_free(&server, 0).await;
}

#[tokio::test]
async fn what_ends_while_redis_is_away_is_given_back_when_it_is_well() {
    let Some(server) = Server::start() else { return };
    let shared = Shared::impatient(&server, Duration::from_millis(50)).await;
    let held = conformance::take(&shared, &[], &[place(1, 100)]).await;
    assert_eq!(server.redis().leases(), 1);
    server.pause();
    // Some of these are taken by Redis when it wakes, long after they were decided here.
    for _ in 0..10 {
        drop(conformance::take(&shared, &[], &[place(1, 100)]).await);
    }
    assert_eq!(shared.stats().mode, Mode::Away);
    drop(held);
    server.resume();
    shared.until(|stats| stats.mode == Mode::Shared && stats.releases_waiting == 0).await;
    until_free(&server, 0).await;
}
