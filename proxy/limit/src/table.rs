//! The hash map under both limiters, cut into shards so that cores seldom wait for each other. Keys are digests, evenly spread
//! by themselves: the map takes their bits as the hash.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use patchbay_core::limits::LimitKey;

/// More than twice the cores of a large machine; a power of two.
pub(crate) const SHARDS: usize = 64;

/// One shard, on cache lines of its own.
#[repr(align(128))]
struct Shard<V>(Mutex<Map<V>>);

/// What a shard holds.
pub(crate) type Map<V> = HashMap<u128, V, BuildHasherDefault<Digested>>;

/// The shards.
pub(crate) struct Table<V> {
    shards: Box<[Shard<V>]>,
}

impl<V> Table<V> {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard(Mutex::default())).collect() }
    }

    /// The shard of a key, by bits that the map within does not use.
    pub(crate) const fn shard_of(key: LimitKey) -> usize {
        (key.0 >> 64) as usize & (SHARDS - 1)
    }

    /// A shard for oneself. Who wants several locks them in rising order. A panic leaves counts as they were, so a poisoned
    /// lock is taken like any other.
    pub(crate) fn lock(&self, shard: usize) -> MutexGuard<'_, Map<V>> {
        self.shards[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }
}

/// Takes the low half of a digest as its hash.
#[derive(Default)]
pub(crate) struct Digested(u64);

impl Hasher for Digested {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}
