//! What a table or view looks like, from SQLite's own catalog. All SQL here is our own, and names reach it as
//! parameters; a table that the source does not offer shows up nowhere, not even as a foreign key. `list` names them all.

mod checks;

use rusqlite::{Connection, OptionalExtension, Result as Sqlite};

use super::{catalog::Offered, fence::Session, list};
use crate::db::{
    answer::{Column, ForeignKey, Index, TableDetail},
    error::QueryError,
};

/// The most keys, indexes and constraints of one table that are told.
const PARTS_MAX: usize = 200;

/// What the table or view of that name looks like.
pub(crate) fn describe(session: &Session, name: &str) -> Result<TableDetail, QueryError> {
    let table = session.find(name)?;
    detail(session, table).map_err(|error| QueryError::of_sqlite(&error))
}

fn detail(session: &Session, table: &Offered) -> Sqlite<TableDetail> {
    let conn = session.conn();
    let columns = columns(conn, table)?;
    let mut key: Vec<_> = columns.iter().filter(|column| column.place > 0).collect();
    key.sort_by_key(|column| column.place);
    let primary_key = key.into_iter().map(|column| column.name.clone()).collect();
    let opened = session.settings.inserts.contains(&table.name.to_ascii_lowercase());
    let mut detail = TableDetail {
        name: table.name.clone(),
        schema: None,
        kind: list::kind(table),
        comment: None,
        columns: columns.into_iter().map(PlacedColumn::into_column).collect(),
        primary_key,
        foreign_keys: foreign_keys(session, &table.name)?,
        referenced_by: referenced_by(session, &table.name)?,
        indexes: indexes(conn, &table.name)?,
        constraints: checks::of(&text(conn, &table.name)?),
        insertable: opened && !table.is_view && insert_triggers(conn, &table.name)?.is_empty(),
        truncated: false,
    };
    cut(&mut detail);
    Ok(detail)
}

fn cut(detail: &mut TableDetail) {
    let (foreign, referenced) = (&mut detail.foreign_keys, &mut detail.referenced_by);
    let longest = [foreign.len(), referenced.len(), detail.indexes.len(), detail.constraints.len()];
    detail.truncated = longest.into_iter().any(|parts| parts > PARTS_MAX);
    foreign.truncate(PARTS_MAX);
    referenced.truncate(PARTS_MAX);
    detail.indexes.truncate(PARTS_MAX);
    detail.constraints.truncate(PARTS_MAX);
}

/// A column and its place in the primary key, from 1; 0 when it is not part of it.
#[derive(Debug, Clone)]
pub(crate) struct PlacedColumn {
    pub(crate) name: String,
    pub(crate) declared: String,
    nullable: bool,
    default: Option<String>,
    /// `generated`, or `identity` for the one that is the row's number.
    pub(crate) made: Option<&'static str>,
    place: u32,
}

impl PlacedColumn {
    fn into_column(self) -> Column {
        Column {
            length_max: length_of(&self.declared),
            name: self.name,
            declared: self.declared,
            nullable: self.nullable,
            default: self.default,
            values: Vec::new(),
            made: self.made,
            comment: None,
        }
    }
}

/// The number in `VARCHAR(40)` and the like. SQLite does not hold texts to it; people who declared it mean it.
fn length_of(declared: &str) -> Option<u32> {
    let (kind, rest) = declared.split_once('(')?;
    let kind = kind.to_ascii_uppercase();
    let number = rest.trim_end().strip_suffix(')')?.trim().parse().ok()?;
    (kind.contains("CHAR") || kind.contains("TEXT")).then_some(number)
}

/// The columns of a table or view that anybody may read.
pub(crate) fn columns(conn: &Connection, table: &Offered) -> Sqlite<Vec<PlacedColumn>> {
    // Hidden columns (1) belong to virtual tables; generated ones (2 and 3) are ordinary to a reader.
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') \
               WHERE hidden <> 1 ORDER BY cid";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([&table.name], |row| {
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
    let mut columns = rows.collect::<Sqlite<Vec<_>>>()?;
    if table.has_rowid {
        mark_rowid(&mut columns);
    }
    Ok(columns)
}

/// An only key column that is declared just `INTEGER` is the row's number, which SQLite gives when nobody does.
fn mark_rowid(columns: &mut [PlacedColumn]) {
    let mut key = columns.iter_mut().filter(|column| column.place > 0);
    if let (Some(only), None) = (key.next(), key.next())
        && only.declared.eq_ignore_ascii_case("INTEGER")
    {
        only.made = Some("identity");
    }
}

/// The text that made the table; empty for one that has none.
fn text(conn: &Connection, table: &str) -> Sqlite<String> {
    let sql = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    Ok(conn.query_row(sql, [table], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// The names of the triggers that would run when a row is added.
pub(crate) fn insert_triggers(conn: &Connection, table: &str) -> Sqlite<Vec<String>> {
    let sql = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name";
    let mut statement = conn.prepare(sql)?;
    let found = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    let found = found.collect::<Sqlite<Vec<_>>>()?;
    let runs = |sql: &Option<String>| sql.as_deref().is_none_or(checks::is_insert_trigger);
    Ok(found.into_iter().filter(|(_, sql)| runs(sql)).map(|(name, _)| name).collect())
}

const FOREIGN_KEYS: &str =
    "SELECT id, \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq";

/// A table's keys, each with the table that it points to.
fn keys_of(conn: &Connection, table: &str) -> Sqlite<Vec<ForeignKey>> {
    let mut statement = conn.prepare_cached(FOREIGN_KEYS)?;
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
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

fn foreign_keys(session: &Session, table: &str) -> Sqlite<Vec<ForeignKey>> {
    let mut keys = keys_of(session.conn(), table)?;
    keys.retain(|key| session.find(&key.table).is_ok());
    Ok(keys)
}

/// The names of the tables that a table's keys point to, offered or not.
pub(crate) fn parents(conn: &Connection, table: &str) -> Sqlite<Vec<String>> {
    Ok(keys_of(conn, table)?.into_iter().map(|key| key.table).collect())
}

fn referenced_by(session: &Session, table: &str) -> Sqlite<Vec<ForeignKey>> {
    let mut found = Vec::new();
    for other in session.catalog().offered.values().filter(|other| !other.is_view) {
        let keys = keys_of(session.conn(), &other.name)?;
        let here = keys.into_iter().filter(|key| key.table.eq_ignore_ascii_case(table));
        found.extend(here.map(|key| ForeignKey { table: other.name.clone(), ..key }));
    }
    Ok(found)
}

fn indexes(conn: &Connection, table: &str) -> Sqlite<Vec<Index>> {
    let mut statement = conn.prepare("SELECT name, \"unique\" FROM pragma_index_list(?1, 'main') ORDER BY name")?;
    let found = statement.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut columns = conn.prepare("SELECT name FROM pragma_index_info(?1, 'main') ORDER BY seqno")?;
    let mut texts = conn.prepare("SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?1")?;
    let mut indexes = Vec::new();
    for index in found {
        let (name, unique) = index?;
        let columns = columns.query_map([&name], |row| row.get(0))?.collect::<Sqlite<_>>()?;
        let text: Option<String> = texts.query_row([&name], |row| row.get(0)).optional()?.flatten();
        let condition = text.as_deref().and_then(checks::condition_of_index);
        let name = (!name.starts_with("sqlite_autoindex_")).then_some(name);
        indexes.push(Index { name, columns, unique, method: None, condition });
    }
    Ok(indexes)
}
