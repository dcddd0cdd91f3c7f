//! What came back for a request, when it is not a stream of events: one JSON body, whole or streamed on, or a refusal and what
//! it means. Nobody looks into an answer here; refusals are read, bounded, since they decide about era and session.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
};
use tokio::time::{Duration, Instant};

use super::{
    heads::{Kind, raw_id},
    live::{Body, BodyError},
    messages::Messages,
    patience::Patience,
    peer::Peer,
    status::InFlight,
};
use crate::{Answer, ByteStream, Delivery, DownstreamError, Fault, Message};

/// Up to here an answer is handed on in one piece, so that a small one costs no stream.
const WHOLE_BYTES_MAX: usize = 64 * 1024;
/// What is read of a refusal, and for how long.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);
/// What a server may say of itself.
const HELLO_BYTES_MAX: usize = 1024 * 1024;

/// A JSON body as the answer to a call.
pub(crate) async fn answer(
    peer: &Arc<Peer>,
    response: Response<Body>,
    era: Era,
    patience: &Patience,
    in_flight: InFlight,
) -> Result<Answer, DownstreamError> {
    let (head, mut body) = response.into_parts();
    identity(&head.headers)?;
    let max = peer.response_bytes_max;
    let length = body.length();
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    if !is_framed(&head.headers) {
        return Ok(Answer {
            head: until_closed(&mut body, max, patience).await?,
            rest: None,
            era,
        });
    }
    let upto = match length {
        // A long answer is streamed from its first bytes on.
        Some(length) if length > WHOLE_BYTES_MAX as u64 => 0,
        _ => WHOLE_BYTES_MAX,
    };
    let head = gather(&mut body, upto, patience).await?;
    if head.is_empty() && body.is_ended() {
        return Err(DownstreamError::may_have_run(
            Fault::Protocol,
            "the server answered with an empty body",
        ));
    }
    if head.len() as u64 > max {
        return Err(too_large(max));
    }
    let rest = (!body.is_ended()).then(|| {
        rest(
            peer.clone(),
            body,
            max - head.len() as u64,
            patience.clone(),
            in_flight,
        )
    });
    Ok(Answer { head, rest, era })
}

/// The one response to a request of the handshake; `None` when the body is of no kind that carries one.
pub(crate) async fn single(
    peer: &Arc<Peer>,
    response: Response<Body>,
    id: u64,
    patience: &Patience,
) -> Result<Option<Bytes>, DownstreamError> {
    identity(response.headers())?;
    match Kind::of(response.headers()) {
        Kind::Other => Ok(None),
        Kind::Json => {
            let body = response.into_body();
            whole(body, HELLO_BYTES_MAX, patience).await.map(Some)
        }
        Kind::Sse => {
            let mut messages =
                Messages::of_handshake(peer.clone(), response.into_body(), id, patience.clone());
            loop {
                if let Message::Response(answer) = messages.message().await? {
                    return Ok(Some(answer.head));
                }
            }
        }
    }
}

/// A response that is no 200.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    body: Bytes,
    excerpt: String,
}

/// Reads a refusal, as far as it matters and as long as it makes sense.
pub(crate) async fn read_refusal(
    peer: &Arc<Peer>,
    response: Response<Body>,
    patience: &Patience,
) -> Result<Refusal, DownstreamError> {
    let status = response.status();
    let patience = patience.until(Instant::now() + REFUSAL_PATIENCE);
    let mut body = response.into_body();
    // The status counts, whatever becomes of the words after it.
    let mut said = gather(&mut body, REFUSAL_BYTES_MAX, &patience)
        .await
        .unwrap_or_default();
    said.truncate(REFUSAL_BYTES_MAX);
    let excerpt = peer.client.heads.excerpt(&said);
    Ok(Refusal {
        status,
        body: said,
        excerpt,
    })
}

/// What a refusal means for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the response, with another status than 200.
    Response,
    /// The server does not know the session: the request was not acted on.
    SessionLost,
    /// The server may be of the other era: the request was not acted on.
    EraDoubt,
    /// It is no answer.
    Refused,
}

