//! How many calls of a key run at once in this process, and the [`Permit`] that gives a place back when it is dropped, whatever
//! became of the call. Only keys with calls running take room, so the calls bound the table.

use std::{fmt, sync::Arc};

use patchbay_core::limits::LimitKey;

use crate::{
    PLACES_MAX, Place,
    redis::Lease,
    table::{Locked, Map, Table},
};

/// Counts calls that run.
pub(crate) struct Running {
    running: Arc<Table<u32>>,
}

/// The counts of a request's caps, locked.
pub(crate) type LockedPlaces<'a> = Locked<'a, u32, PLACES_MAX>;

impl Running {
    /// Nothing runs yet.
    pub(crate) fn new() -> Self {
        Self { running: Arc::new(Table::new()) }
    }

    /// How many keys have calls running.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.running.len()
    }

    /// How many calls of a key are running.
    pub(crate) fn running(&self, key: LimitKey) -> u32 {
        count(&self.running.lock(Table::<u32>::shard_of(key)), key)
    }

    /// The counts of these caps for oneself.
    pub(crate) fn locked(&self, places: &[Place]) -> LockedPlaces<'_> {
        Locked::new(&self.running, places.iter().map(|place| place.key))
    }

    /// Counts a call under these caps, whose counts are locked.
    pub(crate) fn enter(&self, locked: &mut LockedPlaces<'_>, places: &[Place]) -> Permit {
        let mut permit = self.permit();
        for (at, place) in places.iter().enumerate().take(PLACES_MAX) {
            *locked.shard(at).entry(place.key.0).or_insert(0) += 1;
            permit.hold(place.key);
        }
        permit
    }

    /// Counts a call that was let through by somebody else, whatever the caps say here.
    pub(crate) fn note(&self, places: &[Place]) -> Permit {
        let mut permit = self.permit();
        for place in places.iter().take(PLACES_MAX) {
            *self.running.lock(Table::<u32>::shard_of(place.key)).entry(place.key.0).or_insert(0) += 1;
            permit.hold(place.key);
        }
        permit
    }

    /// A permit under no cap.
    pub(crate) fn permit(&self) -> Permit {
        Permit { running: self.running.clone(), keys: [LimitKey(0); PLACES_MAX], held: 0, lease: None }
    }
}

/// How many calls of a key run, in its shard.
pub(crate) fn count(shard: &Map<u32>, key: LimitKey) -> u32 {
    shard.get(&key.0).copied().unwrap_or(0)
}

/// The right to run, given back when it is dropped: at once in this process, and in Redis as soon as it hears of it.
#[must_use = "a permit that is dropped at once lets everybody run"]
pub struct Permit {
    running: Arc<Table<u32>>,
    keys: [LimitKey; PLACES_MAX],
    held: usize,
    /// What Redis was told, if it was. Gives itself back.
    lease: Option<Box<Lease>>,
}

impl Permit {
    fn hold(&mut self, key: LimitKey) {
        self.keys[self.held] = key;
        self.held += 1;
    }

    /// Gives the lease back together with the permit.
    pub(crate) fn with(mut self, lease: Option<Box<Lease>>) -> Self {
        self.lease = lease;
        self
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("keys", &self.held)
            .field("shared", &self.lease.is_some())
            .finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for key in &self.keys[..self.held] {
            let mut shard = self.running.lock(Table::<u32>::shard_of(*key));
            if let Some(count) = shard.get_mut(&key.0) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    shard.remove(&key.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
