//! What is in a table: shares, counts and samples by column. A small table is read, a large one is told from what the
//! database's own statistics say of it, or from a sample where there are none. Called by the source within a transaction;
//! the source keeps the deadline, and this file gives up before it, so that what is done is told.

mod columns;
mod extent;
mod rows;
mod statistics;

use std::time::Duration;

use patchbay_sql_policy::TableName;
use tokio::time::Instant;
use tokio_postgres::{Client, Error, error::SqlState};

use super::{
    names, trouble,
    visible::{Kind, Visible},
};
use crate::db::{
    answer::{ColumnAnalysis, TableAnalysis},
    error::QueryError,
    source::Cx,
};
use columns::{Columns, Wanted};
use extent::Extent;

pub(super) use columns::{COLUMNS, Column};
pub(super) use extent::{EXTENT, counting};
pub(super) use rows::{Part, statement as of_rows};

/// The most columns of one analysis.
const COLUMNS_MAX: usize = 100;
/// How many columns are read by one statement, between which progress is told and the clock is looked at.
pub(super) const CHUNK: usize = 8;
/// A table with more rows is not read whole.
const ROWS_MAX: u64 = 50_000;
/// A table that takes more bytes, its long values included, is not read whole.
const TABLE_BYTES_MAX: i64 = 32 * 1024 * 1024;
/// The part of the time that is used before giving up, in percent; what is done has to be sent, too.
const TIME_PERCENT: u32 = 80;
/// Samples by column, and how much of a long value is shown.
const SAMPLES_MAX: usize = 5;
const SAMPLE_CHARS_MAX: usize = 100;

/// Analyses `columns` (all that the role may read, if empty) of the table.
///
/// Sets `statement_timeout` for its transaction. After an error, and after an analysis that ran out of time, the
/// transaction is good for nothing but a rollback.
pub(crate) async fn analyze(
    client: &Client,
    visible: &Visible,
    table: &TableName,
    columns: &[String],
    cx: &Cx,
    until: Instant,
) -> Result<TableAnalysis, QueryError> {
    let begun = Instant::now();
    let time = until.saturating_duration_since(begun);
    let work = Work { client, visible, table, cx, time, until: begun + time * TIME_PERCENT / 100 };
    let known = visible.table(table)?;
    let (extent, all) = work.look(known.oid, known.kind).await.map_err(|error| work.trouble(&error))?;
    let wanted = all.choose(columns)?;
    let mut analysis = TableAnalysis {
        name: visible.shown(table),
        rows: extent.rows(),
        rows_estimated: extent.estimated(),
        basis: "rows",
        rows_read: None,
        columns: Vec::new(),
        note: None,
    };
    let mut notes = wanted.notes.clone();
    match &extent {
        Extent::Small { .. } => work.read(&Part::Whole, &extent, &wanted, &mut analysis, &mut notes).await?,
        Extent::Large { .. } => {
            let told = match known.kind.has_pages() {
                true => work.told(&extent, &wanted).await.map_err(|error| work.trouble(&error))?,
                false => Vec::new(),
            };
            if told.is_empty() {
                let part = extent.part(known.kind);
                work.read(&part, &extent, &wanted, &mut analysis, &mut notes).await?;
                notes.push(part.note().to_owned());
            } else {
                notes.extend(statistics::notes(&told, &wanted));
                analysis.basis = "statistics";
                analysis.columns = told;
            }
        }
    }
    if analysis.columns.iter().any(ends_cut) {
        notes.push(format!("Values longer than {SAMPLE_CHARS_MAX} characters are cut."));
    }
    analysis.note = (!notes.is_empty()).then(|| notes.join(" "));
    Ok(analysis)
}

fn ends_cut(column: &ColumnAnalysis) -> bool {
    let cut = |value: &serde_json::Value| value.as_str().is_some_and(|text| text.ends_with('…'));
    cut(&column.min) || cut(&column.max) || column.samples.iter().any(cut)
}

/// One analysis. Statements that go out together are joined `biased`, in the order of their sending: the first to fail is
/// then the one that is heard, and not one behind it that the failed transaction refused.
struct Work<'a> {
    client: &'a Client,
    visible: &'a Visible,
    table: &'a TableName,
    cx: &'a Cx,
    /// All the time that there was.
    time: Duration,
    /// When to give up.
    until: Instant,
}