impl Refusal {
    fn head(&self) -> Option<MessageHead<'_>> {
        std::str::from_utf8(&self.body)
            .ok()
            .and_then(|text| MessageHead::read(text).ok())
    }

    /// The code of the JSON-RPC error in it, whichever request that names.
    pub(crate) fn code(&self) -> Option<i64> {
        json::at_path(self.head()?.error?, &["code"])?.parse().ok()
    }

    fn answers(&self, id: u64) -> bool {
        self.head()
            .is_some_and(|head| head.is_response() && head.id == Some(&*raw_id(id)))
    }

    /// Servers that keep sessions in memory answer 400 after a restart, in words.
    fn speaks_of_session(&self) -> bool {
        self.body
            .to_ascii_lowercase()
            .windows(7)
            .any(|word| word == b"session")
    }

    /// What it means for request `id`, sent in this era, in a session with an id or without.
    pub(crate) fn verdict(&self, id: u64, era: Era, in_session: bool) -> Verdict {
        let status = self.status.as_u16();
        let code = self.code();
        match (era, status) {
            (_, 401 | 403 | 407 | 408 | 429 | 503) => Verdict::Refused,
            (Era::Legacy, 404) if in_session && code != Some(-32601) => Verdict::SessionLost,
            (Era::Legacy, 400)
                if in_session
                    && matches!(code, None | Some(-32600 | -32000 | -32001))
                    && self.speaks_of_session() =>
            {
                Verdict::SessionLost
            }
            (Era::Legacy, 400) if matches!(code, Some(-32022..=-32020)) => Verdict::EraDoubt,
            (Era::Modern, 400) if code == Some(-32022) => Verdict::EraDoubt,
            _ if self.answers(id) => Verdict::Response,
            (Era::Modern, 400 | 404 | 405 | 406 | 415 | 422) => Verdict::EraDoubt,
            (Era::Legacy, 400 | 404 | 405) if !in_session => Verdict::EraDoubt,
            _ => Verdict::Refused,
        }
    }

    /// It as an error.
    pub(crate) fn error(&self) -> DownstreamError {
        let status = self.status.as_u16();
        let delivery = if matches!(status, 429 | 503) {
            Delivery::NotSent
        } else {
            Delivery::MayHaveRun
        };
        let detail = match (&*self.excerpt, self.status.is_redirection()) {
            (_, true) => format!(
                "HTTP {status}; redirects are not followed, so the server's URL must be the final one"
            ),
            ("", _) => format!("HTTP {status} without words"),
            (said, _) => format!("HTTP {status}: {said}"),
        };
        DownstreamError {
            fault: Fault::Refused(status),
            delivery,
            detail,
        }
    }

    /// It as the response that it is.
    pub(crate) fn into_answer(self, era: Era) -> Answer {
        Answer {
            head: self.body,
            rest: None,
            era,
        }
    }
}

/// Whether the end of the body can be told from a broken connection.
fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// No encoding was asked for, so none can be understood.
pub(crate) fn identity(headers: &HeaderMap) -> Result<(), DownstreamError> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(DownstreamError::may_have_run(
                Fault::Protocol,
                "the server compressed its answer without being asked to",
            ))
        }
        _ => Ok(()),
    }
}

