//! The table that every implementation of the arithmetic must satisfy, the Lua script too: plain numbers, one line per case.

/// One case: a rate, what was kept, a moment and a cost; and what must come of it.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the members are those of Gcra, of its decide and of Verdict")]
pub struct Vector {
    pub name: &'static str,
    pub emission_us: u64,
    pub capacity_us: u64,
    pub tat: Option<u64>,
    pub now_us: u64,
    pub cost: u32,
    pub allowed: bool,
    pub tat_after: u64,
    pub remaining: u32,
    pub retry_after_us: u64,
    pub reset_after_us: u64,
}

/// A line of the table: name, (emission, capacity), (tat, now, cost), (allowed, tat, remaining, retry, reset).
const fn line(
    name: &'static str,
    (emission_us, capacity_us): (u64, u64),
    (tat, now_us, cost): (Option<u64>, u64, u32),
    (allowed, tat_after, remaining, retry_after_us, reset_after_us): (bool, u64, u32, u64, u64),
) -> Vector {
    Vector {
        name,
        emission_us,
        capacity_us,
        tat,
        now_us,
        cost,
        allowed,
        tat_after,
        remaining,
        retry_after_us,
        reset_after_us,
    }
}

/// A moment in November 2026.
const T: u64 = 1_795_000_000_000_000;
/// 100 in a second, 5 at once.
const FAST: (u64, u64) = (10_000, 50_000);

/// The table.
pub const VECTORS: &[Vector] = &[
    line("a new key has the whole burst", FAST, (None, T, 1), (true, T + 10_000, 4, 0, 10_000)),
    line("a key of long ago is like a new one", FAST, (Some(T - 9_000_000), T, 1), (true, T + 10_000, 4, 0, 10_000)),
    line("a key that is whole since now", FAST, (Some(T), T, 1), (true, T + 10_000, 4, 0, 10_000)),
    line("in the middle", FAST, (Some(T + 20_000), T, 1), (true, T + 30_000, 2, 0, 30_000)),
    line("the last unit", FAST, (Some(T + 40_000), T, 1), (true, T + 50_000, 0, 0, 50_000)),
    line("one microsecond too early", FAST, (Some(T + 40_001), T, 1), (false, T + 40_001, 0, 1, 40_001)),
    line("nothing left", FAST, (Some(T + 50_000), T, 1), (false, T + 50_000, 0, 10_000, 50_000)),
    line("a cost that fits exactly", FAST, (Some(T + 20_000), T, 3), (true, T + 50_000, 0, 0, 50_000)),
    line(
        "a cost that does not fit takes nothing",
        FAST,
        (Some(T + 20_000), T, 4),
        (false, T + 20_000, 3, 10_000, 20_000),
    ),
    line("the whole burst at once", FAST, (None, T, 5), (true, T + 50_000, 0, 0, 50_000)),
    line("a cost above the burst", FAST, (None, T, 6), (false, T, 5, 10_000, 0)),
    line("a look takes nothing", FAST, (Some(T + 20_000), T, 0), (true, T + 20_000, 3, 0, 20_000)),
    line("a look at an empty key", FAST, (Some(T + 50_000), T, 0), (true, T + 50_000, 0, 0, 50_000)),
    line("a look at a new key", FAST, (None, T, 0), (true, T, 5, 0, 0)),
    line("part of a unit does not count", FAST, (Some(T + 15_000), T, 0), (true, T + 15_000, 3, 0, 15_000)),
    line(
        "a number far ahead heals itself",
        FAST,
        (Some(T + 3_600_000_000), T, 1),
        (false, T + 50_000, 0, 10_000, 50_000),
    ),
    line("a look heals it too", FAST, (Some(T + 3_600_000_000), T, 0), (true, T + 50_000, 0, 0, 50_000)),
    line("one an hour", (3_600_000_000, 3_600_000_000), (None, T, 1), (true, T + 3_600_000_000, 0, 0, 3_600_000_000)),
    line(
        "one an hour, the second",
        (3_600_000_000, 3_600_000_000),
        (Some(T + 3_600_000_000), T + 60_000_000, 1),
        (false, T + 3_600_000_000, 0, 3_540_000_000, 3_540_000_000),
    ),
    line("three in a second, rounded up", (333_334, 1_000_002), (None, T, 1), (true, T + 333_334, 2, 0, 333_334)),
    line("a closed limit", (1_000_000, 0), (None, T, 1), (false, T, 0, 1_000_000, 0)),
    line("a closed limit, looked at", (1_000_000, 0), (Some(T + 5), T, 0), (true, T, 0, 0, 0)),
    line("the beginning of time", FAST, (None, 0, 1), (true, 10_000, 4, 0, 10_000)),
];
