//! The error table: every way a request can fail, and what each means to the caller, to an operator and to a counter. One
//! enum, one `match`. Turning it into a response is the edge's; the chain is logged once, there.
//!
//! Codes and statuses follow the protocol; our own codes lie outside of the range that JSON-RPC and MCP reserve.

use std::{borrow::Cow, sync::Arc, time::Duration};

use crate::{admission::told::Told, auth::challenge::Challenge};
use patchbay_core::{
    envelope::EnvelopeError,
    era::{Era, Version},
    json,
};
use patchbay_downstream::{Delivery, DownstreamError, Fault};

/// Why a request was not answered as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// No credential where one is needed.
    #[error("no credential")]
    Unauthenticated(Option<Box<Challenge>>),
    /// A credential that opens nothing.
    #[error("the credential is unknown, expired or revoked")]
    BadCredential(Option<Box<Challenge>>),
    /// A token that is good and has too few scopes for what it is shown for. The challenge names all that the operation needs.
    #[error("the token lacks scopes; needed: {}", .0.scopes.join(" "))]
    InsufficientScope(Box<Challenge>),
    /// Nobody can say whether the token is good: its issuer is out of reach and nothing of it is remembered.
    #[error("nobody can say now whether the token is good, since its issuer does not answer; try again soon")]
    SignInUnavailable,
    /// A credential that is longer than any good one.
    #[error("the Authorization header is larger than {0} bytes")]
    CredentialTooLarge(usize),
    /// More than one credential, or one that cannot be read.
    #[error("the credential cannot be read")]
    MalformedCredential,
    /// Not there, or not yours.
    #[error("nothing is here for this caller")]
    NotFound,
    /// The Host or Origin is on no list.
    #[error("the {0} header names a host that is not allowed here")]
    ForeignHost(&'static str),
    /// The tenant is switched off.
    #[error("the tenant is switched off")]
    SwitchedOff,
    /// The HTTP method is not offered at this URL.
    #[error("this URL takes {0}")]
    MethodNotAllowed(&'static str),
    /// The Accept header leaves out a type that the answer may have.
    #[error("the Accept header must list application/json and text/event-stream")]
    NotAcceptable,
    /// The Accept header does not list events, where there is nothing else.
    #[error("the Accept header must list text/event-stream")]
    NoEvents,
    /// The body is not JSON by its Content-Type.
    #[error("the Content-Type must be application/json")]
    UnsupportedMediaType,
    /// The body is larger than the bound.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// The body is no message.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The client has not declared the extension that it makes use of.
    #[error("this needs a client that declares the extension {0} in the capabilities of its request")]
    Undeclared(&'static str),
    /// A header and the body disagree.
    #[error("{0}")]
    HeaderMismatch(String),
    /// A modern request lacks a member of `_meta`.
    #[error("the request's _meta lacks {0}")]
    MetaMissing(&'static str),
    /// A revision that is not served.
    #[error("protocol version {0:?} is not served")]
    Version(String),
    /// A legacy request without its session.
    #[error("the Mcp-Session-Id header is missing: send initialize first, or speak protocol version 2026-07-28")]
    SessionMissing,
    /// A session that is not there (any more) for this caller.
    #[error("the session is unknown or has ended: send initialize again")]
    SessionGone,
    /// A session whose state at a server another replica has that is not reached from here.
    #[error(
        "this server keeps its state for each session, and another replica of this gateway has it: send initialize again. The operator can have replicas hand such requests on with replica_url, or have the load balancer send a session's requests to one replica"
    )]
    SessionElsewhere,
    /// The replica that a request was handed on to did not answer.
    #[error(
        "the replica of this gateway that had to answer broke off; the request may have been carried out: check before trying again"
    )]
    ReplicaLost,
    /// An event after which no stream of this session goes on.
    #[error(
        "the Last-Event-ID header names no event of this session: send the request again, if it may be carried out again"
    )]
    UnknownEvent,
    /// The answer of a stream is not kept any more, or its replica is gone.
    #[error("the answer is lost with its stream; the request may have been carried out: check before trying again")]
    AnswerLost,
    /// A method that nobody serves.
    #[error("method not found: {0}")]
    MethodNotFound(String),
    /// Params that are not what the method takes.
    #[error("{0}")]
    InvalidParams(Cow<'static, str>),
    /// A tool or prompt that this caller cannot see.
    #[error("unknown {kind}: {name}")]
    Unknown {
        /// `tool` or `prompt`.
        kind: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A resource that this caller cannot see.
    #[error("resource not found: {0}")]
    ResourceNotFound(String),
    /// Over a limit.
    #[error("over the limit {limit}")]
    Limited {
        /// Which, by its name.
        limit: Arc<str>,
        /// When it makes sense to come again.
        retry_after: Duration,
        /// How the limit stands, where answers tell that.
        told: Option<Box<Told>>,
    },
    /// A limit that must not be passed uncounted, while nobody counts.
    #[error("the limit {limit} cannot be counted now; try again soon")]
    LimitsAway {
        /// Which, by its name.
        limit: Arc<str>,
    },
    /// The gateway has no room for it now.
    #[error("the gateway cannot take this request now: {0}")]
    Overloaded(&'static str),
    /// The tool is never called without an audit record, and there is no room for one.
    #[error("the audit trail cannot take another record, and this tool is never called without one")]
    AuditFull,
    /// The gateway stops, and the call did not end in time.
    #[error(
        "the gateway is stopping and broke this request off; it may have been carried out: check before trying again"
    )]
    Stopping,
    /// A server failed; the chain says how.
    #[error("server {server}: {source}")]
    Server {
        /// The server's name.
        server: String,
        /// What happened.
        source: DownstreamError,
    },
    /// The gateway failed.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The caller.
    Caller,
    /// The gateway, or what it stands on.
    Gateway,
    /// A server behind it.
    Server,
}

