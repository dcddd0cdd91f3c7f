//! Threads for queries. A query that outstays its deadline is interrupted; one that cannot be interrupted, because it is
//! inside one long call of a function, is left behind, and its place stays taken until it ends.
//!
//! Threads of our own and not the runtime's blocking pool: a query left behind would hold up the runtime's end.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    bounds,
    stop::{Reason, Stop, StopOnDrop},
};
use crate::db::error::QueryError;

/// Queries of one source that may run at once, those left behind included.
const RUNNING_MAX: usize = 4;
/// Queries that may wait for one of them.
const WAITING_MAX: usize = 28;
/// How long an interrupted query has to say so.
const GRACE: Duration = Duration::from_millis(250);
/// SQLite recurses over nested queries; 64 KiB of SQL nests a few thousand deep.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// The places for queries of one source.
#[derive(Debug)]
pub(crate) struct Workers {
    seats: Semaphore,
    running: Arc<Semaphore>,
    memory_bytes_max: i64,
}

impl Default for Workers {
    fn default() -> Self {
        Self::new(bounds::MEMORY_BYTES_MAX)
    }
}

impl Workers {
    /// For queries that need so much memory at most.
    pub(crate) fn new(memory_bytes_max: i64) -> Self {
        let (seats, running) = (Semaphore::new(RUNNING_MAX + WAITING_MAX), Arc::new(Semaphore::new(RUNNING_MAX)));
        Self { seats, running, memory_bytes_max }
    }

    /// Runs `job` on a thread and waits for it, at most `timeout` and a little; less when the caller cancels. Dropping the
    /// future stops the job too.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        cancelled: &CancellationToken,
        job: impl FnOnce(&Arc<Stop>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let _seat = self.seats.try_acquire().map_err(|_| QueryError::Crowded)?;
        let deadline = Instant::now() + timeout;
        let free = time::timeout_at(deadline.into(), Arc::clone(&self.running).acquire_owned());
        let place = tokio::select! {
            place = free => place.map_err(|_| QueryError::Crowded)?.map_err(|_| QueryError::Unavailable)?,
            () = cancelled.cancelled() => return Err(QueryError::Cancelled),
        };
        let stop = Arc::new(Stop::at(deadline, self.memory_bytes_max));
        let guard = StopOnDrop(Arc::clone(&stop));
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new()
            .name("db-query".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let result = job(&stop);
                // Nobody listens any more when the caller is gone or the query was left behind.
                let _ = sender.send(result);
                drop(place);
            })
            .map_err(|_| QueryError::Crowded)?;
        match wait(receiver, deadline, cancelled, &guard.0).await {
            Some(Ok(Err(QueryError::Cancelled))) => Err(guard.0.error(timeout)),
            Some(Ok(result)) => result,
            // The job panicked, which is told on stderr; its source is unavailable for this call.
            Some(Err(_)) if guard.0.is_committing() => Err(QueryError::MayHaveRun),
            Some(Err(_)) => Err(QueryError::Unavailable),
            None => {
                tracing::warn!("a database query is left behind, since it cannot be interrupted");
                Err(guard.0.error(timeout))
            }
        }
    }
}

/// The job's result, or nothing when it does not end although it was interrupted.
async fn wait<T>(
    mut receiver: oneshot::Receiver<T>,
    deadline: Instant,
    cancelled: &CancellationToken,
    stop: &Stop,
) -> Option<Result<T, oneshot::error::RecvError>> {
    let reason = tokio::select! {
        biased;
        result = &mut receiver => return Some(result),
        () = cancelled.cancelled() => Reason::Cancelled,
        () = time::sleep_until(deadline.into()) => Reason::Deadline,
    };
    stop.interrupt(reason);
    time::timeout(GRACE, receiver).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn job_that_cannot_be_interrupted_is_left_behind_and_keeps_its_place() {
        let workers = Workers::default();
        let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
        let started = Instant::now();
        let answer: Result<(), _> = workers
            .run(Duration::from_millis(50), &CancellationToken::new(), move |_| {
                let _ = held.recv();
                Ok(())
            })
            .await;
        assert!(matches!(answer, Err(QueryError::Deadline(50))));
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(workers.running.available_permits(), RUNNING_MAX - 1);
        drop(release);
        let _all = workers.running.acquire_many(RUNNING_MAX as u32).await.unwrap();
    }

    #[tokio::test]
    async fn job_that_panics_is_an_error_of_its_call_alone() {
        let workers = Workers::default();
        let answer: Result<(), _> =
            workers.run(Duration::from_secs(5), &CancellationToken::new(), |_| panic!("as the test wants it")).await;
        assert!(matches!(answer, Err(QueryError::Unavailable)));
        assert!(workers.run(Duration::from_secs(5), &CancellationToken::new(), |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn full_house_is_refused_and_not_queued_without_end() {
        let workers = Workers::default();
        let _taken = workers.seats.try_acquire_many((RUNNING_MAX + WAITING_MAX) as u32).unwrap();
        let answer = workers.run(Duration::from_secs(5), &CancellationToken::new(), |_| Ok(())).await;
        assert!(matches!(answer, Err(QueryError::Crowded)));
    }
    #[tokio::test]
    async fn cancelled_call_waits_for_no_place_and_its_job_hears_of_it() {
        let workers = Workers::default();
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let taken = Arc::clone(&workers.running).acquire_many_owned(RUNNING_MAX as u32).await.unwrap();
        let answer = workers.run(Duration::from_secs(60), &cancelled, |_| Ok(())).await;
        assert!(matches!(answer, Err(QueryError::Cancelled)));
        drop(taken);
        let answer: Result<(), _> = workers
            .run(Duration::from_secs(60), &cancelled, |stop| {
                while !stop.is_stopped() {
                    thread::yield_now();
                }
                Err(QueryError::Cancelled)
            })
            .await;
        assert!(matches!(answer, Err(QueryError::Cancelled)));
    }

    #[tokio::test]
    async fn commit_that_takes_too_long_is_told_as_what_it_is() {
        let workers = Workers::default();
        let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
        let answer: Result<(), _> = workers
            .run(Duration::from_millis(50), &CancellationToken::new(), move |stop| {
                assert!(stop.claim_commit());
                let _ = held.recv();
                Ok(())
            })
            .await;
        assert!(matches!(answer, Err(QueryError::MayHaveRun)));
        drop(release);
    }
}
