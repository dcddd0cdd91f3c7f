//! A PostgreSQL database as a source.

#[allow(dead_code, unused_imports, reason = "the source asks it as soon as it has connections")]
mod catalog;
mod sample;

use std::{collections::BTreeSet, path::PathBuf};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

pub use catalog::{explorer_statements, role_sql};
pub use sample::create_sample_shop_in_postgres;

use super::{
    answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
    error::QueryError,
    source::{About, Cx, ListFilter, Query, Source},
};
use crate::OptionsError;

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

/// Reads a connection URL. A URL that is not `is_secret` stands in plain options and must not have a password.
pub(crate) fn config(url: &SecretString, is_secret: bool) -> Result<tokio_postgres::Config, OptionsError> {
    // The parser's error quotes nothing of the URL.
    let parsed: Result<tokio_postgres::Config, _> = url.expose_secret().parse();
    let config =
        parsed.map_err(|error| OptionsError::Meaning("database".into(), format!("the URL is not one: {error}")))?;
    if !is_secret && config.get_password().is_some() {
        let advice = "a URL with a password belongs under `secrets`; name it here as `secret:NAME`";
        return Err(OptionsError::Meaning("database".into(), advice.into()));
    }
    Ok(config)
}

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct PostgresSource {
    settings: PostgresSettings,
}

impl PostgresSource {
    /// Connects to nothing yet.
    pub(crate) fn new(settings: PostgresSettings) -> Result<Self, OptionsError> {
        Ok(Self { settings })
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn about(&self) -> &About {
        &self.settings.about
    }

    async fn query(&self, _query: Query, _cx: &Cx) -> Result<QueryAnswer, QueryError> {
        Err(QueryError::Unavailable)
    }

    async fn list_tables(&self, _filter: ListFilter, _cx: &Cx) -> Result<TableList, QueryError> {
        Err(QueryError::Unavailable)
    }

    async fn describe_table(&self, _table: &str, _cx: &Cx) -> Result<TableDetail, QueryError> {
        Err(QueryError::Unavailable)
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

    async fn table_names(&self, _beginning: &str, _cx: &Cx) -> Result<Vec<String>, QueryError> {
        Err(QueryError::Unavailable)
    }

    async fn check(&self) -> Result<(), String> {
        Err(format!("no PostgreSQL at {:?}", self.settings.config.get_hosts()))
    }
}
