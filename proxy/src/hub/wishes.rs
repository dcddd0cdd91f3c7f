//! What clients asked for beside their calls, where the protocol has them say it once: a log level, resources to hear updates of.
//! It is in memory at once and in the store a moment later ([`crate::control`] writes it), from where other replicas have it. A
//! client is known here by the digest that its calls share servers by.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;
use patchbay_core::TenantId;
use tokio::sync::Notify;
use tracing::warn;

use super::room::SUBSCRIPTIONS_MAX;
use crate::{caller::LogLevel, error::GatewayError};

/// The most clients of which anything is remembered; any of them goes for one more. A client without a level gets all messages.
const CLIENTS_MAX: usize = 100_000;
/// The most bytes of URIs that are remembered, over all clients.
const URI_BYTES_TOTAL_MAX: usize = 64 * 1024 * 1024;
/// The most wishes that wait to be written.
const UNWRITTEN_MAX: usize = 20_000;

/// The name of the wish for a log level; those for resources are named by [`URI`] and the URI.
const LEVEL: &str = "level";
const URI: &str = "uri ";

/// See the module.
#[derive(Default)]
pub(crate) struct Wishes {
    known: DashMap<[u8; 16], Known>,
    uri_bytes: AtomicUsize,
    unwritten: Mutex<Unwritten>,
    told: Notify,
}

#[derive(Default)]
struct Known {
    level: Option<LogLevel>,
    /// Those that were asked for here, or heard of while a stream was open here.
    uris: BTreeSet<Arc<str>>,
}

/// What the store is to hear.
#[derive(Default)]
struct Unwritten {
    wishes: HashMap<([u8; 16], String), Wish>,
    /// Clients that are gone for good. Whoever knows that they ended has their tenant.
    gone: Vec<(TenantId, [u8; 16])>,
}

/// One thing that a client asked for, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Whose client it is.
    pub(crate) tenant: TenantId,
    /// The client.
    pub(crate) client: [u8; 16],
    /// What it is about.
    pub(crate) name: String,
    /// What is wanted; `None` when it was taken back.
    pub(crate) value: Option<String>,
}

/// What a wish is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// Log messages from this level on.
    Level(LogLevel),
    /// Updates of this resource are wanted, or no longer.
    Resource(Arc<str>, bool),
    /// A newer gateway knows.
    Other,
}

impl About {
    /// What a name and a value of the store mean.
    pub(crate) fn read(name: &str, value: Option<&str>) -> Self {
        if let Some(uri) = name.strip_prefix(URI) {
            return Self::Resource(uri.into(), value.is_some());
        }
        let level = value.filter(|_| name == LEVEL).and_then(LogLevel::parse);
        level.map_or(Self::Other, Self::Level)
    }
}

impl Wishes {
    /// From which level on the client wants log messages.
    pub(crate) fn level(&self, client: [u8; 16]) -> LogLevel {
        self.known.get(&client).and_then(|known| known.level).unwrap_or(LogLevel::Unset)
    }

    /// The client wants log messages from this level on.
    pub(crate) fn set_level(&self, tenant: TenantId, client: [u8; 16], level: LogLevel) {
        self.learn_level(client, level);
        self.write(Wish { tenant, client, name: LEVEL.to_owned(), value: Some(level.as_str().to_owned()) });
    }

    /// The client wants to hear of updates of this resource.
    ///
    /// # Errors
    /// When it has too many, or all have.
    pub(crate) fn subscribe(&self, tenant: TenantId, client: [u8; 16], uri: &Arc<str>) -> Result<(), GatewayError> {
        self.learn_uri(client, uri)?;
        self.write(Wish { tenant, client, name: format!("{URI}{uri}"), value: Some("1".to_owned()) });
        Ok(())
    }

    /// It no longer does.
    pub(crate) fn unsubscribe(&self, tenant: TenantId, client: [u8; 16], uri: &str) {
        self.unlearn_uri(client, uri);
        self.write(Wish { tenant, client, name: format!("{URI}{uri}"), value: None });
    }

    /// The store says so. What was said here since and is not written yet counts for more.
    pub(crate) fn heard(&self, client: [u8; 16], name: &str, about: &About, has_stream: bool) {
        if self.unwritten().wishes.contains_key(&(client, name.to_owned())) {
            return;
        }
        match about {
            About::Level(level) => self.learn_level(client, *level),
            About::Resource(uri, true) if has_stream => drop(self.learn_uri(client, uri)),
            About::Resource(uri, false) => self.unlearn_uri(client, uri),
            About::Resource(..) | About::Other => {}
        }
    }

    /// The resources that the client wants to hear of, as far as they are known here.
    pub(crate) fn uris(&self, client: [u8; 16]) -> Vec<Arc<str>> {
        self.known.get(&client).map(|known| known.uris.iter().cloned().collect()).unwrap_or_default()
    }

    /// Forgets a client. Who ended it for good says so with [`Self::erase`] too.
    pub(crate) fn forget(&self, client: [u8; 16]) {
        if let Some((_, known)) = self.known.remove(&client) {
            self.give_back(&known);
        }
    }

    /// Has what the client asked for taken out of the store.
    pub(crate) fn erase(&self, tenant: TenantId, client: [u8; 16]) {
        let mut unwritten = self.unwritten();
        unwritten.wishes.retain(|(of, _), _| *of != client);
        if unwritten.gone.len() < UNWRITTEN_MAX {
            unwritten.gone.push((tenant, client));
        }
        drop(unwritten);
        self.told.notify_one();
    }

    /// Waits until there is something to write.
    pub(crate) async fn changed(&self) {
        self.told.notified().await;
    }