impl Blame {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Server => "server",
        }
    }
}

/// What an error means.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The HTTP status.
    pub status: u16,
    /// The JSON-RPC code; 0 where the body carries none.
    pub code: i32,
    /// What the caller reads. Never internals.
    pub public: Cow<'static, str>,
    /// `data` of the JSON-RPC error, raw JSON.
    pub data: Option<String>,
    /// Who has to act.
    pub blame: Blame,
    /// When it makes sense to come again.
    pub retry_after: Option<Duration>,
    /// The word in audit and metrics.
    pub label: &'static str,
}

/// Over a limit.
pub const CODE_LIMITED: i32 = 42901;
/// No room, draining, or a dependency that must not be missing is.
pub const CODE_OVERLOADED: i32 = 50301;
/// Not allowed.
pub const CODE_FORBIDDEN: i32 = 40301;
/// The body came too slowly.
pub const CODE_TOO_SLOW: i32 = 40801;
/// The body is too large.
pub const CODE_TOO_LARGE: i32 = 41301;
/// The credential is too large.
pub const CODE_CREDENTIAL_TOO_LARGE: i32 = 43101;

/// When it makes sense to ask again whether a token is good.
const SIGN_IN_PAUSE: Duration = Duration::from_secs(5);
/// When it makes sense to ask again whether limits are counted.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

