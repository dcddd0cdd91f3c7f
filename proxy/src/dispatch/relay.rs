//! The way back: a server's reply in the client's words. A small answer is rewritten in one go, a long one while it passes, and
//! messages before the answer become events. Permit and trail stay with the reply until its last byte.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    Stream, StreamExt,
    future::{BoxFuture, ready},
};
use patchbay_core::{
    era::{Era, Version},
    json::{self, MessageHead},
    method::Method,
    rewrite::{self, Plan, RewriteError, Rewriter, Seen},
};
use patchbay_downstream::{
    Answer as ServerAnswer, Because, ByteStream, DownstreamError, Fault, Message, MessageStream, Question, Reply,
};
use patchbay_limit::Permit;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use super::{
    Answer, Cx, OUTCOME_NOT_KEPT,
    calls::Running,
    links,
    questions::{Open, Who},
    talk::Talk,
};
use crate::{
    audit::{NotKept, Trail},
    bridge::{
        self,
        ask::{self, Refused},
        notes,
    },
    caller::Capabilities,
    error::{Blame, GatewayError, server_text},
    metrics::{CallEnd, CallMeter},
    telemetry::log::{self, LogIds},
    tenancy::ServerHandle,
};

/// A longer answer is not copied together, but sent in pieces.
const JOINED_BYTES_MAX: usize = 16 * 1024;
/// The most questions that a server may ask within one call.
const QUESTIONS_MAX: usize = 16;
/// Messages of a server of which its caller hears nothing, one after the other, after which others on the thread have their turn.
const UNHEARD_MAX: u32 = 64;
/// What a question is answered that the client may not be asked any more.
const TOO_MANY: Refused = Refused { code: -32603, message: "Too many questions were asked within one call." };
/// What a question is answered to which nobody said anything in time.
const UNANSWERED: Refused = Refused { code: -32603, message: "The user gave no answer in time." };
/// What a question is answered when the client is of an era that is not asked like this.
const CANNOT_ASK: Refused = Refused { code: -32601, message: "This client cannot be asked." };

