//! A server that says what it is told to, a client that can be asked, and what both have heard: for what flows between the eras.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use patchbay_core::{
    era::{Era, Version},
    model::Asks,
};
use patchbay_downstream::{
    Answer as ServerAnswer, AnswerSink, CallCx, Downstream, DownstreamError, Event, Fault, Health, Hello, Message,
    MessageStream, Outgoing, Question, Reply,
};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

use super::asked;
use crate::{
    admission::told::Telling,
    auth::tests::house::{House, hello, site},
    caller::{Caller, Capabilities},
    dispatch::{Answer, Cx, run},
    error::GatewayError,
};

/// See the module.
pub(in crate::dispatch) struct Scripted {
    says: Mutex<VecDeque<Result<Reply, DownstreamError>>>,
    heard: Mutex<Vec<(CallCx, Outgoing)>>,
    events: broadcast::Sender<Event>,
}

impl Scripted {
    /// A server that answers its calls with these, in this order.
    pub(in crate::dispatch) fn new(says: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        let says = says.into_iter().map(Ok).collect();
        Arc::new(Self { says: Mutex::new(says), heard: Mutex::default(), events: broadcast::Sender::new(1) })
    }

    pub(in crate::dispatch) fn also(&self, says: Result<Reply, DownstreamError>) {
        self.says.lock().unwrap().push_back(says);
    }

    /// The params of each call, without braces.
    pub(in crate::dispatch) fn heard(&self) -> Vec<String> {
        let text = |(_, outgoing): &(CallCx, Outgoing)| String::from_utf8(outgoing.params.concat()).unwrap();
        self.heard.lock().unwrap().iter().map(text).collect()
    }

    /// What was offered in each call.
    pub(in crate::dispatch) fn offered(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(cx, _)| cx.capabilities.to_string()).collect()
    }
}

impl Downstream for Scripted {
    fn hello(&self, _deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(ready(Ok(Arc::new(hello()))))
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        self.heard.lock().unwrap().push((cx, request));
        let said = self.says.lock().unwrap().pop_front();
        let silent = || Err(DownstreamError::not_sent(Fault::Unavailable, "nothing more is to be said"));
        Box::pin(ready(said.unwrap_or_else(silent)))
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

/// A whole response of this era with this result.
pub(in crate::dispatch) fn result(era: Era, result: &Value) -> ServerAnswer {
    let head = json!({ "jsonrpc": "2.0", "id": 77, "result": result }).to_string().into();
    ServerAnswer { head, rest: None, era }
}

/// The same as a reply.
pub(in crate::dispatch) fn one(era: Era, value: &Value) -> Reply {
    Reply::One(result(era, value))
}

/// A complete result.
pub(in crate::dispatch) fn done(text: &str) -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
}

/// A form for the user.
pub(in crate::dispatch) fn form(message: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    json!({ "method": "elicitation/create", "params": { "mode": "form", "message": message, "requestedSchema": schema } })
}

/// A server's end of a reply that is a stream.
pub(in crate::dispatch) struct Line {
    sender: mpsc::Sender<Message>,
    dropped: Arc<AtomicBool>,
}

struct Stream {
    messages: mpsc::Receiver<Message>,
    dropped: Arc<AtomicBool>,
}

/// A reply that is a stream, and its other end.
pub(in crate::dispatch) fn stream() -> (Reply, Line) {
    let (sender, messages) = mpsc::channel(32);
    let dropped = Arc::new(AtomicBool::new(false));
    (Reply::Stream(Box::new(Stream { messages, dropped: dropped.clone() })), Line { sender, dropped })
}

impl Line {
    pub(in crate::dispatch) fn say(&self, message: Message) {
        self.sender.try_send(message).ok().unwrap();
    }

