//! The answer of a query: rows as JSON, counted while they are read, so that no answer outgrows its bounds. A row that
//! does not fit any more ends the answer, a cell that is too long is cut, and the answer says both.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The longest cell, in bytes as JSON, when few columns leave room for it.
const CELL_BYTES_MAX: usize = 256 * 1024;
/// Whole numbers beyond this one are texts: JSON numbers are doubles to many clients.
pub(crate) const EXACT_INTEGER_MAX: u64 = (1 << 53) - 1;

/// The rows of a query.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QueryAnswer {
    /// The columns' names, in order.
    pub(crate) columns: Vec<String>,
    /// The columns' types, in the same order, as the database names them; empty where it has none to tell.
    pub(crate) types: Vec<String>,
    /// The rows; each has one value per column. Numbers that JSON cannot hold exactly are texts, and so are dates, times,
    /// intervals, UUIDs, ranges and bytes, as the database writes them; arrays and JSON are what they are.
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
        "items": { "type": "array", "items": { "type": ["null", "boolean", "number", "string", "array", "object"] } }
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
    types: Vec<String>,
    rows: Vec<Vec<Value>>,
    rows_max: usize,
    bytes_left: usize,
    cell_bytes_max: usize,
    cells_cut: usize,
    cut: Option<Cut>,
}

impl Collector {
    /// For these columns. Any one row fits, since the columns share the bytes.
    pub(crate) fn new(columns: Vec<String>, types: Vec<String>, rows_max: usize, bytes_max: usize) -> Self {
        let share = (bytes_max / columns.len().max(1)).saturating_sub(2);
        Self {
            columns,
            types,
            rows: Vec::new(),
            rows_max,
            bytes_left: bytes_max,
            cell_bytes_max: share.min(CELL_BYTES_MAX),
            cells_cut: 0,
            cut: None,
        }
    }

    /// The longest cell, in bytes as JSON.
    pub(crate) fn cell_bytes_max(&self) -> usize {
        self.cell_bytes_max
    }

    /// Takes one row: `cell` gives the cell of a column in so many bytes of JSON at most, and whether it was cut. `false`
    /// when the answer is full and the row was not taken.
    pub(crate) fn take<E>(
        &mut self,
        mut cell: impl FnMut(usize, usize) -> Result<(Value, bool), E>,
    ) -> Result<bool, E> {
        if self.rows.len() == self.rows_max {
            self.cut = Some(Cut::Rows);
            return Ok(false);
        }
        let (mut cells, mut bytes, mut cells_cut) = (Vec::with_capacity(self.columns.len()), 2, 0);
        for index in 0..self.columns.len() {
            let (cell, was_cut) = cell(index, self.cell_bytes_max)?;
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
            types: self.types,
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

/// A text as a cell, and whether it had to be cut to fit.
pub(crate) fn text_cell(text: &str, bytes_max: usize) -> (Value, bool) {
    match fitting_prefix(text, bytes_max) {
        whole if whole.len() == text.len() => (text.into(), false),
        part => (format!("{part}…").into(), true),
    }
}

/// A whole number as a cell: a number where every client reads it exactly, else a text.
pub(crate) fn integer_cell(number: i64) -> Value {
    match number.unsigned_abs() <= EXACT_INTEGER_MAX {
        true => number.into(),
        false => number.to_string().into(),
    }
}

/// A floating-point number as a cell; JSON has no infinity and no NaN, so these are texts.
pub(crate) fn real_cell(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.into(),
        None if number.is_nan() => "NaN".into(),
        None => (if number > 0.0 { "Infinity" } else { "-Infinity" }).into(),
    }
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

fn json_bytes_of_text(text: &str) -> usize {
    text.chars().map(escaped_bytes).sum()
}

/// How many bytes the cell takes as JSON, at most.
pub(crate) fn json_bytes(cell: &Value) -> usize {
    match cell {
        Value::String(text) => 2 + json_bytes_of_text(text),
        // No number is longer.
        Value::Null | Value::Bool(_) | Value::Number(_) => 24,
        Value::Array(cells) => 2 + cells.iter().map(|cell| 1 + json_bytes(cell)).sum::<usize>(),
        Value::Object(members) => {
            2 + members.iter().map(|(key, cell)| 4 + json_bytes_of_text(key) + json_bytes(cell)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_text_never_outgrows_its_bytes_as_json() {
        for text in ["a".repeat(500), "\u{1}".repeat(500), "\"\\".repeat(300), "é漢🦀".repeat(100)] {
            for bytes_max in 8..200 {
                let (value, was_cut) = text_cell(&text, bytes_max);
                assert!(was_cut);
                assert!(value.to_string().len() <= bytes_max, "{value} is longer than {bytes_max}");
            }
        }
    }

    #[test]
    fn text_that_just_fits_is_whole() {
        let text = "\"é".repeat(10);
        assert_eq!(text_cell(&text, 42), (Value::from(text.as_str()), false));
        assert!(text_cell(&text, 41).1);
    }

    #[test]
    fn values_that_json_lacks_are_texts() {
        assert_eq!(real_cell(f64::INFINITY), "Infinity");
        assert_eq!(real_cell(f64::NEG_INFINITY), "-Infinity");
        assert_eq!(real_cell(f64::NAN), "NaN");
        assert_eq!(integer_cell(9_007_199_254_740_991), 9_007_199_254_740_991_i64);
        assert_eq!(integer_cell(9_007_199_254_740_992), "9007199254740992");
        assert_eq!(integer_cell(i64::MIN), "-9223372036854775808");
    }

    #[test]
    fn size_of_a_cell_is_never_less_than_its_json() {
        let cell = serde_json::json!({"a\"b": [1, null, true, "é\n", {"x": 1.5}], "": []});
        assert!(json_bytes(&cell) >= cell.to_string().len());
    }
}