impl Work<'_> {
    /// How large the table is and which columns it has, in one round trip.
    async fn look(&self, oid: u32, kind: Kind) -> Result<(Extent, Columns), Error> {
        let from = names::qualified(self.table);
        let (_, extent, all) = tokio::try_join!(
            biased;
            self.limit(),
            extent::look(self.client, oid, kind, &from),
            columns::load(self.client, oid)
        )?;
        Ok((extent, all))
    }

    async fn told(&self, extent: &Extent, wanted: &Wanted) -> Result<Vec<ColumnAnalysis>, Error> {
        let statement = statistics::load(self.client, self.table, wanted, extent.rows());
        let (_, told) = tokio::try_join!(biased; self.limit(), statement)?;
        self.cx.progress(1, 1, "Read the database's statistics.".to_owned()).await;
        Ok(told)
    }

    /// Reads the rows of the part, some columns at a time, until all are done or the time is up.
    async fn read(
        &self,
        part: &Part,
        extent: &Extent,
        wanted: &Wanted,
        analysis: &mut TableAnalysis,
        notes: &mut Vec<String>,
    ) -> Result<(), QueryError> {
        analysis.basis = part.basis();
        let (total, from) = (wanted.columns.len(), names::qualified(self.table));
        let steps = u32::try_from(total.div_ceil(CHUNK)).unwrap_or(u32::MAX);
        for (step, chunk) in (1..).zip(wanted.columns.chunks(CHUNK)) {
            if self.cx.cancelled.is_cancelled() {
                return Err(QueryError::Cancelled);
            }
            let statement = rows::statement(&from, part, chunk);
            let done = match self.until.saturating_duration_since(Instant::now()).is_zero() {
                true => None,
                false => self.chunk(&statement, chunk, part, extent).await?,
            };
            let Some((read, columns)) = done else { break };
            analysis.rows_read = Some(read);
            analysis.columns.extend(columns);
            let done = analysis.columns.len();
            self.cx.progress(step, steps, format!("Read {done} of {total} columns.")).await;
        }
        let left: Vec<_> = wanted.columns[analysis.columns.len()..].iter().map(|column| column.name.as_str()).collect();
        if left.len() == total && total > 0 {
            return Err(QueryError::Deadline(self.time.as_millis()));
        }
        if !left.is_empty() {
            notes.push(format!(
                "The time was up before these columns were read: {}; ask for them alone.",
                left.join(", ")
            ));
        }
        if extent.rows().is_none() {
            analysis.rows = analysis.rows_read.and_then(|read| part.extrapolated(read));
            analysis.rows_estimated = analysis.rows.is_some();
        }
        Ok(())
    }

    /// The columns of one statement, and how many rows it read; `None` when the time was up.
    async fn chunk(
        &self,
        statement: &str,
        chunk: &[Column],
        part: &Part,
        extent: &Extent,
    ) -> Result<Option<(u64, Vec<ColumnAnalysis>)>, QueryError> {
        let answered = tokio::try_join!(biased; self.limit(), self.client.query_typed(statement, &[]));
        match answered.and_then(|(_, rows)| rows::read(&rows, chunk, part, extent.rows())) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) && !self.cx.cancelled.is_cancelled() => {
                Ok(None)
            }
            Err(error) => Err(self.trouble(&error)),
        }
    }

    /// Lets the server itself end a statement when it is time to give up, so that the connection stays good.
    async fn limit(&self) -> Result<(), Error> {
        let left = self.until.saturating_duration_since(Instant::now()).as_millis().max(1);
        self.client.batch_execute(&format!("SET LOCAL statement_timeout = {left}")).await
    }

    fn trouble(&self, error: &Error) -> QueryError {
        match error.code() {
            _ if self.cx.cancelled.is_cancelled() => QueryError::Cancelled,
            Some(code) if *code == SqlState::QUERY_CANCELED => QueryError::Deadline(self.time.as_millis()),
            _ => trouble::of_ours(error, &format!("analysing {}", self.visible.shown(self.table))),
        }
    }
}
