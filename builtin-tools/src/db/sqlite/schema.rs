//! What the source has: its tables and views, and what one of them looks like. All SQL here is our own, and names reach
//! it as parameters or quoted; a table that the source does not offer shows up nowhere, not even as a foreign key.

use rusqlite::{OptionalExtension, Result as Sqlite};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    error::QueryError,
    fence::{Offered, Session},
};

/// The most tables that one list names.
const TABLES_MAX: usize = 500;
/// Rows are counted up to here; counting all of a large table takes seconds.
const COUNTED_MAX: u64 = 10_000;

/// The tables and views of the source.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableList {
    /// By name.
    pub(crate) tables: Vec<TableLine>,
    /// Whether there are more than are named here.
    pub(crate) truncated: bool,
}

/// A table or view in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableLine {
    /// The name, as SQL needs it.
    pub(crate) name: String,
    /// `table` or `view`.
    pub(crate) kind: &'static str,
    /// The columns' names.
    pub(crate) columns: Vec<String>,
    /// How many rows it has; absent for a view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Whether `rows` is where counting stopped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rows_at_least: bool,
}

/// What a table or view looks like.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableDetail {
    /// The name, as SQL needs it.
    pub(crate) name: String,
    /// `table` or `view`.
    pub(crate) kind: &'static str,
    /// In order.
    pub(crate) columns: Vec<Column>,
    /// What points to other tables.
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// What makes looking up fast.
    pub(crate) indexes: Vec<Index>,
}

/// A column.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Column {
    /// The name.
    pub(crate) name: String,
    /// The type as it was declared; SQLite keeps values of any type.
    #[serde(rename = "type")]
    pub(crate) declared: String,
    /// Whether it may be NULL.
    pub(crate) nullable: bool,
    /// Its place in the primary key, from 1; absent when it is not part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) primary_key: Option<u32>,
    /// The default, as SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
}

/// A column that points to a column of another table.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ForeignKey {
    /// The column here.
    pub(crate) column: String,
    /// The table there.
    pub(crate) table: String,
    /// The column there; absent when it is the primary key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
}

/// An index.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Index {
    /// The columns, in order; an expression has no name.
    pub(crate) columns: Vec<Option<String>>,
    /// Whether no two rows have the same values there.
    pub(crate) unique: bool,
}

/// The tables and views of the source.
pub(crate) fn list(session: &Session) -> Result<TableList, QueryError> {
    let lines = session.offered.values().take(TABLES_MAX).map(|table| line(session, table));
    Ok(TableList {
        tables: lines.collect::<Sqlite<_>>().map_err(|error| QueryError::of_sqlite(&error))?,
        truncated: session.offered.len() > TABLES_MAX,
    })
}

/// The names of the source's tables and views that begin so.
pub(crate) fn names(session: &Session, beginning: &str) -> Vec<String> {
    let beginning = beginning.to_ascii_lowercase();
    session.offered.iter().filter(|(key, _)| key.starts_with(&beginning)).map(|(_, table)| table.name.clone()).collect()
}

/// What the table or view of that name looks like.
pub(crate) fn describe(session: &Session, name: &str) -> Result<TableDetail, QueryError> {
    let table = session.find(name)?;
    detail(session, table).map_err(|error| QueryError::of_sqlite(&error))
}

fn line(session: &Session, table: &Offered) -> Sqlite<TableLine> {
    let rows = if table.is_view { None } else { Some(count(session, &table.name)?) };
    // A view over a table that is gone has no columns, and spoils its own line only.
    let columns =
        if table.is_view { columns(session, &table.name).unwrap_or_default() } else { columns(session, &table.name)? };
    Ok(TableLine {
        name: table.name.clone(),
        kind: kind(table),
        columns: columns.into_iter().map(|column| column.name).collect(),
        rows: rows.map(|rows| rows.min(COUNTED_MAX)),
        rows_at_least: rows.is_some_and(|rows| rows > COUNTED_MAX),
    })
}

const fn kind(table: &Offered) -> &'static str {
    if table.is_view { "view" } else { "table" }
}

fn count(session: &Session, table: &str) -> Sqlite<u64> {
    let quoted = table.replace('"', "\"\"");
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM main.\"{quoted}\" LIMIT {})", COUNTED_MAX + 1);
    let rows: Option<i64> = session.conn.query_row(&sql, [], |row| row.get(0)).optional()?;
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default())
}

fn detail(session: &Session, table: &Offered) -> Sqlite<TableDetail> {
    Ok(TableDetail {
        name: table.name.clone(),
        kind: kind(table),
        columns: columns(session, &table.name)?,
        foreign_keys: foreign_keys(session, &table.name)?,
        indexes: indexes(session, &table.name)?,
    })
}

fn columns(session: &Session, table: &str) -> Sqlite<Vec<Column>> {
    // Hidden columns (1) belong to virtual tables; generated ones (2 and 3) are ordinary to a reader.
    let sql =
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = session.conn.prepare(sql)?;
    let rows = statement.query_map([table], |row| {
        let (not_null, place): (bool, u32) = (row.get(2)?, row.get(4)?);
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            nullable: !not_null && place == 0,
            primary_key: (place > 0).then_some(place),
            default: row.get(3)?,
        })
    })?;
    rows.collect()
}

fn foreign_keys(session: &Session, table: &str) -> Sqlite<Vec<ForeignKey>> {
    let sql = "SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq";
    let mut statement = session.conn.prepare(sql)?;
    let rows = statement
        .query_map([table], |row| Ok(ForeignKey { column: row.get(0)?, table: row.get(1)?, to: row.get(2)? }))?;
    let keys: Vec<ForeignKey> = rows.collect::<Sqlite<_>>()?;
    Ok(keys.into_iter().filter(|key| session.find(&key.table).is_ok()).collect())
}

fn indexes(session: &Session, table: &str) -> Sqlite<Vec<Index>> {
    let mut statement = session.conn.prepare("SELECT name, \"unique\" FROM pragma_index_list(?1) ORDER BY name")?;
    let found = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut columns = session.conn.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let mut indexes = Vec::new();
    for index in found {
        let (name, unique) = index?;
        let columns = columns.query_map([name], |row| row.get(0))?.collect::<Sqlite<_>>()?;
        indexes.push(Index { columns, unique });
    }
    Ok(indexes)
}
