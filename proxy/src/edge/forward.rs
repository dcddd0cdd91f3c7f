//! Requests for what lives in another process: an answer to a question that waits there, the next request of a call that is
//! parked there, a stream that goes on there, a session's own child. The handle that came with the request names the process, and
//! the request is handed on to it whole and as it came: that replica looks at credentials, limits and everything else itself, and
//! writes the audit. [`held`] says where a request belongs, [`mod@line`] brings it there, [`peer`] says on whose behalf.

pub(super) mod answer;
pub(super) mod held;
mod line;
pub(super) mod peer;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode, header, request::Parts};
use http_body_util::Full;
use tracing::warn;

use self::{held::Elsewhere, line::Line};
use super::{
    body::ReplyBody,
    mcp::{Reply, empty},
};
use crate::{app::App, audit, auth::Peer, error::GatewayError, metrics::Forwarded};

/// How long the head of an answer may take beyond the time after which every answer begins to come.
const HEAD_SLACK: Duration = Duration::from_secs(30);

/// Headers that are about one connection (RFC 9110, 7.6.1), and those that our client makes itself.
const OF_ONE_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    peer::HEADER,
];
/// The same, which have no name in the library.
const OF_ONE_HOP_MORE: [&str; 2] = ["keep-alive", "proxy-connection"];

/// A request as it came.
#[derive(Clone, Copy)]
pub(super) struct Came<'a> {
    pub(super) parts: &'a Parts,
    /// The other end of its connection.
    pub(super) from: Peer,
    /// Whether another replica has handed it on.
    pub(super) is_handed: bool,
}

/// Why another replica did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nobody knows how it is reached.
    NoAddress,
    /// The request has been handed on before, and what it is for is not here: it is gone.
    Gone,
    /// It was not reached: nothing was sent.
    NotReached,
    /// It was sent, and no answer came.
    Lost,
    /// Too many requests are being handed on.
    Crowded,
}

impl Failed {
    /// Under what it is counted.
    const fn counted(self) -> Forwarded {
        match self {
            Self::NoAddress => Forwarded::NoAddress,
            Self::Gone => Forwarded::Gone,
            Self::NotReached => Forwarded::Unreachable,
            Self::Lost => Forwarded::Lost,
            Self::Crowded => Forwarded::Crowded,
        }
    }
}

/// What a request may be for that is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer to a question.
    Question,
    /// The answers for a call that is parked.
    Parked,
    /// A stream that broke off.
    Stream,
    /// A call of a server that keeps its state for each session.
    Session,
}

impl Kind {
    /// The word in metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Parked => "parked",
            Self::Stream => "stream",
            Self::Session => "session",
        }
    }
}

impl Elsewhere {
    /// What the client is told instead of the answer; for parked calls and streams, those who know them say it.
    ///
    /// # Errors
    /// With what that is.
    pub(super) fn instead(&self, failed: Failed) -> Result<Reply, GatewayError> {
        match (self.kind, failed) {
            (_, Failed::Crowded) => {
                Err(GatewayError::Overloaded("too many requests are being handed on to other replicas"))
            }
            // As any answer that comes too late.
            (Kind::Question, _) => Ok(empty(StatusCode::ACCEPTED)),
            (Kind::Session, Failed::NoAddress) => Err(GatewayError::SessionElsewhere),
            (Kind::Session, Failed::Gone | Failed::NotReached) => Err(GatewayError::SessionGone),
            (Kind::Session | Kind::Parked | Kind::Stream, _) => Err(GatewayError::ReplicaLost),
        }
    }
}

/// Hands a request on and gives the other replica's answer. Its record is the other replica's to write then.
///
/// # Errors
/// When there is none.
pub(super) async fn hand_on(
    app: &Arc<App>,
    came: Came<'_>,
    Elsewhere { home, kind }: &Elsewhere,
    body: Bytes,
) -> Result<Reply, Failed> {
    let outcome = match home.url() {
        _ if came.is_handed => Err(Failed::Gone),
        None => Err(Failed::NoAddress),
        // A former process at this address.
        Some(url) if app.replica.home.url() == Some(url) => Err(Failed::Gone),
        Some(url) => send(app, came, url, body).await,
    };
    app.metrics
        .forwarded(kind.as_str(), outcome.as_ref().map_or_else(|failed| failed.counted(), |_| Forwarded::Answered));
    if let Err(failed) = outcome {
        let (kind, url) = (kind.as_str(), home.url().map_or("nowhere", |url| url));
        warn!(?failed, kind, url, "a request was not answered by the replica that has what it is for");
    }
    outcome
}

async fn send(app: &Arc<App>, came: Came<'_>, url: &Arc<str>, body: Bytes) -> Result<Reply, Failed> {
    let place = line::Place::take().ok_or(Failed::Crowded)?;
    let limits = &app.config.limits;
    // All messages of a batch are answered at once.
    let is_batch = body.first() == Some(&b'[');
    let head_max = if is_batch { limits.call_timeout_max } else { limits.sse_after } + HEAD_SLACK;
    let request = request(app, came, url, body);
    let (mut line, mut is_kept) = match Line::kept(url) {
        Some(line) => (line, true),
        None => (Line::open(url).await?, false),
    };
    let mut request = request;
    let response = loop {
        let error = match tokio::time::timeout(head_max, line.sender.try_send_request(request)).await {
            Ok(Ok(response)) => break response,
            Ok(Err(error)) => error,
            Err(_) => return Err(Failed::Lost),
        };
        // What comes back has not been sent: a kept connection had been closed meanwhile.
        match error {
            mut error if is_kept => match error.take_message() {
                Some(unsent) => (request, line, is_kept) = (unsent, Line::open(url).await?, false),
                None => return Err(Failed::Lost),
            },
            _ => return Err(Failed::Lost),
        }
    };
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    let quiet_max = answer::quiet_max(&parts.headers, limits);
    let stream = answer::HandedOn::new(body, line, place, quiet_max);
    let mut reply = Reply::new(ReplyBody::Stream(Box::pin(stream)));
    *reply.status_mut() = parts.status;
    *reply.headers_mut() = parts.headers;
    Ok(reply)
}

/// The request as it came, for the other replica.
fn request(app: &App, came: Came<'_>, url: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = came.parts.method.clone();
    let path = came.parts.uri.path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(http::Uri::default, http::Uri::from);
    let mut headers = came.parts.headers.clone();
    strip(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    if let Some(said) = peer::said(app, came.from, url, audit::now_ms()) {
        headers.insert(peer::HEADER, said);
    }
    *request.headers_mut() = headers;
    request
}

/// Takes out what was about the connection alone.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Whoever names these does not mean the connection.
        .filter(|name| *name != header::AUTHORIZATION && *name != header::HOST)
        .collect();
    named.iter().chain(&OF_ONE_HOP).for_each(|name| drop(headers.remove(name)));
    OF_ONE_HOP_MORE.iter().for_each(|name| drop(headers.remove(*name)));
}
