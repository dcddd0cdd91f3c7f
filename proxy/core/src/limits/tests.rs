//! The arithmetic satisfies its table, and never lets through more than the rate says.

use proptest::prelude::*;

use super::*;

#[test]
fn the_arithmetic_satisfies_its_table() {
    for v in VECTORS {
        let gcra = Gcra { emission_us: v.emission_us, capacity_us: v.capacity_us };
        let expected = Verdict {
            allowed: v.allowed,
            tat: v.tat_after,
            remaining: v.remaining,
            retry_after_us: v.retry_after_us,
            reset_after_us: v.reset_after_us,
        };
        assert_eq!(gcra.decide(v.tat, v.now_us, v.cost), expected, "{}", v.name);
    }
}

#[test]
fn rates_are_rounded_so_that_they_are_never_exceeded() {
    let gcra = |count, period, burst| {
        let gcra = Gcra::new(Rate { count, period, burst });
        (gcra.emission_us, gcra.capacity_us)
    };
    let second = Duration::from_secs(1);
    assert_eq!(gcra(100, second, 5), (10_000, 50_000));
    assert_eq!(gcra(3, second, 3), (333_334, 1_000_002));
    assert_eq!(gcra(u32::MAX, second, 2), (1, 2));
    assert_eq!(gcra(0, second, 5), (1_000_000, 0));
    assert_eq!(gcra(5, second, 0), (200_000, 0));
    assert_eq!(gcra(1, Duration::ZERO, 1), (1, 1));
    assert_eq!(gcra(1, Duration::MAX, 4), (CAPACITY_US_MAX, CAPACITY_US_MAX));
    let (emission, capacity) = gcra(1, Duration::from_secs(86_400 * 365), u32::MAX);
    assert!(capacity <= CAPACITY_US_MAX && capacity.is_multiple_of(emission));
}

#[test]
fn absurd_numbers_do_not_overflow() {
    let gcra = Gcra { emission_us: u64::MAX, capacity_us: u64::MAX };
    assert!(gcra.decide(Some(u64::MAX), u64::MAX, 0).allowed);
    assert!(!gcra.decide(Some(u64::MAX), 0, u32::MAX).allowed || gcra.capacity_us == u64::MAX);
    let tiny = Gcra { emission_us: 1, capacity_us: 1 };
    assert!(!tiny.decide(Some(u64::MAX), 0, u32::MAX).allowed);
}

#[test]
fn keys_differ_by_tenant_limit_and_parts() {
    let (a, b) = (TenantId::from_bits(1), TenantId::from_bits(2));
    let mut keys = Vec::new();
    for tenant in [None, Some(TenantId::from_bits(0)), Some(a), Some(b)] {
        for limit in ["a", "b", "ab"] {
            for parts in [&[][..], &[&b""[..]], &[b"1"], &[b"11"], &[b"1", b"1"]] {
                keys.push(LimitKey::of(tenant, limit, parts));
            }
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

proptest! {
    /// For every two moments, what was let through between them is at most the burst and what the rate gave meanwhile.
    #[test]
    fn no_window_holds_more_than_burst_and_rate(
        count in 1u32..500,
        burst in 1u32..50,
        steps in prop::collection::vec((0u64..60_000, 0u32..4), 1..120),
    ) {
        let gcra = Gcra::new(Rate::per_second(count, burst));
        let (mut tat, mut now) = (None, 1_000_000_000u64);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for (pause, cost) in steps {
            now += pause;
            let verdict = gcra.decide(tat, now, cost);
            tat = Some(verdict.tat);
            if verdict.allowed {
                taken.push((now, u64::from(cost)));
            } else {
                let later = gcra.decide(tat, now + verdict.retry_after_us, cost);
                prop_assert!(later.allowed || cost > burst);
                prop_assert!(!gcra.decide(tat, now + verdict.retry_after_us - 1, cost).allowed);
            }
        }
        for first in 0..taken.len() {
            let mut sum = 0;
            for &(at, cost) in &taken[first..] {
                sum += cost;
                let came_back = (at - taken[first].0) / gcra.emission_us;
                prop_assert!(sum <= u64::from(burst) + came_back + 1);
            }
        }
    }
}
