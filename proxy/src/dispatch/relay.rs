//! The way back: a server's reply in the client's words. A small answer is rewritten in one go, a long one while it passes, and
//! messages before the answer become events. Permit and trail stay with the reply until its last byte.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use patchbay_core::{
    era::Era,
    method::Method,
    rewrite::{self, Plan, RewriteError, Rewriter, Seen},
    snapshot::ServerEntry,
};
use patchbay_downstream::{Answer as ServerAnswer, ByteStream, DownstreamError, Fault, MessageStream, Reply};
use patchbay_limit::Permit;
use std::sync::Arc;
use tracing::warn;

use super::{
    Answer, Cx, OUTCOME_NOT_KEPT,
    extensions::{self, About},
    links,
    messages::Messages,
    rounds::Again,
    state::asking::ASKING_BYTES_MAX,
    tasks,
};
use crate::{
    audit::{NotKept, Trail},
    bridge,
    error::{Blame, GatewayError, server_text},
    metrics::{CallEnd, CallMeter},
    telemetry::log::{self, LogIds},
    tenancy::ServerHandle,
};

/// A longer answer is not copied together, but sent in pieces.
const JOINED_BYTES_MAX: usize = 16 * 1024;
/// What the way back needs to know of the way out.
pub struct Relay {
    pub(super) cx: Cx,
    pub(super) plan: Plan,
    pub(super) method: Method,
    pub(super) server: Arc<ServerHandle>,
    pub(super) index: usize,
    /// What an extension has to know of the way out.
    pub(super) about: Option<Box<About>>,
    pub(super) progress_token: Option<String>,
    pub(super) trail: Trail,
    pub(super) meter: CallMeter,
    pub(super) _permit: Permit,
    /// What lines say that are written when the answer is polled by itself.
    pub(super) log: Option<LogIds>,
    pub(super) asking: Asking,
}

/// What is needed when the server has questions before it answers.
#[derive(Default)]
pub(super) struct Asking {
    /// The params as a modern client sent them; empty for a legacy one.
    pub(super) params: Bytes,
    /// Rounds of questions that this call has had.
    pub(super) round: u8,
    /// Whether this request comes after the user was sent to a URL.
    pub(super) is_afresh: bool,
    /// Whether this request brings answers.
    pub(super) is_answer: bool,
    /// Questions of a legacy server that a modern client was asked.
    pub(super) keys: u32,
    /// The time of the call, begun anew when it goes on after answers.
    pub(super) timeout: Duration,
    /// How a modern server is asked again for a legacy client.
    pub(super) again: Option<Arc<Again>>,
}

/// What a response has become.
pub(super) enum Turned {
    /// The answer.
    Answer(Bytes, Seen),
    /// The server asks first: these messages come instead.
    Further(Box<dyn MessageStream>),
}

impl Turned {
    /// An answer of which nothing more is to be known.
    pub(super) fn whole(body: Bytes) -> Self {
        Self::Answer(body, Seen::default())
    }
}

impl Relay {
    /// Turns a reply into an answer.
    pub(super) async fn reply(mut self, reply: Reply) -> Result<Answer, GatewayError> {
        match reply {
            Reply::One(ServerAnswer { head, rest: None, era }) => {
                self.plan.from = era;
                if let Some(pieces) = self.pieces(&head) {
                    self.kept().await?;
                    return Ok(Answer::Pieces(pieces));
                }
                let (body, seen) = match self.turned(&head) {
                    Turned::Answer(body, seen) => (body, seen),
                    Turned::Further(messages) => return Ok(Answer::Messages(Messages::new(self, messages))),
                };
                self.kept().await?;
                let lacks = seen.error && self.plan.to == Era::Modern && bridge::lacks_capability(&body);
                Ok(if lacks { Answer::Lacking(body) } else { Answer::Whole(body) })
            }
            Reply::One(ServerAnswer { head, rest: Some(rest), era }) => {
                self.plan.from = era;
                let bytes_max = if rewrite::begins_asking(&head, &self.plan) {
                    ASKING_BYTES_MAX
                } else if self.wants_all() {
                    self.cx.app.config.limits.response_bytes_max
                } else {
                    return Ok(Answer::Streaming(Streaming::new(self, head, rest)));
                };
                let turned = match collect(head, rest, bytes_max).await {
                    Ok(whole) => self.turned(&whole),
                    Err(error) => Turned::whole(self.failure(&error)),
                };
                match turned {
                    Turned::Answer(body, _) => {
                        self.kept().await?;
                        Ok(Answer::Whole(body))
                    }
                    Turned::Further(messages) => Ok(Answer::Messages(Messages::new(self, messages))),
                }
            }
            Reply::Stream(stream) => Ok(Answer::Messages(Messages::new(self, stream))),
        }
    }

