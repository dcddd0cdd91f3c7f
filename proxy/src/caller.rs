//! What the client of a request speaks and can be asked: its revision, its capabilities cut down to what the gateway can
//! bridge. Made by the edge from a session or from `_meta`; nothing below the edge knows which of the two it was.

use patchbay_core::{
    era::{Era, Version},
    json,
};

/// The client side of one request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The revision.
    pub version: Version,
    /// What it can be asked.
    pub can: Capabilities,
    /// What a child or a session of a server is bound to when it is shared by nobody else.
    pub share: [u8; 16],
    /// From which level on it wants log messages; `None` for none.
    pub log_level: Option<LogLevel>,
    /// `Mcp-Param-*` headers of a modern request, values as sent.
    pub params_sent: Vec<(String, String)>,
}

impl Caller {
    /// The era.
    pub const fn era(&self) -> Era {
        self.version.era()
    }
}

/// What a client can be asked, as far as the gateway knows the question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Questions to the user in forms.
    pub elicitation: bool,
    /// Questions to the user by a URL.
    pub elicitation_url: bool,
    /// Requests to the client's model.
    pub sampling: bool,
    /// Its roots.
    pub roots: bool,
}

const ELICITATION: u8 = 1;
const ELICITATION_URL: u8 = 2;
const SAMPLING: u8 = 4;
const ROOTS: u8 = 8;

impl Capabilities {
    /// Reads a `capabilities` object; what is not understood is not there.
    pub fn read(raw: &str) -> Self {
        let elicitation = json::at_path(raw, &["elicitation"]).filter(|value| value.starts_with('{'));
        let has = |name| json::at_path(raw, &[name]).is_some_and(|value| value.starts_with('{'));
        let mode = |name| elicitation.is_some_and(|value| json::at_path(value, &[name]).is_some());
        Self {
            // `elicitation: {}` means forms alone (2025-11-25, elicitation).
            elicitation: elicitation.is_some() && (mode("form") || !mode("url")),
            elicitation_url: mode("url"),
            sampling: has("sampling"),
            roots: has("roots"),
        }
    }

    /// One byte for a session id.
    pub fn bits(self) -> u8 {
        let bit = |has: bool, bit: u8| if has { bit } else { 0 };
        bit(self.elicitation, ELICITATION)
            | bit(self.elicitation_url, ELICITATION_URL)
            | bit(self.sampling, SAMPLING)
            | bit(self.roots, ROOTS)
    }

    /// From that byte.
    pub const fn of_bits(bits: u8) -> Self {
        Self {
            elicitation: bits & ELICITATION != 0,
            elicitation_url: bits & ELICITATION_URL != 0,
            sampling: bits & SAMPLING != 0,
            roots: bits & ROOTS != 0,
        }
    }

    /// What a server of this era may ask such a client of that era, as the `capabilities` object that it is shown. Questions
    /// do not cross eras yet, and sampling and roots are not offered to servers.
    pub const fn shown_to(self, server: Era, client: Era) -> &'static str {
        match (server, client) {
            (Era::Legacy, Era::Legacy) if self.elicitation => r#"{"elicitation":{}}"#,
            (Era::Modern, Era::Modern) => match (self.elicitation, self.elicitation_url) {
                (true, true) => r#"{"elicitation":{"form":{},"url":{}}}"#,
                (true, false) => r#"{"elicitation":{"form":{}}}"#,
                (false, true) => r#"{"elicitation":{"url":{}}}"#,
                (false, false) => "{}",
            },
            _ => "{}",
        }
    }
}

/// The levels of log messages (RFC 5424), least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 5424")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(level, _)| level)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_survive_their_byte_and_an_empty_elicitation_means_forms() {
        for raw in ["{}", r#"{"elicitation":{}}"#, r#"{"elicitation":{"url":{}},"roots":{"listChanged":true}}"#] {
            let can = Capabilities::read(raw);
            assert_eq!(Capabilities::of_bits(can.bits()), can);
        }
        assert!(Capabilities::read(r#"{"elicitation":{}}"#).elicitation);
        assert!(!Capabilities::read(r#"{"elicitation":{"url":{}}}"#).elicitation);
        assert!(!Capabilities::read(r#"{"sampling":null}"#).sampling);
    }

    #[test]
    fn no_question_crosses_eras() {
        let all = Capabilities { elicitation: true, elicitation_url: true, sampling: true, roots: true };
        assert_eq!(all.shown_to(Era::Modern, Era::Legacy), "{}");
        assert_eq!(all.shown_to(Era::Legacy, Era::Modern), "{}");
    }

    #[test]
    fn levels_are_ordered_by_weight() {
        assert!(LogLevel::parse("error") > LogLevel::parse("info"));
        assert_eq!(LogLevel::parse("loud"), None);
    }
}
