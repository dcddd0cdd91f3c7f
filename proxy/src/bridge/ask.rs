//! A server's question as it may be put to a client: known, offered to that server in the client's name, and saying who asks.
//! Pure: bytes in, bytes out, and what is not ours to judge stays as it was written. All pairings of eras go through [`put`].

use std::borrow::Cow;

use bytes::Bytes;
use patchbay_core::json;

use crate::caller::Capabilities;

/// The member of a question's `_meta` that names the server.
pub const SERVER: &str = "dev.patchbay/server";
/// What a client is asked to give its user.
pub const ELICIT: &str = "elicitation/create";
/// What a client is asked of its model.
pub const SAMPLE: &str = "sampling/createMessage";
/// What a client is asked of its folders.
pub const ROOTS: &str = "roots/list";

/// What is read in the params of a question. One that stands twice, or is spelled in a way that another parser takes for it,
/// makes the question void: what was judged here must be what the client reads.
const JUDGED: [&str; 10] = [
    "_meta",
    "mode",
    "message",
    "url",
    "elicitationId",
    "requestedSchema",
    "tools",
    "toolChoice",
    "includeContext",
    "task",
];

/// A question as the client may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: &'static str,
    /// The params, a JSON object.
    pub params: Bytes,
}

/// Why a question is not put to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The JSON-RPC code for the server.
    pub code: i32,
    /// What the server is told, and the log.
    pub message: &'static str,
}

impl Refused {
    const fn unknown(message: &'static str) -> Self {
        Self { code: -32601, message }
    }

    const fn invalid(message: &'static str) -> Self {
        Self { code: -32602, message }
    }

    /// As the member `"error":{…}` of a legacy answer.
    pub fn outcome(&self) -> Bytes {
        error_outcome(self.code, self.message)
    }
}

/// A question as it may be put to a client that offers `offered` to this server, or why not.
///
/// # Errors
/// When the method is none that clients are asked, was not offered, or its params cannot be judged.
pub fn put(method: &str, params: Option<&str>, offered: Capabilities, server: &str) -> Result<Asked, Refused> {
    let params = Params::read(params)?;
    let method = match method {
        ELICIT => {
            params.elicits(offered)?;
            ELICIT
        }
        SAMPLE => {
            params.samples(offered)?;
            SAMPLE
        }
        ROOTS if offered.roots => ROOTS,
        ROOTS => return Err(Refused::unknown("The roots of this client are not offered to this server.")),
        _ => return Err(Refused::unknown("Clients are not asked this through the gateway.")),
    };
    Ok(Asked { method, params: params.labelled(method, server)? })
}

impl Asked {
    /// As a request to a legacy client.
    pub fn message(&self, id: &[u8]) -> Bytes {
        let (method, params) = (self.method.as_bytes(), &*self.params);
        [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"method\":\"", method, b"\",\"params\":", params, b"}"]
            .concat()
            .into()
    }

    /// As the value of a member of `inputRequests` for a modern client.
    pub fn input_request(&self) -> Bytes {
        let (method, params) = (self.method.as_bytes(), &*self.params);
        [b"{\"method\":\"", method, b"\",\"params\":", params, b"}"].concat().into()
    }

    /// Whether the user is sent to a URL.
    pub fn is_url(&self) -> bool {
        self.method == ELICIT && json::at_path(self.text(), &["mode"]).and_then(json::unquote).as_deref() == Some("url")
    }

    /// The id of a question by URL, in 2025-11-25.
    pub fn elicitation_id(&self) -> Option<Cow<'_, str>> {
        json::at_path(self.text(), &["elicitationId"]).and_then(json::unquote)
    }

    /// For the modern era, which has no `elicitationId`.
    #[must_use]
    pub fn without_elicitation_id(self) -> Self {
        if self.method != ELICIT || self.elicitation_id().is_none() {
            return self;
        }
        let kept = json::members(self.text()).flatten().filter(|member| !member.is("elicitationId"));
        let params = object(kept.map(|member| Cow::Borrowed(member.whole)));
        Self { params, ..self }
    }

    /// For 2025-11-25, where a question by URL has an `elicitationId`: `mint` makes one that is not there.
    #[must_use]
    pub fn with_elicitation_id(self, mint: impl FnOnce() -> String) -> Self {
        if !self.is_url() || self.elicitation_id().is_some() {
            return self;
        }
        let kept = json::members(self.text()).flatten().filter(|member| !member.is("elicitationId"));
        let minted = format!("\"elicitationId\":{}", json::quote(&mint()));
        let params = object(kept.map(|member| Cow::Borrowed(member.whole)).chain([Cow::Owned(minted)]));
        Self { params, ..self }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.params).unwrap_or("{}")
    }
}

/// What a client said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// The bare result, as `inputResponses` holds it in the modern era.
    Result(&'a str),
    /// An error: the client could not or did not want to be asked.
    Error(&'a str),
}

/// What a legacy client's answer says, of its one member `"result":…` or `"error":…`.
pub fn said(outcome: &Bytes) -> Option<Said<'_>> {
    let text = std::str::from_utf8(outcome).ok()?;
    let key_end = json::end_of_string(text.as_bytes(), 0).ok()?;
    let value = text[key_end..].trim_start().strip_prefix(':')?.trim();
    match json::unquote(&text[..key_end])?.as_ref() {
        "result" => Some(Said::Result(value)),
        "error" => Some(Said::Error(value)),
        _ => None,
    }
}

