//! Who keeps count: rates and calls at once, in memory ([`MemoryLimiter`]) or in Redis for all replicas ([`RedisLimiter`]), behind
//! one trait and held to one suite.
//!
//! The arithmetic, the keys and the words are `patchbay_core::limits`; which limits a request meets is the gateway's `admission`.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod clock;
mod concurrency;
#[cfg(test)]
mod conformance;
mod memory;
mod redis;
mod table;

use std::{fmt, future::Future, pin::Pin, time::Duration};

use patchbay_core::{
    TenantId,
    limits::{Gcra, LimitKey, WhenAway},
};

pub use clock::Clock;
pub use concurrency::Permit;
pub use memory::MemoryLimiter;
pub use redis::{RedisLimiter, RedisOptions, RedisStats, RedisUrlError};

/// The most rates that one request may meet.
pub const CHARGES_MAX: usize = 16;
/// The most caps that one call may run under.
pub const PLACES_MAX: usize = 8;
/// When it makes sense to come again after too many calls at once: nobody knows when one of them ends.
const RETRY_CROWDED: Duration = Duration::from_millis(200);

/// What a request takes from one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What is counted. A request names each key once.
    pub key: LimitKey,
    /// How much it lets through.
    pub gcra: Gcra,
    /// How much it takes; 0 takes nothing and refuses nobody.
    pub cost: u32,
    /// While the counts of all replicas are out of reach.
    pub away: WhenAway,
    /// Whether it refuses nobody, and only tells.
    pub dry_run: bool,
}

/// A place among the calls that run under one cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What is counted. A request names each key once.
    pub key: LimitKey,
    /// How many may run at once.
    pub max: u32,
    /// While the counts of all replicas are out of reach.
    pub away: WhenAway,
    /// Whether it refuses nobody, and only tells.
    pub dry_run: bool,
}

/// All that one request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Whose it is: the keys of one tenant lie together.
    pub tenant: TenantId,
    /// Rates, [`CHARGES_MAX`] at the most.
    pub charges: &'a [Charge],
    /// Caps, [`PLACES_MAX`] at the most.
    pub places: &'a [Place],
    /// How long the places are held at the most: after that they are free, even if the holder is dead. Without places it
    /// means nothing.
    pub hold: Duration,
}

impl Ask<'_> {
    /// Whether it asks for no more than the bounds allow.
    const fn is_in_bounds(&self) -> bool {
        self.charges.len() <= CHARGES_MAX && self.places.len() <= PLACES_MAX
    }
}

/// Keeps count of rates and of calls that run.
pub trait Limiter: Send + Sync {
    /// Takes all that is asked for, or nothing and says what stands in the way.
    ///
    /// `now_us` is the caller's [`Clock`]; a limiter that has a clock of its own, shared with other replicas, uses that. More
    /// than the bounds allow is a mistake in the gateway, and is refused.
    fn take(&self, ask: &Ask<'_>, now_us: u64) -> Take;

    /// How all that is asked for stands now, in its order: charges, then places. Takes nothing.
    fn look<'a>(&'a self, ask: &'a Ask<'a>, now_us: u64) -> Pin<Box<dyn Future<Output = Vec<Standing>> + Send + 'a>>;

    /// How it counts now.
    fn mode(&self) -> Mode;
}

/// How a limiter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// This process alone, as configured.
    Memory,
    /// All replicas together.
    Shared,
    /// All replicas should count together and cannot: each limit falls back as it says.
    Away,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Shared, Self::Away];

    /// The word in metrics and the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Away => "away",
        }
    }
}

/// Is told of each change of [`Mode`], with a word on why. Called from any thread; must not wait.
pub type Watcher = std::sync::Arc<dyn Fn(Mode, &'static str) + Send + Sync>;

/// How one limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which: the place in the request, charges first, then places.
    pub at: usize,
    /// Units that are left.
    pub remaining: u32,
    /// After what time all of them are there again; zero for a cap.
    pub reset_after: Duration,
}

/// What a limiter says to a request.
#[derive(Debug)]
pub enum Decision {
    /// Go on.
    Allowed(Granted),
    /// Not now. Nothing was taken.
    Denied(Refused),
}

impl Decision {
    /// Whether it may go on.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// What was granted.
#[derive(Debug)]
pub struct Granted {
    /// The rate of which the fewest units are left; `None` when the request met none.
    pub tightest: Option<Standing>,
    /// Dry-run limits that would have refused it: a bit for each place in the request.
    pub would_deny: u32,
    /// The places among the running calls.
    pub permit: Permit,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The limit that lets it through last: the place in the request, charges first, then places. A cap that is known to be
    /// reached may be named before rates are asked about.
    pub at: usize,
    /// When the same request would pass, were there no others. For a cap a guess, since nobody knows when a call ends.
    pub retry_after: Duration,
    /// Whether it is refused because nobody counts ([`WhenAway::Closed`]).
    pub away: bool,
}

impl Refused {
    /// What is answered to more than the bounds allow.
    const MISTAKE: Self = Self { at: 0, retry_after: Duration::from_secs(1), away: false };
}

/// The answer of a [`Limiter`]: now, or after a round trip.
pub enum Take {
    /// Known at once, without an allocation.
    Ready(Decision),
    /// Known later. To drop it may leave what was asked for taken or not; places come back by themselves.
    Pending(Pin<Box<dyn Future<Output = Decision> + Send>>),
}

impl Take {
    /// The decision, waited for where it must be.
    pub async fn decision(self) -> Decision {
        match self {
            Self::Ready(decision) => decision,
            Self::Pending(later) => later.await,
        }
    }
}

impl fmt::Debug for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(decision) => f.debug_tuple("Ready").field(decision).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}
