//! What the trail says of a request: the words of an audit record and its form as one line of JSON. Who writes them, when, and
//! where they go is the gateway's `audit`.
//!
//! A record names who, whose, what and how it ended. Results and credentials have no place in it, and of a call's arguments
//! there is what the tenant's policy lets through ([`Arguments`]). The line is written by hand into a buffer, in two parts: what
//! is known before the call ([`Event::write`]) and how it ended ([`Outcome::write`]), so that the second of two records costs
//! only its difference.

mod actor;
mod arguments;
mod chain;
mod digest;
mod event;
mod facets;
mod line;
mod note;
mod policy;
mod secrets;
mod sql;
mod verify;

use std::{borrow::Cow, net::IpAddr};

use sha2::{Digest, Sha256};

use crate::{Generation, TenantId};

pub use actor::{Actor, TokenActor};
pub use arguments::{ARGUMENTS_BYTES_MAX, Arguments};
pub use chain::{ChainId, Checkpoint, CheckpointReason, Link, WriterId};
pub use digest::DigestKey;
pub use event::{Action, EventId};
pub use facets::Facets;
pub use note::note_line;
pub(crate) use policy::AuditTools;
pub use policy::{AuditArguments, AuditDefaults, AuditLevel, AuditPolicy, Keep, TenantAudit, ToolAudit, WhenFull};
pub use verify::{ChainFault, Chained, Verifier};

/// The longest name, URI or other text of a record, in bytes before escaping; what is longer is cut and ends in `…`.
pub const TEXT_BYTES_MAX: usize = 256;

/// The longest name of a rule in a record, in bytes before escaping.
const RULE_BYTES_MAX: usize = 128;

/// The most that [`Outcome::write`] adds to a line.
pub const OUTCOME_BYTES_MAX: usize = 6 * (TEXT_BYTES_MAX + RULE_BYTES_MAX + 6) + 448;

/// The end of a line whose outcome is not known when it is written.
pub const OUTCOME_UNKNOWN: &[u8] = br#","decision":"allow","outcome":"unknown"}"#;

/// What it was done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The server's name.
    pub server: &'a str,
    /// The name or URI that the client used.
    pub exposed: &'a str,
    /// The name or URI that the server knows.
    pub native: &'a str,
}

/// What is known of an event before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its identity, by which logs name the request too.
    pub id: EventId,
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// What was done.
    pub action: Action,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// Through which toolset.
    pub toolset: Option<&'a str>,
    /// By which state of the tenant's configuration.
    pub revision: Option<Generation>,
    /// Who did it.
    pub actor: &'a Actor,
    /// From which address.
    pub ip: Option<IpAddr>,
    /// What the client calls itself.
    pub agent: Option<&'a str>,
    /// The first bytes of the SHA-256 of the JSON-RPC id, as it was written: whoever knows the id finds the record.
    pub rpc: Option<[u8; 8]>,
    /// The trace that it is part of (W3C).
    pub trace: Option<[u8; 16]>,
    /// What it was done to.
    pub target: Option<Target<'a>>,
}

/// The part of a JSON-RPC id that a record has.
pub fn rpc_digest(id: &[u8]) -> [u8; 8] {
    let digest = Sha256::digest(id);
    std::array::from_fn(|at| digest[at])
}

