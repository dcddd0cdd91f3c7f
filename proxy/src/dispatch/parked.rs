//! A legacy server behind a modern client: when it asks within a call, the client gets its questions as a result, and the call
//! waits here, in this process, until the client's next request brings the answers and goes on where the call was. A call that is
//! lost meanwhile is an error and never run again. Called by `relay` when a question comes, and by `call` for the request after it.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use dashmap::DashMap;
use futures_util::{FutureExt, future::BoxFuture};
use patchbay_core::{
    ServerId, TenantId,
    json::{self, MessageHead},
};
use patchbay_downstream::{AnswerSink, DownstreamError, Fault, Message, MessageStream, Question};
use tracing::{debug, warn};

use super::{
    Answer, GatewayError,
    messages::Messages,
    relay::Relay,
    state::{self, Place, REQUESTS_MAX, Way},
};
use crate::{
    bridge::{
        ask::{self, Asked},
        for_the_model,
    },
    metrics::{CallEnd, QuestionEnd},
};

/// The most calls that wait for their clients at once, over all tenants.
const PARKED_MAX: usize = 4096;
/// The same of one principal.
const PARKED_PER_PRINCIPAL_MAX: usize = 16;
/// Messages that are taken beside a question before its client is asked.
const BESIDE_MAX: usize = 64;

/// What the client of a call is told that is not here any more.
const LOST: &str = "The call that asked was lost: nobody answered in time, or the gateway was restarted. It may have been \
                    carried out in part; check before calling again, without requestState and inputResponses.";
/// The same when another replica has it.
const ELSEWHERE: &str = "The call that asked waits at another replica of this gateway, which cannot be reached from here. It may \
                         have been carried out in part; try again, or check before calling again without requestState and \
                         inputResponses.";

/// The calls that wait for their clients.
#[derive(Default)]
pub(crate) struct Parked {
    calls: Arc<DashMap<[u8; 16], Call>>,
}

/// One of them.
pub(super) struct Call {
    /// Nobody locks it: a stream is no `Sync`, and this makes it one. Dropped first, so that the server learns that the call is
    /// over before it learns that its questions were not answered.
    stream: Mutex<Box<dyn MessageStream>>,
    waiting: Vec<Waiting>,
    tenant: TenantId,
    principal: [u8; 16],
    server: ServerId,
    /// Keys that were given out.
    keys: u32,
}

/// A question that waits for its answer.
pub(super) struct Waiting {
    key: String,
    asked: Asked,
    sink: Box<dyn AnswerSink>,
}

impl Parked {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Lets all of them go: their servers are told, and their clients when they come.
    pub(crate) fn end_all(&self) {
        self.calls.clear();
    }

    fn has_room(&self, tenant: TenantId, principal: [u8; 16]) -> bool {
        let own = |call: &Call| call.tenant == tenant && call.principal == principal;
        self.calls.len() < PARKED_MAX && self.calls.iter().filter(|call| own(call)).count() < PARKED_PER_PRINCIPAL_MAX
    }

    /// Keeps a call, at most for so long.
    fn put(&self, id: [u8; 16], call: Call, life: Duration) {
        self.calls.insert(id, call);
        let calls: Weak<_> = Arc::downgrade(&self.calls);
        tokio::spawn(async move {
            tokio::time::sleep(life).await;
            if let Some((_, call)) = calls.upgrade().and_then(|calls| calls.remove(&id)) {
                debug!(server = %call.server.bits(), "a call that asked its client was given up, since nobody answered");
            }
        });
    }

    /// The call with this id, when it is this principal's at this server.
    fn take(&self, id: [u8; 16], tenant: TenantId, principal: [u8; 16], server: ServerId) -> Option<Call> {
        let own = |_: &_, call: &Call| call.tenant == tenant && call.principal == principal && call.server == server;
        self.calls.remove_if(&id, own).map(|(_, call)| call)
    }
}

impl Messages {
    /// Asks a modern client: parks the call and makes the result ready that asks, or what came in its place. The call goes on when
    /// nothing was asked.
    pub(super) async fn ask_apart(&mut self, first: Question) {
        let mut waiting = Vec::new();
        self.take_question(first, &mut waiting).await;
        // What is there already goes along: another question saves a round.
        for _ in 0..BESIDE_MAX {
            let Some(message) = self.stream.next().now_or_never() else { break };
            match message {
                Ok(Message::Request(question)) => self.take_question(question, &mut waiting).await,
                Ok(Message::Notification(message)) => self.notification(&message),
                // It did not wait for its answers.
                Ok(Message::Response(answer)) => {
                    drop(waiting);
                    return self.response(answer).await;
                }
                Err(error) => {
                    drop(waiting);
                    return self.broken(&error).await;
                }
            }
        }
        if waiting.is_empty() {
            return;
        }
        let stream = mem::replace(&mut self.stream, Box::new(Over));
        match self.relay.park(stream, waiting) {
            Ok(body) => {
                self.last_words();
                self.over = true;
                let body = self.kept(body).await;
                self.ready.push_back(body);
            }
            Err((stream, waiting)) => {
                self.stream = stream;
                refuse(waiting).await;
            }
        }
    }

