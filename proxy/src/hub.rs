//! Who waits for changes: the open streams of all tenants, and what wakes them. A stream has no queue but a merged state
//! ([`post`]), so that a slow reader costs what any reader costs and holds up nobody. `control` tells of new snapshots and of what
//! servers say; `dispatch` and the edge open streams; nothing here knows how a stream is sent.

pub(crate) mod feeds;
pub(crate) mod listening;
mod post;
mod room;
pub(crate) mod wishes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use patchbay_core::{ServerId, Slug, TenantId};
use tracing::debug;

use self::{
    feeds::Feeds,
    listening::{Listening, Voice},
    post::Post,
    room::Room,
    wishes::Wishes,
};
use crate::{app::App, audit, auth::Principal, error::GatewayError, tenancy::Tenant};

pub(crate) use self::{
    post::{Digests, PROMPTS, RESOURCES, TOOLS},
    room::{SUBSCRIPTIONS_MAX, Unwatchable, resolve},
};

/// The most streams of changes that are open at once, over all tenants.
const STREAMS_MAX: usize = 100_000;
/// How long changes are gathered before anybody is told: what changes back within it is none.
const GATHER: Duration = Duration::from_millis(300);
/// When it makes sense to come again for somebody who has too many streams.
const CROWDED_PAUSE: Duration = Duration::from_secs(5);
/// The limit's name in answers, audit and metrics.
const CROWDED: &str = "streams_per_principal";

/// The open streams of all tenants.
#[derive(Default)]
pub(crate) struct Hub {
    rooms: DashMap<TenantId, Arc<Room>>,
    by_principal: DashMap<(TenantId, [u8; 16]), usize>,
    open: AtomicUsize,
    next: AtomicU64,
    /// Whether no more are opened, since the gateway stops.
    is_closed: AtomicBool,
    /// What clients asked for beside their calls.
    pub(crate) wishes: Wishes,
    /// Streams at servers that tell of tasks.
    pub(crate) feeds: Feeds,
}

/// What a stream is to tell.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Changes of which lists.
    pub(crate) lists: u8,
    /// Whose stream it is, where a client has one at the most: a new one ends the one before.
    pub(crate) client: Option<[u8; 16]>,
    /// Updates of which resources, by exposed URIs.
    pub(crate) uris: Vec<Arc<str>>,
    /// What its client saw last, when it comes again after a gap.
    pub(crate) since: Option<Digests>,
}

impl Hub {
    /// Opens a stream. Gives it together with the URIs that it tells updates of; those that cannot be watched are left out.
    ///
    /// # Errors
    /// When the principal has too many streams, all have, or the gateway stops.
    pub(crate) fn open(
        app: &Arc<App>,
        tenant: &Tenant,
        principal: &Principal,
        wanted: Wanted,
        voice: Voice,
    ) -> Result<(Listening, Vec<Arc<str>>), GatewayError> {
        let hub = &app.hub;
        let Wanted { lists, client, uris, since } = wanted;
        let room = hub.rooms.entry(tenant.id()).or_default().clone();
        let is_replacing = client.is_some_and(|client| room.has_client(client));
        let principals_max = app.config.limits.streams_per_principal + usize::from(is_replacing);
        hub.count_in((tenant.id(), principal.digest()), principals_max)?;
        let told = since.unwrap_or_else(|| Digests::of(&tenant.view().lists));
        let key = hub.next.fetch_add(1, Ordering::Relaxed);
        let post = Arc::new(Post::new(key, tenant, principal, lists, client, told));
        room.enter(post.clone());
        let listening = Listening::new(app.clone(), room.clone(), post.clone(), voice);
        if hub.is_closed.load(Ordering::Acquire) {
            post.end();
        }
        // Looked at only now that the stream hears of what comes: nothing falls between.
        let Some(tenant) = admitted(app, &post) else {
            post.end();
            return Ok((listening, Vec::new()));
        };
        post.lists(Digests::of(&tenant.view().lists));
        let mut accepted = Vec::with_capacity(uris.len());
        for uri in uris {
            match room.subscribe(key, &uri, &tenant) {
                Ok(()) => {
                    if since.is_some() {
                        post.updated(uri.clone());
                    }
                    accepted.push(uri);
                }
                Err(why) => debug!(%why, "a resource is not watched for a stream"),
            }
        }
        room.give(app, tenant.snapshot().slug.as_str());
        Ok((listening, accepted))
    }

    /// Whether a client has a stream here.
    pub(crate) fn has_client(&self, tenant: TenantId, client: [u8; 16]) -> bool {
        self.room(tenant).is_some_and(|room| room.has_client(client))
    }

    /// A new state of the tenant is in force: ends the streams of those who may not enter any more, now, and tells the others
    /// what changed for them, soon.
    pub(crate) fn published(app: &Arc<App>, tenant: TenantId, slug: &Slug) {
        let Some(room) = app.hub.room(tenant).filter(|room| room.len() > 0) else { return };
        room.posts().iter().filter(|post| admitted(app, post).is_none()).for_each(|post| post.end());
        gather(app, &room, slug);
    }

