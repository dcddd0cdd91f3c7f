//! What came back for a request, when it is not a stream of events: one JSON body, whole or streamed on. Nobody looks into an
//! answer here. What comes with another status than 200 is `refusal`'s.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{
    HeaderMap, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use patchbay_core::{era::Era, json::MessageHead};

use super::{
    heads::Kind,
    live::{Body, BodyError},
    messages::Messages,
    patience::Patience,
    peer::Peer,
    status::InFlight,
};
use crate::{Answer, ByteStream, DownstreamError, Fault, Message};

/// Up to here an answer is handed on in one piece, so that a small one costs no stream.
const WHOLE_BYTES_MAX: usize = 64 * 1024;
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
        return Ok(Answer { head: until_closed(&mut body, max, patience).await?, rest: None, era });
    }
    let upto = match length {
        // A long answer is streamed from its first bytes on.
        Some(length) if length > WHOLE_BYTES_MAX as u64 => 0,
        _ => WHOLE_BYTES_MAX,
    };
    let head = gather(&mut body, upto, patience).await?;
    if head.is_empty() && body.is_ended() {
        return Err(DownstreamError::may_have_run(Fault::Protocol, "the server answered with an empty body"));
    }
    if head.len() as u64 > max {
        return Err(too_large(max));
    }
    let rest =
        (!body.is_ended()).then(|| rest(peer.clone(), body, max - head.len() as u64, patience.clone(), in_flight));
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
            let mut messages = Messages::of_handshake(peer.clone(), response.into_body(), id, patience.clone());
            loop {
                if let Message::Response(answer) = messages.message().await? {
                    return Ok(Some(answer.head));
                }
            }
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
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(DownstreamError::may_have_run(
            Fault::Protocol,
            "the server compressed its answer without being asked to",
        )),
        _ => Ok(()),
    }
}

/// Reads on until the end, or until there are more than so many bytes. One piece is not copied.
pub(crate) async fn gather(body: &mut Body, upto: usize, patience: &Patience) -> Result<Bytes, DownstreamError> {
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
    if all.len() > max { Err(too_large(max as u64)) } else { Ok(all) }
}

/// A body that ends with the connection: only its JSON says whether it is whole.
async fn until_closed(body: &mut Body, max: u64, patience: &Patience) -> Result<Bytes, DownstreamError> {
    let all = gather(body, usize::try_from(max).unwrap_or(usize::MAX), patience).await?;
    if all.len() as u64 > max {
        return Err(too_large(max));
    }
    let is_whole = std::str::from_utf8(&all).is_ok_and(|text| MessageHead::read(text).is_ok());
    if is_whole {
        Ok(all)
    } else {
        Err(DownstreamError::may_have_run(Fault::Closed, "the server's answer is not whole"))
    }
}

async fn next(body: &mut Body, patience: &Patience) -> Result<Option<Bytes>, DownstreamError> {
    let read = patience.within(body.bytes()).await.map_err(|cut| cut.may_have_run())?;
    read.transpose().map_err(|error| broken(&error))
}

/// The bytes after the head, as they come, as long as patience lasts and as many as may be.
fn rest(peer: Arc<Peer>, body: Body, left: u64, patience: Patience, in_flight: InFlight) -> ByteStream {
    Box::pin(stream::unfold(Some((peer, body, left, patience, in_flight)), |state| async move {
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
    }))
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
