//! Errors by which a server says that it wants something of the client first: a URL to be opened (-32042 of 2025-11-25), or a
//! capability that the client did not declare (-32021 of 2026-07-28), in the words of a legacy client. Pure; called by
//! [`super::error`].

use std::borrow::Cow;

use bytes::Bytes;
use patchbay_core::json;

use super::ask::{self, Asked, ELICIT, Refused};
use crate::caller::Capabilities;

/// The most questions of one error that are handed on.
const ELICITATIONS_MAX: usize = 16;
/// The most characters of a server's own words, and of a URL, that stand in a sentence of ours.
const SAID_CHARS_MAX: usize = 300;
const URL_CHARS_MAX: usize = 2000;

/// The questions that an error -32042 asks, as the client may be asked them; one that may not makes all of them void, since the
/// server needs all.
fn asked(error: &str, offered: Capabilities, server: &str) -> Result<Vec<Asked>, Refused> {
    let none = Refused { code: -32602, message: "The server's error holds no questions, or too many." };
    let all = elicitations(error).and_then(|raw| json::elements(raw).ok()).unwrap_or_default();
    if all.is_empty() || all.len() > ELICITATIONS_MAX {
        return Err(none);
    }
    let ask = |params: &&str| ask::put(ELICIT, Some(params), offered, server);
    let asked = all.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
    if asked.iter().all(Asked::is_url) { Ok(asked) } else { Err(none) }
}

/// The error for a client that knows it: each of its questions says who asks. `error` is a part of `text`.
pub(super) fn labelled(text: &str, error: &str, offered: Capabilities, server: &str) -> Option<Bytes> {
    let old = elicitations(error)?;
    let asked = asked(error, offered, server).ok()?;
    let asked: Vec<_> = asked.iter().map(|asked| String::from_utf8_lossy(&asked.params)).collect();
    let start = old.as_ptr() as usize - text.as_ptr() as usize;
    Some([&text[..start], "[", &asked.join(","), "]", &text[start + old.len()..]].concat().into())
}

/// The error for a model whose client cannot open URLs when it is asked to.
pub(super) fn in_words(error: &str, server: &str) -> String {
    let all = elicitations(error).and_then(|raw| json::elements(raw).ok()).unwrap_or_default();
    let member = |params: &str, name| json::at_path(params, &[name]).and_then(json::unquote).map(Cow::into_owned);
    let pages: Vec<_> = all
        .into_iter()
        .take(ELICITATIONS_MAX)
        .filter_map(|params| {
            let url = member(params, "url").filter(|url| ask::is_web(url) && url.chars().count() <= URL_CHARS_MAX)?;
            let why = member(params, "message").unwrap_or_default();
            Some(format!("{} ({})", clipped(&url, URL_CHARS_MAX), clipped(&why, SAID_CHARS_MAX)))
        })
        .collect();
    if pages.is_empty() {
        return format!("The server \"{server}\" needs the user to open a page, and did not say which one.");
    }
    format!(
        "The server \"{server}\" needs the user to open a page before it can go on, and this client cannot be asked that \
         through the gateway. If the user trusts the server, let them open it, and call again when they are done: {}",
        pages.join("; ")
    )
}

/// The error for a model whose client lacks a capability, or whose operator does not offer it to the server.
pub(super) fn capability_in_words(error: &str, server: &str) -> String {
    let said = json::at_path(error, &["message"]).and_then(json::unquote).unwrap_or_default();
    let needed = json::at_path(error, &["data", "requiredCapabilities"]).map(capabilities).unwrap_or_default();
    format!(
        "The server \"{server}\" cannot do this without asking the client for {}, and the gateway cannot offer it that here. \
         Give the missing details in the arguments, if the tool takes them.{}{}",
        if needed.is_empty() { "more than it declared" } else { &needed },
        if said.is_empty() { "" } else { " The server says: " },
        clipped(&said, SAID_CHARS_MAX),
    )
}

/// `{"elicitation":{"url":{}},"roots":{}}` as `elicitation (url), roots`.
fn capabilities(raw: &str) -> String {
    let names = |raw: &str| -> Vec<String> {
        let names = json::members(raw).flatten().map(|member| clipped(&member.name(), 60));
        names.take(ELICITATIONS_MAX).collect()
    };
    let all = json::members(raw).flatten().take(ELICITATIONS_MAX).map(|member| {
        let inner = names(member.value);
        let name = clipped(&member.name(), 60);
        if inner.is_empty() { name } else { format!("{name} ({})", inner.join(", ")) }
    });
    all.collect::<Vec<_>>().join(", ")
}

fn elicitations(error: &str) -> Option<&str> {
    json::at_path(error, &["data", "elicitations"])
}

fn clipped(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"mode":"url","elicitationId":"e","url":"https://a.example/","message":"Sign in"}"#;

    #[test]
    fn the_questions_of_an_error_are_judged_as_any_other() {
        let all = Capabilities::of_bits(511);
        let asks = |elicitations: &str, offered| {
            asked(&format!(r#"{{"code":-32042,"data":{{"elicitations":{elicitations}}}}}"#), offered, "bank")
        };
        let one = asks(&format!("[{PAGE}]"), all).expect("asked");
        assert!(std::str::from_utf8(&one[0].params).is_ok_and(|text| text.contains("[bank] Sign in")));
        assert!(asks(&format!("[{PAGE}]"), Capabilities::default()).is_err());
        assert!(asks("[]", all).is_err());
        assert!(asks(r#"[{"message":"a form"}]"#, all).is_err());
        assert!(asks(&format!("[{}]", [PAGE; 17].join(",")), all).is_err());
        assert!(asked("{}", all, "bank").is_err());
    }
}
