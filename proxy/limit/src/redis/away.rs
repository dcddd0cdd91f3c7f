//! What becomes of a request that Redis does not decide: each limit is counted here with this replica's share, refuses, or
//! refuses nobody, as it says. All or nothing here too.

use std::time::Duration;

use patchbay_core::limits::{Gcra, WhenAway};

use crate::{Ask, CHARGES_MAX, Charge, Decision, MemoryLimiter, PLACES_MAX, Place, Refused, Standing};

/// When to come again to a limit that refuses while Redis is away: about the time of the next probe.
const RETRY_CLOSED: Duration = Duration::from_secs(1);
/// The core's bound; a share takes so many times longer to come back as there are replicas.
const EMISSION_US_MAX: u64 = 1 << 50;

/// This replica's share of a rate: as slow as there are replicas, and as many at once as is left to each, but one.
pub(super) fn share_of_rate(gcra: Gcra, replicas: u32) -> Gcra {
    if replicas <= 1 {
        return gcra;
    }
    let units = (gcra.capacity_us / gcra.emission_us.max(1)).div_ceil(u64::from(replicas));
    let emission_us = gcra.emission_us.saturating_mul(u64::from(replicas)).min(EMISSION_US_MAX);
    Gcra { emission_us, capacity_us: emission_us.saturating_mul(units) }
}

/// This replica's share of the rate that is charged. What weighs more than the share, but not more than the limit, has room for
/// itself, and is paid for at the share's pace: else it would never pass, however often its caller came again.
pub(super) fn share_of_charge(charge: &Charge, replicas: u32) -> Charge {
    let whole = charge.gcra;
    let mut gcra = share_of_rate(whole, replicas);
    let cost = u64::from(charge.cost);
    if whole.emission_us.saturating_mul(cost) <= whole.capacity_us {
        gcra.capacity_us = gcra.capacity_us.max(gcra.emission_us.saturating_mul(cost));
    }
    Charge { gcra, ..*charge }
}

/// This replica's share of the calls at once.
pub(super) const fn share_of_cap(max: u32, replicas: u32) -> u32 {
    max.div_ceil(if replicas == 0 { 1 } else { replicas })
}

/// The part of a request that is counted here, and where each of it stood in the whole.
struct Own {
    charges: Vec<Charge>,
    places: Vec<Place>,
    /// Charges first, then places.
    from: Vec<usize>,
    /// Closed limits that refuse nobody but only tell.
    would_deny: u32,
}

/// Decides without Redis.
pub(super) fn decide(local: &MemoryLimiter, ask: &Ask<'_>, replicas: u32, now_us: u64) -> Decision {
    let own = match own(ask, replicas) {
        Ok(own) => own,
        Err(at) => return Decision::Denied(Refused { at, retry_after: RETRY_CLOSED, away: true }),
    };
    let shared = Ask { charges: &own.charges, places: &own.places, ..*ask };
    match local.decide(&shared, now_us) {
        Decision::Denied(mut refused) => {
            refused.at = own.from[refused.at];
            Decision::Denied(refused)
        }
        Decision::Allowed(mut granted) => {
            if let Some(tightest) = &mut granted.tightest {
                tightest.at = own.from[tightest.at];
            }
            let bits = own.from.iter().enumerate().map(|(at, from)| (granted.would_deny >> at & 1) << from);
            granted.would_deny = bits.fold(own.would_deny, |all, bit| all | bit);
            Decision::Allowed(granted)
        }
    }
}

/// What is counted here, or the first limit that refuses.
fn own(ask: &Ask<'_>, replicas: u32) -> Result<Own, usize> {
    let mut own = Own {
        charges: Vec::with_capacity(ask.charges.len().min(CHARGES_MAX)),
        places: Vec::with_capacity(ask.places.len().min(PLACES_MAX)),
        from: Vec::with_capacity(CHARGES_MAX + PLACES_MAX),
        would_deny: 0,
    };
    for (at, charge) in ask.charges.iter().enumerate() {
        match charge.away {
            WhenAway::Local => {
                own.charges.push(share_of_charge(charge, replicas));
                own.from.push(at);
            }
            WhenAway::Closed if charge.cost > 0 => own.close(at, charge.dry_run)?,
            WhenAway::Closed | WhenAway::Open => {}
        }
    }
    for (place, at) in ask.places.iter().zip(ask.charges.len()..) {
        match place.away {
            WhenAway::Local => {
                own.places.push(Place { max: share_of_cap(place.max, replicas), ..*place });
                own.from.push(at);
            }
            WhenAway::Closed => own.close(at, place.dry_run)?,
            WhenAway::Open => {}
        }
    }
    Ok(own)
}

impl Own {
    fn close(&mut self, at: usize, is_dry_run: bool) -> Result<(), usize> {
        if !is_dry_run {
            return Err(at);
        }
        self.would_deny |= 1 << at;
        Ok(())
    }
}

/// How limits stand without Redis.
pub(super) fn standing(local: &MemoryLimiter, ask: &Ask<'_>, replicas: u32, now_us: u64) -> Vec<Standing> {
    let charges: Vec<_> =
        ask.charges.iter().map(|charge| Charge { gcra: share_of_rate(charge.gcra, replicas), ..*charge }).collect();
    let places: Vec<_> =
        ask.places.iter().map(|place| Place { max: share_of_cap(place.max, replicas), ..*place }).collect();
    let mut standings = local.standing(&Ask { charges: &charges, places: &places, ..*ask }, now_us);
    let aways = ask.charges.iter().map(|charge| charge.away).chain(ask.places.iter().map(|place| place.away));
    for (standing, away) in standings.iter_mut().zip(aways) {
        if away == WhenAway::Closed {
            standing.remaining = 0;
            standing.reset_after = RETRY_CLOSED;
        }
    }
    standings
}

#[cfg(test)]
mod tests;
