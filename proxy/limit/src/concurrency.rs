//! How many calls of a key may run at once, in this process. A [`Permit`] is given back by its drop, whatever became of the
//! call. Only keys with calls running take room, so the calls bound the table.

use std::{fmt, sync::Arc};

use patchbay_core::limits::LimitKey;

use crate::{PLACES_MAX, Place, table::Table};

/// Counts calls that run. Clones share the count.
#[derive(Clone)]
pub(crate) struct Running {
    running: Arc<Table<u32>>,
}

impl Default for Running {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("keys", &self.keys()).finish()
    }
}

impl Running {
    /// A limiter under which nothing runs yet.
    pub(crate) fn new() -> Self {
        Self { running: Arc::new(Table::new()) }
    }

    /// How many keys have calls running.
    pub(crate) fn keys(&self) -> usize {
        self.running.len()
    }

    /// How many calls of a key are running.
    pub(crate) fn running(&self, key: LimitKey) -> u32 {
        self.running.lock(Table::<u32>::shard_of(key)).get(&key.0).copied().unwrap_or(0)
    }

    /// Lets a call run under all these caps, or under none. Nothing waits here. `would_deny` gets a bit for each dry-run cap
    /// that is reached; the call is counted there too.
    ///
    /// # Errors
    /// With the place of the first cap that is reached.
    pub(crate) fn enter(&self, places: &[Place], would_deny: &mut u32) -> Result<Permit, usize> {
        let mut permit = Permit { running: self.running.clone(), keys: [LimitKey(0); PLACES_MAX], held: 0 };
        for (at, place) in places.iter().enumerate() {
            let fits = add(&self.running, place);
            *would_deny |= u32::from(place.dry_run && !fits) << at;
            // A permit that was begun gives back what it holds when it is dropped here.
            if permit.held == PLACES_MAX || !(fits || place.dry_run) {
                return Err(at);
            }
            permit.keys[permit.held] = place.key;
            permit.held += 1;
        }
        Ok(permit)
    }
}

fn add(running: &Table<u32>, place: &Place) -> bool {
    let mut shard = running.lock(Table::<u32>::shard_of(place.key));
    let count = shard.entry(place.key.0).or_insert(0);
    let fits = *count < place.max;
    *count += u32::from(fits || place.dry_run);
    let is_empty = *count == 0;
    if is_empty {
        shard.remove(&place.key.0);
    }
    fits
}

fn subtract(running: &Table<u32>, key: LimitKey) {
    let mut shard = running.lock(Table::<u32>::shard_of(key));
    if let Some(count) = shard.get_mut(&key.0) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            shard.remove(&key.0);
        }
    }
}

/// The right to run, given back when it is dropped.
#[must_use = "a permit that is dropped at once lets everybody run"]
pub struct Permit {
    running: Arc<Table<u32>>,
    keys: [LimitKey; PLACES_MAX],
    held: usize,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("keys", &self.held).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for key in &self.keys[..self.held] {
            subtract(&self.running, *key);
        }
    }
}

#[cfg(test)]
mod tests;
