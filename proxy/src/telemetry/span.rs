//! The spans of one request, by OpenTelemetry's semantic conventions for MCP: SERVER for the request itself, CLIENT for each time
//! that it is sent to a server. The trail of the audit carries them and ends them, so each way out of a request ends them too.
//!
//! No argument, no result, no URI, no credential and no session id has a place here; names come from the configuration and the
//! catalogs, the request's id is cut off when it is long.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{
        Span, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};
use patchbay_core::{
    audit::{Ending, EventId, How},
    json,
    method::Method,
    trace::{SpanId, TraceContext, TraceId, TraceParent},
};

use super::{ids, outbox::Outbox};

/// The longest text of an attribute, in bytes; a longer name is cut.
const ATTRIBUTE_BYTES_MAX: usize = 256;
/// The longest id of a request that is recorded, in bytes. A longer one is none that a client counts up.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The flags of OTLP that say whether a parent was of another process.
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// One request in its trace.
#[derive(Debug)]
pub struct RequestTrace {
    /// The request's own span, with what the caller's tracing system said.
    context: TraceContext,
    /// `None` for a trace that is not sampled: it is handed on and leaves nothing here.
    recorded: Option<Box<Recorded>>,
}

/// Where a request runs, and what it is.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The toolset's name.
    pub toolset: &'a str,
    /// The revision that the client speaks.
    pub version: &'a str,
    /// The request's id as raw JSON.
    pub id: &'a [u8],
    /// Its event in the audit.
    pub event: Option<EventId>,
    /// When it came.
    pub came: Option<Instant>,
}

/// What is being recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    outbox: Arc<Outbox>,
    method: Method,
    server: Span,
    call: Option<Span>,
    /// What the CLIENT spans are to say: attributes that a call adds, and its name.
    target: Vec<KeyValue>,
    call_name: String,
    /// The code of an error that a server answered.
    code: Option<i32>,
}

/// What is known of other processes' spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote {
    pub(super) parent: Option<SpanId>,
    pub(super) link: Option<TraceParent>,
}

impl Recorded {
    pub(super) fn new(outbox: Arc<Outbox>, context: &TraceContext, remote: Remote, method: &Method) -> Self {
        let name = method_name(method);
        let mut server = span(context, remote.parent, SpanKind::Server, name.to_owned(), now_ns());
        server.flags |= KNOWS_REMOTE | if remote.parent.is_some() { IS_REMOTE } else { 0 };
        server.links.extend(remote.link.map(link));
        server.attributes.reserve(16);
        server.attributes.push(text("mcp.method.name", name));
        server.attributes.push(text("network.transport", "tcp"));
        server.attributes.push(text("network.protocol.name", "http"));
        if *method == Method::ToolsCall {
            server.attributes.push(text("gen_ai.operation.name", "execute_tool"));
        }
        Self {
            outbox,
            method: method.clone(),
            server,
            call: None,
            target: Vec::new(),
            call_name: String::new(),
            code: None,
        }
    }
}

impl RequestTrace {
    pub(super) const fn new(context: TraceContext, recorded: Option<Box<Recorded>>) -> Self {
        Self { context, recorded }
    }

    /// The trace, for the log and the audit.
    pub const fn trace_id(&self) -> TraceId {
        self.context.parent.trace
    }

    /// Whether it is recorded.
    pub const fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Says where the request runs.
    pub fn set(&mut self, setting: &Setting<'_>) {
        let Some(Recorded { server, .. }) = self.recorded.as_deref_mut() else { return };
        if let Some(came) = setting.came {
            server.start_time_unix_nano = server.start_time_unix_nano.saturating_sub(nanos(came.elapsed()));
        }
        let attributes = &mut server.attributes;
        attributes.push(text("patchbay.tenant", setting.tenant));
        attributes.push(text("patchbay.toolset", setting.toolset));
        attributes.push(text("mcp.protocol.version", setting.version));
        attributes.extend(request_id(setting.id).map(|id| text("jsonrpc.request.id", &id)));
        attributes.extend(setting.event.map(|event| text("patchbay.request", &super::log::uuid(event).to_string())));
    }

    /// Says where the request goes. URIs are left out: they hold what people search for, and keys.
    pub fn target(&mut self, server: &str, exposed: &str, native: &str) {
        let Some(recorded) = &mut self.recorded else { return };
        let method = method_name(&recorded.method);
        let key = match recorded.method {
            Method::ToolsCall => Some("gen_ai.tool.name"),
            Method::PromptsGet => Some("gen_ai.prompt.name"),
            _ => None,
        };
        recorded.target.clear();
        recorded.target.push(text("mcp.method.name", method));
        method.clone_into(&mut recorded.call_name);
        if let Some(key) = key {
            recorded.server.name = format!("{method} {}", cut(exposed));
            recorded.server.attributes.push(text(key, exposed));
            recorded.call_name = format!("{method} {}", cut(native));
            recorded.target.push(text(key, native));
        }
        if recorded.method == Method::ToolsCall {
            recorded.target.push(text("gen_ai.operation.name", "execute_tool"));
        }
        let tenant = recorded.server.attributes.iter().find(|known| known.key == "patchbay.tenant").cloned();
        recorded.target.extend(tenant);
        recorded.target.push(text("patchbay.server", server));
        recorded.server.attributes.push(text("patchbay.server", server));
    }