/// Reads on until the end, or until there are more than so many bytes. One piece is not copied.
async fn gather(
    body: &mut Body,
    upto: usize,
    patience: &Patience,
) -> Result<Bytes, DownstreamError> {
    let Some(first) = next(body, patience).await? else {
        return Ok(Bytes::new());
    };
    let mut all = BytesMut::new();
    while !body.is_ended() && first.len().max(all.len()) <= upto {
        let Some(more) = next(body, patience).await? else {
            break;
        };
        if all.is_empty() {
            all.reserve(first.len() + more.len());
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&more);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

async fn whole(mut body: Body, max: usize, patience: &Patience) -> Result<Bytes, DownstreamError> {
    let all = gather(&mut body, max, patience).await?;
    if all.len() > max {
        Err(too_large(max as u64))
    } else {
        Ok(all)
    }
}

/// A body that ends with the connection: only its JSON says whether it is whole.
async fn until_closed(
    body: &mut Body,
    max: u64,
    patience: &Patience,
) -> Result<Bytes, DownstreamError> {
    let all = gather(body, usize::try_from(max).unwrap_or(usize::MAX), patience).await?;
    if all.len() as u64 > max {
        return Err(too_large(max));
    }
    let is_whole = std::str::from_utf8(&all).is_ok_and(|text| MessageHead::read(text).is_ok());
    if is_whole {
        Ok(all)
    } else {
        Err(DownstreamError::may_have_run(
            Fault::Closed,
            "the server's answer is not whole",
        ))
    }
}

async fn next(body: &mut Body, patience: &Patience) -> Result<Option<Bytes>, DownstreamError> {
    let read = patience
        .within(body.bytes())
        .await
        .map_err(|cut| cut.may_have_run())?;
    read.transpose().map_err(|error| broken(&error))
}

/// The bytes after the head, as they come, as long as patience lasts and as many as may be.
fn rest(
    peer: Arc<Peer>,
    body: Body,
    left: u64,
    patience: Patience,
    in_flight: InFlight,
) -> ByteStream {
    Box::pin(stream::unfold(
        Some((peer, body, left, patience, in_flight)),
        |state| async move {
            let (peer, mut body, left, patience, in_flight) = state?;
            let piece = match next(&mut body, &patience).await.transpose()? {
                Ok(bytes) if bytes.len() as u64 > left => Err(too_large(peer.response_bytes_max)),
                piece => piece,
            };
            match piece {
                Ok(bytes) => {
                    let left = left - bytes.len() as u64;
                    Some((Ok(bytes), Some((peer, body, left, patience, in_flight))))
                }
                Err(error) => {
                    peer.status.failed(&error);
                    Some((Err(error), None))
                }
            }
        },
    ))
}

pub(crate) fn broken(error: &BodyError) -> DownstreamError {
    DownstreamError::may_have_run(Fault::Closed, error.to_string())
}

fn too_large(max: u64) -> DownstreamError {
    DownstreamError::may_have_run(
        Fault::TooLarge,
        format!("the server's answer is larger than the bound of {max} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &'static str) -> Refusal {
        let status = StatusCode::from_u16(status).expect("a status");
        Refusal {
            status,
            body: Bytes::from_static(body.as_bytes()),
            excerpt: body.into(),
        }
    }

    #[test]
    fn a_refusal_is_read_by_era_session_and_words() {
        use {Era::*, Verdict::*};
        let unsupported = r#"{"id":7,"error":{"code":-32022,"message":"x"}}"#;
        let mismatch = r#"{"id":7,"error":{"code":-32020,"message":"x"}}"#;
        let unknown = r#"{"id":7,"error":{"code":-32601,"message":"x"}}"#;
        let sessionless =
            r#"{"id":7,"error":{"code":-32000,"message":"Bad Request: No valid Session ID"}}"#;
        let foreign = r#"{"id":8,"error":{"code":-32602,"message":"x"}}"#;
        for (status, body, era, in_session, expected) in [
            (400, unsupported, Modern, false, EraDoubt),
            (400, mismatch, Modern, false, Response),
            (404, unknown, Modern, false, Response),
            (400, sessionless, Modern, false, Response),
            (400, foreign, Modern, false, EraDoubt),
            (400, "no", Modern, false, EraDoubt),
            (401, unknown, Modern, false, Refused),
            (500, "oops", Modern, false, Refused),
            (500, unknown, Modern, false, Response),
            (404, "", Legacy, true, SessionLost),
            (404, unknown, Legacy, true, Response),
            (404, "", Legacy, false, EraDoubt),
            (400, sessionless, Legacy, true, SessionLost),
            (400, sessionless, Legacy, false, Response),
            (400, mismatch, Legacy, true, EraDoubt),
            (400, foreign, Legacy, true, Refused),
            (429, "", Legacy, true, Refused),
            (302, "", Legacy, true, Refused),
        ] {
            let found = refusal(status, body).verdict(7, era, in_session);
            assert_eq!(
                found, expected,
                "{status} {body} in the {era:?} era, in a session: {in_session}"
            );
        }
    }

    #[test]
    fn only_busy_servers_are_known_not_to_have_acted() {
        for (status, delivery) in [
            (429, Delivery::NotSent),
            (503, Delivery::NotSent),
            (500, Delivery::MayHaveRun),
        ] {
            let error = refusal(status, "").error();
            assert_eq!(
                (error.fault, error.delivery),
                (Fault::Refused(status), delivery)
            );
        }
    }
}
