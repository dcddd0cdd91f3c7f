//! Runs a judged statement: the two round trips of a query, and that of a plan. What may run was decided before, what a value
//! becomes is in `cells`, how much fits in the answer's collector.

use std::{pin::pin, sync::Arc};

use futures_util::TryStreamExt;
use patchbay_sql_policy::{Judged, Kind};
use tokio_postgres::Statement;

use super::{
    cells::{Raw, Shape, cell},
    clock::Clock,
    error::Statement as Said,
    layers::Layers,
    params, plan,
    pool::Pool,
    session::{Beginning, Mode, Session},
    types,
    wrap::{Wrapped, wrap},
};
use crate::db::{
    answer::{Collector, Plan, QueryAnswer},
    error::QueryError,
    source::{Bounds, Query},
};

/// A row of an answer is at most as long as the answer, in characters; on the wire a character has up to four bytes.
const WIRE_FACTOR: usize = 5;
/// What comes beside the rows.
const WIRE_BYTES_EXTRA: usize = 256 * 1024;
/// What the driver may bring for a plan.
const PLAN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What the one column of a plan is called.
const PLAN_COLUMN: &str = "QUERY PLAN";

/// What running a statement takes.
pub(crate) struct Runner<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) clock: &'a Clock,
    pub(crate) beginning: &'a Beginning,
    pub(crate) layers: &'a Layers,
    pub(crate) bounds: Bounds,
}

impl Runner<'_> {
    /// The rows of a judged statement; for an EXPLAIN its lines.
    pub(crate) async fn query(&self, judged: &Judged, query: &Query) -> Result<QueryAnswer, QueryError> {
        let rows_max = query.rows_max(&self.bounds)?;
        if judged.kind == Kind::Explain {
            let plan = self.plan(judged, query).await?;
            return Ok(plan_rows(plan, rows_max, self.bounds.bytes_max));
        }
        let budget = self.bounds.bytes_max * WIRE_FACTOR + WIRE_BYTES_EXTRA;
        let (session, statement) = self.begin(judged, &judged.sql, query, budget).await?;
        let answer = self.rows(&session, judged, &statement, query, rows_max).await;
        drop(statement);
        session.done();
        answer
    }

    /// How a judged statement would run.
    pub(crate) async fn plan(&self, judged: &Judged, query: &Query) -> Result<Plan, QueryError> {
        let bare = bare(&judged.sql).ok_or(QueryError::NotAQuery)?;
        let sql = format!("EXPLAIN (FORMAT TEXT) {bare}");
        let (session, statement) = self.begin(judged, &sql, query, PLAN_BYTES_MAX).await?;
        let lines = lines(&session, &sql, &statement, query).await;
        drop(statement);
        session.done();
        let tables: Vec<&str> = judged.tables.iter().map(|table| table.name.as_str()).collect();
        Ok(plan::plan(lines?, bare, &tables))
    }

    /// A transaction with the statement prepared, and its parameters as many as there are values.
    async fn begin(
        &self,
        judged: &Judged,
        sql: &str,
        query: &Query,
        budget: usize,
    ) -> Result<(Session, Statement), QueryError> {
        if judged.params != query.params.len() {
            return Err(QueryError::Arguments(format!(
                "The SQL text has {} parameters, and `params` has {} values.",
                judged.params,
                query.params.len()
            )));
        }
        let how = (self.beginning, Mode::Read);
        let (session, prepared) = Session::begin(self.pool, self.clock, how, budget, Some(sql)).await?;
        match prepared {
            Some(Ok(statement)) => Ok((session, statement)),
            Some(Err(error)) => {
                let told = session.error(&error, Some(Said::whole(sql)));
                session.done();
                Err(told)
            }
            None => Err(QueryError::Unavailable),
        }
    }

    async fn rows(
        &self,
        session: &Session,
        judged: &Judged,
        statement: &Statement,
        query: &Query,
        rows_max: usize,
    ) -> Result<QueryAnswer, QueryError> {
        let names = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let kinds = statement.columns().iter().map(|column| types::name(column.type_())).collect();
        let mut collector = Collector::new(names, kinds, rows_max, self.bounds.bytes_max);
        let wrapped = match self.layers.wrapper() {
            // One more than fits, so that the answer knows whether there are more.
            true => wrap(&judged.sql, statement.columns(), rows_max + 1, collector.cell_bytes_max(), self.layers)?,
            false => Wrapped {
                sql: judged.sql.clone(),
                offset: 0,
                shapes: statement.columns().iter().map(|column| Shape::of(column.type_())).collect(),
            },
        };
        let params = params::bind(&query.params, statement.params())?;
        let said = Said { sql: &judged.sql, offset: wrapped.offset };
        let told = |error: &tokio_postgres::Error| session.error(error, Some(said));
        // Parsed as the unnamed statement, bound, described and executed in one message.
        let rows = session.client().query_typed_raw(&wrapped.sql, params).await.map_err(|error| told(&error))?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(|error| told(&error))? {
            let taken = collector.take(|index, bytes_max| {
                let raw: Option<Raw<'_>> = row.try_get(index).map_err(|error| told(&error))?;
                let Some(Raw(raw)) = raw else { return Ok((serde_json::Value::Null, false)) };
                cell(wrapped.shapes[index], raw, bytes_max).ok_or(QueryError::Unavailable)
            })?;
            if !taken {
                break;
            }
        }
        Ok(collector.finish())
    }
}

