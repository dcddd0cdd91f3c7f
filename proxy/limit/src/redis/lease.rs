//! A place among the calls of all replicas: a member of a sorted set in Redis that counts until its time. It gives itself back
//! when it is dropped, wherever that is, without waiting; what cannot be said at once waits in a bounded backlog for the keeper.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use patchbay_core::{TenantId, limits::LimitKey};
use tokio::sync::Notify;

use super::Inner;
use crate::{PLACES_MAX, Place};

/// Places that wait to be given back. What finds no room comes back when its time is up.
const RELEASES_MAX: usize = 65_536;
/// Places that are given back in one round trip.
const RELEASES_AT_ONCE_MAX: usize = 512;

/// What tells one lease from all others, of all replicas and of their earlier lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    life: u64,
    number: u64,
}

impl Member {
    /// The longest text of one.
    pub(super) const BYTES: usize = 33;

    pub(super) fn write<'a>(&self, text: &'a mut [u8; Self::BYTES]) -> &'a [u8] {
        let mut rest = &mut text[..];
        // Two numbers of at most sixteen digits and a dash: there is room.
        let _ = write!(rest, "{:x}-{:x}", self.life, self.number);
        let left = rest.len();
        &text[..Self::BYTES - left]
    }
}

/// Names leases.
pub(super) struct Members {
    life: u64,
    next: AtomicU64,
}

impl Members {
    /// For a life that has begun now: random, since a replica may come back under its old name.
    pub(super) fn new() -> Self {
        Self { life: RandomState::new().build_hasher().finish(), next: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> Member {
        Member { life: self.life, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Places that a call holds in Redis, or may hold.
pub(crate) struct Lease {
    inner: Arc<Inner>,
    tenant: TenantId,
    member: Member,
    keys: [LimitKey; PLACES_MAX],
    held: usize,
    /// Whether Redis has said that it holds them.
    is_held: bool,
}

impl Lease {
    /// Before Redis is asked, so that it is given back whatever becomes of the answer. `None` without places.
    pub(super) fn of(inner: &Arc<Inner>, tenant: TenantId, places: &[Place]) -> Option<Box<Self>> {
        if places.is_empty() {
            return None;
        }
        let mut keys = [LimitKey(0); PLACES_MAX];
        for (key, place) in keys.iter_mut().zip(places) {
            *key = place.key;
        }
        let held = places.len().min(PLACES_MAX);
        Some(Box::new(Self { inner: inner.clone(), tenant, member: inner.members.next(), keys, held, is_held: false }))
    }

    pub(super) fn member(&self) -> Member {
        self.member
    }

    /// Redis has said that it holds its places.
    pub(super) fn confirm(&mut self) {
        self.is_held = true;
    }

    /// Redis has said that it holds nothing.
    pub(super) fn forget(mut self) {
        self.held = 0;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held == 0 {
            return;
        }
        // Behind what was asked on this thread before, and before what is asked on it next.
        let conn = self.inner.lanes.at_hand().filter(|_| self.inner.breaker.is_shared());
        // What took the places may still be on its way on a connection that is given up, or this may not be heard.
        let is_certain = self.is_held && !self.inner.breaker.is_in_doubt();
        for key in &self.keys[..self.held] {
            let release = Release { tenant: self.tenant, key: *key, member: self.member };
            let cmd = self.inner.scripts.release(release.tenant, release.key, release.member);
            let is_said = conn.as_ref().is_some_and(|conn| conn.say(&cmd));
            if !is_said {
                self.inner.backlog.add(release);
            } else if !is_certain {
                self.inner.backlog.add_for_later(release);
            }
        }
    }
}

/// A place to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) tenant: TenantId,
    pub(super) key: LimitKey,
    pub(super) member: Member,
}

/// What could not be given back at once.
pub(super) struct Backlog {
    waiting: Mutex<VecDeque<Release>>,
    /// Wakes the keeper.
    pub(super) filled: Notify,
    lost: AtomicU64,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new(), lost: AtomicU64::new(0) }
    }

    /// To be given back as soon as may be.
    pub(super) fn add(&self, release: Release) {
        self.add_for_later(release);
        self.filled.notify_one();
    }

    /// To be given back when the keeper comes by.
    pub(super) fn add_for_later(&self, release: Release) {
        let mut waiting = self.lock();
        if waiting.len() < RELEASES_MAX {
            waiting.push_back(release);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The next ones, as many as fit one round trip.
    pub(super) fn take(&self) -> Vec<Release> {
        let mut waiting = self.lock();
        let count = waiting.len().min(RELEASES_AT_ONCE_MAX);
        waiting.drain(..count).collect()
    }

    /// How many found no room.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Release>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
