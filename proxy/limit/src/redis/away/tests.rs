//! Shares are never more than the limit, and each limit falls back as it says.

use patchbay_core::limits::Rate;
use proptest::prelude::*;

use super::*;
use crate::conformance::{ask, charge, place};

const NOW: u64 = 1 << 40;

fn hourly(burst: u32) -> Rate {
    Rate { count: 1, period: Duration::from_secs(3600), burst }
}

fn refused(decision: Decision) -> Refused {
    match decision {
        Decision::Denied(refused) => refused,
        Decision::Allowed(granted) => panic!("{granted:?}"),
    }
}

#[test]
fn a_share_is_slower_and_smaller() {
    let gcra = Gcra::new(Rate::per_second(100, 50));
    assert_eq!(share_of_rate(gcra, 0), gcra);
    assert_eq!(share_of_rate(gcra, 1), gcra);
    assert_eq!(share_of_rate(gcra, 3), Gcra { emission_us: 30_000, capacity_us: 17 * 30_000 });
    assert_eq!(share_of_rate(gcra, 1000), Gcra { emission_us: 10_000_000, capacity_us: 10_000_000 });
    let closed = Gcra::new(Rate::per_second(0, 50));
    assert_eq!(share_of_rate(closed, 3).capacity_us, 0, "a limit that refuses all has let somebody through");
    assert_eq!([0, 1, 2, 3, 64].map(|max| share_of_cap(max, 3)), [0, 1, 1, 1, 22]);
}

#[test]
fn closed_refuses_open_does_not_and_local_counts() {
    let local = MemoryLimiter::new(64);
    let with = |id, away| Charge { away, ..charge(id, hourly(1)) };
    let (counted, closed, open) = (with(1, WhenAway::Local), with(2, WhenAway::Closed), with(3, WhenAway::Open));
    for _ in 0..3 {
        let refused = refused(decide(&local, &ask(&[open, counted, closed], &[]), 1, NOW));
        assert_eq!((refused.at, refused.away), (2, true));
        assert!(decide(&local, &ask(&[open, Charge { cost: 0, ..closed }], &[]), 1, NOW).is_allowed());
    }
    let Decision::Allowed(granted) = decide(&local, &ask(&[open, counted], &[]), 1, NOW) else { panic!("refused") };
    assert_eq!(granted.tightest.map(|standing| standing.at), Some(1));
    let refused = refused(decide(&local, &ask(&[open, open, counted], &[]), 1, NOW));
    assert_eq!((refused.at, refused.away), (2, false));
}

#[test]
fn what_weighs_more_than_a_share_passes_as_often_as_the_limit_lets_it() {
    let local = MemoryLimiter::new(64);
    let (light, heavy) =
        (charge(1, Rate::per_second(1, 20)), Charge { cost: 20, ..charge(1, Rate::per_second(1, 20)) });
    let take = |charge, at_s: u64| decide(&local, &ask(&[charge], &[]), 3, NOW + at_s * 1_000_000);
    assert!(take(heavy, 0).is_allowed(), "20 fit the limit, though a third of it is 7");
    // A third of the rate pays for it in a minute; until 7 are there again nobody else has anything either.
    assert_eq!(refused(take(heavy, 20)).retry_after, Duration::from_secs(40));
    assert!(!take(light, 41).is_allowed());
    assert!(take(light, 42).is_allowed());
    assert!(!take(heavy, 60).is_allowed());
    assert!(take(heavy, 63).is_allowed());
    let never = Charge { cost: 21, ..heavy };
    assert!(!take(never, 1 << 20).is_allowed(), "the limit itself never lets it through");
}

#[test]
fn caps_fall_back_too() {
    let local = MemoryLimiter::new(64);
    let (counted, open) = (place(1, 3), Place { away: WhenAway::Open, ..place(2, 0) });
    let rate = Charge { away: WhenAway::Open, ..charge(9, hourly(0)) };
    let held = decide(&local, &ask(&[rate], &[open, counted]), 3, NOW);
    assert!(held.is_allowed());
    assert_eq!(refused(decide(&local, &ask(&[rate], &[open, counted]), 3, NOW)).at, 2);
    drop(held);
    assert!(decide(&local, &ask(&[rate], &[open, counted]), 3, NOW).is_allowed());
    let closed = Place { away: WhenAway::Closed, ..place(3, 9) };
    let refused = refused(decide(&local, &ask(&[rate], &[open, closed]), 3, NOW));
    assert_eq!((refused.at, refused.away), (2, true));
}

#[test]
fn dry_runs_tell_at_their_own_places() {
    let local = MemoryLimiter::new(64);
    let dry = |away| Charge { away, dry_run: true, cost: 5, ..charge(1, hourly(1)) };
    let charges = [dry(WhenAway::Open), dry(WhenAway::Closed), dry(WhenAway::Local)];
    let places =
        [Place { dry_run: true, away: WhenAway::Closed, ..place(1, 9) }, Place { dry_run: true, ..place(2, 0) }];
    let Decision::Allowed(granted) = decide(&local, &ask(&charges, &places), 2, NOW) else { panic!("refused") };
    assert_eq!(granted.would_deny, 0b11110);
}

#[test]
fn a_look_tells_shares() {
    let local = MemoryLimiter::new(64);
    let charges = [charge(1, hourly(9)), Charge { away: WhenAway::Closed, ..charge(2, hourly(9)) }];
    let found = standing(&local, &ask(&charges, &[place(3, 10)]), 3, NOW);
    let told: Vec<_> = found.iter().map(|standing| (standing.at, standing.remaining)).collect();
    assert_eq!(told, [(0, 3), (1, 0), (2, 4)]);
}

proptest! {
    /// All shares together let through what the limit does, and at most one more for each replica.
    #[test]
    fn shares_add_up(count in 1u32..5000, burst in 0u32..5000, replicas in 1u32..50) {
        let gcra = Gcra::new(Rate::per_second(count, burst));
        let share = share_of_rate(gcra, replicas);
        prop_assert_eq!(share.emission_us, gcra.emission_us * u64::from(replicas));
        let units = share.capacity_us / share.emission_us * u64::from(replicas);
        prop_assert!(units >= u64::from(burst) && units < u64::from(burst + replicas));
        prop_assert!(share_of_cap(burst, replicas) * replicas < burst + replicas);
    }
}
