//! What the client of a request speaks and can be asked: its revision, its capabilities cut down to what the gateway can
//! bridge. Made by the edge from a session or from `_meta`; nothing below the edge knows which of the two it was.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use patchbay_core::{
    era::{Era, Version},
    json,
    model::Asks,
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

/// What a client can be asked, as far as the gateway knows the question, and which extensions it understands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Questions to the user in forms.
    pub elicitation: bool,
    /// Questions to the user by a URL.
    pub elicitation_url: bool,
    /// Requests to the client's model.
    pub sampling: bool,
    /// Such requests with tools.
    pub sampling_tools: bool,
    /// Such requests with the context of servers.
    pub sampling_context: bool,
    /// Its roots.
    pub roots: bool,
    /// It says when they change.
    pub roots_changed: bool,
    /// Calls that go on as tasks (modern).
    pub tasks: bool,
    /// Pages of servers that are shown to the user.
    pub apps: bool,
}

pub use patchbay_core::snapshot::{APPS, SKILLS, TASKS};

/// What stands between a caller and a server: how much of what the caller can is offered to that server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// What the caller speaks.
    pub client: Version,
    /// What the server speaks.
    pub server: Era,
    /// What the operator lets the server ask.
    pub asks: Asks,
    /// Whether callers share the server's child who have nothing to do with each other: nobody can be asked then, since nothing
    /// on stdio says which caller is meant.
    pub is_shared_child: bool,
}

impl Leg {
    /// Whether both sides are.
    const fn is_modern(self) -> bool {
        matches!((self.client.era(), self.server), (Era::Modern, Era::Modern))
    }
}

impl Capabilities {
    /// Reads a `capabilities` object; what is not understood is not there.
    pub fn read(raw: &str) -> Self {
        let object = |path: &[&str]| json::at_path(raw, path).filter(|value| value.starts_with('{'));
        let (elicitation, sampling, roots) = (object(&["elicitation"]), object(&["sampling"]), object(&["roots"]));
        let has = |value: Option<&str>, name| value.is_some_and(|value| json::at_path(value, &[name]).is_some());
        let extension = |name| object(&["extensions", name]).is_some();
        Self {
            // `elicitation: {}` means forms alone (2025-11-25, elicitation).
            elicitation: elicitation.is_some() && (has(elicitation, "form") || !has(elicitation, "url")),
            elicitation_url: has(elicitation, "url"),
            sampling: sampling.is_some(),
            sampling_tools: has(sampling, "tools"),
            sampling_context: has(sampling, "context"),
            roots: roots.is_some(),
            roots_changed: roots.and_then(|roots| json::at_path(roots, &["listChanged"])) == Some("true"),
            tasks: extension(TASKS),
            apps: extension(APPS),
        }
    }

    /// Two bytes for a session id.
    pub fn bits(self) -> u16 {
        self.flags().into_iter().enumerate().fold(0, |bits, (at, flag)| bits | (u16::from(flag) << at))
    }

    /// From those bytes.
    pub const fn of_bits(bits: u16) -> Self {
        const fn has(bits: u16, at: u16) -> bool {
            bits & (1 << at) != 0
        }
        Self {
            elicitation: has(bits, 0),
            elicitation_url: has(bits, 1),
            sampling: has(bits, 2),
            roots: has(bits, 3),
            sampling_tools: has(bits, 4),
            sampling_context: has(bits, 5),
            roots_changed: has(bits, 6),
            tasks: has(bits, 7),
            apps: has(bits, 8),
        }
    }

    /// In the order of their bits, which session ids keep.
    const fn flags(self) -> [bool; 9] {
        [
            self.elicitation,
            self.elicitation_url,
            self.sampling,
            self.roots,
            self.sampling_tools,
            self.sampling_context,
            self.roots_changed,
            self.tasks,
            self.apps,
        ]
    }

    /// What of it is offered to a server: never more than the caller has, than the operator lets the server ask, or than can be
    /// carried between the two.
    #[must_use]
    pub fn offered(self, leg: Leg) -> Self {
        if leg.is_shared_child {
            // A task that asks says itself whom: its id is the caller's alone.
            return Self { apps: self.apps, tasks: self.tasks && leg.is_modern(), ..Self::default() };
        }
        let Asks { elicitation, sampling, roots } = leg.asks;
        // Older clients know no questions by URL (2025-11-25, elicitation).
        let knows_urls = leg.client >= Version::NEWEST_LEGACY;
        Self {
            elicitation: self.elicitation && elicitation,
            elicitation_url: self.elicitation_url && elicitation && knows_urls,
            sampling: self.sampling && sampling,
            sampling_tools: self.sampling_tools && sampling,
            sampling_context: self.sampling_context && sampling,
            roots: self.roots && roots,
            // The modern era has no word for it.
            roots_changed: self.roots_changed && roots && leg.client.era() == Era::Legacy && leg.server == Era::Legacy,
            tasks: self.tasks && leg.is_modern(),
            apps: self.apps,
        }
    }

