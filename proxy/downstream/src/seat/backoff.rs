//! How long to wait between the failures of a child: 0.2 s, doubling to 30 s, a fifth of it left to chance so that children
//! that died together do not all come back together. A minute of health forgives everything.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
const HEALTHY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Notes a failure after `lived`; the pause that follows.
    pub(super) fn fail(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.failures = 0;
        }
        let pause = jittered(FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        pause
    }

    /// When the next start may be; `None` when it may be now.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before.filter(|when| *when > Instant::now())
    }

    /// The next start may be now. What failed is not forgotten.
    pub(super) fn hurry(&mut self) {
        self.not_before = self.not_before.map(|when| when.min(Instant::now()));
    }

    /// Whether the last child failed.
    pub(super) fn has_failed(&self) -> bool {
        self.not_before.is_some()
    }

    /// A child is up. How often it failed before is kept until it has proved healthy.
    pub(super) fn up(&mut self) {
        self.not_before = None;
    }
}

fn jittered(pause: Duration) -> Duration {
    let chance = u32::from(patchbay_core::random_bytes::<1>()[0]);
    pause.mul_f64(0.8) + pause.mul_f64(0.2) * chance / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_half_a_minute_and_health_forgives() {
        let mut backoff = Backoff::default();
        let mut longest = FIRST;
        for _ in 0..12 {
            let pause = backoff.fail(Duration::from_secs(1));
            assert!(pause <= longest && pause >= longest.mul_f64(0.79), "{pause:?} of {longest:?}");
            longest = (longest * 2).min(LONGEST);
        }
        assert!(backoff.not_before().is_some());
        tokio::time::advance(LONGEST).await;
        assert!(backoff.not_before().is_none() && backoff.has_failed());
        assert!(backoff.fail(HEALTHY) <= FIRST);
    }
}
