//! The messages of one reply that comes as a stream of events: what belongs to the caller is handed on, what belongs to the
//! transport — pings, list changes, answers to nobody — is dealt with here. A legacy stream that breaks is taken up again
//! where it broke, when the server numbers its events.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
};
use tokio::time::{Instant, sleep};

use super::{
    aside::CancelOnDrop,
    heads::{Kind, LAST_EVENT_ID, raw_id},
    listen::event_of,
    live::Body,
    patience::Patience,
    peer::Peer,
    reply::broken,
    session::Session,
    sse::Reader,
    status::InFlight,
};
use crate::{Answer, AnswerSink, DownstreamError, Extension, Fault, Message, MessageStream, Question};

/// Times in a row that a broken stream is taken up without anything new in it.
const RESUMES_MAX: u32 = 3;
/// What is waited before that, unless the server says otherwise, and never less than.
const RESUME_DELAY: Duration = Duration::from_millis(500);
const RESUME_DELAY_MIN: Duration = Duration::from_millis(50);
/// What the answer to a question may take on its way to the server.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Messages of one reply that are handed on before the other tasks of the thread get a turn.
const TURN_MESSAGES_MAX: u32 = 64;

/// A reply that is being read.
pub(crate) struct Messages {
    peer: Arc<Peer>,
    body: Option<Body>,
    reader: Reader,
    id: u64,
    era: Era,
    /// Of the legacy session, for what is sent back to the server.
    session: Option<Arc<Session>>,
    patience: Patience,
    extension: Option<Extension>,
    cancel: CancelOnDrop,
    /// Messages of a batch that were not handed on yet (2025-03-26).
    batch: VecDeque<Bytes>,
    /// Handed on first: it was read to find out what kind of reply this is.
    first: Option<Message>,
    /// Why the stream ended, while it is to be seen whether it can be taken up.
    broke: Option<DownstreamError>,
    resumes: u32,
    /// Messages since the other tasks of the thread had a turn.
    in_turn: u32,
    warned: bool,
    done: bool,
    in_flight: Option<InFlight>,
}

impl Messages {
    pub(crate) fn of_call(
        body: Body,
        era: Era,
        session: Option<Arc<Session>>,
        (patience, extension): (Patience, Option<Extension>),
        cancel: CancelOnDrop,
        in_flight: InFlight,
    ) -> Self {
        let (peer, id) = (cancel.peer().clone(), cancel.id());
        Self {
            body: Some(body),
            reader: Reader::new(peer.sse_event_bytes_max),
            id,
            era,
            session,
            patience,
            extension,
            cancel,
            batch: VecDeque::new(),
            first: None,
            broke: None,
            resumes: 0,
            in_turn: 0,
            warned: false,
            done: false,
            in_flight: Some(in_flight),
            peer,
        }
    }

    /// For a request that the transport makes for itself: nothing is sent back, nothing is cancelled.
    pub(crate) fn of_handshake(peer: Arc<Peer>, body: Body, id: u64, patience: Patience) -> Self {
        let in_flight = peer.status.enter();
        let cancel = CancelOnDrop::new(peer, None, id);
        Self::of_call(body, Era::Legacy, None, (patience, None), cancel, in_flight)
    }

    /// The same stream with this message before all others.
    pub(crate) fn with_first(mut self, first: Message) -> Self {
        self.first = Some(first);
        self
    }

    /// The next message that is not the transport's own.
    pub(crate) async fn message(&mut self) -> Result<Message, DownstreamError> {
        loop {
            if let Some(message) = self.message_now().await {
                return Ok(message);
            }
            self.advance().await?;
        }
    }

    /// The first message; `None` when the stream ended before it and will be taken up again: the server lets itself be polled.
    pub(crate) async fn first(&mut self) -> Result<Option<Message>, DownstreamError> {
        loop {
            if let Some(message) = self.message_now().await {
                return Ok(Some(message));
            }
            if self.broke.is_some() && self.resumption().is_some() {
                return Ok(None);
            }
            self.advance().await?;
        }
    }

    /// The next message that was read already. Some take a moment all the same, so that a server that sends without end does not
    /// hold up the thread.
    async fn message_now(&mut self) -> Option<Message> {
        loop {
            self.in_turn += 1;
            if self.in_turn >= TURN_MESSAGES_MAX {
                self.in_turn = 0;
                tokio::task::yield_now().await;
            }
            let data = self.data_now()?;
            if let Some(message) = self.sort(data) {
                if let (Some(extension), false) = (self.extension, self.done) {
                    self.patience.deadline = extension.moved(self.patience.deadline, Instant::now());
                }
                return Some(message);
            }
        }
    }

    /// The data of the next event that was read and carries a message.
    fn data_now(&mut self) -> Option<Bytes> {
        loop {
            if let Some(part) = self.batch.pop_front() {
                return Some(part);
            }
            match self.reader.next()? {
                event if !event.is_message() => {}
                event if event.data.starts_with(b"[") => self.split(&event.data),
                event => return Some(event.data),
            }
        }
    }

    fn split(&mut self, batch: &Bytes) {
        let parts = std::str::from_utf8(batch).ok().and_then(|text| json::elements(text).ok());
        match parts {
            Some(parts) => self.batch.extend(parts.into_iter().map(|part| batch.slice_ref(part.as_bytes()))),
            None => {
                self.odd("a batch that is not JSON");
            }
        }
    }

    /// Reads the next piece, or finds the connection that continues the stream.
    async fn advance(&mut self) -> Result<(), DownstreamError> {
        if let Some(why) = self.broke.clone() {
            return self.resume(why).await;
        }
        let read = match &mut self.body {
            Some(body) => self.patience.within(body.bytes()).await.map_err(|cut| cut.may_have_run())?,
            None => None,
        };
        self.broke = match read {
            Some(Ok(bytes)) => return self.push(bytes),
            Some(Err(error)) => Some(broken(&error)),
            None => {
                let ended = "the server ended its stream of events without a response";
                Some(DownstreamError::may_have_run(Fault::Closed, ended))
            }
        };
        Ok(())
    }

