//! A tree of JSON as a [`Node`], whose values have no lines; and how deep a document may be and how long its keys, wherever it
//! comes from. The admin API's documents come this way, and tenant files are held to the same bounds, so that either goes
//! where the other went.

use serde_json::Value as Json;

use super::{At, Entry, Node, Value};
use crate::{
    error::{ConfigErrors, Place},
    path::{FieldPath, Step},
};

/// How deep a tenant's document may be nested: less than parsers of JSON take.
const DEPTH_MAX: usize = 64;

/// The longest key; errors repeat them, those around a field included.
const KEY_BYTES_MAX: usize = 1024;

impl Node {
    /// The tree as a document. What lies too deep is cut off, one level below where [`Self::bounded`] refuses it.
    pub(crate) fn of_json(json: &Json) -> Self {
        Self::cut(json, 0)
    }

    fn cut(json: &Json, depth: usize) -> Self {
        let value = match json {
            _ if depth > DEPTH_MAX => Value::Null,
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value, value.to_string()),
            Json::Number(number) => Value::Number(number.clone(), number.to_string()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(|item| Self::cut(item, depth + 1)).collect()),
            Json::Object(members) => {
                let entry = |(key, json): (&String, &Json)| Entry {
                    key: key.clone(),
                    key_at: At::Nowhere,
                    node: Self::cut(json, depth + 1),
                };
                Value::Map(members.iter().map(entry).collect())
            }
        };
        Self { at: At::Nowhere, value }
    }

    /// The document, unless it is nested too deep or has a key that is too long.
    pub(crate) fn bounded(self, file: &str) -> Result<Self, ConfigErrors> {
        let Some(Excess { at, way_back, why }) = self.excess(0) else {
            return Ok(self);
        };
        let place = match at {
            At::Line(line, column) => Place::Line(file.into(), line, column),
            At::Variable(name) => Place::Variable(name),
            At::Nowhere => Place::File(file.into()),
        };
        Err(ConfigErrors::one(place, FieldPath::of_reversed(way_back), why))
    }

    fn excess(&self, depth: usize) -> Option<Excess> {
        if depth > DEPTH_MAX {
            return Some(self.too_much(format!("expected values nested at most {DEPTH_MAX} deep")));
        }
        match &self.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .find_map(|(index, item)| item.excess(depth + 1).map(|excess| excess.under(Step::Index(index)))),
            Value::Map(entries) => entries.iter().find_map(|entry| {
                let len = entry.key.len();
                if len > KEY_BYTES_MAX {
                    let why = format!("expected keys of at most {KEY_BYTES_MAX} bytes, found one of {len}");
                    return Some(self.too_much(why));
                }
                entry.node.excess(depth + 1).map(|excess| excess.under(Step::Key(entry.key.clone())))
            }),
            _ => None,
        }
    }

    fn too_much(&self, why: String) -> Excess {
        Excess { at: self.at.clone(), way_back: Vec::new(), why }
    }
}

/// Where a document goes beyond its bounds.
struct Excess {
    at: At,
    way_back: Vec<Step>,
    why: String,
}

impl Excess {
    fn under(mut self, step: Step) -> Self {
        self.way_back.push(step);
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Json {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn documents_that_are_too_deep_or_have_endless_keys_are_refused_where_they_are() {
        assert!(Node::of_json(&nested(DEPTH_MAX)).bounded("t").is_ok());
        let said = Node::of_json(&json!({ "a": nested(DEPTH_MAX) })).bounded("t").unwrap_err();
        let pointer = said.iter().next().unwrap().pointer();
        assert_eq!(pointer, format!("/a{}", "/0".repeat(DEPTH_MAX)));
        assert!(said.to_string().ends_with("expected values nested at most 64 deep"), "{said}");
        assert!(Node::of_json(&nested(1000)).bounded("t").is_err());

        let key = "k".repeat(KEY_BYTES_MAX + 1);
        let said = Node::of_json(&json!({ "a": { "b": { key: 1 } } })).bounded("t").unwrap_err();
        assert_eq!(said.to_string(), "t: a.b: expected keys of at most 1024 bytes, found one of 1025");
        let deepest = format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(Node::parse(&deepest, "t.yaml").unwrap().bounded("t.yaml").is_ok(), "files go as deep");
        assert!(Node::parse(&format!("[{deepest}]"), "t.yaml").is_err());
        let text = format!("a:\n  b:\n    {}: 1\n", "k".repeat(1000) + &"ä".repeat(20));
        let said = Node::parse(&text, "t.yaml").unwrap().bounded("t.yaml").unwrap_err().to_string();
        assert_eq!(said, "t.yaml:3:5: a.b: expected keys of at most 1024 bytes, found one of 1040");
    }
}
