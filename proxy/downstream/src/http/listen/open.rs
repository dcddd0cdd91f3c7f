//! One open stream of what a server tells outside of calls, read as it comes. What it means for the next stream is not known
//! here.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use patchbay_core::json::MessageHead;
use tokio::time::{sleep, timeout};

use super::{End, event_of};
use crate::{
    http::{heads::Kind, live::Body, patience::Patience, peer::Peer, sse::Reader},
    watched,
};

/// How often a silent stream looks whether anybody still listens.
const LOOK_AROUND: Duration = Duration::from_secs(15);
/// How long a stream may stay without acknowledgement before the server is taken to hear without a word.
const ACK_PATIENCE: Duration = Duration::from_secs(10);
/// Events that are handed on before the other tasks of the thread get a turn.
const TURN_EVENTS_MAX: u32 = 64;

/// See the module.
pub(super) struct Open {
    peer: Arc<Peer>,
    body: Body,
    reader: Reader,
    patience: Patience,
    /// The headers of a legacy session, for what is sent back.
    session: Option<HeaderMap>,
    /// The resources that a modern server was asked to tell of.
    uris: usize,
    is_acknowledged: bool,
    in_turn: u32,
}

impl Open {
    pub(super) fn new(
        peer: &Arc<Peer>,
        response: Response<Body>,
        patience: Patience,
        session: Option<HeaderMap>,
    ) -> Self {
        Self {
            peer: peer.clone(),
            body: response.into_body(),
            reader: Reader::new(peer.sse_event_bytes_max),
            patience,
            session,
            uris: 0,
            is_acknowledged: false,
            in_turn: 0,
        }
    }

    /// Waits until the server says that it hears, or for so long that it may be taken to.
    pub(super) async fn acknowledged(mut self, uris: usize) -> Result<Self, End> {
        self.uris = uris;
        match timeout(ACK_PATIENCE, self.hear_until(|open| open.is_acknowledged)).await {
            Ok(Some(end)) => Err(end),
            Ok(None) | Err(_) => Ok(self),
        }
    }

    /// Hears what the server tells until the stream ends, or nobody listens any more. May be dropped and called again.
    pub(super) async fn hear(&mut self) -> End {
        loop {
            if let Some(end) = self.hear_until(|_| false).await {
                return end;
            }
        }
    }

    /// Hears what has come already.
    pub(super) fn hear_rest(&mut self) {
        while let Some(Some(Ok(bytes))) = self.body.bytes_now() {
            if self.reader.push(bytes).is_err() {
                return;
            }
            while let Some(event) = self.reader.next() {
                self.take(&event.data);
            }
        }
    }

    /// The id of the last event that had one.
    pub(super) fn last_id(&self) -> Option<&Bytes> {
        self.reader.last_id()
    }

    async fn hear_until(&mut self, is_enough: impl Fn(&Self) -> bool) -> Option<End> {
        loop {
            while let Some(event) = self.reader.next() {
                self.take(&event.data);
                if is_enough(self) {
                    return None;
                }
                self.in_turn += 1;
                if self.in_turn >= TURN_EVENTS_MAX {
                    self.in_turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            tokio::select! {
                biased;
                read = self.patience.within(self.body.bytes()) => match read {
                    Ok(Some(Ok(bytes))) => {
                        if self.reader.push(bytes).is_err() {
                            return Some(End::Broken);
                        }
                    }
                    _ => return Some(End::Broken),
                },
                () = sleep(LOOK_AROUND) => {
                    if self.peer.events.receiver_count() == 0 {
                        return Some(End::Unheard);
                    }
                }
            }
        }
    }

    fn take(&mut self, data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        let Ok(head) = MessageHead::read(text) else {
            return;
        };
        if head.is_notification() {
            if let Some(event) = event_of(&head) {
                self.peer.tell(event);
            } else if head.method_name().as_deref() == Some("notifications/subscriptions/acknowledged") {
                self.is_acknowledged = true;
                let server = self.peer.client.target.host.to_string();
                watched::note_accepted(&server, head.params.unwrap_or("{}"), self.uris);
            }
        } else if let (Some(id), Some(session), true) = (head.id, &self.session, head.is_request()) {
            // Questions belong to calls; here nobody is there to be asked.
            let outcome = match head.method_name().as_deref() {
                Some("ping") => r#""result":{}"#,
                _ => r#""error":{"code":-32601,"message":"nobody can be asked outside of a call"}"#,
            };
            self.peer.post_aside(session.clone(), format!(r#"{{"jsonrpc":"2.0","id":{},{outcome}}}"#, id.trim()));
        }
    }
}

pub(super) fn is_stream(response: &Response<Body>) -> bool {
    response.status() == StatusCode::OK && Kind::of(response.headers()) == Kind::Sse
}
