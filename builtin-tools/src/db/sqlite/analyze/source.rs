//! Where the rows of an analysis come from: our own SQL with quoted names, run behind the fence. A value that is longer
//! than it is worth looking at is not read; only its length is.

use rusqlite::{Statement, types::ValueRef};

use super::tally::Tally;
use crate::db::{
    error::QueryError,
    sqlite::{
        catalog::{Offered, quoted},
        fence::Fenced,
        schema::PlacedColumn,
    },
};

/// A value of more bytes is not read.
pub(crate) const LONG_BYTES: i64 = 16 * 1024;
/// Progress is told after so many rows.
pub(crate) const ROWS_BETWEEN_TELLS: u64 = 2_500;

/// Some rows that follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// By the rows' numbers from here on; `None` as they come.
    pub(crate) from: Option<i64>,
    /// At most so many.
    pub(crate) rows: u64,
}

impl Part {
    pub(crate) const fn first(rows: u64) -> Self {
        Self { from: None, rows }
    }
}

/// How many rows the table has.
pub(crate) fn count(fenced: &Fenced, table: &Offered) -> Result<u64, QueryError> {
    let mut statement = fenced.prepare(&format!("SELECT count(*) FROM main.{}", quoted(&table.name)))?;
    let rows: i64 = statement.query_row([], |row| row.get(0)).map_err(|error| fenced.explain(&error))?;
    Ok(u64::try_from(rows).unwrap_or_default())
}

/// The least and the greatest number of a row, if there is a row.
pub(crate) fn rowids(fenced: &Fenced, table: &Offered, rowid: &str) -> Result<Option<(i64, i64)>, QueryError> {
    // Two searches of one step each; min and max in one query would read the whole table.
    let name = quoted(&table.name);
    let sql = format!("SELECT (SELECT min({rowid}) FROM main.{name}), (SELECT max({rowid}) FROM main.{name})");
    let mut statement = fenced.prepare(&sql)?;
    let found: (Option<i64>, Option<i64>) =
        statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|error| fenced.explain(&error))?;
    Ok(found.0.zip(found.1))
}

/// Reads parts one after the other, and no row twice.
pub(crate) struct Reader<'f> {
    all: Statement<'f>,
    /// Absent for what has no numbers of rows.
    numbered: Option<Statement<'f>>,
    columns: usize,
    rows: u64,
    /// The number of the last row read by numbers.
    last: Option<i64>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(
        fenced: &'f Fenced,
        table: &Offered,
        rowid: Option<&str>,
        columns: &[PlacedColumn],
    ) -> Result<Self, QueryError> {
        let pairs = columns.iter().map(|column| pair(&quoted(&column.name))).collect::<Vec<_>>().join(", ");
        let name = quoted(&table.name);
        let all = fenced.prepare(&format!("SELECT {pairs} FROM main.{name} LIMIT ?1"))?;
        let by_number = |rowid| {
            let sql = format!("SELECT {pairs}, {rowid} FROM main.{name} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT ?2");
            fenced.prepare(&sql)
        };
        let numbered = rowid.map(by_number).transpose()?;
        Ok(Self { all, numbered, columns: columns.len(), rows: 0, last: None })
    }

    /// How many rows were read.
    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn read(
        &mut self,
        part: &Part,
        tallies: &mut [Tally],
        told: &mut impl FnMut(u64),
    ) -> rusqlite::Result<()> {
        let most = i64::try_from(part.rows).unwrap_or(i64::MAX);
        let (mut rows, number_at) = match (part.from, &mut self.numbered) {
            (Some(from), Some(numbered)) => {
                let next = self.last.map_or(from, |last| from.max(last.saturating_add(1)));
                (numbered.query((next, most))?, Some(2 * self.columns))
            }
            _ => (self.all.query([most])?, None),
        };
        while let Some(row) = rows.next()? {
            for (index, tally) in tallies.iter_mut().enumerate() {
                tally.take(row.get_ref(2 * index)?, length(row.get_ref(2 * index + 1)?));
            }
            if let Some(index) = number_at {
                self.last = Some(row.get(index)?);
            }
            self.rows += 1;
            if self.rows.is_multiple_of(ROWS_BETWEEN_TELLS) {
                told(self.rows);
            }
        }
        Ok(())
    }
}

/// The column's value if it is not too long, and its length, which is NULL exactly where the value is.
fn pair(column: &str) -> String {
    format!("CASE WHEN octet_length({column}) <= {LONG_BYTES} THEN {column} END, octet_length({column})")
}

fn length(value: ValueRef<'_>) -> Option<u64> {
    value.as_i64().ok().and_then(|bytes| u64::try_from(bytes).ok())
}
