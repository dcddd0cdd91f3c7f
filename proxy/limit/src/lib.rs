//! Who keeps count: rates ([`RateLimiter`], here in memory: [`MemoryLimiter`]) and calls at once ([`ConcurrencyLimiter`]).
//!
//! The arithmetic, the keys and the words are `patchbay_core::limits`; which limits a request meets is the gateway's
//! `admission`. A limiter that counts over several replicas comes as a second implementation, held to the same suite.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod clock;
mod concurrency;
#[cfg(test)]
mod conformance;
mod memory;
mod table;

use std::{fmt, future::Future, pin::Pin};

use patchbay_core::limits::{Decision, LimitKey, LimitSpec};

pub use clock::Clock;
pub use concurrency::{CONCURRENT_MAX, ConcurrencyLimiter, ConcurrencyPermit, Concurrent, Crowded};
pub use memory::MemoryLimiter;

/// The most limits that one request may meet.
pub const CHARGES_MAX: usize = 8;

/// What a request takes from one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What is counted. A request names each key once.
    pub key: LimitKey,
    /// The limit.
    pub spec: LimitSpec,
    /// How much it takes; 0 looks and takes nothing.
    pub cost: u32,
}

/// Keeps count of rates.
pub trait RateLimiter: Send + Sync {
    /// Takes all charges of a request, or none of them and says which limit stands in the way.
    ///
    /// `now_us` is the caller's [`Clock`]; an implementation that has a clock of its own, shared with other replicas, uses
    /// that. A request of more than [`CHARGES_MAX`] charges is a mistake in the gateway, and is refused.
    fn take(&self, request: &[Charge], now_us: u64) -> Take;
}

/// The answer of a [`RateLimiter`]: now, or after a round trip.
pub enum Take {
    /// Known at once, without an allocation.
    Ready(Decision),
    /// Known later. To drop it may leave the charges taken or not.
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
