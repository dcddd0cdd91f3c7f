//! Sessions with a legacy server: one for each sharing and each set of capabilities, opened by `initialize` when first needed,
//! opened anew when the server lost it. How many there may be is bounded; the one that was used the longest ago goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderMap, HeaderValue};
use patchbay_core::{
    era::{Era, Version},
    json,
};
use tokio::time::Instant;

use super::{
    era::{Asked, hello_of_initialize},
    flight::Flight,
    heads::{raw_id, session_id},
    patience::Patience,
    peer::Peer,
};
use crate::{DownstreamError, Fault, Hello, Outgoing, ShareKey, level::Level, wire};

/// Sessions with one server.
const SESSIONS_MAX: usize = 1024;
/// How long a call waits for the answer to `logging/setLevel`.
const LEVEL_PATIENCE: Duration = Duration::from_secs(2);

/// What a session belongs to: who shares it, and what those can be asked.
pub(crate) type SessionKey = (ShareKey, Arc<str>);

/// An open session.
pub(crate) struct Session {
    /// The headers of everything in it.
    pub(crate) headers: HeaderMap,
    /// Whether the server gave it an id; else there is nothing to lose or to end.
    pub(crate) id: Option<HeaderValue>,
    /// From which level on the server sends log messages in it.
    pub(crate) level: Level,
}

/// The place of a session that is open, or is opened by the first who needs it.
#[derive(Default)]
pub(crate) struct Slot {
    open: ArcSwapOption<Session>,
    opening: Flight<Unopened>,
    /// The id of the last request in it: ids only grow, so they serve as a clock.
    used: AtomicU64,
}

impl Slot {
    /// Forgets this session, unless it was replaced already.
    pub(crate) fn forget(&self, lost: &Arc<Session>) {
        self.open.compare_and_swap(lost, None);
    }
}

/// All sessions with one server.
#[derive(Default)]
pub(crate) struct Sessions(DashMap<SessionKey, Arc<Slot>>);

impl Sessions {
    /// Takes all open sessions out.
    pub(crate) fn drain(&self) -> Vec<Arc<Session>> {
        let slots: Vec<Arc<Slot>> = self.0.iter().map(|entry| entry.value().clone()).collect();
        self.0.clear();
        slots.iter().filter_map(|slot| slot.open.swap(None)).collect()
    }

