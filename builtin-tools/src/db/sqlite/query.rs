//! Runs the one query of a caller on a fenced connection: compile, bind, step, collect. What it may do is decided in
//! `access`, how long in `worker`, how much in `answer`.

use rusqlite::Statement;
use serde_json::Value;

use super::{bounds, cells::cell, fence::Session};

use crate::db::{
    answer::{Collector, QueryAnswer},
    error::QueryError,
    source::Query,
};

const COLUMN_NAME_CHARS_MAX: usize = 200;

/// Runs the query.
pub(crate) fn run(session: Session, query: &Query) -> Result<QueryAnswer, QueryError> {
    if query.sql.len() > bounds::SQL_BYTES_MAX {
        return Err(QueryError::Arguments(format!("The SQL text is longer than {} bytes.", bounds::SQL_BYTES_MAX)));
    }
    let rows_max = rows_max(query.limit, session.settings.about.bounds.rows_max)?;
    let bytes_max = session.settings.about.bounds.bytes_max;
    let fenced = session.fence()?;
    let mut statement = fenced.prepare(&query.sql)?;
    bind(&mut statement, &query.params).map_err(|error| match error {
        BindError::Arguments(text) => QueryError::Arguments(text),
        BindError::Sqlite(error) => fenced.explain(&error),
    })?;
    let columns = statement.column_names().into_iter().map(name).collect();
    // SQLite has types of values and not of columns.
    let mut collector = Collector::new(columns, Vec::new(), rows_max, bytes_max);
    collect(&mut statement, &mut collector).map_err(|error| fenced.explain(&error))?;
    Ok(collector.finish())
}

/// The name of a column; one without `AS` is the text of its expression, which can be as long as the SQL.
fn name(name: &str) -> String {
    name.chars().take(COLUMN_NAME_CHARS_MAX).collect()
}

fn rows_max(wanted: Option<u64>, most: usize) -> Result<usize, QueryError> {
    match wanted {
        Some(0) => Err(QueryError::Arguments("`limit` is 0; expected at least 1.".to_owned())),
        Some(wanted) => Ok(usize::try_from(wanted).map_or(most, |wanted| wanted.min(most))),
        None => Ok(most),
    }
}

fn collect(statement: &mut Statement<'_>, collector: &mut Collector) -> rusqlite::Result<()> {
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if !collector.take(|index, bytes_max| Ok::<_, rusqlite::Error>(cell(row.get_ref(index)?, bytes_max)))? {
            break;
        }
    }
    Ok(())
}

enum BindError {
    Arguments(String),
    Sqlite(rusqlite::Error),
}

fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<(), BindError> {
    let wanted = statement.parameter_count();
    if wanted != params.len() {
        return Err(BindError::Arguments(format!(
            "The SQL text has {wanted} parameters, and `params` has {} values.",
            params.len()
        )));
    }
    for (index, value) in (1..).zip(params) {
        bind_one(statement, index, value)?;
    }
    Ok(())
}

fn bind_one(statement: &mut Statement<'_>, index: usize, value: &Value) -> Result<(), BindError> {
    let bound = match value {
        Value::Null => statement.raw_bind_parameter(index, rusqlite::types::Null),
        Value::Bool(yes) => statement.raw_bind_parameter(index, *yes),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => statement.raw_bind_parameter(index, whole),
            (None, Some(real)) => statement.raw_bind_parameter(index, real),
            (None, None) => return Err(not_scalar(index)),
        },
        Value::String(text) => statement.raw_bind_parameter(index, text.as_str()),
        Value::Array(_) | Value::Object(_) => return Err(not_scalar(index)),
    };
    bound.map_err(BindError::Sqlite)
}

fn not_scalar(index: usize) -> BindError {
    BindError::Arguments(format!(
        "Value {index} of `params` is no text, number, boolean or null; pass JSON as a text and use the JSON functions."
    ))
}
