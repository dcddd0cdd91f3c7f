//! The way back: a server's reply in the client's words. A small answer is rewritten in one go, a long one while it passes, and
//! messages before the answer become events. Permit and trail stay with the reply until its last byte.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
    method::Method,
    rewrite::{self, Plan, RewriteError, Rewriter, Seen},
};
use patchbay_downstream::{
    Answer as ServerAnswer, ByteStream, DownstreamError, Fault, Message, MessageStream, Question, Reply,
};
use patchbay_limit::Permit;
use std::sync::Arc;
use tracing::warn;

use super::{Answer, Cx, calls::Running, links, questions::Asked};
use crate::{
    audit::Trail,
    bridge,
    caller::LogLevel,
    error::{Blame, GatewayError, server_text},
    metrics::{CallEnd, CallMeter},
    tenancy::ServerHandle,
};

/// A longer answer is not copied together, but sent in pieces.
const JOINED_BYTES_MAX: usize = 16 * 1024;
/// The most questions that a server may ask within one call.
const QUESTIONS_MAX: usize = 16;

/// What the way back needs to know of the way out.
pub struct Relay {
    pub(super) cx: Cx,
    pub(super) plan: Plan,
    pub(super) method: Method,
    pub(super) server: Arc<ServerHandle>,
    pub(super) index: usize,
    pub(super) progress_token: Option<String>,
    pub(super) trail: Trail,
    pub(super) meter: CallMeter,
    pub(super) _permit: Permit,
}

impl Relay {
    /// Turns a reply into an answer.
    pub(super) async fn reply(mut self, reply: Reply) -> Result<Answer, GatewayError> {
        match reply {
            Reply::One(ServerAnswer { head, rest: None, era }) => {
                self.plan.from = era;
                if let Some(pieces) = self.pieces(&head) {
                    return Ok(Answer::Pieces(pieces));
                }
                let (body, seen) = self.rewritten(&head);
                let lacks = seen.error && self.plan.to == Era::Modern && bridge::lacks_capability(&body);
                Ok(if lacks { Answer::Lacking(body) } else { Answer::Whole(body) })
            }
            Reply::One(ServerAnswer { head, rest: Some(rest), era }) => {
                self.plan.from = era;
                if self.cx.tenant.view().uris.has_mapped(self.index) {
                    return Ok(match self.collect(head, rest).await {
                        Ok(whole) => Answer::Whole(self.whole(&whole)),
                        Err(error) => self.failed(&error),
                    });
                }
                Ok(Answer::Streaming(Streaming::new(self, head, rest)))
            }
            Reply::Stream(stream) => Ok(Answer::Messages(Messages::new(self, stream))),
        }
    }

    /// The answer to a request that got none from its server: for a tool words for the model, else an error.
    pub(super) fn failed(mut self, error: &DownstreamError) -> Answer {
        Answer::Whole(self.failure(error))
    }

    fn failure(&mut self, error: &DownstreamError) -> Bytes {
        let server = self.server.slug.as_str();
        warn!(tenant = %self.cx.tenant.snapshot().slug, server, %error, "server {server} gave no answer");
        self.cx.app.metrics.error(Blame::Server);
        let body = if self.method == Method::ToolsCall {
            bridge::tool_error(&self.plan.id, &server_text(server, error), self.plan.to == Era::Modern)
        } else {
            let error = GatewayError::Server { server: server.to_owned(), source: error.clone() };
            let facts = error.facts(self.plan.to);
            crate::error::error_body(Some(&self.plan.id), facts.code, &facts.public, None).into()
        };
        self.trail.failed(fault_label(error.fault), body.len());
        self.meter.end(CallEnd::Failed);
        body
    }

    /// A response that is wholly here, in the client's words. Closes the trail.
    fn whole(&mut self, message: &Bytes) -> Bytes {
        self.rewritten(message).0
    }

    /// The same for a long one of which nothing more has to be done than the rewriting. Closes the trail if it is one.
    fn pieces(&mut self, message: &Bytes) -> Option<Vec<Bytes>> {
        if message.len() <= JOINED_BYTES_MAX || self.cx.tenant.view().uris.has_mapped(self.index) {
            return None;
        }
        let (pieces, seen) = rewrite::pieces(message, self.plan.clone()).ok()?;
        if seen.error || seen.incomplete {
            return None;
        }
        self.done(seen, pieces.iter().map(Bytes::len).sum());
        Some(pieces)
    }

