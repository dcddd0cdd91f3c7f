//! The idle connections to one server. A socket belongs to the runtime that it was opened in, and the gateway runs one
//! runtime per thread, so a connection is only ever used again on its own thread.

use std::{
    cell::Cell,
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::live::{Counted, Live};

/// Threads are spread over these; two that share one do not share connections.
const SHARDS: usize = 16;

/// A number for this thread that no other thread ever has.
pub(crate) fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NUMBER: Cell<u64> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed)));
    NUMBER.get()
}

/// The idle connections to one server, newest last, and the number of all that are open.
pub(crate) struct Pool {
    shards: [Shard; SHARDS],
    open: Arc<AtomicUsize>,
    open_max: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Shard {
    idle: Mutex<VecDeque<Box<Live>>>,
    swept: AtomicBool,
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<Live>>> {
        // A panic cannot leave the queue in between, since nothing but its own methods runs under the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn new(open_max: usize, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { shards: Default::default(), open: Arc::default(), open_max, idle_timeout })
    }

    fn shard(&self, thread: u64) -> &Shard {
        &self.shards[usize::try_from(thread % SHARDS as u64).unwrap_or(0)]
    }

    /// The connection of this thread that waited the shortest.
    pub(crate) fn take(&self) -> Option<Box<Live>> {
        let thread = thread_number();
        let mut idle = self.shard(thread).lock();
        let at = idle.iter().rposition(|live| live.thread == thread)?;
        let live = idle.remove(at)?;
        (live.idle_since.elapsed() < self.idle_timeout).then_some(live)
    }

    /// A place for one more connection. When all are taken, an idle one of another thread has to go.
    pub(crate) fn place(&self) -> Option<Counted> {
        Counted::take(&self.open, self.open_max).or_else(|| {
            let evicted = self.shards.iter().find_map(|shard| shard.lock().pop_front());
            evicted.and_then(|evicted| {
                drop(evicted);
                Counted::take(&self.open, self.open_max)
            })
        })
    }

    /// Keeps a connection for the next request on the thread that opened it.
    pub(crate) fn give_back(self: &Arc<Self>, mut live: Box<Live>) {
        live.idle_since = Instant::now();
        let thread = live.thread;
        let shard = self.shard(thread);
        shard.lock().push_back(live);
        if !shard.swept.load(Ordering::Relaxed) {
            self.sweep(thread);
        }
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            drop(std::mem::take(&mut *shard.lock()));
        }
    }

    /// Starts a task that closes what waited too long; it ends when nothing waits.
    fn sweep(self: &Arc<Self>, thread: u64) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.shard(thread).swept.swap(true, Ordering::AcqRel) {
            let sweeper = Sweeper { pool: Arc::downgrade(self), thread };
            runtime.spawn(sweeper.run(self.idle_timeout));
        }
    }

    /// Closes what waited too long, and says when to look again.
    fn close_old(&self, thread: u64) -> Option<Instant> {
        let mut idle = self.shard(thread).lock();
        while let Some(oldest) = idle.front() {
            let until = oldest.idle_since + self.idle_timeout;
            if until > Instant::now() {
                return Some(until);
            }
            idle.pop_front();
        }
        None
    }
}

/// Marks its shard as swept as long as it lives, also when its runtime is shut down under it.
struct Sweeper {
    pool: Weak<Pool>,
    thread: u64,
}

impl Sweeper {
    async fn run(self, idle_timeout: Duration) {
        let mut look_again = Some(Instant::now() + idle_timeout);
        while let Some(until) = look_again {
            sleep_until(until).await;
            look_again = self.pool.upgrade().and_then(|pool| pool.close_old(self.thread));
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.shard(self.thread).swept.store(false, Ordering::Release);
        }
    }
}
