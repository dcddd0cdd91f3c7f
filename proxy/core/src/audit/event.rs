//! What a record is known by: the identity of an event, and the word for what was done. Only the parent module hands them out.

use std::fmt;

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

impl fmt::Display for EventId {
    /// As in a record: a UUID with its dashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format_args!("{:032x}", self.0).to_string();
        write!(f, "{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
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
    /// The limits went over to another way of counting.
    LimitsMode = 12 "limits.mode",
    /// The audit was searched.
    AuditQuery = 13 "audit.query",
    /// The audit was written out.
    AuditExport = 14 "audit.export",
    /// Old records were removed.
    AuditRetention = 15 "audit.retention",
    /// A gateway began to serve.
    GatewayStart = 16 "gateway.start",
    /// A gateway stopped serving.
    GatewayStop = 17 "gateway.stop",
    /// A server was asked for its lists because an admin wanted it.
    CatalogRefresh = 20 "catalog.refresh",
    /// What is sealed was sealed anew with the current key.
    Reseal = 21 "keys.reseal",
    /// How a task stands was asked.
    TaskGet = 22 "task.get",
    /// A task was given what it asked for.
    TaskUpdate = 23 "task.update",
    /// A task was asked to stop.
    TaskCancel = 24 "task.cancel",
    /// A request to the admin API was refused.
    AdminRefused = 18 "admin.refused",
}