    /// A tenant is gone: its streams end.
    pub(crate) fn gone(&self, tenant: TenantId) {
        if let Some((_, room)) = self.rooms.remove(&tenant) {
            room.posts().iter().for_each(|post| post.end());
        }
    }

    /// Ends all streams, and lets none be opened any more: the gateway stops, and their clients go elsewhere.
    pub(crate) fn end_all(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.rooms.iter().flat_map(|room| room.posts()).for_each(|post| post.end());
    }

    /// A client is gone for good: its stream ends, and what it asked for is forgotten.
    pub(crate) fn end_client(&self, tenant: TenantId, client: [u8; 16]) {
        if let Some(room) = self.room(tenant) {
            room.end_client(client);
        }
        self.wishes.forget(client);
    }

    /// A server says that a resource of its own was updated.
    pub(crate) fn updated(&self, tenant: TenantId, server: ServerId, uri: &str) {
        if let Some(room) = self.room(tenant) {
            room.updated(server, uri);
        }
    }

    /// A server was out of hearing for a while: whatever is watched there may have been updated.
    pub(crate) fn all_updated(&self, tenant: TenantId, server: ServerId) {
        if let Some(room) = self.room(tenant) {
            room.all_updated(server);
        }
    }

    /// A client wants to hear of updates of a resource, or no longer: its stream is told, if it has one here.
    pub(crate) fn wish(app: &Arc<App>, tenant: TenantId, client: [u8; 16], uri: &Arc<str>, is_wanted: bool) {
        let Some(room) = app.hub.room(tenant) else { return };
        let Some(post) = room.of_client(client) else { return };
        if !is_wanted {
            room.unsubscribe(post.key, uri);
            return gather(app, &room, &post.slug);
        }
        let Some(tenant) = admitted(app, &post) else { return post.end() };
        match room.subscribe(post.key, uri, &tenant) {
            Ok(()) => room.give(app, post.slug.as_str()),
            Err(why) => debug!(%why, "a resource is not watched for a stream"),
        }
    }

    fn room(&self, tenant: TenantId) -> Option<Arc<Room>> {
        self.rooms.get(&tenant).map(|room| room.clone())
    }

    fn count_in(&self, who: (TenantId, [u8; 16]), principals_max: usize) -> Result<(), GatewayError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(GatewayError::Overloaded("it is stopping; open the stream anew in a moment"));
        }
        let mut own = self.by_principal.entry(who).or_default();
        if *own >= principals_max {
            let told = None;
            return Err(GatewayError::Limited { limit: CROWDED.into(), retry_after: CROWDED_PAUSE, told });
        }
        if self.open.load(Ordering::Relaxed) >= STREAMS_MAX {
            return Err(GatewayError::Overloaded("too many streams of changes are open"));
        }
        *own += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn count_out(&self, who: (TenantId, [u8; 16])) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let dashmap::Entry::Occupied(mut own) = self.by_principal.entry(who) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    /// A stream is over.
    fn close(app: &Arc<App>, room: &Arc<Room>, post: &Post) {
        app.hub.count_out((post.tenant, post.principal.digest()));
        if room.leave(post) {
            gather(app, room, &post.slug);
        }
    }
}

/// The tenant as the stream's principal sees it now; `None` when they may not enter any more, as far as that can be known
/// without their credential.
fn admitted(app: &App, post: &Post) -> Option<Tenant> {
    let door = app.tenants.door(post.slug.as_str(), Some(post.toolset.as_str()));
    let counts = post.principal.still_counts(&app.keys, door.access()?, audit::now_ms());
    let tenant = door.enter(&post.principal, None).ok().filter(|_| counts)?;
    // Tokens are judged anew when issuers, their keys or revocations change; their client comes again with its own.
    let is_same = tenant.id() == post.tenant && (post.principal.token().is_none() || tenant.epoch() == post.epoch);
    is_same.then_some(tenant)
}

/// Has the room's streams looked after in a moment, unless that is to happen already.
fn gather(app: &Arc<App>, room: &Arc<Room>, slug: &Slug) {
    if !room.begin_gathering() {
        return;
    }
    let (app, room, slug) = (app.clone(), room.clone(), slug.clone());
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move {
            tokio::time::sleep(GATHER).await;
            settle(&app, &room, &slug);
        })),
        Err(_) => settle(&app, &room, &slug),
    }
}

/// Tells every stream of the room what changed for it, and the servers what is watched there.
fn settle(app: &Arc<App>, room: &Room, slug: &Slug) {
    // Before anything is looked at, so that what comes now is gathered anew.
    room.end_gathering();
    for post in room.posts() {
        let Some(tenant) = admitted(app, &post) else {
            post.end();
            continue;
        };
        post.lists(Digests::of(&tenant.view().lists));
        room.route_again(post.key, &tenant);
    }
    room.give(app, slug.as_str());
}

#[cfg(test)]
mod tests;
