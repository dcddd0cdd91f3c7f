//! Waiting without hoping: a condition is looked at until it holds, anything else has an end.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up. Generous, since machines are shared; no test proves anything by it.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until the condition holds.
///
/// # Panics
/// When it does not hold in time; `what` says what was expected.
pub async fn wait_until<F>(what: impl Display, condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let waited = hold(PATIENCE, condition).await;
    assert!(waited, "waited {} s in vain until {what}", PATIENCE.as_secs());
}

/// Looks until the condition holds, for so long; says whether it did.
pub async fn hold<F>(patience: Duration, mut condition: impl FnMut() -> F) -> bool
where
    F: Future<Output = bool>,
{
    let end = Instant::now() + patience;
    while !condition().await {
        if Instant::now() > end {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// Looks until the condition holds, on a thread that may block.
///
/// # Panics
/// As [`wait_until`].
pub fn block_until(what: impl Display, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited {} s in vain until {what}", PATIENCE.as_secs());
        std::thread::sleep(LOOK);
    }
}

/// Gives the work a bounded time.
///
/// # Panics
/// When it is not done by then.
pub async fn within<T>(what: impl Display, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} took longer than {} s", PATIENCE.as_secs()),
    }
}
