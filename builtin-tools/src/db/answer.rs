//! The answer of a query: rows as JSON, counted while they are read, so that no answer outgrows its bounds. A row that
//! does not fit any more ends the answer, a cell that is too long is cut, and the answer says both.

use rusqlite::{Row, types::ValueRef};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The longest cell, in bytes as JSON, when few columns leave room for it.
const CELL_BYTES_MAX: usize = 256 * 1024;
/// How many bytes of a blob are shown.
const BLOB_BYTES_SHOWN: usize = 64;

/// The rows of a query.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QueryAnswer {
    /// The columns' names, in order.
    pub(crate) columns: Vec<String>,
    /// The rows; each has one value per column. A blob is a text like `<blob of 3 bytes: 0a0b0c>`.
    #[schemars(schema_with = "rows_schema")]
    pub(crate) rows: Vec<Vec<Value>>,
    /// How many rows are here.
    pub(crate) row_count: usize,
    /// Whether there was more than is here.
    pub(crate) truncated: bool,
    /// What was left out, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// What a cell can be; without the word `any`, which some clients cannot read.
fn rows_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "type": "array", "items": { "type": ["null", "number", "string"] } }
    })
}

/// Why an answer ended before its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Rows,
    Bytes,
}

/// Collects rows up to its bounds.
#[derive(Debug)]
pub(crate) struct Collector {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    rows_max: usize,
    bytes_left: usize,
    cell_bytes_max: usize,
    cells_cut: usize,
    cut: Option<Cut>,
}

impl Collector {
    /// For these columns. Any one row fits, since the columns share the bytes.
    pub(crate) fn new(columns: Vec<String>, rows_max: usize, bytes_max: usize) -> Self {
        let share = (bytes_max / columns.len().max(1)).saturating_sub(2);
        Self {
            columns,
            rows: Vec::new(),
            rows_max,
            bytes_left: bytes_max,
            cell_bytes_max: share.min(CELL_BYTES_MAX),
            cells_cut: 0,
            cut: None,
        }
    }

    /// Takes one row; `false` when the answer is full and the row was not taken.
    pub(crate) fn take(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        if self.rows.len() == self.rows_max {
            self.cut = Some(Cut::Rows);
            return Ok(false);
        }
        let (mut cells, mut bytes, mut cells_cut) = (Vec::with_capacity(self.columns.len()), 2, 0);
        for index in 0..self.columns.len() {
            let (cell, was_cut) = cell(row.get_ref(index)?, self.cell_bytes_max);
            bytes += 1 + json_bytes(&cell);
            cells_cut += usize::from(was_cut);
            cells.push(cell);
        }
        if bytes > self.bytes_left && !self.rows.is_empty() {
            self.cut = Some(Cut::Bytes);
            return Ok(false);
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.cells_cut += cells_cut;
        self.rows.push(cells);
        Ok(true)
    }

    pub(crate) fn finish(self) -> QueryAnswer {
        let note = self.note();
        QueryAnswer {
            row_count: self.rows.len(),
            truncated: self.cut.is_some() || self.cells_cut > 0,
            columns: self.columns,
            rows: self.rows,
            note,
        }
    }

    fn note(&self) -> Option<String> {
        let rows = self.rows.len();
        let cut = match self.cut {
            Some(Cut::Rows) => format!(
                "There are more than these {rows} rows; aggregate, filter, or page with ORDER BY and LIMIT … OFFSET. "
            ),
            Some(Cut::Bytes) => format!(
                "More rows follow these {rows}, but the answer has reached its size; select fewer or shorter columns. "
            ),
            None => String::new(),
        };
        let cells = match self.cells_cut {
            0 => String::new(),
            cells => format!("{cells} long values are cut; use substr() for a part of one. "),
        };
        let note = cut + &cells;
        (!note.is_empty()).then(|| note.trim_end().to_owned())
    }
}

/// A value as JSON, and whether it was cut.
fn cell(value: ValueRef<'_>, bytes_max: usize) -> (Value, bool) {
    match value {
        ValueRef::Null => (Value::Null, false),
        ValueRef::Integer(number) => (number.into(), false),
        // JSON has no infinity, and SQLite no NaN.
        ValueRef::Real(number) => match serde_json::Number::from_f64(number) {
            Some(number) => (number.into(), false),
            None => (if number > 0.0 { "Infinity" } else { "-Infinity" }.into(), false),
        },
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            match fitting_prefix(&text, bytes_max) {
                whole if whole.len() == text.len() => (text.into(), false),
                part => (format!("{part}…").into(), true),
            }
        }
        ValueRef::Blob(bytes) => (blob(bytes, bytes_max).into(), false),
    }
}

fn blob(bytes: &[u8], bytes_max: usize) -> String {
    let shown = bytes.len().min(BLOB_BYTES_SHOWN).min(bytes_max / 4);
    let hex: String = bytes[..shown].iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if shown < bytes.len() { "…" } else { "" };
    format!("<blob of {} bytes: {hex}{more}>", bytes.len())
}

/// The longest beginning of `text` that takes at most `bytes_max` bytes as JSON, with room for the sign of the cut.
fn fitting_prefix(text: &str, bytes_max: usize) -> &str {
    if text.len() * 6 + 2 <= bytes_max {
        return text;
    }
    let room = bytes_max.saturating_sub(2 + '…'.len_utf8());
    let (mut bytes, mut end) = (0, 0);
    for (index, c) in text.char_indices() {
        bytes += escaped_bytes(c);
        if bytes <= room {
            end = index + c.len_utf8();
        } else if bytes + 2 > bytes_max {
            return &text[..end];
        }
    }
    text
}

const fn escaped_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

fn json_bytes(cell: &Value) -> usize {
    match cell {
        Value::String(text) => 2 + text.chars().map(escaped_bytes).sum::<usize>(),
        // No number is longer.
        _ => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_text_never_outgrows_its_bytes_as_json() {
        for text in ["a".repeat(500), "\u{1}".repeat(500), "\"\\".repeat(300), "é漢🦀".repeat(100)] {
            for bytes_max in 8..200 {
                let (value, was_cut) = cell(ValueRef::Text(text.as_bytes()), bytes_max);
                assert!(was_cut);
                assert!(value.to_string().len() <= bytes_max, "{value} is longer than {bytes_max}");
            }
        }
    }

    #[test]
    fn text_that_just_fits_is_whole() {
        let text = "\"é".repeat(10);
        assert_eq!(cell(ValueRef::Text(text.as_bytes()), 42), (Value::from(text.as_str()), false));
        assert!(cell(ValueRef::Text(text.as_bytes()), 41).1);
    }

    #[test]
    fn values_that_json_lacks_are_texts() {
        assert_eq!(cell(ValueRef::Real(f64::INFINITY), 100).0, "Infinity");
        assert_eq!(cell(ValueRef::Real(f64::NEG_INFINITY), 100).0, "-Infinity");
        assert_eq!(cell(ValueRef::Blob(&[10, 11]), 100).0, "<blob of 2 bytes: 0a0b>");
        assert_eq!(cell(ValueRef::Integer(i64::MIN), 100).0, i64::MIN);
    }
}
