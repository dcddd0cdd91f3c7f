//! What the source has: its tables and views, and what one of them looks like. All SQL here is our own, and names reach
//! it as parameters or quoted; a table that the source does not offer shows up nowhere, not even as a foreign key.

use rusqlite::{OptionalExtension, Result as Sqlite};

use super::fence::{Offered, Session};
use crate::db::{
    answer::{Column, ForeignKey, Index, TableDetail, TableLine, TableList},
    error::QueryError,
    source::ListFilter,
};

/// The most tables that one list names.
const TABLES_MAX: usize = 500;
/// Rows are counted up to here; counting all of a large table takes seconds.
const COUNTED_MAX: u64 = 10_000;

/// The tables and views of the source.
pub(crate) fn list(session: &Session, filter: &ListFilter) -> Result<TableList, QueryError> {
    if let Some(schema) = filter.schema.as_deref().filter(|schema| !schema.eq_ignore_ascii_case("main")) {
        return Err(QueryError::Arguments(format!("There is no schema `{schema}`; SQLite has one, `main`.")));
    }
    let after = filter.after.as_deref().map(str::to_ascii_lowercase);
    let part = filter.contains.as_deref().map(str::to_ascii_lowercase).unwrap_or_default();
    let mut wanted = session
        .offered
        .iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after) && key.contains(&part))
        .map(|(_, table)| table);
    let lines = wanted.by_ref().take(TABLES_MAX).map(|table| line(session, table));
    let tables = lines.collect::<Sqlite<Vec<_>>>().map_err(|error| QueryError::of_sqlite(&error))?;
    let truncated = wanted.next().is_some();
    let next = tables.last().filter(|_| truncated).map(|table| table.name.clone());
    Ok(TableList { tables, truncated, next })
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
        schema: None,
        kind: kind(table),
        columns: columns.into_iter().map(|column| column.name).collect(),
        rows: rows.map(|rows| rows.min(COUNTED_MAX)),
        rows_estimated: false,
        rows_at_least: rows.is_some_and(|rows| rows > COUNTED_MAX),
        bytes: None,
        comment: None,
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
    let columns = columns(session, &table.name)?;
    let mut key: Vec<_> = columns.iter().filter(|column| column.place > 0).collect();
    key.sort_by_key(|column| column.place);
    let primary_key = key.into_iter().map(|column| column.name.clone()).collect();
    Ok(TableDetail {
        name: table.name.clone(),
        schema: None,
        kind: kind(table),
        comment: None,
        columns: columns.into_iter().map(PlacedColumn::into_column).collect(),
        primary_key,
        foreign_keys: foreign_keys(session, &table.name)?,
        referenced_by: Vec::new(),
        indexes: indexes(session, &table.name)?,
        constraints: Vec::new(),
        insertable: false,
        truncated: false,
    })
}

/// A column and its place in the primary key, from 1; 0 when it is not part of it.
struct PlacedColumn {
    name: String,
    declared: String,
    nullable: bool,
    default: Option<String>,
    made: Option<&'static str>,
    place: u32,
}

impl PlacedColumn {
    fn into_column(self) -> Column {
        Column {
            name: self.name,
            declared: self.declared,
            nullable: self.nullable,
            default: self.default,
            length_max: None,
            values: Vec::new(),
            made: self.made,
            comment: None,
        }
    }
}

fn columns(session: &Session, table: &str) -> Sqlite<Vec<PlacedColumn>> {
    // Hidden columns (1) belong to virtual tables; generated ones (2 and 3) are ordinary to a reader.
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = session.conn.prepare(sql)?;
    let rows = statement.query_map([table], |row| {
        let (not_null, place, hidden): (bool, u32, u32) = (row.get(2)?, row.get(4)?, row.get(5)?);
        Ok(PlacedColumn {
            name: row.get(0)?,
            declared: row.get(1)?,
            nullable: !not_null && place == 0,
            default: row.get(3)?,
            made: (hidden > 1).then_some("generated"),
            place,
        })
    })?;
    rows.collect()
}

fn foreign_keys(session: &Session, table: &str) -> Sqlite<Vec<ForeignKey>> {
    let sql = "SELECT id, \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq";
    let mut statement = session.conn.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, column, table, to): (i64, String, String, Option<String>) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        match keys.last_mut().filter(|(last, _)| *last == id) {
            Some((_, key)) => {
                key.columns.push(column);
                key.to_columns.extend(to);
            }
            None => keys.push((id, ForeignKey { columns: vec![column], table, to_columns: to.into_iter().collect() })),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).filter(|key| session.find(&key.table).is_ok()).collect())
}

fn indexes(session: &Session, table: &str) -> Sqlite<Vec<Index>> {
    let mut statement = session.conn.prepare("SELECT name, \"unique\" FROM pragma_index_list(?1) ORDER BY name")?;
    let found = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut columns = session.conn.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
    let mut indexes = Vec::new();
    for index in found {
        let (name, unique) = index?;
        let columns = columns.query_map([&name], |row| row.get(0))?.collect::<Sqlite<_>>()?;
        let name = (!name.starts_with("sqlite_autoindex_")).then_some(name);
        indexes.push(Index { name, columns, unique, method: None, condition: None });
    }
    Ok(indexes)
}
