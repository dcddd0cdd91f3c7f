//! A source for tests: it has the tables that it is told to have, and its calls wait, tell progress or fail as a script says.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::{
    answer::{Collector, Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableLine, TableList},
    error::QueryError,
    source::{About, Bounds, Cx, Dialect, ListFilter, Query, Source},
};

/// What a source of that name is when nothing special is said of it.
pub(crate) fn about(name: &str, dialect: Dialect) -> About {
    let bounds = Bounds { rows_max: 200, bytes_max: 1024 * 1024, timeout: std::time::Duration::from_secs(5) };
    About { name: name.to_owned(), dialect, bounds, inserts: false }
}

/// A table in a list.
pub(crate) fn line(name: &str, columns: &[&str]) -> TableLine {
    TableLine {
        name: name.to_owned(),
        schema: None,
        kind: "table",
        columns: columns.iter().map(|&name| name.to_owned()).collect(),
        rows: Some(3),
        rows_estimated: false,
        rows_at_least: false,
        bytes: None,
        comment: None,
    }
}

/// A table's description.
pub(crate) fn detail(name: &str) -> TableDetail {
    TableDetail {
        name: name.to_owned(),
        schema: None,
        kind: "table",
        comment: None,
        columns: Vec::new(),
        primary_key: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        insertable: false,
        truncated: false,
    }
}

/// A source without a database.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) about: About,
    pub(crate) tables: Vec<String>,
    /// Steps that an analysis tells, `(done, total)`.
    pub(crate) steps: Vec<(u32, u32)>,
    /// Queries that have begun; each runs until it is cancelled.
    pub(crate) begun: Arc<Notify>,
    /// Queries that have seen that they are cancelled.
    pub(crate) cancelled: Arc<AtomicUsize>,
    /// An analysis has ended.
    pub(crate) ended: Arc<Notify>,
    /// A `Cx` that an analysis left behind.
    pub(crate) left_behind: Arc<std::sync::Mutex<Option<Cx>>>,
}

impl Fake {
    pub(crate) fn new(name: &str, dialect: Dialect) -> Self {
        Self {
            about: about(name, dialect),
            tables: vec!["orders".to_owned(), "products".to_owned()],
            steps: Vec::new(),
            begun: Arc::default(),
            cancelled: Arc::default(),
            ended: Arc::default(),
            left_behind: Arc::default(),
        }
    }

    fn has(&self, table: &str) -> Result<(), QueryError> {
        self.tables.iter().any(|name| name == table).then_some(()).ok_or(QueryError::NoSuchTable)
    }
}

#[async_trait]
impl Source for Fake {
    fn about(&self) -> &About {
        &self.about
    }

    /// `SELECT 1` answers, anything else runs until it is cancelled.
    async fn query(&self, query: Query, cx: &Cx) -> Result<QueryAnswer, QueryError> {
        if query.sql == "SELECT 1" {
            let mut collector = Collector::new(vec!["one".to_owned()], vec!["integer".to_owned()], 1, 1024);
            collector.take(|_, _| Ok::<_, QueryError>((json!(1), false)))?;
            return Ok(collector.finish());
        }
        self.begun.notify_one();
        cx.cancelled.cancelled().await;
        self.cancelled.fetch_add(1, Ordering::SeqCst);
        Err(QueryError::Cancelled)
    }

    async fn list_tables(&self, filter: ListFilter, _: &Cx) -> Result<TableList, QueryError> {
        let part = filter.contains.unwrap_or_default();
        let after = filter.after.unwrap_or_default();
        let names = self.tables.iter().filter(|name| name.contains(&part) && **name > after);
        Ok(TableList { tables: names.map(|name| line(name, &["id", "name"])).collect(), truncated: false, next: None })
    }

    async fn describe_table(&self, table: &str, _: &Cx) -> Result<TableDetail, QueryError> {
        self.has(table).map(|()| detail(table))
    }

    async fn analyze_table(&self, table: &str, _: &[String], cx: &Cx) -> Result<TableAnalysis, QueryError> {
        self.has(table)?;
        *self.left_behind.lock().unwrap() = Some(cx.clone());
        for (done, total) in &self.steps {
            cx.progress(*done, *total, format!("step {done}")).await;
            tokio::task::yield_now().await;
        }
        self.ended.notify_one();
        Ok(TableAnalysis {
            name: table.to_owned(),
            rows: Some(3),
            rows_estimated: false,
            basis: "rows",
            rows_read: Some(3),
            columns: Vec::new(),
            note: None,
        })
    }

    async fn explain_query(&self, query: Query, _: &Cx) -> Result<Plan, QueryError> {
        let plan = vec![format!("SCAN for {} with {} parameters", query.sql, query.params.len())];
        Ok(Plan { plan, rows_estimated: None, cost_estimated: None, truncated: false })
    }

    async fn insert_record(&self, table: &str, values: Map<String, Value>, _: &Cx) -> Result<Inserted, QueryError> {
        if !self.about.inserts {
            return Err(QueryError::NotInsertable);
        }
        Ok(Inserted { table: table.to_owned(), row: values })
    }

    async fn table_names(&self, beginning: &str, _: &Cx) -> Result<Vec<String>, QueryError> {
        Ok(self.tables.iter().filter(|name| name.starts_with(beginning)).cloned().collect())
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