/// A modern client's bare result as the member that a legacy server is answered with.
pub fn result_outcome(result: &str) -> Bytes {
    ["\"result\":", result].concat().into()
}

/// An error as the member that a legacy server is answered with.
pub fn error_outcome(code: i32, message: &str) -> Bytes {
    format!("\"error\":{{\"code\":{code},\"message\":{}}}", json::quote(message)).into()
}

/// The params of a question, their judged members found.
struct Params<'a> {
    whole: &'a str,
    judged: [Option<&'a str>; JUDGED.len()],
}

impl<'a> Params<'a> {
    fn read(params: Option<&'a str>) -> Result<Self, Refused> {
        let whole = params.unwrap_or("{}");
        let mut judged = [None; JUDGED.len()];
        for member in json::members(whole) {
            let member = member.map_err(|_| Refused::invalid("The params of a question are a JSON object."))?;
            let name = member.name();
            let known = JUDGED.iter().position(|known| folded_eq(known, &name));
            let Some(at) = known else { continue };
            if JUDGED[at] != name || judged[at].replace(member.value).is_some() {
                return Err(Refused::invalid(
                    "A member of the question's params stands twice, or is spelled like another one.",
                ));
            }
        }
        Ok(Self { whole, judged })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        JUDGED.iter().position(|known| *known == name).and_then(|at| self.judged[at])
    }

    fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(json::unquote)
    }

    fn elicits(&self, offered: Capabilities) -> Result<(), Refused> {
        if !(offered.elicitation || offered.elicitation_url) {
            return Err(Refused::unknown("Questions to the user of this client are not offered to this server."));
        }
        if self.string("message").is_none() {
            return Err(Refused::invalid("elicitation/create needs params.message, a string."));
        }
        let mode = self.get("mode").map(json::unquote);
        match mode.as_ref().map(|mode| mode.as_deref()) {
            None | Some(Some("form")) if offered.elicitation => Ok(()),
            None | Some(Some("form")) => Err(Refused::invalid("Forms of this client are not offered to this server.")),
            Some(Some("url")) if !offered.elicitation_url => {
                Err(Refused::invalid("Questions by URL to this client are not offered to this server."))
            }
            // A link that is run or opened on the user's own machine is no page of the server.
            Some(Some("url")) if !self.string("url").is_some_and(|url| is_web(&url)) => {
                Err(Refused::invalid("A question by URL needs params.url, an http or https URL."))
            }
            Some(Some("url")) => Ok(()),
            Some(_) => Err(Refused::invalid("The mode of an elicitation is form or url.")),
        }
    }

    fn samples(&self, offered: Capabilities) -> Result<(), Refused> {
        if !offered.sampling {
            return Err(Refused::unknown("The model of this client is not offered to this server."));
        }
        if (self.get("tools").is_some() || self.get("toolChoice").is_some()) && !offered.sampling_tools {
            return Err(Refused::invalid("Sampling with tools is not offered to this server."));
        }
        let wants_context = self.get("includeContext").is_some_and(|value| value != "\"none\"");
        if wants_context && !offered.sampling_context {
            return Err(Refused::invalid("Sampling with the context of servers is not offered to this server."));
        }
        Ok(())
    }

    /// The params with the name of who asks, in `_meta` for programs and in a question's text for the user.
    fn labelled(&self, method: &str, server: &str) -> Result<Bytes, Refused> {
        let name = json::quote(server);
        let members = json::members(self.whole).flatten().filter_map(|member| match &*member.name() {
            "_meta" => None,
            // Tasks of 2025-11-25 are offered to no server, and who does not offer them does as if they were not asked for.
            "task" => None,
            "message" if method == ELICIT => {
                Some(Cow::Owned(format!("{}:\"[{}] {}", member.key, &name[1..name.len() - 1], &member.value[1..])))
            }
            _ => Some(Cow::Borrowed(member.whole)),
        });
        let ours = Cow::Owned(format!("\"{SERVER}\":{name}"));
        let meta = self.get("_meta").unwrap_or("{}");
        if !meta.starts_with('{') {
            return Err(Refused::invalid("The _meta of a question is a JSON object."));
        }
        let theirs = json::members(meta).flatten().filter(|member| !member.is(SERVER));
        let meta = object(theirs.map(|member| Cow::Borrowed(member.whole)).chain([ours]));
        let meta = Cow::Owned(format!("\"_meta\":{}", String::from_utf8_lossy(&meta)));
        Ok(object(members.chain([meta])))
    }
}

fn object<'a>(members: impl Iterator<Item = Cow<'a, str>>) -> Bytes {
    let mut out = String::from("{");
    for member in members {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&member);
    }
    out.push('}');
    out.into()
}

pub(super) fn is_web(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

/// Whether a parser that ignores case takes the two for one name.
fn folded_eq(known: &str, name: &str) -> bool {
    let fold = |c: char| if c == 'ſ' { 's' } else { c };
    known == name || known.chars().flat_map(char::to_lowercase).eq(name.chars().flat_map(char::to_lowercase).map(fold))
}

#[cfg(test)]
mod tests;
