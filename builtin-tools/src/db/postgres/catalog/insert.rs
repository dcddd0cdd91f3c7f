//! Adding one row to a table that the operator opened for it. Only here does the explorer write, and only with the
//! statement that this file makes: names quoted, values bound as texts that the server reads by each column's own type.

mod refusal;
mod values;

use patchbay_sql_policy::TableName;
use serde_json::{Map, Value};
use tokio_postgres::{
    Client, Error, Row,
    types::{ToSql, Type},
};

use super::{cells::Shape, names, trouble, visible::Visible};
use crate::db::{answer::Inserted, error::QueryError, source::Bounds};
use refusal::Refused;
use values::Text;

/// `$1` the table's number. Columns that the role may neither read nor fill are not there.
const COLUMNS: &str = "\
SELECT a.attname::pg_catalog.text, b.oid, CASE WHEN b.oid <> e.oid THEN e.oid END, \
  CASE WHEN b.oid IN (1042, 1043) AND m.typmod > 4 THEN m.typmod - 4 END, \
  CASE WHEN a.attgenerated <> '' THEN 'generated' WHEN a.attidentity = 'a' THEN 'identity' END, \
  may.read, may.fill, pg_catalog.format_type(a.atttypid, a.atttypmod) \
FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN b.typcategory = 'A' AND b.typlen = -1 AND b.typelem <> 0 THEN b.typelem ELSE b.oid END \
CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod) m \
CROSS JOIN LATERAL (SELECT pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS read, \
                           pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS fill OFFSET 0) may \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND (may.read OR may.fill) \
ORDER BY a.attnum";

/// A column as a row is added.
struct Column {
    name: String,
    shape: Shape,
    array: bool,
    chars_max: Option<usize>,
    /// That the database makes the value itself, and how.
    made: Option<String>,
    read: bool,
    fill: bool,
    declared: String,
}

/// Adds a row of `values`, by their columns; columns that are not there get their defaults. Only tables that the rules
/// open for it take rows, and only columns that the role may fill; what comes back is what it may read.
///
/// The caller has begun a READ WRITE transaction with `search_path` = `pg_catalog`, `statement_timeout` and `lock_timeout`
/// set, on a connection that no caller's statement runs on, and commits when this has succeeded and the caller is still
/// there. Constraints are checked here, also deferrable ones; a trigger that is deferred can still let COMMIT fail. After an
/// error the transaction is to be rolled back.
pub(crate) async fn insert(
    client: &Client,
    visible: &Visible,
    table: &TableName,
    values: &Map<String, Value>,
    bounds: &Bounds,
) -> Result<Inserted, QueryError> {
    if !visible.rules().opens(table) {
        return Err(QueryError::NotInsertable);
    }
    let oid = visible.table(table)?.oid;
    let trouble = |error: Error| trouble::of_ours(&error, &format!("adding a row to {}", visible.shown(table)));
    let columns = columns(client, oid).await.map_err(trouble)?;
    let filled = values.iter().map(|(name, value)| filled(&columns, name, value)).collect::<Result<Vec<_>, _>>()?;
    let shown: Vec<_> = columns.iter().filter(|column| column.read).collect();
    let statement = statement(table, &filled, &shown);
    let params: Vec<(&(dyn ToSql + Sync), Type)> =
        filled.iter().map(|(_, text)| (text as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
    let done = tokio::try_join!(
        biased;
        client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE"),
        client.query_typed_opt(&statement, &params)
    );
    let refused = Refused { table, columns: &columns, filled: filled.iter().map(|(column, _)| *column).collect() };
    let row = done.map_err(|error| refused.of(&error).unwrap_or_else(|| trouble(error)))?.1;
    // A trigger or a rule may have taken the row for itself.
    let row = row.ok_or_else(|| refusal::swallowed(&visible.shown(table)))?;
    let row = read(&row, &shown, bounds).map_err(trouble)?;
    Ok(Inserted { table: visible.shown(table), row })
}

async fn columns(client: &Client, oid: u32) -> Result<Vec<Column>, Error> {
    let rows = client.query_typed(COLUMNS, &[(&oid, Type::OID)]).await?;
    rows.iter().map(Column::of).collect()
}

impl Column {
    fn of(row: &Row) -> Result<Self, Error> {
        let (base, element): (u32, Option<u32>) = (row.try_get(1)?, row.try_get(2)?);
        let chars: Option<i32> = row.try_get(3)?;
        Ok(Self {
            name: row.try_get(0)?,
            shape: Shape::of(base, element),
            array: element.is_some(),
            chars_max: chars.and_then(|chars| usize::try_from(chars).ok()),
            made: row.try_get(4)?,
            read: row.try_get(5)?,
            fill: row.try_get(6)?,
            declared: row.try_get(7)?,
        })
    }
}

/// The column of that name with the text of its value, if the role may fill it and the value fits.
fn filled<'a>(columns: &'a [Column], name: &str, value: &Value) -> Result<(&'a Column, Text), QueryError> {
    let known = columns.iter().find(|column| column.name == name && (column.read || column.fill));
    let column = known.ok_or_else(|| refusal::unknown(columns, name))?;
    if let Some(made) = &column.made {
        return Err(refusal::made(name, made));
    }
    if !column.fill {
        return Err(refusal::closed(name));
    }
    let text = values::text(value, column.array);
    let too_long = |max: &usize| text.0.as_ref().is_some_and(|text| text.trim_end_matches(' ').chars().count() > *max);
    if let Some(max) = column.chars_max.filter(|max| !column.array && too_long(max)) {
        return Err(refusal::too_long(name, max));
    }
    Ok((column, text))
}

fn statement(table: &TableName, filled: &[(&Column, Text)], shown: &[&Column]) -> String {
    let list = |texts: Vec<String>| texts.join(", ");
    let into = names::qualified(table);
    let what = match filled.is_empty() {
        true => "DEFAULT VALUES".to_owned(),
        false => format!(
            "({}) VALUES ({})",
            list(filled.iter().map(|(column, _)| names::quoted(&column.name)).collect()),
            list((1..=filled.len()).map(|number| format!("${number}")).collect())
        ),
    };
    let returning = list(shown.iter().map(|column| column.shape.sql(&names::quoted(&column.name))).collect());
    format!("INSERT INTO {into} {what} RETURNING {returning}")
}

fn read(row: &Row, shown: &[&Column], bounds: &Bounds) -> Result<Map<String, Value>, Error> {
    let share = (bounds.bytes_max / shown.len().max(1)).max(64);
    let cell = |(place, column): (usize, &&Column)| {
        let text: Option<&str> = row.try_get(place)?;
        Ok((column.name.clone(), column.shape.whole(text, share)))
    };
    shown.iter().enumerate().map(cell).collect()
}
