//! The query around a caller's query: it bounds the rows, and it turns what JSON has no form for into text, cut to the length
//! of a cell, before anything is sent. All of it is our own text but for the statement in the middle.

use std::fmt::Write;

use tokio_postgres::{Column, types::Type};

use super::{cells::Shape, layers::Layers};
use crate::db::error::QueryError;

/// The most columns of a query; PostgreSQL has 1,600.
const COLUMNS_MAX: usize = 256;
/// What stands before the caller's statement inside of the innermost parentheses, and what follows it. The line breaks end
/// whatever comment a text might end with.
const OPEN: &str = " FROM (SELECT * FROM (\n";

/// A query that is ready to run.
#[derive(Debug)]
pub(crate) struct Wrapped {
    /// The text.
    pub(crate) sql: String,
    /// How many characters of it stand before the caller's statement.
    pub(crate) offset: usize,
    /// How its columns come.
    pub(crate) shapes: Vec<Shape>,
}

/// The query around `sql`, which has these columns. It gives at most `rows` rows, and cells of about `cell_bytes_max`.
pub(crate) fn wrap(
    sql: &str,
    columns: &[Column],
    rows: usize,
    cell_bytes_max: usize,
    layers: &Layers,
) -> Result<Wrapped, QueryError> {
    if columns.len() > COLUMNS_MAX {
        return Err(QueryError::Arguments(format!(
            "The query has {} columns; expected at most {COLUMNS_MAX}. Select those that are needed.",
            columns.len()
        )));
    }
    // One character more than fits, so that what was cut here is seen to be too long there.
    let chars_max = layers.cut().then_some(cell_bytes_max + 1);
    let cells: Vec<String> =
        columns.iter().zip(1..).map(|(column, number)| cell(column.type_(), number, chars_max)).collect();
    let mut text = format!("SELECT {}{OPEN}", cells.join(", "));
    let offset = text.chars().count();
    // The inner LIMIT keeps the planner from merging the two, which would work a column's expression out more than once.
    let _ = write!(text, "{sql}\n) AS i LIMIT {rows}) AS q");
    if !columns.is_empty() {
        let names: Vec<String> = (1..=columns.len()).map(|number| format!("c{number}")).collect();
        let _ = write!(text, "({})", names.join(", "));
    }
    Ok(Wrapped { sql: text, offset, shapes: columns.iter().map(|column| Shape::of(column.type_())).collect() })
}

/// The expression of a column. NULL is told by `IS NOT DISTINCT FROM`, which for a row of NULLs says what `IS NULL` does not.
fn cell(kind: &Type, number: usize, chars_max: Option<usize>) -> String {
    if Shape::of(kind).is_binary() {
        return format!("q.c{number}");
    }
    let cut = |text: String| match chars_max {
        Some(chars) => format!("pg_catalog.substr({text}, 1, {chars})"),
        None => text,
    };
    let text = match *kind {
        // A part of a long text or of bytes is read without the rest.
        Type::TEXT | Type::VARCHAR => return cut(format!("q.c{number}")),
        Type::BYTEA => match chars_max {
            Some(chars) => format!("pg_catalog.format('%s', pg_catalog.substr(q.c{number}, 1, {}))", chars / 2 + 1),
            None => format!("pg_catalog.format('%s', q.c{number})"),
        },
        _ => cut(format!("pg_catalog.format('%s', q.c{number})")),
    };
    format!("CASE WHEN q.c{number} IS NOT DISTINCT FROM NULL THEN NULL ELSE {text} END")
}