    fn push(&mut self, bytes: Bytes) -> Result<(), DownstreamError> {
        let before = self.reader.last_id().cloned();
        self.reader.push(bytes).map_err(|error| DownstreamError::may_have_run(Fault::TooLarge, error.to_string()))?;
        if self.reader.last_id() != before.as_ref() {
            self.resumes = 0;
        }
        Ok(())
    }

    /// Takes a broken stream up after the last event that came, or gives `why` it broke.
    async fn resume(&mut self, why: DownstreamError) -> Result<(), DownstreamError> {
        self.body = None;
        let Some(headers) = self.resumption() else {
            return Err(why);
        };
        while self.resumes < RESUMES_MAX {
            self.resumes += 1;
            let delay = self.reader.retry().unwrap_or(RESUME_DELAY * self.resumes).max(RESUME_DELAY_MIN);
            self.patience.within(sleep(delay)).await.map_err(|cut| cut.may_have_run())?;
            match self.peer.client.bare(Method::GET, headers.clone(), &self.patience).await {
                Ok(response) if response.status() == StatusCode::OK && Kind::of(response.headers()) == Kind::Sse => {
                    self.reader = self.reader.continued();
                    self.body = Some(response.into_body());
                    self.broke = None;
                    return Ok(());
                }
                Ok(response) if response.status().is_client_error() => return Err(why),
                Err(error) if error.fault == Fault::Timeout => {
                    return Err(DownstreamError::may_have_run(error.fault, error.detail));
                }
                _ => {}
            }
        }
        Err(why)
    }

    /// The headers that continue the stream; `None` when it cannot be continued.
    fn resumption(&self) -> Option<HeaderMap> {
        let last = self.reader.last_id().filter(|id| !id.is_empty())?;
        let mut headers = self.session.as_ref()?.headers.clone();
        headers.insert(LAST_EVENT_ID, HeaderValue::from_bytes(last).ok()?);
        Some(headers)
    }

    /// What a message is, and whether it is the caller's.
    fn sort(&mut self, data: Bytes) -> Option<Message> {
        let Ok(text) = std::str::from_utf8(&data) else {
            return self.odd("a message that is not UTF-8");
        };
        let Ok(head) = MessageHead::read(text) else {
            return self.odd("a message that is not JSON");
        };
        if head.is_response() {
            if head.id != Some(&*raw_id(self.id)) {
                return self.odd("a response to another request");
            }
            self.finish();
            return Some(Message::Response(Answer { head: data, rest: None, era: self.era }));
        }
        if head.is_notification() {
            return match event_of(&head) {
                Some(event) => {
                    self.peer.tell(event);
                    None
                }
                None => Some(Message::Notification(data)),
            };
        }
        match (head.id, &self.session) {
            (Some(id), Some(session)) if head.is_request() => {
                if head.method_name().as_deref() == Some("ping") {
                    self.peer
                        .post_aside(session.headers.clone(), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
                    return None;
                }
                let answer = Box::new(Back { peer: self.peer.clone(), session: session.clone(), id: id.to_owned() });
                Some(Message::Request(Question { message: data, answer }))
            }
            _ => self.odd("a message that is neither response nor notification"),
        }
    }

    /// Something that the protocol does not know; said once per reply.
    fn odd(&mut self, what: &str) -> Option<Message> {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                request.id = self.id,
                "a server sent {what} in the reply to request {}; it was dropped",
                self.id
            );
        }
        None
    }

    /// The response is there: nothing else is read.
    fn finish(&mut self) {
        self.done = true;
        self.cancel.disarm();
        self.in_flight = None;
        if let Some(body) = self.body.take() {
            body.finish_aside();
        }
    }
}

impl MessageStream for Messages {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(async move {
            if let Some(first) = self.first.take() {
                return Ok(first);
            }
            if self.done {
                return Err(DownstreamError::may_have_run(Fault::Closed, "the reply was read to its end already"));
            }
            let message = self.message().await;
            if let Err(error) = &message {
                self.done = true;
                self.body = None;
                self.peer.status.failed(error);
            }
            message
        })
    }

    fn extend(&mut self, by: Duration) {
        self.patience.deadline = self.patience.deadline.max(Instant::now() + by);
    }
}

/// The way back for the answer to one question.
struct Back {
    peer: Arc<Peer>,
    session: Arc<Session>,
    id: String,
}

impl AnswerSink for Back {
    fn answer(self: Box<Self>, outcome: Bytes) -> BoxFuture<'static, Result<(), DownstreamError>> {
        Box::pin(async move {
            let mut message = Vec::with_capacity(outcome.len() + self.id.len() + 24);
            message.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
            message.extend_from_slice(self.id.as_bytes());
            message.push(b',');
            message.extend_from_slice(&outcome);
            message.push(b'}');
            // A person may have taken longer than the call had when the question came.
            let patience = self.peer.patience(Instant::now() + ANSWER_PATIENCE);
            let status = self.peer.post_accepted(self.session.headers.clone(), message.into(), &patience).await?;
            match status {
                status if status.is_success() => Ok(()),
                StatusCode::NOT_FOUND => Err(DownstreamError::may_have_run(
                    Fault::SessionLost,
                    "the server forgot the session of the question",
                )),
                status => Err(DownstreamError::may_have_run(
                    Fault::Refused(status.as_u16()),
                    format!("the server refused the answer to its question with HTTP {}", status.as_u16()),
                )),
            }
        })
    }
}
