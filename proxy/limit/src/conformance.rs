//! What every rate limiter must do, as one suite. Each implementation brings a [`Rig`] and calls [`run`].

use std::time::Duration;

use patchbay_core::limits::{Decision, Dimension, LimitKey, LimitSpec, Rate};

use crate::{Charge, RateLimiter};

/// A fresh limiter and the time that it sees.
pub(crate) trait Rig {
    fn limiter(&self) -> &dyn RateLimiter;
    fn now_us(&self) -> u64;
    /// Lets time go by: a step where the test owns the clock, a wait where it does not.
    async fn pass(&self, time: Duration);
}

/// A key of the suite.
pub(crate) fn key(id: u128) -> LimitKey {
    LimitKey::of(None, Dimension::Principal, &id.to_be_bytes())
}

/// Runs the suite, each case on a limiter of its own.
pub(crate) async fn run<R: Rig>(rig: impl Fn() -> R) {
    burst_then_rate(&rig()).await;
    a_refusal_says_when_to_come_again(&rig()).await;
    all_or_nothing(&rig()).await;
    the_longest_wait_is_named(&rig()).await;
    keys_do_not_share(&rig()).await;
    costs_are_weighed(&rig()).await;
    a_look_takes_nothing(&rig()).await;
    a_closed_limit_refuses_all(&rig()).await;
    no_limit_is_no_refusal(&rig()).await;
}

fn slow(dimension: Dimension, burst: u32) -> LimitSpec {
    LimitSpec::new(dimension, Rate { count: 1, period: Duration::from_millis(200), burst })
}

fn charge(id: u128, spec: LimitSpec) -> Charge {
    Charge { key: key(id), spec, cost: 1 }
}

async fn take(rig: &impl Rig, request: &[Charge]) -> Decision {
    rig.limiter().take(request, rig.now_us()).decision().await
}

async fn allowed(rig: &impl Rig, request: &[Charge]) -> bool {
    matches!(take(rig, request).await, Decision::Allowed { .. })
}

async fn count_allowed(rig: &impl Rig, request: &[Charge], tries: u32) -> u32 {
    let mut count = 0;
    for _ in 0..tries {
        count += u32::from(allowed(rig, request).await);
    }
    count
}

async fn burst_then_rate(rig: &impl Rig) {
    let request = [charge(1, slow(Dimension::Principal, 3))];
    assert_eq!(count_allowed(rig, &request, 10).await, 3);
    rig.pass(Duration::from_millis(410)).await;
    assert_eq!(count_allowed(rig, &request, 10).await, 2);
    rig.pass(Duration::from_secs(2)).await;
    assert_eq!(count_allowed(rig, &request, 10).await, 3, "a pause gives no more than the burst");
}

async fn a_refusal_says_when_to_come_again(rig: &impl Rig) {
    let request = [charge(1, slow(Dimension::Principal, 1))];
    assert_eq!(take(rig, &request).await, Decision::Allowed { remaining: 0 });
    let Decision::Denied { limit, retry_after } = take(rig, &request).await else { panic!("two passed") };
    assert_eq!(limit, Dimension::Principal);
    assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_millis(200), "{retry_after:?}");
    rig.pass(retry_after).await;
    assert!(allowed(rig, &request).await);
}

async fn all_or_nothing(rig: &impl Rig) {
    let wide = charge(1, slow(Dimension::Tenant, 5));
    let narrow = charge(2, slow(Dimension::Tool, 1));
    assert!(allowed(rig, &[wide, narrow]).await);
    for request in [[wide, narrow], [narrow, wide]] {
        assert_eq!(count_allowed(rig, &request, 10).await, 0);
    }
    assert_eq!(count_allowed(rig, &[wide], 10).await, 4, "a refused request has taken from the wide limit");
}

async fn the_longest_wait_is_named(rig: &impl Rig) {
    let short = charge(1, slow(Dimension::Tool, 1));
    let rate = Rate { count: 1, period: Duration::from_secs(60), burst: 1 };
    let long = charge(2, LimitSpec::new(Dimension::Tenant, rate));
    assert!(allowed(rig, &[short, long]).await);
    for request in [[short, long], [long, short]] {
        let Decision::Denied { limit, retry_after } = take(rig, &request).await else { panic!("it passed") };
        assert_eq!(limit, Dimension::Tenant);
        assert!(retry_after > Duration::from_secs(50), "{retry_after:?}");
    }
}

async fn keys_do_not_share(rig: &impl Rig) {
    let spec = slow(Dimension::Principal, 1);
    for id in 0..20 {
        assert!(allowed(rig, &[charge(id, spec)]).await, "key {id} was refused for others");
        assert!(!allowed(rig, &[charge(id, spec)]).await);
    }
}

async fn costs_are_weighed(rig: &impl Rig) {
    let one = charge(1, slow(Dimension::Tool, 5));
    assert!(allowed(rig, &[Charge { cost: 4, ..one }]).await);
    assert!(!allowed(rig, &[Charge { cost: 2, ..one }]).await);
    assert!(allowed(rig, &[one]).await);
    assert!(!allowed(rig, &[Charge { key: key(2), cost: 6, ..one }]).await, "a cost above the burst passed");
}

async fn a_look_takes_nothing(rig: &impl Rig) {
    let one = charge(1, slow(Dimension::Tool, 2));
    let look = Charge { cost: 0, ..one };
    for _ in 0..5 {
        assert_eq!(take(rig, &[look]).await, Decision::Allowed { remaining: 2 });
    }
    assert_eq!(count_allowed(rig, &[one], 5).await, 2);
    assert_eq!(take(rig, &[look]).await, Decision::Allowed { remaining: 0 });
}

async fn a_closed_limit_refuses_all(rig: &impl Rig) {
    let spec = LimitSpec::new(Dimension::Tool, Rate::per_second(0, 5));
    assert_eq!(count_allowed(rig, &[charge(1, spec)], 5).await, 0);
}

async fn no_limit_is_no_refusal(rig: &impl Rig) {
    assert_eq!(take(rig, &[]).await, Decision::Allowed { remaining: u32::MAX });
}
