//! What is in a table: all rows are read where they are few, else a part that is spread over the table. Reading happens
//! behind the fence, since a view reads what it wants, and within a part of the call's time, so that there is an answer
//! about what was read when the time is over.

mod source;
mod tally;

use super::{
    catalog::Offered,
    fence::{Fenced, Session},
    list,
    progress::Teller,
    schema::{self, PlacedColumn},
};
use crate::db::{answer::TableAnalysis, error::QueryError};
use source::{Part, Reader};
use tally::{Tally, Whole};

/// The most columns of one call.
const COLUMNS_MAX: usize = 100;
/// A table of so many rows is read whole.
const ROWS_READ_MAX: u64 = 50_000;
/// Rows of a sample: of the beginning, and of each place after it.
const BEGINNING_ROWS: u64 = 5_000;
const PLACES: u32 = 30;
const PLACE_ROWS: u64 = 500;
/// The parts of the call's time by whose end counting and reading stop.
const COUNTING_PART: f64 = 0.3;
const READING_PART: f64 = 0.8;

/// Looks at the table or view; `wanted` are its columns, or all where none is named.
pub(crate) fn run(
    session: Session,
    name: &str,
    wanted: &[String],
    teller: &Teller,
) -> Result<TableAnalysis, QueryError> {
    let table = session.find(name)?.clone();
    let all = schema::columns(session.conn(), &table).map_err(|error| QueryError::of_sqlite(&error))?;
    let mut notes = Vec::new();
    let rowid = if table.has_rowid { rowid_of(&all) } else { None };
    let columns = chosen(all, wanted, &mut notes)?;
    let estimate = list::estimate(&session, &table.name);
    let bytes_max = session.settings.about.bounds.bytes_max;
    let fenced = session.fence()?;
    let mut analysis = Analysis { table, rowid, columns, fenced, teller, notes };
    analysis.finish(estimate, bytes_max)
}

/// The name of the rows' numbers; a column can have taken it.
fn rowid_of(columns: &[PlacedColumn]) -> Option<&'static str> {
    let is_taken = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_taken(name))
}

/// The columns to look at; wide tables are looked at in parts.
fn chosen(all: Vec<PlacedColumn>, wanted: &[String], notes: &mut Vec<String>) -> Result<Vec<PlacedColumn>, QueryError> {
    if wanted.len() > COLUMNS_MAX {
        return Err(QueryError::Arguments(format!(
            "`columns` names {} columns; expected at most {COLUMNS_MAX}.",
            wanted.len()
        )));
    }
    let is = |column: &PlacedColumn, name: &str| column.name.eq_ignore_ascii_case(name);
    if let Some(unknown) = wanted.iter().find(|name| !all.iter().any(|column| is(column, name))) {
        let unknown: String = unknown.chars().take(64).collect();
        return Err(QueryError::Arguments(format!(
            "The table has no column `{unknown}`; call describe_table for its columns."
        )));
    }
    let many = all.len();
    let mut columns = all;
    columns.retain(|column| wanted.is_empty() || wanted.iter().any(|name| is(column, name)));
    if columns.len() > COLUMNS_MAX {
        columns.truncate(COLUMNS_MAX);
        notes.push(format!("These are the first {COLUMNS_MAX} of {many} columns; name others in `columns`."));
    }
    Ok(columns)
}

struct Analysis<'t> {
    table: Offered,
    rowid: Option<&'static str>,
    columns: Vec<PlacedColumn>,
    fenced: Fenced,
    teller: &'t Teller,
    notes: Vec<String>,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy)]
struct Size {
    rows: Option<u64>,
    is_estimated: bool,
}

