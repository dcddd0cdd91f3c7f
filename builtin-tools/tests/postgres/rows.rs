//! What a plain driver gets for a statement, as text, so that two runs can be compared, and an answer of the explorer with one.

use serde_json::Value;
use tokio_postgres::{
    Client, Error, SimpleQueryMessage,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The names of its columns, and its rows.
    Rows(Vec<String>, Vec<Vec<Option<String>>>),
    /// More than one answer came.
    Several,
    /// The SQLSTATE of its error.
    Failed(String),
    /// The connection is gone.
    Gone,
}

impl Outcome {
    pub(crate) fn of(error: &Error) -> Self {
        if error.as_db_error().is_some_and(|error| error.message().contains("multiple commands")) {
            return Self::Several;
        }
        error.code().map_or(Self::Gone, |code| Self::Failed(code.code().to_owned()))
    }

    /// Whether the time was over, which says nothing of the statement's meaning.
    pub(crate) fn timed_out(&self) -> bool {
        matches!(self, Self::Failed(code) if code == "57014")
    }

    pub(crate) fn shows(&self, word: &str) -> bool {
        let Self::Rows(names, rows) = self else { return false };
        names.iter().chain(rows.iter().flatten().flatten()).any(|text| text.contains(word))
    }
}

/// Runs the text in the simple protocol, in which a hidden second statement would run too. Unless they are `ordered`, rows
/// come sorted.
pub(crate) async fn simple(client: &Client, sql: &str, ordered: bool) -> Outcome {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => return Outcome::of(&error),
    };
    let (mut names, mut rows, mut ends) = (Vec::new(), Vec::new(), 0);
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                names = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect::<Vec<_>>());
            }
            _ => ends += 1,
        }
    }
    if !ordered {
        rows.sort();
    }
    if ends == 1 { Outcome::Rows(names, rows) } else { Outcome::Several }
}

/// Runs the text in the extended protocol with nulls for its parameters; only whether it failed is told.
pub(crate) async fn with_nulls(client: &Client, sql: &str, params: usize) -> Outcome {
    let values = vec![Null; params];
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|null| null as _).collect();
    let ended = match client.prepare(sql).await {
        Ok(statement) if statement.params().len() != params => return Outcome::Failed("params".into()),
        Ok(statement) => client.query(&statement, &values).await,
        Err(error) => Err(error),
    };
    ended.map_or_else(|error| Outcome::of(&error), |_| Outcome::Rows(Vec::new(), Vec::new()))
}

#[derive(Debug, Clone, Copy)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Words of what gives another value each time.
const VOLATILE: &[&str] =
    &["now(", "current_", "localtime", "random", "_timestamp(", "timeofday", "today", "tomorrow", "yesterday"];

pub(crate) fn is_volatile(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    lower.contains("explain") || VOLATILE.iter().any(|word| lower.contains(word))
}

/// Whether a cell of the explorer says the same as the text of the server.
pub(crate) fn cell_is(cell: &Value, text: Option<&str>) -> bool {
    let Some(text) = text else { return cell.is_null() };
    let as_json = || serde_json::from_str::<Value>(text).is_ok_and(|value| value == *cell);
    match cell {
        Value::String(cell) => cell == text || as_json(),
        Value::Number(number) => text.parse::<f64>().is_ok_and(|text| number.as_f64() == Some(text)),
        Value::Bool(yes) => text == if *yes { "t" } else { "f" } || as_json(),
        Value::Array(_) => array_text(cell) == text || as_json(),
        Value::Null | Value::Object(_) => as_json(),
    }
}

/// An array as PostgreSQL writes it.
fn array_text(value: &Value) -> String {
    match value {
        Value::Array(elements) => format!("{{{}}}", elements.iter().map(array_text).collect::<Vec<_>>().join(",")),
        Value::Null => "NULL".into(),
        Value::Bool(yes) => if *yes { "t" } else { "f" }.into(),
        Value::String(text) => {
            let quoted = text.is_empty()
                || text.eq_ignore_ascii_case("null")
                || text.contains(|c: char| "{},\"\\".contains(c) || c.is_ascii_whitespace() || c == '\x0b');
            if quoted { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) } else { text.clone() }
        }
        other => other.to_string(),
    }
}
