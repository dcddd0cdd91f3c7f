//! SQLite's values as cells of an answer.

use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::db::answer::{integer_cell, real_cell, text_cell};

/// How many bytes of a blob are shown.
const BLOB_BYTES_SHOWN: usize = 64;

/// A value as JSON of at most so many bytes, and whether it was cut.
pub(crate) fn cell(value: ValueRef<'_>, bytes_max: usize) -> (Value, bool) {
    match value {
        ValueRef::Null => (Value::Null, false),
        ValueRef::Integer(number) => (integer_cell(number), false),
        ValueRef::Real(number) => (real_cell(number), false),
        ValueRef::Text(bytes) => text_cell(&String::from_utf8_lossy(bytes), bytes_max),
        ValueRef::Blob(bytes) => (blob(bytes, bytes.len(), bytes_max), false),
    }
}

/// A blob of so many bytes, of which at least the beginning is here.
pub(crate) fn blob(beginning: &[u8], bytes: usize, bytes_max: usize) -> Value {
    let shown = beginning.len().min(BLOB_BYTES_SHOWN).min(bytes_max / 4);
    let hex: String = beginning[..shown].iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if shown < bytes { "…" } else { "" };
    format!("<blob of {bytes} bytes: {hex}{more}>").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_is_shown_as_its_length_and_beginning() {
        assert_eq!(cell(ValueRef::Blob(&[10, 11]), 100).0, "<blob of 2 bytes: 0a0b>");
    }
}
