//! The connections of one source: how many there are, who has which, and that nobody gets one that remembers another's use.
//! A connection is made clean after its use and not before the next, so that nobody waits for it; one that was left in the
//! middle of something is cancelled and closed.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    clock::{Clock, Using},
    connect::{Connection, Server},
};
use crate::db::error::QueryError;

/// Calls that may wait for a connection.
const WAITING_MAX: usize = 28;
/// How long a connection may wait for its next use.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long a call waits for a connection that is just being made clean, before it makes one of its own; that takes longer.
const CLEAN_SOON: Duration = Duration::from_millis(5);
/// How long nobody tries to connect after it failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The connections of one source.
pub(crate) struct Pool {
    server: Server,
    /// For the operator's log.
    name: String,
    idle_max: Duration,
    /// Whoever has a connection or waits for one.
    seats: Arc<Semaphore>,
    /// Whoever has a connection.
    places: Arc<Semaphore>,
    /// Told whenever a connection is clean, or is not made clean after all.
    cleaned: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that was used last at the end.
    idle: Vec<Idle>,
    /// How many are being made clean.
    cleaning: usize,
    /// Whether somebody closes what waits for too long.
    swept: bool,
    failed: Option<(Instant, String)>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// Of at most `connections_max`; connects to nothing.
    pub(crate) fn new(server: Server, name: String, connections_max: usize) -> Self {
        Self {
            server,
            name,
            idle_max: IDLE_MAX,
            seats: Arc::new(Semaphore::new(connections_max + WAITING_MAX)),
            places: Arc::new(Semaphore::new(connections_max)),
            cleaned: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// A connection that is clean, for one use that may bring `bytes_max`. An old one may have died a moment ago; then ask
    /// with `fresh`.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        clock: &Clock,
        bytes_max: usize,
        fresh: bool,
    ) -> Result<Lease, QueryError> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| QueryError::Crowded)?;
        let place = timeout_at(clock.deadline(), Arc::clone(&self.places).acquire_owned());
        let place = place.await.map_err(|_| QueryError::Crowded)?.map_err(|_| QueryError::Unavailable)?;
        let idle = if fresh { None } else { self.idle().await };
        let (connection, is_fresh) = match idle {
            Some(connection) => (connection, false),
            None => (self.connect(clock).await?, true),
        };
        connection.count().allow(bytes_max);
        Ok(Lease {
            connection: Some(connection),
            is_fresh,
            is_done: false,
            pool: Arc::clone(self),
            rest: Some((place, clock.using())),
            runtime: Handle::current(),
            _seat: seat,
        })
    }

    /// One that waits, or will in a moment.
    async fn idle(&self) -> Option<Connection> {
        let cleaned = self.cleaned.notified();
        if let Some(connection) = self.take_idle() {
            return Some(connection);
        }
        if self.state().cleaning > 0 {
            // Too late is not wrong: there is a place for another.
            let _ = timeout(CLEAN_SOON, cleaned).await;
        }
        self.take_idle()
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut state = self.state();
        while let Some(Idle { connection, .. }) = state.idle.pop() {
            if !connection.is_gone() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self, clock: &Clock) -> Result<Connection, QueryError> {
        if self.state().failed.as_ref().is_some_and(|(at, _)| at.elapsed() < PAUSE) {
            return Err(QueryError::Unavailable);
        }
        let begun = Instant::now();
        let why = match timeout_at(clock.deadline(), self.server.connect()).await {
            Ok(Ok(connection)) => {
                self.state().failed = None;
                return Ok(connection);
            }
            Ok(Err(error)) => error.to_string(),
            // Who waited for a place has little time left, and that is not the server's fault.
            Err(_) if begun.elapsed() < clock.timeout() / 2 => return Err(QueryError::Crowded),
            Err(_) => "it did not answer in time".to_owned(),
        };
        tracing::warn!(source.name = %self.name, "the database of source {} cannot be connected to: {why}", self.name);
        self.state().failed = Some((Instant::now(), why));
        Err(QueryError::Unavailable)
    }

    /// Why the last attempt to connect failed, in words for the operator.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state().failed.as_ref().map(|(_, why)| why.clone())
    }

    /// Lets the next attempt to connect be made at once.
    pub(crate) fn forget_failure(&self) {
        self.state().failed = None;
    }

    fn keep(self: &Arc<Self>, connection: Connection) {
        let mut state = self.state();
        state.idle.push(Idle { connection, since: Instant::now() });
        if !std::mem::replace(&mut state.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_max));
        }
    }

    /// Closes what waits for too long; says when to look again, or nothing when nothing waits.
    fn close_idle(&self) -> Option<Instant> {
        let mut state = self.state();
        state.idle.retain(|idle| idle.since.elapsed() < self.idle_max);
        let next = state.idle.iter().map(|idle| idle.since + self.idle_max).min();
        state.swept = next.is_some();
        next
    }

    /// How many connections more there may be.
    #[cfg(test)]
    pub(crate) fn places_free(&self) -> usize {
        self.places.available_permits()
    }

    /// What may still come in on the connection that was used last.
    #[cfg(test)]
    pub(crate) fn left(&self) -> Option<usize> {
        self.state().idle.last().map(|idle| idle.connection.count().left())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Runs while connections wait; ends with the pool.
async fn sweep(pool: Weak<Pool>, idle_max: Duration) {
    let mut next = Instant::now() + idle_max;
    loop {
        sleep_until(next).await;
        match pool.upgrade().and_then(|pool| pool.close_idle()) {
            Some(at) => next = at,
            None => return,
        }
    }
}

/// A connection for one use. Whoever is done with it says so by [`Lease::done`]; dropped otherwise, whatever runs there is
/// cancelled, and the connection is closed.
pub(crate) struct Lease {
    connection: Option<Connection>,
    is_fresh: bool,
    is_done: bool,
    pool: Arc<Pool>,
    rest: Option<(OwnedSemaphorePermit, Using)>,
    runtime: Handle,
    _seat: OwnedSemaphorePermit,
}

impl Lease {
    /// The connection.
    pub(crate) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("only dropping takes it out")
    }

    /// Whether the connection was made for this use, so that its loss says something about the server.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// The use is over, and the connection is worth keeping.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(connection), Some(rest)) = (self.connection.take(), self.rest.take()) else { return };
        let (pool, is_done) = (Arc::clone(&self.pool), self.is_done);
        let cleaning = is_done.then(|| Cleaning::of(&pool));
        self.runtime.spawn(async move {
            let is_clean = is_done && connection.make_clean().await;
            if is_clean {
                pool.keep(connection);
                drop(cleaning);
            } else {
                drop(cleaning);
                connection.end().await;
            }
            // The place is free only now: there are never more connections than places.
            drop(rest);
        });
    }
}

/// That a connection is being made clean.
struct Cleaning(Arc<Pool>);

impl Cleaning {
    fn of(pool: &Arc<Pool>) -> Self {
        pool.state().cleaning += 1;
        Self(Arc::clone(pool))
    }
}

impl Drop for Cleaning {
    fn drop(&mut self) {
        self.0.state().cleaning -= 1;
        self.0.cleaned.notify_one();
    }
}
