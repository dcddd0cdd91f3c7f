//! The eras: pure translation of what one side said into what the other understands. Bytes in, bytes out; who asks whom and
//! when is `dispatch`'s. The plain members of results are translated on the way by [`patchbay_core::rewrite`].

pub mod ask;

use bytes::Bytes;
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
    method::Method,
};

use crate::error::error_body;

/// The legacy code for a resource that is not there.
const RESOURCE_NOT_FOUND: i32 = -32002;
/// The legacy code that asks for a URL elicitation.
const URL_ELICITATION: i32 = -32042;
/// The modern code for a capability that the client lacks.
const MISSING_CAPABILITY: i32 = -32021;

/// A server's error as the client's era says it; `None` when it can go as it is. `message` is a whole response message whose
/// id is already the client's.
pub fn error(message: &Bytes, method: &Method, from: Era, to: Era, id: &[u8], server: &str) -> Option<Bytes> {
    let text = std::str::from_utf8(message).ok()?;
    let error = MessageHead::read(text).ok()?.error?;
    let code: i32 = json::at_path(error, &["code"])?.parse().ok()?;
    match (code, from, to) {
        (RESOURCE_NOT_FOUND, _, Era::Modern) => Some(with_code(text, error, -32602)),
        (-32602, Era::Modern, Era::Legacy) if *method == Method::ResourcesRead => {
            Some(with_code(text, error, RESOURCE_NOT_FOUND))
        }
        (URL_ELICITATION, _, Era::Modern) | (MISSING_CAPABILITY, Era::Modern, Era::Legacy) => {
            let said = json::at_path(error, &["message"]).and_then(json::unquote).unwrap_or_default();
            Some(cannot_ask(method, id, server, &said))
        }
        (-32099..=-32020, Era::Modern, _) if code != MISSING_CAPABILITY => {
            Some(error_body(Some(id), -32603, "the gateway and the server do not understand each other", None).into())
        }
        _ => None,
    }
}

/// The code of a response that is an error.
pub fn error_code(message: &Bytes) -> Option<i32> {
    let error = MessageHead::read(std::str::from_utf8(message).ok()?).ok()?.error?;
    json::at_path(error, &["code"])?.parse().ok()
}

/// Whether a response says that the client has not declared a capability that the server needs.
pub fn lacks_capability(message: &Bytes) -> bool {
    let error = std::str::from_utf8(message).ok().and_then(|text| MessageHead::read(text).ok()?.error);
    let code = error.and_then(|error| json::at_path(error, &["code"])?.parse().ok());
    code == Some(MISSING_CAPABILITY)
}

fn with_code(text: &str, error: &str, code: i32) -> Bytes {
    let Some(old) = json::at_path(error, &["code"]) else { return Bytes::copy_from_slice(text.as_bytes()) };
    let start = old.as_ptr() as usize - text.as_ptr() as usize;
    [&text[..start], &code.to_string(), &text[start + old.len()..]].concat().into()
}

/// What a client gets when a server wants to ask it something that cannot be carried to it: for a tool a result that the
/// model can act on, else an error.
pub fn cannot_ask(method: &Method, id: &[u8], server: &str, said: &str) -> Bytes {
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    let text = format!(
        "The server \"{server}\" needs an answer from the user before it can go on, and this client cannot be asked through \
         the gateway. Give the missing details in the arguments, if the tool takes them.{}{said}",
        if said.is_empty() { "" } else { " The server says: " },
    );
    if *method == Method::ToolsCall {
        tool_error(id, &text, false)
    } else {
        error_body(Some(id), -32603, &text, None).into()
    }
}

/// A tool result that says what went wrong, in words for the model.
pub fn tool_error(id: &[u8], text: &str, modern: bool) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 128);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":{\"content\":[{\"type\":\"text\",\"text\":");
    out.extend_from_slice(json::quote(text).as_bytes());
    out.extend_from_slice(b"}],\"isError\":true");
    if modern {
        out.extend_from_slice(b",\"resultType\":\"complete\"");
    }
    out.extend_from_slice(b"}}");
    out.into()
}

/// A server's progress notification with the caller's own token; `None` when it is none, or tells nothing new.
/// `last` is the last value that was passed on.
pub fn progress(message: &Bytes, token: &str, last: &mut f64) -> Option<Bytes> {
    let text = std::str::from_utf8(message).ok()?;
    let params = MessageHead::read(text).ok()?.params?;
    let now: f64 = json::at_path(params, &["progress"])?.parse().ok()?;
    if now <= *last {
        return None;
    }
    let old = json::at_path(params, &["progressToken"])?;
    *last = now;
    let start = old.as_ptr() as usize - text.as_ptr() as usize;
    Some([&text[..start], token, &text[start + old.len()..]].concat().into())
}

/// The name of a log message's level.
pub fn log_level(message: &Bytes) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let params = MessageHead::read(text).ok()?.params?;
    json::at_path(params, &["level"]).and_then(json::unquote).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_lost_resource_has_the_code_of_the_clients_era_and_keeps_the_rest() {
        let legacy = bytes(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no","data":{"uri":"a"}}}"#);
        let out = error(&legacy, &Method::ResourcesRead, Era::Legacy, Era::Modern, b"1", "s").expect("translated");
        assert_eq!(out, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no","data":{"uri":"a"}}}"#);
        let modern = bytes(r#"{"jsonrpc":"2.0","id":1,"error":{"message":"no","code":-32602}}"#);
        assert!(error(&modern, &Method::ResourcesRead, Era::Modern, Era::Legacy, b"1", "s").is_some());
        assert!(error(&modern, &Method::ToolsCall, Era::Modern, Era::Legacy, b"1", "s").is_none());
    }

    #[test]
    fn a_question_that_cannot_be_carried_becomes_words_for_the_model() {
        let error_message =
            bytes(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"needs\u0007 elicitation"}}"#);
        let out = error(&error_message, &Method::ToolsCall, Era::Modern, Era::Legacy, b"1", "s").expect("translated");
        let out: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(out["result"]["isError"], true);
        assert!(out["result"]["content"][0]["text"].as_str().is_some_and(|text| text.ends_with("needs elicitation")));
    }

    #[test]
    fn only_an_error_of_the_missing_capabilitys_code_says_that_one_is_missing() {
        assert!(lacks_capability(&bytes(r#"{"error":{"message":"needs sampling","code":-32021},"id":1}"#)));
        assert!(!lacks_capability(&bytes(r#"{"error":{"message":"-32021","code":-32602},"id":1}"#)));
        assert!(!lacks_capability(&bytes(r#"{"result":{"code":-32021},"id":1}"#)));
    }

    #[test]
    fn progress_goes_up_and_carries_the_callers_token() {
        let message =
            bytes(r#"{"method":"notifications/progress","params":{"progress": 2,"progressToken":17,"x":1.0}}"#);
        let mut last = 1.0;
        let out = progress(&message, "\"t\"", &mut last).expect("passed on");
        assert_eq!(out, r#"{"method":"notifications/progress","params":{"progress": 2,"progressToken":"t","x":1.0}}"#);
        assert_eq!(progress(&message, "\"t\"", &mut last), None);
    }
}
