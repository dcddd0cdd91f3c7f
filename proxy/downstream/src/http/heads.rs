//! The headers of requests: made once per server and per session, cloned per request, never copied from a caller. Also the
//! texts that must not show up in errors, because they are secret.

use std::fmt::Write as _;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use patchbay_core::{
    era::{Era, Version},
    trace::TraceContext,
};
use url::{Position, Url};

use super::HttpError;
use crate::Outgoing;

pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const TRACEPARENT: HeaderName = HeaderName::from_static(patchbay_core::trace::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(patchbay_core::trace::TRACESTATE);
const PARAM_PREFIX: &str = "mcp-param-";

/// Longest session id that is taken from a server.
const SESSION_ID_BYTES_MAX: usize = 1024;
/// Longest part of a server's words that goes into an error.
const EXCERPT_CHARS_MAX: usize = 200;
/// Shorter texts are no secrets, and striking them out would only garble the error.
const SECRET_BYTES_MIN: usize = 4;

const RESERVED: [&str; 14] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// What all requests to one server have in common.
pub(crate) struct Heads {
    /// With the operator's headers, and the version that modern requests name.
    modern: HeaderMap,
    /// The same without a version: for `initialize`.
    legacy: HeaderMap,
    secrets: Vec<String>,
}

impl Heads {
    pub(crate) fn new(url: &Url, fixed: Vec<(HeaderName, HeaderValue)>) -> Result<Self, HttpError> {
        let mut legacy = HeaderMap::with_capacity(fixed.len() + 8);
        let host = &url[Position::BeforeHost..Position::AfterPort];
        legacy.insert(HOST, HeaderValue::from_str(host).map_err(|_| HttpError::Url("it has no usable host".into()))?);
        legacy.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        legacy.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        legacy.insert(USER_AGENT, HeaderValue::from_static(concat!("patchbay/", env!("CARGO_PKG_VERSION"))));
        let mut secrets = secrets_in(url);
        for (name, mut value) in fixed {
            if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("mcp-") {
                return Err(HttpError::ReservedHeader(name));
            }
            secrets.extend(secrets_of(&value));
            value.set_sensitive(true);
            legacy.append(name, value);
        }
        let mut modern = legacy.clone();
        modern.insert(PROTOCOL_VERSION, HeaderValue::from_static(Version::NEWEST.as_str()));
        // Places that each request fills or frees: a clone of the map then need not grow.
        modern.insert(METHOD, HeaderValue::from_static(""));
        modern.insert(NAME, HeaderValue::from_static(""));
        // The longest first, so that no secret is struck out in part and thereby shown in part.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(Self { modern, legacy, secrets })
    }

    /// For `initialize`.
    pub(crate) fn opening(&self) -> HeaderMap {
        self.legacy.clone()
    }

    /// For everything in a legacy session. The version header came with 2025-06-18; older servers get none.
    pub(crate) fn session(&self, version: Version, id: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = self.legacy.clone();
        if version > Version::V2025_03_26 {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
        }
        if let Some(id) = id {
            headers.insert(SESSION_ID, id.clone());
        }
        headers
    }

    /// For one modern request: what stands in its body is mirrored.
    pub(crate) fn modern(&self, request: &Outgoing) -> Option<HeaderMap> {
        let mut headers = self.modern.clone();
        headers.insert(METHOD, HeaderValue::from_static(request.method));
        match &request.mirror_name {
            Some(name) => headers.insert(NAME, mirrored(name)?),
            None => headers.remove(NAME),
        };
        for (name, value) in &request.mirror_params {
            let name = HeaderName::from_bytes(format!("{PARAM_PREFIX}{name}").as_bytes()).ok()?;
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        Some(headers)
    }

    /// Whether the operator gave a credential of the usual place.
    pub(crate) fn has_authorization(&self) -> bool {
        self.legacy.contains_key(AUTHORIZATION)
    }

    /// A text without anything that is secret.
    pub(crate) fn struck(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }

    /// A server's words for an error: clipped, on one line, without anything that is secret.
    pub(crate) fn excerpt(&self, body: &[u8]) -> String {
        let text = self.struck(&String::from_utf8_lossy(body));
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut clipped: String = text.trim().chars().take(EXCERPT_CHARS_MAX).map(plain).collect();
        if text.trim().chars().nth(EXCERPT_CHARS_MAX).is_some() {
            let _ = clipped.write_str("…");
        }
        clipped
    }
}

/// Says where a call stands in a trace. Both texts are printable ASCII.
pub(crate) fn trace(headers: &mut HeaderMap, context: &TraceContext) {
    if let Ok(parent) = HeaderValue::from_bytes(&context.parent.write()) {
        headers.insert(TRACEPARENT, parent);
    }
    match context.state.as_ref().and_then(|state| HeaderValue::from_str(state.as_str()).ok()) {
        Some(state) => headers.insert(TRACESTATE, state),
        None => headers.remove(TRACESTATE),
    };
}

/// A value as a mirrored header: as it is when it is plain, else in the Base64 sentinel.
fn mirrored(value: &str) -> Option<HeaderValue> {
    let edges = value.starts_with(' ') || value.ends_with(' ');
    let sentinel = value.starts_with("=?base64?") && value.ends_with("?=");
    if edges || sentinel || !value.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        HeaderValue::from_str(&format!("=?base64?{}?=", BASE64_STANDARD.encode(value))).ok()
    } else {
        HeaderValue::from_str(value).ok()
    }
}

/// The session id of a server, when it is one: visible ASCII.
pub(crate) fn session_id(headers: &HeaderMap) -> Result<Option<HeaderValue>, &'static str> {
    match headers.get(SESSION_ID) {
        None => Ok(None),
        Some(id)
            if !id.is_empty()
                && id.len() <= SESSION_ID_BYTES_MAX
                && id.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b)) =>
        {
            let mut id = id.clone();
            id.set_sensitive(true);
            Ok(Some(id))
        }
        Some(_) => Err("expected a session id of 1 to 1024 visible ASCII characters"),
    }
}

