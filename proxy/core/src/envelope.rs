//! What a client sent, read once: the JSON-RPC envelope and the few members of `params` that routing needs, as spans of the
//! body. Everything else stays the bytes it was. Called by the pipeline; nothing below reads the body again.
//!
//! A name that another parser could take for a known one (`Method`, `paramſ`) is refused, and so is a known name that stands
//! twice: what was judged here must be what a server reads.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use crate::{
    era::{META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION},
    json::{self, Member},
    method::Method,
    trace::{TRACEPARENT, TRACESTATE},
};

/// Why a body is no message. The `Display` text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is not JSON: -32700.
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    /// It nests deeper than the bound: -32600.
    #[error("the body nests deeper than {0} levels")]
    TooDeep(usize),
    /// A batch where none is taken: -32600.
    #[error("batches are not taken by this protocol version: send one message per POST")]
    Batch,
    /// It is JSON, but no JSON-RPC message: -32600.
    #[error("{0}")]
    Invalid(&'static str),
    /// A known member stands twice or is spelled almost right: -32600.
    #[error("the member `{0}` stands twice, or is spelled in a way that other parsers take for a known one")]
    Ambiguous(String),
}

/// One message of a client.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// It wants a response.
    Request(Request),
    /// It wants none.
    Notification(Notification),
    /// It answers a request of ours.
    Response(Response),
}

/// A request: its id as it was written, its method, its params.
#[derive(Debug, Clone)]
pub struct Request {
    /// The id, raw: a JSON string or integer.
    pub id: Bytes,
    /// The method.
    pub method: Method,
    /// The params.
    pub params: Params,
}

/// A notification.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The method.
    pub method: Method,
    /// The params.
    pub params: Params,
}

/// An answer to a request of ours.
#[derive(Debug, Clone)]
pub struct Response {
    /// The id, raw.
    pub id: Bytes,
    /// The member `"result":…` or `"error":…` as it was written.
    pub outcome: Bytes,
}

/// The members of a message that are ours to read.
const KNOWN: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// The members of params that decide where a request goes and what it may do.
const KNOWN_PARAMS: [&str; 9] =
    ["name", "uri", "arguments", "_meta", "cursor", "ref", "requestState", "inputResponses", "taskId"];
/// The longest id that is taken, in bytes; it comes back in each answer.
const ID_BYTES_MAX: usize = 1024;

impl Incoming {
    /// Reads one message. `depth_max` bounds the nesting of the whole body.
    pub fn parse(body: &Bytes, depth_max: usize) -> Result<Self, EnvelopeError> {
        let text = checked_text(body, depth_max)?;
        if text.starts_with('[') {
            return Err(EnvelopeError::Batch);
        }
        Self::of(body, text)
    }

    /// Reads a message or a batch of at most `batch_max` messages (2025-03-26 only).
    pub fn parse_batch(body: &Bytes, depth_max: usize, batch_max: usize) -> Result<Vec<Self>, EnvelopeError> {
        let text = checked_text(body, depth_max)?;
        if !text.starts_with('[') {
            return Self::of(body, text).map(|one| vec![one]);
        }
        let parts =
            json::elements(text).map_err(|_| EnvelopeError::Invalid("the batch is not an array of messages"))?;
        if parts.is_empty() {
            return Err(EnvelopeError::Invalid("the batch is empty"));
        }
        if parts.len() > batch_max {
            return Err(EnvelopeError::Invalid("the batch holds too many messages"));
        }
        parts.into_iter().map(|part| Self::of(body, part)).collect()
    }