impl Analysis<'_> {
    fn finish(&mut self, estimate: Option<u64>, bytes_max: usize) -> Result<TableAnalysis, QueryError> {
        let mut size = self.size(estimate)?;
        let mut tallies = self.columns.iter().map(|_| Tally::new(self.columns.len())).collect::<Vec<_>>();
        let read = self.read(size, &mut tallies)?;
        if read.is_whole {
            size = Size { rows: Some(read.rows), is_estimated: false };
        }
        let whole = Whole { rows: size.rows, is_read: read.is_whole };
        let cell_bytes_max = (bytes_max / (8 * self.columns.len().max(1))).clamp(16, 256);
        let long: u64 = tallies.iter().map(Tally::long).sum();
        if long > 0 {
            self.notes.push(format!(
                "{long} values of more than {} bytes count, but are not compared or shown.",
                source::LONG_BYTES
            ));
        }
        let columns = self.columns.iter().zip(tallies);
        Ok(TableAnalysis {
            name: self.table.name.clone(),
            rows: size.rows,
            rows_estimated: size.is_estimated,
            basis: if read.is_whole { "rows" } else { "sample" },
            rows_read: Some(read.rows),
            columns: columns.map(|(column, tally)| tally.finish(column, whole, cell_bytes_max)).collect(),
            note: (!self.notes.is_empty()).then(|| self.notes.join(" ")),
        })
    }

    /// Counts, for a part of the time. A view is not counted, since that is to run it.
    fn size(&mut self, estimate: Option<u64>) -> Result<Size, QueryError> {
        if self.table.is_view {
            return Ok(Size { rows: None, is_estimated: false });
        }
        self.fenced.stop().set_budget(COUNTING_PART);
        let counted = source::count(&self.fenced, &self.table);
        let ran_out = counted.is_err() && self.fenced.stop().is_over_budget();
        self.fenced.stop().lift_budget();
        match counted {
            Ok(rows) => Ok(Size { rows: Some(rows), is_estimated: false }),
            Err(_) if ran_out => {
                self.notes.push("The rows are too many to be counted in the time of one call.".to_owned());
                Ok(Size { rows: estimate, is_estimated: estimate.is_some() })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the rows, or the parts of a sample, until the time for it is over.
    fn read(&mut self, size: Size, tallies: &mut [Tally]) -> Result<Read, QueryError> {
        let is_small = !size.is_estimated && size.rows.is_some_and(|rows| rows <= ROWS_READ_MAX);
        let parts = if is_small { vec![Part::first(ROWS_READ_MAX)] } else { self.sample()? };
        let expected = if is_small { size.rows.unwrap_or_default() } else { parts.iter().map(|part| part.rows).sum() };
        let steps = step_of(expected);
        self.fenced.stop().set_budget(READING_PART);
        let (teller, name) = (self.teller, &self.table.name);
        teller.tell(1, steps, format!("`{name}` is counted."));
        let mut reader = Reader::new(&self.fenced, &self.table, self.rowid, &self.columns)?;
        let mut told = |rows: u64| {
            teller.tell(step_of(rows).min(steps), steps, format!("{rows} rows of `{name}` are read."));
        };
        let ended = parts.iter().try_for_each(|part| reader.read(part, tallies, &mut told));
        let rows = reader.rows();
        drop(reader);
        let ran_out = ended.is_err() && self.fenced.stop().is_over_budget();
        self.fenced.stop().lift_budget();
        match ended {
            Err(error) if !ran_out => return Err(self.fenced.explain(&error)),
            Err(_) => self.notes.push(format!("The time for reading was over after {rows} rows.")),
            Ok(()) => {}
        }
        let is_whole = !ran_out && (is_small || (parts.len() == 1 && rows < parts[0].rows));
        if !is_whole {
            self.notes.push(self.way_of_sampling().to_owned());
        }
        Ok(Read { rows, is_whole })
    }

    /// Rows of the beginning and of places spread over the rows' numbers; where rows have none, the beginning alone.
    fn sample(&self) -> Result<Vec<Part>, QueryError> {
        let beginning = Part::first(BEGINNING_ROWS + u64::from(PLACES) * PLACE_ROWS);
        let Some(rowid) = self.rowid else { return Ok(vec![beginning]) };
        let Some((first, last)) = source::rowids(&self.fenced, &self.table, rowid)? else { return Ok(vec![beginning]) };
        let span = last.abs_diff(first);
        let place = |n: u32| first.saturating_add_unsigned(span / u64::from(PLACES) * u64::from(n));
        let places = (1..=PLACES).map(|n| Part { from: Some(place(n - 1)), rows: PLACE_ROWS });
        let start = Part { from: Some(first), rows: BEGINNING_ROWS };
        Ok(std::iter::once(start).chain(places).collect())
    }

    const fn way_of_sampling(&self) -> &'static str {
        match self.rowid.is_some() {
            true => "The numbers are of a sample: the first rows, and some from places spread over the table.",
            false => "The numbers are of the first rows alone; use query_database for the others.",
        }
    }
}

/// The step of the work at which so many rows are read; the first is that they are counted.
fn step_of(rows: u64) -> u32 {
    1 + u32::try_from(rows / source::ROWS_BETWEEN_TELLS).unwrap_or(u32::MAX - 1)
}

#[derive(Debug, Clone, Copy)]
struct Read {
    rows: u64,
    /// Whether these were all.
    is_whole: bool,
}
