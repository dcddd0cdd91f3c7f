//! The way back: a server's reply in the client's words. A small answer is rewritten in one go, a long one while it passes, and
//! messages before the answer become events. Permit and trail stay with the reply until its last byte.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
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
    snapshot::ServerEntry,
};
use patchbay_downstream::{
    Answer as ServerAnswer, Because, ByteStream, DownstreamError, Fault, Message, MessageStream, Question, Reply,
};
use patchbay_limit::Permit;
use std::sync::Arc;
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use super::{
    Answer, Cx, OUTCOME_NOT_KEPT,
    calls::Running,
    extensions::{self, About},
    links,
    questions::{Open, Who},
    rounds::Again,
    state::asking::ASKING_BYTES_MAX,
    talk::Talk,
    tasks,
};
use crate::{
    audit::{NotKept, Trail},
    bridge::{
        self,
        ask::{self, Refused},
        notes,
    },
    error::{Blame, GatewayError, server_text},
    metrics::{CallEnd, CallMeter, QuestionEnd},
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
                let bytes_max = if rewrite::begins_asking(&head) {
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
    fn turned(&mut self, message: &Bytes) -> Turned {
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
async fn collect(head: Bytes, mut rest: ByteStream, bytes_max: usize) -> Result<Bytes, DownstreamError> {
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

/// A reply of several messages, in the client's words.
pub struct Messages {
    pub(super) relay: Relay,
    pub(super) stream: Box<dyn MessageStream>,
    talk: Talk,
    /// Messages for the client that are made already.
    pub(super) ready: VecDeque<Bytes>,
    /// Questions that went out; the one that can be answered until the earliest time is first.
    open: VecDeque<Open>,
    /// How many questions the server has asked.
    questions: usize,
    /// The ids of its questions by URL, of which it may say that they are done.
    elicitations: Vec<String>,
    running: Option<Running>,
    /// Nothing comes after what is ready.
    pub(super) over: bool,
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
    pub(super) fn new(relay: Relay, stream: Box<dyn MessageStream>) -> Self {
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

    /// Whether nothing comes any more: the message that was given last is the response, if one was given.
    pub fn is_over(&self) -> bool {
        self.over && self.ready.is_empty()
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
                Woken::Said(Ok(Message::Request(question))) if self.relay.plan.to == Era::Modern => {
                    self.ask_apart(question).await;
                }
                Woken::Said(Ok(Message::Request(question))) => self.question(question).await,
                Woken::Said(Ok(Message::Response(answer))) => self.response(answer).await,
                Woken::Said(Err(error)) => self.broken(&error).await,
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
    pub(super) fn last_words(&mut self) {
        let withdrawn = self.open.drain(..).filter(|question| question.withdraw().is_some());
        let withdrawn = withdrawn.map(|question| notes::cancelled(&question.id, "the call that asked has ended"));
        self.ready.extend(withdrawn.chain(self.talk.last_words(self.relay.server.slug.as_str())));
    }

    /// Makes the response ready; when the server asks first, other messages come instead.
    pub(super) async fn response(&mut self, answer: ServerAnswer) {
        self.last_words();
        self.relay.plan.from = answer.era;
        let bytes_max = self.relay.cx.app.config.limits.response_bytes_max;
        let turned = match answer.rest {
            None => self.relay.turned(&answer.head),
            Some(rest) => match collect(answer.head, rest, bytes_max).await {
                Ok(whole) => self.relay.turned(&whole),
                Err(error) => Turned::whole(self.relay.failure(&error)),
            },
        };
        match turned {
            Turned::Answer(body, _) => {
                self.over = true;
                let body = self.kept(body).await;
                self.ready.push_back(body);
            }
            Turned::Further(stream) => self.stream = stream,
        }
    }

    /// Makes ready what the client is told of a server that broke off.
    pub(super) async fn broken(&mut self, error: &DownstreamError) {
        self.last_words();
        self.over = true;
        let body = self.relay.failure(error);
        let body = self.kept(body).await;
        self.ready.push_back(body);
    }

    /// The answer, once its outcome is kept; what is said instead when it is not.
    pub(super) async fn kept(&mut self, body: Bytes) -> Bytes {
        let Err(error) = self.relay.kept().await else { return body };
        warn!(%error, "an answer was held back");
        self.relay.cx.app.metrics.error(Blame::Gateway);
        let facts = error.facts(self.relay.plan.to);
        crate::error::error_body(Some(&self.relay.plan.id), facts.code, &facts.public, None).into()
    }

    /// Progress goes to the caller that asked for it, log messages to the one that wants their level.
    pub(super) fn notification(&mut self, message: &Bytes) {
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
                        self.stream.extend(limits.answer + self.relay.asking.timeout);
                        if self.relay.plan.from == Era::Legacy {
                            // Those of a modern server were counted together, by their round.
                            cx.app.metrics.question(QuestionEnd::Asked);
                        }
                        self.elicitations.extend(asked.elicitation_id().filter(|_| asked.is_url()).map(Into::into));
                        self.open.push_back(open);
                        return self.pass(Some(message));
                    }
                    Err(answer) => (TOO_MANY, answer),
                }
            }
        };
        let server = self.relay.server.slug.as_str();
        self.relay.cx.app.metrics.question(QuestionEnd::Refused);
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
        Ok((self.relay.put(&method, head.params)?, theirs))
    }
}

/// In the place of a reply that was given up.
struct Gone;

impl MessageStream for Gone {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(ready(Err(DownstreamError::may_have_run(Fault::Closed, "the request was taken back"))))
    }
}
