//! How many children may run at once, for one server or over all servers of a tenant. When all places are taken, the child
//! that was idle longest gives up its own.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{DownstreamError, Fault, seat::Seat};

/// How long a start waits for the place of a child that was told to end; it has 5 s to do so.
const HANDOVER: Duration = Duration::from_secs(8);

/// A number of places for children. Clones share them.
#[derive(Clone)]
pub struct ChildBudget {
    inner: Arc<Inner>,
}

struct Inner {
    children_max: usize,
    places: Arc<Semaphore>,
    /// The seats that ever had a place and still exist; as many as the servers' own bounds allow.
    seats: Mutex<Vec<Weak<Seat>>>,
}

impl ChildBudget {
    /// So many places.
    pub fn new(children_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(children_max));
        Self { inner: Arc::new(Inner { children_max, places, seats: Mutex::default() }) }
    }

    /// Places that are free now.
    pub fn free(&self) -> usize {
        self.inner.places.available_permits()
    }

    /// A place for the child of this seat, kept for as long as the permit.
    pub(super) async fn acquire(&self, seat: &Arc<Seat>) -> Result<OwnedSemaphorePermit, DownstreamError> {
        let places = &self.inner.places;
        self.register(seat);
        if let Ok(permit) = Arc::clone(places).try_acquire_owned() {
            return Ok(permit);
        }
        let busy = || {
            let text = format!("all {} places for child processes are taken", self.inner.children_max);
            DownstreamError::not_sent(Fault::Busy, text)
        };
        if !self.evict_idle(seat) {
            return Err(busy());
        }
        match timeout(HANDOVER, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(busy()),
        }
    }

    fn register(&self, seat: &Arc<Seat>) {
        let mut seats = self.inner.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|known| known.strong_count() > 0);
        if !seats.iter().any(|known| known.as_ptr() == Arc::as_ptr(seat)) {
            seats.push(Arc::downgrade(seat));
        }
    }

    /// Ends the child that was idle longest; says whether there was one.
    fn evict_idle(&self, but: &Arc<Seat>) -> bool {
        let seats = self.inner.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle: Vec<_> = seats
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|seat| !Arc::ptr_eq(seat, but))
            .filter_map(|seat| Some((seat.idle_for()?, seat)))
            .collect();
        drop(seats);
        idle.sort_by_key(|(idle_for, _)| *idle_for);
        while let Some((_, seat)) = idle.pop() {
            if seat.retire() {
                return true;
            }
        }
        false
    }
}

impl fmt::Debug for ChildBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildBudget")
            .field("children_max", &self.inner.children_max)
            .field("free", &self.free())
            .finish()
    }
}
