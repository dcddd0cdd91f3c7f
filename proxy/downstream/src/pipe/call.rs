//! A request and its way back: the caller's half. Dropping it anywhere takes the request back: unwritten it never leaves,
//! written it is cancelled.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use patchbay_core::era::Era;
use tokio::{
    sync::mpsc::error::TrySendError,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Frame, Pipe, gone,
    inbox::{Early, Item, Kind, Slot},
    listen::LISTEN,
};
use crate::{
    Answer, AnswerSink, CallCx, DownstreamError, Extension, Fault, Message, MessageStream, Outgoing, Reply,
    because::cancelled, wire,
};

/// How long an answer to a server's question waits for room in the outbox.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a call waits for the answer to `logging/setLevel`.
const LEVEL_PATIENCE: Duration = Duration::from_secs(2);
/// Messages of one reply that are handed on before the other tasks of the thread get a turn.
const TURN_MESSAGES_MAX: u32 = 64;

/// Why a request was not made or not answered.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The connection had ended before; another one may take the request.
    Gone(DownstreamError),
    /// It failed.
    Failed(DownstreamError),
}

impl Pipe {
    /// Sends a caller's request and waits for the first message that comes back.
    pub(crate) async fn call(self: &Arc<Self>, cx: &CallCx, request: &Outgoing) -> Result<Reply, CallError> {
        let era = self.era();
        if era == Era::Legacy
            && let Some(lower) = self.level.lowered(request.log_level.as_ref())
        {
            // Boxed, as it is rare: a call's future stays small.
            Box::pin(self.lower_level(&lower, cx.deadline)).await;
        }
        let capabilities = if self.wiring.shared { "{}" } else { &*cx.capabilities };
        let write = |id| wire::request(id, request, era, capabilities);
        let mut waiter = self.send(Kind::Call, cx.deadline, write).await?;
        match waiter.next_until(cx.deadline).await.map_err(CallError::Failed)? {
            Item::End(end) => {
                let head = end.map_err(CallError::Failed)?;
                Ok(Reply::One(Answer { head, rest: None, era }))
            }
            Item::Early(first) => {
                let mut stream = CallStream {
                    waiter,
                    first: Some(first),
                    deadline: cx.deadline,
                    extension: cx.extension,
                    in_turn: 0,
                    era,
                };
                stream.moved();
                Ok(Reply::Stream(Box::new(stream)))
            }
        }
    }

    /// Asks for more log messages; without success there are fewer, and nothing else is lost.
    async fn lower_level(self: &Arc<Self>, lower: &Outgoing, deadline: Instant) {
        let deadline = deadline.min(Instant::now() + LEVEL_PATIENCE);
        let answered = timeout_at(deadline, async {
            let mut waiter = self.ask(lower, Era::Legacy, deadline).await?;
            response(&mut waiter).await
        });
        if !matches!(answered.await, Ok(Ok(_))) {
            tracing::debug!(server.name = %self.wiring.name, "the server did not answer logging/setLevel");
        }
    }

