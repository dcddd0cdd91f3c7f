//! Microseconds that only go forward, for limiters that are told the time. One per process, made by the composition root.

use std::time::Instant;

/// Where the time of limits begins: far enough from 0 that nothing has to think of what was before.
const BEGINNING_US: u64 = 1 << 32;

/// A clock that no change of the wall clock moves.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time of this clock.
    pub fn now_us(&self) -> u64 {
        self.at_us(Instant::now())
    }

    /// The time of this clock at a moment that the caller has already asked for.
    pub fn at_us(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.started).as_micros();
        BEGINNING_US.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