    fn of(body: &Bytes, text: &str) -> Result<Self, EnvelopeError> {
        let slice = |part: &str| body.slice_ref(part.as_bytes());
        let mut found: [Option<Member<'_>>; KNOWN.len()] = [None; KNOWN.len()];
        collect(text, &KNOWN, &mut found).map_err(|error| match error {
            Collect::Broken => EnvelopeError::Invalid("a message is a JSON object"),
            Collect::Ambiguous(name) => EnvelopeError::Ambiguous(name),
        })?;
        let [version, id, method, params, result, error] = found;
        if version.is_none_or(|member| member.value != "\"2.0\"") {
            return Err(EnvelopeError::Invalid("expected the member \"jsonrpc\":\"2.0\""));
        }
        let id = id.map(|member| checked_id(member.value)).transpose()?.map(slice);
        match (method, id, result.or(error)) {
            (Some(method), id, None) => {
                let name = json::unquote(method.value).ok_or(EnvelopeError::Invalid("the method is not a string"))?;
                let method = Method::of(&name);
                let params = Params::read(body, params.map(|member| member.value))?;
                Ok(match id {
                    Some(id) => Self::Request(Request { id, method, params }),
                    None => Self::Notification(Notification { method, params }),
                })
            }
            (None, Some(id), Some(outcome)) if result.is_none() || error.is_none() => {
                Ok(Self::Response(Response { id, outcome: slice(outcome.whole) }))
            }
            _ => Err(EnvelopeError::Invalid("expected a request, a notification or a response of JSON-RPC 2.0")),
        }
    }
}

fn checked_text(body: &Bytes, depth_max: usize) -> Result<&str, EnvelopeError> {
    let text = match json::grammar::text(body) {
        Some(text) => text.trim_matches([' ', '\t', '\n', '\r']),
        // Asked a second time for its words: where the body is broken, and how.
        None => serde_json::from_slice::<&serde_json::value::RawValue>(body)
            .map_err(|error| EnvelopeError::NotJson(error.to_string()))?
            .get(),
    };
    if json::deeper_than(text.as_bytes(), depth_max) {
        return Err(EnvelopeError::TooDeep(depth_max));
    }
    Ok(text)
}

fn checked_id(raw: &str) -> Result<&str, EnvelopeError> {
    let number = raw.strip_prefix('-').unwrap_or(raw);
    let integer = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if raw.len() <= ID_BYTES_MAX && (raw.starts_with('"') || integer) {
        Ok(raw)
    } else {
        Err(EnvelopeError::Invalid("the id is a string or an integer, of at most 1024 bytes"))
    }
}

/// What keeps the members of an object from being told apart.
enum Collect {
    Broken,
    Ambiguous(String),
}

/// Puts the known members into their slots. Refuses doubles and names that only look like known ones.
fn collect<'a>(text: &'a str, known: &[&str], slots: &mut [Option<Member<'a>>]) -> Result<(), Collect> {
    for member in json::members(text) {
        let member = member.map_err(|_| Collect::Broken)?;
        let name = member.name();
        match known.iter().position(|known| **known == *name) {
            Some(at) if slots[at].replace(member).is_none() => {}
            None if !known.contains(&folded(&name).as_ref()) => {}
            _ => return Err(Collect::Ambiguous(name.chars().take(40).collect())),
        }
    }
    Ok(())
}

/// The name as a parser that ignores case sees it. Only for comparison with lower-case ASCII names (`requestState` and
/// `inputResponses` are held against their exact spelling alone).
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'/') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().flat_map(char::to_lowercase).map(|c| if c == 'ſ' { 's' } else { c }).collect())
}

