//! Which connection a thread speaks on. Each serving thread has a lane, a connection that its own runtime drives, so that no
//! request and no answer crosses threads. The keeper has one too; it stands in while a lane is being made.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::Notify};

use super::{Inner, connect::Conn};

/// Lanes of a process; with more threads than these some share one.
const LANES_MAX: usize = 64;
/// Pause after the first failure to make a lane; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to make a lane.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// After this time an attempt counts as given up: its runtime may have ended in the middle of it.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Lanes {
    lanes: Box<[Mutex<Lane>]>,
    keeper: Mutex<Option<Arc<Conn>>>,
    /// Somebody found no connection at all. Wakes the keeper.
    pub(super) missing: Notify,
}

struct Lane {
    state: State,
    pause: Duration,
    /// Counts the times that all lanes were given up, so that an attempt of before is not taken for a new one.
    epoch: u64,
}

enum State {
    Down { until: Option<Instant> },
    Connecting { since: Instant },
    Up(Arc<Conn>),
}

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Threads are numbered in the order in which they come.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(next));
            next
        })
    })
}

impl Lanes {
    pub(super) fn new() -> Self {
        let lane = || Mutex::new(Lane { state: State::Down { until: None }, pause: PAUSE_MIN, epoch: 0 });
        Self { lanes: (0..LANES_MAX).map(|_| lane()).collect(), keeper: Mutex::new(None), missing: Notify::new() }
    }

    /// The connection to ask on: this thread's, or the keeper's while there is none, and one is then made in the background.
    pub(super) fn here(&self, inner: &Arc<Inner>) -> Option<Arc<Conn>> {
        let number = thread_number() % LANES_MAX;
        let mut lane = lock(&self.lanes[number]);
        if let State::Up(conn) = &lane.state {
            if conn.is_well() {
                return Some(conn.clone());
            }
            lane.state = State::Down { until: None };
        }
        if lane.is_due()
            && let Ok(runtime) = Handle::try_current()
        {
            lane.state = State::Connecting { since: Instant::now() };
            drop(runtime.spawn(make(inner.clone(), number, lane.epoch)));
        }
        drop(lane);
        let keepers = self.keepers();
        if keepers.is_none() {
            self.missing.notify_one();
        }
        keepers
    }

    /// The same, without making one.
    pub(super) fn at_hand(&self) -> Option<Arc<Conn>> {
        // A thread that ends drops permits after its locals are gone.
        let number = NUMBER.try_with(Cell::get).ok().flatten();
        let own = number.and_then(|number| match &lock(&self.lanes[number % LANES_MAX]).state {
            State::Up(conn) if conn.is_well() => Some(conn.clone()),
            _ => None,
        });
        own.or_else(|| self.keepers())
    }

    /// The keeper's own, while it is well.
    pub(super) fn keepers(&self) -> Option<Arc<Conn>> {
        lock(&self.keeper).clone().filter(|conn| conn.is_well())
    }

    /// Makes this the keeper's connection.
    pub(super) fn keep(&self, conn: Arc<Conn>) {
        *lock(&self.keeper) = Some(conn);
    }

    /// Gives all connections up: Redis is away, and another one may have taken its place.
    pub(super) fn give_up(&self) {
        *lock(&self.keeper) = None;
        for lane in &self.lanes {
            let mut lane = lock(lane);
            lane.state = State::Down { until: None };
            lane.pause = PAUSE_MIN;
            lane.epoch += 1;
        }
    }

    /// How many threads have a connection of their own.
    pub(super) fn count(&self) -> usize {
        self.lanes.iter().filter(|lane| matches!(&lock(lane).state, State::Up(conn) if conn.is_well())).count()
    }
}

impl Lane {
    fn is_due(&self) -> bool {
        match self.state {
            State::Down { until } => until.is_none_or(|until| until <= Instant::now()),
            State::Connecting { since } => since.elapsed() > ATTEMPT_MAX,
            State::Up(_) => false,
        }
    }
}

async fn make(inner: Arc<Inner>, number: usize, epoch: u64) {
    let made = inner.target.connect().await;
    let mut lane = lock(&inner.lanes.lanes[number]);
    if lane.epoch != epoch {
        return;
    }
    lane.state = match made {
        Ok(conn) => {
            lane.pause = PAUSE_MIN;
            State::Up(conn)
        }
        Err(_) => {
            let until = Some(Instant::now() + lane.pause);
            lane.pause = (2 * lane.pause).min(PAUSE_MAX);
            State::Down { until }
        }
    };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
