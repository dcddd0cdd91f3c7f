//! A PostgreSQL database as a source: the order in which things happen. A statement of a caller passes the gate (`gate`), the
//! judge (`judge`), and runs inside of a query of ours (`wrap`, `query`) in a read-only transaction (`session`) on a connection
//! that nobody else uses meanwhile (`pool`, `connect`, `counted`), for no longer than its time (`clock`).

mod address;
mod arrays;
mod catalog;
mod cells;
mod clock;
mod connect;
mod counted;
mod documents;
mod error;
mod gate;
mod judge;
mod layers;
mod params;
mod plan;
mod pool;
mod query;
mod sample;
mod session;
mod types;
mod wrap;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use patchbay_sql_policy::{Judged, Refusal, TableName};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

pub(crate) use address::{config, hosts};
pub use catalog::{explorer_statements, role_sql};
pub use sample::create_sample_shop_in_postgres;

use super::{
    answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
    error::QueryError,
    source::{About, Cx, ListFilter, Query, Source},
};
use crate::OptionsError;
use catalog::{TableRules, Visible};
use clock::Clock;
use connect::Server;
use gate::Gate;
use layers::Layers;
use pool::Pool;
use query::Runner;
use session::{Beginning, Mode, Session};

/// What may come in for a question of ours about tables.
const CATALOG_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What the options say of a PostgreSQL database, checked.
#[derive(Debug)]
pub(crate) struct PostgresSettings {
    /// What the source is.
    pub(crate) about: About,
    /// Where it is and who we are there.
    pub(crate) config: tokio_postgres::Config,
    /// The schemas that may be read, in the order of looking up.
    pub(crate) schemas: Vec<String>,
    /// Names or globs of tables, with or without a schema; `None` is all.
    pub(crate) tables: Option<Vec<String>>,
    /// Tables that `insert_record` may add to.
    pub(crate) inserts: Vec<String>,
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// Certificates (PEM) that may sign the server's, beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Findings of the role probe that the operator accepts.
    pub(crate) accepted_risks: BTreeSet<String>,
    /// Databases of the gateway itself, which are no sources.
    pub(crate) off_limits: Vec<SecretString>,
}

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct PostgresSource {
    about: About,
    pool: Arc<Pool>,
    gate: Gate,
    beginning: Beginning,
    layers: Layers,
}

impl PostgresSource {
    /// Connects to nothing yet.
    pub(crate) fn new(settings: PostgresSettings) -> Result<Self, OptionsError> {
        Self::with_layers(settings, Layers::default())
    }

    fn with_layers(settings: PostgresSettings, layers: Layers) -> Result<Self, OptionsError> {
        if address::is_off_limits(&settings.config, &settings.off_limits) {
            return Err(OptionsError::OffLimits);
        }
        let about = settings.about;
        let rules = TableRules::new(&settings.schemas, settings.tables.as_deref(), &settings.inserts)?;
        let statement_max = session::statement_max(about.bounds.timeout);
        let server = Server::new(settings.config, settings.ca_file.as_deref(), statement_max)?;
        Ok(Self {
            pool: Arc::new(Pool::new(server, about.name.clone(), settings.connections_max)),
            gate: Gate::new(about.name.clone(), rules, checked_risks(settings.accepted_risks)?, layers.probe()),
            beginning: Beginning::new(about.bounds.timeout, &layers),
            about,
            layers,
        })
    }

    /// The tables that may be read, once the role's rights were found to be a reader's. `again` asks for new ones.
    async fn tables(&self, clock: &Clock, again: bool) -> Result<Arc<Visible>, QueryError> {
        if let Some(known) = self.gate.known(again) {
            return known;
        }
        let _turn = self.gate.turn().await;
        if let Some(known) = self.gate.known(again) {
            return known;
        }
        let session = self.begin(clock, Mode::Read).await?;
        let tables = self.gate.look(session.client()).await;
        session.done();
        tables
    }

    async fn begin(&self, clock: &Clock, mode: Mode) -> Result<Session, QueryError> {
        let (session, _) = Session::begin(&self.pool, clock, (&self.beginning, mode), CATALOG_BYTES_MAX, None).await?;
        Ok(session)
    }

    /// Asks something of our own about tables, in a transaction that only reads.
    async fn ask<T, F>(&self, clock: &Clock, question: F) -> Result<T, QueryError>
    where
        F: for<'a> FnOnce(&'a tokio_postgres::Client, &'a Visible) -> BoxFuture<'a, Result<T, QueryError>> + Send,
    {
        let tables = self.tables(clock, false).await?;
        let session = self.begin(clock, Mode::Read).await?;
        let answer = question(session.client(), &tables).await;
        session.done();
        answer
    }

    /// The table that a caller names: as it is listed, or with its schema in front.
    async fn table(&self, clock: &Clock, name: &str) -> Result<TableName, QueryError> {
        match self.tables(clock, false).await?.find(name) {
            Ok(table) => Ok(table),
            // It may be newer than what is known.
            Err(_) => self.tables(clock, true).await?.find(name),
        }
    }

