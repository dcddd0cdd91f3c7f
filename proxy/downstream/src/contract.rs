//! What the trunk asks of a server, whatever the transport: one request out, a stream of messages back of which the last is
//! the response, and a way for the server to ask and be answered in between.
//!
//! Bodies are bytes on both sides. A transport adds what belongs to its own leg — id, `_meta` of its era, framing, mirrored
//! headers — and judges nothing else.

use std::{collections::BTreeSet, fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use patchbay_core::{
    era::{Era, Version},
    trace::TraceContext,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::broadcast, time::Instant};

/// The connection to one server, shared by all calls that may share it.
///
/// Every future is cancelled by dropping it: a transport then tells the server (legacy HTTP and stdio by
/// `notifications/cancelled`, modern HTTP by closing the stream) and frees the slot at once.
pub trait Downstream: Send + Sync + 'static {
    /// What the server says of itself; connects and finds the era out when that is not done yet.
    fn hello(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>>;

    /// Sends one request and gives the reply once its first message is there.
    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>>;

    /// What the server tells outside of any call.
    fn events(&self) -> broadcast::Receiver<Event>;

    /// How the server is, for operators.
    fn health(&self) -> Health;

    /// How busy the server is, for metrics: numbers alone, so that it may be asked every few seconds.
    fn load(&self) -> Load {
        Load::default()
    }

    /// Somebody wants it to be tried now: pauses after failures are over.
    fn hurry(&self) {}

    /// Says which resources somebody wants to hear updates of, by the server's own URIs: all of them, each time. The transport
    /// subscribes to what is new, unsubscribes from what is gone, and subscribes anew after a gap. Updates come as
    /// [`Event::ResourceUpdated`].
    fn watch(&self, _uris: Arc<BTreeSet<Arc<str>>>) {}

    /// The roots of those who share this session or child changed; they are told if they were offered roots.
    fn roots_changed(&self, _cx: CallCx) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Ends connections and children; calls that wait get [`Fault::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a server says of itself. Raw members are kept as the server wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The revision that was agreed on.
    pub version: Version,
    /// Its `capabilities`, a JSON object.
    pub capabilities: String,
    /// Its `serverInfo`, a JSON object.
    pub server_info: String,
    /// Its `instructions`, in the clear.
    pub instructions: Option<String>,
}

impl Hello {
    /// The era of [`Self::version`].
    pub const fn era(&self) -> Era {
        self.version.era()
    }
}

/// What a call brings along besides its bytes.
#[derive(Debug, Clone)]
pub struct CallCx {
    /// When the caller's patience ends. A transport gives up then with [`Fault::Timeout`].
    pub deadline: Instant,
    /// How progress of the server moves the deadline; `None` when nothing does.
    pub extension: Option<Extension>,
    /// Who shares a child or a session: calls with equal keys may.
    pub share: ShareKey,
    /// What the caller can be asked, already cut to what the gateway can bridge and this server may use: a JSON object.
    /// A legacy transport keeps one session for each distinct value.
    pub capabilities: Arc<str>,
}

/// How a sign of life moves the deadline of a call: to `by` from now, but never beyond `latest`, and never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// How much time each message of the server before its response gives.
    pub by: Duration,
    /// When the call ends whatever the server says.
    pub latest: Instant,
}

impl Extension {
    /// The deadline after a sign of life at `now`.
    pub fn moved(self, deadline: Instant, now: Instant) -> Instant {
        deadline.max((now + self.by).min(self.latest))
    }
}

/// Who shares a child process or a legacy session of a server, by its configured sharing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum ShareKey {
    /// All callers of the tenant.
    #[default]
    Tenant,
    /// The callers with this principal digest.
    Principal([u8; 16]),
    /// The callers with this session digest.
    Session([u8; 16]),
}

/// A request as the trunk decided it, in native names. The transport writes
/// `{"jsonrpc":"2.0","id":…,"method":…,"params":{<params>,"_meta":{…}}}` around it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The method.
    pub method: &'static str,
    /// The members of `params` without braces and without `_meta`, in pieces that follow each other:
    /// `"name":"echo"` `,` `"arguments":{…}`. Empty when there are none.
    pub params: Vec<Bytes>,
    /// The caller's `_meta` members without braces that may pass: everything but the progress token and the reserved
    /// `io.modelcontextprotocol/` keys, which are the transport's to write. Empty when there are none.
    pub meta: Bytes,
    /// Whether the caller wants progress. The transport then sends its own token, the id of the request.
    pub progress: bool,
    /// From which level on the caller wants log messages, a JSON string. A modern server gets it with the request; a legacy one
    /// is told once, when its session was not yet asked for so much.
    pub log_level: Option<Bytes>,
    /// Value of the `Mcp-Name` header for modern HTTP: the native name or URI, decoded.
    pub mirror_name: Option<Arc<str>>,
    /// `Mcp-Param-*` headers for modern HTTP: name without the prefix, value already encoded.
    pub mirror_params: Vec<(String, String)>,
    /// Where the call stands in a trace; written into `_meta`, and for HTTP into headers too. [`Self::meta`] has none then.
    pub trace: Option<TraceContext>,
}

impl Outgoing {
    /// A request without caller, for the gateway's own use.
    pub const fn plain(method: &'static str, params: Vec<Bytes>) -> Self {
        Self {
            method,
            params,
            meta: Bytes::new(),
            progress: false,
            log_level: None,
            mirror_name: None,
            mirror_params: Vec::new(),
            trace: None,
        }
    }
}

/// What comes back for a request.
pub enum Reply {
    /// The response was the first message.
    One(Answer),
    /// Other messages come before it.
    Stream(Box<dyn MessageStream>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(answer) => f.debug_tuple("One").field(answer).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// Bytes that are still coming.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, DownstreamError>> + Send>>;

/// One whole JSON-RPC response message with the transport's own id in it, as bytes: the beginning, and the rest when it is long.
/// Nobody has looked into it: it may be garbage.
pub struct Answer {
    /// The first bytes; all of them when `rest` is `None`.
    pub head: Bytes,
    /// The bytes after them.
    pub rest: Option<ByteStream>,
    /// The era that the server answered in.
    pub era: Era,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("head_bytes", &self.head.len()).field("more", &self.rest.is_some()).finish()
    }
}

/// The messages of one reply in order. After [`Message::Response`] or an error there is nothing more.
pub trait MessageStream: Send {
    /// The next message; an error when the server broke off before the response. A future that is dropped before it is done has
    /// lost no message: the next one goes on where it was.
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>>;

    /// Somebody is asked meanwhile, which takes a person's time: the deadline is at least `by` from now from here on, also
    /// beyond [`Extension::latest`]. Who calls this bounds how often it does.
    fn extend(&mut self, _by: Duration) {}
}

/// One message of a reply.
pub enum Message {
    /// A notification that belongs to this call: the whole message. Progress carries the transport's token.
    Notification(Bytes),
    /// A question of the server to the caller.
    Request(Question),
    /// The response.
    Response(Answer),
}

/// A question that a legacy server asks within a call: the whole message with the server's id, and where the answer goes.
pub struct Question {
    /// The whole request message.
    pub message: Bytes,
    /// Where the answer goes.
    pub answer: Box<dyn AnswerSink>,
}

/// Takes the answer to one question of a server.
pub trait AnswerSink: Send + Sync {
    /// Sends `"result":{…}` or `"error":{…}` (one member, without braces) under the server's own id.
    fn answer(self: Box<Self>, outcome: Bytes) -> BoxFuture<'static, Result<(), DownstreamError>>;
}

/// What a server tells outside of any call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A list changed.
    ListChanged(List),
    /// A resource that somebody subscribed to changed.
    ResourceUpdated(Arc<str>),
    /// The server is back after a gap: everything may have changed.
    Reconnected,
    /// What the server says of itself changed: era or capabilities.
    HelloChanged(Arc<Hello>),
}

/// The lists that a server can announce changes of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list` and `resources/templates/list`
    Resources,
}

/// How a server is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// The last fault, in words for operators.
    pub last_error: Option<String>,
    /// Time until the next attempt, when none is made before.
    pub retry_in: Option<Duration>,
    /// The last lines that a child wrote to its standard error.
    pub stderr_tail: Vec<String>,
    /// Calls that run now.
    pub in_flight: u32,
}

/// How busy a server is. What a transport does not have is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls that run now.
    pub in_flight: u32,
    /// Calls that wait for their turn.
    pub waiting: u32,
    /// Whether the breaker lets nothing but a probe through.
    pub breaker_open: bool,
    /// Its child processes.
    pub children: Option<Children>,
    /// Sessions that are open with it.
    pub sessions: Option<u32>,
}

