//! A modern server behind a legacy client: what it asks by `input_required` becomes questions on the stream of the call, the
//! answers go back with the same request, and so on until a result is complete. One [`Rounds`] is one round; the relay begins the
//! next one when the server asks again. Which question may be put is [`crate::bridge::ask`]'s to say.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
    method::Method,
};
use patchbay_downstream::{
    Answer, AnswerSink, CallCx, Delivery, DownstreamError, Extension, Fault, Message, MessageStream, Outgoing,
    Question, Reply,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use super::state::{
    REQUESTS_MAX, ROUNDS_MAX,
    asking::{ASKING_BYTES_MAX, Unasked, unasked},
};
use crate::{
    bridge::{
        ask::{self, Said},
        for_the_model,
    },
    caller::Capabilities,
    tenancy::ServerHandle,
};

/// The pause before a server is asked again that wanted time and no answer; it doubles with each round.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What an answer may take beyond the time that a person has: whoever asked the client has ended it by then.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// What is needed to ask the server again.
pub(super) struct Again {
    pub(super) server: Arc<ServerHandle>,
    pub(super) call_cx: CallCx,
    pub(super) outgoing: Outgoing,
    pub(super) method: Method,
    /// What the client can be asked by this server.
    pub(super) offered: Capabilities,
    /// The time of one round at the server.
    pub(super) timeout: Duration,
    /// The same, whatever the server says.
    pub(super) timeout_max: Duration,
    /// The time of a person.
    pub(super) answer: Duration,
}

/// One round.
pub(super) struct Rounds {
    again: Arc<Again>,
    phase: Phase,
}

enum Phase {
    /// The questions go out and their answers are waited for.
    Asking(Asking),
    /// The server is asked again.
    Calling(BoxFuture<'static, Result<Reply, DownstreamError>>),
    /// It answers.
    Answering(Box<dyn MessageStream>),
    /// This is said instead.
    Saying(Bytes),
    /// Nothing comes any more.
    Over,
}

struct Asking {
    questions: VecDeque<Question>,
    waiting: VecDeque<Waiting>,
    /// `"key":{…}` of the answers that are there.
    answers: Vec<u8>,
    /// The server's own state, a JSON string.
    state: Option<String>,
    until: Instant,
}

struct Waiting {
    /// The server's key for it, raw.
    key: String,
    method: &'static str,
    answer: oneshot::Receiver<Bytes>,
}

impl Rounds {
    /// Begins the round that a response asks for; `message` is the server's own.
    pub(super) fn begin(again: Arc<Again>, round: u8, message: &str) -> Self {
        let phase = match Asking::read(&again, round, message) {
            Ok(asking) if asking.waiting.is_empty() => {
                let pause = PAUSE_MIN.saturating_mul(1 << round.saturating_sub(1).min(8)).min(PAUSE_MAX);
                Phase::Calling(asking.call(again.clone(), pause))
            }
            Ok(asking) => Phase::Asking(asking),
            Err(why) => Phase::Saying(unasked(&again.method, b"0", again.server.slug.as_str(), Era::Legacy, &why)),
        };
        Self { again, phase }
    }

    async fn message(&mut self) -> Result<Message, DownstreamError> {
        loop {
            match &mut self.phase {
                Phase::Asking(asking) => {
                    if let Some(question) = asking.questions.pop_front() {
                        return Ok(Message::Request(question));
                    }
                    self.phase = match asking.answered().await {
                        Ok(()) => {
                            let asking = mem::replace(&mut self.phase, Phase::Over);
                            let Phase::Asking(asking) = asking else { continue };
                            Phase::Calling(asking.call(self.again.clone(), Duration::ZERO))
                        }
                        Err(text) => {
                            let server = self.again.server.slug.as_str();
                            let text = format!("The server \"{server}\" needs an answer before it can go on. {text}");
                            Phase::Saying(for_the_model(&self.again.method, b"0", &text, Era::Legacy))
                        }
                    };
                }
                Phase::Calling(call) => match call.await {
                    Ok(Reply::One(answer)) => {
                        self.phase = Phase::Over;
                        return Ok(Message::Response(answer));
                    }
                    Ok(Reply::Stream(stream)) => self.phase = Phase::Answering(stream),
                    Err(error) => {
                        self.phase = Phase::Over;
                        return Err(error);
                    }
                },
                Phase::Answering(stream) => return stream.next().await,
                Phase::Saying(_) => {
                    let Phase::Saying(head) = mem::replace(&mut self.phase, Phase::Over) else { continue };
                    return Ok(Message::Response(Answer { head, rest: None, era: Era::Legacy }));
                }
                Phase::Over => return Err(DownstreamError::may_have_run(Fault::Closed, "the reply is over")),
            }
        }
    }
}

impl MessageStream for Rounds {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(self.message())
    }

    fn extend(&mut self, by: Duration) {
        if let Phase::Answering(stream) = &mut self.phase {
            stream.extend(by);
        }
    }
}

impl Asking {
    fn read(again: &Again, round: u8, message: &str) -> Result<Self, Unasked> {
        if round > ROUNDS_MAX {
            return Err(Unasked::TooMany);
        }
        if message.len() > ASKING_BYTES_MAX {
            return Err(Unasked::TooLong);
        }
        let result = MessageHead::read(message).ok().and_then(|head| head.result).ok_or(Unasked::Protocol)?;
        let one = |name| json::unique(result, name).map_err(|_| Unasked::Protocol);
        let (requests, state) = (one("inputRequests")?, one("requestState")?.filter(|state| *state != "null"));
        if state.is_some_and(|state| json::unquote(state).is_none()) || (requests.is_none() && state.is_none()) {
            return Err(Unasked::Protocol);
        }
        let mut asking = Self {
            questions: VecDeque::new(),
            waiting: VecDeque::new(),
            answers: Vec::new(),
            state: state.map(str::to_owned),
            until: Instant::now() + again.answer + ANSWER_SLACK,
        };
        for member in json::members(requests.unwrap_or("{}")) {
            let member = member.map_err(|_| Unasked::Protocol)?;
            if asking.waiting.len() >= REQUESTS_MAX {
                return Err(Unasked::TooMany);
            }
            asking.add(again, member.key, member.value)?;
        }
        Ok(asking)
    }

    fn add(&mut self, again: &Again, key: &str, request: &str) -> Result<(), Unasked> {
        let one = |name| json::unique(request, name).map_err(|_| Unasked::Protocol);
        let method = one("method")?.and_then(json::unquote).ok_or(Unasked::Protocol)?;
        // Looked at here, so that none goes out when one of them may not; the words are put to it on its way out.
        let params = one("params")?;
        let asked = ask::put(&method, params, again.offered, again.server.slug.as_str())?;
        let is_url = asked.is_url();
        let params = match params {
            Some(params) if is_url => with_elicitation_id(params),
            Some(params) => params.to_owned(),
            None => "{}".to_owned(),
        };
        let message = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"{}","params":{params}}}"#, asked.method);
        let (sink, answer) = oneshot::channel();
        self.questions.push_back(Question { message: message.into(), answer: Box::new(Sink(sink)) });
        self.waiting.push_back(Waiting { key: key.to_owned(), method: asked.method, answer });
        Ok(())
    }

    /// Waits for all answers; why the call ends instead, in words. May be dropped and called again.
    async fn answered(&mut self) -> Result<(), String> {
        while let Some(waiting) = self.waiting.front_mut() {
            let answer = match timeout_at(self.until, &mut waiting.answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => ask::error_outcome(-32603, "There was no answer in time."),
            };
            let Some(waiting) = self.waiting.pop_front() else { break };
            let result = match ask::said(&answer) {
                Some(Said::Result(result)) if result.starts_with('{') => result,
                // Who could not be asked has not answered; the server knows how to go on without.
                _ if waiting.method == ask::ELICIT => r#"{"action":"cancel"}"#,
                Some(Said::Error(error)) => return Err(refusal(waiting.method, error)),
                Some(Said::Result(_)) | None => return Err(refusal(waiting.method, "{}")),
            };
            self.answers.push(if self.answers.is_empty() { b'{' } else { b',' });
            self.answers.extend_from_slice(waiting.key.as_bytes());
            self.answers.push(b':');
            self.answers.extend_from_slice(result.as_bytes());
        }
        Ok(())
    }

    /// Asks the server again, after a pause.
    fn call(self, again: Arc<Again>, pause: Duration) -> BoxFuture<'static, Result<Reply, DownstreamError>> {
        Box::pin(async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let mut outgoing = again.outgoing.clone();
            let mut add = |name: &str, value: &[u8]| {
                if !outgoing.params.is_empty() {
                    outgoing.params.push(Bytes::from_static(b","));
                }
                outgoing.params.push([b"\"", name.as_bytes(), b"\":", value].concat().into());
            };
            if !self.answers.is_empty() {
                add("inputResponses", &[&self.answers[..], b"}"].concat());
            }
            if let Some(state) = &self.state {
                add("requestState", state.as_bytes());
            }
            let now = Instant::now();
            let call_cx = CallCx {
                deadline: now + again.timeout,
                extension: Some(Extension { by: again.timeout, latest: now + again.timeout_max }),
                ..again.call_cx.clone()
            };
            let downstream = again.server.downstream.clone();
            match downstream.call(call_cx.clone(), outgoing.clone()).await {
                Err(error) if error.delivery == Delivery::NotSent && error.fault == Fault::Closed => {
                    downstream.call(call_cx, outgoing).await
                }
                outcome => outcome,
            }
        })
    }
}

/// Where the answer to one question goes.
struct Sink(oneshot::Sender<Bytes>);

impl AnswerSink for Sink {
    fn answer(self: Box<Self>, outcome: Bytes) -> BoxFuture<'static, Result<(), DownstreamError>> {
        let taken = self.0.send(outcome);
        let late = || DownstreamError::may_have_run(Fault::Closed, "the call that asked is over");
        Box::pin(std::future::ready(taken.map_err(|_| late())))
    }
}

/// A question by URL as 2025-11-25 has it.
fn with_elicitation_id(params: &str) -> String {
    let kept = json::members(params).flatten().filter(|member| !member.is("elicitationId"));
    let minted = format!("\"elicitationId\":\"pb-{:032x}\"", u128::from_ne_bytes(patchbay_core::random_bytes()));
    let members: Vec<_> = kept.map(|member| member.whole).chain([&*minted]).collect();
    format!("{{{}}}", members.join(","))
}

/// Why a client did not answer, as it says itself.
fn refusal(method: &str, error: &str) -> String {
    let said = json::at_path(error, &["message"]).and_then(json::unquote).unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect();
    format!("The client did not answer {method}. {said}").trim_end().to_owned()
}

/// Characters of a client's words on why it did not answer.
const SAID_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests;
