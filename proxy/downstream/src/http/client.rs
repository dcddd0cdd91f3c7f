//! One HTTP request to one server: a connection from the pool or a new one, and the head of the response. A connection that
//! turns out to be closed before anything was written is replaced once; apart from that nothing is ever sent twice.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;

use super::{
    connect::Target,
    heads::Heads,
    live::{Body, Failed, Live},
    patience::Patience,
    pool::{Pool, thread_number},
};
use crate::{DownstreamError, Fault};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A caller's: counts towards the bound on connections.
    Call,
    /// The transport's own: streams of events, cancellations, answers. Bounded where they are started, so that a full pool
    /// cannot keep a cancellation from making room.
    Control,
}

/// Sends requests to one server.
pub(crate) struct Client {
    pub(crate) target: Target,
    pub(crate) heads: Heads,
    pub(crate) uri: Uri,
    pub(crate) pool: Arc<Pool>,
}

impl Client {
    /// Posts a message. `sent` is true from when the server may have seen it.
    pub(crate) async fn post(
        &self,
        headers: HeaderMap,
        message: Bytes,
        lane: Lane,
        patience: &Patience,
        sent: &AtomicBool,
    ) -> Result<Response<Body>, DownstreamError> {
        self.send(self.request(Method::POST, headers, message), lane, patience, sent).await
    }

    /// Sends a request without a body.
    pub(crate) async fn bare(
        &self,
        method: Method,
        headers: HeaderMap,
        patience: &Patience,
    ) -> Result<Response<Body>, DownstreamError> {
        let request = self.request(method, headers, Bytes::new());
        self.send(request, Lane::Control, patience, &AtomicBool::new(false)).await
    }

    fn request(&self, method: Method, headers: HeaderMap, message: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        lane: Lane,
        patience: &Patience,
        sent: &AtomicBool,
    ) -> Result<Response<Body>, DownstreamError> {
        if let Some(live) = self.pool.take() {
            match self.exchange(live, request, patience, sent).await? {
                Ok(response) => return Ok(response),
                Err((unsent, _)) => request = *unsent,
            }
        }
        // Boxed, as are other rare ways: a call's future stays small for those who find a connection.
        let live = patience.within(Box::pin(self.open(lane))).await.map_err(|cut| cut.not_sent())??;
        self.exchange(live, request, patience, sent).await?.map_err(|(_, error)| {
            DownstreamError::not_sent(Fault::Unavailable, format!("the server closed the connection at once: {error}"))
        })
    }

    /// Gives the request back when nothing of it was written.
    async fn exchange(
        &self,
        live: Box<Live>,
        request: Request<Full<Bytes>>,
        patience: &Patience,
        sent: &AtomicBool,
    ) -> Result<Result<Response<Body>, (Box<Request<Full<Bytes>>>, hyper::Error)>, DownstreamError> {
        sent.store(true, Ordering::Relaxed);
        let answered = patience.within(pin!(live.exchange(request, self.pool.clone()))).await;
        match answered.map_err(|cut| cut.may_have_run())? {
            Ok(response) => Ok(Ok(response)),
            Err(Failed::Unsent(request, error)) => {
                sent.store(false, Ordering::Relaxed);
                Ok(Err((request, error)))
            }
            Err(Failed::Broken(error)) => Err(broken(&error)),
        }
    }

    async fn open(&self, lane: Lane) -> Result<Box<Live>, DownstreamError> {
        let counted = match lane {
            Lane::Control => None,
            Lane::Call => Some(self.pool.place().ok_or_else(|| {
                DownstreamError::not_sent(Fault::Busy, "all connections to the server are in use; raise their bound")
            })?),
        };
        let unavailable = |error: String| DownstreamError::not_sent(Fault::Unavailable, error);
        let stream = self.target.connect().await.map_err(|error| unavailable(error.to_string()))?;
        Live::open(stream, thread_number(), counted).await.map_err(|error| unavailable(error.to_string()))
    }
}

/// An exchange that ended without a response after something was written.
fn broken(error: &hyper::Error) -> DownstreamError {
    if error.is_parse() || error.is_parse_too_large() {
        DownstreamError::may_have_run(Fault::Protocol, format!("the server's answer is not HTTP/1.1: {error}"))
    } else {
        DownstreamError::may_have_run(Fault::Closed, format!("the server broke off before it had answered: {error}"))
    }
}
