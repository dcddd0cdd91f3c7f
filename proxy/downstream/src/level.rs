//! From which level on a legacy session or child sends log messages: the lowest that anybody wanted so far. It is asked for only
//! when a call wants it, once. Which messages a caller gets to see is not decided here.

use std::sync::atomic::{
    AtomicBool, AtomicU8,
    Ordering::{AcqRel, Acquire, Release},
};

use bytes::Bytes;
use patchbay_core::json;

use crate::Outgoing;

/// The levels as they stand in requests, least first (RFC 5424).
const LEVELS: [&[u8]; 8] = [
    b"\"debug\"",
    b"\"info\"",
    b"\"notice\"",
    b"\"warning\"",
    b"\"error\"",
    b"\"critical\"",
    b"\"alert\"",
    b"\"emergency\"",
];
/// Nobody asked for any.
const NEVER: u8 = u8::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Level {
    is_declared: AtomicBool,
    asked: AtomicU8,
}

impl Default for Level {
    fn default() -> Self {
        Self { is_declared: AtomicBool::new(false), asked: AtomicU8::new(NEVER) }
    }
}

impl Level {
    /// Notes whether the other side takes levels at all, by what it can do.
    pub(crate) fn declare(&self, capabilities: &str) {
        self.is_declared.store(json::at_path(capabilities, &["logging"]).is_some(), Release);
    }

    /// The request to make before a call that wants messages from this level on; `None` when the other side was asked for as
    /// much already, or takes no levels. Whoever gets it is the only one to make it.
    pub(crate) fn lowered(&self, wanted: Option<&Bytes>) -> Option<Outgoing> {
        let wanted = wanted?;
        let rank = LEVELS.iter().position(|level| *level == &wanted[..])?;
        let rank = u8::try_from(rank).unwrap_or(NEVER);
        if !self.is_declared.load(Acquire) || self.asked.load(Acquire) <= rank {
            return None;
        }
        if self.asked.fetch_min(rank, AcqRel) <= rank {
            return None;
        }
        let param = [b"\"level\":", &wanted[..]].concat();
        Some(Outgoing::plain("logging/setLevel", vec![param.into()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(level: &Level, name: &'static str) -> bool {
        level.lowered(Some(&Bytes::from_static(name.as_bytes()))).is_some()
    }

    #[test]
    fn a_level_is_asked_for_once_and_the_lowest_stays() {
        let level = Level::default();
        assert!(!wants(&level, "\"info\""), "a server without logging is not asked");
        level.declare(r#"{"logging":{}}"#);
        assert!(wants(&level, "\"warning\""));
        assert!(!wants(&level, "\"warning\"") && !wants(&level, "\"error\""));
        assert!(wants(&level, "\"debug\"") && !wants(&level, "\"info\""));
    }

    #[test]
    fn what_is_no_level_and_nobodys_wish_ask_for_nothing() {
        let level = Level::default();
        level.declare(r#"{"logging":{}}"#);
        assert!(!wants(&level, "\"loud\"") && level.lowered(None).is_none());
    }
}