    /// How many are open.
    pub(crate) fn open(&self) -> u32 {
        let open = self.0.iter().filter(|entry| entry.value().open.load().is_some()).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    fn slot(&self, key: &SessionKey) -> Option<Arc<Slot>> {
        self.0.get(key).map(|slot| slot.clone())
    }

    /// The slot of this key; a new one may push out the oldest, which is given back too.
    fn slot_or_new(&self, key: &SessionKey) -> (Arc<Slot>, Option<Arc<Slot>>) {
        if let Some(slot) = self.slot(key) {
            return (slot, None);
        }
        let pushed_out = if self.0.len() >= SESSIONS_MAX { self.remove_oldest() } else { None };
        (self.0.entry(key.clone()).or_default().clone(), pushed_out)
    }

    fn remove_oldest(&self) -> Option<Arc<Slot>> {
        let age = |slot: &Slot| slot.used.load(Ordering::Relaxed);
        let oldest = self.0.iter().min_by_key(|entry| age(entry.value())).map(|entry| entry.key().clone())?;
        self.0.remove(&oldest).map(|(_, slot)| slot)
    }
}

/// The session that `hello` and the stream of events use: nobody can be asked anything in it.
pub(crate) fn base_key() -> SessionKey {
    (ShareKey::Tenant, Arc::from("{}"))
}

/// Whether what the server says in this session is what counts: it may say less to callers that can do less.
fn is_base(key: &SessionKey) -> bool {
    key.0 == ShareKey::Tenant && &*key.1 == "{}"
}

impl Peer {
    /// The session of this key, opened if need be.
    pub(crate) async fn session(
        self: &Arc<Self>,
        key: &SessionKey,
        patience: &Patience,
    ) -> Result<(Arc<Slot>, Arc<Session>), Unopened> {
        let slot = match self.sessions.slot(key) {
            Some(slot) => slot,
            None => self.new_slot(key),
        };
        slot.used.store(self.ids.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(open) = slot.open.load_full() {
            return Ok((slot, open));
        }
        let turn = slot.opening.turn(patience).await.map_err(|cut| cut.not_sent())??;
        if let Some(open) = slot.open.load_full() {
            return Ok((slot.clone(), open));
        }
        let opened = Box::pin(self.open_session(&key.1, patience)).await;
        let (session, hello) = match opened {
            Ok(opened) => opened,
            Err(unopened) => {
                if !unopened.is_impatience() {
                    turn.failed(&unopened);
                }
                return Err(unopened);
            }
        };
        let session = Arc::new(session);
        slot.open.store(Some(session.clone()));
        if is_base(key) {
            self.learn(hello);
        }
        Ok((slot.clone(), session))
    }

    fn new_slot(self: &Arc<Self>, key: &SessionKey) -> Arc<Slot> {
        let (slot, pushed_out) = self.sessions.slot_or_new(key);
        if let Some(old) = pushed_out.and_then(|slot| slot.open.swap(None))
            && old.id.is_some()
        {
            self.delete_aside(old.headers.clone());
        }
        slot
    }

    /// `initialize`, its answer, `notifications/initialized`.
    async fn open_session(
        self: &Arc<Self>,
        capabilities: &str,
        patience: &Patience,
    ) -> Result<(Session, Hello), Unopened> {
        let id = self.next_id();
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"initialize","params":{{"protocolVersion":"{}","capabilities":{capabilities},"clientInfo":{}}}}}"#,
            raw_id(id),
            Version::NEWEST_LEGACY,
            wire::client_info(),
        );
        let asked = self.ask(self.client.heads.opening(), id, message.into(), Era::Legacy, patience).await?;
        let (headers, message) = match asked {
            Asked::Answer(headers, message) => (headers, message),
            Asked::Misfit(why) | Asked::Again(why) => return Err(Unopened::Misfit(why)),
        };
        let hello = hello_of_initialize(&message).map_err(|why| self.no_hello(why, &message))?;
        let id = session_id(&headers).map_err(|why| protocol(why.into()))?;
        let headers = self.client.heads.session(hello.version, id.as_ref());
        self.say_initialized(headers.clone(), patience).await?;
        let level = Level::default();
        level.declare(&hello.capabilities);
        Ok((Session { headers, id, level }, hello))
    }

    /// Asks for more log messages in a session; without success there are fewer, and nothing else is lost.
    pub(crate) async fn lower_level(self: &Arc<Self>, session: &Session, lower: &Outgoing, patience: &Patience) {
        let id = self.next_id();
        let message = wire::request(id, lower, Era::Legacy, "{}").into();
        let patience = patience.until(Instant::now() + LEVEL_PATIENCE);
        match self.ask(session.headers.clone(), id, message, Era::Legacy, &patience).await {
            Ok(Asked::Answer(..)) => {}
            Ok(Asked::Misfit(why) | Asked::Again(why)) => tracing::debug!("the server refused logging/setLevel: {why}"),
            Err(error) => tracing::debug!(%error, "the server did not answer logging/setLevel"),
        }
    }

    /// Tells a session that was offered roots, if it is open, that they changed.
    pub(crate) fn roots_changed(self: &Arc<Self>, key: &SessionKey) {
        let is_offered = json::at_path(&key.1, &["roots", "listChanged"]) == Some("true");
        if is_offered && let Some(session) = self.sessions.slot(key).and_then(|slot| slot.open.load_full()) {
            let message = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
            self.post_aside(session.headers.clone(), message.to_owned());
        }
    }

    /// Some servers refuse this notification and work all the same, so only its delivery counts.
    async fn say_initialized(&self, headers: HeaderMap, patience: &Patience) -> Result<(), DownstreamError> {
        let message = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let status = self.post_accepted(headers, message, patience).await?;
        if !status.is_success() {
            tracing::debug!(%status, "the server refused notifications/initialized");
        }
        Ok(())
    }

    /// An `initialize` that was answered, but not by what a legacy server says of itself.
    fn no_hello(&self, why: String, message: &[u8]) -> Unopened {
        let is_error = std::str::from_utf8(message).is_ok_and(|text| json::at_path(text, &["error"]).is_some());
        if is_error {
            Unopened::Misfit(format!("initialize: {}", self.client.excerpt(message)))
        } else {
            protocol(why).into()
        }
    }
}

/// Why there is no session.
#[derive(Clone)]
pub(crate) enum Unopened {
    /// The server answered, but as if it did not know this era.
    Misfit(String),
    /// There was no answer.
    Failed(DownstreamError),
}

impl From<DownstreamError> for Unopened {
    fn from(error: DownstreamError) -> Self {
        Self::Failed(error)
    }
}

impl Unopened {
    /// Impatience is the asker's own, and says nothing about the server.
    const fn is_impatience(&self) -> bool {
        matches!(self, Self::Failed(error) if matches!(error.fault, Fault::Timeout))
    }

    /// For a call that waited for the session: it was not sent, whatever happened to `initialize`.
    pub(crate) fn into_error(self) -> DownstreamError {
        match self {
            Self::Misfit(why) => DownstreamError::not_sent(
                Fault::Protocol,
                format!("the server took no initialize; is it a Streamable HTTP endpoint? {why}"),
            ),
            Self::Failed(error) => DownstreamError { delivery: crate::Delivery::NotSent, ..error },
        }
    }
}

fn protocol(why: String) -> DownstreamError {
    DownstreamError::not_sent(Fault::Protocol, why)
}
