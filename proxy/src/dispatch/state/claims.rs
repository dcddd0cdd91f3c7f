//! That a state counts once: who brings answers uses their state up, here and at all replicas. Kept in memory until the state
//! has expired by itself, and told to the store. Called by [`super::State::claim`] alone.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use dashmap::{DashMap, Entry};
use patchbay_core::TenantId;
use tracing::warn;

use crate::{app::App, audit::now_ms, error::GatewayError};

/// The most states that are remembered as used.
const CLAIMS_MAX: usize = 262_144;
/// What the store has to say whether a state was used at another replica. A person has answered, so this is no hot path.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// How often at the most those that have expired are looked for when there is no room.
const SWEEP_EVERY_MS: i64 = 1000;

/// The states that were used, with the time when each has expired.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    used: DashMap<[u8; 32], i64>,
    swept_ms: AtomicI64,
}

impl Claims {
    /// Whether this is the first use here; `None` when there is no room to remember it.
    fn first(&self, digest: [u8; 32], expires_ms: i64, now_ms: i64) -> Option<bool> {
        if self.used.contains_key(&digest) {
            return Some(false);
        }
        if self.used.len() >= CLAIMS_MAX && !self.has_room(now_ms) {
            return None;
        }
        match self.used.entry(digest) {
            Entry::Occupied(_) => Some(false),
            Entry::Vacant(free) => {
                free.insert(expires_ms);
                Some(true)
            }
        }
    }

    fn has_room(&self, now_ms: i64) -> bool {
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(swept_ms) >= SWEEP_EVERY_MS {
            self.swept_ms.store(now_ms, Ordering::Relaxed);
            self.used.retain(|_, expires_ms| *expires_ms > now_ms);
        }
        self.used.len() < CLAIMS_MAX
    }
}

/// Uses a state up; `false` when it was used before. When the store is away, this replica's memory alone says so.
///
/// # Errors
/// When too many are remembered already.
pub(super) async fn claim(
    app: &App,
    tenant: TenantId,
    digest: [u8; 32],
    expires_ms: i64,
    is_shared: bool,
) -> Result<bool, GatewayError> {
    let first = app.claims.first(digest, expires_ms, now_ms());
    match first.ok_or(GatewayError::Overloaded("too many answers of users are remembered as given"))? {
        true if is_shared => {}
        first => return Ok(first),
    }
    match tokio::time::timeout(STORE_PATIENCE, app.store.tombstone_put(tenant, digest, expires_ms)).await {
        Ok(Ok(first)) => Ok(first),
        Ok(Err(error)) => {
            warn!(%error, "that a user's answer was given could not be told to the other replicas");
            Ok(true)
        }
        Err(_) => {
            warn!("that a user's answer was given could not be told to the other replicas: the store is silent");
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_used_once_and_forgotten_only_when_it_has_expired() {
        let claims = Claims::default();
        assert_eq!(claims.first([1; 32], 10, 0), Some(true));
        assert_eq!(claims.first([1; 32], 10, 0), Some(false));
        for digest in 1..CLAIMS_MAX {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&digest.to_be_bytes());
            assert_eq!(claims.first(bytes, 2000, 0), Some(true));
        }
        assert_eq!(claims.first([2; 32], 10, 5), None);
        assert_eq!(claims.first([2; 32], 5000, 1500), Some(true));
        assert_eq!(claims.first([2; 32], 5000, 1500), Some(false));
    }
}
