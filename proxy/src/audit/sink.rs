//! The store as the drain knows it, and the patience with which it is asked. What stands behind it is chosen by `app.rs`.

use std::{collections::HashSet, future::Future, time::Duration};

use patchbay_core::audit::{ChainId, Checkpoint, Link, WriterId};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Audit, DrainOptions, LinkedRow};

/// Where rows go.
pub trait Sink: Send + Sync + 'static {
    /// Keeps rows, all of them or none, and gives the number of those that were not there yet: a batch may come twice, and
    /// rows that are there change nothing. The new ones must continue their chains.
    ///
    /// # Errors
    /// [`SinkError::Forked`] when they do not; [`SinkError::Away`] for all else.
    fn append(&self, rows: &[LinkedRow]) -> impl Future<Output = Result<u64, SinkError>> + Send;

    /// Which of these ids ([`super::Row::id`]) are there.
    ///
    /// # Errors
    /// [`SinkError::Away`].
    fn known(&self, ids: &[u128]) -> impl Future<Output = Result<HashSet<u128>, SinkError>> + Send;

    /// Where the chains of a writer are.
    ///
    /// # Errors
    /// [`SinkError::Away`].
    fn heads(&self, writer: WriterId) -> impl Future<Output = Result<Vec<(ChainId, Link)>, SinkError>> + Send;

    /// Keeps checkpoints; those that are there already change nothing.
    ///
    /// # Errors
    /// [`SinkError::Away`].
    fn checkpoint(&self, checkpoints: &[Checkpoint]) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Why the store did not do what it was asked, with words for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It does not answer, or cannot do it now: it is asked again.
    #[error("{0}")]
    Away(String),
    /// The rows do not continue their chain: somebody else has.
    #[error("{0}")]
    Forked(String),
}

/// What is asked of a store, for as long as an answer may take.
pub(super) async fn in_time<T>(
    within: Duration,
    asked: impl Future<Output = Result<T, SinkError>>,
) -> Result<T, SinkError> {
    let late = |_| SinkError::Away(format!("it has not answered within {} seconds", within.as_secs()));
    timeout(within, asked).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// The attempts to bring one batch to the store: after each failure a pause, longer each time.
pub(super) struct Attempts {
    pause: Duration,
    pause_max: Duration,
    failures: u32,
}

impl Attempts {
    pub(super) const fn new(options: &DrainOptions) -> Self {
        Self { pause: options.retry_min, pause_max: options.retry_max, failures: 0 }
    }

    /// Notes a failure and waits. The spool is kept ready meanwhile, since calls go on.
    pub(super) async fn failed(&mut self, audit: &Audit, error: &SinkError) {
        if self.failures == 0 {
            warn!(%error, "the store takes no audit records; they wait in the spool");
        }
        self.failures += 1;
        audit.progress.failed();
        audit.spool.prepare();
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.pause_max);
    }

    /// Notes that the batch is there.
    pub(super) fn over(self) {
        if self.failures > 0 {
            info!(failures = self.failures, "the store takes audit records again");
        }
    }
}
