//! Requests that nobody waits for: cancellations, pings answered, sessions ended. They run on the side, few at a time, each
//! with an end; when too many wait already, one more is dropped, since all of them are courtesies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::{runtime::Handle, time::Instant};

use super::{
    client::Lane,
    heads::raw_id,
    patience::{Closing, Patience},
    peer::Peer,
    session::Session,
};
use crate::{DownstreamError, because::cancelled};

/// Such requests that run or wait at once.
pub(crate) const ASIDE_MAX: usize = 64;
/// What one of them may take.
const ASIDE_PATIENCE: Duration = Duration::from_secs(5);

impl Peer {
    /// Posts a message on the side.
    pub(crate) fn post_aside(self: &Arc<Self>, headers: HeaderMap, message: String) {
        let (Ok(place), Ok(runtime)) = (self.aside.clone().try_acquire_owned(), Handle::try_current()) else {
            tracing::debug!("too many messages wait to be sent to the server on the side; one was dropped");
            return;
        };
        let peer = self.clone();
        runtime.spawn(async move {
            let patience = peer.patience(Instant::now() + ASIDE_PATIENCE);
            if let Err(error) = peer.post_accepted(headers, message.into(), &patience).await {
                tracing::debug!(%error, "a message on the side did not reach the server");
            }
            drop(place);
        });
    }

    /// Posts a notification or an answer, which the server accepts without words of its own.
    pub(crate) async fn post_accepted(
        &self,
        headers: HeaderMap,
        message: Bytes,
        patience: &Patience,
    ) -> Result<http::StatusCode, DownstreamError> {
        let response = self.client.post(headers, message, Lane::Control, patience, &AtomicBool::new(false)).await?;
        let status = response.status();
        response.into_body().finish_aside();
        Ok(status)
    }

    /// Ends a session on the server's side, on the side here too.
    pub(crate) fn delete_aside(self: &Arc<Self>, headers: HeaderMap) {
        let (Ok(place), Ok(runtime)) = (self.aside.clone().try_acquire_owned(), Handle::try_current()) else {
            return;
        };
        let peer = self.clone();
        runtime.spawn(async move {
            peer.delete(headers, Instant::now() + ASIDE_PATIENCE).await;
            drop(place);
        });
    }

    /// Ends a session on the server's side; also while this server is being closed.
    pub(crate) async fn delete(&self, headers: HeaderMap, deadline: Instant) {
        let patience = Patience { deadline, closing: Closing::default() };
        match self.client.bare(Method::DELETE, headers, &patience).await {
            Ok(response) => response.into_body().finish_aside(),
            Err(error) => tracing::debug!(%error, "a session of the server could not be ended"),
        }
    }
}

/// Tells a legacy server that a request is not wanted any more, if it is dropped before the response came: for such a server
/// a broken connection is no cancellation.
pub(crate) struct CancelOnDrop {
    peer: Arc<Peer>,
    session: Option<Arc<Session>>,
    id: u64,
    /// Whether the server may have seen the request.
    pub(crate) sent: AtomicBool,
}

impl CancelOnDrop {
    /// The session that it belongs to; `None` for a modern server, which sees the connection close.
    pub(crate) fn new(peer: Arc<Peer>, session: Option<Arc<Session>>, id: u64) -> Self {
        Self { peer, session, id, sent: AtomicBool::new(false) }
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The request is over.
    pub(crate) fn disarm(&mut self) {
        self.session = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && self.sent.load(Ordering::Relaxed)
        {
            self.peer.post_aside(session.headers.clone(), cancelled(raw_id(self.id)));
        }
    }
}
