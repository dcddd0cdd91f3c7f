//! Legacy streams that break: what a stream's events are called, where what was sent is kept, and how a client that comes back
//! with `Last-Event-ID` gets the rest of that stream and of no other (2025-11-25, transports: resumability). The modern era has
//! none of this, and an answer that is one JSON object touches none of it. Streams begin in [`super::sse`]; GETs come from
//! [`super::mcp`].
//!
//! An event's id is `p{token}.{number}`. The token is sealed once for each stream and opens only for the tenant, principal and
//! session that it was made for; the number of the last event is `end`, so that nobody has to be remembered who has it all.

mod handle;
mod kept;
mod purse;
mod stream;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use dashmap::{DashMap, Entry as Place};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use patchbay_core::{
    TenantId,
    era::{Era, Version},
};

pub(super) use self::stream::{Feed, Reader};
use self::{
    handle::{Handle, Point},
    kept::{Kept, Missing},
    purse::Purse,
};
use super::{mcp, sse};
use crate::{
    app::App,
    audit,
    auth::Principal,
    error::{GatewayError, error_body},
    replica::home::Home,
    tenancy::Tenant,
};

/// The header by which a client says what it had last.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What an open stream costs beside its events, as it is counted.
const STREAM_BYTES: usize = 1024;

/// Whose a stream is, and what its client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    tenant: TenantId,
    principal: [u8; 16],
    /// The session's random id.
    session: [u8; 16],
    /// Whether it understands events without data (2025-11-25): those before it do not.
    primes: bool,
}

impl Owner {
    /// The owner of a stream of this session.
    pub(super) fn new(tenant: &Tenant, principal: &Principal, session: [u8; 16], version: Version) -> Self {
        let primes = version >= Version::NEWEST_LEGACY;
        Self { tenant: tenant.id(), principal: principal.digest(), session, primes }
    }

    /// What its tokens are bound to.
    fn bound(&self) -> [u8; 48] {
        let mut bound = [0; 48];
        bound[..16].copy_from_slice(&self.tenant.bits().to_be_bytes());
        bound[16..32].copy_from_slice(&self.principal);
        bound[32..].copy_from_slice(&self.session);
        bound
    }
}

/// The streams of this replica that can be continued.
#[derive(Default)]
pub(crate) struct Replays {
    streams: DashMap<[u8; 16], Arc<stream::Stream>>,
    purses: DashMap<(TenantId, [u8; 16]), Arc<Purse>>,
    /// What all of them keep.
    bytes: Arc<AtomicUsize>,
}

impl Replays {
    /// Bytes that are kept for clients that may come back.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A place for another stream, unless its principal or all together keep too much already.
    fn enter(&self, owner: &Owner) -> Option<Arc<Purse>> {
        let key = (owner.tenant, owner.principal);
        let purse = self.purses.entry(key).or_insert_with(|| Arc::new(Purse::new(self.bytes.clone()))).enter();
        if !purse.is_over() {
            return Some(purse);
        }
        self.leave(owner);
        None
    }

    fn leave(&self, owner: &Owner) {
        if let Place::Occupied(place) = self.purses.entry((owner.tenant, owner.principal))
            && place.get().leave()
        {
            place.remove();
        }
    }
}

/// A stream's place among those that can be continued; given back on drop.
struct Entry {
    app: Arc<App>,
    id: [u8; 16],
    owner: Owner,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.app.replays.streams.remove(&self.id);
        self.app.replays.leave(&self.owner);
    }
}

