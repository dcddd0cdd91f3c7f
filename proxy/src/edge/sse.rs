//! Events: the answer to a call as a stream of messages, with a sign of life while nothing comes. A legacy call goes on when
//! its client has left, which can come back to its stream ([`super::replay`]); a modern one ends with its stream. A gateway that
//! stops and can wait no longer ends streams with an error.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderValue, Response, header};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    body::{Broken, ReplyBody},
    mcp::Reply,
    replay::{self, Feed, Owner},
    reply, watch,
};
use crate::{app::App, dispatch::Answer, hub::listening::Said};

/// Messages that wait for a slow reader before the call itself waits.
const WAITING_MAX: usize = 32;

/// A call that is not answered yet.
pub(super) type Pending = Pin<Box<dyn Future<Output = Answer>>>;

/// What is to be sent as events.
pub(super) enum Source {
    /// A call that is silent for so long that its client should hear something.
    Pending(Pending),
    /// An answer with messages before it.
    Answer(Box<Answer>),
}

/// The response that sends `source` as events to the request with this id. In a session, whose `owner` is then given, the call
/// goes on when the client has left.
pub(super) fn respond(app: &Arc<App>, source: Source, owner: Option<&Owner>, id: Bytes) -> Reply {
    let keepalive = app.config.limits.keepalive;
    if let Some((feed, reader)) = owner.and_then(|owner| replay::open(app, owner, &id)) {
        tokio::task::spawn_local(pump(source, keepalive, Out::Kept(feed)));
        return events_response(reader.boxed_local());
    }
    let open = OpenStream::enter(app);
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let task = tokio::task::spawn_local(pump(source, keepalive, Out::Sent(sender)));
    let guard = owner.is_none().then(|| AbortOnDrop(task));
    events_response(Events { receiver, unanswered: Some(id), _guard: guard, _open: open }.boxed_local())
}

/// The events of one answer.
struct Events {
    receiver: mpsc::Receiver<Bytes>,
    /// The id of the request, until the stream has ended.
    unanswered: Option<Bytes>,
    _guard: Option<AbortOnDrop>,
    _open: OpenStream,
}

impl Stream for Events {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.unanswered.is_none() {
            return Poll::Ready(None);
        }
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => {
                self.unanswered = None;
                Poll::Ready(None)
            }
            Poll::Pending if watch::is_breaking() => {
                let broken_off = self.unanswered.take().map(|id| event(b"", &[reply::broken_off(&id)]));
                Poll::Ready(broken_off.map(Ok))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A response without any event: the client took the request back and waits for nothing.
pub(super) fn nothing() -> Reply {
    events_response(futures_util::stream::empty().boxed_local())
}

/// The response that sends these events.
pub(super) fn events_response(events: Pin<Box<dyn Stream<Item = Result<Bytes, Broken>>>>) -> Reply {
    let mut response = Response::new(ReplyBody::Stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Counts a stream among the open ones.
pub(super) struct OpenStream(Arc<App>);

impl OpenStream {
    /// Counts another one.
    pub(super) fn enter(app: &Arc<App>) -> Self {
        app.metrics.streams.inc();
        Self(app.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.metrics.streams.dec();
    }
}

/// Ends a task with its stream.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where events go.
enum Out {
    /// To a client, and nowhere once it has left.
    Sent(mpsc::Sender<Bytes>),
    /// To where a client can come back for them.
    Kept(Feed),
}

impl Out {
    /// Sends a message that comes before the response.
    async fn message(&self, message: Bytes) {
        match self {
            Self::Sent(sender) => send(sender, event(b"", &[message])).await,
            Self::Kept(feed) => feed.message(message).await,
        }
    }

    async fn alive(&self) {
        match self {
            Self::Sent(sender) => send(sender, STILL_WORKING).await,
            Self::Kept(feed) => feed.alive(),
        }
    }

    /// Sends the response.
    async fn answered(self, response: &[Bytes]) {
        match self {
            Self::Sent(sender) => send(&sender, event(b"", response)).await,
            Self::Kept(feed) => feed.answered(response),
        }
    }

    /// The server broke off within its response. Who can come back is told; to others the end of the stream says it.
    fn lost(self) {
        if let Self::Kept(feed) = self {
            feed.lost();
        }
    }

    /// There is no response.
    fn silent(self) {
        if let Self::Kept(feed) = self {
            feed.silent();
        }
    }
}

async fn pump(source: Source, keepalive: Duration, out: Out) {
    let answer = match source {
        Source::Answer(answer) => *answer,
        Source::Pending(pending) => alive(pending, keepalive, &out).await,
    };
    match answer {
        Answer::Whole(message) | Answer::Lacking(message) => out.answered(&[message]).await,
        Answer::Pieces(pieces) => out.answered(&pieces).await,
        Answer::Streaming(mut streaming) => {
            let mut pieces = Vec::new();
            while let Some(piece) = streaming.next().await {
                match piece {
                    Ok(piece) => pieces.push(piece),
                    Err(_) => return out.lost(),
                }
            }
            out.answered(&pieces).await;
        }
        Answer::Messages(mut messages) => {
            while let Some(message) = alive(messages.next(), keepalive, &out).await {
                if messages.is_over() {
                    return out.answered(&[message]).await;
                }
                out.message(message).await;
            }
            out.silent();
        }
        Answer::Listening(mut listening) => {
            while let Some(said) = listening.next().await {
                match said {
                    Said::Message(message) => out.message(message).await,
                    Said::Alive => out.alive().await,
                }
            }
            out.silent();
        }
        Answer::Cancelled => out.silent(),
    }
}

/// Waits, and gives a sign of life whenever nothing came for a while.
async fn alive<T>(work: impl Future<Output = T>, keepalive: Duration, out: &Out) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(keepalive, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => out.alive().await,
        }
    }
}

/// Sends to a client that may have left.
async fn send(sender: &mpsc::Sender<Bytes>, event: Bytes) {
    let _ = sender.send(event).await;
}

/// The comment that is sent while nothing comes.
pub(super) const STILL_WORKING: Bytes = Bytes::from_static(b": still working\n\n");

/// One event, with the line of its id if it has one. A line break in a message can only be white space between its parts, and
/// would end the line.
pub(super) fn event(id: &[u8], pieces: &[Bytes]) -> Bytes {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(id.len() + bytes + 24);
    out.extend_from_slice(id);
    out.extend_from_slice(b"event: message\ndata: ");
    for piece in pieces {
        out.extend(piece.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    }
    out.extend_from_slice(b"\n\n");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_one_event() {
        let message = [Bytes::from_static(b"{\n\"a\":"), Bytes::from_static(b"1\r\n}")];
        assert_eq!(event(b"", &message), "event: message\ndata: { \"a\":1  }\n\n");
        assert_eq!(event(b"id: p.1\n", &message), "id: p.1\nevent: message\ndata: { \"a\":1  }\n\n");
    }
}
