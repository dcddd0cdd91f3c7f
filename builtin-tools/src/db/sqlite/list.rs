//! The list of tables and views, with their columns and about how many rows they have. Counting is bounded for the whole
//! list, so that many tables are counted less far than few, and a large one is left to SQLite's own statistics.

use std::collections::HashMap;

use rusqlite::{CachedStatement, ErrorCode, Result as Sqlite};

use super::{
    catalog::{Offered, quoted},
    fence::Session,
};
use crate::db::{
    answer::{TableLine, TableList},
    error::QueryError,
    source::ListFilter,
};

/// The most tables that one list names.
const TABLES_MAX: usize = 500;
/// The most columns that a line names.
const COLUMNS_MAX: usize = 256;
/// What a line takes beside its names, about.
const LINE_BYTES: usize = 80;
/// Rows are counted up to here; counting all of a large table takes seconds.
const COUNTED_MAX: u64 = 10_000;
/// Rows that are counted for one list, over all its tables.
const COUNTED_TOGETHER_MAX: u64 = 200_000;
/// The part of the call's time that counting may take.
const COUNTING_PART: f64 = 0.6;

/// The tables and views of the source.
pub(crate) fn list(session: &Session, filter: &ListFilter) -> Result<TableList, QueryError> {
    if let Some(schema) = filter.schema.as_deref().filter(|schema| !schema.eq_ignore_ascii_case("main")) {
        return Err(QueryError::Arguments(format!("There is no schema `{schema}`; SQLite has one, `main`.")));
    }
    let after = filter.after.as_deref().map(str::to_ascii_lowercase);
    let part = filter.contains.as_deref().map(str::to_ascii_lowercase).unwrap_or_default();
    let offered = &session.catalog().offered;
    let mut wanted = offered
        .iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after) && key.contains(&part))
        .map(|(_, table)| table);
    let shown: Vec<_> = wanted.by_ref().take(TABLES_MAX).collect();
    let bytes_max = session.settings.about.bounds.bytes_max;
    let tables = lines(session, &shown, bytes_max).map_err(|error| QueryError::of_sqlite(&error))?;
    let truncated = tables.len() < shown.len() || wanted.next().is_some();
    let next = tables.last().filter(|_| truncated).map(|table| table.name.clone());
    Ok(TableList { tables, truncated, next })
}

/// The names of the source's tables and views that begin so.
pub(crate) fn names(session: &Session, beginning: &str) -> Vec<String> {
    let beginning = beginning.to_ascii_lowercase();
    let offered = &session.catalog().offered;
    offered.iter().filter(|(key, _)| key.starts_with(&beginning)).map(|(_, table)| table.name.clone()).collect()
}

/// The lines of the tables, up to so many bytes of JSON; at least one.
fn lines(session: &Session, tables: &[&Offered], bytes_max: usize) -> Sqlite<Vec<TableLine>> {
    let mut columns = session
        .conn()
        .prepare_cached("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1 ORDER BY cid LIMIT ?2")?;
    let counter = Counter::new(session, tables)?;
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for table in tables {
        let line = line(table, &mut columns, &counter)?;
        bytes += LINE_BYTES + line.name.len() + line.columns.iter().map(|name| 3 + name.len()).sum::<usize>();
        if bytes > bytes_max && !lines.is_empty() {
            break;
        }
        lines.push(line);
    }
    Ok(lines)
}

fn line(table: &Offered, columns: &mut CachedStatement<'_>, counter: &Counter<'_>) -> Sqlite<TableLine> {
    let named = columns.query_map((&table.name, COLUMNS_MAX as i64), |row| row.get(0))?.collect::<Sqlite<Vec<_>>>();
    // A view over a table that is gone has no columns, and spoils its own line only.
    let columns = if table.is_view { named.unwrap_or_default() } else { named? };
    let rows = if table.is_view { Rows::Unknown } else { counter.count(&table.name)? };
    Ok(TableLine {
        name: table.name.clone(),
        schema: None,
        kind: kind(table),
        columns,
        rows: rows.number(),
        rows_estimated: matches!(rows, Rows::Estimated(_)),
        rows_at_least: matches!(rows, Rows::AtLeast(_)),
        bytes: None,
        comment: None,
    })
}

