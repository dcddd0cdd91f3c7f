//! What every limiter must do, as one suite. Each implementation brings a [`Rig`] and calls [`run`].

use std::time::Duration;

use patchbay_core::{
    TenantId,
    limits::{Gcra, LimitKey, Rate, WhenAway},
};

use crate::{Ask, CHARGES_MAX, Charge, Decision, Granted, Limiter, PLACES_MAX, Permit, Place, Refused, Standing};

/// A fresh limiter and the time that it sees.
pub(crate) trait Rig {
    fn limiter(&self) -> &dyn Limiter;
    fn now_us(&self) -> u64;
    /// Lets time go by: a step where the test owns the clock, a wait where it does not.
    async fn pass(&self, time: Duration);
}

/// A key of the suite.
pub(crate) fn key(id: u128) -> LimitKey {
    LimitKey::of(None, "suite", &[&id.to_be_bytes()])
}

/// One unit of a rate.
pub(crate) fn charge(id: u128, rate: Rate) -> Charge {
    Charge { key: key(id), gcra: Gcra::new(rate), cost: 1, away: WhenAway::Local, dry_run: false }
}

/// One place under a cap.
pub(crate) fn place(id: u128, max: u32) -> Place {
    Place { key: key(id), max, away: WhenAway::Local, dry_run: false }
}

/// A request of the tenant that all tests share.
pub(crate) fn ask<'a>(charges: &'a [Charge], places: &'a [Place]) -> Ask<'a> {
    Ask { tenant: TenantId::from_bits(7), charges, places, hold: Duration::from_secs(60) }
}

/// What is asked of a rig, and what it says.
pub(crate) async fn take(rig: &impl Rig, charges: &[Charge], places: &[Place]) -> Decision {
    rig.limiter().take(&ask(charges, places), rig.now_us()).decision().await
}

/// Runs the suite, each case on a limiter of its own.
pub(crate) async fn run<R: Rig>(rig: impl AsyncFn() -> R) {
    burst_then_rate(&rig().await).await;
    a_refusal_says_when_to_come_again(&rig().await).await;
    all_or_nothing_over_rates(&rig().await).await;
    all_or_nothing_over_rates_and_places(&rig().await).await;
    the_longest_wait_is_named(&rig().await).await;
    keys_do_not_share(&rig().await).await;
    costs_are_weighed(&rig().await).await;
    a_cost_of_none_takes_nothing(&rig().await).await;
    a_closed_limit_refuses_all(&rig().await).await;
    no_limit_is_no_refusal(&rig().await).await;
    the_tightest_rate_is_told(&rig().await).await;
    dry_runs_are_counted_and_refuse_nobody(&rig().await).await;
    a_dry_run_that_does_not_fit_is_left_as_it_is(&rig().await).await;
    places_come_back_with_the_permit(&rig().await).await;
    a_dry_cap_counts_and_refuses_nobody(&rig().await).await;
    a_rate_and_a_cap_may_have_one_key(&rig().await).await;
    a_look_tells_all_and_takes_nothing(&rig().await).await;
    too_much_is_refused(&rig().await).await;
}

fn slow(burst: u32) -> Rate {
    Rate { count: 1, period: Duration::from_millis(250), burst }
}

fn hourly(burst: u32) -> Rate {
    Rate { count: 1, period: Duration::from_secs(3600), burst }
}

async fn allowed(rig: &impl Rig, charges: &[Charge]) -> bool {
    take(rig, charges, &[]).await.is_allowed()
}

async fn granted(rig: &impl Rig, charges: &[Charge], places: &[Place]) -> Granted {
    match take(rig, charges, places).await {
        Decision::Allowed(granted) => granted,
        Decision::Denied(refused) => panic!("{refused:?}"),
    }
}

async fn refused(rig: &impl Rig, charges: &[Charge], places: &[Place]) -> Refused {
    match take(rig, charges, places).await {
        Decision::Denied(refused) => refused,
        Decision::Allowed(granted) => panic!("{granted:?}"),
    }
}

async fn count_allowed(rig: &impl Rig, charges: &[Charge], tries: u32) -> u32 {
    let mut count = 0;
    for _ in 0..tries {
        count += u32::from(allowed(rig, charges).await);
    }
    count
}

async fn remaining(rig: &impl Rig, charge: Charge) -> u32 {
    let look = Charge { cost: 0, dry_run: false, ..charge };
    granted(rig, &[look], &[]).await.tightest.unwrap().remaining
}

