//! What was refused is known until its time, and no longer; the memory of it is bounded.

use patchbay_core::limits::Rate;

use super::*;
use crate::conformance::charge;

const NOW: u64 = 1 << 40;
const SECOND: Duration = Duration::from_secs(1);

fn one(id: u128) -> Charge {
    Charge { cost: 2, ..charge(id, Rate::per_second(1, 5)) }
}

fn find(denied: &Denied, charges: &[Charge], now_us: u64) -> Option<Refused> {
    denied.find(charges, || now_us)
}

#[test]
fn a_refusal_holds_until_its_time() {
    let denied = Denied::new();
    assert!(find(&denied, &[one(1)], NOW).is_none());
    denied.note(&one(1), SECOND, NOW);
    let found = find(&denied, &[one(2), one(1)], NOW + 400_000).unwrap();
    assert_eq!(found, Refused { at: 1, retry_after: Duration::from_millis(600), away: false });
    assert!(find(&denied, &[one(1)], NOW + 1_000_000).is_none(), "who comes in time is refused");
    assert_eq!(denied.len(), 0);
}

#[test]
fn what_costs_less_dry_runs_and_changed_limits_are_asked_about() {
    let denied = Denied::new();
    denied.note(&one(1), SECOND, NOW);
    assert!(find(&denied, &[Charge { cost: 1, ..one(1) }], NOW).is_none());
    assert!(find(&denied, &[Charge { dry_run: true, ..one(1) }], NOW).is_none());
    assert!(find(&denied, &[Charge { gcra: Gcra::new(Rate::per_second(9, 9)), ..one(1) }], NOW).is_none());
    assert!(find(&denied, &[Charge { cost: 5, ..one(1) }], NOW).is_some());
}

#[test]
fn the_longest_wait_is_named() {
    let denied = Denied::new();
    denied.note(&one(1), SECOND, NOW);
    denied.note(&one(2), 2 * SECOND, NOW);
    assert_eq!(find(&denied, &[one(1), one(2)], NOW).unwrap().at, 1);
    assert_eq!(find(&denied, &[one(2), one(1)], NOW).unwrap().at, 0);
}

#[test]
fn a_flood_of_refused_keys_stays_within_the_bound() {
    let denied = Denied::new();
    for id in 0..2 * DENIED_MAX as u128 {
        denied.note(&one(id), SECOND, NOW);
    }
    assert!(denied.len() <= DENIED_MAX, "{} keys", denied.len());
    assert_eq!(denied.len(), denied.table.len());
    let later = NOW + 2_000_000;
    for id in 0..DENIED_MAX as u128 {
        denied.note(&one(1_000_000 + id), SECOND, later);
    }
    assert!(find(&denied, &[one(1_000_000)], later).is_some());
    assert_eq!(denied.len(), denied.table.len());
}
