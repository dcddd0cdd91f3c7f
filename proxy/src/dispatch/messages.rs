//! A reply of several messages, in the client's words: progress, log messages and questions of the server before its response, in
//! their order, and nothing after it. How much of it passes is [`super::talk`]'s to say, which questions [`crate::bridge::ask`]'s.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use patchbay_core::{
    era::{Era, Version},
    json::{self, MessageHead},
};
use patchbay_downstream::{Answer as ServerAnswer, Because, DownstreamError, Fault, Message, MessageStream, Question};
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tracing::{debug, warn};

use super::{
    calls::Running,
    questions::{Open, Who},
    relay::{Relay, Turned, collect},
    talk::Talk,
};
use crate::{
    bridge::{
        ask::{self, Refused},
        notes,
    },
    error::Blame,
    metrics::QuestionEnd,
    telemetry::log,
};

/// The most questions that a server may ask within one call.
const QUESTIONS_MAX: usize = 16;
/// Messages of a server of which its caller hears nothing, one after the other, after which others on the thread have their turn.
const UNHEARD_MAX: u32 = 64;
/// What a question is answered that the client may not be asked any more.
const TOO_MANY: Refused = Refused { code: -32603, message: "Too many questions were asked within one call." };
/// What a question is answered to which nobody said anything in time.
const UNANSWERED: Refused = Refused { code: -32603, message: "The user gave no answer in time." };

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
