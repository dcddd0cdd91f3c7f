//! Bodies: a request's, read to its end within bounds, and a response's, in the few shapes that answers have.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::GatewayError;

/// What is read of a body that nobody wants any more, so that its connection can carry the next request.
const REST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long its client has for that.
const REST_PATIENCE: Duration = Duration::from_secs(1);

/// Reads a body of at most `bytes_max`. How long it may take is watched by the connection.
pub(super) async fn read(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, GatewayError> {
    let declared = body.size_hint().lower();
    if declared > bytes_max as u64 {
        return Err(GatewayError::BodyTooLarge(bytes_max));
    }
    let Some(first) = next_data(body).await? else { return Ok(Bytes::new()) };
    if first.len() > bytes_max {
        return Err(GatewayError::BodyTooLarge(bytes_max));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(declared).unwrap_or(0).max(first.len() * 2));
    whole.extend_from_slice(&first);
    while let Some(data) = next_data(body).await? {
        if whole.len() + data.len() > bytes_max {
            return Err(GatewayError::BodyTooLarge(bytes_max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads what is left of the body of a request that was answered before its end, when that is little; says whether it was. With
/// unread bytes the connection is closed under the client, which may have begun its next request on it.
pub(super) async fn rest(body: &mut Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let read = async {
        let mut left = REST_BYTES_MAX;
        while let Some(data) = next_data(body).await.map_err(drop)? {
            left = left.checked_sub(data.len()).ok_or(())?;
        }
        Ok::<_, ()>(())
    };
    matches!(tokio::time::timeout(REST_PATIENCE, read).await, Ok(Ok(())))
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, GatewayError> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(GatewayError::BodyBroken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Why a response's body broke off: the connection is closed, so that nobody takes it for whole.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// A response's body.
pub(crate) enum ReplyBody {
    /// Nothing.
    Empty,
    /// All of it.
    Whole(Bytes),
    /// All of it, in pieces that are sent one after the other without being copied together.
    Pieces(std::vec::IntoIter<Bytes>, u64),
    /// What is still coming.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Broken>>>>),
}

impl ReplyBody {
    /// A body of pieces.
    pub(crate) fn pieces(pieces: Vec<Bytes>) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::Pieces(pieces.into_iter(), bytes)
    }

    fn take_whole(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::Empty) {
            Self::Whole(bytes) => Some(bytes).filter(|bytes| !bytes.is_empty()),
            _ => None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(_) => Poll::Ready(self.take_whole().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces, left) => Poll::Ready(pieces.next().map(|piece| {
                *left -= piece.len() as u64;
                Ok(Frame::data(piece))
            })),
            Self::Stream(stream) => stream.as_mut().poll_next(cx).map(|item| item.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces(pieces, _) => pieces.len() == 0,
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(_, left) => SizeHint::with_exact(*left),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
