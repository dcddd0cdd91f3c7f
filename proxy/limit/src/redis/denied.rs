//! Keys that Redis has refused, until their time: who is refused comes again and again, and need not be asked about.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use patchbay_core::limits::{Gcra, LimitKey};

use crate::{
    Charge, Refused,
    table::{Map, SHARDS, Table},
};

/// Keys that are remembered as refused. The next one takes the place of another, about which Redis is asked again.
const DENIED_MAX: usize = 65_536;

/// See the module.
pub(super) struct Denied {
    table: Table<Entry>,
    /// How many there are, so that in good times nobody has to look.
    count: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Entry {
    until_us: u64,
    /// What costs as much or more is refused.
    cost: u32,
    /// The limit as it was: a changed one decides anew.
    gcra: Gcra,
}

impl Denied {
    pub(super) fn new() -> Self {
        Self { table: Table::new(), count: AtomicUsize::new(0) }
    }

    /// Whether one of these is known to be refused still: the one that is so for the longest time.
    pub(super) fn find(&self, charges: &[Charge], now_us: impl FnOnce() -> u64) -> Option<Refused> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now_us = now_us();
        let mut found: Option<Refused> = None;
        for (at, charge) in charges.iter().enumerate() {
            let Some(left_us) = self.left(charge, now_us) else { continue };
            let retry_after = Duration::from_micros(left_us);
            if found.is_none_or(|other| other.retry_after < retry_after) {
                found = Some(Refused { at, retry_after, away: false });
            }
        }
        found
    }

    fn left(&self, charge: &Charge, now_us: u64) -> Option<u64> {
        let mut shard = self.table.lock(Table::<Entry>::shard_of(charge.key));
        let entry = *shard.get(&charge.key.0)?;
        if entry.until_us <= now_us {
            self.remove(&mut shard, charge.key);
            return None;
        }
        let covers = !charge.dry_run && charge.cost >= entry.cost && charge.gcra == entry.gcra;
        covers.then_some(entry.until_us - now_us)
    }

    /// Remembers a refusal that Redis has just spoken.
    pub(super) fn note(&self, charge: &Charge, retry_after: Duration, now_us: u64) {
        let until_us = now_us.saturating_add(u64::try_from(retry_after.as_micros()).unwrap_or(u64::MAX));
        let mut shard = self.table.lock(Table::<Entry>::shard_of(charge.key));
        if shard.len() >= DENIED_MAX / SHARDS && !shard.contains_key(&charge.key.0) {
            self.make_room(&mut shard, now_us);
        }
        let entry = Entry { until_us, cost: charge.cost, gcra: charge.gcra };
        if shard.insert(charge.key.0, entry).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn make_room(&self, shard: &mut Map<Entry>, now_us: u64) {
        let before = shard.len();
        shard.retain(|_, entry| entry.until_us > now_us);
        self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
        if shard.len() == before
            && let Some(first) = shard.keys().next().copied()
        {
            self.remove(shard, LimitKey(first));
        }
    }

    fn remove(&self, shard: &mut Map<Entry>, key: LimitKey) {
        if shard.remove(&key.0).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
