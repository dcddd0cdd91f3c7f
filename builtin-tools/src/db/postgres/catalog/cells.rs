//! Values of PostgreSQL as JSON, made of the text that the server itself writes. For what our own statements select; the
//! rows of callers' queries have their own way.

use serde_json::Value;

use crate::db::answer::{integer_cell, json_bytes, real_cell, text_cell};

/// How the text of a value is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    Integer,
    Real,
    Json,
    /// An array of booleans, whole numbers, floating-point numbers or JSON.
    PlainArray,
    /// An array of anything else.
    TextArray,
    Text,
}

impl Shape {
    /// By the type's number, its element's where it is an array, and what domains are made of is known already.
    pub(super) fn of(base: u32, element: Option<u32>) -> Self {
        match element {
            Some(element) if Self::of(element, None) == Self::Text => Self::TextArray,
            Some(_) => Self::PlainArray,
            None => match base {
                16 => Self::Boolean,
                20 | 21 | 23 => Self::Integer,
                700 | 701 => Self::Real,
                114 | 3802 => Self::Json,
                _ => Self::Text,
            },
        }
    }

    /// SQL for the text of a value, which [`Self::whole`] reads.
    pub(super) fn sql(self, value: &str) -> String {
        match self {
            Self::PlainArray => format!("pg_catalog.to_json({value})::pg_catalog.text"),
            Self::TextArray => format!("pg_catalog.to_json({value}::pg_catalog.text[])::pg_catalog.text"),
            _ => format!("{value}::pg_catalog.text"),
        }
    }

    /// The value, in so many bytes of JSON at most.
    pub(super) fn whole(self, text: Option<&str>, bytes_max: usize) -> Value {
        let Some(text) = text else { return Value::Null };
        let parsed = match self {
            Self::Json | Self::PlainArray | Self::TextArray => {
                faithful(text).filter(|value| json_bytes(value) <= bytes_max)
            }
            _ => self.number(text),
        };
        parsed.unwrap_or_else(|| text_cell(text, bytes_max).0)
    }

    /// The value or, where it is long, its beginning: what is read is at most one character longer than `chars_max`.
    pub(super) fn beginning(self, text: &str, chars_max: usize) -> Value {
        match text.char_indices().nth(chars_max) {
            Some((end, _)) => format!("{}…", &text[..end]).into(),
            None => self.number(text).unwrap_or_else(|| text.into()),
        }
    }

    fn number(self, text: &str) -> Option<Value> {
        match self {
            Self::Boolean => match text {
                "t" | "true" => Some(true.into()),
                "f" | "false" => Some(false.into()),
                _ => None,
            },
            Self::Integer => text.parse().ok().map(integer_cell),
            Self::Real => text.parse().ok().map(real_cell),
            _ => None,
        }
    }
}

/// The JSON, if nothing of it changes by being read and written: else it stays the text that it is.
fn faithful(text: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let plain = |text: &str| text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
    if plain(&value.to_string()) != plain(text) {
        return None;
    }
    hold_exactly(&mut value);
    Some(value)
}

/// Whole numbers that clients would round are texts.
fn hold_exactly(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_i64() {
                *value = integer_cell(whole);
            } else if number.is_u64() {
                *value = number.to_string().into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hold_exactly),
        Value::Object(members) => members.values_mut().for_each(hold_exactly),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn number_that_json_would_change_stays_text() {
        assert_eq!(Shape::Integer.whole(Some("9007199254740993"), 100), json!("9007199254740993"));
        assert_eq!(Shape::Real.whole(Some("-Infinity"), 100), json!("-Infinity"));
        assert_eq!(Shape::Json.whole(Some("{\"a\": 1.10}"), 100), json!("{\"a\": 1.10}"));
        assert_eq!(Shape::PlainArray.whole(Some("[1,9007199254740993]"), 100), json!([1, "9007199254740993"]));
        assert_eq!(Shape::Json.whole(Some("{\"a\": [1, null]}"), 100), json!({"a": [1, null]}));
        assert_eq!(Shape::Boolean.whole(Some("t"), 100), json!(true));
        assert_eq!(Shape::Text.whole(None, 100), Value::Null);
    }

    #[test]
    fn long_value_is_cut_and_shows_it() {
        assert_eq!(Shape::Text.beginning("ééé", 2), json!("éé…"));
        assert_eq!(Shape::Integer.beginning("12", 2), json!(12));
        let cut = Shape::TextArray.whole(Some(&format!("[\"{}\"]", "a".repeat(100))), 50);
        assert!(cut.is_string() && cut.to_string().len() <= 50, "{cut}");
    }
}
