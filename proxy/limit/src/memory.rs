//! Rates counted in this process: exact, without an allocation on the way, and bounded in the number of keys.
//!
//! A key whose allowance is whole again is as good as forgotten, so those go first when a shard is full. When none is whole,
//! those that are nearest to it go: who took most stays longest.

use std::{fmt, future::Future, pin::Pin, sync::MutexGuard, time::Duration};

use patchbay_core::limits::Verdict;

use crate::{
    Ask, CHARGES_MAX, Charge, Decision, Granted, Limiter, Mode, PLACES_MAX, Refused, Standing, Take,
    concurrency::Running,
    table::{Map, SHARDS, Table},
};

/// When it makes sense to come again after too many calls at once.
const RETRY_CROWDED: Duration = Duration::from_millis(200);

/// Rates in memory. See the module.
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
    /// A limiter that remembers at most about `keys_max` keys (32 bytes each), and never fewer than one in each shard.
    pub fn new(keys_max: usize) -> Self {
        Self { table: Table::new(), running: Running::default(), shard_keys_max: keys_max.div_ceil(SHARDS).max(1) }
    }

    /// How many keys it remembers.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    fn decide(&self, ask: &Ask<'_>, now_us: u64) -> Decision {
        if ask.charges.len() > CHARGES_MAX || ask.places.len() > PLACES_MAX {
            return Decision::Denied(Refused { at: 0, retry_after: Duration::from_secs(1), away: false });
        }
        let mut would_deny = 0;
        let permit = match self.running.enter(ask.places, &mut would_deny) {
            Ok(permit) => permit,
            Err(place) => {
                let at = ask.charges.len() + place;
                return Decision::Denied(Refused { at, retry_after: RETRY_CROWDED, away: false });
            }
        };
        let sum = self.charge(ask.charges, now_us);
        match sum.denied {
            Some((wait_us, at)) => {
                Decision::Denied(Refused { at, retry_after: Duration::from_micros(wait_us), away: false })
            }
            None => {
                would_deny = would_deny << ask.charges.len() | sum.would_deny;
                Decision::Allowed(Granted { tightest: sum.tightest, would_deny, permit })
            }
        }
    }

    /// Looks at all keys, then takes from all of them, with their shards locked throughout.
    fn charge(&self, charges: &[Charge], now_us: u64) -> Sum {
        let mut locked = Locked::new(&self.table, charges);
        let mut verdicts = [None; CHARGES_MAX];
        let mut sum = Sum::default();
        for (at, charge) in charges.iter().enumerate() {
            let verdict = decide(locked.shard(at), charge, now_us);
            sum.add(at, charge, &verdict);
            verdicts[at] = Some(verdict).filter(|verdict| verdict.allowed);
        }
        if sum.denied.is_none() {
            for (at, (charge, verdict)) in charges.iter().zip(&verdicts).enumerate() {
                if let Some(verdict) = verdict {
                    keep(locked.shard(at), charge, verdict, now_us, self.shard_keys_max);
                }
            }
        }
        sum
    }

    fn standing(&self, ask: &Ask<'_>, now_us: u64) -> Vec<Standing> {
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
    denied: Option<(u64, usize)>,
    would_deny: u32,
}

impl Sum {
    fn add(&mut self, at: usize, charge: &Charge, verdict: &Verdict) {
        if charge.dry_run {
            self.would_deny |= u32::from(!verdict.allowed) << at;
            return;
        }
        if self.tightest.is_none_or(|other| verdict.remaining < other.remaining) {
            self.tightest = Some(standing(at, verdict));
        }
        let longer = self.denied.is_none_or(|(wait, _)| wait < verdict.retry_after_us);
        if !verdict.allowed && longer {
            self.denied = Some((verdict.retry_after_us, at));
        }
    }
}

const fn standing(at: usize, verdict: &Verdict) -> Standing {
    Standing { at, remaining: verdict.remaining, reset_after: Duration::from_micros(verdict.reset_after_us) }
}

#[cfg(test)]
mod tests;
