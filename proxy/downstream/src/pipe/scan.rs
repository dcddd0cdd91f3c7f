//! Finds out which request a line answers without reading it to its end: the one thing that every response costs.
//! Everything else about a line is [`super::route`]'s.

use patchbay_core::json::{end_of_string, end_of_value, skip_space};

/// What the beginning of a line says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    id: Option<u64>,
    outcome: bool,
}

/// The id in this line when it is a response to one of our requests; `None` when it is something else or nothing.
/// Looks no further than it must, so the line may be broken behind that.
pub(super) fn response_id(line: &[u8]) -> Option<u64> {
    let look = look(line)?;
    look.id.filter(|_| look.outcome)
}

/// The same for a line of which only the beginning and the end are there.
pub(super) fn response_id_of_ends(head: &[u8], tail: &[u8]) -> Option<u64> {
    let look = look(head)?;
    if look.outcome { look.id.or_else(|| trailing_id(tail)) } else { None }
}

/// Reads members until id and outcome are known, or the text ends; `None` when it is no response to us.
fn look(line: &[u8]) -> Option<Look> {
    let mut look = Look::default();
    let mut at = skip_space(line, 0);
    if line.get(at) != Some(&b'{') {
        return None;
    }
    while !(look.outcome && look.id.is_some()) {
        let key_start = skip_space(line, at + 1);
        let Ok(key_end) = end_of_string(line, key_start) else { break };
        let colon = skip_space(line, key_end);
        if line.get(colon) != Some(&b':') {
            break;
        }
        let value_start = skip_space(line, colon + 1);
        let value_end = end_of_value(line, value_start);
        match &line[key_start..key_end] {
            b"\"method\"" => return None,
            b"\"result\"" | b"\"error\"" => look.outcome = true,
            b"\"id\"" => look.id = Some(number(&line[value_start..value_end.ok()?])?),
            _ => {}
        }
        let Ok(value_end) = value_end else { break };
        at = skip_space(line, value_end);
        if line.get(at) != Some(&b',') {
            break;
        }
    }
    Some(look)
}

/// The id at the very end of a line whose middle is not known: `…,"id":7}` or `…,"id":7,"jsonrpc":"2.0"}`. What stands right
/// before the last bracket is a member of the message itself.
fn trailing_id(tail: &[u8]) -> Option<u64> {
    let tail = tail.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let tail = tail.strip_suffix(b"\"jsonrpc\":\"2.0\"").and_then(|rest| rest.strip_suffix(b",")).unwrap_or(tail);
    let digits = tail.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, digits) = tail.split_at(tail.len() - digits);
    let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    before.strip_suffix(b"\"id\"")?.trim_ascii_end().strip_suffix(b",")?;
    number(digits)
}

/// Our ids are plain decimal numbers; anything else is not ours.
pub(super) fn number(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_found_whatever_the_order_of_its_members() {
        for line in [
            r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#,
            r#"{"result":{"id":8,"method":"x"},"jsonrpc":"2.0","id":7}"#,
            r#" { "id" : 7 , "error" : {"code":1} }"#,
            r#"{"id":7,"result":{"cut":"of"#,
        ] {
            assert_eq!(response_id(line.as_bytes()), Some(7), "{line}");
        }
    }

    #[test]
    fn what_is_no_response_to_us_has_no_id() {
        for line in [
            r#"{"method":"ping","id":7}"#,
            r#"{"id":"7","result":{}}"#,
            r#"{"id":null,"error":{}}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"result"#,
            r#"{"result":{"id":7}}"#,
            r#"{"result":{"cut":"of"#,
            "npm WARN",
            "",
            "[]",
            "{",
        ] {
            assert_eq!(response_id(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_line_without_its_middle_is_a_response_only_when_its_beginning_says_so() {
        let tail = br#""},"id":31}"#;
        assert_eq!(response_id_of_ends(br#"{"jsonrpc":"2.0","result":{"x":"yyy"#, tail), Some(31));
        assert_eq!(response_id_of_ends(br#"{"jsonrpc":"2.0","id":30,"result":{"x":"yyy"#, tail), Some(30));
        assert_eq!(
            response_id_of_ends(br#"{"jsonrpc":"2.0","method":"sampling/createMessage","params":{"#, tail),
            None
        );
        assert_eq!(response_id_of_ends(br#"{"params":{"x":"yyy"#, tail), None);
    }

    #[test]
    fn the_end_of_a_long_line_tells_the_id_only_when_it_is_the_messages_own() {
        assert_eq!(trailing_id(br#"xxx"}]},"jsonrpc":"2.0","id":31}"#), Some(31));
        assert_eq!(trailing_id(br#"xxx"}]}, "id" : 31,"jsonrpc":"2.0"} "#), Some(31));
        for other in [r#"xxx","id":31}}"#, r#"xxx\"id\":31}"#, r#""id":31}"#, r#"xxx,"id":"31"}"#, ""] {
            assert_eq!(trailing_id(other.as_bytes()), None, "{other}");
        }
    }
}