    /// As the `capabilities` object that a server of this era is shown. The few that there are become shared strings, so that
    /// a call makes none.
    pub fn written(self, server: Era) -> Arc<str> {
        thread_local!(static TEXTS: RefCell<HashMap<(Capabilities, bool), Arc<str>>> = RefCell::default());
        let is_modern = server == Era::Modern;
        TEXTS.with_borrow_mut(|texts| {
            texts.entry((self, is_modern)).or_insert_with(|| self.text(is_modern).into()).clone()
        })
    }

    fn text(self, is_modern: bool) -> String {
        let object = |members: &[(bool, &str)]| {
            let there: Vec<_> = members.iter().filter(|(there, _)| *there).map(|(_, member)| *member).collect();
            format!("{{{}}}", there.join(","))
        };
        let modes = match (self.elicitation, self.elicitation_url) {
            (true, false) if !is_modern => "{}".to_owned(),
            (form, url) => object(&[(form, r#""form":{}"#), (url, r#""url":{}"#)]),
        };
        let sampling = object(&[(self.sampling_tools, r#""tools":{}"#), (self.sampling_context, r#""context":{}"#)]);
        let roots = object(&[(self.roots_changed && !is_modern, r#""listChanged":true"#)]);
        let extensions = object(&[
            (self.tasks, r#""io.modelcontextprotocol/tasks":{}"#),
            (self.apps, r#""io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}"#),
        ]);
        object(&[
            (self.elicitation || self.elicitation_url, &format!("\"elicitation\":{modes}")),
            (self.sampling, &format!("\"sampling\":{sampling}")),
            (self.roots, &format!("\"roots\":{roots}")),
            (self.tasks || self.apps, &format!("\"extensions\":{extensions}")),
        ])
    }
}

/// The levels of log messages (RFC 5424), least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 5424")]
pub enum LogLevel {
    /// A legacy session that never set a level: it gets what servers send unasked, and none is asked for more.
    Unset,
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
        Self::ALL.iter().find(|(level, _)| *level == self).map_or("", |(_, name)| name)
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

    const LEG: Leg = Leg {
        client: Version::NEWEST,
        server: Era::Modern,
        asks: Asks { elicitation: true, sampling: true, roots: true },
        is_shared_child: false,
    };

    #[test]
    fn every_capability_survives_its_bits() {
        for bits in 0..512 {
            assert_eq!(Capabilities::of_bits(bits).bits(), bits);
        }
    }

    #[test]
    fn a_server_is_offered_what_caller_operator_and_eras_leave() {
        let all = Capabilities::of_bits(511);
        let off = Asks { elicitation: false, sampling: false, roots: false };
        assert_eq!(
            &*all.offered(Leg { asks: off, ..LEG }).written(Era::Legacy),
            r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}}"#
        );
        assert_eq!(Capabilities::default().offered(LEG), Capabilities::default());
        let old = all.offered(Leg { client: Version::V2025_06_18, server: Era::Legacy, ..LEG });
        assert_eq!((old.elicitation, old.elicitation_url, old.tasks, old.roots_changed), (true, false, false, true));
        assert!(!all.offered(Leg { is_shared_child: true, ..LEG }).elicitation);
        let some = Capabilities { elicitation: true, roots: true, roots_changed: true, ..Capabilities::default() };
        assert_eq!(&*some.written(Era::Legacy), r#"{"elicitation":{},"roots":{"listChanged":true}}"#);
        assert_eq!(&*some.written(Era::Modern), r#"{"elicitation":{"form":{}},"roots":{}}"#);
    }

    #[test]
    fn levels_are_ordered_by_weight() {
        assert!(LogLevel::parse("error") > LogLevel::parse("info"));
        assert!(LogLevel::Debug > LogLevel::Unset && LogLevel::parse(LogLevel::Unset.as_str()).is_none());
        assert_eq!(LogLevel::parse("loud"), None);
    }
}
