//! Headers that repeat parts of a request's body (2026-07-28, Streamable HTTP): which arguments of a tool are mirrored, what
//! their headers say, and whether a caller's headers agree with its body. `edge` checks with it, the HTTP leg towards a server
//! builds with it; a caller's header is never copied through.

use std::{borrow::Cow, collections::HashSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use crate::json::{self, ScanError};

/// What stands before the name that a schema gives a mirrored argument.
pub const HEADER_PREFIX: &str = "Mcp-Param-";
/// How many arguments of one tool may be mirrored.
pub const PARAMS_MAX: usize = 64;

const KEYWORD: &str = "x-mcp-header";
const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// The arguments of one tool that are repeated in headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderParams(Vec<HeaderParam>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct HeaderParam {
    /// The whole name of the header.
    header: Box<str>,
    /// The keys from the arguments to the value.
    path: Box<[Box<str>]>,
}

/// An `x-mcp-header` that breaks the rules; an HTTP client has to drop the tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// The schema is no JSON object.
    #[error("the input schema is not a JSON object")]
    NotAnObject,
    /// It does not annotate a property that is reached through `properties` alone.
    #[error("an x-mcp-header stands where no chain of `properties` leads")]
    OffPath,
    /// Its value is no header name.
    #[error("the x-mcp-header of `{0}` is not a header name (RFC 9110, token)")]
    Name(String),
    /// Two annotations give one name.
    #[error("the x-mcp-header of `{0}` is given twice, ignoring case")]
    Twice(String),
    /// The property is not a single string, integer or boolean.
    #[error("the property `{0}` with an x-mcp-header is not of type string, integer or boolean")]
    Type(String),
    /// There are too many.
    #[error("more than {PARAMS_MAX} properties have an x-mcp-header")]
    TooMany,
}

/// Headers and body of a call that do not say the same; the call is refused with -32020.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The body has a value, the header is missing.
    #[error("the header {0} is missing: the body has a value for it")]
    Missing(Box<str>),
    /// The header is there, the body has no value.
    #[error("the header {0} is not expected: the body has no value for it")]
    Unexpected(Box<str>),
    /// They differ.
    #[error("the header {0} does not say what the body says")]
    Different(Box<str>),
    /// The header stands twice or is not encoded as the protocol says.
    #[error("the header {0} cannot be read: expected one value of visible ASCII, or =?base64?...?= with UTF-8 in it")]
    Malformed(Box<str>),
    /// The body is ambiguous.
    #[error("an argument that is repeated in the header {0} stands twice in the body")]
    Ambiguous(Box<str>),
}

/// What a request's head has under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent<'h> {
    /// No such header.
    Nothing,
    /// One.
    One(&'h str),
    /// Several, or bytes that are not visible ASCII.
    Unreadable,
}

impl<'h> Sent<'h> {
    /// Looks a header up.
    pub fn of(headers: &'h http::HeaderMap, name: &str) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => value.to_str().map_or(Self::Unreadable, Self::One),
            (Some(_), Some(_)) => Self::Unreadable,
        }
    }
}

impl HeaderParams {
    /// Reads the annotations of an input schema.
    pub fn of(schema: &str) -> Result<Self, AnnotationError> {
        // Most schemas have none; a tree is built only where the word can be.
        if !schema.contains(KEYWORD) && !schema.contains("\\u") {
            return Ok(Self::default());
        }
        let Ok(Value::Object(schema)) = serde_json::from_str(schema) else {
            return Err(AnnotationError::NotAnObject);
        };
        let mut reader = Reader { params: Vec::new(), names: HashSet::new(), path: Vec::new() };
        reader.schema(&schema, true)?;
        Ok(Self(reader.params))
    }

    /// Whether nothing is mirrored.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the headers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|param| &*param.header)
    }

    /// The headers that go with these arguments: names, and values as they are sent. An argument that is absent, null or
    /// not a single value has none.
    pub fn values(&self, arguments: Option<&str>) -> Vec<(&str, String)> {
        let header = |param| match argument(arguments, param) {
            Ok(Scalar::Text(text)) => Some(encode_value(&text).into_owned()),
            Ok(Scalar::Bool(value)) => Some(value.to_string()),
            Ok(Scalar::Number(raw)) => Some(integer(raw).map_or_else(|| raw.to_owned(), |value| value.to_string())),
            Ok(Scalar::Absent | Scalar::Compound) | Err(_) => None,
        };
        self.0.iter().filter_map(|param| Some((&*param.header, header(param)?))).collect()
    }

    /// Holds a caller's headers against its arguments.
    pub fn check<'h>(&self, arguments: Option<&str>, lookup: impl Fn(&str) -> Sent<'h>) -> Result<(), Mismatch> {
        self.0.iter().try_for_each(|param| check_one(param, arguments, lookup(&param.header)))
    }
}

fn check_one(param: &HeaderParam, arguments: Option<&str>, sent: Sent<'_>) -> Result<(), Mismatch> {
    let header = || param.header.clone();
    let value = argument(arguments, param).map_err(|_| Mismatch::Ambiguous(header()))?;
    let sent = match (sent, &value) {
        (Sent::Unreadable, _) => return Err(Mismatch::Malformed(header())),
        (Sent::Nothing, Scalar::Absent) => return Ok(()),
        (Sent::Nothing, _) => return Err(Mismatch::Missing(header())),
        (Sent::One(_), Scalar::Absent) => return Err(Mismatch::Unexpected(header())),
        (Sent::One(sent), _) => decode_value(sent).ok_or_else(|| Mismatch::Malformed(header()))?,
    };
    let same = match value {
        Scalar::Text(text) => sent == text,
        Scalar::Bool(value) => sent == if value { "true" } else { "false" },
        Scalar::Number(raw) => match (integer(&sent), integer(raw)) {
            (Some(sent), Some(raw)) => sent == raw,
            _ => sent == raw,
        },
        Scalar::Absent | Scalar::Compound => false,
    };
    if same { Ok(()) } else { Err(Mismatch::Different(header())) }
}

