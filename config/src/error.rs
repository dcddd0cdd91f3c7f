//! What is wrong with a file, said so that its author can mend it: file, line, column, field and what was expected.
//!
//! All errors of a file are gathered in a [`Report`] and given back at once. No secret value ever enters a message.

use std::{fmt, sync::Arc};

use crate::{
    node::{At, Node},
    path::FieldPath,
};

/// Errors shown at the most; whoever has more repairs these first.
const SHOWN_MAX: usize = 50;

/// Errors that are gathered at the most; whoever sends a document to be told more of them wants something else.
const GATHERED_MAX: usize = 1000;

/// Everything that is wrong with a configuration, in the order of its lines. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    /// How many more there were than are gathered.
    more: usize,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands.
    pub place: Place,
    /// The field, as a path from the top of the file; empty for the whole file.
    pub field: String,
    /// What was expected, and what was found.
    pub message: String,
    /// The field once more, step by step.
    path: FieldPath,
}

impl ConfigError {
    /// The field as a JSON pointer (RFC 6901) from the top of the document; empty for the whole of it. A field that should be
    /// there and is not has one too.
    pub fn pointer(&self) -> String {
        self.path.pointer()
    }
}

/// Where a value that is wrong came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file, without a line.
    File(Arc<str>),
    /// A line and a column of a file, both counted from 1.
    Line(Arc<str>, u64, u64),
    /// An environment variable.
    Variable(Arc<str>),
}

impl ConfigErrors {
    pub(crate) fn one(place: Place, path: FieldPath, message: impl Into<String>) -> Self {
        let error = ConfigError { place, field: path.to_string(), message: message.into(), path };
        Self { errors: vec![error], more: 0 }
    }

    pub(crate) fn file(file: &str, message: impl Into<String>) -> Self {
        Self::one(Place::File(file.into()), FieldPath::default(), message)
    }

    /// The errors one by one, in the order of their lines; of very many, the first that were found.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        match self.errors.len().saturating_sub(SHOWN_MAX) + self.more {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Line(file, line, column) => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gathers the errors of one file while it is checked.
pub(crate) struct Report<'a> {
    file: Arc<str>,
    root: &'a Node,
    /// Fields whose shape is wrong: what follows from that is not said a second time.
    misshapen: Vec<FieldPath>,
    errors: Vec<ConfigError>,
    /// How many more there were.
    more: usize,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &str, root: &'a Node) -> Self {
        Self { file: file.into(), root, misshapen: Vec::new(), errors: Vec::new(), more: 0 }
    }

    /// The value has the wrong type, or stands where none is expected.
    pub(crate) fn shape(&mut self, at: &At, field: &FieldPath, message: impl Into<String>) {
        if !self.is_full() {
            self.misshapen.push(field.clone());
        }
        self.push(at, field, message.into());
    }

    /// The value has the right type and cannot be meant, for a reason that concerns `field`.
    pub(crate) fn meaning(&mut self, field: &FieldPath, message: impl Into<String>) {
        if self.is_misshapen(field) {
            return;
        }
        let at = self.root.nearest(field).clone();
        self.push(&at, field, message.into());
    }

    /// Whether the field, or something in it, was said to have the wrong type.
    pub(crate) fn is_misshapen(&self, field: &FieldPath) -> bool {
        self.misshapen.iter().any(|bad| bad.starts_with(field))
    }

    /// An environment variable that nobody reads.
    pub(crate) fn variable(&mut self, name: &str, message: impl Into<String>) {
        self.push(&At::Variable(name.into()), &FieldPath::default(), message.into());
    }

    /// Whether further errors are only counted, so that nobody need think about what to say.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= GATHERED_MAX
    }

    fn push(&mut self, at: &At, field: &FieldPath, message: String) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let place = match at {
            At::Line(line, column) => Place::Line(self.file.clone(), *line, *column),
            At::Variable(name) => Place::Variable(name.clone()),
            At::Nowhere => Place::File(self.file.clone()),
        };
        self.errors.push(ConfigError { place, field: field.to_string(), message, path: field.clone() });
    }

    /// Whether the document has this very field.
    pub(crate) fn has(&self, field: &FieldPath) -> bool {
        self.root.has(field)
    }

    /// The value, unless something was wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        let mut errors = self.errors;
        errors.sort_by(|a, b| a.place.cmp(&b.place));
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ if errors.is_empty() => Err(ConfigErrors::file(&self.file, "the file cannot be understood as a whole")),
            _ => Err(ConfigErrors { errors, more: self.more }),
        }
    }
}