    /// A response that is wholly here, with what was seen in it.
    fn rewritten(&mut self, message: &Bytes) -> (Bytes, Seen) {
        let (body, seen) = match rewrite::whole(message, self.plan.clone()) {
            Ok(rewritten) => rewritten,
            Err(error) => return (self.failure(&protocol_fault(error)), Seen::default()),
        };
        let body = self.translated(body, seen);
        self.done(seen, body.len());
        (body, seen)
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
            let other = bridge::error(&body, &self.method, self.plan.from, self.plan.to, &self.plan.id, server);
            return other.unwrap_or(body);
        }
        if seen.incomplete && self.plan.to == Era::Legacy {
            return bridge::cannot_ask(&self.method, &self.plan.id, server, "");
        }
        let uris = &self.cx.tenant.view().uris;
        if uris.has_mapped(self.index) { links::map(&body, |uri| uris.to_exposed(self.index, uri)) } else { body }
    }

    async fn collect(&self, head: Bytes, mut rest: ByteStream) -> Result<Bytes, DownstreamError> {
        let bytes_max = self.cx.app.config.limits.response_bytes_max;
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
    over: bool,
}

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
            over: false,
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<(), DownstreamError> {
        self.rewriter.push(chunk, &mut self.pieces).map_err(protocol_fault)?;
        if self.rewriter.seen().incomplete && self.relay.plan.to == Era::Legacy {
            return Err(DownstreamError::may_have_run(Fault::Protocol, "a question too long to be carried"));
        }
        self.ready.extend(self.pieces.drain(..));
        Ok(())
    }

    /// At the end of the server's bytes: closes the trail before the last chunk leaves.
    fn end(&mut self) -> Result<(), DownstreamError> {
        let seen = self.rewriter.finish().map_err(protocol_fault)?;
        let last: usize = self.ready.iter().map(Bytes::len).sum();
        self.relay.done(seen, self.bytes + last);
        Ok(())
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
                None => this.end().map(|()| this.over = true),
            };
            if let Err(error) = outcome {
                return Poll::Ready(Some(Err(this.broke(&error))));
            }
        }
    }
}

/// A reply of several messages, in the client's words.
pub struct Messages {
    relay: Relay,
    stream: Box<dyn MessageStream>,
    last_progress: f64,
    asked: Vec<Asked>,
    running: Option<Running>,
    over: bool,
}

impl Messages {
    fn new(relay: Relay, stream: Box<dyn MessageStream>) -> Self {
        Self { relay, stream, last_progress: f64::NEG_INFINITY, asked: Vec::new(), running: None, over: false }
    }

    /// The same messages, until the client takes the request back.
    #[must_use]
    pub fn until(mut self, running: Option<Running>) -> Self {
        self.running = running;
        self
    }

    /// The next message for the client; the response is the last, `None` comes after it.
    pub async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            let message = match &self.running {
                None => self.stream.next().await,
                Some(running) => tokio::select! {
                    biased;
                    () = running.token.cancelled() => {
                        self.over = true;
                        return None;
                    }
                    message = self.stream.next() => message,
                },
            };
            match message {
                Ok(Message::Notification(message)) => {
                    if let Some(message) = self.notification(&message) {
                        return Some(message);
                    }
                }
                Ok(Message::Request(question)) => {
                    if let Some(message) = self.question(question).await {
                        return Some(message);
                    }
                }
                Ok(Message::Response(answer)) => return Some(self.response(answer).await),
                Err(error) => {
                    self.over = true;
                    return Some(self.relay.failure(&error));
                }
            }
        }
        None
    }

    async fn response(&mut self, answer: ServerAnswer) -> Bytes {
        self.over = true;
        self.asked.clear();
        self.relay.plan.from = answer.era;
        match answer.rest {
            None => self.relay.whole(&answer.head),
            Some(rest) => match self.relay.collect(answer.head, rest).await {
                Ok(whole) => self.relay.whole(&whole),
                Err(error) => self.relay.failure(&error),
            },
        }
    }

    /// Progress goes to the caller that asked for it, log messages to the one that wants their level.
    fn notification(&mut self, message: &Bytes) -> Option<Bytes> {
        let text = std::str::from_utf8(message).ok()?;
        let head = MessageHead::read(text).ok()?;
        match Method::of(&head.method_name()?) {
            Method::Progress => {
                bridge::progress(message, self.relay.progress_token.as_deref()?, &mut self.last_progress)
            }
            Method::Other(name) if &*name == "notifications/message" => {
                let wanted = self.relay.cx.caller.log_level?;
                let level = bridge::log_level(message)?;
                (LogLevel::parse(&level)? >= wanted).then(|| message.clone())
            }
            _ => None,
        }
    }

    /// Hands a question to the client, or answers it for a client that cannot be asked.
    async fn question(&mut self, question: Question) -> Option<Bytes> {
        let cx = &self.relay.cx;
        let text = std::str::from_utf8(&question.message).unwrap_or_default();
        let method = MessageHead::read(text).ok().and_then(|head| head.method_name().map(|name| name.into_owned()));
        let form = json::at_path(text, &["params", "mode"]).is_none_or(|mode| mode == "\"form\"");
        let may = method.as_deref() == Some("elicitation/create")
            && form
            && cx.caller.can.elicitation
            && cx.caller.era() == Era::Legacy
            && self.asked.len() < QUESTIONS_MAX;
        let sink = if may {
            match cx.app.questions.ask(&question.message, question.answer, cx.tenant.id(), cx.principal.digest()) {
                Ok((message, asked)) => {
                    self.asked.push(asked);
                    return Some(message);
                }
                Err(sink) => sink,
            }
        } else {
            question.answer
        };
        let refusal = Bytes::from_static(br#""error":{"code":-32601,"message":"this client cannot be asked that"}"#);
        if let Err(error) = sink.answer(refusal).await {
            warn!(%error, "a question could not be turned down");
        }
        None
    }
}
