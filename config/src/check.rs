//! Holds a document against the JSON schema of its wire type and says everything that does not fit, with its place.
//!
//! It knows the part of JSON Schema that schemars writes for our types. What passes here is what serde accepts; the
//! meaning of the values is checked where they are lowered.

mod secrets;
mod want;

pub(crate) use secrets::each_secret;

use serde_json::{Map, Number, Value as Json};
use want::{Kind, Want, found, one_of};

use crate::{
    error::Report,
    node::{Node, Value},
    path::FieldPath,
    suggest::nearest,
};

/// Known keys that an error lists at the most.
const KEYS_LISTED_MAX: usize = 24;

/// The document as plain JSON; parts that were refused are left out, after the report has heard of them.
pub(crate) fn check(node: &Node, schema: &Json, report: &mut Report<'_>) -> Json {
    Checker { schema, report, exact: false }.document(node)
}

/// The same for a document of programs, who mean what they write: a number is no text, and nothing no mapping.
pub(crate) fn check_exact(node: &Node, schema: &Json, report: &mut Report<'_>) -> Json {
    Checker { schema, report, exact: true }.document(node)
}

struct Checker<'a, 'r, 'n> {
    schema: &'a Json,
    report: &'r mut Report<'n>,
    /// Whether only what the schema allows will do, to the letter.
    exact: bool,
}

impl<'a> Checker<'a, '_, '_> {
    fn document(&mut self, node: &Node) -> Json {
        self.value(node, Want::of(self.schema, self.schema, false), &FieldPath::default()).unwrap_or_default()
    }

    fn value(&mut self, node: &Node, want: Want<'a>, field: &FieldPath) -> Option<Json> {
        let fits = match (want.kind, &node.value) {
            (Kind::Fields, Value::Map(_)) => Some(self.fields(node, want, field)),
            (Kind::Map, Value::Map(_)) => Some(self.map(node, want, field)),
            (Kind::List, Value::List(items)) => Some(self.list(node, items, want, field)),
            (Kind::List, Value::Loose(text)) => Some(self.list(node, &split(node, text), want, field)),
            (Kind::Text, value) => text_of(value, self.exact).map(|text| self.text(node, text, want, field)),
            (Kind::Any, value) => Some(plain(value)),
            (_, value) => scalar(value, want, self.exact),
        };
        if fits.is_none() && self.report.is_full() {
            self.report.shape(&node.at, field, String::new());
        } else if fits.is_none() {
            let message = format!("expected {}, found {}", want.expected(field), found(&node.value, want));
            self.report.shape(&node.at, field, message);
        }
        fits.or_else(|| (want.kind == Kind::Fields).then(|| Json::Object(Map::new())))
    }

    fn fields(&mut self, node: &Node, want: Want<'a>, field: &FieldPath) -> Json {
        let Value::Map(entries) = &node.value else {
            return Json::Null;
        };
        let mut object = Map::new();
        let known = &want.schema["properties"];
        for entry in entries {
            let inner = field.key(&entry.key);
            let Some(schema) = known.get(&entry.key) else {
                let message = if self.report.is_full() { String::new() } else { unknown(&entry.key, known) };
                self.report.shape(&entry.key_at, &inner, message);
                continue;
            };
            // A field without a value (`listen:` with everything below it commented out) is as good as absent.
            if self.is_as_good_as_absent(&entry.node, schema) {
                continue;
            }
            let below = Want::of(schema, self.schema, want.secret);
            if let Some(value) = self.value(&entry.node, below, &inner) {
                object.insert(entry.key.clone(), value);
            }
        }
        let required = want.schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
        for key in required {
            if node.get(key).is_some_and(|entry| !self.is_as_good_as_absent(&entry.node, &known[key])) {
                continue;
            }
            let inner = field.key(key);
            let below = Want::of(&known[key], self.schema, want.secret);
            self.report.shape(&node.at, &inner, format!("expected {}, found nothing", below.expected(&inner)));
        }
        Json::Object(object)
    }

    fn is_as_good_as_absent(&self, node: &Node, schema: &Json) -> bool {
        matches!(node.value, Value::Null) && (!self.exact || may_be_null(schema))
    }

