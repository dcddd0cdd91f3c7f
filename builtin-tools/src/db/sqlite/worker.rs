//! Threads for queries. A query that outstays its deadline is interrupted; one that cannot be interrupted, because it is
//! inside one long call of a function, is left behind, and its place stays taken until it ends.
//!
//! Threads of our own and not the runtime's blocking pool: a query left behind would hold up the runtime's end.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, InterruptHandle};
use tokio::{
    sync::{Semaphore, oneshot},
    time,
};

use super::bounds;
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
}

impl Default for Workers {
    fn default() -> Self {
        Self { seats: Semaphore::new(RUNNING_MAX + WAITING_MAX), running: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }
}

impl Workers {
    /// Runs `job` on a thread and waits for it, at most `timeout` and a little. Dropping the future stops the job.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        job: impl FnOnce(&Arc<Stop>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let _seat = self.seats.try_acquire().map_err(|_| QueryError::Crowded)?;
        let deadline = Instant::now() + timeout;
        let place = time::timeout_at(deadline.into(), Arc::clone(&self.running).acquire_owned())
            .await
            .map_err(|_| QueryError::Crowded)?
            .map_err(|_| QueryError::Unavailable)?;
        let stop = Arc::new(Stop::at(deadline));
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
        match wait(receiver, deadline, &guard.0).await {
            Some(Err(QueryError::Cancelled)) => Err(guard.0.reason(timeout)),
            Some(result) => result,
            None => {
                tracing::warn!("a database query is left behind, since it cannot be interrupted");
                Err(QueryError::Deadline(timeout.as_millis()))
            }
        }
    }
}

/// The job's result, or nothing when it does not end although it was interrupted. A job that panicked gives no result
/// either; its source is unavailable for this call.
async fn wait<T>(
    mut receiver: oneshot::Receiver<Result<T, QueryError>>,
    deadline: Instant,
    stop: &Stop,
) -> Option<Result<T, QueryError>> {
    let result = match time::timeout_at(deadline.into(), &mut receiver).await {
        Ok(result) => result,
        Err(_) => {
            stop.interrupt(Reason::Deadline);
            time::timeout(GRACE, receiver).await.ok()?
        }
    };
    Some(result.unwrap_or(Err(QueryError::Unavailable)))
}

/// Why a query was stopped.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Reason {
    Deadline = 1,
    Memory = 2,
    Cancelled = 3,
}

/// What stops a query: its deadline, its appetite, or its caller.
#[derive(Debug)]
pub(crate) struct Stop {
    deadline: Instant,
    memory_bytes_max: i64,
    /// The first [`Reason`], or 0.
    reason: AtomicU8,
    handle: Mutex<Option<Handle>>,
}

struct Handle(InterruptHandle);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Stop {
    fn at(deadline: Instant) -> Self {
        Self {
            deadline,
            memory_bytes_max: bounds::memory_bytes() + bounds::MEMORY_BYTES_MAX,
            reason: AtomicU8::new(0),
            handle: Mutex::new(None),
        }
    }

    /// From now on stops what runs on that connection.
    pub(crate) fn watch(self: &Arc<Self>, conn: &Connection) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(Handle(conn.get_interrupt_handle()));
        let stop = Arc::clone(self);
        // It fails only on a connection that is not ours to configure.
        let _ = conn.progress_handler(bounds::STEPS_BETWEEN_LOOKS, Some(move || stop.is_due()));
    }

    fn is_due(&self) -> bool {
        if Instant::now() >= self.deadline {
            self.give(Reason::Deadline);
        } else if bounds::memory_bytes() > self.memory_bytes_max {
            self.give(Reason::Memory);
        }
        self.reason.load(Ordering::Relaxed) != 0
    }

    fn give(&self, reason: Reason) {
        let _ = self.reason.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn interrupt(&self, reason: Reason) {
        self.give(reason);
        if let Some(Handle(handle)) = &*self.handle.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }

    fn reason(&self, timeout: Duration) -> QueryError {
        match self.reason.load(Ordering::Relaxed) {
            reason if reason == Reason::Deadline as u8 => QueryError::Deadline(timeout.as_millis()),
            reason if reason == Reason::Memory as u8 => QueryError::Memory,
            _ => QueryError::Cancelled,
        }
    }
}

struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.interrupt(Reason::Cancelled);
    }
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
            .run(Duration::from_millis(50), move |_| {
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
        let answer: Result<(), _> = workers.run(Duration::from_secs(5), |_| panic!("as the test wants it")).await;
        assert!(matches!(answer, Err(QueryError::Unavailable)));
        assert!(workers.run(Duration::from_secs(5), |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn full_house_is_refused_and_not_queued_without_end() {
        let workers = Workers::default();
        let _taken = workers.seats.try_acquire_many((RUNNING_MAX + WAITING_MAX) as u32).unwrap();
        let answer = workers.run(Duration::from_secs(5), |_| Ok(())).await;
        assert!(matches!(answer, Err(QueryError::Crowded)));
    }
}
