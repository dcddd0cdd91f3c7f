//! The values of a statement's parameters: JSON as the caller gave it, handed to PostgreSQL as text, so that the server's own
//! rules say what fits a parameter's type.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use serde_json::Value;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use crate::db::error::QueryError;

/// One value.
#[derive(Debug)]
pub(crate) struct Param<'a>(&'a Value);

/// The values for parameters of these types.
pub(crate) fn bind<'a>(values: &'a [Value], types: &[Type]) -> Result<Vec<(Param<'a>, Type)>, QueryError> {
    if values.len() != types.len() {
        return Err(QueryError::Arguments(format!(
            "The SQL text has {} parameters, and `params` has {} values.",
            types.len(),
            values.len()
        )));
    }
    if let Some(index) = values.iter().position(has_nul) {
        return Err(QueryError::Arguments(format!(
            "Value {} of `params` has a NUL character, which PostgreSQL's texts cannot hold.",
            index + 1
        )));
    }
    Ok(values.iter().map(Param).zip(types.iter().cloned()).collect())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        // Inside of JSON it is escaped, and the server says what it thinks of it.
        _ => false,
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if self.0.is_null() {
            return Ok(IsNull::Yes);
        }
        out.put_slice(text(self.0, is_array(kind)).as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    fn to_sql_checked(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(kind, out)
    }
}

fn is_array(kind: &Type) -> bool {
    match kind.kind() {
        Kind::Array(_) => true,
        Kind::Domain(base) => is_array(base),
        _ => false,
    }
}

/// The value as PostgreSQL reads it: a text is what it is, an array for an array becomes its literal, the rest is JSON.
fn text(value: &Value, as_array: bool) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if as_array => array(values),
        other => other.to_string(),
    }
}

fn array(values: &[Value]) -> String {
    let elements: Vec<String> = values
        .iter()
        .map(|value| match value {
            Value::Null => "NULL".to_owned(),
            Value::Array(inner) => array(inner),
            other => quoted(&text(other, false)),
        })
        .collect();
    format!("{{{}}}", elements.join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arrays_are_literals_for_arrays_and_json_for_all_else() {
        let value = json!(["a\"b", "c\\d", null, 1, true, "NULL", ""]);
        assert_eq!(text(&value, true), r#"{"a\"b","c\\d",NULL,"1","true","NULL",""}"#);
        assert_eq!(text(&value, false), r#"["a\"b","c\\d",null,1,true,"NULL",""]"#);
        assert_eq!(text(&json!([[1, 2], [3, null]]), true), r#"{{"1","2"},{"3",NULL}}"#);
        assert_eq!(text(&json!([]), true), "{}");
        assert_eq!(text(&json!([{"a": 1}]), true), r#"{"{\"a\":1}"}"#);
    }

    #[test]
    fn wrong_number_of_values_and_nul_are_named() {
        let error = bind(&[json!(1)], &[]).unwrap_err().to_string();
        assert_eq!(error, "The SQL text has 0 parameters, and `params` has 1 values.");
        let error = bind(&[json!(1), json!("a\0")], &[Type::INT4, Type::TEXT]).unwrap_err().to_string();
        assert!(error.contains("Value 2"), "{error}");
    }
}
