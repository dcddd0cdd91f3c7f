//! How often unknown tokens are looked up at one issuer: garbage that clients send must not become a flood there.

use std::time::Duration;

use tokio::time::Instant;

/// The most questions after a pause.
const BURST_MAX: u32 = 100;
/// The most questions per second in the long run.
const PER_SECOND_MAX: u32 = 50;

/// A bucket of questions that may be asked; it fills with time. Made full.
pub(super) struct Pace {
    /// When the bucket is, or was, full again.
    full_at: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { full_at: Instant::now() }
    }
}

impl Pace {
    /// Takes one question out, or says that there is none.
    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let one = Duration::from_secs(1) / PER_SECOND_MAX;
        let full_at = self.full_at.max(now) + one;
        let is_there = full_at <= now + one * BURST_MAX;
        if is_there {
            self.full_at = full_at;
        }
        is_there
    }
}
