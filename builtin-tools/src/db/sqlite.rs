//! A SQLite file as a source. No statement is judged by its text: SQLite's own authorizer decides on what the compiled
//! statement would do (`fence`, `access`), on a thread that is left behind when it outstays its deadline (`worker`).

mod access;
mod analyze;
mod bounds;
mod catalog;
mod cells;
mod explain;
mod fence;
mod functions;
mod insert;
mod list;
mod progress;
mod query;
mod sample;
mod schema;
mod stop;
mod warm;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time;

pub use sample::{Sample, SampleError, create_sample_shop};

use super::{
    answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
    error::QueryError,
    options,
    source::{About, Cx, ListFilter, Query, Source},
};
use crate::OptionsError;
use fence::Session;
use stop::Stop;
use warm::Warm;
use worker::Workers;

/// How long the file may take to answer when it is checked.
const CHECK_MAX: Duration = Duration::from_secs(10);

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
    /// The gateway's own files.
    off_limits: Vec<PathBuf>,
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
        let settings = Self { about, database, tables, inserts, off_limits: off_limits.to_owned() };
        if settings.is_off_limits() { Err(OptionsError::OffLimits) } else { Ok(settings) }
    }

    /// Whether the file is one of the gateway's own by now. Asked again at every opening, since files are moved.
    pub(crate) fn is_off_limits(&self) -> bool {
        self.off_limits.iter().any(|own| options::same_file(&self.database, own))
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
    warm: Arc<Warm>,
}

impl SqliteSource {
    /// Opens the file once, to check it.
    pub(crate) fn new(settings: SqliteSettings) -> Result<Self, OptionsError> {
        fence::check(&settings)?;
        Ok(Self { settings: Arc::new(settings), workers: Workers::default(), warm: Arc::default() })
    }

    /// Runs `job` on a session of its own, until it ends, its deadline passes or the caller cancels.
    async fn with_session<T: Send + 'static>(
        &self,
        cx: &Cx,
        job: impl FnOnce(Session) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let warm = Arc::clone(&self.warm);
        let result = self.on_thread(cx, move |settings, stop| job(Session::open(settings, &warm, stop)?)).await;
        self.warm.sweep();
        result
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        cx: &Cx,
        job: impl FnOnce(Arc<SqliteSettings>, &Arc<Stop>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let settings = Arc::clone(&self.settings);
        self.workers.run(self.about().bounds.timeout, &cx.cancelled, move |stop| job(settings, stop)).await
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
        self.with_session(cx, move |session| list::list(&session, &filter)).await
    }

    async fn describe_table(&self, table: &str, cx: &Cx) -> Result<TableDetail, QueryError> {
        let table = table.to_owned();
        self.with_session(cx, move |session| schema::describe(&session, &table)).await
    }

    async fn analyze_table(&self, table: &str, columns: &[String], cx: &Cx) -> Result<TableAnalysis, QueryError> {
        let (table, columns) = (table.to_owned(), columns.to_owned());
        let (teller, listener) = progress::channel();
        let work = self.with_session(cx, move |session| analyze::run(session, &table, &columns, &teller));
        listener.during(cx, work).await
    }

    async fn explain_query(&self, query: Query, cx: &Cx) -> Result<Plan, QueryError> {
        self.with_session(cx, move |session| explain::run(session, &query)).await
    }

    async fn insert_record(&self, table: &str, values: Map<String, Value>, cx: &Cx) -> Result<Inserted, QueryError> {
        let table = table.to_owned();
        self.on_thread(cx, move |settings, stop| insert::run(&settings, &table, &values, stop)).await
    }

    async fn table_names(&self, beginning: &str, cx: &Cx) -> Result<Vec<String>, QueryError> {
        let beginning = beginning.to_owned();
        self.with_session(cx, move |session| Ok(list::names(&session, &beginning))).await
    }

    async fn check(&self) -> Result<(), String> {
        let settings = Arc::clone(&self.settings);
        let checking = tokio::task::spawn_blocking(move || {
            fence::check(&settings).map_err(|error| error.to_string())?;
            if settings.inserts.is_empty() { Ok(()) } else { insert::check(&settings) }
        });
        match time::timeout(CHECK_MAX, checking).await {
            Ok(checked) => checked.map_err(|error| error.to_string())?,
            Err(_) => Err(format!("the file did not answer within {} s.", CHECK_MAX.as_secs())),
        }
    }
}