/// The params of a request, by the members that routing reads. Spans point into the body.
#[derive(Debug, Clone, Default)]
pub struct Params {
    body: Bytes,
    whole: Option<Span>,
    known: [Option<Span>; KNOWN_PARAMS.len()],
    /// Key, colon and value of each member but `_meta`, in order; a second span where it is the value of a known one.
    members: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(body: &Bytes, part: &str) -> Self {
        let start = part.as_ptr() as usize - body.as_ptr() as usize;
        let clip = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: clip(start), end: clip(start + part.len()) }
    }

    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Params {
    fn read(body: &Bytes, text: Option<&str>) -> Result<Self, EnvelopeError> {
        let Some(text) = text else { return Ok(Self::default()) };
        let mut found: [Option<Member<'_>>; KNOWN_PARAMS.len()] = [None; KNOWN_PARAMS.len()];
        collect(text, &KNOWN_PARAMS, &mut found).map_err(|error| match error {
            Collect::Broken => EnvelopeError::Invalid("params is a JSON object"),
            Collect::Ambiguous(name) => EnvelopeError::Ambiguous(name),
        })?;
        let members = json::members(text)
            .flatten()
            .filter(|member| !member.is("_meta"))
            .map(|member| Span::of(body, member.whole))
            .collect();
        let known = found.map(|member| member.map(|member| Span::of(body, member.value)));
        Ok(Self { body: body.clone(), whole: Some(Span::of(body, text)), known, members })
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(&self.body[span.range()]).unwrap_or_default()
    }

    /// The raw value of one of the members that routing knows (`name`, `uri`, `arguments`, `_meta`, `cursor`, `ref`,
    /// `requestState`, `inputResponses`, `taskId`).
    pub fn raw(&self, name: &str) -> Option<&str> {
        let at = KNOWN_PARAMS.iter().position(|known| *known == name)?;
        self.known[at].map(|span| self.text(span))
    }

    /// The value of such a member when it is a string, escapes resolved.
    pub fn string(&self, name: &str) -> Option<Cow<'_, str>> {
        self.raw(name).and_then(json::unquote)
    }

    /// The raw value of any member.
    pub fn any(&self, name: &str) -> Option<&str> {
        json::at_path(self.text(self.whole?), &[name])
    }

    /// All of the params as they were written; empty when there are none.
    pub fn source(&self) -> Bytes {
        self.whole.map_or_else(Bytes::new, |span| self.body.slice(span.range()))
    }

    /// The members but `_meta`, with the value of `replace` swapped for `value` (raw JSON): the pieces of an outgoing
    /// request. All other bytes are the caller's own.
    pub fn pieces(&self, replace: &str, value: &str) -> Vec<Bytes> {
        self.pieces_with(&[(replace, value)])
    }

    /// The same with several values swapped.
    pub fn pieces_with(&self, swaps: &[(&str, &str)]) -> Vec<Bytes> {
        let mut pieces = Vec::with_capacity(self.members.len() * 2 + 1);
        for span in &self.members {
            if !pieces.is_empty() {
                pieces.push(Bytes::from_static(b","));
            }
            let whole = self.text(*span);
            let swap = json::end_of_string(whole.as_bytes(), 0).ok().and_then(|end| {
                let key = Member { key: &whole[..end], value: "", whole: "" };
                swaps.iter().find(|(name, _)| key.is(name))
            });
            pieces.push(match swap {
                Some((name, value)) => Bytes::from(format!("\"{name}\":{value}")),
                None => self.body.slice(span.range()),
            });
        }
        pieces
    }

    /// What `_meta` says.
    pub fn meta(&self) -> Result<Meta<'_>, EnvelopeError> {
        self.raw("_meta").map_or_else(|| Ok(Meta::default()), Meta::read)
    }
}

/// The members of a request's `_meta` that the gateway reads, raw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// `_meta` as it was written.
    pub whole: &'a str,
    /// The caller's progress token: a string or an integer.
    pub progress_token: Option<&'a str>,
    /// The revision; makes a request modern.
    pub protocol_version: Option<&'a str>,
    /// What the client can be asked.
    pub client_capabilities: Option<&'a str>,
    /// What the client says it is.
    pub client_info: Option<&'a str>,
    /// The level from which on it wants log messages.
    pub log_level: Option<&'a str>,
}

impl<'a> Meta<'a> {
    fn read(text: &'a str) -> Result<Self, EnvelopeError> {
        let mut meta = Self { whole: text, ..Self::default() };
        for member in json::members(text) {
            let member = member.map_err(|_| EnvelopeError::Invalid("_meta is a JSON object"))?;
            let slot = match &*member.name() {
                "progressToken" => &mut meta.progress_token,
                META_PROTOCOL_VERSION => &mut meta.protocol_version,
                META_CLIENT_CAPABILITIES => &mut meta.client_capabilities,
                META_CLIENT_INFO => &mut meta.client_info,
                META_LOG_LEVEL => &mut meta.log_level,
                _ => continue,
            };
            if slot.replace(member.value).is_some() {
                return Err(EnvelopeError::Ambiguous(member.name().into_owned()));
            }
        }
        Ok(meta)
    }