async fn lines(session: &Session, sql: &str, statement: &Statement, query: &Query) -> Result<Vec<String>, QueryError> {
    let params = params::bind(&query.params, statement.params())?;
    let told = |error: &tokio_postgres::Error| session.error(error, Some(Said::whole(sql)));
    let rows = session.client().query_typed_raw(sql, params).await.map_err(|error| told(&error))?;
    let rows: Vec<_> = rows.try_collect().await.map_err(|error| told(&error))?;
    rows.iter().map(|row| row.try_get(0).map_err(|error| told(&error))).collect()
}

fn plan_rows(plan: Plan, rows_max: usize, bytes_max: usize) -> QueryAnswer {
    let mut collector = Collector::new(vec![PLAN_COLUMN.to_owned()], vec!["text".to_owned()], rows_max, bytes_max);
    for line in plan.plan {
        let taken = collector.take(|_, bytes_max| Ok::<_, QueryError>(crate::db::answer::text_cell(&line, bytes_max)));
        if !matches!(taken, Ok(true)) {
            break;
        }
    }
    collector.finish()
}

/// The query inside of an EXPLAIN, or the query itself. Options are left out: the plan is printed in our own way, which names
/// nothing that the caller may not know.
fn bare(sql: &str) -> Option<&str> {
    let keyword = |text: &'_ str, word: &str| {
        let head = text.get(..word.len())?;
        let is_end = !text[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        (head.eq_ignore_ascii_case(word) && is_end).then_some(word.len())
    };
    let sql = sql.trim_start();
    let Some(end) = keyword(sql, "EXPLAIN") else { return Some(sql) };
    let mut rest = sql[end..].trim_start();
    while let Some(end) = keyword(rest, "VERBOSE") {
        rest = rest[end..].trim_start();
    }
    let options = ["VERBOSE", "COSTS", "FORMAT", "SETTINGS", "SUMMARY", "GENERIC_PLAN", "MEMORY", "BUFFERS"];
    if let Some(inside) = rest.strip_prefix('(')
        && options.iter().any(|option| keyword(inside.trim_start(), option).is_some())
    {
        rest = inside.split_once(')')?.1.trim_start();
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explain_is_taken_off_with_its_options() {
        for text in [
            "EXPLAIN SELECT 1",
            "explain verbose SELECT 1",
            "EXPLAIN (COSTS OFF, FORMAT JSON) SELECT 1",
            "EXPLAIN (VERBOSE) SELECT 1",
            "SELECT 1",
        ] {
            assert_eq!(bare(text), Some("SELECT 1"), "{text}");
        }
        assert_eq!(bare("EXPLAIN (SELECT 1) UNION (SELECT 2)"), Some("(SELECT 1) UNION (SELECT 2)"));
        assert_eq!(bare("EXPLAIN (COSTS OFF"), None);
    }
}
