//! A YAML document as a tree in which every value knows its line and column.
//!
//! Files become a [`Node`] first; environment variables are laid over it; `check` holds it against the schema. So each
//! later complaint can point at the place. Sizes and depths are bounded here.

mod json;

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use crate::{
    error::{ConfigErrors, Place},
    path::{FieldPath, Step},
};

/// The longest file that is read: far more than 200 servers need.
pub(crate) const FILE_BYTES_MAX: usize = 4 << 20;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// In the file; line and column from 1.
    Line(u64, u64),
    /// In an environment variable.
    Variable(Arc<str>),
    /// Only in our mind.
    Nowhere,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// A value as YAML has it.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`, and nothing else: `no` is a text. With how it was written.
    Bool(bool, String),
    /// A number, and how it was written, since `1.10` may be meant as a text.
    Number(Number, String),
    /// A text.
    Text(String),
    /// A text of an environment variable: a number, a truth or a list of texts if one is expected.
    Loose(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the file's order.
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn empty() -> Self {
        Self { at: At::Nowhere, value: Value::Map(Vec::new()) }
    }

    /// Reads a document. What is no YAML at all is one error, at the place where the parser gave up.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ConfigErrors::file(
                file,
                format!("expected at most {FILE_BYTES_MAX} bytes, found {}", text.len()),
            ));
        }
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::empty());
        }
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax_error(&error, file))?;
        Ok(Self::from_raw(raw, text))
    }

    fn from_raw(raw: Spanned<Raw>, text: &str) -> Self {
        let written = || source(text, &raw.defined);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value, written().unwrap_or_else(|| value.to_string())),
            Raw::Number(number) => {
                let written = written().unwrap_or_else(|| number.to_string());
                Value::Number(number, written)
            }
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => Value::List(items.into_iter().map(|item| Self::from_raw(item, text)).collect()),
            Raw::Map(entries) => Value::Map(entries.into_iter().map(|entry| Self::entry(entry, text)).collect()),
        };
        Self { at: at(&raw.referenced), value }
    }

    fn entry((key, raw): (Spanned<String>, Spanned<Raw>), text: &str) -> Entry {
        let key_at = at(&key.referenced);
        let mut node = Self::from_raw(raw, text);
        if node.at == At::Nowhere || matches!(node.value, Value::Null) {
            node.at = key_at.clone();
        }
        Entry { key: key.value, key_at, node }
    }

    /// The entry of that key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The place of the field, or of the nearest thing around it that the file has.
    pub(crate) fn nearest(&self, path: &FieldPath) -> &At {
        let (mut node, mut at) = (self, &self.at);
        for step in path.steps() {
            let below = match (step, &node.value) {
                (Step::Key(key), _) => node
                    .get(key)
                    .map(|entry| (&entry.node, if entry.node.is_block() { &entry.key_at } else { &entry.node.at })),
                (Step::Index(index), Value::List(items)) => items.get(*index).map(|item| (item, &item.at)),
                _ => None,
            };
            let Some((inner, place)) = below else { break };
            (node, at) = (inner, place);
        }
        at
    }

    /// Whether the document has this very field.
    pub(crate) fn has(&self, path: &FieldPath) -> bool {
        let mut steps = path.steps().iter();
        let below = steps.try_fold(self, |node, step| match (step, &node.value) {
            (Step::Key(key), _) => node.get(key).map(|entry| &entry.node),
            (Step::Index(index), Value::List(items)) => items.get(*index),
            _ => None,
        });
        below.is_some()
    }

    /// Whether a complaint about the value is better put at its key.
    fn is_block(&self) -> bool {
        matches!(self.value, Value::Map(_) | Value::List(_))
    }

    /// Lays a text from the environment over the field.
    pub(crate) fn set(&mut self, path: &[&str], node: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if matches!(self.value, Value::Null) {
            self.value = Value::Map(Vec::new());
        }
        let at = node.at.clone();
        let Value::Map(entries) = &mut self.value else {
            return;
        };
        if !entries.iter().any(|entry| entry.key == *first) {
            let inner = Self { at: at.clone(), value: Value::Null };
            entries.push(Entry { key: (*first).to_owned(), key_at: at, node: inner });
        }
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *first) {
            entry.node.set(rest, node);
        }
    }
}

/// How the scalar was written in the file.
fn source(text: &str, location: &Location) -> Option<String> {
    let span = location.span();
    let (start, len) = (span.byte_offset()?, span.byte_len()?);
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    text.get(start..end).map(|written| written.trim().to_owned())
}

fn at(location: &Location) -> At {
    if *location == Location::UNKNOWN { At::Nowhere } else { At::Line(location.line(), location.column()) }
}

fn syntax_error(error: &serde_saphyr::Error, file: &str) -> ConfigErrors {
    let error = error.without_snippet();
    let place = match error.location().as_ref().map(at) {
        Some(At::Line(line, column)) => Place::Line(file.into(), line, column),
        _ => Place::File(file.into()),
    };
    let message = match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` stands here a second time; expected each key once")
        }
        other => format!("this is no valid YAML: {}", UserMessageFormatter.format_message(other)),
    };
    ConfigErrors::one(place, FieldPath::default(), message)
}

/// A value on its way from the parser, before the source text is consulted.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Number::from_f64(value).map_or_else(|| Raw::Text(value.to_string()), Raw::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_yaml_is_said_with_line_and_column() {
        for (text, expected) in [
            ("a: [1", "f.yaml:"),
            ("a: 1\na: 2\n", "f.yaml:2:1: the key `a` stands here a second time; expected each key once"),
            ("a: \"x\n", "f.yaml:"),
            ("a: 1\n---\nb: 2\n", "f.yaml:"),
            ("a: *x\n", "f.yaml:1:4: "),
            ("? [a]\n: 1\n", "f.yaml:"),
        ] {
            let said = Node::parse(text, "f.yaml").map(|_| ()).map_err(|e| e.to_string());
            assert!(matches!(&said, Err(said) if said.starts_with(expected)), "{text:?}: {said:?}");
        }
    }

    #[test]
    fn values_know_their_places_and_numbers_how_they_were_written() {
        let node = Node::parse("# c\na:\n  b: 1.10\n  'c d': no\nlist: [x, 0x10]\nempty:\n", "f.yaml").unwrap();
        assert_eq!(*node.nearest(&FieldPath::of(["a", "b"])), At::Line(3, 6));
        assert_eq!(*node.nearest(&FieldPath::of(["a", "absent"])), At::Line(2, 1));
        assert_eq!(*node.nearest(&FieldPath::of(["list"]).index(1)), At::Line(5, 11));
        assert_eq!(*node.nearest(&FieldPath::of(["empty"])), At::Line(6, 1));
        let a = &node.get("a").unwrap().node;
        assert!(matches!(&a.get("b").unwrap().node.value, Value::Number(_, written) if written == "1.10"));
        assert!(matches!(&a.get("c d").unwrap().node.value, Value::Text(text) if text == "no"));
    }

    #[test]
    fn bombs_of_aliases_and_depth_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(Node::parse(&bomb, "f.yaml").is_err());
        assert!(Node::parse(&"[".repeat(10_000), "f.yaml").is_err());
        assert!(Node::parse(&" ".repeat(FILE_BYTES_MAX + 1), "f.yaml").is_err());
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        for text in ["", "\n\n", "# only words\n"] {
            assert!(matches!(Node::parse(text, "f").unwrap().value, Value::Map(entries) if entries.is_empty()));
        }
    }
}
