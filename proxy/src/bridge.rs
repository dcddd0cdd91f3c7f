//! The eras: pure translation of what one side said into what the other understands. Bytes in, bytes out; who asks whom and
//! when is `dispatch`'s. The plain members of results are translated on the way by [`patchbay_core::rewrite`].

pub mod ask;
pub mod notes;
pub mod wanted;

use bytes::Bytes;
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
    method::Method,
    rewrite::Plan,
};

use crate::{caller::Capabilities, error::error_body};

/// The legacy code for a resource that is not there.
const RESOURCE_NOT_FOUND: i32 = -32002;
/// The legacy code that asks for a URL elicitation.
const URL_ELICITATION: i32 = -32042;
/// The modern code for a capability that the client lacks.
const MISSING_CAPABILITY: i32 = -32021;

/// A server's error as the client's era says it; `None` when it can go as it is. `message` is a whole response message whose
/// id is already the client's, `offered` what the server may ask the client.
pub fn error(message: &Bytes, method: &Method, plan: &Plan, offered: Capabilities, server: &str) -> Option<Bytes> {
    let text = std::str::from_utf8(message).ok()?;
    let error = MessageHead::read(text).ok()?.error?;
    let code: i32 = json::at_path(error, &["code"])?.parse().ok()?;
    let said = || json::at_path(error, &["message"]).and_then(json::unquote).unwrap_or_default();
    match (code, plan.from, plan.to) {
        (RESOURCE_NOT_FOUND, _, Era::Modern) => Some(with_code(text, error, -32602)),
        (-32602, Era::Modern, Era::Legacy) if *method == Method::ResourcesRead => {
            Some(with_code(text, error, RESOURCE_NOT_FOUND))
        }
        (URL_ELICITATION, Era::Legacy, Era::Legacy) if offered.elicitation_url => Some(
            wanted::labelled(text, error, offered, server)
                .unwrap_or_else(|| cannot_ask(method, &plan.id, server, &said())),
        ),
        (URL_ELICITATION, Era::Legacy, _) => {
            Some(for_the_model(method, &plan.id, &wanted::in_words(error, server), plan.to))
        }
        (URL_ELICITATION, _, Era::Modern) => Some(cannot_ask(method, &plan.id, server, &said())),
        (MISSING_CAPABILITY, Era::Modern, Era::Legacy) => {
            Some(for_the_model(method, &plan.id, &wanted::capability_in_words(error, server), plan.to))
        }
        (-32099..=-32020, Era::Modern, _) if code != MISSING_CAPABILITY => {
            let text = "the gateway and the server do not understand each other";
            Some(error_body(Some(&plan.id), -32603, text, None).into())
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
    for_the_model(method, id, &text, Era::Legacy)
}

/// A sentence in the place of an answer: for a tool a result that the model can act on, else an error.
pub fn for_the_model(method: &Method, id: &[u8], text: &str, to: Era) -> Bytes {
    if *method == Method::ToolsCall {
        tool_error(id, text, to == Era::Modern)
    } else {
        error_body(Some(id), -32603, text, None).into()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn read(message: &Bytes, method: &Method, from: Era, to: Era, offered: Capabilities) -> Option<Bytes> {
        let plan = Plan { id: Bytes::from_static(b"1"), from, to, cacheable: false, server_info: "{}" };
        error(message, method, &plan, offered, "s")
    }

    fn words(answer: Option<Bytes>) -> String {
        let answer: serde_json::Value = serde_json::from_slice(&answer.expect("translated")).expect("JSON");
        assert_eq!(answer["result"]["isError"], true);
        answer["result"]["content"][0]["text"].as_str().expect("text").to_owned()
    }

    const NOTHING: Capabilities = Capabilities::of_bits(0);
    const ALL: Capabilities = Capabilities::of_bits(511);

    #[test]
    fn a_lost_resource_has_the_code_of_the_clients_era_and_keeps_the_rest() {
        let legacy = bytes(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no","data":{"uri":"a"}}}"#);
        let out = read(&legacy, &Method::ResourcesRead, Era::Legacy, Era::Modern, NOTHING).expect("translated");
        assert_eq!(out, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no","data":{"uri":"a"}}}"#);
        let modern = bytes(r#"{"jsonrpc":"2.0","id":1,"error":{"message":"no","code":-32602}}"#);
        assert!(read(&modern, &Method::ResourcesRead, Era::Modern, Era::Legacy, NOTHING).is_some());
        assert!(read(&modern, &Method::ToolsCall, Era::Modern, Era::Legacy, NOTHING).is_none());
    }

    #[test]
    fn a_capability_that_is_missing_is_named_in_words_for_the_model() {
        let message = bytes(concat!(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"needs\u0007 more","#,
            r#""data":{"requiredCapabilities":{"elicitation":{"url":{}},"sampling":{}}}}}"#
        ));
        let out = words(read(&message, &Method::ToolsCall, Era::Modern, Era::Legacy, ALL));
        assert!(out.contains("elicitation (url), sampling") && out.ends_with("needs more"), "{out}");
        assert!(read(&message, &Method::ToolsCall, Era::Modern, Era::Modern, ALL).is_none());
        let out = read(&message, &Method::PromptsGet, Era::Modern, Era::Legacy, ALL).expect("translated");
        assert!(std::str::from_utf8(&out).is_ok_and(|text| text.contains("-32603")));
    }

    #[test]
    fn a_sign_in_by_url_goes_to_clients_that_know_it_and_in_words_to_the_others() {
        let message = bytes(concat!(
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"sign in","data":{"x":1,"elicitations":[{"mode":"url","#,
            r#""elicitationId":"e","url":"https://a.example/in","message":"Sign in"}]}}}"#
        ));
        let out = read(&message, &Method::ToolsCall, Era::Legacy, Era::Legacy, ALL).expect("labelled");
        let out = std::str::from_utf8(&out).expect("text");
        assert!(out.contains(r#""code":-32042"#) && out.contains("[s] Sign in") && out.contains(r#""x":1"#), "{out}");
        let out = words(read(&message, &Method::ToolsCall, Era::Legacy, Era::Legacy, NOTHING));
        assert!(out.contains("https://a.example/in"), "{out}");
        let broken = bytes(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"sign in"}}"#);
        words(read(&broken, &Method::ToolsCall, Era::Legacy, Era::Legacy, ALL));
        words(read(&broken, &Method::ToolsCall, Era::Legacy, Era::Modern, ALL));
    }

    #[test]
    fn only_an_error_of_the_missing_capabilitys_code_says_that_one_is_missing() {
        assert!(lacks_capability(&bytes(r#"{"error":{"message":"needs sampling","code":-32021},"id":1}"#)));
        assert!(!lacks_capability(&bytes(r#"{"error":{"message":"-32021","code":-32602},"id":1}"#)));
        assert!(!lacks_capability(&bytes(r#"{"result":{"code":-32021},"id":1}"#)));
    }
}
