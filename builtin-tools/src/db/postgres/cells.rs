//! PostgreSQL's values as cells of an answer. Booleans and plain numbers come in binary; everything else comes as the text
//! that the server's own output function made, cut by the server to the length of a cell (`wrap`).

use std::error::Error;

use serde_json::Value;
use tokio_postgres::types::{FromSql, Kind, Type};

use super::{arrays, documents};
use crate::db::answer::{integer_cell, json_bytes, real_cell, text_cell};

/// How a column's values come and what they become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `bool` in binary.
    Bool,
    /// `smallint`, `integer`, `bigint` in binary.
    Integer,
    /// `real` in binary.
    Real,
    /// `double precision` in binary.
    Double,
    /// A text.
    Text,
    /// The text of JSON.
    Json,
    /// The text of an array.
    Array(Element),
}

/// What the elements of an array become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// `t` or `f`.
    Bool,
    /// Whole numbers.
    Integer,
    /// Floating-point numbers.
    Real,
    /// JSON.
    Json,
    /// All else.
    Text,
}

impl Shape {
    /// How values of this type come.
    pub(crate) fn of(kind: &Type) -> Self {
        match *kind {
            Type::BOOL => Self::Bool,
            Type::INT2 | Type::INT4 | Type::INT8 => Self::Integer,
            Type::FLOAT4 => Self::Real,
            Type::FLOAT8 => Self::Double,
            Type::JSON | Type::JSONB => Self::Json,
            // Their elements are parted by `;` or by blanks: they stay texts.
            Type::BOX_ARRAY | Type::INT2_VECTOR | Type::OID_VECTOR => Self::Text,
            _ => match kind.kind() {
                Kind::Array(element) => Self::Array(Element::of(element)),
                _ => Self::Text,
            },
        }
    }

    /// Whether values come in binary, as the driver gets them.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Bool | Self::Integer | Self::Real | Self::Double)
    }
}

impl Element {
    fn of(kind: &Type) -> Self {
        match *kind {
            Type::BOOL => Self::Bool,
            Type::INT2 | Type::INT4 | Type::INT8 => Self::Integer,
            Type::FLOAT4 | Type::FLOAT8 => Self::Real,
            Type::JSON | Type::JSONB => Self::Json,
            _ => Self::Text,
        }
    }

    /// An element's text as a cell.
    pub(crate) fn cell(self, text: &str) -> Value {
        match self {
            Self::Bool if text == "t" || text == "f" => (text == "t").into(),
            Self::Integer => text.parse().map_or_else(|_| text.into(), integer_cell),
            Self::Real => text.parse().map_or_else(|_| text.into(), real_cell),
            Self::Json => documents::parse(text).unwrap_or_else(|| text.into()),
            _ => text.into(),
        }
    }
}

/// A value as it came.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value as JSON of at most so many bytes, and whether it was cut; `None` when it is not what its shape says.
pub(crate) fn cell(shape: Shape, raw: &[u8], bytes_max: usize) -> Option<(Value, bool)> {
    let number = match shape {
        Shape::Bool => Value::from(*raw.first()? != 0),
        Shape::Integer => integer_cell(integer(raw)?),
        // By its own digits: 0.1 as a `real` is not 0.10000000149011612.
        Shape::Real => real_cell(f32::from_be_bytes(raw.try_into().ok()?).to_string().parse().ok()?),
        Shape::Double => real_cell(f64::from_be_bytes(raw.try_into().ok()?)),
        Shape::Text | Shape::Json | Shape::Array(_) => {
            return Some(text(shape, std::str::from_utf8(raw).ok()?, bytes_max));
        }
    };
    Some((number, false))
}

fn integer(raw: &[u8]) -> Option<i64> {
    match raw.len() {
        2 => Some(i16::from_be_bytes(raw.try_into().ok()?).into()),
        4 => Some(i32::from_be_bytes(raw.try_into().ok()?).into()),
        8 => Some(i64::from_be_bytes(raw.try_into().ok()?)),
        _ => None,
    }
}

/// A text longer than a cell may have been cut by the server, so it is not read as JSON or as an array.
fn text(shape: Shape, text: &str, bytes_max: usize) -> (Value, bool) {
    let parsed = match shape {
        _ if text.len() > bytes_max => None,
        Shape::Json => documents::parse(text),
        Shape::Array(element) => arrays::parse(text, element),
        _ => None,
    };
    match parsed {
        Some(value) if json_bytes(&value) <= bytes_max => (value, false),
        _ => text_cell(text, bytes_max),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_of_its_shape_is_no_value() {
        assert!(cell(Shape::Integer, &[1, 2, 3], 100).is_none());
        assert!(cell(Shape::Double, &[], 100).is_none());
        assert!(cell(Shape::Bool, &[], 100).is_none());
        assert!(cell(Shape::Text, &[0xff], 100).is_none());
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(cell(Shape::Real, &0.1_f32.to_be_bytes(), 100).unwrap().0, json!(0.1));
        assert_eq!(cell(Shape::Real, &f32::MAX.to_be_bytes(), 100).unwrap().0, json!(3.4028235e38));
        assert_eq!(cell(Shape::Real, &f32::NAN.to_be_bytes(), 100).unwrap().0, json!("NaN"));
        assert_eq!(cell(Shape::Real, &f32::NEG_INFINITY.to_be_bytes(), 100).unwrap().0, json!("-Infinity"));
        assert_eq!(cell(Shape::Double, &(-0.0_f64).to_be_bytes(), 100).unwrap().0.to_string(), "-0.0");
        assert_eq!(cell(Shape::Integer, &i64::MIN.to_be_bytes(), 100).unwrap().0, json!("-9223372036854775808"));
    }

    #[test]
    fn json_that_was_cut_is_a_text() {
        // The beginning of a long number is a number too.
        assert_eq!(cell(Shape::Json, b"123456789", 8).unwrap(), text_cell("123456789", 8));
        assert_eq!(cell(Shape::Json, b"[1,2]", 200).unwrap(), (json!([1, 2]), false));
        // It grows when the numbers are counted as long as they might be.
        assert!(cell(Shape::Array(Element::Integer), b"{1,2}", 30).unwrap().0.is_string());
    }
}