    /// The answer to a request that got none from its server: for a tool words for the model, else an error.
    ///
    /// # Errors
    /// As [`Self::kept`].
    pub(super) async fn failed(mut self, error: &DownstreamError) -> Result<Answer, GatewayError> {
        let body = self.failure(error);
        self.kept().await?;
        Ok(Answer::Whole(body))
    }

    /// Waits until the outcome is kept as surely as the tenant wants it; the answer must not leave before.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) async fn kept(&mut self) -> Result<(), GatewayError> {
        self.trail.kept().await.map_err(|_| OUTCOME_NOT_KEPT)
    }

    /// What is answered for a server that gave no answer. Closes the trail.
    pub(super) fn failure(&mut self, error: &DownstreamError) -> Bytes {
        let server = self.server.slug.as_str();
        warn!(tenant = %self.cx.tenant.snapshot().slug, server, %error, "server {server} gave no answer");
        self.cx.app.metrics.error(Blame::Server);
        let mut text = server_text(server, error);
        if self.asking.is_answer {
            text.push_str(" The answers are used up: whoever calls again is asked again.");
        }
        let body = bridge::for_the_model(&self.method, &self.plan.id, &text, self.plan.to);
        self.trail.failed(fault_label(error.fault), body.len());
        self.meter.end(CallEnd::Failed);
        body
    }

    /// Whether an answer has to be wholly there before it can be put in the client's words.
    fn wants_all(&self) -> bool {
        self.cx.tenant.view().uris.has_mapped(self.index) || self.about.as_ref().is_some_and(|about| about.wants_all())
    }

    /// The same for a long one of which nothing more has to be done than the rewriting. Closes the trail if it is one.
    fn pieces(&mut self, message: &Bytes) -> Option<Vec<Bytes>> {
        if message.len() <= JOINED_BYTES_MAX || self.wants_all() {
            return None;
        }
        let (pieces, seen) = rewrite::pieces(message, self.plan.clone()).ok()?;
        if seen.error || seen.incomplete || seen.task {
            return None;
        }
        self.done(seen, pieces.iter().map(Bytes::len).sum());
        Some(pieces)
    }

    /// A response that is wholly here, in the client's words, with what was seen in it. Closes the trail unless the call goes on.
    pub(super) fn turned(&mut self, message: &Bytes) -> Turned {
        let (body, seen) = match rewrite::whole(message, self.plan.clone()) {
            Ok(rewritten) => rewritten,
            Err(error) => return Turned::whole(self.failure(&protocol_fault(error))),
        };
        if seen.incomplete
            && let Some(turned) = self.incomplete(message, &body)
        {
            return turned;
        }
        if seen.error
            && let Some(body) = self.asks_urls(&body)
        {
            return Turned::whole(body);
        }
        let body = self.translated(body, seen);
        if seen.error
            && let Some(trace) = self.trail.trace_mut().filter(|trace| trace.is_recorded())
        {
            trace.code(bridge::error_code(&body));
        }
        self.done(seen, body.len());
        Turned::Answer(body, seen)
    }

    /// The server has answered: closes the trail, and counts the call.
    fn done(&mut self, seen: Seen, bytes: usize) {
        self.trail.done(seen.error, seen.is_error, bytes);
        self.meter.end(match seen {
            Seen { error: true, .. } => CallEnd::Error,
            Seen { is_error: true, .. } => CallEnd::ToolError,
            _ => CallEnd::Answered,
        });
    }

    /// What the rewriting on the way cannot do: codes of the other era, questions that cannot be carried, mapped URIs.
    fn translated(&self, body: Bytes, seen: Seen) -> Bytes {
        let server = self.server.slug.as_str();
        if seen.error {
            return bridge::error(&body, &self.method, &self.plan, self.offered(), server).unwrap_or(body);
        }
        if seen.task {
            return tasks::begun(self, &body);
        }
        if seen.incomplete && self.plan.to == Era::Legacy {
            return bridge::cannot_ask(&self.method, &self.plan.id, server, "");
        }
        if let Some(body) = self.about.as_deref().and_then(|about| extensions::translated(self, about, &body)) {
            return body;
        }
        let uris = &self.cx.tenant.view().uris;
        if uris.has_mapped(self.index) { links::map(&body, |uri| uris.to_exposed(self.index, uri)) } else { body }
    }

    /// The server as the tenant's snapshot has it.
    pub(super) fn entry(&self) -> &ServerEntry {
        &self.cx.tenant.snapshot().servers[self.index]
    }
}

