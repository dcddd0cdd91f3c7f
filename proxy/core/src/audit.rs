//! What the trail says of a request: the words of an audit record and its form as one line of JSON. Who writes them, when, and
//! where they go is the gateway's `audit`.
//!
//! A record names who, whose, what and how it ended. Arguments, results and credentials have no place in it. The line is
//! written by hand into a buffer, in two parts: what is known before the call ([`Event::write`]) and how it ended
//! ([`Outcome::write`]), so that the second of two records costs only its difference.

mod actor;
mod chain;
mod facets;
mod line;
mod note;
mod policy;
mod verify;

use std::net::IpAddr;

use crate::TenantId;

pub use actor::{Actor, TokenActor};
pub use chain::{ChainId, Checkpoint, CheckpointReason, Link, WriterId};
pub use facets::Facets;
pub use note::note_line;
pub use policy::{AuditArguments, AuditDefaults, AuditLevel, AuditPolicy, Keep, TenantAudit, ToolAudit, WhenFull};
pub use verify::{ChainFault, Chained, Verifier};

/// The longest name, URI or other text of a record, in bytes before escaping; what is longer is cut and ends in `…`.
pub const TEXT_BYTES_MAX: usize = 256;

/// The most that [`Outcome::write`] adds to a line.
pub const OUTCOME_BYTES_MAX: usize = 6 * (TEXT_BYTES_MAX + 3) + 384;

/// The end of a line whose outcome is not known when it is written.
pub const OUTCOME_UNKNOWN: &[u8] = br#","outcome":"unknown"}"#;

/// The identity of an event: a UUID of version 7 whose last bit is 0.
///
/// A call may leave two records: what was sent on ([`Self::bits`]) and how it ended ([`Self::closing_bits`], the last bit 1).
/// The second says everything that the first says, and replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(u128);

impl EventId {
    /// An id from the time, a number that the writer counts up, and a number that the writer shares with no other one.
    ///
    /// Ids of one writer sort in the order of their time, then of their count. 33 bits of `count` and 40 of `writer` are used.
    pub const fn compose(at_ms: i64, count: u64, writer: u64) -> Self {
        let time = (at_ms as u128 & 0xffff_ffff_ffff) << 80;
        let count = count as u128;
        let version = 0x7 << 76;
        let high = (count >> 21 & 0xfff) << 64;
        let variant = 0b10 << 62;
        let low = (count & 0x1f_ffff) << 41;
        let writer = (writer as u128 & 0xff_ffff_ffff) << 1;
        Self(time | version | high | variant | low | writer)
    }

    /// The bits of the UUID.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The bits under which the record of the outcome is kept.
    pub const fn closing_bits(self) -> u128 {
        self.0 | 1
    }
}

/// Declares the actions with their words and their numbers in the spool, which stay as they are for ever.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $word:literal),+ $(,)?) => {
        /// What was done, or tried.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Action {
            $($(#[$doc])* $variant = $number,)+
        }

        impl Action {
            /// The word in the record.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The action of that number.
            pub const fn of_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

actions! {
    /// A tool was called.
    ToolCall = 1 "tool.call",
    /// A prompt was filled in.
    PromptGet = 2 "prompt.get",
    /// A resource was read.
    ResourceRead = 3 "resource.read",
    /// Something was listed.
    List = 4 "list",
    /// A session was opened.
    SessionOpen = 5 "session.open",
    /// A session was ended.
    SessionEnd = 6 "session.end",
    /// A credential was refused.
    AuthFail = 7 "auth.fail",
    /// A request was refused before anybody knew what it wanted.
    Refused = 8 "refused",
    /// The configuration of a tenant was changed.
    ConfigUpdate = 9 "config.update",
    /// An argument was completed.
    Complete = 10 "complete",
    /// A stream of changes was opened.
    Listen = 11 "listen",
}

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
    /// Its identity.
    pub id: EventId,
    /// When it began, in milliseconds since 1970.
    pub at_ms: i64,
    /// What was done.
    pub action: Action,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// Through which toolset.
    pub toolset: Option<&'a str>,
    /// Who did it.
    pub actor: &'a Actor,
    /// From which address.
    pub ip: Option<IpAddr>,
    /// What the client calls itself.
    pub agent: Option<&'a str>,
    /// The id that the request carries in logs.
    pub request: Option<&'a str>,
    /// What it was done to.
    pub target: Option<Target<'a>>,
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
        self.write_actor(line);
        if let Some(request) = self.request {
            line::text(line, br#","request":"#, request);
        }
        if let Some(target) = &self.target {
            line::text(line, br#","server":"#, target.server);
            line::text(line, br#","exposed":"#, self.shown(target.exposed));
            line::text(line, br#","native":"#, self.shown(target.native));
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

    /// What may be shown of a name: URIs carry secrets behind `?` and `#`.
    fn shown<'a>(&self, name: &'a str) -> &'a str {
        match self.action {
            Action::ResourceRead => name.split(['?', '#']).next().unwrap_or(name),
            _ => name,
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
