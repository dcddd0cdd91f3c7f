//! The row to add, checked against its table: which columns get which values, and the one statement that says so.

use rusqlite::types::Value as Bound;
use serde_json::{Map, Value};

use super::{Offered, quoted};
use crate::db::{
    error::QueryError,
    sqlite::{bounds, query, schema::PlacedColumn},
};

/// The most columns of the stored row that are shown.
const SHOWN_MAX: usize = bounds::COLUMNS_MAX as usize;

/// A row that fits its table by its names.
#[derive(Debug)]
pub(crate) struct Row {
    table: String,
    columns: Vec<String>,
    values: Vec<Bound>,
    shown: Vec<String>,
}

impl Row {
    pub(crate) fn new(
        table: &Offered,
        columns: &[PlacedColumn],
        values: &Map<String, Value>,
    ) -> Result<Self, QueryError> {
        if values.len() > bounds::PARAMS_MAX as usize {
            return Err(wrong(format!(
                "`values` has {} columns; at most {} are taken.",
                values.len(),
                bounds::PARAMS_MAX
            )));
        }
        let mut row = Self {
            table: table.name.clone(),
            columns: Vec::new(),
            values: Vec::new(),
            shown: columns.iter().take(SHOWN_MAX).map(|column| column.name.clone()).collect(),
        };
        for (name, value) in values {
            row.set(columns, name, value)?;
        }
        Ok(row)
    }

    fn set(&mut self, columns: &[PlacedColumn], name: &str, value: &Value) -> Result<(), QueryError> {
        let shown: String = name.chars().take(64).collect();
        let column = columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| wrong(format!("The table has no column `{shown}`; it has: {}.", names(columns))))?;
        if column.made == Some("generated") {
            return Err(wrong(format!("The column `{shown}` is computed from others; leave it out.")));
        }
        if self.columns.contains(&column.name) {
            return Err(wrong(format!(
                "The column `{shown}` is given twice; SQLite's names are the same in any case."
            )));
        }
        let bound = match value {
            Value::Array(_) | Value::Object(_) => Bound::Text(value.to_string()),
            scalar => query::scalar(scalar).map_err(|why| wrong(format!("The value of `{shown}` {why}")))?,
        };
        self.columns.push(column.name.clone());
        self.values.push(bound);
        Ok(())
    }

    /// One statement, with a parameter for each value.
    pub(crate) fn sql(&self) -> String {
        let list = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let values = match self.columns.len() {
            0 => "DEFAULT VALUES".to_owned(),
            count => {
                let places = (1..=count).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
                format!("({}) VALUES ({places})", list(&self.columns))
            }
        };
        let shown = list(&self.shown);
        format!("INSERT OR ABORT INTO main.{} {values} RETURNING {shown}", quoted(&self.table))
    }

    pub(crate) fn values(&self) -> &[Bound] {
        &self.values
    }

    /// The columns that the statement returns.
    pub(crate) fn shown(&self) -> &[String] {
        &self.shown
    }
}

fn wrong(text: String) -> QueryError {
    QueryError::Arguments(text)
}

fn names(columns: &[PlacedColumn]) -> String {
    let mut names = columns.iter().take(30).map(|column| format!("`{}`", column.name)).collect::<Vec<_>>();
    if columns.len() > names.len() {
        names.push("…".to_owned());
    }
    names.join(", ")
}