impl GatewayError {
    /// What the error means to a caller of this era.
    pub fn facts(&self, era: Era) -> Facts {
        use Blame::{Caller, Gateway, Server};
        let text = || Cow::Owned(self.to_string());
        let (status, code, public, blame, label) = match self {
            Self::Unauthenticated(challenge) => (401, 0, sign_in(challenge.as_deref()), Caller, "unauthenticated"),
            Self::BadCredential(challenge, ..) => {
                (401, 0, sign_in_again(challenge.as_deref()), Caller, "bad_credential")
            }
            Self::InsufficientScope(_) => (403, CODE_FORBIDDEN, text(), Caller, "insufficient_scope"),
            Self::SignInUnavailable => (503, CODE_OVERLOADED, text(), Gateway, "sign_in_unavailable"),
            Self::CredentialTooLarge(_) => (431, CODE_CREDENTIAL_TOO_LARGE, text(), Caller, "credential_too_large"),
            Self::MalformedCredential => (
                400,
                -32600,
                "send one Authorization: Bearer header, or one X-API-Key header".into(),
                Caller,
                "bad_credential",
            ),
            Self::NotFound => (404, 0, "not found".into(), Caller, "not_found"),
            Self::ForeignHost(_) => (403, CODE_FORBIDDEN, text(), Caller, "foreign_host"),
            Self::SwitchedOff => (403, CODE_FORBIDDEN, text(), Caller, "switched_off"),
            Self::MethodNotAllowed(_) => (405, 0, text(), Caller, "method_not_allowed"),
            Self::NotAcceptable | Self::NoEvents => (406, -32600, text(), Caller, "not_acceptable"),
            Self::UnsupportedMediaType => (415, -32600, text(), Caller, "media_type"),
            Self::BodyTooLarge(_) => (413, CODE_TOO_LARGE, text(), Caller, "too_large"),
            Self::BodyTooSlow => (408, CODE_TOO_SLOW, text(), Caller, "too_slow"),
            Self::BodyBroken => (400, -32700, text(), Caller, "broken_body"),
            Self::Envelope(EnvelopeError::NotJson(_)) => (400, -32700, text(), Caller, "not_json"),
            Self::Envelope(_) => (400, -32600, text(), Caller, "bad_envelope"),
            Self::HeaderMismatch(_) => (400, -32020, text(), Caller, "header_mismatch"),
            Self::Undeclared(_) => (400, -32021, text(), Caller, "undeclared"),
            Self::MetaMissing(_) => (400, -32602, text(), Caller, "meta_missing"),
            Self::Version(_) => (400, -32022, text(), Caller, "version"),
            Self::SessionMissing => (400, -32600, text(), Caller, "session_missing"),
            Self::SessionGone => (404, -32600, text(), Caller, "session_gone"),
            Self::SessionElsewhere => (404, -32600, text(), Caller, "session_elsewhere"),
            Self::ReplicaLost => (503, CODE_OVERLOADED, text(), Gateway, "replica_lost"),
            Self::UnknownEvent => (400, -32600, text(), Caller, "unknown_event"),
            Self::AnswerLost => (200, -32603, text(), Gateway, "answer_lost"),
            Self::MethodNotFound(_) => {
                (if era == Era::Modern { 404 } else { 200 }, -32601, text(), Caller, "method_not_found")
            }
            Self::InvalidParams(_) => (200, -32602, text(), Caller, "invalid_params"),
            Self::Unknown { .. } => (200, -32602, text(), Caller, "unknown_name"),
            Self::ResourceNotFound(_) => {
                (200, if era == Era::Modern { -32602 } else { -32002 }, text(), Caller, "unknown_resource")
            }
            Self::Limited { .. } => (429, CODE_LIMITED, text(), Caller, "limited"),
            Self::LimitsAway { .. } => (503, CODE_OVERLOADED, text(), Gateway, "limits_away"),
            Self::Overloaded(_) => (503, CODE_OVERLOADED, text(), Gateway, "overloaded"),
            Self::AuditFull => (503, CODE_OVERLOADED, text(), Gateway, "audit_full"),
            Self::Stopping => (503, CODE_OVERLOADED, text(), Gateway, "stopping"),
            Self::Server { server, source } => (200, -32603, Cow::Owned(server_text(server, source)), Server, "server"),
            Self::Internal(_) => {
                (500, -32603, "internal error: the log of the gateway has the reason".into(), Gateway, "internal")
            }
        };
        Facts { status, code, public, data: self.data(), blame, retry_after: self.retry_after(), label }
    }