    /// Asks, and gives what the server will be answered.
    pub(in crate::dispatch) fn ask(&self, question: &Value) -> oneshot::Receiver<Bytes> {
        let (sink, answer) = oneshot::channel();
        let mut message = json!({ "jsonrpc": "2.0", "id": 5 });
        message.as_object_mut().unwrap().extend(question.as_object().unwrap().clone());
        self.say(Message::Request(Question { message: message.to_string().into(), answer: Box::new(Sink(sink)) }));
        answer
    }

    /// Whether the call was given up.
    pub(in crate::dispatch) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

impl MessageStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        let gone = || DownstreamError::may_have_run(Fault::Closed, "the script is over");
        Box::pin(async move { self.messages.recv().await.ok_or_else(gone) })
    }
}

struct Sink(oneshot::Sender<Bytes>);

impl AnswerSink for Sink {
    fn answer(self: Box<Self>, outcome: Bytes) -> BoxFuture<'static, Result<(), DownstreamError>> {
        let _ = self.0.send(outcome);
        Box::pin(ready(Ok(())))
    }
}

/// A gateway with this server, known by this era, in the tenant `acme`, where it may ask everything.
pub(in crate::dispatch) async fn house(server: &Arc<Scripted>, era: Era) -> House {
    let mut house = House::new().await;
    house.server = Some((server.clone(), era));
    house.open("acme", |row, _| {
        row.servers[0].spec.asks = Asks { elicitation: true, sampling: true, roots: true };
    });
    house
}

/// A client that can be asked everything.
pub(in crate::dispatch) const ALL: Capabilities = Capabilities::of_bits(0b11_1111);

/// A client of the person `sub` at `acme`.
pub(in crate::dispatch) async fn client(house: &House, version: Version, can: Capabilities, sub: &str) -> Cx {
    let token = house.issuer.token(&json!({ "sub": sub }));
    let (principal, tenant) = house.enter("acme", &token).await.unwrap();
    house.app.tenants.settle(&tenant.snapshot().slug);
    let caller = Caller { version, can, share: principal.digest(), log_level: None, params_sent: Vec::new() };
    Cx { app: house.app.clone(), tenant, principal, caller, site: Some(Arc::new(site())), telling: Telling::default() }
}

/// Calls the tool `shop_get` with these params besides its name; the messages that come, the answer last.
pub(in crate::dispatch) async fn call(house: &House, cx: &Cx, params: Value) -> Result<Vec<Value>, GatewayError> {
    let answer = begin(house, cx, params).await?;
    Ok(all(answer).await)
}

/// The same, not yet read.
pub(in crate::dispatch) async fn begin(house: &House, cx: &Cx, mut params: Value) -> Result<Answer, GatewayError> {
    params["name"] = json!("shop_get");
    let mut trail = house.trail();
    trail.known(cx.tenant.id(), &cx.tenant.view().toolset, cx.principal.actor());
    run(cx.clone(), asked("tools/call", &params), &mut trail).await
}

pub(in crate::dispatch) async fn all(answer: Answer) -> Vec<Value> {
    let read = |body: Bytes| serde_json::from_slice(&body).unwrap();
    match answer {
        Answer::Whole(body) | Answer::Lacking(body) => vec![read(body)],
        Answer::Pieces(pieces) => vec![read(pieces.concat().into())],
        Answer::Messages(mut messages) => {
            let mut all = Vec::new();
            while let Some(message) = messages.next().await {
                all.push(read(message));
            }
            all
        }
        Answer::Streaming(_) | Answer::Listening(_) | Answer::Cancelled => panic!("messages were expected"),
    }
}

/// The one message that is expected.
pub(in crate::dispatch) fn only(messages: Result<Vec<Value>, GatewayError>) -> Value {
    let mut messages = messages.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

/// What a model reads of a call that failed.
pub(in crate::dispatch) fn sorry(message: &Value) -> &str {
    assert_eq!(message["result"]["isError"], true, "{message}");
    message["result"]["content"][0]["text"].as_str().unwrap()
}
