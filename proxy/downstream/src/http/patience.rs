//! How long one call may wait: until its deadline, and until the server is closed for good. Every wait of this transport goes
//! through here.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{Delivery, DownstreamError, Fault};

/// Whether the server is closed for good. Cheaper than a cancellation token, since every call looks here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closing(Arc<(AtomicBool, Notify)>);

impl Closing {
    pub(crate) fn close(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        // Made before the look: it hears of everything that comes after.
        let told = self.0.1.notified();
        if !self.is_closed() {
            told.await;
        }
    }
}

/// The end of waiting.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    pub(crate) deadline: Instant,
    pub(crate) closing: Closing,
}

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Deadline,
    Closed,
}

impl Cut {
    fn error(self, delivery: Delivery) -> DownstreamError {
        let (fault, detail) = match self {
            Self::Deadline => (Fault::Timeout, "the deadline of the call passed"),
            Self::Closed => (Fault::Closed, "the connection to the server was closed by the gateway"),
        };
        DownstreamError { fault, delivery, detail: detail.into() }
    }

    pub(crate) fn not_sent(self) -> DownstreamError {
        self.error(Delivery::NotSent)
    }

    pub(crate) fn may_have_run(self) -> DownstreamError {
        self.error(Delivery::MayHaveRun)
    }
}

impl Patience {
    /// Waits for it, but not longer than patience lasts.
    pub(crate) async fn within<F: Future>(&self, wait: F) -> Result<F::Output, Cut> {
        tokio::select! {
            biased;
            done = wait => Ok(done),
            () = self.closing.closed() => Err(Cut::Closed),
            () = sleep_until(self.deadline) => Err(Cut::Deadline),
        }
    }

    /// The same, but not after this time.
    pub(crate) fn until(&self, latest: Instant) -> Self {
        Self { deadline: self.deadline.min(latest), closing: self.closing.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline_or_when_it_is_closed() {
        let closing = Closing::default();
        let patience = Patience { deadline: Instant::now() + Duration::from_secs(9), closing: closing.clone() };
        assert_eq!(patience.within(async { 7 }).await, Ok(7));
        let mut waiting = Box::pin(patience.within(pending::<()>()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        closing.close();
        assert_eq!(waiting.await, Err(Cut::Closed));
        assert_eq!(patience.within(pending::<()>()).await, Err(Cut::Closed));
        let patience = Patience { closing: Closing::default(), ..patience };
        assert_eq!(patience.within(pending::<()>()).await, Err(Cut::Deadline));
    }
}