pub(crate) const fn kind(table: &Offered) -> &'static str {
    if table.is_view { "view" } else { "table" }
}

/// How many rows a table has.
#[derive(Debug, Clone, Copy)]
enum Rows {
    Counted(u64),
    Estimated(u64),
    AtLeast(u64),
    Unknown,
}

impl Rows {
    const fn number(self) -> Option<u64> {
        match self {
            Self::Counted(rows) | Self::Estimated(rows) | Self::AtLeast(rows) => Some(rows),
            Self::Unknown => None,
        }
    }
}

struct Counter<'s> {
    session: &'s Session,
    /// How far each table is counted.
    most: u64,
    estimates: HashMap<String, u64>,
}

impl<'s> Counter<'s> {
    fn new(session: &'s Session, tables: &[&Offered]) -> Sqlite<Self> {
        let counted = tables.iter().filter(|table| !table.is_view).count().max(1) as u64;
        let most = (COUNTED_TOGETHER_MAX / counted).min(COUNTED_MAX);
        Ok(Self { session, most, estimates: estimates(session)? })
    }

    /// Counts the rows, as far as that goes. When the time for counting is over, the tables that are left keep what the
    /// statistics say of them.
    fn count(&self, table: &str) -> Sqlite<Rows> {
        let estimate = self.estimates.get(&table.to_ascii_lowercase()).copied();
        let stop = self.session.stop();
        let guess = || estimate.map_or(Rows::Unknown, Rows::Estimated);
        stop.set_budget(COUNTING_PART);
        if stop.is_over_budget() {
            stop.lift_budget();
            return Ok(guess());
        }
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM main.{} LIMIT {})", quoted(table), self.most + 1);
        let counted: Sqlite<i64> = self.session.conn().query_row(&sql, [], |row| row.get(0));
        let ran_out = counted.is_err() && stop.is_over_budget();
        stop.lift_budget();
        match counted {
            Err(_) if ran_out => Ok(guess()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Err(error),
            // A table that cannot be read spoils its own line only.
            Err(_) => Ok(Rows::Unknown),
            Ok(rows) => Ok(self.judged(u64::try_from(rows).unwrap_or_default(), estimate)),
        }
    }

    fn judged(&self, counted: u64, estimate: Option<u64>) -> Rows {
        match estimate {
            _ if counted <= self.most => Rows::Counted(counted),
            Some(estimate) if estimate > self.most => Rows::Estimated(estimate),
            _ => Rows::AtLeast(self.most),
        }
    }
}

/// What `ANALYZE` once found, by table in lower case: the first number of a line is of rows in the table or in one of its
/// indexes, and an index may leave rows out.
fn estimates(session: &Session) -> Sqlite<HashMap<String, u64>> {
    let mut found = HashMap::new();
    if !session.catalog().names.tables.contains("sqlite_stat1") {
        return Ok(found);
    }
    let mut statement = session.conn().prepare("SELECT tbl, CAST(stat AS TEXT) FROM main.sqlite_stat1 LIMIT 100000")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, numbers): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
        let rows = numbers.as_deref().and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        if let (Some(table), Some(rows)) = (table, rows) {
            let most: &mut u64 = found.entry(table.to_ascii_lowercase()).or_default();
            *most = rows.max(*most);
        }
    }
    Ok(found)
}

/// What `ANALYZE` once found of one table.
pub(crate) fn estimate(session: &Session, table: &str) -> Option<u64> {
    estimates(session).ok()?.get(&table.to_ascii_lowercase()).copied()
}
