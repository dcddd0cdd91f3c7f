//! What stops a query: its deadline, its appetite, or its caller; whichever is first. Made by `worker`, looked at by SQLite
//! while it runs a statement, and asked once before a write is made lasting.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, InterruptHandle};

use super::bounds;
use crate::db::error::QueryError;

const RUNNING: u8 = 0;
/// From here on nothing stops the job: its write is being made lasting.
const COMMITTING: u8 = u8::MAX;
const NO_BUDGET: u64 = u64::MAX;

/// Why a query was stopped.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Reason {
    Deadline = 1,
    Memory = 2,
    Cancelled = 3,
}

/// What stops a query.
#[derive(Debug)]
pub(crate) struct Stop {
    began: Instant,
    deadline: Instant,
    memory_bytes_max: i64,
    /// [`RUNNING`], then once either a [`Reason`] or [`COMMITTING`].
    state: AtomicU8,
    /// When the statement that runs now has had its part of the time, in nanoseconds since the beginning.
    budget_ns: AtomicU64,
    handle: Mutex<Option<Handle>>,
}

struct Handle(InterruptHandle);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Stop {
    /// At that time, or when all of SQLite holds so many bytes more than now.
    pub(crate) fn at(deadline: Instant, memory_bytes_max: i64) -> Self {
        Self {
            began: Instant::now(),
            deadline,
            memory_bytes_max: bounds::memory_bytes().saturating_add(memory_bytes_max),
            state: AtomicU8::new(RUNNING),
            budget_ns: AtomicU64::new(NO_BUDGET),
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

    /// From now on interrupts nothing.
    pub(crate) fn unwatch(&self) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Gives what runs next only a part of the whole time, counted from the beginning. It is interrupted then, and what
    /// comes after it is not.
    pub(crate) fn set_budget(&self, part: f64) {
        let whole = self.deadline.saturating_duration_since(self.began);
        let budget = u64::try_from(whole.mul_f64(part).as_nanos()).unwrap_or(NO_BUDGET);
        self.budget_ns.store(budget, Ordering::Relaxed);
    }

    /// Gives what runs next all the time there is.
    pub(crate) fn lift_budget(&self) {
        self.budget_ns.store(NO_BUDGET, Ordering::Relaxed);
    }

    /// Whether what runs now was interrupted, or would be, for its budget and for nothing else.
    pub(crate) fn is_over_budget(&self) -> bool {
        let used = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(NO_BUDGET);
        used >= self.budget_ns.load(Ordering::Relaxed) && !self.is_stopped()
    }

    /// Whether there is a reason to end.
    pub(crate) fn is_stopped(&self) -> bool {
        !matches!(self.state.load(Ordering::Acquire), RUNNING | COMMITTING)
    }

    /// Whether the write was begun to be made lasting.
    pub(crate) fn is_committing(&self) -> bool {
        self.state.load(Ordering::Acquire) == COMMITTING
    }

    /// Asks, once, whether a write may be made lasting: `true` only if the caller still waits, and then nothing stops it any
    /// more; `false` if it was stopped before.
    pub(crate) fn claim_commit(&self) -> bool {
        let in_time = Instant::now() < self.deadline;
        if !in_time {
            self.give(Reason::Deadline);
        }
        self.state.compare_exchange(RUNNING, COMMITTING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends what runs, for this reason if there is no other yet.
    pub(crate) fn interrupt(&self, reason: Reason) {
        self.give(reason);
        if self.is_committing() {
            return;
        }
        if let Some(Handle(handle)) = &*self.handle.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }

    /// What the caller is told of a job that was stopped.
    pub(crate) fn error(&self, timeout: Duration) -> QueryError {
        match self.state.load(Ordering::Acquire) {
            COMMITTING => QueryError::MayHaveRun,
            reason if reason == Reason::Deadline as u8 => QueryError::Deadline(timeout.as_millis()),
            reason if reason == Reason::Memory as u8 => QueryError::Memory,
            _ => QueryError::Cancelled,
        }
    }

    fn is_due(&self) -> bool {
        if Instant::now() >= self.deadline {
            self.give(Reason::Deadline);
        } else if bounds::memory_bytes() > self.memory_bytes_max {
            self.give(Reason::Memory);
        }
        self.is_stopped() || self.is_over_budget()
    }

    fn give(&self, reason: Reason) {
        let _ = self.state.compare_exchange(RUNNING, reason as u8, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Stops the job of a call that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub(crate) Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.interrupt(Reason::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_is_made_lasting_or_stopped_and_never_both() {
        let far = Instant::now() + Duration::from_secs(60);
        let stopped_first = Stop::at(far, i64::MAX);
        stopped_first.interrupt(Reason::Cancelled);
        assert!(!stopped_first.claim_commit());
        assert!(matches!(stopped_first.error(Duration::ZERO), QueryError::Cancelled));
        let claimed_first = Stop::at(far, i64::MAX);
        assert!(claimed_first.claim_commit());
        claimed_first.interrupt(Reason::Cancelled);
        assert!(!claimed_first.is_stopped() && claimed_first.is_committing());
        let late = Stop::at(Instant::now(), i64::MAX);
        assert!(!late.claim_commit());
        assert!(matches!(late.error(Duration::ZERO), QueryError::Deadline(_)));
    }

    #[test]
    fn budget_ends_a_statement_and_not_the_call() {
        let stop = Arc::new(Stop::at(Instant::now() + Duration::from_secs(60), i64::MAX));
        let conn = Connection::open_in_memory().unwrap();
        stop.watch(&conn);
        stop.set_budget(0.000_001);
        let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
        let interrupted = conn.query_row(endless, [], |_| Ok(())).unwrap_err();
        assert_eq!(interrupted.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        assert!(stop.is_over_budget() && !stop.is_stopped());
        stop.lift_budget();
        conn.query_row("SELECT 1", [], |_| Ok(())).unwrap();
    }
}