    /// What is to be written, and whose wishes are to be forgotten. They stay unwritten until [`Self::written`] is told.
    pub(crate) fn to_write(&self, wishes_max: usize) -> (Vec<Wish>, Vec<(TenantId, [u8; 16])>) {
        let mut unwritten = self.unwritten();
        let wishes = unwritten.wishes.values().take(wishes_max).cloned().collect();
        (wishes, std::mem::take(&mut unwritten.gone))
    }

    /// These were written. What was said meanwhile stays; says whether there is more.
    pub(crate) fn written(&self, wishes: &[Wish]) -> bool {
        let mut unwritten = self.unwritten();
        for wish in wishes {
            let key = (wish.client, wish.name.clone());
            if unwritten.wishes.get(&key) == Some(wish) {
                unwritten.wishes.remove(&key);
            }
        }
        !unwritten.wishes.is_empty()
    }

    fn write(&self, wish: Wish) {
        let mut unwritten = self.unwritten();
        let key = (wish.client, wish.name.clone());
        if unwritten.wishes.len() >= UNWRITTEN_MAX && !unwritten.wishes.contains_key(&key) {
            warn!("too many wishes of sessions wait for the store: one is known to this replica alone");
            return;
        }
        unwritten.wishes.insert(key, wish);
        drop(unwritten);
        self.told.notify_one();
    }

    fn learn_level(&self, client: [u8; 16], level: LogLevel) {
        self.make_room();
        self.known.entry(client).or_default().level = Some(level);
    }

    fn learn_uri(&self, client: [u8; 16], uri: &Arc<str>) -> Result<(), GatewayError> {
        self.make_room();
        let mut known = self.known.entry(client).or_default();
        if known.uris.contains(uri) {
            return Ok(());
        }
        if known.uris.len() >= SUBSCRIPTIONS_MAX {
            let text =
                format!("a session can watch at most {SUBSCRIPTIONS_MAX} resources: unsubscribe from others first");
            return Err(GatewayError::InvalidParams(text.into()));
        }
        if self.uri_bytes.fetch_add(uri.len(), Ordering::Relaxed) + uri.len() > URI_BYTES_TOTAL_MAX {
            self.uri_bytes.fetch_sub(uri.len(), Ordering::Relaxed);
            return Err(GatewayError::Overloaded("too many subscriptions to resources are remembered"));
        }
        known.uris.insert(uri.clone());
        Ok(())
    }

    fn unlearn_uri(&self, client: [u8; 16], uri: &str) {
        let taken = self.known.get_mut(&client).and_then(|mut known| known.uris.take(uri));
        if let Some(uri) = taken {
            self.uri_bytes.fetch_sub(uri.len(), Ordering::Relaxed);
        }
    }

    fn make_room(&self) {
        if self.known.len() >= CLIENTS_MAX {
            let any = self.known.iter().next().map(|entry| *entry.key());
            any.into_iter().for_each(|client| self.forget(client));
        }
    }

    fn give_back(&self, known: &Known) {
        let bytes = known.uris.iter().map(|uri| uri.len()).sum();
        self.uri_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: [u8; 16] = [1; 16];

    #[test]
    fn one_more_than_a_client_may_watch_is_refused_and_counts_nothing() {
        let (wishes, tenant) = (Wishes::default(), TenantId::random());
        for number in 0..SUBSCRIPTIONS_MAX {
            wishes.subscribe(tenant, ME, &format!("file:///{number}").into()).unwrap();
        }
        let bytes = wishes.uri_bytes.load(Ordering::Relaxed);
        assert!(wishes.subscribe(tenant, ME, &"file:///more".into()).is_err());
        wishes.subscribe(tenant, ME, &"file:///0".into()).unwrap();
        assert_eq!((wishes.uris(ME).len(), wishes.uri_bytes.load(Ordering::Relaxed)), (SUBSCRIPTIONS_MAX, bytes));
        wishes.forget(ME);
        assert_eq!((wishes.uris(ME).len(), wishes.uri_bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn what_was_said_here_and_is_not_written_counts_for_more_than_the_store() {
        let (wishes, tenant) = (Wishes::default(), TenantId::random());
        wishes.set_level(tenant, ME, LogLevel::Error);
        wishes.heard(ME, LEVEL, &About::Level(LogLevel::Info), true);
        assert_eq!(wishes.level(ME), LogLevel::Error);
        let (written, _) = wishes.to_write(10);
        // Said between the look and the writing.
        wishes.set_level(tenant, ME, LogLevel::Alert);
        assert!(wishes.written(&written), "the later word is still to be written");
        let (written, _) = wishes.to_write(10);
        assert!(!wishes.written(&written));
        wishes.heard(ME, LEVEL, &About::Level(LogLevel::Info), true);
        assert_eq!(wishes.level(ME), LogLevel::Info);
    }

    #[test]
    fn wishes_survive_their_names_and_those_of_a_newer_gateway_are_passed_over() {
        let (wishes, tenant) = (Wishes::default(), TenantId::random());
        wishes.set_level(tenant, ME, LogLevel::Notice);
        wishes.subscribe(tenant, ME, &"file:///a b".into()).unwrap();
        wishes.unsubscribe(tenant, ME, "file:///c");
        let (mut written, _) = wishes.to_write(10);
        written.sort_by(|a, b| a.name.cmp(&b.name));
        let about: Vec<_> = written.iter().map(|wish| About::read(&wish.name, wish.value.as_deref())).collect();
        let (a, c) = ("file:///a b".into(), "file:///c".into());
        assert_eq!(about, [About::Level(LogLevel::Notice), About::Resource(a, true), About::Resource(c, false)]);
        for (name, value) in [("level", None), ("level", Some("loud")), ("colour", Some("red"))] {
            assert_eq!(About::read(name, value), About::Other);
        }
    }
}
