//! What a server tells within a call, as its caller reads it: progress under the caller's own token, log messages that say which
//! server they are of, and requests that are taken back. Pure; how much of it passes is `dispatch/talk.rs`'s to say.

use bytes::Bytes;
use patchbay_core::json::{self, MessageHead};

use crate::caller::LogLevel;

/// The most characters of a reason that are handed on.
const REASON_CHARS_MAX: usize = 200;

/// A server's progress notification with the caller's own token; `None` when it is none, or tells nothing new.
/// `last` is the last value that was taken.
pub fn progress(message: &Bytes, token: &str, last: &mut f64) -> Option<Bytes> {
    let text = std::str::from_utf8(message).ok()?;
    let params = MessageHead::read(text).ok()?.params?;
    let now: f64 = json::at_path(params, &["progress"])?.parse().ok()?;
    if now <= *last || !now.is_finite() {
        return None;
    }
    let old = json::unique(params, "progressToken").ok()??;
    *last = now;
    Some(spliced(text, old, token))
}

/// The level of a log message.
pub fn log_level(message: &Bytes) -> Option<LogLevel> {
    let text = std::str::from_utf8(message).ok()?;
    let params = MessageHead::read(text).ok()?.params?;
    LogLevel::parse(&json::at_path(params, &["level"]).and_then(json::unquote)?)
}

/// A log message that says of which server it is: its `logger` is the server's name, or begins with it.
pub fn log(message: &Bytes, server: &str) -> Option<Bytes> {
    let text = std::str::from_utf8(message).ok()?;
    let params = MessageHead::read(text).ok()?.params?;
    let name = json::quote(server);
    match json::unique(params, "logger").ok()? {
        Some(logger) if logger.len() > 2 && logger.starts_with('"') => {
            Some(spliced(text, logger, &[&name[..name.len() - 1], "/", &logger[1..]].concat()))
        }
        Some(logger) => Some(spliced(text, logger, &name)),
        // `level` stands in the params, so a comma follows.
        None if params.starts_with('{') => Some(spliced(text, &params[..1], &["{\"logger\":", &name, ","].concat())),
        None => None,
    }
}

/// What is said in the place of log messages that were too many.
pub fn left_out(count: u64, level: LogLevel, server: &str) -> Bytes {
    let (level, server) = (level.as_str(), json::quote(server));
    let text = format!("{count} log messages were left out: the server sent more of them than the gateway hands on.");
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","logger":{server},"data":"{text}"}}}}"#
    )
    .into()
}

/// Takes a question back. `id` is raw, `reason` for people.
pub fn cancelled(id: &[u8], reason: &str) -> Bytes {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
    let start = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":";
    [start, id, b",\"reason\":", json::quote(&reason).as_bytes(), b"}}"].concat().into()
}

/// `text` with another text in the place of `old`, which is a part of it.
fn spliced(text: &str, old: &str, new: &str) -> Bytes {
    let start = old.as_ptr() as usize - text.as_ptr() as usize;
    [&text[..start], new, &text[start + old.len()..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn progress_goes_up_and_carries_the_callers_token() {
        let message =
            bytes(r#"{"method":"notifications/progress","params":{"progress": 2,"progressToken":17,"x":1.0}}"#);
        let mut last = 1.0;
        let out = progress(&message, "\"t\"", &mut last).expect("passed on");
        assert_eq!(out, r#"{"method":"notifications/progress","params":{"progress": 2,"progressToken":"t","x":1.0}}"#);
        assert_eq!(progress(&message, "\"t\"", &mut last), None);
        let endless = bytes(r#"{"method":"notifications/progress","params":{"progress":1e999,"progressToken":17}}"#);
        assert_eq!((progress(&endless, "\"t\"", &mut last), last), (None, 2.0));
    }

    #[test]
    fn a_log_message_says_of_which_server_it_is() {
        for (sent, read) in [
            (r#"{"level":"info","logger":"db","data":1}"#, r#"{"level":"info","logger":"weather/db","data":1}"#),
            (r#"{"level":"info","logger":"","data":1}"#, r#"{"level":"info","logger":"weather","data":1}"#),
            (r#"{"level":"info","logger":null}"#, r#"{"level":"info","logger":"weather"}"#),
            (r#"{"level":"info"}"#, r#"{"logger":"weather","level":"info"}"#),
        ] {
            let message = Bytes::from(format!(r#"{{"method":"notifications/message","params":{sent}}}"#));
            assert_eq!(log_level(&message), Some(LogLevel::Info));
            let expected = format!(r#"{{"method":"notifications/message","params":{read}}}"#);
            assert_eq!(log(&message, "weather").expect("passed on"), expected);
        }
        let twice = bytes(r#"{"method":"notifications/message","params":{"level":"info","logger":"a","logger":"b"}}"#);
        assert_eq!(log(&twice, "weather"), None);
    }

    #[test]
    fn what_the_gateway_says_itself_is_json() {
        for message in [left_out(3, LogLevel::Error, "a"), cancelled(b"\"pb-1\"", "no\u{7} \"time\"")] {
            serde_json::from_slice::<serde_json::Value>(&message).expect("JSON");
        }
    }
}
