//! The streams of one tenant, and which resources of which server are watched for them: counted by streams, so that a server is
//! subscribed to once however many listen, and to nothing when nobody does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use patchbay_core::{ServerId, Slug, model::Sharing};

use super::post::Post;
use crate::{
    app::App,
    tenancy::{ServerHandle, Tenant},
};

/// The most resources that one stream, or one client without a stream, is subscribed to.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 100;
/// The most resources of one server that are watched for a tenant.
const WATCHED_MAX: usize = 1_000;

/// Why a resource cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unwatchable {
    /// No server of the view has it.
    Unknown,
    /// Its server has a connection for each caller or session, and updates belong to none of them.
    NotShared(Slug),
    /// The stream is subscribed to too many.
    TooMany,
    /// Too many of that server are watched.
    TooManyOfServer,
}

impl fmt::Display for Unwatchable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("resource not found"),
            Self::NotShared(server) => write!(
                f,
                "resources of the server `{server}` cannot be watched: it has a connection for each caller (`sharing` is not \
                 `shared`), and its updates belong to nobody; read the resource again instead"
            ),
            Self::TooMany => {
                write!(f, "at most {SUBSCRIPTIONS_MAX} resources can be watched at once: unsubscribe from others first")
            }
            Self::TooManyOfServer => write!(
                f,
                "at most {WATCHED_MAX} resources of one server can be watched at once by all of a tenant: try again later"
            ),
        }
    }
}