    async fn judged(&self, clock: &Clock, query: &Query) -> Result<Judged, QueryError> {
        let tables = self.tables(clock, false).await?;
        #[cfg(test)]
        if !self.layers.judge() {
            return Ok(tests::unjudged(query));
        }
        let verdict = judge::verdict(query.sql.clone(), tables).await?;
        match verdict.outcome {
            Ok(judged) => Ok(judged),
            // The table may be newer than what is known.
            Err(_) if verdict.missed => {
                let tables = self.tables(clock, true).await?;
                judge::verdict(query.sql.clone(), tables).await?.outcome.map_err(|refusal| refused(&refusal))
            }
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    fn runner<'a>(&'a self, clock: &'a Clock) -> Runner<'a> {
        Runner { pool: &self.pool, clock, beginning: &self.beginning, layers: &self.layers, bounds: self.about.bounds }
    }

    async fn run<T, F>(&self, cx: &Cx, work: impl FnOnce(Arc<Clock>) -> F) -> Result<T, QueryError>
    where
        F: Future<Output = Result<T, QueryError>>,
    {
        Clock::run(self.about.bounds.timeout, cx, work).await
    }
}

/// What the judge has to say, for the caller: a text that could not be read, or one that asks for too much.
fn refused(refusal: &Refusal) -> QueryError {
    let code = match refusal.rule.code() {
        "E_FUNCTION" | "E_TABLE" | "E_TYPE" | "E_OPERATOR" | "E_COLLATION" | "E_CLAUSE" | "E_NOT_A_QUERY" => {
            "NOT_ALLOWED"
        }
        _ => "INVALID_SQL",
    };
    let place = refusal.position.map(|at| format!(" It is at character {at} of the text.")).unwrap_or_default();
    QueryError::Sql {
        code: code.to_owned(),
        message: format!("{refusal}{place}"),
        hint: refusal.rule.hint().to_owned(),
    }
}

/// The operator accepts risks by their names, so a name that is none is a mistake.
fn checked_risks(given: BTreeSet<String>) -> Result<BTreeSet<String>, OptionsError> {
    match given.iter().find(|name| !catalog::FINDINGS.contains(&name.as_str())) {
        Some(name) => {
            let known = catalog::FINDINGS.join(", ");
            Err(OptionsError::Meaning("accepted_risks".into(), format!("`{name}` is none of: {known}")))
        }
        None => Ok(given),
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn about(&self) -> &About {
        &self.about
    }

    async fn query(&self, query: Query, cx: &Cx) -> Result<QueryAnswer, QueryError> {
        self.run(cx, |clock| async move {
            let judged = self.judged(&clock, &query).await?;
            self.runner(&clock).query(&judged, &query).await
        })
        .await
    }

    async fn list_tables(&self, filter: ListFilter, cx: &Cx) -> Result<TableList, QueryError> {
        let bounds = self.about.bounds;
        self.run(cx, |clock| async move {
            self.ask(&clock, move |client, tables| {
                Box::pin(async move { catalog::list(client, tables, &filter, &bounds).await })
            })
            .await
        })
        .await
    }

    async fn describe_table(&self, table: &str, cx: &Cx) -> Result<TableDetail, QueryError> {
        self.run(cx, |clock| async move {
            let table = self.table(&clock, table).await?;
            self.ask(&clock, move |client, tables| {
                Box::pin(async move { catalog::describe(client, tables, &table).await })
            })
            .await
        })
        .await
    }

    async fn analyze_table(&self, table: &str, columns: &[String], cx: &Cx) -> Result<TableAnalysis, QueryError> {
        self.run(cx, |clock| async move {
            let table = self.table(&clock, table).await?;
            let tables = self.tables(&clock, false).await?;
            let session = self.begin(&clock, Mode::Read).await?;
            let analysis = catalog::analyze(session.client(), &tables, &table, columns, cx, clock.deadline()).await;
            session.done();
            analysis
        })
        .await
    }

    async fn explain_query(&self, query: Query, cx: &Cx) -> Result<Plan, QueryError> {
        self.run(cx, |clock| async move {
            let judged = self.judged(&clock, &query).await?;
            self.runner(&clock).plan(&judged, &query).await
        })
        .await
    }

    async fn insert_record(&self, table: &str, values: Map<String, Value>, cx: &Cx) -> Result<Inserted, QueryError> {
        if !self.about.inserts {
            return Err(QueryError::NotInsertable);
        }
        self.run(cx, |clock| async move {
            let table = self.table(&clock, table).await?;
            let tables = self.tables(&clock, false).await?;
            let session = self.begin(&clock, Mode::Write).await?;
            let bounds = &self.about.bounds;
            let inserted = match catalog::insert(session.client(), &tables, &table, &values, bounds).await {
                Ok(inserted) => session.commit().await.map(|()| inserted),
                Err(error) => Err(error),
            };
            session.done();
            inserted
        })
        .await
    }

    async fn table_names(&self, beginning: &str, cx: &Cx) -> Result<Vec<String>, QueryError> {
        self.run(cx, |clock| async move {
            let tables = self.tables(&clock, false).await?;
            Ok(tables.names().into_iter().filter(|name| name.starts_with(beginning)).collect())
        })
        .await
    }

    async fn check(&self) -> Result<(), String> {
        self.gate.forget();
        self.pool.forget_failure();
        let cx = Cx::new(CancellationToken::new(), None);
        let tables = self.run(&cx, |clock| async move { self.tables(&clock, true).await }).await;
        match tables {
            Ok(tables) if tables.names().is_empty() => {
                Err("The role may read none of the tables that the options name; GRANT SELECT on them, or correct the \
                     options `schemas` and `tables`."
                    .to_owned())
            }
            Ok(tables) if !tables.unmet().is_empty() => Err(format!(
                "`tables` or `inserts` name what is not there, or what the role may not read: {}. Correct the names, or GRANT \
                 SELECT on them.",
                tables.unmet().join(", ")
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(match (self.gate.closed(), self.pool.failure()) {
                (Some(findings), _) => {
                    format!(
                        "its role in the database may do more than reading. {findings} Take the rights away, or name what is accepted under `accepted_risks`."
                    )
                }
                (None, Some(why)) => format!("it cannot be connected to: {why}."),
                (None, None) => error.to_string(),
            }),
        }
    }
}
