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
    weight_max: usize,
}

struct Entry<V> {
    value: V,
    until_ms: i64,
    weight: usize,
}

struct Ring<K> {
    keys: Vec<K>,
    /// Where the next sweep begins.
    hand: usize,
    /// What all entries weigh together.
    weight: usize,
}

impl<K: Copy + Eq + Hash, V> Shelf<K, V> {
    /// A shelf of at most this many entries, and at least one.
    pub(crate) fn new(entries_max: usize) -> Self {
        let ring = Ring { keys: Vec::new(), hand: 0, weight: 0 };
        let entries_max = entries_max.max(1);
        Self { entries: DashMap::new(), ring: Mutex::new(ring), entries_max, weight_max: usize::MAX }
    }

    /// The same, whose entries weigh at most this much together.
    pub(crate) fn of_weight(mut self, weight_max: usize) -> Self {
        self.weight_max = weight_max;
        self
    }

    /// What `read` makes of the entry, unless there is none or it has ended.
    pub(crate) fn find<R>(&self, key: &K, now_ms: i64, read: impl FnOnce(&V) -> Option<R>) -> Option<R> {
        let entry = self.entries.get(key)?;
        if now_ms < entry.until_ms { read(&entry.value) } else { None }
    }

    /// Remembers it until then, in the place of what was there. When all places are taken, one that has ended goes, or else
    /// one that has been there for long.
    pub(crate) fn put(&self, key: K, value: V, until_ms: i64, now_ms: i64) {
        self.put_weighing(0, key, value, until_ms, now_ms);
    }

    /// The same with what weighs something; what has been there for long makes room for it. What weighs more than all may is
    /// not remembered.
    pub(crate) fn put_weighing(&self, weight: usize, key: K, value: V, until_ms: i64, now_ms: i64) {
        if until_ms <= now_ms || weight > self.weight_max {
            return;
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry { value, until_ms, weight };
        if let Some(mut known) = self.entries.get_mut(&key) {
            ring.weight = ring.weight - known.weight + weight;
            *known = entry;
            drop(known);
            self.make_room(&mut ring, 0);
            return;
        }
        self.sweep(&mut ring, now_ms);
        self.make_room(&mut ring, weight);
        if ring.keys.len() < self.entries_max {
            ring.keys.push(key);
        } else {
            let at = ring.hand % ring.keys.len();
            ring.weight -= self.entries.remove(&ring.keys[at]).map_or(0, |(_, old)| old.weight);
            ring.keys[at] = key;
            ring.hand = at + 1;
        }
        ring.weight += weight;
        self.entries.insert(key, entry);
    }

    /// Lets go of what has been there for long until something of this weight fits in.
    fn make_room(&self, ring: &mut Ring<K>, weight: usize) {
        while !ring.keys.is_empty() && ring.weight > self.weight_max - weight {
            let at = ring.hand % ring.keys.len();
            let old = ring.keys.remove(at);
            ring.hand = at;
            ring.weight -= self.entries.remove(&old).map_or(0, |(_, old)| old.weight);
        }
    }

    fn sweep(&self, ring: &mut Ring<K>, now_ms: i64) {
        for _ in 0..SWEPT.min(ring.keys.len()) {
            let at = ring.hand % ring.keys.len();
            match self.entries.remove_if(&ring.keys[at], |_, entry| entry.until_ms <= now_ms) {
                Some((_, old)) => {
                    ring.keys.swap_remove(at);
                    ring.weight -= old.weight;
                }
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
        assert_eq!(ring.weight, self.entries.iter().map(|entry| entry.weight).sum::<usize>());
        assert!(ring.weight <= self.weight_max);
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
    fn heavy_things_push_out_others_until_there_is_room_and_no_more() {
        let shelf = Shelf::new(10).of_weight(100);
        (0..10).for_each(|key| shelf.put_weighing(10, key, key, 100, 0));
        shelf.put_weighing(35, 10, 10, 100, 0);
        assert!(holds(&shelf, 10, 0) && shelf.len() == 7);
        shelf.put_weighing(5, 10, 10, 100, 0);
        shelf.put_weighing(35, 11, 11, 100, 0);
        assert!(holds(&shelf, 11, 0) && shelf.len() == 8, "the same key again weighs what it does now");
        shelf.put_weighing(101, 12, 12, 100, 0);
        assert!(!holds(&shelf, 12, 0) && shelf.len() == 8);
        for key in 100..1_000 {
            shelf.put_weighing(key as usize % 101, key % 30, key % 30, 10 + i64::from(key % 3), 9);
            assert!(shelf.len() <= 10, "and what they weigh is looked at there");
        }
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
