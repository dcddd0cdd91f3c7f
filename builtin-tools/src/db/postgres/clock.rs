//! The time that one call has. Whatever it does runs under [`Clock::run`], which ends it at its deadline or when its caller
//! does not want it any more; ending means dropping the work, and a lease on a connection that is dropped in mid-work has the
//! query cancelled in the database (`pool`).

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout as within, timeout_at},
};

use crate::db::{error::QueryError, source::Cx};

/// How long a call that was ended waits for its query to end in the database.
const GRACE: Duration = Duration::from_secs(1);

/// The time of one call.
#[derive(Debug)]
pub(crate) struct Clock {
    deadline: Instant,
    timeout: Duration,
    /// What the call uses in the database; held by every lease until its connection is clean or gone.
    using: mpsc::Sender<Infallible>,
}

/// That something of a call is still in use; dropped when it is not.
pub(crate) type Using = mpsc::Sender<Infallible>;

impl Clock {
    /// Does the work within `timeout`.
    pub(crate) async fn run<T, F>(
        timeout: Duration,
        cx: &Cx,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, QueryError>
    where
        F: Future<Output = Result<T, QueryError>>,
    {
        let (using, mut used) = mpsc::channel(1);
        let deadline = Instant::now() + timeout;
        let ended = {
            let work = timeout_at(deadline, work(Arc::new(Self { deadline, timeout, using })));
            tokio::select! {
                // The work first: what waits by the same deadline knows better what it waited for.
                biased;
                done = work => match done {
                    Ok(result) => return result,
                    Err(_) => QueryError::Deadline(timeout.as_millis()),
                },
                () = cx.cancelled.cancelled() => QueryError::Cancelled,
            }
        };
        // Nobody sends; the channel ends with the last one that holds it.
        let _ = within(GRACE, used.recv()).await;
        Err(ended)
    }

    /// When the call ends.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long it is altogether.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// For something of this call that outlives it for a moment.
    pub(crate) fn using(&self) -> Using {
        self.using.clone()
    }
}