/// Writes a value for a header: as it is when it is visible ASCII, else in base64 with the mark around it.
pub fn encode_value(value: &str) -> Cow<'_, str> {
    let edge = |byte: Option<&u8>| byte == Some(&b' ');
    let bytes = value.as_bytes();
    let looks_encoded = value.starts_with(SENTINEL_START) && value.ends_with(SENTINEL_END);
    let plain = bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    if plain && !looks_encoded && !edge(bytes.first()) && !edge(bytes.last()) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{SENTINEL_START}{}{SENTINEL_END}", BASE64_STANDARD.encode(value)))
}

/// Reads a value of a header; `None` when it is marked as base64 and is not.
pub fn decode_value(sent: &str) -> Option<Cow<'_, str>> {
    match sent.strip_prefix(SENTINEL_START).and_then(|rest| rest.strip_suffix(SENTINEL_END)) {
        None => Some(Cow::Borrowed(sent)),
        Some(inner) => String::from_utf8(BASE64_STANDARD.decode(inner).ok()?).ok().map(Cow::Owned),
    }
}

enum Scalar<'a> {
    Absent,
    Text(Cow<'a, str>),
    Number(&'a str),
    Bool(bool),
    Compound,
}

/// The value of a mirrored argument; an error when it, or a step on the way to it, stands twice.
fn argument<'a>(arguments: Option<&'a str>, param: &HeaderParam) -> Result<Scalar<'a>, ScanError> {
    let mut value = arguments;
    for key in &param.path {
        value = match value {
            Some(object) if object.starts_with('{') => json::unique(object, key)?,
            _ => None,
        };
    }
    Ok(match value {
        None | Some("null") => Scalar::Absent,
        Some("true") => Scalar::Bool(true),
        Some("false") => Scalar::Bool(false),
        Some(raw) if raw.starts_with('"') => json::unquote(raw).map_or(Scalar::Compound, Scalar::Text),
        Some(raw) if raw.starts_with(['{', '[']) => Scalar::Compound,
        Some(raw) => Scalar::Number(raw),
    })
}

/// The integer that a JSON number is, however it is spelled, within what every JSON reader holds exactly.
fn integer(text: &str) -> Option<i64> {
    let numeric = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'.' | b'e' | b'E' | b'+');
    if text.starts_with('+') || !text.as_bytes().iter().all(numeric) {
        return None;
    }
    let value = text.parse::<i64>().ok().or_else(|| {
        let value = text.parse::<f64>().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and far inside the range of i64")]
        (value.fract() == 0.0 && value.abs() < 1e16).then_some(value as i64)
    })?;
    (-INTEGER_MAX..=INTEGER_MAX).contains(&value).then_some(value)
}

struct Reader<'s> {
    params: Vec<HeaderParam>,
    names: HashSet<String>,
    path: Vec<&'s str>,
}

impl<'s> Reader<'s> {
    /// Reads one schema; `on_path` says that only `properties` led to it.
    fn schema(&mut self, schema: &'s Map<String, Value>, on_path: bool) -> Result<(), AnnotationError> {
        for (keyword, value) in schema {
            match keyword.as_str() {
                KEYWORD if on_path && !self.path.is_empty() => self.annotation(value, schema)?,
                KEYWORD => return Err(AnnotationError::OffPath),
                "properties" => self.named(value, on_path)?,
                "$defs" | "definitions" | "dependentSchemas" | "patternProperties" => self.named(value, false)?,
                // Data, not schemas.
                "default" | "const" | "enum" | "examples" => {}
                _ => self.anywhere(value)?,
            }
        }
        Ok(())
    }

    /// Reads an object from names to schemas.
    fn named(&mut self, map: &'s Value, on_path: bool) -> Result<(), AnnotationError> {
        for (name, schema) in map.as_object().into_iter().flatten() {
            self.path.push(name);
            match schema {
                Value::Object(schema) => self.schema(schema, on_path)?,
                other => self.anywhere(other)?,
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Looks for annotations where none may be.
    fn anywhere(&mut self, value: &'s Value) -> Result<(), AnnotationError> {
        match value {
            Value::Object(schema) => self.schema(schema, false),
            Value::Array(list) => list.iter().try_for_each(|value| self.anywhere(value)),
            _ => Ok(()),
        }
    }

    fn annotation(&mut self, name: &Value, schema: &Map<String, Value>) -> Result<(), AnnotationError> {
        let property = || self.path.join(".").chars().take(80).collect::<String>();
        let name = name.as_str().filter(|name| is_token(name)).ok_or_else(|| AnnotationError::Name(property()))?;
        if !matches!(schema.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(AnnotationError::Type(property()));
        }
        if !self.names.insert(name.to_ascii_lowercase()) {
            return Err(AnnotationError::Twice(property()));
        }
        if self.params.len() == PARAMS_MAX {
            return Err(AnnotationError::TooMany);
        }
        let path = self.path.iter().map(|&key| key.into()).collect();
        self.params.push(HeaderParam { header: format!("{HEADER_PREFIX}{name}").into(), path });
        Ok(())
    }
}

fn is_token(name: &str) -> bool {
    let tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=128).contains(&name.len()) && name.bytes().all(tchar)
}

#[cfg(test)]
mod tests;
