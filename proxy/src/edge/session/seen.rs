//! The legacy sessions that this replica has met, for admins: which are open, whose they are, when they were last used. Nothing
//! depends on it. It is bounded, and the sessions that were used the longest ago are forgotten first.
//!
//! A request costs at most one lookup here under the lock of one of many shards, without an allocation; and not even that when the
//! same worker has met the session within the same second.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use patchbay_core::{
    TenantId,
    audit::{Actor, TokenActor},
    era::Version,
};

use crate::auth::Principal;

/// The most sessions that are remembered, over all tenants.
const SEEN_MAX: usize = 100_000;
const SHARDS: usize = 64;
const OF_SHARD: usize = SEEN_MAX / SHARDS;
/// How many make room at once when a shard is full, so that it is looked over once for many.
const MAKE_ROOM: usize = OF_SHARD / 16;

/// A session as it was met.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    /// Whose.
    pub(crate) tenant: TenantId,
    principal: [u8; 16],
    token: Option<Arc<TokenActor>>,
    /// In which revision.
    pub(crate) version: Version,
    /// When it was opened.
    pub(crate) began_s: u32,
    /// When it was last used here.
    pub(crate) used_s: u32,
    /// When it ends by itself.
    pub(crate) expires_s: u32,
}

impl Met {
    /// A session of this principal.
    pub(super) fn new(tenant: TenantId, principal: &Principal, version: Version, expires_s: u32, life_s: u32) -> Self {
        let token = match principal.actor() {
            Actor::Token(who) => Some(who),
            _ => None,
        };
        let began_s = expires_s.saturating_sub(life_s);
        Self { tenant, principal: principal.digest(), token, version, began_s, used_s: 0, expires_s }
    }

    /// Who opened it.
    pub(crate) fn actor(&self) -> Actor {
        match &self.token {
            Some(who) => Actor::Token(who.clone()),
            None if self.principal == [0; 16] => Actor::Anonymous,
            None => Actor::Key(patchbay_core::KeyId::from_bits(u128::from_be_bytes(self.principal))),
        }
    }
}

/// Ids are random, and nobody outside can choose one.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }
}

type Shard = HashMap<u128, Met, BuildHasherDefault<AsItIs>>;

/// See the module.
pub(super) struct Seen {
    shards: Box<[Mutex<Shard>]>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Seen {
    /// Notes that a session was used; `met` says what it is when it was not known.
    pub(super) fn touch(&self, id: [u8; 16], now_s: u32, met: impl FnOnce() -> Met) {
        let id = u128::from_be_bytes(id);
        let mut shard = self.shard(id);
        if let Some(met) = shard.get_mut(&id) {
            met.used_s = now_s;
            return;
        }
        if shard.len() >= OF_SHARD {
            make_room(&mut shard, now_s);
        }
        shard.insert(id, Met { used_s: now_s, ..met() });
    }

    /// Forgets a session that has ended.
    pub(super) fn forget(&self, tenant: TenantId, tombstone: [u8; 32]) {
        let (id, _) = tombstone.split_at(16);
        if let Ok(id) = id.try_into() {
            let id = u128::from_be_bytes(id);
            let mut shard = self.shard(id);
            if shard.get(&id).is_some_and(|met| met.tenant == tenant) {
                shard.remove(&id);
            }
        }
    }

    /// When a session ends by itself, if it is known.
    pub(super) fn expires_ms(&self, id: [u8; 16]) -> Option<i64> {
        let id = u128::from_be_bytes(id);
        self.shard(id).get(&id).map(|met| i64::from(met.expires_s) * 1000)
    }

    /// Those of a tenant that are open, by their ids.
    pub(super) fn of(&self, tenant: TenantId, now_s: u32) -> Vec<([u8; 16], Met)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let own = shard.iter().filter(|(_, met)| met.tenant == tenant && met.expires_s > now_s);
            found.extend(own.map(|(id, met)| (id.to_be_bytes(), met.clone())));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        found
    }

    /// Forgets those that have ended by themselves.
    pub(super) fn sweep(&self, now_s: u32) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, met| met.expires_s > now_s);
        }
    }

    fn shard(&self, id: u128) -> MutexGuard<'_, Shard> {
        // The map takes the lower bits.
        let place = (id >> 96) as usize % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what has ended, and of the rest those that were used the longest ago.
fn make_room(shard: &mut Shard, now_s: u32) {
    shard.retain(|_, met| met.expires_s > now_s);
    if shard.len() + MAKE_ROOM <= OF_SHARD {
        return;
    }
    let mut used: Vec<(u32, u128)> = shard.iter().map(|(id, met)| (met.used_s, *id)).collect();
    used.select_nth_unstable(MAKE_ROOM);
    for (_, id) in &used[..MAKE_ROOM] {
        shard.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(tenant: u128, expires_s: u32) -> Met {
        Met {
            tenant: TenantId::from_bits(tenant),
            principal: [0; 16],
            token: None,
            version: Version::NEWEST_LEGACY,
            began_s: 0,
            used_s: 0,
            expires_s,
        }
    }

    #[test]
    fn a_tenants_open_sessions_are_listed_and_nobody_elses() {
        let seen = Seen::default();
        seen.touch([1; 16], 5, || met(1, 100));
        seen.touch([2; 16], 5, || met(2, 100));
        seen.touch([3; 16], 5, || met(1, 10));
        seen.touch([1; 16], 20, || unreachable!("it is known"));
        let own = seen.of(TenantId::from_bits(1), 20);
        assert_eq!(own.iter().map(|(id, met)| (*id, met.used_s)).collect::<Vec<_>>(), [([1; 16], 20)]);
        let mut tombstone = [0; 32];
        tombstone[..16].copy_from_slice(&[1; 16]);
        seen.forget(TenantId::from_bits(2), tombstone);
        assert_eq!(seen.of(TenantId::from_bits(1), 20).len(), 1, "another tenant's end is not its own");
        seen.forget(TenantId::from_bits(1), tombstone);
        assert!(seen.of(TenantId::from_bits(1), 20).is_empty());
    }

    #[test]
    fn the_sessions_that_were_used_the_longest_ago_make_room() {
        let seen = Seen::default();
        let id = |number: usize| (number as u128).to_be_bytes();
        // All of one shard, since only the upper bits choose it.
        for number in 0..2 * OF_SHARD {
            seen.touch(id(number), number as u32, || met(1, u32::MAX));
        }
        let kept = seen.of(TenantId::from_bits(1), 0);
        assert!(kept.len() <= OF_SHARD && kept.len() > OF_SHARD - MAKE_ROOM - 1, "{}", kept.len());
        assert_eq!(kept.last().unwrap().0, id(2 * OF_SHARD - 1), "the newest is there");
        let oldest = kept.iter().map(|(_, met)| met.used_s).min().unwrap() as usize;
        assert!(oldest >= 2 * OF_SHARD - OF_SHARD, "{oldest}: younger ones went before it");
    }

    #[test]
    fn a_session_takes_about_a_hundred_bytes() {
        assert!(size_of::<(u128, Met)>() <= 96, "{}", size_of::<(u128, Met)>());
    }
}