async fn burst_then_rate(rig: &impl Rig) {
    let request = [charge(1, slow(3))];
    assert_eq!(count_allowed(rig, &request, 10).await, 3);
    rig.pass(Duration::from_millis(510)).await;
    assert_eq!(count_allowed(rig, &request, 10).await, 2);
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(count_allowed(rig, &request, 10).await, 3, "a pause gives no more than the burst");
}

async fn a_refusal_says_when_to_come_again(rig: &impl Rig) {
    let request = [charge(1, slow(1))];
    assert_eq!(granted(rig, &request, &[]).await.tightest.unwrap().remaining, 0);
    let Refused { at, retry_after, away } = refused(rig, &request, &[]).await;
    assert!(at == 0 && !away);
    assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_millis(250), "{retry_after:?}");
    rig.pass(retry_after).await;
    assert!(allowed(rig, &request).await);
}

async fn all_or_nothing_over_rates(rig: &impl Rig) {
    let (wide, narrow) = (charge(1, hourly(5)), charge(2, hourly(1)));
    assert!(allowed(rig, &[wide, narrow]).await);
    for request in [[wide, narrow], [narrow, wide]] {
        assert_eq!(count_allowed(rig, &request, 10).await, 0);
    }
    assert_eq!(count_allowed(rig, &[wide], 10).await, 4, "a refused request has taken from the wide limit");
}

async fn all_or_nothing_over_rates_and_places(rig: &impl Rig) {
    let (rate, spent, cap, full) = (charge(1, hourly(5)), charge(2, hourly(1)), place(3, 2), place(4, 1));
    let held = granted(rig, &[spent], &[full]).await;
    for _ in 0..5 {
        refused(rig, &[rate], &[cap, full]).await;
        refused(rig, &[rate, spent], &[cap]).await;
    }
    assert_eq!(remaining(rig, rate).await, 5, "a request that a cap refused has taken from a rate");
    let both = (granted(rig, &[], &[cap]).await, granted(rig, &[], &[cap]).await);
    assert_eq!(refused(rig, &[rate], &[full, cap]).await.at, 1);
    drop((held, both));
}

async fn the_longest_wait_is_named(rig: &impl Rig) {
    let (short, long, cap) = (charge(1, slow(1)), charge(2, hourly(1)), place(3, 1));
    let _held = granted(rig, &[short, long], &[cap]).await;
    for (request, at) in [([short, long], 1), ([long, short], 0)] {
        let refused = refused(rig, &request, &[]).await;
        assert_eq!(refused.at, at);
        assert!(refused.retry_after > Duration::from_secs(3000), "{refused:?}");
    }
    let crowded = refused(rig, &[charge(4, hourly(9))], &[cap]).await;
    assert!(crowded.at == 1 && crowded.retry_after > Duration::ZERO, "{crowded:?}");
}

async fn keys_do_not_share(rig: &impl Rig) {
    for id in 0..20 {
        assert!(allowed(rig, &[charge(id, hourly(1))]).await, "key {id} was refused for others");
        assert!(!allowed(rig, &[charge(id, hourly(1))]).await);
    }
}

async fn costs_are_weighed(rig: &impl Rig) {
    let one = charge(1, hourly(5));
    assert!(allowed(rig, &[Charge { cost: 4, ..one }]).await);
    assert!(!allowed(rig, &[Charge { cost: 2, ..one }]).await);
    assert!(allowed(rig, &[one]).await);
    assert!(!allowed(rig, &[Charge { key: key(2), cost: 6, ..one }]).await, "a cost above the burst passed");
}

async fn a_cost_of_none_takes_nothing(rig: &impl Rig) {
    let one = charge(1, hourly(2));
    for _ in 0..5 {
        assert_eq!(remaining(rig, one).await, 2);
    }
    assert_eq!(count_allowed(rig, &[one], 5).await, 2);
    assert_eq!(remaining(rig, one).await, 0);
}

async fn a_closed_limit_refuses_all(rig: &impl Rig) {
    assert_eq!(count_allowed(rig, &[charge(1, Rate::per_second(0, 5))], 5).await, 0);
    assert_eq!(refused(rig, &[], &[place(2, 0)]).await.at, 0);
}

async fn no_limit_is_no_refusal(rig: &impl Rig) {
    let granted = granted(rig, &[], &[]).await;
    assert!(granted.tightest.is_none() && granted.would_deny == 0);
}

