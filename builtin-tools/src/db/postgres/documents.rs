//! JSON from a database as JSON of an answer, where nothing gets lost on the way: a number that a double does not hold, or a
//! key that stands there twice, keeps the whole document a text.

use serde_json::Value;

use crate::db::answer::EXACT_INTEGER_MAX;

/// Significant digits that every double keeps.
const DIGITS_MAX: usize = 15;
/// The exponent up to which that holds.
const EXPONENT_MAX: i32 = 290;

/// The document, or nothing when it is not JSON or would come out as another.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let members = members_if_numbers_fit(text)?;
    let value: Value = serde_json::from_str(text).ok()?;
    (members_of(&value) == members).then_some(value)
}

/// How many members the objects in the text have, keys that stand there twice included; nothing if a number does not fit.
fn members_if_numbers_fit(text: &str) -> Option<usize> {
    let (bytes, mut index, mut members) = (text.as_bytes(), 0, 0);
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'"' => index = end_of_string(bytes, index)?,
            b':' => members += 1,
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[index..];
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                if !fits(&text[index..index + length]) {
                    return None;
                }
                index += length - 1;
            }
            _ => {}
        }
        index += 1;
    }
    Some(members)
}

/// Where the string that begins at `start` has its closing quote.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut index = start + 1;
    loop {
        match bytes.get(index)? {
            b'"' => return Some(index),
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
}

/// Whether a double, printed again, is the same number.
fn fits(number: &str) -> bool {
    if let Ok(whole) = number.parse::<i64>() {
        return whole.unsigned_abs() <= EXACT_INTEGER_MAX;
    }
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let plain: String = digits.chars().filter(char::is_ascii_digit).collect();
    let significant = plain.trim_start_matches('0').trim_end_matches('0').len();
    let exponent = exponent.parse::<i32>().unwrap_or(i32::MAX);
    significant <= DIGITS_MAX
        && plain.len() <= EXPONENT_MAX as usize / 2
        && exponent.unsigned_abs() < EXPONENT_MAX as u32 / 2
}

fn members_of(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(members_of).sum(),
        Value::Object(members) => members.len() + members.values().map(members_of).sum::<usize>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_come_out_as_another_is_none() {
        for text in [
            "123456789012345678901234567890",
            "9007199254740993",
            "-9007199254740993",
            "0.1234567890123456789",
            "1e400",
            "1e-400",
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": [{"b": 1, "b": 1}]}"#,
            "",
            "nul",
            "[1",
            "\"a",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(500)), None);
        assert_eq!(parse(&("[".repeat(500) + &"]".repeat(500))), None);
    }

    #[test]
    fn documents_are_nested() {
        assert_eq!(
            parse(r#"{"a": [1, 2.50, -3e2, null, true], "b\":1": {"c": "9007199254740993"}}"#),
            Some(json!({"a": [1, 2.5, -300.0, null, true], "b\":1": {"c": "9007199254740993"}}))
        );
        assert_eq!(parse("9007199254740991"), Some(json!(9_007_199_254_740_991_i64)));
        assert_eq!(parse("0.000000000001"), Some(json!(0.000_000_000_001)));
        assert_eq!(parse(r#""a:b""#), Some(json!("a:b")));
        assert_eq!(parse("{}"), Some(json!({})));
    }
}