fn secrets_of(value: &HeaderValue) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    // A scheme before the secret (`Bearer …`) is not part of it.
    let bare = text.split_once(' ').map(|(_, bare)| bare.trim().to_owned());
    [Some(text), bare].into_iter().flatten().filter(|secret| secret.len() >= SECRET_BYTES_MIN)
}

/// The values in a URL's query: some servers take their key there.
fn secrets_in(url: &Url) -> Vec<String> {
    let raw =
        url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).map(|(_, v)| v.to_owned());
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    raw.chain(decoded).filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect()
}

/// How a body is framed, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Sse,
    Other,
}

impl Kind {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
            return Self::Other;
        };
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("text/event-stream") {
            Self::Sse
        } else {
            Self::Other
        }
    }
}

/// What a request id looks like in this transport's requests, raw.
pub(crate) fn raw_id(id: u64) -> String {
    itoa::Buffer::new().format(id).to_owned()
}

/// The era as people write it.
pub(crate) const fn era_word(era: Era) -> &'static str {
    match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(fixed: &[(&'static str, &str)]) -> Result<Heads, HttpError> {
        let url = Url::parse("https://tools.example:8443/mcp?key=hunter22").expect("a URL");
        let fixed = fixed
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")));
        Heads::new(&url, fixed.collect())
    }

    #[test]
    fn headers_that_the_transport_writes_cannot_be_configured() {
        for name in ["host", "mcp-session-id", "mcp-param-x", "content-length", "transfer-encoding"] {
            assert!(matches!(heads(&[(name, "x")]), Err(HttpError::ReservedHeader(_))), "{name} was taken");
        }
    }

    #[test]
    fn secrets_are_struck_out_of_what_a_server_said() {
        let heads = heads(&[("authorization", "Bearer s3cr3t-token")]).expect("heads");
        let said = heads.excerpt(b"bad token s3cr3t-token,\r\n\x1b[31m ?key=hunter22");
        assert_eq!(said, "bad token ***,   [31m ?key=***");
        assert_eq!(heads.excerpt("ä".repeat(500).as_bytes()).chars().count(), EXCERPT_CHARS_MAX + 1);
    }

    #[test]
    fn mirrored_names_are_plain_or_in_the_sentinel() {
        let text = |value| mirrored(value).expect("a header").to_str().expect("ASCII").to_owned();
        assert_eq!(text("get weather"), "get weather");
        assert_eq!(text("größe"), "=?base64?Z3LDtsOfZQ==?=");
        assert_eq!(text(" x"), "=?base64?IHg=?=");
        assert_eq!(text("a\r\nb"), "=?base64?YQ0KYg==?=");
        assert_eq!(text("=?base64?eA==?="), "=?base64?PT9iYXNlNjQ/ZUE9PT89?=");
    }

    #[test]
    fn the_host_header_names_the_port_when_it_is_not_the_usual_one() {
        let heads = heads(&[]).expect("heads");
        assert_eq!(heads.opening()[HOST], "tools.example:8443");
        assert!(!heads.opening().contains_key(PROTOCOL_VERSION));
    }
}
