//! A bounded shelf whose entries have an end: found without waiting, swept a little with every new one. The token cache and the
//! introspection of opaque tokens keep what they know in it.

use std::{
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use dashmap::DashMap;

/// How many old entries each new one looks at, to drop those that have ended: more than come in, so none stay for long.
const SWEPT: usize = 8;

/// The shelf.
pub(crate) struct Shelf<K, V> {
    entries: DashMap<K, Entry<V>>,
    /// The keys of all entries. Only who writes takes it, always before a shard of `entries`.
    ring: Mutex<Ring<K>>,
    entries_max: usize,
}

struct Entry<V> {
    value: V,
    until_ms: i64,
}

struct Ring<K> {
    keys: Vec<K>,
    /// Where the next sweep begins.
    hand: usize,
}

impl<K: Copy + Eq + Hash, V> Shelf<K, V> {
    /// A shelf of at most this many entries, and at least one.
    pub(crate) fn new(entries_max: usize) -> Self {
        let ring = Ring { keys: Vec::new(), hand: 0 };
        Self { entries: DashMap::new(), ring: Mutex::new(ring), entries_max: entries_max.max(1) }
    }

    /// What `read` makes of the entry, unless there is none or it has ended.
    pub(crate) fn find<R>(&self, key: &K, now_ms: i64, read: impl FnOnce(&V) -> Option<R>) -> Option<R> {
        let entry = self.entries.get(key)?;
        if now_ms < entry.until_ms { read(&entry.value) } else { None }
    }

    /// Remembers it until then, in the place of what was there. When all places are taken, one that has ended goes, or else
    /// one that has been there for long.
    pub(crate) fn put(&self, key: K, value: V, until_ms: i64, now_ms: i64) {
        if until_ms <= now_ms {
            return;
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut known) = self.entries.get_mut(&key) {
            *known = Entry { value, until_ms };
            return;
        }
        self.sweep(&mut ring, now_ms);
        if ring.keys.len() < self.entries_max {
            ring.keys.push(key);
        } else {
            let at = ring.hand % ring.keys.len();
            self.entries.remove(&ring.keys[at]);
            ring.keys[at] = key;
            ring.hand = at + 1;
        }
        self.entries.insert(key, Entry { value, until_ms });
    }

    fn sweep(&self, ring: &mut Ring<K>, now_ms: i64) {
        for _ in 0..SWEPT.min(ring.keys.len()) {
            let at = ring.hand % ring.keys.len();
            match self.entries.remove_if(&ring.keys[at], |_, entry| entry.until_ms <= now_ms) {
                Some(_) => drop(ring.keys.swap_remove(at)),
                None => ring.hand = at + 1,
            }
        }
    }

    /// How many are remembered.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(ring.keys.len(), self.entries.len(), "the ring has the keys of the entries");
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(shelf: &Shelf<u32, u32>, key: u32, now_ms: i64) -> bool {
        shelf.find(&key, now_ms, |value| Some(*value)) == Some(key)
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_the_newest_is_there() {
        let shelf = Shelf::new(10);
        for key in 0..1_000 {
            shelf.put(key, key, 100, 0);
            assert!(holds(&shelf, key, 0) && shelf.len() <= 10);
        }
        assert!((990..1_000).all(|key| holds(&shelf, key, 0)), "the oldest go first");
    }

    #[test]
    fn what_has_ended_goes_before_what_counts() {
        let shelf = Shelf::new(10);
        (0..5).for_each(|key| shelf.put(key, key, 100, 0));
        (5..10).for_each(|key| shelf.put(key, key, 10, 0));
        (10..15).for_each(|key| shelf.put(key, key, 100, 50));
        assert!((0..5).chain(10..15).all(|key| holds(&shelf, key, 50)) && shelf.len() == 10);
    }

    #[test]
    fn what_has_ended_is_not_found_and_is_swept_by_what_comes() {
        let shelf = Shelf::new(1_000);
        (0..100).for_each(|key| shelf.put(key, key, 10, 0));
        assert!(holds(&shelf, 7, 9) && !holds(&shelf, 7, 10));
        (200..240).for_each(|key| shelf.put(key, key, 100, 50));
        assert_eq!(shelf.len(), 40);
        shelf.put(7, 7, 50, 50);
        assert!(!holds(&shelf, 7, 50), "what ends at once is not kept");
    }

    #[test]
    fn the_same_key_again_takes_no_second_place() {
        let shelf = Shelf::new(2);
        shelf.put(1, 1, 10, 0);
        shelf.put(2, 2, 10, 0);
        (0..50).for_each(|_| shelf.put(2, 2, 20, 0));
        assert!(holds(&shelf, 1, 0) && holds(&shelf, 2, 15) && shelf.len() == 2);
    }
}