    /// Says something that wants no answer, unless the peer does not read.
    pub(crate) fn say(&self, method: &str) {
        self.post(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#).into_bytes());
    }

    /// Sends a request of the connection's own: not counted among the calls, and never cancelled unless it listens.
    pub(super) async fn ask(
        self: &Arc<Self>,
        request: &Outgoing,
        era: Era,
        deadline: Instant,
    ) -> Result<Waiter, DownstreamError> {
        let kind = if request.method == LISTEN { Kind::Listening } else { Kind::Own };
        let capabilities = Arc::clone(&self.wiring.capabilities);
        let sent = self.send(kind, deadline, |id| wire::request(id, request, era, &capabilities)).await;
        sent.map_err(|error| match error {
            CallError::Gone(error) | CallError::Failed(error) => error,
        })
    }

    /// Asks for a sign of life; the answer is nobody's, but it is heard.
    pub(crate) fn nudge(&self) {
        let (method, era) = match self.era() {
            Era::Legacy => ("ping", Era::Legacy),
            Era::Modern => ("server/discover", Era::Modern),
        };
        let id = self.wiring.ids.fetch_add(1, Relaxed);
        self.post(wire::request(id, &Outgoing::plain(method, Vec::new()), era, &self.wiring.capabilities));
    }

    async fn send(
        self: &Arc<Self>,
        kind: Kind,
        deadline: Instant,
        write: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<Waiter, CallError> {
        let id = self.wiring.ids.fetch_add(1, Relaxed);
        let slot = Arc::new(Slot::new(id, kind));
        self.pending().add(id, Arc::clone(&slot))?;
        let waiter = Waiter { pipe: Arc::clone(self), id, slot: Arc::clone(&slot), heard: self.heard(), ended: false };
        match self.outbox.try_send(Frame::new(write(id), Some(slot))) {
            Ok(()) => Ok(waiter),
            Err(TrySendError::Closed(_)) => Err(CallError::Failed(gone("the connection has ended"))),
            Err(TrySendError::Full(frame)) => match timeout_at(deadline, self.outbox.send(frame)).await {
                Ok(Ok(())) => Ok(waiter),
                Ok(Err(_)) => Err(CallError::Failed(gone("the connection has ended"))),
                Err(_) => Err(CallError::Failed(waiter.give_up())),
            },
        }
    }
}

/// Who waits for one response.
pub(super) struct Waiter {
    pipe: Arc<Pipe>,
    id: u64,
    slot: Arc<Slot>,
    /// What had been heard of the peer when the request was made.
    heard: u64,
    ended: bool,
}

impl Waiter {
    pub(super) async fn next(&mut self) -> Item {
        let item = poll_fn(|cx| self.slot.poll(cx)).await;
        self.ended = matches!(item, Item::End(_));
        item
    }

    async fn next_until(&mut self, deadline: Instant) -> Result<Item, DownstreamError> {
        match timeout_at(deadline, self.next()).await {
            Ok(item) => Ok(item),
            Err(_) => Err(self.give_up()),
        }
    }

    /// The error of a caller whose patience ended.
    fn give_up(&self) -> DownstreamError {
        if self.pipe.heard() == self.heard {
            self.pipe.suspicion.notify_one();
        }
        if self.slot.withdraw() {
            return DownstreamError::not_sent(
                Fault::Timeout,
                "the server did not read the request before the deadline",
            );
        }
        DownstreamError::may_have_run(Fault::Timeout, "the deadline passed before the answer was there")
    }
}

/// The response; what comes before it says nothing to the connection itself.
pub(super) async fn response(waiter: &mut Waiter) -> Result<Bytes, DownstreamError> {
    loop {
        if let Item::End(end) = waiter.next().await {
            return end;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.ended || self.pipe.pending().remove(self.id).is_none() {
            return;
        }
        let unwritten = self.slot.withdraw() || !self.slot.is_written();
        if self.slot.is_cancelled() && !unwritten {
            self.pipe.post(cancelled(self.id).into_bytes());
        }
    }
}

/// A reply of which more than the response came.
struct CallStream {
    waiter: Waiter,
    first: Option<Early>,
    deadline: Instant,
    extension: Option<Extension>,
    /// Messages since the other tasks of the thread had a turn.
    in_turn: u32,
    era: Era,
}

impl CallStream {
    /// The server gave a sign of life.
    fn moved(&mut self) {
        if let Some(extension) = self.extension {
            self.deadline = extension.moved(self.deadline, Instant::now());
        }
    }

    async fn message(&mut self) -> Result<Message, DownstreamError> {
        if let Some(first) = self.first.take() {
            return Ok(early(first));
        }
        if self.waiter.ended {
            return Err(DownstreamError::may_have_run(Fault::Closed, "the reply is over"));
        }
        self.in_turn += 1;
        if self.in_turn >= TURN_MESSAGES_MAX {
            self.in_turn = 0;
            tokio::task::yield_now().await;
        }
        match self.waiter.next_until(self.deadline).await? {
            Item::Early(message) => {
                self.moved();
                Ok(early(message))
            }
            Item::End(end) => Ok(Message::Response(Answer { head: end?, rest: None, era: self.era })),
        }
    }
}

fn early(message: Early) -> Message {
    match message {
        Early::Notification(message) => Message::Notification(message),
        Early::Question(question) => Message::Request(question),
    }
}

impl MessageStream for CallStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(self.message())
    }

    fn extend(&mut self, by: Duration) {
        self.deadline = self.deadline.max(Instant::now() + by);
    }
}

/// Where the answer to a server's question goes. Dropped without one, it answers that there is none, since the server waits.
pub(super) struct Answering {
    pipe: Arc<Pipe>,
    id: String,
    answered: bool,
}

impl Answering {
    pub(super) fn new(pipe: Arc<Pipe>, id: &str) -> Self {
        Self { pipe, id: id.to_owned(), answered: false }
    }

    fn line(&self, outcome: &[u8]) -> Vec<u8> {
        let start = format!(r#"{{"jsonrpc":"2.0","id":{},"#, self.id);
        [start.as_bytes(), outcome, b"}"].concat()
    }
}

impl AnswerSink for Answering {
    fn answer(mut self: Box<Self>, outcome: Bytes) -> BoxFuture<'static, Result<(), DownstreamError>> {
        self.answered = true;
        Box::pin(async move {
            let frame = Frame::new(self.line(&outcome), None);
            match timeout(ANSWER_PATIENCE, self.pipe.outbox.send(frame)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(gone("the connection ended before the answer was sent")),
                Err(_) => Err(DownstreamError::not_sent(Fault::Timeout, "the server does not read the answer")),
            }
        })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.answered {
            self.pipe.post(self.line(br#""error":{"code":-32603,"message":"The caller gave no answer."}"#));
        }
    }
}