    fn map(&mut self, node: &Node, want: Want<'a>, field: &FieldPath) -> Json {
        let Value::Map(entries) = &node.value else {
            return Json::Null;
        };
        self.bound(node, "maxProperties", entries.len(), "entries", want, field);
        let mut object = Map::new();
        for entry in entries {
            let schema = want.schema.get("additionalProperties").unwrap_or(&Json::Bool(true));
            let inner = field.key(&entry.key);
            if let Some(value) = self.value(&entry.node, Want::of(schema, self.schema, want.secret), &inner) {
                object.insert(entry.key.clone(), value);
            }
        }
        Json::Object(object)
    }

    fn list(&mut self, node: &Node, items: &[Node], want: Want<'a>, field: &FieldPath) -> Json {
        self.bound(node, "maxItems", items.len(), "items", want, field);
        let item_want = Want::of(&want.schema["items"], self.schema, want.secret);
        let items = items.iter().enumerate();
        Json::Array(items.filter_map(|(at, item)| self.value(item, item_want, &field.index(at))).collect())
    }

    fn text(&mut self, node: &Node, text: &str, want: Want<'a>, field: &FieldPath) -> Json {
        self.bound(node, "maxLength", text.chars().count(), "characters", want, field);
        if want.schema["minLength"].as_u64().unwrap_or(0) > 0 && text.is_empty() {
            self.report.shape(&node.at, field, "expected a text that is not empty");
        }
        Json::String(text.to_owned())
    }

    fn bound(&mut self, node: &Node, name: &str, count: usize, things: &str, want: Want<'a>, field: &FieldPath) {
        let most = want.schema[name].as_u64().unwrap_or(u64::MAX);
        if u64::try_from(count).is_ok_and(|count| count > most) {
            self.report.shape(&node.at, field, format!("expected at most {most} {things}, found {count}"));
        }
    }
}

fn unknown(key: &str, known: &Json) -> String {
    let known: Vec<&str> = known.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("no such field; did you mean `{near}`?"),
        None if known.len() <= KEYS_LISTED_MAX => {
            format!("no such field; expected {}", one_of(&known))
        }
        None => "no such field".to_owned(),
    }
}

/// A variable's text where a list is expected: its parts between commas.
fn split(node: &Node, text: &str) -> Vec<Node> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| Node { at: node.at.clone(), value: Value::Loose(part.to_owned()) }).collect()
}

/// A text, also where its author did not quote `8080` or `true`.
fn text_of(value: &Value, exact: bool) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Loose(text) => Some(text),
        Value::Number(_, written) | Value::Bool(_, written) if !exact => Some(written),
        Value::Number(..) | Value::Bool(..) | Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Whether the schema takes `null` for a field that is not there.
fn may_be_null(schema: &Json) -> bool {
    let types = schema["type"].as_array().into_iter().flatten();
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    types.chain(choices.map(|choice| &choice["type"])).any(|one| one == "null")
}

fn scalar(value: &Value, want: Want<'_>, exact: bool) -> Option<Json> {
    match (want.kind, value) {
        (Kind::Word, value) => {
            let text = text_of(value, exact)?;
            want.words().contains(&text).then(|| Json::from(text))
        }
        (Kind::Truth, Value::Bool(value, _)) => Some(Json::from(*value)),
        (Kind::Truth, Value::Loose(text)) => text.parse::<bool>().ok().map(Json::from),
        (Kind::Whole, Value::Number(number, _)) => whole(count(number)?, want),
        (Kind::Whole, Value::Loose(text)) => whole(text.parse().ok()?, want),
        (Kind::Number, Value::Number(number, _)) => within(number.as_f64()?, want),
        (Kind::Number, Value::Loose(text)) => within(text.parse().ok()?, want),
        _ => None,
    }
}

/// A whole number, however it is written: JSON knows no difference between `5` and `5.0`.
fn count(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
        // Exact as far as numbers of files go.
        format!("{float:.0}").parse().ok()
    })
}

fn whole(number: u64, want: Want<'_>) -> Option<Json> {
    let (min, max) = want.range();
    (min..=max).contains(&number).then(|| Json::from(number))
}

fn within(number: f64, want: Want<'_>) -> Option<Json> {
    let (min, max) = want.number_range();
    (min..=max).contains(&number).then(|| Json::from(number))
}

/// The value as JSON, whatever it is.
fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value, _) => Json::from(*value),
        Value::Number(number, _) => Json::Number(number.clone()),
        Value::Text(text) | Value::Loose(text) => Json::from(text.as_str()),
        Value::List(items) => items.iter().map(|item| plain(&item.value)).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), plain(&entry.node.value))).collect())
        }
    }
}
