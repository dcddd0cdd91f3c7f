//! What a data source can do, whatever database is behind it. `sqlite` and `postgres` implement it; the MCP side
//! (`handler`, `tools`, `resources`) knows no other way to a database.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{
    answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
    error::QueryError,
};

/// One database that an explorer looks into. Every method ends by the source's own deadline, and soon after `cx` is
/// cancelled; then the query has ended in the database too, or its connection is gone.
#[async_trait]
pub(crate) trait Source: Send + Sync + fmt::Debug {
    /// What it is, without asking the database.
    fn about(&self) -> &About;
    /// Runs one query of the caller.
    async fn query(&self, query: Query, cx: &Cx) -> Result<QueryAnswer, QueryError>;
    /// The tables and views that are offered.
    async fn list_tables(&self, filter: ListFilter, cx: &Cx) -> Result<TableList, QueryError>;
    /// What the table or view looks like; `table` is a name as `list_tables` gives it, or schema and name with a dot.
    async fn describe_table(&self, table: &str, cx: &Cx) -> Result<TableDetail, QueryError>;
    /// What is in the table: counts, shares and samples by column. `columns` narrows it; empty means all.
    async fn analyze_table(&self, table: &str, columns: &[String], cx: &Cx) -> Result<TableAnalysis, QueryError>;
    /// How the database would run the query, without running it.
    async fn explain_query(&self, query: Query, cx: &Cx) -> Result<Plan, QueryError>;
    /// Adds one row to a table that the operator opened for it, values bound.
    async fn insert_record(&self, table: &str, values: Map<String, Value>, cx: &Cx) -> Result<Inserted, QueryError>;
    /// Names of offered tables and views that begin so, as `list_tables` gives them; for completion.
    async fn table_names(&self, beginning: &str, cx: &Cx) -> Result<Vec<String>, QueryError>;
    /// Asks the database whether it can be used as it is configured: it answers, the tables exist, and the role has no right
    /// that the operator did not accept. For whoever registers the source; the text may name hosts and roles.
    async fn check(&self) -> Result<(), String>;
}

/// What a source is.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// Its name in arguments and in URIs: `db://{name}/overview`.
    pub(crate) name: String,
    /// The database behind it.
    pub(crate) dialect: Dialect,
    /// Its bounds.
    pub(crate) bounds: Bounds,
    /// Whether `insert_record` is open for any table.
    pub(crate) inserts: bool,
}

/// The database behind a source, and so the SQL that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// Its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The bounds of one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Rows of an answer.
    pub(crate) rows_max: usize,
    /// Bytes of an answer's rows, as JSON.
    pub(crate) bytes_max: usize,
    /// Time of one call.
    pub(crate) timeout: std::time::Duration,
}

/// A query as a caller gives it.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// One statement.
    pub(crate) sql: String,
    /// The values of its parameters, in order.
    pub(crate) params: Vec<Value>,
    /// The most rows that the caller wants.
    pub(crate) limit: Option<u64>,
}

impl Query {
    /// How many rows the answer may have: as many as the caller wants, and never more than the source gives.
    pub(crate) fn rows_max(&self, bounds: &Bounds) -> Result<usize, QueryError> {
        match self.limit {
            Some(0) => Err(QueryError::Arguments("`limit` is 0; expected at least 1.".to_owned())),
            Some(wanted) => Ok(usize::try_from(wanted).map_or(bounds.rows_max, |wanted| wanted.min(bounds.rows_max))),
            None => Ok(bounds.rows_max),
        }
    }
}

/// Which tables a list is to have.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListFilter {
    /// Only this schema.
    pub(crate) schema: Option<String>,
    /// Only names with this text in them, in any case.
    pub(crate) contains: Option<String>,
    /// Go on after this name, the `next` of an answer that was cut.
    pub(crate) after: Option<String>,
}

/// What a call brings along beside its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Cx {
    /// Set when the caller does not want the answer any more.
    pub(crate) cancelled: CancellationToken,
    progress: Option<Arc<dyn Progress>>,
}

impl Cx {
    /// For a call that `cancelled` ends; `progress` is where its progress is told, if the caller wants to know.
    pub(crate) fn new(cancelled: CancellationToken, progress: Option<Arc<dyn Progress>>) -> Self {
        Self { cancelled, progress }
    }

    /// Tells the caller how far the work is: `done` of `total` steps, and what was done last.
    pub(crate) async fn progress(&self, done: u32, total: u32, message: String) {
        if let Some(progress) = &self.progress {
            progress.tell(done, total, message).await;
        }
    }
}

/// Where progress is told.
#[async_trait]
pub(crate) trait Progress: Send + Sync + fmt::Debug {
    /// Tells it; nothing is lost when nobody listens.
    async fn tell(&self, done: u32, total: u32, message: String);
}
