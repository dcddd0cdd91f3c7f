//! What a server's first answer says, read as text: a [`Hello`], or which era it is of. Nothing is sent here.

use std::borrow::Cow;

use patchbay_core::{
    era::{META_SERVER_INFO, Version},
    json::{self, MessageHead},
    rewrite::is_json,
};

use crate::Hello;

/// The revision before those that are served. Most servers that still speak it differ in nothing that matters on stdio.
pub(super) const BEFORE_ALL: &str = "2024-11-05";
/// How much of a server's error text is repeated.
const TEXT_CHARS_MAX: usize = 200;

/// A response, looked into.
pub(super) enum Outcome<'a> {
    Result(&'a str),
    Error(Refusal),
    Broken,
}

/// An error that a server answered with.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
    /// Whether the error's data lists a legacy revision.
    names_legacy: bool,
}

impl Refusal {
    /// Whether only a modern server gives this error, and none that would rather be initialized.
    pub(super) fn is_modern(&self) -> bool {
        (-32022..=-32020).contains(&self.code) && !self.names_legacy
    }
}

pub(super) fn outcome(response: &str) -> Outcome<'_> {
    let head = if is_json(response.as_bytes()) { MessageHead::read(response).ok() } else { None };
    match head {
        Some(MessageHead { result: Some(result), .. }) => Outcome::Result(result),
        Some(MessageHead { error: Some(error), .. }) => Outcome::Error(Refusal {
            code: json::at_path(error, &["code"]).and_then(|code| code.parse().ok()).unwrap_or(0),
            message: text(error, "message").map(|said| one_line(&said)).unwrap_or_default(),
            names_legacy: json::at_path(error, &["data", "supported"]).is_some_and(has_legacy),
        }),
        _ => Outcome::Broken,
    }
}

/// What the answer to `initialize` says; in words what is wrong with it otherwise.
pub(super) fn of_initialize(result: &str) -> Result<Hello, String> {
    let named = text(result, "protocolVersion").ok_or("its answer to `initialize` names no protocolVersion")?;
    let version = match &*named {
        BEFORE_ALL => Version::V2025_03_26,
        other => Version::parse(other).ok_or_else(|| format!("it chose revision {other:.20?}, which is not served"))?,
    };
    Ok(Hello { server_info: object(result, &["serverInfo"]), ..common(result, version) })
}

/// What the answer to `server/discover` says; `None` when it knows no modern revision that is served.
pub(super) fn of_discover(result: &str) -> Option<Hello> {
    let supported = json::elements(json::at_path(result, &["supportedVersions"])?).ok()?;
    let modern = supported.into_iter().filter_map(json::unquote).any(|version| version == Version::NEWEST.as_str());
    modern
        .then(|| Hello { server_info: object(result, &["_meta", META_SERVER_INFO]), ..common(result, Version::NEWEST) })
}

/// What is known of a modern server that refuses to say more.
pub(super) fn reticent() -> Hello {
    common("{}", Version::NEWEST)
}

fn common(result: &str, version: Version) -> Hello {
    Hello {
        version,
        capabilities: object(result, &["capabilities"]),
        server_info: "{}".to_owned(),
        instructions: text(result, "instructions").map(Cow::into_owned),
    }
}

/// A server's text, short and without anything that could pass for a line of our log.
pub(crate) fn one_line(said: &str) -> String {
    said.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn text<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    json::at_path(object, &[name]).and_then(json::unquote)
}

fn object(text: &str, path: &[&str]) -> String {
    json::at_path(text, path).filter(|value| value.starts_with('{')).unwrap_or("{}").to_owned()
}

fn has_legacy(supported: &str) -> bool {
    let elements = json::elements(supported).unwrap_or_default();
    elements.into_iter().filter_map(json::unquote).any(|version| &*version < Version::NEWEST.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_revision_counts_as_the_next_and_unknown_ones_are_refused() {
        let hello =
            of_initialize(r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{"name":"x"}}"#);
        let hello = hello.expect("served");
        assert_eq!((hello.version, &*hello.capabilities), (Version::V2025_03_26, r#"{"tools":{}}"#));
        assert!(of_initialize(r#"{"protocolVersion":"1999-01-01"}"#).is_err());
        assert!(of_initialize("{}").is_err());
    }

    #[test]
    fn a_discovery_without_the_modern_revision_is_a_legacy_server() {
        assert_eq!(of_discover(r#"{"supportedVersions":["2025-11-25"]}"#), None);
        let hello = of_discover(r#"{"supportedVersions":["2025-11-25","2026-07-28"],"instructions":"a\nb"}"#);
        assert_eq!(hello.and_then(|hello| hello.instructions).as_deref(), Some("a\nb"));
    }

    #[test]
    fn only_errors_of_the_modern_revision_make_a_server_modern() {
        let refusal = |text: &str| match outcome(text) {
            Outcome::Error(refusal) => refusal.is_modern(),
            _ => panic!("no error in {text}"),
        };
        assert!(refusal(r#"{"id":1,"error":{"code":-32021,"message":"m"}}"#));
        assert!(!refusal(r#"{"id":1,"error":{"code":-32601,"message":"m"}}"#));
        assert!(!refusal(r#"{"id":1,"error":{"code":-32022,"message":"m","data":{"supported":["2025-06-18"]}}}"#));
    }
}
