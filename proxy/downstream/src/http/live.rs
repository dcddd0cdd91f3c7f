//! One open connection and the exchange that runs on it. The hyper connection is driven by whoever waits for its answer, not
//! by a task of its own: that saves two wake-ups per request, and dropping the call closes the socket at once.
//! Where connections wait between exchanges is `pool`'s.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::poll_fn};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::{connect::Stream, pool::Pool};

/// What may still come after a response that nobody waits for, before the connection is given up instead of kept.
const TAIL_BYTES_MAX: usize = 16 * 1024;
const TAIL_PATIENCE: Duration = Duration::from_secs(1);

/// An open connection.
pub(crate) struct Live {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Stream>, Full<Bytes>>>,
    /// The thread whose runtime drives the socket.
    pub(crate) thread: u64,
    /// Since when it waits for work.
    pub(crate) idle_since: Instant,
    _counted: Option<Counted>,
}

/// One of the connections that count towards the bound; gives its place back when dropped.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// Takes a place, unless all are taken.
    pub(crate) fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let taken = open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        taken.ok().map(|_| Self(open.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An exchange that gave no response.
pub(crate) enum Failed {
    /// Nothing of the request was written: here it is again.
    Unsent(Box<Request<Full<Bytes>>>, hyper::Error),
    /// Something was written.
    Broken(hyper::Error),
}

impl Live {
    pub(crate) async fn open(stream: Stream, thread: u64, counted: Option<Counted>) -> Result<Box<Self>, hyper::Error> {
        let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await?;
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            thread,
            idle_since: Instant::now(),
            _counted: counted,
        }))
    }

    /// Lets the connection read and write as far as it can.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            // Dropping it makes hyper hand out what waits inside of it: errors, and requests that were never written.
            self.connection = None;
        }
    }

    /// Whether another request can be sent now.
    fn is_ready(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) async fn exchange(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
        pool: Arc<Pool>,
    ) -> Result<Response<Body>, Failed> {
        let mut response = pin!(self.sender.try_send_request(request));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(done) = response.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.drive(cx);
            response.as_mut().poll(cx)
        })
        .await;
        match answered {
            Ok(response) => Ok(response.map(|incoming| Body { live: Some(self), incoming: Some(incoming), pool })),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Failed::Unsent(Box::new(request), error.into_error()),
                None => Failed::Broken(error.into_error()),
            }),
        }
    }
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the server broke off in the middle of its answer: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the connection to the server ended in the middle of its answer")]
    Gone,
}

/// The body of a response, and the connection that it comes over. At its end the connection goes back to the pool; dropped
/// before, it is closed.
pub(crate) struct Body {
    live: Option<Box<Live>>,
    incoming: Option<Incoming>,
    pool: Arc<Pool>,
}

impl Body {
    /// The length that the server announced.
    pub(crate) fn length(&self) -> Option<u64> {
        self.incoming.as_ref().map_or(Some(0), |incoming| incoming.size_hint().exact())
    }

    /// Whether everything was read.
    pub(crate) fn is_ended(&self) -> bool {
        self.incoming.is_none()
    }

    /// The next bytes.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut driven = false;
        while let Some(incoming) = &mut self.incoming {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let ended = incoming.is_end_stream();
                    if ended {
                        self.settle(cx);
                    }
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.abandon();
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(None) => self.settle(cx),
                Poll::Pending if driven => {
                    if self.live.as_ref().is_some_and(|live| live.connection.is_some()) {
                        return Poll::Pending;
                    }
                    self.abandon();
                    return Poll::Ready(Some(Err(BodyError::Gone)));
                }
                Poll::Pending => {
                    driven = true;
                    if let Some(live) = &mut self.live {
                        live.drive(cx);
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    /// The next bytes.
    pub(crate) async fn bytes(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_bytes(cx)).await
    }

    /// The next bytes, when they are there already.
    pub(crate) fn bytes_now(&mut self) -> Option<Option<Result<Bytes, BodyError>>> {
        self.bytes().now_or_never()
    }

    /// The body is read: the connection is free for the next exchange.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.incoming = None;
        if let Some(mut live) = self.live.take() {
            live.drive(cx);
            if live.is_ready() {
                self.pool.give_back(live);
            }
        }
    }

    fn abandon(&mut self) {
        self.incoming = None;
        self.live = None;
    }

    /// Nobody waits for the rest, which should be short: reads it on the side, so that the connection can be kept.
    pub(crate) fn finish_aside(mut self) {
        if !self.is_ended()
            && self.bytes_now().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _ = timeout(TAIL_PATIENCE, self.read_tail()).await;
            });
        }
    }

    async fn read_tail(&mut self) {
        let mut seen = 0;
        while let Some(Ok(bytes)) = self.bytes().await {
            seen += bytes.len();
            if seen > TAIL_BYTES_MAX {
                return;
            }
        }
    }
}