/// Opens a stream that can be continued: the end to write, and the one that is read first. `None` when too much is kept already;
/// then the stream has no ids, and ends for good when it breaks.
pub(super) fn open(app: &Arc<App>, owner: &Owner, request: &Bytes) -> Option<(Feed, Reader)> {
    let purse = app.replays.enter(owner)?;
    let id = patchbay_core::random_bytes::<16>();
    let entry = Entry { app: app.clone(), id, owner: *owner };
    let handle = Handle {
        home: app.replica.home.words(),
        stream: id,
        expires_s: handle::expiry(audit::now_ms(), app.config.limits.call_timeout_max),
        request: request.clone(),
    };
    let token = handle.seal(&app.sealer, &owner.bound());
    let kept = Kept::new(purse, app.metrics.resumptions.given_up.clone());
    let stream = Arc::new(stream::Stream::new(token, request.clone(), owner.primes, kept));
    app.replays.streams.insert(id, stream.clone());
    let reader = Reader::first(app, &stream);
    Some((Feed::new(entry, stream), reader))
}

/// Whether a GET wants to go on with a stream that answers a POST.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).is_some_and(is_ours)
}

/// Whether an event's id is of such a stream.
fn is_ours(last_event_id: &str) -> bool {
    last_event_id.starts_with('p')
}

/// The process that has the stream of this event, when that is another one and the stream may go on.
pub(super) fn elsewhere(app: &App, owner: &Owner, last_event_id: &str) -> Option<Home> {
    let (token, Point::After(_)) = handle::parse(last_event_id)? else { return None };
    let handle = Handle::open(&app.sealer, &owner.bound(), token)?;
    let home = Home::of_words(&handle.home).filter(|home| home.id() != app.replica.home.id())?;
    (!handle.is_over(audit::now_ms())).then_some(home)
}

/// Answers a GET of a session that continues the stream of a POST after this event. Of a stream that was elsewhere, it says that
/// the answer is lost.
///
/// # Errors
/// [`GatewayError::UnknownEvent`], in the same words for events that never were, have expired, or are of another session.
pub(super) fn resume(app: &Arc<App>, owner: &Owner, last_event_id: &str) -> Result<mcp::Reply, GatewayError> {
    let counts = &app.metrics.resumptions;
    continued(app, owner, last_event_id).ok_or_else(|| {
        counts.unknown.inc();
        GatewayError::UnknownEvent
    })
}

/// The same; `None` for an event that is none of this owner's.
fn continued(app: &Arc<App>, owner: &Owner, last_event_id: &str) -> Option<mcp::Reply> {
    let counts = &app.metrics.resumptions;
    let (token, point) = handle::parse(last_event_id)?;
    let handle = Handle::open(&app.sealer, &owner.bound(), token)?;
    if handle.is_over(audit::now_ms()) {
        return None;
    }
    let Point::After(number) = point else {
        counts.over.inc();
        return Some(over());
    };
    let stream = app.replays.streams.get(&handle.stream).map(|stream| stream.value().clone());
    let found = stream.ok_or(Missing::Lost).and_then(|stream| Reader::again(app, &stream, number, last_event_id));
    let missing = match found {
        Ok((reader, replayed)) => {
            counts.continued.inc();
            counts.replayed.inc_by(replayed);
            return Some(sse::events_response(reader.boxed_local()));
        }
        Err(missing) => missing,
    };
    match missing {
        Missing::Never => None,
        Missing::Over => {
            counts.over.inc();
            Some(over())
        }
        Missing::Lost => {
            counts.lost.inc();
            let event = sse::event(&ending(token), &[answer_lost(&handle.request)?]);
            Some(sse::events_response(futures_util::stream::once(async move { Ok(event) }).boxed_local()))
        }
    }
}

/// Nothing more comes, and clients should not ask again: they take this status so (2025-11-25, transports), where they would
/// open an ended stream again and again.
fn over() -> mcp::Reply {
    let mut reply = mcp::empty(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE, OPTIONS"));
    reply
}

/// What is said in the place of an answer that cannot be had any more. `None` when the request's id is not known.
fn answer_lost(request: &Bytes) -> Option<Bytes> {
    let facts = GatewayError::AnswerLost.facts(Era::Legacy);
    (!request.is_empty()).then(|| error_body(Some(request), facts.code, &facts.public, None).into())
}

/// The line with the id of a stream's last event.
fn ending(token: &str) -> Vec<u8> {
    format!("id: p{token}.end\n").into_bytes()
}

#[cfg(test)]
mod tests;
