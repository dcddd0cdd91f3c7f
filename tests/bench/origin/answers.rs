//! Requests in, answers out, for both eras: everything but the id is made once, at the start. Both transports call this.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

const LEGACY_VERSIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
const MODERN_VERSION: &str = "2026-07-28";
const SMALL_BYTES: usize = 200;
const BIG_BYTES: usize = 64 * 1024;
/// Messages before the answer of `progress`.
const PROGRESS_MESSAGES: usize = 10;

/// Which revisions a server speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Sessions only, up to 2025-11-25.
    Legacy,
    /// Stateless only, 2026-07-28.
    Modern,
    /// Whatever the client begins with.
    Both,
}

impl Era {
    /// The era of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "legacy" => Some(Self::Legacy),
            "modern" => Some(Self::Modern),
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

/// Which tools a server lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Catalog {
    /// `small`, `big` and `progress`, the tools that are called.
    Calls,
    /// Ten tools.
    Ten,
    /// A hundred tools.
    Hundred,
}

impl Catalog {
    /// The catalog of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "calls" => Some(Self::Calls),
            "ten" => Some(Self::Ten),
            "hundred" => Some(Self::Hundred),
            _ => None,
        }
    }
}

/// What goes back for one message.
pub(crate) enum Answer {
    /// Nothing, for a notification.
    None,
    /// Messages before the answer, and the answer, as events.
    Events(Bytes),
    /// One message in two pieces: the part with the id, and the part that is always the same.
    Message {
        /// `{"jsonrpc":"2.0","id":…`
        head: Bytes,
        /// `,"result":…}`
        tail: Bytes,
        /// Whether this begins a legacy session.
        opens_session: bool,
        /// Whether the tail holds an error that HTTP shows as a bad request.
        refused: bool,
    },
}

/// The prepared tails.
pub(crate) struct Answers {
    legacy: Tails,
    modern: Tails,
    initialize: Vec<(&'static str, Bytes)>,
    discover: [Bytes; 2],
    unsupported: Bytes,
    unknown_method: Bytes,
    unknown_tool: Bytes,
}

struct Tails {
    small: Bytes,
    big: Bytes,
    calls: Bytes,
    ten: Bytes,
    hundred: Bytes,
    empty: Bytes,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "progressToken")]
    progress: Option<&'a RawValue>,
}

impl Answers {
    /// Prepares everything.
    pub(crate) fn new() -> Self {
        let versions = LEGACY_VERSIONS.into_iter().map(|version| (version, result(&initialized(version)))).collect();
        let all: Vec<&str> = [MODERN_VERSION].into_iter().chain(LEGACY_VERSIONS).collect();
        let data = json!({"supported": [MODERN_VERSION], "requested": "unknown"});
        Self {
            legacy: Tails::new(|body| body),
            modern: Tails::new(modern),
            initialize: versions,
            discover: [discovered(&[MODERN_VERSION]), discovered(&all)],
            unsupported: error(&json!({"code": -32022, "message": "unsupported protocol version", "data": data})),
            unknown_method: error(&json!({"code": -32601, "message": "method not found"})),
            unknown_tool: error(&json!({"code": -32602, "message": "unknown tool"})),
        }
    }