    /// The members that may go to a server, without braces: all but those that each leg writes itself, and `baggage`, which
    /// may say more than a foreign server should know. `traced` says that the gateway writes a trace context of its own, so
    /// that the caller's does not pass.
    pub fn passing(&self, traced: bool) -> Bytes {
        let mut out = Vec::new();
        for member in json::members(self.whole).flatten() {
            let name = member.name();
            if name == "progressToken" || name == "baggage" || name.starts_with("io.modelcontextprotocol/") {
                continue;
            }
            if traced && (name == TRACEPARENT || name == TRACESTATE) {
                continue;
            }
            if !out.is_empty() {
                out.push(b',');
            }
            out.extend_from_slice(member.whole.as_bytes());
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &'static str) -> Request {
        match Incoming::parse(&Bytes::from_static(text.as_bytes()), 64) {
            Ok(Incoming::Request(request)) => request,
            other => panic!("expected a request, got {other:?}"),
        }
    }

    fn refused(text: &'static str) -> EnvelopeError {
        Incoming::parse(&Bytes::from_static(text.as_bytes()), 8).expect_err(text)
    }

    #[test]
    fn a_call_is_read_as_spans_and_goes_out_with_another_name() {
        let call = request(
            r#" {"jsonrpc":"2.0","id":"a\u0062","method":"tools\/call","params":{"odd":1.50,"n\u0061me":"x_y","arguments":{"n":1e999},"_meta":{"progressToken":0,"traceparent":"t","baggage":"b"}}}"#,
        );
        assert_eq!(call.id, r#""a\u0062""#);
        assert_eq!(call.method, Method::ToolsCall);
        assert_eq!(call.params.string("name").as_deref(), Some("x_y"));
        let out = call.params.pieces("name", "\"y\"").concat();
        assert_eq!(String::from_utf8_lossy(&out), r#""odd":1.50,"name":"y","arguments":{"n":1e999}"#);
        let meta = call.params.meta().expect("an object");
        assert_eq!((meta.progress_token, &*meta.passing(false)), (Some("0"), br#""traceparent":"t""#.as_slice()));
        assert!(meta.passing(true).is_empty());
    }

    #[test]
    fn what_another_parser_could_read_otherwise_is_refused() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","paramſ":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
        ] {
            assert!(matches!(refused(text), EnvelopeError::Ambiguous(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_a_reason() {
        assert!(matches!(refused("{\"jsonrpc\":\"2.0\""), EnvelopeError::NotJson(_)));
        assert!(matches!(refused("\u{feff}{}"), EnvelopeError::NotJson(_)));
        assert_eq!(refused("[[[[[[[[[]]]]]]]]]"), EnvelopeError::TooDeep(8));
        assert_eq!(refused("[]"), EnvelopeError::Batch);
        for text in [
            "{}",
            "3",
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":3}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
        ] {
            assert!(matches!(refused(text), EnvelopeError::Invalid(_)), "{text}");
        }
    }

    #[test]
    fn an_answer_keeps_its_outcome_as_written() {
        let text = Bytes::from_static(br#"{"jsonrpc":"2.0","id":7,"result":{"a": 1.0}}"#);
        let Ok(Incoming::Response(answer)) = Incoming::parse(&text, 64) else { panic!("expected a response") };
        assert_eq!(answer.outcome, r#""result":{"a": 1.0}"#);
    }

    #[test]
    fn a_batch_is_read_in_its_order_and_bounded() {
        let text = Bytes::from_static(br#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"n"}]"#);
        assert_eq!(Incoming::parse_batch(&text, 64, 2).map(|all| all.len()), Ok(2));
        assert!(Incoming::parse_batch(&text, 64, 1).is_err());
    }
}