/// Where a resource is watched: its server, and what that calls it.
pub(crate) fn resolve(tenant: &Tenant, exposed: &str) -> Result<(ServerId, Arc<str>), Unwatchable> {
    let (server, native) = tenant.view().uris.to_native(exposed).ok_or(Unwatchable::Unknown)?;
    let entry = tenant.snapshot().servers.get(server).ok_or(Unwatchable::Unknown)?;
    match entry.sharing {
        Sharing::Shared => Ok((entry.id, Arc::from(&*native))),
        Sharing::Principal | Sharing::Session => Err(Unwatchable::NotShared(entry.slug.clone())),
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Room {
    inside: Mutex<Inside>,
    is_gathering: AtomicBool,
}

#[derive(Default)]
struct Inside {
    streams: HashMap<u64, Entry>,
    by_client: HashMap<[u8; 16], u64>,
    watched: HashMap<ServerId, Watched>,
}

struct Entry {
    post: Arc<Post>,
    subscribed: Vec<Subscribed>,
}

/// A resource that a stream is subscribed to.
struct Subscribed {
    exposed: Arc<str>,
    /// Where it is now; `None` while no server has it that can be watched.
    at: Option<(ServerId, Arc<str>)>,
}

/// What is watched at one server.
#[derive(Default)]
struct Watched {
    /// The streams by the server's own URIs.
    uris: BTreeMap<Arc<str>, Vec<u64>>,
    /// Whether the server has not heard of it yet.
    is_new: bool,
    /// The connection that was told.
    told: Option<Weak<ServerHandle>>,
}

impl Room {
    pub(super) fn enter(&self, post: Arc<Post>) {
        let mut inside = self.inside();
        if let Some(client) = post.client
            && let Some(before) = inside.by_client.insert(client, post.key)
            && let Some(before) = inside.streams.get(&before)
        {
            before.post.end();
        }
        inside.streams.insert(post.key, Entry { post, subscribed: Vec::new() });
    }

    /// A stream is over; says whether the servers have to hear of it.
    pub(super) fn leave(&self, post: &Post) -> bool {
        let mut inside = self.inside();
        if let Some(client) = post.client
            && inside.by_client.get(&client) == Some(&post.key)
        {
            inside.by_client.remove(&client);
        }
        let Some(entry) = inside.streams.remove(&post.key) else { return false };
        let at = entry.subscribed.into_iter().filter_map(|subscribed| subscribed.at);
        at.fold(false, |any, (server, native)| inside.unwatch(post.key, server, &native) || any)
    }

    pub(super) fn len(&self) -> usize {
        self.inside().streams.len()
    }

    pub(super) fn posts(&self) -> Vec<Arc<Post>> {
        self.inside().streams.values().map(|entry| entry.post.clone()).collect()
    }

    pub(super) fn has_client(&self, client: [u8; 16]) -> bool {
        self.inside().by_client.contains_key(&client)
    }

    pub(super) fn of_client(&self, client: [u8; 16]) -> Option<Arc<Post>> {
        let inside = self.inside();
        let key = inside.by_client.get(&client)?;
        inside.streams.get(key).map(|entry| entry.post.clone())
    }

    pub(super) fn end_client(&self, client: [u8; 16]) {
        if let Some(post) = self.of_client(client) {
            post.end();
        }
    }

    /// Whether nobody gathers yet.
    pub(super) fn begin_gathering(&self) -> bool {
        !self.is_gathering.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_gathering(&self) {
        self.is_gathering.store(false, Ordering::Release);
    }

    /// Subscribes a stream to a resource; a second time makes no difference.
    pub(super) fn subscribe(&self, key: u64, uri: &Arc<str>, tenant: &Tenant) -> Result<(), Unwatchable> {
        let (server, native) = resolve(tenant, uri)?;
        let mut inside = self.inside();
        let Some(entry) = inside.streams.get_mut(&key) else { return Ok(()) };
        if entry.subscribed.iter().any(|known| known.exposed == *uri) {
            return Ok(());
        }
        if entry.subscribed.len() >= SUBSCRIPTIONS_MAX {
            return Err(Unwatchable::TooMany);
        }
        inside.watch(key, server, &native)?;
        if let Some(entry) = inside.streams.get_mut(&key) {
            entry.subscribed.push(Subscribed { exposed: uri.clone(), at: Some((server, native)) });
        }
        Ok(())
    }

    /// Ends a stream's subscription. The servers hear of it when they are told next.
    pub(super) fn unsubscribe(&self, key: u64, uri: &str) {
        let mut inside = self.inside();
        let Some(entry) = inside.streams.get_mut(&key) else { return };
        let Some(at) = entry.subscribed.iter().position(|known| *known.exposed == *uri) else { return };
        if let Some((server, native)) = entry.subscribed.swap_remove(at).at {
            inside.unwatch(key, server, &native);
        }
    }

    /// Finds out anew where a stream's resources are, after the tenant has changed.
    pub(super) fn route_again(&self, key: u64, tenant: &Tenant) {
        let mut inside = self.inside();
        let Some(entry) = inside.streams.get_mut(&key).filter(|entry| !entry.subscribed.is_empty()) else { return };
        let mut subscribed = std::mem::take(&mut entry.subscribed);
        let post = entry.post.clone();
        for one in &mut subscribed {
            let now = resolve(tenant, &one.exposed).ok();
            if now == one.at {
                continue;
            }
            if let Some((server, native)) = one.at.take() {
                inside.unwatch(key, server, &native);
            }
            one.at = now.filter(|(server, native)| inside.watch(key, *server, native).is_ok());
            // Another server may have another thing there.
            post.updated(one.exposed.clone());
        }
        if let Some(entry) = inside.streams.get_mut(&key) {
            entry.subscribed = subscribed;
        }
    }

    /// Tells the servers what is watched, those for which that is new, or whose connection is.
    pub(super) fn give(&self, app: &App, slug: &str) {
        let mut inside = self.inside();
        if inside.watched.is_empty() {
            return;
        }
        let Some(state) = app.tenants.state(slug) else { return };
        let mut missed = Vec::new();
        for (id, watched) in &mut inside.watched {
            let Some(handle) = state.servers.iter().find(|server| server.id == *id) else { continue };
            let here = Arc::downgrade(handle);
            let is_known = watched.told.as_ref().map(|told| told.ptr_eq(&here));
            if is_known == Some(true) && !watched.is_new {
                continue;
            }
            if is_known == Some(false) {
                missed.push(*id);
            }
            (watched.is_new, watched.told) = (false, Some(here));
            // Under the lock, so that an older word never follows a newer one; a transport only takes it down.
            handle.downstream.watch(Arc::new(watched.uris.keys().cloned().collect::<BTreeSet<_>>()));
        }
        inside.watched.retain(|_, watched| watched.is_new || !watched.uris.is_empty());
        for server in missed {
            inside.all_updated(server);
        }
    }

    pub(super) fn updated(&self, server: ServerId, uri: &str) {
        self.inside().updated(server, uri);
    }

    pub(super) fn all_updated(&self, server: ServerId) {
        self.inside().all_updated(server);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn watch(&mut self, key: u64, server: ServerId, native: &Arc<str>) -> Result<(), Unwatchable> {
        let watched = self.watched.entry(server).or_default();
        let is_full = watched.uris.len() >= WATCHED_MAX;
        match watched.uris.get_mut(native) {
            Some(streams) => streams.push(key),
            None if is_full => return Err(Unwatchable::TooManyOfServer),
            None => {
                watched.uris.insert(native.clone(), vec![key]);
                watched.is_new = true;
            }
        }
        Ok(())
    }

    /// Says whether nobody watches it any more.
    fn unwatch(&mut self, key: u64, server: ServerId, native: &str) -> bool {
        let Some(watched) = self.watched.get_mut(&server) else { return false };
        let Some(streams) = watched.uris.get_mut(native) else { return false };
        if let Some(at) = streams.iter().position(|stream| *stream == key) {
            streams.swap_remove(at);
        }
        let is_last = streams.is_empty();
        if is_last {
            watched.uris.remove(native);
            watched.is_new = true;
        }
        is_last
    }

    /// A server may also name a part of what it was asked to watch (2025-11-25, resources/updated).
    fn updated(&self, server: ServerId, uri: &str) {
        let Some(watched) = self.watched.get(&server) else { return };
        if let Some(streams) = watched.uris.get(uri) {
            streams.iter().for_each(|stream| self.tell(*stream, server, uri, None));
            return;
        }
        let is_part =
            |whole: &str| uri.strip_prefix(whole).is_some_and(|rest| whole.ends_with('/') || rest.starts_with('/'));
        for (whole, streams) in watched.uris.iter().filter(|(whole, _)| is_part(whole)) {
            streams.iter().for_each(|stream| self.tell(*stream, server, whole, Some(uri)));
        }
    }

    fn all_updated(&self, server: ServerId) {
        let Some(watched) = self.watched.get(&server) else { return };
        for (uri, streams) in &watched.uris {
            streams.iter().for_each(|stream| self.tell(*stream, server, uri, None));
        }
    }

    /// Tells a stream by the URI that it is subscribed to. A part keeps its own where URIs are exposed as they are.
    fn tell(&self, stream: u64, server: ServerId, native: &str, part: Option<&str>) {
        let Some(entry) = self.streams.get(&stream) else { return };
        let at = |subscribed: &&Subscribed| {
            subscribed.at.as_ref().is_some_and(|(of, known)| *of == server && **known == *native)
        };
        for subscribed in entry.subscribed.iter().filter(at) {
            let said = part.filter(|_| *subscribed.exposed == *native);
            if !said.is_some_and(|part| entry.post.updated(part.into())) {
                entry.post.updated(subscribed.exposed.clone());
            }
        }
    }
}
