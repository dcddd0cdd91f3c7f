//! The arithmetic of rates (GCRA) and the words for limits: pure, in whole microseconds, so that memory here and a script in
//! Redis compute the same. [`VECTORS`] is the table that both must satisfy. Who keeps the numbers is `patchbay-limit`.
//!
//! One number per key is all the state: the theoretical arrival time (TAT), the moment at which the allowance will be whole
//! again. Microseconds since 1970 fit a double exactly, and so a Lua number.

mod vectors;

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::TenantId;

pub use vectors::{VECTORS, Vector};

/// The longest time that a whole allowance may take to come back: about 35 years. It keeps all sums exact in a double.
const CAPACITY_US_MAX: u64 = 1 << 50;

/// How much may be taken: `count` in each `period` in the long run, and `burst` at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// What a limit is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dimension {
    /// All calls of a tenant.
    Tenant,
    /// All calls of one principal of a tenant.
    Principal,
    /// All calls through one toolset.
    Toolset,
    /// All calls to one server.
    Server,
    /// All calls of one tool.
    Tool,
    /// All requests from one address.
    Address,
    /// Sign-ins that failed, from one address.
    SignIn,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Tenant, Self::Principal, Self::Toolset, Self::Server, Self::Tool, Self::Address, Self::SignIn];

    /// The word in answers, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Principal => "principal",
            Self::Toolset => "toolset",
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Address => "address",
            Self::SignIn => "sign_in",
        }
    }
}

/// What is counted: a digest, so evenly spread and of one size, whatever it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey(pub u128);

impl LimitKey {
    /// The key of `id` in one dimension of one tenant; of no tenant for what is counted before one is known.
    ///
    /// Costs about as much as hashing 64 bytes, so make it once where the id lives long.
    pub fn of(tenant: Option<TenantId>, dimension: Dimension, id: &[u8]) -> Self {
        let tenant_bits = tenant.map_or(0, TenantId::bits).to_be_bytes();
        let digest = Sha256::new()
            .chain_update([u8::from(tenant.is_some()), dimension as u8])
            .chain_update(tenant_bits)
            .chain_update(id)
            .finalize();
        let digest: [u8; 32] = digest.into();
        Self(digest[..16].iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LimitSpec {
    /// What it is counted by, which is also its name.
    pub dimension: Dimension,
    /// How much it lets through.
    pub gcra: Gcra,
}

impl LimitSpec {
    /// The limit of that rate.
    pub fn new(dimension: Dimension, rate: Rate) -> Self {
        Self { dimension, gcra: Gcra::new(rate) }
    }
}

/// What limits say to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allowed {
        /// Units left of the limit that has the fewest.
        remaining: u32,
    },
    /// Not now. Nothing was taken from any limit.
    Denied {
        /// The limit that lets it through last.
        limit: Dimension,
        /// When the same request would pass, were there no others.
        retry_after: Duration,
    },
}

#[cfg(test)]
mod tests;
