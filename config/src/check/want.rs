//! What a JSON schema wants at one place, and how that is said in words.

use serde_json::Value as Json;

use crate::{node::Value, path::FieldPath};

/// What the schema wants at one place.
#[derive(Clone, Copy)]
pub(super) struct Want<'a> {
    pub(super) schema: &'a Json,
    pub(super) kind: Kind,
    /// Whether the values are secrets, so that no message may show them.
    pub(super) secret: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Fields,
    Map,
    List,
    Text,
    Word,
    Whole,
    Number,
    Truth,
    Any,
}

impl<'a> Want<'a> {
    /// Follows references and looks through "or null".
    pub(super) fn of(schema: &'a Json, root: &'a Json, secret: bool) -> Self {
        let secret = secret || schema["writeOnly"] == true;
        if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
            return Self::of(&root["$defs"][name], root, secret);
        }
        let choices = schema["anyOf"].as_array().into_iter().flatten();
        if let Some(inner) = choices.into_iter().find(|choice| choice["type"] != "null") {
            return Self::of(inner, root, secret);
        }
        Self { schema, kind: Kind::of(schema), secret }
    }

    /// The words that may stand here.
    pub(super) fn words(self) -> Vec<&'a str> {
        let plain = self.schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let described = self.schema["oneOf"].as_array().into_iter().flatten();
        plain.chain(described.filter_map(|choice| choice["const"].as_str())).collect()
    }

    /// What is expected, in words.
    pub(super) fn expected(self, field: &FieldPath) -> String {
        match self.kind {
            Kind::Fields | Kind::Map => "a mapping".to_owned(),
            Kind::List => "a list".to_owned(),
            Kind::Text => "a text".to_owned(),
            Kind::Truth => "true or false".to_owned(),
            Kind::Any => "a value".to_owned(),
            Kind::Word => one_of(&self.words()),
            Kind::Whole => {
                let (min, max) = self.range();
                format!("a whole number{} from {min} to {max}", unit(field.last_key()))
            }
            Kind::Number => {
                let (min, max) = self.number_range();
                format!("a number{} from {min} to {max}", unit(field.last_key()))
            }
        }
    }

    pub(super) fn range(self) -> (u64, u64) {
        let bound = |name: &str| self.schema[name].as_u64();
        (bound("minimum").unwrap_or(0), bound("maximum").unwrap_or(u64::MAX))
    }

    pub(super) fn number_range(self) -> (f64, f64) {
        let bound = |name: &str| self.schema[name].as_f64();
        (bound("minimum").unwrap_or(f64::MIN), bound("maximum").unwrap_or(f64::MAX))
    }
}

impl Kind {
    fn of(schema: &Json) -> Self {
        let named = |kind: &str| match &schema["type"] {
            Json::String(only) => only == kind,
            Json::Array(several) => several.iter().any(|one| one == kind),
            _ => false,
        };
        if schema["enum"].is_array() || schema["oneOf"].is_array() {
            Self::Word
        } else if named("object") && schema["properties"].is_object() {
            Self::Fields
        } else if named("object") {
            Self::Map
        } else if named("array") {
            Self::List
        } else if named("string") {
            Self::Text
        } else if named("integer") {
            Self::Whole
        } else if named("number") {
            Self::Number
        } else if named("boolean") {
            Self::Truth
        } else {
            Self::Any
        }
    }
}

/// The unit that a field's name carries.
fn unit(key: &str) -> &'static str {
    match key {
        _ if key.contains("bytes") => " of bytes",
        _ if key.ends_with("_s") => " of seconds",
        _ if key.ends_with("_ms") => " of milliseconds",
        _ if key.ends_with("_days") => " of days",
        _ if key.ends_with("_mib") => " of MiB",
        _ if key.ends_with("_hours") => " of hours",
        _ => "",
    }
}

pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [only] => only.clone(),
        [start @ .., last] => format!("{} or {last}", start.join(", ")),
        [] => "nothing".to_owned(),
    }
}

/// What stands there instead, in words that show no secret. Only a scalar in the place of a scalar is shown at all.
pub(super) fn found(value: &Value, want: Want<'_>) -> String {
    let shown = !want.secret && !matches!(want.kind, Kind::Fields | Kind::Map | Kind::List | Kind::Any);
    match value {
        Value::Null => "nothing".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Bool(_, written) | Value::Number(_, written) if shown => written.clone(),
        Value::Text(text) | Value::Loose(text) if shown => {
            format!("{:?}", text.chars().take(60).collect::<String>())
        }
        Value::Bool(..) => "true or false".to_owned(),
        Value::Number(..) => "a number".to_owned(),
        Value::Text(_) | Value::Loose(_) => "a text".to_owned(),
    }
}
