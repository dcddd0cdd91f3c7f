//! The arithmetic of rates (GCRA) and the words for limits: pure, in whole microseconds, so that memory here and a script in
//! Redis compute the same. [`VECTORS`] is the table that both must satisfy. Who keeps the numbers is `patchbay-limit`.
//!
//! One number per key is all the state: the theoretical arrival time (TAT), the moment at which the allowance will be whole
//! again. Microseconds since 1970 fit a double exactly, and so a Lua number.

mod plan;
mod rule;
mod sieve;
mod vectors;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::TenantId;

pub use plan::{CAPS_MAX, LimitError, LimitPlan, Met, Planned, PlannedAmount, RULES_MAX, RuleSet};
pub use rule::{Amount, Applies, GatewayLimits, LimitRule, WhenAway};
pub use sieve::{Sieve, Toll};
pub use vectors::{VECTORS, Vector};

/// The longest time that a whole allowance may take to come back: about 35 years. It keeps all sums exact in a double.
const CAPACITY_US_MAX: u64 = 1 << 50;

/// How much may be taken: `count` in each `period` in the long run, and `burst` at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// How many in each period. 0 refuses everything.
    pub count: u32,
    /// The period.
    pub period: Duration,
    /// How many at once. 0 refuses everything.
    pub burst: u32,
}

impl Rate {
    /// `count` in each second, `burst` at once.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self { count, period: Duration::from_secs(1), burst }
    }
}

/// A [`Rate`] made ready for computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gcra {
    /// Microseconds that one unit takes to come back; at least 1. Rounded up, so that the rate is never exceeded: exact for
    /// rates that divide a million, at most 1 % low up to 10,000 in a second.
    pub emission_us: u64,
    /// Microseconds that a whole allowance takes to come back.
    pub capacity_us: u64,
}

/// What the arithmetic says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the cost fits.
    pub allowed: bool,
    /// The number to keep. When it is refused: what was kept, brought into its bounds.
    pub tat: u64,
    /// How many units could be taken now, after this.
    pub remaining: u32,
    /// After how many microseconds the same cost will fit; 0 when it fits now. (A cost above the burst never fits: the
    /// configuration does not let it through.)
    pub retry_after_us: u64,
    /// After how many microseconds the allowance is whole again, and the key may be forgotten.
    pub reset_after_us: u64,
}

impl Gcra {
    /// The rate, ready for computing.
    pub fn new(rate: Rate) -> Self {
        let period_us = u64::try_from(rate.period.as_micros()).unwrap_or(u64::MAX);
        let emission_us = period_us.div_ceil(u64::from(rate.count.max(1))).clamp(1, CAPACITY_US_MAX);
        let burst = if rate.count == 0 { 0 } else { u64::from(rate.burst) };
        // A whole number of units, also when it is cut.
        let burst = burst.min(CAPACITY_US_MAX / emission_us);
        Self { emission_us, capacity_us: emission_us * burst }
    }

    /// Whether `cost` may be taken at `now_us` by a key whose kept number is `tat`.
    ///
    /// A cost of 0 is a look: it takes nothing and is allowed. A kept number further ahead than a whole allowance (another
    /// clock wrote it) is brought back to that.
    pub const fn decide(&self, tat: Option<u64>, now_us: u64, cost: u32) -> Verdict {
        let debt = match tat {
            Some(tat) => tat.saturating_sub(now_us),
            None => 0,
        };
        let debt = if debt < self.capacity_us { debt } else { self.capacity_us };
        let wanted = debt.saturating_add(self.emission_us.saturating_mul(cost as u64));
        let allowed = wanted <= self.capacity_us;
        let used = if allowed { wanted } else { debt };
        let remaining = (self.capacity_us - used) / self.emission_us;
        Verdict {
            allowed,
            tat: now_us.saturating_add(used),
            remaining: if remaining < u32::MAX as u64 { remaining as u32 } else { u32::MAX },
            retry_after_us: wanted.saturating_sub(self.capacity_us),
            reset_after_us: used,
        }
    }
}

/// One of the things that a limit is counted by; a limit may be counted by several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Dimension {
    /// The tenant.
    Tenant,
    /// The principal.
    Principal,
    /// The API key. Who has none (somebody with a token) does not meet such a limit.
    Key,
    /// The toolset.
    Toolset,
    /// The server that a call goes to.
    Server,
    /// The tool that is called.
    Tool,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Tenant, Self::Principal, Self::Key, Self::Toolset, Self::Server, Self::Tool];

    /// The word in files, answers and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Principal => "principal",
            Self::Key => "key",
            Self::Toolset => "toolset",
            Self::Server => "server",
            Self::Tool => "tool",
        }
    }

    /// The dimensions in the order of [`Self::ALL`], each once.
    pub fn sorted(mut by: Vec<Self>) -> Vec<Self> {
        by.sort_unstable();
        by.dedup();
        by
    }
}

/// What is counted: a digest, so evenly spread and of one size, whatever it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey(pub u128);

impl LimitKey {
    /// The key of a limit by its name, of one tenant (of none for what is counted before one is known), and of the parts
    /// that it is counted by, in the order of [`Dimension::ALL`].
    ///
    /// Costs about as much as hashing 128 bytes. Parts are told apart by their lengths.
    pub fn of(tenant: Option<TenantId>, limit: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new()
            .chain_update([u8::from(tenant.is_some())])
            .chain_update(tenant.map_or(0, TenantId::bits).to_be_bytes());
        for part in std::iter::once(&limit.as_bytes()).chain(parts) {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest: [u8; 32] = hasher.finalize().into();
        Self(digest[..16].iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

#[cfg(test)]
mod tests;
