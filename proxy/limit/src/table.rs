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

/// The shards of several keys, each locked once; at most `N` keys.
pub(crate) struct Locked<'a, V, const N: usize> {
    guards: [Option<MutexGuard<'a, Map<V>>>; N],
    /// For each key the place of its shard among the guards.
    places: [usize; N],
}

impl<'a, V, const N: usize> Locked<'a, V, N> {
    /// Locks in rising order, so that two requests never wait for each other.
    pub(crate) fn new(table: &'a Table<V>, keys: impl Iterator<Item = LimitKey>) -> Self {
        let mut wanted = [0; N];
        let mut count = 0;
        for (want, key) in wanted.iter_mut().zip(keys) {
            *want = Table::<V>::shard_of(key);
            count += 1;
        }
        let mut sorted = wanted;
        let order = &mut sorted[..count];
        order.sort_unstable();
        let mut guards = [const { None }; N];
        for at in 0..count {
            if at == 0 || order[at] != order[at - 1] {
                guards[at] = Some(table.lock(order[at]));
            }
        }
        let mut places = [0; N];
        for (place, shard) in places.iter_mut().zip(&wanted[..count]) {
            *place = order.partition_point(|other| other < shard);
        }
        Self { guards, places }
    }

    /// The shard of the key at this place.
    pub(crate) fn shard(&mut self, at: usize) -> &mut Map<V> {
        self.guards[self.places[at]].as_mut().expect("the shard of each key is locked")
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
