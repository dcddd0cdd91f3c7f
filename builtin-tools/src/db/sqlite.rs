//! A SQLite file as a source. No statement is judged by its text: SQLite's own authorizer decides on what the compiled
//! statement would do (`fence`, `access`), on a thread that is left behind when it outstays its deadline (`worker`).

mod access;
mod bounds;
mod cells;
mod fence;
mod functions;
mod query;
mod sample;
mod schema;
mod worker;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use serde_json::{Map, Value};

pub use sample::{Sample, SampleError, create_sample_shop};

use super::{
    answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
    error::QueryError,
    options,
    source::{About, Cx, ListFilter, Query, Source},
};
use crate::OptionsError;
use fence::Session;
use worker::Workers;

/// What the options say of a SQLite file, checked.
#[derive(Debug)]
pub(crate) struct SqliteSettings {
    pub(crate) about: About,
    /// Canonical, so that neither a relative name nor a `file:` URI reaches SQLite.
    pub(crate) database: PathBuf,
    /// In lower case, since SQLite compares names so; `None` allows all tables of the database.
    pub(crate) tables: Option<BTreeSet<String>>,
    /// In lower case: the tables that rows may be added to.
    pub(crate) inserts: BTreeSet<String>,
}

impl SqliteSettings {
    /// Checks that the file is there and is none of `off_limits`.
    pub(crate) fn new(
        about: About,
        path: &Path,
        tables: Option<BTreeSet<String>>,
        inserts: BTreeSet<String>,
        off_limits: &[PathBuf],
    ) -> Result<Self, OptionsError> {
        let database = canonical(path)?;
        match off_limits.iter().any(|own| options::same_file(&database, own)) {
            true => Err(OptionsError::OffLimits),
            false => Ok(Self { about, database, tables, inserts }),
        }
    }
}

fn canonical(path: &Path) -> Result<PathBuf, OptionsError> {
    let refuse = |reason: String| OptionsError::Database { path: path.to_owned(), reason };
    let canonical = fs::canonicalize(path).map_err(|error| refuse(error.to_string()))?;
    match fs::metadata(&canonical) {
        Ok(metadata) if metadata.is_file() => Ok(canonical),
        Ok(_) => Err(refuse("it is not a regular file".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// A SQLite file.
#[derive(Debug)]
pub(crate) struct SqliteSource {
    settings: Arc<SqliteSettings>,
    workers: Workers,
}

impl SqliteSource {
    /// Opens the file once, to check it.
    pub(crate) fn new(settings: SqliteSettings) -> Result<Self, OptionsError> {
        let settings = Arc::new(settings);
        fence::check(&settings)?;
        Ok(Self { settings, workers: Workers::default() })
    }

    /// Runs `job` on a session of its own, until it ends, its deadline passes or the caller cancels.
    async fn with_session<T: Send + 'static>(
        &self,
        cx: &Cx,
        job: impl FnOnce(Session) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let settings = Arc::clone(&self.settings);
        let timeout = settings.about.bounds.timeout;
        tokio::select! {
            result = self.workers.run(timeout, move |stop| job(Session::open(settings, stop)?)) => result,
            () = cx.cancelled.cancelled() => Err(QueryError::Cancelled),
        }
    }
}

#[async_trait]
impl Source for SqliteSource {
    fn about(&self) -> &About {
        &self.settings.about
    }

    async fn query(&self, wanted: Query, cx: &Cx) -> Result<QueryAnswer, QueryError> {
        self.with_session(cx, move |session| query::run(session, &wanted)).await
    }

    async fn list_tables(&self, filter: ListFilter, cx: &Cx) -> Result<TableList, QueryError> {
        self.with_session(cx, move |session| schema::list(&session, &filter)).await
    }

    async fn describe_table(&self, table: &str, cx: &Cx) -> Result<TableDetail, QueryError> {
        let table = table.to_owned();
        self.with_session(cx, move |session| schema::describe(&session, &table)).await
    }

    async fn analyze_table(&self, _table: &str, _columns: &[String], _cx: &Cx) -> Result<TableAnalysis, QueryError> {
        Err(QueryError::Unavailable)
    }

    async fn explain_query(&self, _query: Query, _cx: &Cx) -> Result<Plan, QueryError> {
        Err(QueryError::Unavailable)
    }

    async fn insert_record(&self, _table: &str, _values: Map<String, Value>, _cx: &Cx) -> Result<Inserted, QueryError> {
        Err(QueryError::NotInsertable)
    }

    async fn table_names(&self, beginning: &str, cx: &Cx) -> Result<Vec<String>, QueryError> {
        let beginning = beginning.to_owned();
        self.with_session(cx, move |session| Ok(schema::names(&session, &beginning))).await
    }

    async fn check(&self) -> Result<(), String> {
        let settings = Arc::clone(&self.settings);
        let checked = tokio::task::spawn_blocking(move || fence::check(&settings)).await;
        checked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}
