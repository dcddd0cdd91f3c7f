//! Makes records durable for tenants that want it so (`sync`): one thread that asks the disk for everything that was appended,
//! for all who wait at that moment at once (group commit). Who comes while the disk works is served by the next round, so that
//! a hundred calls at once cost a few rounds and not a hundred.
//!
//! The thread is started by the first who waits. What the disk refused is told to those who waited for it, and to nobody else:
//! a later success says nothing of what was refused before.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, time::timeout};
use tracing::{info, warn};

/// How long the disk may take for a record before the call that waits for it fails.
const SYNC_WAIT_MAX: Duration = Duration::from_secs(5);
/// How many may wait for the disk at once.
const SYNC_WAITERS_MAX: usize = 65_536;

/// A record is not known to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk of the audit spool did not take a record: see to the disk of the data folder")]
pub struct NotKept;

/// What was asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Syncs {
    /// How often.
    pub count: u64,
    /// How often it refused.
    pub failures: u64,
    /// How long it took, all in all.
    pub took: Duration,
}

/// Those who wait for the disk, and the thread that serves them. It ends with this.
#[derive(Debug)]
pub(super) struct Flusher {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    count: AtomicU64,
    failures: AtomicU64,
    took_us: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    waiters: Vec<oneshot::Sender<bool>>,
    closed: bool,
}

impl Flusher {
    /// Starts the thread. `sync` makes everything durable that was appended before it was called, and says whether there was
    /// anything.
    pub(super) fn start(sync: impl FnMut() -> io::Result<bool> + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let served = shared.clone();
        thread::Builder::new().name("audit-flush".to_owned()).spawn(move || served.serve(sync))?;
        Ok(Self { shared })
    }

    /// Waits until the disk has what was appended before this call.
    ///
    /// # Errors
    /// [`NotKept`], when it refuses, or takes too long.
    pub(super) fn durable(&self) -> impl Future<Output = Result<(), NotKept>> + Send + use<> {
        let waiter = self.shared.enter();
        async move {
            match timeout(SYNC_WAIT_MAX, waiter.ok_or(NotKept)?).await {
                Ok(Ok(true)) => Ok(()),
                _ => Err(NotKept),
            }
        }
    }

    /// What was asked of the disk so far.
    pub(super) fn syncs(&self) -> Syncs {
        let Shared { count, failures, took_us, .. } = &*self.shared;
        Syncs {
            count: count.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
            took: Duration::from_micros(took_us.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.waiting().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Option<oneshot::Receiver<bool>> {
        let (told, waiter) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.waiters.len() >= SYNC_WAITERS_MAX {
            // The disk hangs: those who gave up make room.
            waiting.waiters.retain(|waiter| !waiter.is_closed());
            if waiting.waiters.len() >= SYNC_WAITERS_MAX {
                return None;
            }
        }
        waiting.waiters.push(told);
        drop(waiting);
        self.wake.notify_one();
        Some(waiter)
    }

    fn serve(&self, mut sync: impl FnMut() -> io::Result<bool>) {
        let mut failing = false;
        while let Some(waiters) = self.next_round() {
            let began = Instant::now();
            let done = sync();
            if !matches!(done, Ok(false)) {
                self.count.fetch_add(1, Ordering::Relaxed);
                let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.took_us.fetch_add(took_us, Ordering::Relaxed);
            }
            failing = self.note(done.as_ref().err(), failing);
            for waiter in waiters {
                // Who gave up meanwhile need not be told.
                let _ = waiter.send(done.is_ok());
            }
        }
    }

    /// Those who wait now; `None` at the end.
    fn next_round(&self) -> Option<Vec<oneshot::Sender<bool>>> {
        let idle = |waiting: &mut Waiting| waiting.waiters.is_empty() && !waiting.closed;
        let mut waiting = self.wake.wait_while(self.waiting(), idle).unwrap_or_else(PoisonError::into_inner);
        (!waiting.closed).then(|| std::mem::take(&mut waiting.waiters))
    }

    /// Counts a failure; the log has the first and the end of a row of them.
    fn note(&self, error: Option<&io::Error>, failing: bool) -> bool {
        if let Some(error) = error {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if !failing {
                warn!(%error, "the disk takes no audit records: calls that have to be on it are refused");
            }
        } else if failing {
            info!("the disk takes audit records again");
        }
        error.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    /// A disk that works as often as it is told to, each time with a result of its own.
    fn disk() -> (mpsc::SyncSender<io::Result<bool>>, Flusher) {
        let (tell, told) = mpsc::sync_channel(16);
        (tell, Flusher::start(move || told.recv().unwrap_or_else(|_| Err(io::Error::other("gone")))).unwrap())
    }

    #[tokio::test]
    async fn a_hundred_who_wait_at_once_cost_a_few_rounds() {
        let (tell, flusher) = disk();
        let waiting: Vec<_> = (0..100).map(|_| flusher.durable()).collect();
        (0..2).for_each(|_| tell.send(Ok(true)).unwrap());
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
        assert!((1..=2).contains(&flusher.syncs().count), "{:?}", flusher.syncs());
    }

    #[tokio::test]
    async fn who_comes_while_the_disk_works_waits_for_the_next_round() {
        let (tell, flusher) = disk();
        let first = flusher.durable();
        // The first round has begun once nobody waits for it to begin.
        while !flusher.shared.waiting().waiters.is_empty() {
            tokio::task::yield_now().await;
        }
        let mut second = Box::pin(flusher.durable());
        tell.send(Ok(true)).unwrap();
        assert_eq!(first.await, Ok(()));
        assert!(futures_util::poll!(&mut second).is_pending());
        tell.send(Ok(true)).unwrap();
        assert_eq!((second.await, flusher.syncs().count), (Ok(()), 2));
    }

    #[tokio::test]
    async fn what_the_disk_refused_is_told_to_those_who_waited_for_it() {
        let (tell, flusher) = disk();
        let refused = flusher.durable();
        tell.send(Err(io::Error::other("no"))).unwrap();
        assert_eq!(refused.await, Err(NotKept));
        let later = flusher.durable();
        tell.send(Ok(true)).unwrap();
        assert_eq!((later.await, flusher.syncs().failures), (Ok(()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_fails_those_who_wait_and_takes_no_more_than_its_bound() {
        let (tell, flusher) = disk();
        let began = tokio::time::Instant::now();
        assert_eq!(flusher.durable().await, Err(NotKept));
        assert!(began.elapsed() >= SYNC_WAIT_MAX);
        let waiting: Vec<_> = (0..=SYNC_WAITERS_MAX + 1).map(|_| Box::pin(flusher.durable())).collect();
        let last = waiting.into_iter().last().unwrap();
        assert_eq!(last.await, Err(NotKept));
        // Those who gave up make room again.
        tokio::time::resume();
        let again = flusher.durable();
        (0..3).for_each(|_| tell.send(Ok(true)).unwrap());
        assert_eq!(again.await, Ok(()));
    }

    #[test]
    fn the_thread_ends_with_its_owner() {
        let (held, released) = mpsc::sync_channel::<()>(0);
        let flusher = Flusher::start(move || {
            let _ = &held;
            Ok(true)
        });
        drop(flusher.unwrap());
        assert!(released.recv().is_err(), "the closure is dropped with the thread");
    }
}
