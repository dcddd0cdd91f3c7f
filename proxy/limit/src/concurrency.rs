//! How many calls of a key may run at once, in this process. A [`ConcurrencyPermit`] is given back by its drop, whatever became of the
//! call. Only keys with calls running take room, so the calls bound the table.

use std::{fmt, sync::Arc};

use patchbay_core::limits::{Dimension, LimitKey};

use crate::table::Table;

/// The most keys that one call may run under.
pub const CONCURRENT_MAX: usize = 4;

/// A cap that a call runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrent {
    /// What is counted.
    pub key: LimitKey,
    /// What it is counted by.
    pub dimension: Dimension,
    /// How many may run at once.
    pub max: u32,
}

/// The cap that a call would have gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded(pub Dimension);

/// Counts calls that run. Clones share the count.
#[derive(Clone)]
pub struct ConcurrencyLimiter {
    running: Arc<Table<u32>>,
}

impl Default for ConcurrencyLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimiter").field("keys", &self.keys()).finish()
    }
}

impl ConcurrencyLimiter {
    /// A limiter under which nothing runs yet.
    pub fn new() -> Self {
        Self { running: Arc::new(Table::new()) }
    }

    /// How many keys have calls running.
    pub fn keys(&self) -> usize {
        self.running.len()
    }

    /// How many calls of a key are running.
    pub fn running(&self, key: LimitKey) -> u32 {
        self.running.lock(Table::<u32>::shard_of(key)).get(&key.0).copied().unwrap_or(0)
    }

    /// Lets a call run under all these caps, or under none. Nothing waits here.
    ///
    /// # Errors
    /// With the first cap that is reached. More than [`CONCURRENT_MAX`] caps are a mistake in the gateway, and are refused.
    pub fn enter(&self, caps: &[Concurrent]) -> Result<ConcurrencyPermit, Crowded> {
        let mut permit =
            ConcurrencyPermit { running: self.running.clone(), keys: [LimitKey(0); CONCURRENT_MAX], held: 0 };
        for cap in caps {
            // A permit that was begun gives back what it holds when it is dropped here.
            if permit.held == CONCURRENT_MAX || !add(&self.running, *cap) {
                return Err(Crowded(cap.dimension));
            }
            permit.keys[permit.held] = cap.key;
            permit.held += 1;
        }
        Ok(permit)
    }
}

fn add(running: &Table<u32>, cap: Concurrent) -> bool {
    if cap.max == 0 {
        return false;
    }
    let mut shard = running.lock(Table::<u32>::shard_of(cap.key));
    let count = shard.entry(cap.key.0).or_insert(0);
    let fits = *count < cap.max;
    *count += u32::from(fits);
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
pub struct ConcurrencyPermit {
    running: Arc<Table<u32>>,
    keys: [LimitKey; CONCURRENT_MAX],
    held: usize,
}

impl fmt::Debug for ConcurrencyPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyPermit").field("keys", &self.held).finish_non_exhaustive()
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        for key in &self.keys[..self.held] {
            subtract(&self.running, *key);
        }
    }
}

#[cfg(test)]
mod tests;
