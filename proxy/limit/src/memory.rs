//! Rates counted in this process: exact, without an allocation on the way, and bounded in the number of keys.
//!
//! A key whose allowance is whole again is as good as forgotten, so those go first when a shard is full. When none is whole,
//! those that are nearest to it go: who took most stays longest.

use std::{fmt, sync::MutexGuard, time::Duration};

use patchbay_core::limits::{Decision, Dimension, Verdict};

use crate::{
    CHARGES_MAX, Charge, RateLimiter, Take,
    table::{Map, SHARDS, Table},
};

/// Rates in memory. See the module.
pub struct MemoryLimiter {
    table: Table<u64>,
    shard_keys_max: usize,
}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl MemoryLimiter {
    /// A limiter that remembers at most about `keys_max` keys (32 bytes each), and never fewer than one in each shard.
    pub fn new(keys_max: usize) -> Self {
        Self { table: Table::new(), shard_keys_max: keys_max.div_ceil(SHARDS).max(1) }
    }

    /// How many keys it remembers.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    fn take_one(&self, charge: &Charge, now_us: u64) -> Decision {
        let mut shard = self.table.lock(Table::<u64>::shard_of(charge.key));
        let verdict = decide(&shard, charge, now_us);
        if verdict.allowed {
            keep(&mut shard, charge, &verdict, now_us, self.shard_keys_max);
        }
        let mut sum = Sum::default();
        sum.add(charge, &verdict);
        sum.decision()
    }

    /// Looks at all keys, then takes from all of them, with their shards locked throughout.
    fn take_all(&self, request: &[Charge], now_us: u64) -> Decision {
        let mut locked = Locked::new(&self.table, request);
        let mut verdicts = [None; CHARGES_MAX];
        let mut sum = Sum::default();
        for (index, charge) in request.iter().enumerate() {
            let verdict = decide(locked.shard(index), charge, now_us);
            sum.add(charge, &verdict);
            verdicts[index] = verdict.allowed.then_some(verdict);
        }
        let decision = sum.decision();
        if matches!(decision, Decision::Allowed { .. }) {
            for (index, (charge, verdict)) in request.iter().zip(verdicts.iter().flatten()).enumerate() {
                keep(locked.shard(index), charge, verdict, now_us, self.shard_keys_max);
            }
        }
        decision
    }
}

/// The shards of a request's keys, each locked once.
struct Locked<'a> {
    guards: [Option<MutexGuard<'a, Map<u64>>>; CHARGES_MAX],
    /// For each charge the place of its shard among the guards.
    places: [usize; CHARGES_MAX],
}

impl<'a> Locked<'a> {
    /// Locks in rising order, so that two requests never wait for each other.
    fn new(table: &'a Table<u64>, request: &[Charge]) -> Self {
        let mut wanted = [usize::MAX; CHARGES_MAX];
        for (want, charge) in wanted.iter_mut().zip(request) {
            *want = Table::<u64>::shard_of(charge.key);
        }
        let mut order = wanted;
        order.sort_unstable();
        let mut guards = [const { None }; CHARGES_MAX];
        let mut last = usize::MAX;
        for (guard, shard) in guards.iter_mut().zip(order).take(request.len()) {
            if shard != last {
                *guard = Some(table.lock(shard));
                last = shard;
            }
        }
        let places = wanted.map(|shard| order.iter().position(|other| *other == shard).unwrap_or(0));
        Self { guards, places }
    }

    fn shard(&mut self, index: usize) -> &mut Map<u64> {
        self.guards[self.places[index]].as_mut().expect("the shard of each charge is locked")
    }
}

impl RateLimiter for MemoryLimiter {
    fn take(&self, request: &[Charge], now_us: u64) -> Take {
        Take::Ready(match request {
            [] => Decision::Allowed { remaining: u32::MAX },
            [one] => self.take_one(one, now_us),
            all if all.len() <= CHARGES_MAX => self.take_all(all, now_us),
            [first, ..] => Decision::Denied { limit: first.spec.dimension, retry_after: Duration::from_secs(1) },
        })
    }
}

fn decide(shard: &Map<u64>, charge: &Charge, now_us: u64) -> Verdict {
    charge.spec.gcra.decide(shard.get(&charge.key.0).copied(), now_us, charge.cost)
}

fn keep(shard: &mut Map<u64>, charge: &Charge, verdict: &Verdict, now_us: u64, keys_max: usize) {
    if verdict.reset_after_us == 0 {
        return;
    }
    if let Some(tat) = shard.get_mut(&charge.key.0) {
        *tat = verdict.tat;
        return;
    }
    if shard.len() >= keys_max {
        make_room(shard, now_us);
    }
    shard.insert(charge.key.0, verdict.tat);
}

/// Forgets the keys that are whole again, or else the sixteenth part that is nearest to it. A flood of new keys so pays for a
/// look at the whole shard only once in a while.
fn make_room(shard: &mut Map<u64>, now_us: u64) {
    let before = shard.len();
    shard.retain(|_, tat| *tat > now_us);
    if shard.len() < before {
        return;
    }
    let mut going = before.div_ceil(16);
    let mut tats: Vec<u64> = shard.values().copied().collect();
    let (_, farthest, _) = tats.select_nth_unstable(going - 1);
    shard.retain(|_, tat| {
        let goes = going > 0 && *tat <= *farthest;
        going -= usize::from(goes);
        !goes
    });
}

/// What several verdicts come to.
struct Sum {
    remaining: u32,
    denied: Option<(u64, Dimension)>,
}

impl Default for Sum {
    fn default() -> Self {
        Self { remaining: u32::MAX, denied: None }
    }
}

impl Sum {
    fn add(&mut self, charge: &Charge, verdict: &Verdict) {
        self.remaining = self.remaining.min(verdict.remaining);
        let longer = self.denied.is_none_or(|(wait, _)| wait < verdict.retry_after_us);
        if !verdict.allowed && longer {
            self.denied = Some((verdict.retry_after_us, charge.spec.dimension));
        }
    }

    const fn decision(&self) -> Decision {
        match self.denied {
            None => Decision::Allowed { remaining: self.remaining },
            Some((wait_us, limit)) => Decision::Denied { limit, retry_after: Duration::from_micros(wait_us) },
        }
    }
}

#[cfg(test)]
mod tests;
