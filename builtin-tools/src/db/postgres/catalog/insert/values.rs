//! JSON values as the texts that PostgreSQL reads.

use std::error::Error;

use bytes::BytesMut;
use serde_json::Value;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

/// A value as text, or NULL. The server reads the text by the type that the value's place has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) Option<String>);

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// The value's text: a JSON text is itself, a JSON array is an array where one is expected, and what else is not a
/// single value is JSON.
pub(super) fn text(value: &Value, array: bool) -> Text {
    Text(match value {
        Value::Null => None,
        Value::Array(values) if array => Some(array_literal(values)),
        single => Some(plain(single)),
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn array_literal(values: &[Value]) -> String {
    let elements = values.iter().map(|value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Array(values) => array_literal(values),
        single => format!("\"{}\"", plain(single).replace('\\', "\\\\").replace('"', "\\\"")),
    });
    format!("{{{}}}", elements.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_postgres_reads_as_the_same() {
        let of = |value: &Value, array| text(value, array).0;
        assert_eq!(of(&Value::Null, false), None);
        assert_eq!(of(&json!("it's"), false).as_deref(), Some("it's"));
        assert_eq!(of(&json!(1.5), false).as_deref(), Some("1.5"));
        assert_eq!(of(&json!({"a": [1]}), false).as_deref(), Some(r#"{"a":[1]}"#));
        assert_eq!(of(&json!([1, 2]), false).as_deref(), Some("[1,2]"));
        assert_eq!(of(&json!(["a,b", "q\"\\", null, "NULL"]), true).as_deref(), Some(r#"{"a,b","q\"\\",NULL,"NULL"}"#));
        assert_eq!(of(&json!([[1, 2], [3, 4]]), true).as_deref(), Some(r#"{{"1","2"},{"3","4"}}"#));
        assert_eq!(of(&json!([]), true).as_deref(), Some("{}"));
    }
}
