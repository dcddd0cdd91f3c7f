//! Rates and calls at once counted in this process: exact, without an allocation on the way, and bounded in the number of keys.
//!
//! A key whose allowance is whole again is as good as forgotten, so those go first when a shard is full. When none is whole,
//! those that are nearest to it go: who took most stays longest.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use patchbay_core::limits::{Gcra, Verdict};

use crate::{
    Ask, CHARGES_MAX, Charge, Decision, Granted, Limiter, Mode, Permit, Place, RETRY_CROWDED, Refused, Standing, Take,
    concurrency::{self, Running},
    table::{Locked, Map, SHARDS, Table},
};

/// Counts in memory. See the module.
pub struct MemoryLimiter {
    table: Table<u64>,
    running: Running,
    shard_keys_max: usize,
}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl MemoryLimiter {
    /// A limiter that remembers the rates of at most about `keys_max` keys (32 bytes each), and never fewer than one in each
    /// shard.
    pub fn new(keys_max: usize) -> Self {
        Self { table: Table::new(), running: Running::new(), shard_keys_max: keys_max.div_ceil(SHARDS).max(1) }
    }

    /// How many keys it remembers.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    /// The calls that run.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// See [`Limiter::take`].
    pub(crate) fn decide(&self, ask: &Ask<'_>, now_us: u64) -> Decision {
        if !ask.is_in_bounds() {
            return Decision::Denied(Refused::MISTAKE);
        }
        match (ask.charges, ask.places) {
            ([charge], []) => self.decide_one(charge, now_us),
            _ => self.decide_all(ask, now_us),
        }
    }

    /// What most requests come to: one rate, one lock.
    fn decide_one(&self, charge: &Charge, now_us: u64) -> Decision {
        let mut shard = self.table.lock(Table::<u64>::shard_of(charge.key));
        let verdict = decide(&shard, charge, now_us);
        let mut sum = Sum::default();
        sum.add_rate(0, charge, &verdict);
        if verdict.allowed {
            keep(&mut shard, charge, &verdict, now_us, self.shard_keys_max);
        }
        drop(shard);
        sum.decision(|| self.running.permit())
    }

    /// Looks at all keys, then takes from all of them, with their shards locked throughout: first those of rates, then those of
    /// caps, so that two requests never wait for each other.
    fn decide_all(&self, ask: &Ask<'_>, now_us: u64) -> Decision {
        let mut rates = Locked::<u64, CHARGES_MAX>::new(&self.table, ask.charges.iter().map(|charge| charge.key));
        let mut running = self.running.locked(ask.places);
        let mut verdicts = [None; CHARGES_MAX];
        let mut sum = Sum::default();
        for (at, charge) in ask.charges.iter().enumerate() {
            let verdict = decide(rates.shard(at), charge, now_us);
            sum.add_rate(at, charge, &verdict);
            verdicts[at] = Some(verdict).filter(|verdict| verdict.allowed);
        }
        for (at, place) in ask.places.iter().enumerate() {
            let fits = concurrency::count(running.shard(at), place.key) < place.max;
            sum.add_place(ask.charges.len() + at, place, fits);
        }
        if sum.denied.is_none() {
            for (at, (charge, verdict)) in ask.charges.iter().zip(&verdicts).enumerate() {
                if let Some(verdict) = verdict {
                    keep(rates.shard(at), charge, verdict, now_us, self.shard_keys_max);
                }
            }
        }
        sum.decision(|| self.running.enter(&mut running, ask.places))
    }

    /// Counts what somebody else granted: as much of it as there is room for.
    pub(crate) fn note(&self, charge: &Charge, now_us: u64) {
        if charge.cost == 0 {
            return;
        }
        let mut shard = self.table.lock(Table::<u64>::shard_of(charge.key));
        let mut verdict = decide(&shard, charge, now_us);
        if !verdict.allowed {
            let Gcra { capacity_us, .. } = charge.gcra;
            verdict.tat = now_us.saturating_add(capacity_us);
            verdict.reset_after_us = capacity_us;
        }
        keep(&mut shard, charge, &verdict, now_us, self.shard_keys_max);
    }

    /// See [`Limiter::look`].
    pub(crate) fn standing(&self, ask: &Ask<'_>, now_us: u64) -> Vec<Standing> {
        let rates = ask.charges.iter().enumerate().map(|(at, charge)| {
            let shard = self.table.lock(Table::<u64>::shard_of(charge.key));
            standing(at, &decide(&shard, &Charge { cost: 0, ..*charge }, now_us))
        });
        let places = ask.places.iter().enumerate().map(|(at, place)| Standing {
            at: ask.charges.len() + at,
            remaining: place.max.saturating_sub(self.running.running(place.key)),
            reset_after: Duration::ZERO,
        });
        rates.chain(places).collect()
    }
}

impl Limiter for MemoryLimiter {
    fn take(&self, ask: &Ask<'_>, now_us: u64) -> Take {
        Take::Ready(self.decide(ask, now_us))
    }

    fn look<'a>(&'a self, ask: &'a Ask<'a>, now_us: u64) -> Pin<Box<dyn Future<Output = Vec<Standing>> + Send + 'a>> {
        Box::pin(std::future::ready(self.standing(ask, now_us)))
    }

    fn mode(&self) -> Mode {
        Mode::Memory
    }
}

fn decide(shard: &Map<u64>, charge: &Charge, now_us: u64) -> Verdict {
    charge.gcra.decide(shard.get(&charge.key.0).copied(), now_us, charge.cost)
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
#[derive(Default)]
struct Sum {
    tightest: Option<Standing>,
    denied: Option<Refused>,
    would_deny: u32,
}

impl Sum {
    fn add_rate(&mut self, at: usize, charge: &Charge, verdict: &Verdict) {
        if charge.dry_run {
            self.would_deny |= u32::from(!verdict.allowed) << at;
            return;
        }
        if self.tightest.is_none_or(|other| verdict.remaining < other.remaining) {
            self.tightest = Some(standing(at, verdict));
        }
        if !verdict.allowed {
            self.deny(at, Duration::from_micros(verdict.retry_after_us));
        }
    }

    fn add_place(&mut self, at: usize, place: &Place, fits: bool) {
        if place.dry_run {
            self.would_deny |= u32::from(!fits) << at;
        } else if !fits {
            self.deny(at, RETRY_CROWDED);
        }
    }

    /// Whoever lets it through last is the one to name.
    fn deny(&mut self, at: usize, retry_after: Duration) {
        if self.denied.is_none_or(|other| other.retry_after < retry_after) {
            self.denied = Some(Refused { at, retry_after, away: false });
        }
    }

    fn decision(self, permit: impl FnOnce() -> Permit) -> Decision {
        match self.denied {
            Some(refused) => Decision::Denied(refused),
            None => {
                Decision::Allowed(Granted { tightest: self.tightest, would_deny: self.would_deny, permit: permit() })
            }
        }
    }
}

const fn standing(at: usize, verdict: &Verdict) -> Standing {
    Standing { at, remaining: verdict.remaining, reset_after: Duration::from_micros(verdict.reset_after_us) }
}

#[cfg(test)]
mod tests;