    fn data(&self) -> Option<String> {
        match self {
            Self::Version(requested) => {
                let supported: Vec<_> = Version::ALL.iter().map(|version| json::quote(version.as_str())).collect();
                Some(format!(r#"{{"supported":[{}],"requested":{}}}"#, supported.join(","), json::quote(requested)))
            }
            Self::Limited { limit, retry_after, .. } => Some(come_again(limit, *retry_after)),
            Self::LimitsAway { limit } => Some(come_again(limit, AWAY_PAUSE)),
            Self::Undeclared(extension) => {
                Some(format!(r#"{{"requiredCapabilities":{{"extensions":{{"{extension}":{{}}}}}}}}"#))
            }
            Self::ResourceNotFound(uri) => Some(format!(r#"{{"uri":{}}}"#, json::quote(uri))),
            _ => None,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. } => Some(*retry_after),
            Self::LimitsAway { .. } => Some(AWAY_PAUSE),
            Self::Overloaded(_) | Self::AuditFull => Some(Duration::from_secs(1)),
            Self::SignInUnavailable => Some(SIGN_IN_PAUSE),
            _ => None,
        }
    }
}

/// Which limit, and when to come again: whole milliseconds, rounded up, so that nobody comes too early.
fn come_again(limit: &str, after: Duration) -> String {
    format!(r#"{{"limit":{},"retryAfterMs":{}}}"#, json::quote(limit), after.as_micros().div_ceil(1000))
}

/// What somebody reads who has shown nothing.
fn sign_in(challenge: Option<&Challenge>) -> Cow<'static, str> {
    match challenge {
        None => "sign in: send Authorization: Bearer <key>".into(),
        Some(challenge) => format!("sign in with OAuth, as {} says. {}", challenge.metadata_url, challenge.hint).into(),
    }
}

/// What somebody reads whose credential opens nothing: the same, whatever is wrong with it.
fn sign_in_again(challenge: Option<&Challenge>) -> Cow<'static, str> {
    match challenge {
        None => "the key is unknown, expired or revoked".into(),
        Some(challenge) => format!(
            "the credential does not count here: sign in again with OAuth, as {} says. {}",
            challenge.metadata_url, challenge.hint
        )
        .into(),
    }
}

/// What a model, or a person, reads when a server failed: a sentence to act on, nothing of the inside.
pub fn server_text(server: &str, error: &DownstreamError) -> String {
    let what = match error.fault {
        Fault::Unavailable => "is not reachable right now",
        Fault::Busy => "has too many requests waiting",
        Fault::Timeout => "did not answer in time",
        Fault::Closed => "broke off before it had answered",
        Fault::Protocol => "gave an answer that is not valid MCP",
        Fault::Refused(_) => "refused the request",
        Fault::SignIn => "does not let this gateway in",
        Fault::TooLarge => "gave an answer that is larger than this gateway hands on",
        Fault::SessionLost => "lost its session",
    };
    let then = match (error.fault, error.delivery) {
        (Fault::TooLarge, _) => "Ask for less at a time.",
        (Fault::Protocol | Fault::Refused(_), _) => {
            "Trying again is unlikely to help; tell the operator of the gateway."
        }
        (Fault::SignIn, _) => {
            "The operator of the gateway has to set up or mend its sign-in (OAuth) there. A server that wants each user's own \
             sign-in cannot be used through this gateway."
        }
        (_, Delivery::NotSent) => "The request was not carried out; it is safe to try again later.",
        (_, Delivery::MayHaveRun) => "The request may have been carried out; check before trying again.",
    };
    format!("The server \"{server}\" {what}. {then}")
}

/// A JSON-RPC error response. The id is left out where it could not be read.
pub fn error_body(id: Option<&[u8]>, code: i32, message: &str, data: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 96);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id);
    }
    out.extend_from_slice(format!(",\"error\":{{\"code\":{code},\"message\":{}", json::quote(message)).as_bytes());
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_a_limit_names_it_and_says_when_to_come_again_in_both_eras() {
        let after = Duration::from_micros(1_500_001);
        let over = GatewayError::Limited { limit: "per_tool".into(), retry_after: after, told: None };
        for era in [Era::Legacy, Era::Modern] {
            let facts = over.facts(era);
            assert_eq!((facts.status, facts.code, facts.label), (429, 42901, "limited"));
            assert_eq!((&*facts.public, facts.retry_after), ("over the limit per_tool", Some(after)));
            assert_eq!(facts.data.as_deref(), Some(r#"{"limit":"per_tool","retryAfterMs":1501}"#));
            let away = GatewayError::LimitsAway { limit: "paid".into() }.facts(era);
            assert_eq!((away.status, away.code, away.label), (503, 50301, "limits_away"));
            assert_eq!(away.data.as_deref(), Some(r#"{"limit":"paid","retryAfterMs":1000}"#));
            assert_eq!((away.retry_after, away.blame), (Some(Duration::from_secs(1)), Blame::Gateway));
        }
    }

    #[test]
    fn what_is_hidden_looks_like_what_is_unknown() {
        let one = GatewayError::Unknown { kind: "tool", name: "x".into() };
        let facts = one.facts(Era::Modern);
        assert_eq!((facts.status, facts.code, &*facts.public), (200, -32602, "unknown tool: x"));
    }

    #[test]
    fn where_tokens_are_taken_a_refusal_says_where_to_sign_in_and_elsewhere_as_ever() {
        let public = |error: GatewayError| error.facts(Era::Modern).public.into_owned();
        let challenge = Box::new(Challenge {
            metadata_url: "https://h.example/.well-known/oauth-protected-resource/t/acme/mcp".into(),
            scopes: vec!["mcp:read".into()],
            hint: "People sign in at corp; the client id is `ide`.".into(),
        });
        for text in [
            public(GatewayError::Unauthenticated(Some(challenge.clone()))),
            public(GatewayError::BadCredential(Some(challenge.clone()))),
        ] {
            assert!(text.contains(&challenge.metadata_url) && text.ends_with(&challenge.hint), "{text}");
        }
        assert_eq!(public(GatewayError::Unauthenticated(None)), "sign in: send Authorization: Bearer <key>");
        assert_eq!(public(GatewayError::BadCredential(None)), "the key is unknown, expired or revoked");
        let unavailable = GatewayError::SignInUnavailable.facts(Era::Legacy);
        assert_eq!((unavailable.status, unavailable.retry_after), (503, Some(Duration::from_secs(5))));
    }

    #[test]
    fn the_same_loss_has_another_code_in_each_era() {
        let lost = GatewayError::ResourceNotFound("a://b".into());
        assert_eq!((lost.facts(Era::Modern).code, lost.facts(Era::Legacy).code), (-32602, -32002));
        let unknown = GatewayError::MethodNotFound("x".into());
        assert_eq!((unknown.facts(Era::Modern).status, unknown.facts(Era::Legacy).status), (404, 200));
    }

    #[test]
    fn a_server_fault_says_whether_it_may_have_run_and_nothing_of_the_inside() {
        let source = DownstreamError::may_have_run(Fault::Closed, "10.0.0.7:99 secret");
        let text = server_text("git", &source);
        assert!(text.contains("may have been carried out") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn a_server_that_wants_a_sign_in_is_told_from_one_that_is_down() {
        let source = DownstreamError::not_sent(Fault::SignIn, "https://as.internal/ secret");
        let text = server_text("git", &source);
        assert!(text.contains("sign-in (OAuth)") && text.contains("user's own"), "{text}");
        assert!(!text.contains("try again") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn the_refused_version_lists_all_that_are_served() {
        let facts = GatewayError::Version("1999".into()).facts(Era::Modern);
        assert_eq!(
            facts.data.as_deref(),
            Some(r#"{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"requested":"1999"}"#)
        );
    }
}