    /// Answers one message; `None` when it cannot be read.
    pub(crate) fn answer(&self, era: Era, catalog: Catalog, message: &[u8]) -> Option<Answer> {
        let incoming: Incoming<'_> = serde_json::from_slice(message).ok()?;
        let (Some(id), Some(method)) = (incoming.id, incoming.method.as_deref()) else {
            return Some(Answer::None);
        };
        let params = incoming.params.as_ref();
        let is_modern = params.is_some_and(|params| params.meta.as_ref().is_some_and(|meta| meta.version.is_some()));
        let (tail, refused) = match (era, is_modern) {
            // What a server that does not know the other era says.
            (Era::Legacy, true) => (&self.unknown_method, true),
            (Era::Modern, false) => (&self.unsupported, true),
            _ => (self.tail(era, catalog, method, params, is_modern), false),
        };
        if let Some(events) = self.progress(method, params, id, tail) {
            return Some(Answer::Events(events));
        }
        let mut head = BytesMut::with_capacity(24 + id.get().len());
        head.put_slice(br#"{"jsonrpc":"2.0","id":"#);
        head.put_slice(id.get().as_bytes());
        let opens_session = method == "initialize" && !refused;
        Some(Answer::Message { head: head.freeze(), tail: tail.clone(), opens_session, refused })
    }

    /// What a call of `progress` answers: as many messages as are measured, then the result. All of it leaves at once.
    fn progress(&self, method: &str, params: Option<&Params<'_>>, id: &RawValue, tail: &Bytes) -> Option<Bytes> {
        let params = params.filter(|params| method == "tools/call" && params.name.as_deref() == Some("progress"))?;
        let token = params.meta.as_ref()?.progress?;
        let mut events = BytesMut::with_capacity(2048);
        for step in 1..=PROGRESS_MESSAGES {
            let message = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{step},"total":{PROGRESS_MESSAGES},"message":"step {step} is done"}}}}"#
            );
            events.put_slice(format!("event: message\ndata: {message}\n\n").as_bytes());
        }
        events.put_slice(format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id}").as_bytes());
        events.put_slice(tail);
        events.put_slice(b"\n\n");
        Some(events.freeze())
    }

    fn tail(&self, era: Era, catalog: Catalog, method: &str, params: Option<&Params<'_>>, modern: bool) -> &Bytes {
        let tails = if modern { &self.modern } else { &self.legacy };
        match method {
            "tools/call" => match params.and_then(|params| params.name.as_deref()) {
                Some("small" | "progress") => &tails.small,
                Some("big") => &tails.big,
                _ => &self.unknown_tool,
            },
            "tools/list" => match catalog {
                Catalog::Calls => &tails.calls,
                Catalog::Ten => &tails.ten,
                Catalog::Hundred => &tails.hundred,
            },
            "initialize" => self.initialize(params.and_then(|params| params.version.as_deref())),
            "ping" if !modern => &tails.empty,
            "server/discover" if modern => &self.discover[usize::from(era == Era::Both)],
            _ => &self.unknown_method,
        }
    }

    fn initialize(&self, wanted: Option<&str>) -> &Bytes {
        let known = self.initialize.iter().find(|(version, _)| Some(*version) == wanted);
        &known.unwrap_or(&self.initialize[0]).1
    }
}

impl Tails {
    fn new(dress: fn(Value) -> Value) -> Self {
        let text = |bytes: usize| json!({"content": [{"type": "text", "text": "lorem ipsum ".repeat(bytes / 12 + 1)[..bytes]}]});
        let list = |count: usize| {
            dress(json!({"tools": (0..count).map(|n| tool(&format!("tool_{n:03}"))).collect::<Vec<_>>()}))
        };
        Self {
            small: result(&dress(text(SMALL_BYTES))),
            big: result(&dress(text(BIG_BYTES))),
            calls: result(&dress(json!({"tools": [tool("small"), tool("big"), tool("progress")]}))),
            ten: result(&list(10)),
            hundred: result(&list(100)),
            empty: result(&json!({})),
        }
    }
}

fn tool(name: &str) -> Value {
    json!({
        "name": name,
        "description": "Looks up the items that match a query and answers with a short text, as typical tools do.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What to look for"},
                "limit": {"type": "integer", "minimum": 1, "description": "How many items at most"}
            },
            "required": ["query"]
        }
    })
}

fn server_info() -> Value {
    json!({"name": "bench-origin", "version": "1.0.0"})
}

fn initialized(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server_info()})
}

fn discovered(versions: &[&str]) -> Bytes {
    result(&modern(json!({"supportedVersions": versions, "capabilities": {"tools": {}}})))
}

/// Adds what every modern result carries, and the hints of those that may be kept.
fn modern(mut body: Value) -> Value {
    if body.get("content").is_none() {
        body["ttlMs"] = json!(60_000);
        body["cacheScope"] = json!("private");
    }
    body["resultType"] = json!("complete");
    body["_meta"] = json!({"io.modelcontextprotocol/serverInfo": server_info()});
    body
}

fn result(body: &Value) -> Bytes {
    format!(r#","result":{body}}}"#).into()
}

fn error(body: &Value) -> Bytes {
    format!(r#","error":{body}}}"#).into()
}