/// The child processes of one server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Children {
    /// Those that run now.
    pub running: u32,
    /// Those that came up since the connection was opened.
    pub starts: u64,
    /// Those that did not come up, or ended without being asked to.
    pub failures: u64,
}

/// The state of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Nobody asked yet, or it was stopped for idleness.
    #[default]
    Idle,
    /// It answers.
    Up,
    /// It failed of late; the breaker lets nothing or one probe through.
    Down,
    /// Closed for good.
    Closed,
}

/// Why a server gave no response.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{fault}: {detail}")]
pub struct DownstreamError {
    /// What happened.
    pub fault: Fault,
    /// Whether the server may have acted on the request.
    pub delivery: Delivery,
    /// For operators: never shown to clients, never with secrets.
    pub detail: String,
}

impl DownstreamError {
    /// An error of a request that never reached the server.
    pub fn not_sent(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, delivery: Delivery::NotSent, detail: detail.into() }
    }

    /// An error of a request that the server may have acted on.
    pub fn may_have_run(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, delivery: Delivery::MayHaveRun, detail: detail.into() }
    }
}

/// Whether a server may have acted on a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It did not get it: sending it again is safe.
    NotSent,
    /// It may have acted.
    MayHaveRun,
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection, no child, or the breaker is open.
    #[error("the server is not reachable")]
    Unavailable,
    /// Too many calls wait already.
    #[error("the server is busy")]
    Busy,
    /// The deadline passed.
    #[error("the server did not answer in time")]
    Timeout,
    /// It went away before it had answered.
    #[error("the server broke off")]
    Closed,
    /// What it sent is not the protocol.
    #[error("the server does not keep to the protocol")]
    Protocol,
    /// It refused the request with an HTTP status.
    #[error("the server refused the request")]
    Refused(u16),
    /// It wants a sign-in that the gateway has not, or that does not do.
    #[error("the server does not let the gateway in")]
    SignIn,
    /// The response is larger than the bound.
    #[error("the server's answer is too large")]
    TooLarge,
    /// The legacy session is gone on the server's side; it is opened anew at the next attempt.
    #[error("the server forgot the session")]
    SessionLost,
}
