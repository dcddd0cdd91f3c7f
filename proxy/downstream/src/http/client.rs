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
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;

use super::{
    connect::Target,
    heads::Heads,
    live::{Body, Failed, Live},
    oauth::{keeper::Keeper, signed::sign_in_wanted},
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
    /// The gateway's own sign-in there, when it has one.
    pub(crate) keeper: Option<Arc<Keeper>>,
}

/// A request before it is sent.
#[derive(Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Bytes,
    pub(crate) lane: Lane,
    pub(crate) patience: &'a Patience,
    /// True from when the server may have seen it.
    pub(crate) sent: &'a AtomicBool,
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
        self.send(Draft { method: Method::POST, uri: &self.uri, headers, message, lane, patience, sent }).await
    }

    /// Sends a request without a body.
    pub(crate) async fn bare(
        &self,
        method: Method,
        headers: HeaderMap,
        patience: &Patience,
    ) -> Result<Response<Body>, DownstreamError> {
        let sent = &AtomicBool::new(false);
        let (uri, message, lane) = (&self.uri, Bytes::new(), Lane::Control);
        self.send(Draft { method, uri, headers, message, lane, patience, sent }).await
    }

    /// Sends a request, signed where the gateway signs in.
    pub(crate) async fn send(&self, draft: Draft<'_>) -> Result<Response<Body>, DownstreamError> {
        if let Some(keeper) = &self.keeper {
            return Box::pin(self.send_signed(keeper, draft)).await;
        }
        let mut response = self.send_plain(draft).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && !self.heads.has_authorization()
            && let Some(wanted) = sign_in_wanted(response.headers())
        {
            response.extensions_mut().insert(wanted);
        }
        Ok(response)
    }

    /// A server's words for an error, without anything that is secret.
    pub(crate) fn excerpt(&self, body: &[u8]) -> String {
        match &self.keeper {
            Some(keeper) => self.heads.excerpt(keeper.struck(&String::from_utf8_lossy(body)).as_bytes()),
            None => self.heads.excerpt(body),
        }
    }

    /// A text with a server's words in it, without anything that is secret.
    pub(crate) fn struck(&self, text: &str) -> String {
        let text = self.heads.struck(text);
        self.keeper.as_ref().map_or_else(|| text.clone(), |keeper| keeper.struck(&text))
    }

    fn request(draft: Draft<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(draft.message));
        *request.method_mut() = draft.method;
        *request.uri_mut() = draft.uri.clone();
        *request.headers_mut() = draft.headers;
        request
    }

    /// Sends it as it is.
    pub(crate) async fn send_plain(&self, draft: Draft<'_>) -> Result<Response<Body>, DownstreamError> {
        let Draft { lane, patience, sent, .. } = draft;
        let mut request = Self::request(draft);
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