/// All of a long response, up to a bound.
pub(super) async fn collect(head: Bytes, mut rest: ByteStream, bytes_max: usize) -> Result<Bytes, DownstreamError> {
    let mut whole = BytesMut::from(&head[..]);
    while let Some(chunk) = rest.next().await {
        let chunk = chunk?;
        if whole.len() + chunk.len() > bytes_max {
            return Err(DownstreamError::may_have_run(Fault::TooLarge, "the answer is over the bound"));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

fn protocol_fault(error: RewriteError) -> DownstreamError {
    let fault = if error == RewriteError::Short { Fault::Closed } else { Fault::Protocol };
    DownstreamError::may_have_run(fault, error.to_string())
}

/// The word for a fault in the trail.
pub const fn fault_label(fault: Fault) -> &'static str {
    match fault {
        Fault::Unavailable => "unavailable",
        Fault::Busy => "busy",
        Fault::Timeout => "timeout",
        Fault::Closed => "closed",
        Fault::Protocol => "protocol",
        Fault::Refused(_) => "refused",
        Fault::SignIn => "sign_in",
        Fault::TooLarge => "too_large",
        Fault::SessionLost => "session_lost",
    }
}

/// A long answer on its way through. Ends with an error, and so with a broken response, when the server breaks off: a short
/// answer is never passed off as whole.
pub struct Streaming {
    relay: Relay,
    rewriter: Rewriter,
    first: Option<Bytes>,
    rest: ByteStream,
    ready: VecDeque<Bytes>,
    pieces: Vec<Bytes>,
    bytes: usize,
    /// The server's end is known; its last piece waits for the outcome to be on the disk.
    keeping: Option<Keeping>,
    over: bool,
}

type Keeping = Pin<Box<dyn Future<Output = Result<(), NotKept>>>>;

/// A long answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the server's answer broke off")]
pub struct BrokeOff;

impl Streaming {
    fn new(relay: Relay, head: Bytes, rest: ByteStream) -> Self {
        let rewriter = Rewriter::new(relay.plan.clone());
        Self {
            relay,
            rewriter,
            first: Some(head),
            rest,
            ready: VecDeque::new(),
            pieces: Vec::new(),
            bytes: 0,
            keeping: None,
            over: false,
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<(), DownstreamError> {
        self.rewriter.push(chunk, &mut self.pieces).map_err(protocol_fault)?;
        // What asks says so early, or is not handed on: its state would be the server's own.
        if self.rewriter.seen().incomplete {
            return Err(DownstreamError::may_have_run(Fault::Protocol, "a question too long to be carried"));
        }
        if self.rewriter.seen().task {
            return Err(DownstreamError::may_have_run(Fault::Protocol, "a task that begins with too long an answer"));
        }
        self.ready.extend(self.pieces.drain(..));
        Ok(())
    }

    /// At the end of the server's bytes: closes the trail before the last chunk leaves.
    fn end(&mut self) -> Result<(), DownstreamError> {
        let seen = self.rewriter.finish().map_err(protocol_fault)?;
        let last: usize = self.ready.iter().map(Bytes::len).sum();
        self.relay.done(seen, self.bytes + last);
        match self.relay.trail.keeping() {
            None => self.over = true,
            Some(keeping) => self.keeping = Some(Box::pin(keeping)),
        }
        Ok(())
    }

    /// The outcome is not on the disk, so the answer must not leave whole.
    fn not_kept(&mut self) -> BrokeOff {
        warn!("an answer was broken off, since its audit record is not on the disk");
        self.relay.cx.app.metrics.error(Blame::Gateway);
        self.over = true;
        self.ready.clear();
        BrokeOff
    }

    fn broke(&mut self, error: &DownstreamError) -> BrokeOff {
        let server = self.relay.server.slug.as_str();
        warn!(server, %error, "server {server} broke off in the middle of an answer");
        self.relay.cx.app.metrics.error(Blame::Server);
        self.relay.trail.broken(fault_label(error.fault), self.bytes);
        self.relay.meter.end(CallEnd::Broken);
        self.over = true;
        self.ready.clear();
        BrokeOff
    }
}

impl Stream for Streaming {
    type Item = Result<Bytes, BrokeOff>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let _entered = log::enter(this.relay.log);
        loop {
            // The last piece is kept back until the server's end is known, so that the trail is closed before it leaves.
            let whole = this.over;
            if this.ready.len() > usize::from(!whole)
                && let Some(piece) = this.ready.pop_front()
            {
                this.bytes += piece.len();
                return Poll::Ready(Some(Ok(piece)));
            }
            if whole {
                return Poll::Ready(None);
            }
            if let Some(keeping) = &mut this.keeping {
                match keeping.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(NotKept)) => return Poll::Ready(Some(Err(this.not_kept()))),
                    Poll::Ready(Ok(())) => {
                        this.keeping = None;
                        this.over = true;
                        continue;
                    }
                }
            }
            let chunk = match this.first.take() {
                Some(first) => Some(Ok(first)),
                None => match this.rest.poll_next_unpin(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(chunk) => chunk,
                },
            };
            let outcome = match chunk {
                Some(Ok(chunk)) => this.take(&chunk),
                Some(Err(error)) => Err(error),
                None => this.end(),
            };
            if let Err(error) = outcome {
                return Poll::Ready(Some(Err(this.broke(&error))));
            }
        }
    }
}
