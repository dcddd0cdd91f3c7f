//! Runs the one query of a caller on a fenced connection: compile, bind, step, collect. What it may do is decided in
//! `access`, how long in `worker`, how much in `answer`.

use rusqlite::{Statement, types::Value as Bound};
use serde_json::Value;

use super::{
    cells::cell,
    fence::{Fenced, Session},
};
use crate::db::{
    answer::{Collector, QueryAnswer},
    error::QueryError,
    source::Query,
};

const COLUMN_NAME_CHARS_MAX: usize = 200;

/// Runs the query.
pub(crate) fn run(session: Session, query: &Query) -> Result<QueryAnswer, QueryError> {
    let rows_max = rows_max(query.limit, session.settings.about.bounds.rows_max)?;
    let bytes_max = session.settings.about.bounds.bytes_max;
    let fenced = session.fence()?;
    let mut statement = fenced.prepare(&query.sql)?;
    bind(&mut statement, &query.params, &fenced)?;
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

/// Binds the values of the parameters, each of which must have one.
pub(crate) fn bind(statement: &mut Statement<'_>, params: &[Value], fenced: &Fenced) -> Result<(), QueryError> {
    let wanted = statement.parameter_count();
    if wanted != params.len() {
        return Err(QueryError::Arguments(format!(
            "The SQL text has {wanted} parameters, and `params` has {} values.",
            params.len()
        )));
    }
    for (index, value) in (1..).zip(params) {
        let bound = scalar(value).map_err(|why| QueryError::Arguments(format!("Value {index} of `params` {why}")))?;
        statement.raw_bind_parameter(index, bound).map_err(|error| fenced.explain(&error))?;
    }
    Ok(())
}

/// A value of JSON as one of SQLite's, or the rest of a sentence about why it is none.
pub(crate) fn scalar(value: &Value) -> Result<Bound, &'static str> {
    match value {
        Value::Null => Ok(Bound::Null),
        Value::Bool(yes) => Ok(Bound::Integer((*yes).into())),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Ok(Bound::Integer(whole)),
            (None, None, Some(real)) => Ok(Bound::Real(real)),
            _ => Err("is a whole number beyond 64 bits, which SQLite cannot hold; pass it as a text."),
        },
        Value::String(text) => Ok(Bound::Text(text.clone())),
        Value::Array(_) | Value::Object(_) => {
            Err("is no text, number, boolean or null; pass JSON as a text and use the JSON functions.")
        }
    }
}