impl Event<'_> {
    /// Writes the line without its end: an [`Outcome`] or [`OUTCOME_UNKNOWN`] must follow.
    pub fn write(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(br#"{"event":""#);
        line::uuid(line, self.id.bits());
        line.extend_from_slice(br#"","at_ms":"#);
        line::number(line, self.at_ms);
        line::plain(line, br#","action":"#, self.action.as_str());
        if let Some(tenant) = self.tenant {
            line::id(line, br#","tenant":"#, tenant.bits());
        }
        if let Some(toolset) = self.toolset {
            line::text(line, br#","toolset":"#, toolset);
        }
        if let Some(revision) = self.revision {
            line.extend_from_slice(br#","revision":"#);
            line::number(line, revision.0);
        }
        self.write_actor(line);
        if let Some(rpc) = self.rpc {
            line::hex_text(line, br#","rpc":"#, &rpc);
        }
        if let Some(trace) = self.trace {
            line::hex_text(line, br#","trace":"#, &trace);
        }
        if let Some(target) = &self.target {
            line::text(line, br#","server":"#, target.server);
            line::text(line, br#","exposed":"#, &self.shown(target.exposed));
            line::text(line, br#","native":"#, &self.shown(target.native));
        }
    }

    fn write_actor(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(br#","actor":{"#);
        self.actor.write(line);
        if let Some(ip) = self.ip {
            line::ip(line, br#","ip":"#, ip);
        }
        if let Some(agent) = self.agent {
            line::text(line, br#","agent":"#, agent);
        }
        line.push(b'}');
    }

    /// What may be shown of a name: URIs carry secrets behind `?` and `#`, and before `@`.
    fn shown<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let is_uri = match self.action {
            Action::ResourceRead => true,
            Action::Complete => name.contains("://"),
            _ => false,
        };
        if !is_uri {
            return Cow::Borrowed(name);
        }
        let plain = |name: &'a str| name.split(['?', '#']).next().unwrap_or(name);
        let (scheme, rest) = name.split_once("://").unwrap_or(("", name));
        let path = rest.find('/').unwrap_or(rest.len());
        match rest[..path].rfind('@') {
            Some(at) if at > 0 && !scheme.is_empty() => {
                Cow::Owned([scheme, "://[secret]", plain(&rest[at..])].concat())
            }
            _ => Cow::Borrowed(plain(name)),
        }
    }
}

/// Whether it was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It was.
    Allow,
    /// It was not.
    Deny,
}

impl Decision {
    /// The word in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// The request was answered, be it with the error of a tool.
    Answered,
    /// The gateway refused it.
    Refused,
    /// Its client took it back or went away.
    Cancelled,
    /// The answer broke off.
    Broken,
    /// A server or the gateway failed.
    Failed,
}

impl How {
    /// The word in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Broken => "broken",
            Self::Failed => "failed",
        }
    }
}

/// How an event ended, as far as its owner says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending<'a> {
    /// How.
    pub how: How,
    /// The HTTP status; 0 when none was sent.
    pub status: u16,
    /// The JSON-RPC code, when there was an error.
    pub code: Option<i32>,
    /// Whether the tool said `isError`.
    pub is_error: bool,
    /// Why, in words of the gateway: the limit, the rule, what a server did. Never its texts.
    pub reason: Option<&'a str>,
}

impl<'a> Ending<'a> {
    /// An answer with that status.
    pub const fn answered(status: u16) -> Self {
        Self { how: How::Answered, status, code: None, is_error: false, reason: None }
    }

    /// A refusal.
    pub const fn refused(status: u16, code: Option<i32>, reason: &'a str) -> Self {
        Self { how: How::Refused, status, code, is_error: false, reason: Some(reason) }
    }

    /// A failure.
    pub const fn failed(status: u16, code: Option<i32>, reason: &'a str) -> Self {
        Self { how: How::Failed, status, code, is_error: false, reason: Some(reason) }
    }

    /// The same, with what the tool said of itself.
    #[must_use]
    pub const fn with_is_error(self, is_error: bool) -> Self {
        Self { is_error, ..self }
    }
}

/// How an event ended, with what was counted on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Whether it was let through; `None` for what ended before anybody had decided.
    pub decision: Option<Decision>,
    /// The rule that decided: the name of a limit, the scopes that a token has to have.
    pub rule: Option<&'a str>,
    /// How.
    pub ending: Ending<'a>,
    /// Bytes that the client sent.
    pub bytes_in: u64,
    /// Bytes that the client was sent.
    pub bytes_out: u64,
    /// How long it took.
    pub duration_us: u64,
}

impl Outcome<'_> {
    /// Writes the end of a line that [`Event::write`] began.
    pub fn write(&self, line: &mut Vec<u8>) {
        if let Some(decision) = self.decision {
            line::plain(line, br#","decision":"#, decision.as_str());
        }
        if let Some(rule) = self.rule {
            line::short(line, br#","rule":"#, rule, RULE_BYTES_MAX);
        }
        line::plain(line, br#","outcome":"#, self.ending.how.as_str());
        if self.ending.status != 0 {
            line.extend_from_slice(br#","status":"#);
            line::number(line, self.ending.status);
        }
        if let Some(code) = self.ending.code {
            line.extend_from_slice(br#","code":"#);
            line::number(line, code);
        }
        if self.ending.is_error {
            line.extend_from_slice(br#","is_error":true"#);
        }
        if let Some(reason) = self.ending.reason {
            line::text(line, br#","reason":"#, reason);
        }
        line.extend_from_slice(br#","bytes_in":"#);
        line::number(line, self.bytes_in);
        line.extend_from_slice(br#","bytes_out":"#);
        line::number(line, self.bytes_out);
        line.extend_from_slice(br#","duration_us":"#);
        line::number(line, self.duration_us);
        line.push(b'}');
    }
}

#[cfg(test)]
mod tests;