    /// Begins a call to the server, and gives what the server is told of it.
    pub fn call(&mut self) -> TraceContext {
        let parent = self.context.parent;
        let context =
            TraceContext { parent: parent.child(ids::span(), parent.is_sampled()), state: self.context.state.clone() };
        if let Some(recorded) = &mut self.recorded {
            let name = recorded.call_name.clone();
            let mut call = span(&context, Some(parent.span), SpanKind::Client, name, now_ns());
            call.flags |= KNOWS_REMOTE;
            call.attributes.clone_from(&recorded.target);
            recorded.call = Some(call);
        }
        context
    }

    /// Ends a call that is made once more.
    pub fn call_failed(&mut self, label: &str) {
        if let Some(recorded) = &mut self.recorded
            && let Some(call) = recorded.call.take()
        {
            let ending = Ending::failed(0, None, label);
            recorded.outbox.put(ended(call, &ending, None, now_ns()));
        }
    }

    /// The code of the error that the server answered.
    pub fn code(&mut self, code: Option<i32>) {
        if let Some(recorded) = &mut self.recorded {
            recorded.code = code;
        }
    }

    /// Ends it.
    pub fn end(mut self, ending: &Ending<'_>) {
        self.finish(ending);
    }

    fn finish(&mut self, ending: &Ending<'_>) {
        let Some(recorded) = self.recorded.take() else { return };
        let now = now_ns();
        let Recorded { outbox, mut server, call, code, .. } = *recorded;
        if let Some(call) = call {
            outbox.put(ended(call, ending, code, now));
        }
        server.attributes.push(text("patchbay.outcome", ending.how.as_str()));
        outbox.put(ended(server, ending, code, now));
    }
}

impl Drop for RequestTrace {
    fn drop(&mut self) {
        if self.recorded.is_none() {
            return;
        }
        if std::thread::panicking() {
            self.finish(&Ending { how: How::Broken, ..Ending::failed(500, None, "panic") });
        } else {
            self.finish(&Ending { how: How::Cancelled, ..Ending::answered(0) });
        }
    }
}

/// The name on the wire; what a client made up is no name.
fn method_name(method: &Method) -> &str {
    match method {
        Method::Other(_) => "_OTHER",
        known => known.as_str(),
    }
}

/// A request's id without quotes, when it is short.
fn request_id(raw: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let raw = std::str::from_utf8(raw).ok().filter(|raw| raw.len() <= REQUEST_ID_BYTES_MAX)?;
    if raw.starts_with('"') { json::unquote(raw) } else { Some(raw.into()) }
}

fn span(context: &TraceContext, parent: Option<SpanId>, kind: SpanKind, name: String, start: u64) -> Span {
    Span {
        trace_id: context.parent.trace.bytes().into(),
        span_id: context.parent.span.bytes().into(),
        trace_state: context.state.as_ref().map_or_else(String::new, |state| state.as_str().to_owned()),
        parent_span_id: parent.map_or_else(Vec::new, |span| span.bytes().into()),
        flags: context.parent.flags().into(),
        name,
        kind: kind.into(),
        start_time_unix_nano: start,
        ..Span::default()
    }
}

fn link(parent: TraceParent) -> Link {
    Link {
        trace_id: parent.trace.bytes().into(),
        span_id: parent.span.bytes().into(),
        flags: u32::from(parent.flags()) | KNOWS_REMOTE | IS_REMOTE,
        ..Link::default()
    }
}

/// The span with its end: `error.type` and the status by how the request ended.
fn ended(mut span: Span, ending: &Ending<'_>, code: Option<i32>, now: u64) -> Span {
    // The clock may have been set back meanwhile.
    span.end_time_unix_nano = now.max(span.start_time_unix_nano);
    let code = code.or(ending.code);
    let kind = match ending.how {
        How::Cancelled => None,
        How::Answered if ending.is_error => Some("tool_error".to_owned()),
        How::Answered => ending.reason.map(|_| code.map_or_else(|| "_OTHER".to_owned(), |code| code.to_string())),
        How::Refused | How::Failed | How::Broken => Some(ending.reason.unwrap_or("_OTHER").to_owned()),
    };
    if let Some(kind) = kind {
        span.attributes.push(text("error.type", &kind));
        span.attributes.extend(code.map(|code| text("rpc.response.status_code", &code.to_string())));
        span.status = Some(Status { code: StatusCode::Error.into(), message: String::new() });
    }
    span
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ATTRIBUTE_BYTES_MAX)]
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(cut(value).to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn now_ns() -> u64 {
    nanos(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
