//! What one stream has still to tell, merged: which lists changed, which resources were updated, the newest news of each task. It
//! is bounded by what the stream listens for, however long nobody reads. The hub fills it, [`super::listening`] empties it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use patchbay_core::{
    Slug, TenantId,
    snapshot::{List, Lists},
};

use super::room::SUBSCRIPTIONS_MAX;
use crate::{auth::Principal, tenancy::Tenant};

/// The list of tools.
pub(crate) const TOOLS: u8 = 1;
/// The list of prompts.
pub(crate) const PROMPTS: u8 = 2;
/// The lists of resources and of their templates.
pub(crate) const RESOURCES: u8 = 4;
/// There is something beside the lists.
pub(super) const MORE: u8 = 8;
/// The stream is over.
pub(super) const END: u8 = 16;

/// What the lists of a view are, in short: tools, prompts, resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests(pub(crate) [u64; 3]);

impl Digests {
    /// Of these lists.
    pub(crate) fn of(lists: &Lists) -> Self {
        let short = |list: &List| list.digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let resources = short(&lists.resources) ^ short(&lists.templates).rotate_left(1);
        Self([short(&lists.tools), short(&lists.prompts), resources])
    }
}

/// See the module.
pub(crate) struct Post {
    pub(super) key: u64,
    pub(super) tenant: TenantId,
    pub(super) slug: Slug,
    pub(super) toolset: Slug,
    pub(super) principal: Principal,
    /// The issuers' state in which its token was judged.
    pub(super) epoch: u64,
    /// Whose stream it is, where a client has one at the most.
    pub(super) client: Option<[u8; 16]>,
    wants: u8,
    told: [AtomicU64; 3],
    bits: AtomicU8,
    waker: AtomicWaker,
    more: Mutex<More>,
}

/// What there is beside the lists.
#[derive(Default)]
struct More {
    /// Exposed URIs.
    updated: BTreeSet<Arc<str>>,
    /// By the tasks' exposed ids, of which a stream has a bounded number.
    tasks: BTreeMap<Arc<str>, Bytes>,
}

/// Something that a stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// A list changed.
    List(u8),
    /// A resource was updated.
    Resource(Arc<str>),
    /// A task went on: its exposed id, and the members that say how it is.
    Task(Arc<str>, Bytes),
}

impl Post {
    pub(super) fn new(
        key: u64,
        tenant: &Tenant,
        principal: &Principal,
        wants: u8,
        client: Option<[u8; 16]>,
        told: Digests,
    ) -> Self {
        Self {
            key,
            tenant: tenant.id(),
            slug: tenant.snapshot().slug.clone(),
            toolset: tenant.view().toolset.clone(),
            principal: principal.clone(),
            epoch: tenant.epoch(),
            client,
            wants,
            told: told.0.map(AtomicU64::new),
            bits: AtomicU8::new(0),
            waker: AtomicWaker::new(),
            more: Mutex::default(),
        }
    }

    /// The lists are these now: those that differ from what was told are to be told.
    pub(super) fn lists(&self, now: Digests) {
        let mut bits = 0;
        for (at, (told, now)) in self.told.iter().zip(now.0).enumerate() {
            if told.swap(now, Ordering::Relaxed) != now {
                bits |= 1 << at;
            }
        }
        self.ring(bits & self.wants);
    }

    /// What the lists were when they were told last.
    pub(super) fn told(&self) -> Digests {
        let [tools, prompts, resources] = &self.told;
        Digests([tools, prompts, resources].map(|told| told.load(Ordering::Relaxed)))
    }

    /// A resource was updated. A stream has as many as it is subscribed to; a part of one of these counts as a resource of its
    /// own while there is room, which it says.
    pub(super) fn updated(&self, uri: Arc<str>) -> bool {
        let mut more = self.more();
        let has_room = more.updated.len() < 2 * SUBSCRIPTIONS_MAX || more.updated.contains(&uri);
        if has_room {
            more.updated.insert(uri);
        }
        drop(more);
        self.ring(MORE);
        has_room
    }

    /// A task went on.
    pub(super) fn task(&self, exposed: Arc<str>, members: Bytes) {
        self.more().tasks.insert(exposed, members);
        self.ring(MORE);
    }

    /// The stream is over, whatever it had still to tell: its client comes again, and hears of it then.
    pub(super) fn end(&self) {
        self.ring(END);
    }

    fn ring(&self, bits: u8) {
        if bits != 0 && self.bits.fetch_or(bits, Ordering::AcqRel) & bits != bits {
            self.waker.wake();
        }
    }

    /// What is new since this was asked last; `waker` is woken by what comes later.
    pub(super) fn take(&self, waker: &Waker) -> u8 {
        self.waker.register(waker);
        // Most who are polled find nothing: a look, and no write.
        if self.bits.load(Ordering::Acquire) == 0 { 0 } else { self.bits.swap(0, Ordering::AcqRel) }
    }

    /// The next of what is in `todo`, which is taken out of it.
    pub(super) fn next(&self, todo: &mut u8) -> Option<News> {
        for list in [TOOLS, PROMPTS, RESOURCES] {
            if *todo & list != 0 {
                *todo &= !list;
                return Some(News::List(list));
            }
        }
        if *todo & MORE == 0 {
            return None;
        }
        let mut more = self.more();
        if let Some(uri) = more.updated.pop_first() {
            return Some(News::Resource(uri));
        }
        if let Some((task, members)) = more.tasks.pop_first() {
            return Some(News::Task(task, members));
        }
        *todo &= !MORE;
        None
    }

    fn more(&self) -> MutexGuard<'_, More> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