/// What the way back needs to know of the way out.
pub struct Relay {
    pub(super) cx: Cx,
    pub(super) plan: Plan,
    pub(super) method: Method,
    pub(super) server: Arc<ServerHandle>,
    pub(super) index: usize,
    pub(super) progress_token: Option<String>,
    /// What the server may ask the client.
    pub(super) offered: Capabilities,
    /// What the server has for the call, apart from the time of those whom it asks.
    pub(super) timeout: Duration,
    pub(super) trail: Trail,
    pub(super) meter: CallMeter,
    pub(super) _permit: Permit,
    /// What lines say that are written when the answer is polled by itself.
    pub(super) log: Option<LogIds>,
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
                let (body, seen) = self.rewritten(&head);
                self.kept().await?;
                let lacks = seen.error && self.plan.to == Era::Modern && bridge::lacks_capability(&body);
                Ok(if lacks { Answer::Lacking(body) } else { Answer::Whole(body) })
            }
            Reply::One(ServerAnswer { head, rest: Some(rest), era }) => {
                self.plan.from = era;
                if self.cx.tenant.view().uris.has_mapped(self.index) {
                    let body = match self.collect(head, rest).await {
                        Ok(whole) => self.whole(&whole),
                        Err(error) => self.failure(&error),
                    };
                    self.kept().await?;
                    return Ok(Answer::Whole(body));
                }
                Ok(Answer::Streaming(Streaming::new(self, head, rest)))
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
    async fn kept(&mut self) -> Result<(), GatewayError> {
        self.trail.kept().await.map_err(|_| OUTCOME_NOT_KEPT)
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
        if seen.error
            && let Some(trace) = self.trail.trace_mut().filter(|trace| trace.is_recorded())
        {
            trace.code(bridge::error_code(&body));
        }
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
            return bridge::error(&body, &self.method, &self.plan, self.offered, server).unwrap_or(body);
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

/// A reply of several messages, in the client's words.
pub struct Messages {
    relay: Relay,
    stream: Box<dyn MessageStream>,
    talk: Talk,
    /// Messages for the client that are made already.
    ready: VecDeque<Bytes>,
    /// Questions that went out; the one that can be answered until the earliest time is first.
    open: VecDeque<Open>,
    /// How many questions the server has asked.
    questions: usize,
    /// The ids of its questions by URL, of which it may say that they are done.
    elicitations: Vec<String>,
    running: Option<Running>,
    over: bool,
}

/// What ended a wait.
enum Woken {
    /// The server said something, or broke off.
    Said(Result<Message, DownstreamError>),
    /// A time has come: of a question, or of a step of progress.
    Due,
    /// The client took the request back.
    TakenBack,
}

impl Messages {
    fn new(relay: Relay, stream: Box<dyn MessageStream>) -> Self {
        Self {
            relay,
            stream,
            talk: Talk::new(),
            ready: VecDeque::new(),
            open: VecDeque::new(),
            questions: 0,
            elicitations: Vec::new(),
            running: None,
            over: false,
        }
    }

    /// The same messages, until the client takes the request back.
    #[must_use]
    pub fn until(mut self, running: Option<Running>) -> Self {
        self.running = running;
        self
    }

    /// The next message for the client; the response is the last, `None` comes after it.
    pub async fn next(&mut self) -> Option<Bytes> {
        let ids = self.relay.log;
        log::within(ids, pin!(self.next_one())).await
    }

    async fn next_one(&mut self) -> Option<Bytes> {
        let mut unheard = 0;
        loop {
            if !self.over && self.running.as_ref().is_some_and(|running| running.token.is_cancelled()) {
                self.taken_back();
            }
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.over {
                return None;
            }
            match self.woken().await {
                Woken::TakenBack => self.taken_back(),
                Woken::Due => self.due().await,
                Woken::Said(Ok(Message::Notification(message))) => self.notification(&message),
                Woken::Said(Ok(Message::Request(question))) => self.question(question).await,
                Woken::Said(Ok(Message::Response(answer))) => {
                    self.last_words();
                    let body = self.response(answer).await;
                    self.ready.push_back(body);
                }
                Woken::Said(Err(error)) => {
                    self.last_words();
                    self.over = true;
                    let body = self.relay.failure(&error);
                    let body = self.kept(body).await;
                    self.ready.push_back(body);
                }
            }
            unheard += 1;
            if unheard % UNHEARD_MAX == 0 {
                yield_now().await;
            }
        }
    }

    /// Waits for what comes first. The server's message is asked for last, so that one that never falls silent keeps nothing from
    /// its time.
    async fn woken(&mut self) -> Woken {
        let due = self.open.front().map(|question| question.until).into_iter().chain(self.talk.due()).min();
        if due.is_some_and(|due| due <= Instant::now()) {
            return Woken::Due;
        }
        let Self { stream, running, .. } = self;
        let said = async {
            match due {
                None => Woken::Said(stream.next().await),
                Some(due) => timeout_at(due, stream.next()).await.map_or(Woken::Due, Woken::Said),
            }
        };
        match running {
            None => said.await,
            Some(running) => tokio::select! {
                biased;
                () = running.token.cancelled() => Woken::TakenBack,
                woken = said => woken,
            },
        }
    }

    /// The client took the request back: the server is told at once, and the client hears nothing more.
    fn taken_back(&mut self) {
        self.over = true;
        self.ready.clear();
        self.open.clear();
        let _because = self.running.as_ref().and_then(|running| running.token.reason()).map(Because::of);
        self.stream = Box::new(Gone);
    }

    /// Lets the step of progress pass that waited, and gives up questions to which nobody said anything.
    async fn due(&mut self) {
        let now = Instant::now();
        if self.talk.due().is_some_and(|due| due <= now) {
            self.ready.extend(self.talk.held());
        }
        while let Some(question) = self.open.pop_front_if(|question| question.until <= now) {
            let Some(pending) = question.withdraw() else { continue };
            self.ready.push_back(notes::cancelled(&question.id, UNANSWERED.message));
            pending.answer(UNANSWERED.outcome()).await;
        }
    }

    /// What the client hears before the response: nothing comes after it.
    fn last_words(&mut self) {
        let withdrawn = self.open.drain(..).filter(|question| question.withdraw().is_some());
        let withdrawn = withdrawn.map(|question| notes::cancelled(&question.id, "the call that asked has ended"));
        self.ready.extend(withdrawn.chain(self.talk.last_words(self.relay.server.slug.as_str())));
    }

    async fn response(&mut self, answer: ServerAnswer) -> Bytes {
        self.over = true;
        self.relay.plan.from = answer.era;
        let body = match answer.rest {
            None => self.relay.whole(&answer.head),
            Some(rest) => match self.relay.collect(answer.head, rest).await {
                Ok(whole) => self.relay.whole(&whole),
                Err(error) => self.relay.failure(&error),
            },
        };
        self.kept(body).await
    }

    /// The answer, once its outcome is kept; what is said instead when it is not.
    async fn kept(&mut self, body: Bytes) -> Bytes {
        let Err(error) = self.relay.kept().await else { return body };
        warn!(%error, "an answer was held back");
        self.relay.cx.app.metrics.error(Blame::Gateway);
        let facts = error.facts(self.relay.plan.to);
        crate::error::error_body(Some(&self.relay.plan.id), facts.code, &facts.public, None).into()
    }

    /// Progress goes to the caller that asked for it, log messages to the one that wants their level.
    fn notification(&mut self, message: &Bytes) {
        let message = self.heard(message);
        self.pass(message);
    }

    /// Hands a message on, after the step of progress that waits.
    fn pass(&mut self, message: Option<Bytes>) {
        if let Some(message) = message {
            self.ready.extend(self.talk.held().into_iter().chain([message]));
        }
    }

    fn heard(&mut self, message: &Bytes) -> Option<Bytes> {
        let head = MessageHead::read(std::str::from_utf8(message).ok()?).ok()?;
        let caller = &self.relay.cx.caller;
        match &*head.method_name()? {
            "notifications/progress" => {
                self.talk.progress(message, self.relay.progress_token.as_deref()?, Instant::now())
            }
            "notifications/message" => {
                self.talk.log(message, caller.log_level?, self.relay.server.slug.as_str(), Instant::now())
            }
            "notifications/elicitation/complete" if caller.version == Version::NEWEST_LEGACY => {
                let id = json::at_path(head.params?, &["elicitationId"]).and_then(json::unquote)?;
                self.elicitations.iter().any(|asked| *asked == id).then(|| message.clone())
            }
            "notifications/cancelled" => {
                let theirs = json::at_path(head.params?, &["requestId"])?;
                let at = self.open.iter().position(|question| &*question.theirs == theirs)?;
                let question = self.open.remove(at)?;
                question.withdraw()?;
                let reason = json::at_path(head.params?, &["reason"]).and_then(json::unquote);
                Some(notes::cancelled(&question.id, reason.as_deref().unwrap_or("the server no longer waits")))
            }
            _ => None,
        }
    }

    /// Hands a question to the client, or answers it when the client is not to be asked.
    async fn question(&mut self, question: Question) {
        self.questions += 1;
        let Question { message, answer } = question;
        let (refused, answer) = match self.judged(&message) {
            Err(refused) => (refused, answer),
            Ok((asked, theirs)) => {
                let (cx, limits) = (&self.relay.cx, &self.relay.cx.app.config.limits);
                let who = Who { tenant: cx.tenant.id(), principal: cx.principal.digest(), session: cx.caller.share };
                match cx.app.questions.ask(&asked, theirs, answer, who, Instant::now() + limits.answer) {
                    Ok((message, open)) => {
                        // A person's time is none of the server's; it has its own again afterwards.
                        self.stream.extend(limits.answer + self.relay.timeout);
                        self.elicitations.extend(asked.elicitation_id().filter(|_| asked.is_url()).map(Into::into));
                        self.open.push_back(open);
                        return self.pass(Some(message));
                    }
                    Err(answer) => (TOO_MANY, answer),
                }
            }
        };
        let server = self.relay.server.slug.as_str();
        debug!(server, why = refused.message, "server {server} asked what it may not ask");
        if let Err(error) = answer.answer(refused.outcome()).await {
            debug!(%error, "a question could not be turned down");
        }
    }

    /// The question as the client may be asked, with the server's id.
    fn judged<'a>(&self, message: &'a Bytes) -> Result<(ask::Asked, &'a str), Refused> {
        let broken = Refused { code: -32600, message: "This is no request." };
        let head = MessageHead::read(std::str::from_utf8(message).map_err(|_| broken)?).map_err(|_| broken)?;
        let (method, theirs) = head.method_name().zip(head.id).ok_or(broken)?;
        if self.questions > QUESTIONS_MAX {
            return Err(TOO_MANY);
        }
        if self.relay.cx.caller.era() == Era::Modern {
            return Err(CANNOT_ASK);
        }
        let asked = ask::put(&method, head.params, self.relay.offered, self.relay.server.slug.as_str())?;
        Ok((asked, theirs))
    }
}

/// In the place of a reply that was given up.
struct Gone;

impl MessageStream for Gone {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(ready(Err(DownstreamError::may_have_run(Fault::Closed, "the request was taken back"))))
    }
}
