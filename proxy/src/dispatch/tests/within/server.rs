//! A server that says what a test tells it to, and notes what it is told.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use patchbay_core::era::Era;
use patchbay_downstream::{
    Answer, AnswerSink, Because, CallCx, Downstream, DownstreamError, Event, Fault, Health, Hello, Message,
    MessageStream, Outgoing, Question, Reply,
};
use serde_json::{Value, json};
use tokio::{
    sync::{
        Notify, broadcast,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

type Said = Result<Message, DownstreamError>;

/// More than any test lets a server say before somebody listens.
const SAID: usize = 1 << 18;

/// See the module. It answers one call.
pub(super) struct Scripted {
    era: Era,
    says: Mutex<Option<Receiver<Said>>>,
    pub(super) noted: Arc<Noted>,
    events: broadcast::Sender<Event>,
}

/// What a server was told.
#[derive(Default)]
pub(super) struct Noted {
    told: Mutex<Vec<String>>,
    more: Notify,
}

impl Noted {
    fn note(&self, told: String) {
        self.told.lock().unwrap().push(told);
        self.more.notify_one();
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until so many things were told.
    pub(super) async fn count(&self, count: usize) -> Vec<String> {
        while self.all().len() < count {
            self.more.notified().await;
        }
        self.all()
    }
}

/// The server's side.
pub(super) struct Says {
    sender: Sender<Said>,
    noted: Arc<Noted>,
}

impl Scripted {
    pub(super) fn new(era: Era) -> (Arc<Self>, Says) {
        let (sender, says) = channel(SAID);
        let noted = Arc::new(Noted::default());
        let says = Mutex::new(Some(says));
        let server = Self { era, says, noted: noted.clone(), events: broadcast::Sender::new(1) };
        (Arc::new(server), Says { sender, noted })
    }
}

impl Says {
    /// A notification.
    pub(super) fn note(&self, method: &str, params: &Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string();
        self.sender.try_send(Ok(Message::Notification(message.into()))).ok();
    }

    /// A question.
    pub(super) fn ask(&self, id: &str, method: &str, params: &Value) {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let answer = Box::new(Sink { id: id.to_owned(), noted: self.noted.clone() });
        self.sender.try_send(Ok(Message::Request(Question { message: message.into(), answer }))).ok();
    }

    /// The response.
    pub(super) fn answer(&self, era: Era) {
        let head = Bytes::from_static(br#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#);
        self.sender.try_send(Ok(Message::Response(Answer { head, rest: None, era }))).ok();
    }
}

impl Downstream for Scripted {
    fn hello(&self, _deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(ready(Ok(Arc::new(crate::auth::tests::house::hello()))))
    }

    fn call(&self, cx: CallCx, _request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        self.noted.note(format!("call {}", cx.capabilities));
        let says = self.says.lock().unwrap().take();
        let gone = DownstreamError::may_have_run(Fault::Closed, format!("one call alone ({:?})", self.era));
        let stream = says.map(|says| Reply::Stream(Box::new(Stream { says, noted: self.noted.clone() })));
        Box::pin(ready(stream.ok_or(gone)))
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn roots_changed(&self, cx: CallCx) -> BoxFuture<'_, ()> {
        self.noted.note(format!("roots changed {:?} {}", cx.share, cx.capabilities));
        Box::pin(ready(()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}

struct Stream {
    says: Receiver<Said>,
    noted: Arc<Noted>,
}

impl MessageStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Said> {
        Box::pin(async {
            let gone = Err(DownstreamError::may_have_run(Fault::Closed, "it broke off"));
            self.says.recv().await.unwrap_or(gone)
        })
    }

    fn extend(&mut self, by: Duration) {
        self.noted.note(format!("extended by {} s", by.as_secs()));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.noted.note(format!("dropped, {}", Because::given().as_deref().unwrap_or("without a reason")));
    }
}

struct Sink {
    id: String,
    noted: Arc<Noted>,
}

impl AnswerSink for Sink {
    fn answer(self: Box<Self>, outcome: Bytes) -> BoxFuture<'static, Result<(), DownstreamError>> {
        self.noted.note(format!("{}: {}", self.id, String::from_utf8_lossy(&outcome)));
        Box::pin(ready(Ok(())))
    }
}