async fn the_tightest_rate_is_told(rig: &impl Rig) {
    let (wide, narrow) = (charge(1, hourly(50)), charge(2, slow(3)));
    let Standing { at, remaining, reset_after } = granted(rig, &[wide, narrow], &[]).await.tightest.unwrap();
    assert_eq!((at, remaining), (1, 2));
    assert!(reset_after > Duration::from_millis(200) && reset_after <= Duration::from_millis(250), "{reset_after:?}");
    let dry = Charge { dry_run: true, ..charge(3, slow(1)) };
    assert_eq!(granted(rig, &[wide, dry], &[]).await.tightest.unwrap().at, 0);
}

async fn dry_runs_are_counted_and_refuse_nobody(rig: &impl Rig) {
    let (real, dry) = (charge(1, hourly(9)), Charge { dry_run: true, ..charge(2, hourly(2)) });
    for would_deny in [0, 0, 0b10, 0b10] {
        assert_eq!(granted(rig, &[real, dry], &[]).await.would_deny, would_deny);
    }
    assert_eq!(remaining(rig, dry).await, 0);
    assert_eq!(remaining(rig, real).await, 5);
}

async fn a_dry_run_that_does_not_fit_is_left_as_it_is(rig: &impl Rig) {
    let dry = Charge { dry_run: true, ..charge(1, hourly(3)) };
    assert_eq!(granted(rig, &[Charge { cost: 4, ..dry }], &[]).await.would_deny, 1);
    assert_eq!(remaining(rig, dry).await, 3);
}

async fn places_come_back_with_the_permit(rig: &impl Rig) {
    let caps = [place(1, 2), place(2, 9)];
    let (first, second) = (granted(rig, &[], &caps).await, granted(rig, &[], &caps).await);
    assert_eq!(refused(rig, &[], &caps).await.at, 0);
    assert!(take(rig, &[], &[place(3, 1)]).await.is_allowed(), "another key was refused");
    drop(first);
    let third: Permit = granted(rig, &[], &caps).await.permit;
    assert!(!take(rig, &[], &caps).await.is_allowed());
    drop((second, third));
    let _both = (granted(rig, &[], &caps).await, granted(rig, &[], &caps).await);
}

async fn a_dry_cap_counts_and_refuses_nobody(rig: &impl Rig) {
    let dry = [Place { dry_run: true, ..place(1, 1) }];
    let first = granted(rig, &[charge(2, hourly(9))], &dry).await;
    assert_eq!(first.would_deny, 0);
    let second = granted(rig, &[charge(2, hourly(9))], &dry).await;
    assert_eq!(second.would_deny, 0b10);
    drop(first);
    // The second is counted, though it did not fit.
    assert_eq!(granted(rig, &[], &dry).await.would_deny, 1);
    drop(second);
    assert_eq!(granted(rig, &[], &dry).await.would_deny, 0);
}

async fn a_rate_and_a_cap_may_have_one_key(rig: &impl Rig) {
    let (rate, cap) = (charge(1, hourly(9)), place(1, 1));
    let _held = granted(rig, &[rate], &[cap]).await;
    assert_eq!(refused(rig, &[rate], &[cap]).await.at, 1);
}

async fn a_look_tells_all_and_takes_nothing(rig: &impl Rig) {
    let (charges, places) = ([charge(1, hourly(5)), charge(2, slow(3))], [place(3, 4)]);
    let _held = granted(rig, &[Charge { cost: 2, ..charges[0] }], &places).await;
    for _ in 0..5 {
        let ask = ask(&charges, &places);
        let found = rig.limiter().look(&ask, rig.now_us()).await;
        let told: Vec<_> = found.iter().map(|standing| (standing.at, standing.remaining)).collect();
        assert_eq!(told, [(0, 3), (1, 3), (2, 3)]);
        assert!(found[0].reset_after > Duration::from_secs(7000) && found[1].reset_after.is_zero(), "{found:?}");
    }
}

async fn too_much_is_refused(rig: &impl Rig) {
    let charges: Vec<_> = (0..=CHARGES_MAX as u128).map(|id| charge(id, hourly(1))).collect();
    let places: Vec<_> = (0..=PLACES_MAX as u128).map(|id| place(id, 1)).collect();
    assert!(!take(rig, &charges, &[]).await.is_allowed());
    assert!(!take(rig, &[], &places).await.is_allowed());
    assert!(take(rig, &charges[1..], &places[1..]).await.is_allowed());
}