    /// Adds a question that may be put to those that wait; the server is told of any other.
    async fn take_question(&mut self, question: Question, waiting: &mut Vec<Waiting>) {
        let text = std::str::from_utf8(&question.message).unwrap_or_default();
        let head = MessageHead::read(text).unwrap_or_default();
        let asked = self.relay.put(&head.method_name().unwrap_or_default(), head.params);
        let outcome = match asked {
            Ok(asked) if waiting.len() < REQUESTS_MAX => {
                self.relay.asking.keys = self.relay.asking.keys.saturating_add(1);
                let key = format!("q{}", self.relay.asking.keys);
                waiting.push(Waiting { key, asked: asked.without_elicitation_id(), sink: question.answer });
                return;
            }
            Ok(_) => ask::error_outcome(-32603, TOO_MANY),
            Err(refused) => {
                let server = self.relay.server.slug.as_str();
                warn!(server, why = %refused, "a question of server {server} was not put to the client");
                refused.outcome()
            }
        };
        self.relay.cx.app.metrics.question(QuestionEnd::Refused);
        answer(question.answer, outcome).await;
    }
}

/// What a server is told whose question finds no room.
const TOO_MANY: &str = "Too many questions wait for their answers; go on without this one.";

async fn refuse(waiting: Vec<Waiting>) {
    for one in waiting {
        answer(one.sink, ask::error_outcome(-32603, TOO_MANY)).await;
    }
}

async fn answer(sink: Box<dyn AnswerSink>, outcome: Bytes) {
    if let Err(error) = sink.answer(outcome).await {
        warn!(%error, "an answer did not reach the server that asked");
    }
}

/// What could not be parked.
type Unparked = (Box<dyn MessageStream>, Vec<Waiting>);

impl Relay {
    /// Parks the call and gives the result that asks. Closes the trail then.
    fn park(&mut self, mut stream: Box<dyn MessageStream>, waiting: Vec<Waiting>) -> Result<Bytes, Unparked> {
        let (tenant, principal) = (self.cx.tenant.id(), self.cx.principal.digest());
        let app = self.cx.app.clone();
        if !app.parked.has_room(tenant, principal) {
            app.metrics.question(QuestionEnd::Refused);
            return Err((stream, waiting));
        }
        let id = patchbay_core::random_bytes();
        let questions = waiting.iter().map(|one| (&*one.key, &one.asked));
        let body = match self.input_required(questions, Way::Parked(Place::here(&app, id))) {
            Ok(body) => body,
            Err(why) => {
                warn!(server = %self.server.slug, %why, "a call could not be parked");
                app.metrics.question(QuestionEnd::Refused);
                return Err((stream, waiting));
            }
        };
        let life = state::life(&app);
        stream.extend(life);
        let (server, keys) = (self.entry().id, self.asking.keys);
        app.parked.put(id, Call { tenant, principal, server, waiting, keys, stream: Mutex::new(stream) }, life);
        Ok(self.asked(body))
    }

    /// Goes on with a parked call for the request that brings the answers.
    ///
    /// # Errors
    /// As the other answers of a relay.
    pub(super) async fn wake(mut self, place: &Place, answers: Option<&str>) -> Result<Answer, GatewayError> {
        let app = self.cx.app.clone();
        if !place.is_here(&app) {
            return self.lost(if place.was_here(&app) { LOST } else { ELSEWHERE }).await;
        }
        let (tenant, principal) = (self.cx.tenant.id(), self.cx.principal.digest());
        let Some(call) = app.parked.take(place.id, tenant, principal, self.entry().id) else {
            return self.lost(LOST).await;
        };
        let Call { waiting, keys, stream, .. } = call;
        self.asking.keys = keys;
        let mut stream = stream.into_inner().unwrap_or_else(PoisonError::into_inner);
        stream.extend(self.asking.timeout);
        let mut left = Vec::new();
        for one in waiting {
            let given = answers.and_then(|answers| json::at_path(answers, &[&one.key]));
            match given.filter(|given| given.starts_with('{')) {
                Some(given) => answer(one.sink, ask::result_outcome(given)).await,
                None => left.push(one),
            }
        }
        if left.is_empty() {
            return Ok(Answer::Messages(Messages::new(self, stream)));
        }
        // Who left some out is asked for them again.
        match self.park(stream, left) {
            Ok(body) => {
                self.kept().await?;
                Ok(Answer::Whole(body))
            }
            Err((stream, waiting)) => {
                refuse(waiting).await;
                Ok(Answer::Messages(Messages::new(self, stream)))
            }
        }
    }

    /// The answer to a request that wanted to go on with a call that is not here.
    async fn lost(mut self, text: &str) -> Result<Answer, GatewayError> {
        let server = self.server.slug.as_str();
        warn!(server, "a call of server {server} that asked its client is not here any more");
        self.cx.app.metrics.question(QuestionEnd::Lost);
        let body = for_the_model(&self.method, &self.plan.id, text, self.plan.to);
        self.trail.failed("lost", body.len());
        self.meter.end(CallEnd::Failed);
        self.kept().await?;
        Ok(Answer::Whole(body))
    }
}

/// The messages of a call that is parked.
struct Over;

impl MessageStream for Over {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(std::future::ready(Err(DownstreamError::may_have_run(Fault::Closed, "the call is parked"))))
    }
}

#[cfg(test)]
mod tests;
