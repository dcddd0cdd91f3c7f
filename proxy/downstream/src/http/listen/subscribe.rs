//! The resources that a legacy server is to tell of, in the session whose stream is listened to: a request for each that is
//! new or gone, on the side.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::StatusCode;
use patchbay_core::{era::Era, json};
use tokio::time::Instant;

use crate::{
    DownstreamError, Outgoing,
    http::{
        client::Lane,
        peer::Peer,
        refusal::{Verdict, read_refusal},
        reply::single,
        session::Session,
    },
    watched::{Told, is_offered, keep, uri_param},
    wire,
};

/// What one such request may take.
const TELL_PATIENCE: Duration = Duration::from_secs(10);

impl Peer {
    /// Keeps the subscriptions of this session as they are wanted; `asked` is what it was asked for so far. Returns when the
    /// session is gone.
    pub(super) async fn keep_subscribed(self: &Arc<Self>, session: &Arc<Session>, asked: &mut BTreeSet<Arc<str>>) {
        if !self.known.load().as_ref().is_some_and(|known| is_offered(&known.hello.capabilities)) {
            return std::future::pending().await;
        }
        keep(asked, &mut self.watched.subscribe(), |method, uri| self.tell_of(session, method, uri)).await;
    }

    async fn tell_of(self: &Arc<Self>, session: &Session, method: &'static str, uri: Arc<str>) -> Told {
        let told = self.try_to_tell(session, method, &uri).await.unwrap_or(Told::Failed);
        if told != Told::Taken {
            tracing::debug!(?told, server.host = %self.client.target.host, "a server did not do {method}");
        }
        told
    }

    async fn try_to_tell(
        self: &Arc<Self>,
        session: &Session,
        method: &'static str,
        uri: &str,
    ) -> Result<Told, DownstreamError> {
        let id = self.next_id();
        let request = Outgoing::plain(method, vec![uri_param(uri)]);
        let message = wire::request(id, &request, Era::Legacy, "{}").into();
        let patience = self.patience(Instant::now() + TELL_PATIENCE);
        let (headers, sent) = (session.headers.clone(), AtomicBool::new(false));
        let response = self.client.post(headers, message, Lane::Control, &patience, &sent).await?;
        if response.status() == StatusCode::OK {
            let answer = single(self, response, id, &patience).await?.unwrap_or_default();
            let text = std::str::from_utf8(&answer).unwrap_or_default();
            return Ok(if json::at_path(text, &["result"]).is_some() { Told::Taken } else { Told::Refused });
        }
        if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Told::Failed);
        }
        let refusal = read_refusal(&self.client, response, &patience).await?;
        Ok(match refusal.verdict(id, Era::Legacy, session.id.is_some()) {
            Verdict::SessionLost => Told::Lost,
            Verdict::Response | Verdict::EraDoubt | Verdict::Refused => Told::Refused,
        })
    }
}
