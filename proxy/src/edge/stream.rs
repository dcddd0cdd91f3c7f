//! Streams of changes as bodies: the response to `subscriptions/listen`, and the stream that a legacy client opens with GET. What
//! comes on them is [`crate::hub`]'s.
//!
//! An event of a legacy stream has an id that says by itself what its client knows: the lists in short. A client that comes again
//! with it, to any replica, hears at once what changed since; of resources, all that it is subscribed to.

use std::{
    fmt::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use patchbay_core::{
    era::{Era, Version},
    method::Method,
};
use tracing::warn;

use super::{
    body::Broken,
    hear::{self, Listener},
    mcp::Reply,
    replay::LAST_EVENT_ID,
    session::Session,
    sse::{OpenStream, events_response},
};
use crate::{
    admission,
    app::App,
    audit::Trail,
    dispatch,
    error::GatewayError,
    hub::{
        Digests, Hub, PROMPTS, RESOURCES, TOOLS, Wanted,
        listening::{Listening, Said, Voice},
        wishes::About,
    },
};

/// What the ids of these events begin with. Those of answers begin with another letter.
const OURS: char = 'g';
/// How long the store may take to say what a session is subscribed to; then what this replica knows has to do.
const NOTES_PATIENCE: Duration = Duration::from_secs(1);

/// The response to `subscriptions/listen`.
pub(super) fn modern(app: &Arc<App>, listening: Listening) -> Reply {
    let open = OpenStream::enter(app);
    events_response(
        listening
            .map(move |said| {
                let _ = &open;
                Ok(framed(said, None))
            })
            .boxed_local(),
    )
}

/// Opens the stream of a legacy session, and ends the one that it has: each message goes to one stream.
///
/// # Errors
/// As for any request in a session; when the client takes no events; when it has too many streams.
pub(super) async fn legacy(listener: &Listener<'_>, trail: &mut Trail) -> Result<Reply, GatewayError> {
    let Listener { app, tenant, principal, headers, .. } = listener;
    let version = headers.get(hear::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    if version.and_then(Version::parse).map(Version::era) == Some(Era::Modern) {
        return Err(GatewayError::MethodNotAllowed("POST in this protocol version"));
    }
    if !takes_events(headers) {
        return Err(GatewayError::NoEvents);
    }
    if let Some(unknown) = version.filter(|version| Version::parse(version).is_none()) {
        return Err(GatewayError::Version(unknown.to_owned()));
    }
    let session = listener.session()?;
    admission::request(app, tenant, principal).await?;
    if !app.audit.lets_on(&tenant.snapshot().audit) {
        return Err(dispatch::NO_ROOM);
    }
    trail.method(&Method::Listen);
    let since = last_seen(headers);
    let wanted = Wanted {
        lists: TOOLS | PROMPTS | RESOURCES,
        client: Some(session.id),
        uris: subscriptions(app, tenant.id(), &session).await,
        since,
    };
    let (listening, _) = Hub::open(app, tenant, principal, wanted, Voice::Legacy)?;
    trail.answered(0);
    trail.kept().await.map_err(|_| dispatch::OUTCOME_NOT_KEPT)?;
    let nonce = u32::from_ne_bytes(patchbay_core::random_bytes());
    // From 2025-11-25 on a client is given an id before there is any message, so that it can come again with it.
    let is_primed = session.version < Version::NEWEST_LEGACY;
    let events = LegacyEvents { listening, nonce, count: 0, is_primed, _open: OpenStream::enter(app) };
    Ok(events_response(events.boxed_local()))
}

/// What the session is subscribed to, by the store and by what was said here.
async fn subscriptions(app: &App, tenant: patchbay_core::TenantId, session: &Session) -> Vec<Arc<str>> {
    let stored = app.store.session_notes_of(tenant, session.id);
    match tokio::time::timeout(NOTES_PATIENCE, stored).await {
        Ok(Ok(notes)) => notes.iter().for_each(|note| {
            let about = About::read(&note.name, note.value.as_deref());
            app.hub.wishes.heard(session.id, &note.name, &about, true);
        }),
        Ok(Err(error)) => warn!(%error, "a stream tells only of the subscriptions that this replica knows"),
        Err(_) => warn!(
            "the store does not say in time what a session is subscribed to; its stream tells of what is known here"
        ),
    }
    app.hub.wishes.uris(session.id)
}

fn takes_events(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = accept.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    ranges
        .map(str::trim)
        .any(|range| matches!(range.to_ascii_lowercase().as_str(), "text/event-stream" | "text/*" | "*/*"))
}

/// What the client saw last on a stream of this kind. The id of another kind, or of nobody's, is that of no event here: the
/// stream begins now.
fn last_seen(headers: &HeaderMap) -> Option<Digests> {
    let id = headers.get(LAST_EVENT_ID)?.to_str().ok()?.strip_prefix(OURS)?;
    let mut digests = [0; 3];
    for (at, digest) in digests.iter_mut().enumerate() {
        *digest = u64::from_str_radix(id.get(at * 16..at * 16 + 16)?, 16).ok()?;
    }
    Some(Digests(digests))
}

/// The events of a legacy stream.
struct LegacyEvents {
    listening: Listening,
    /// Makes the ids of this stream differ from those of the session's others.
    nonce: u32,
    count: u32,
    is_primed: bool,
    _open: OpenStream,
}

impl LegacyEvents {
    fn next_id(&mut self) -> String {
        let Digests([tools, prompts, resources]) = self.listening.told();
        self.count = self.count.wrapping_add(1);
        format!("{OURS}{tools:016x}{prompts:016x}{resources:016x}-{:08x}-{}", self.nonce, self.count)
    }
}

impl Stream for LegacyEvents {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_primed {
            self.is_primed = true;
            let id = self.next_id();
            return Poll::Ready(Some(Ok(format!("id: {id}\ndata: \n\n").into())));
        }
        self.listening.poll_next_unpin(cx).map(|said| {
            let said = said?;
            let id = matches!(said, Said::Message(_)).then(|| self.next_id());
            Some(Ok(framed(said, id.as_deref())))
        })
    }
}

/// As an event. Messages of changes are written here and have no line breaks.
fn framed(said: Said, id: Option<&str>) -> Bytes {
    let Said::Message(message) = said else { return Bytes::from_static(b": still here\n\n") };
    let mut event = String::with_capacity(message.len() + 96);
    event.push_str("event: message\n");
    if let Some(id) = id {
        let _ = writeln!(event, "id: {id}");
    }
    let _ = write!(event, "data: {}\n\n", String::from_utf8_lossy(&message));
    event.into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(id: &str) -> Option<Digests> {
        last_seen(&[(LAST_EVENT_ID, HeaderValue::from_str(id).unwrap())].into_iter().collect())
    }

    #[test]
    fn only_an_id_of_this_kind_says_what_was_seen() {
        for odd in ["", "g", "p123-1", "g00", "g00000000000000010000000000000002000000000000000-", "0", "gé"] {
            assert_eq!(HeaderValue::from_str(odd).ok().and_then(|_| seen(odd)), None, "{odd}");
        }
        let id = format!("g{:016x}{:016x}{:016x}-0badcafe-7", 1, 2, u64::MAX);
        assert_eq!(seen(&id), Some(Digests([1, 2, u64::MAX])));
    }

    #[test]
    fn a_client_that_does_not_say_that_it_takes_events_gets_none() {
        let takes = |accept: &str| {
            takes_events(&[(header::ACCEPT, HeaderValue::from_str(accept).unwrap())].into_iter().collect())
        };
        assert!(!takes_events(&HeaderMap::new()));
        assert!(!takes("text/html") && !takes("application/json"));
        assert!(takes("text/event-stream") && takes("application/json, Text/Event-Stream;q=1") && takes("*/*"));
    }
}
