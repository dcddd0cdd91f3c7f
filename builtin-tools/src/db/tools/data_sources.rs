//! The answer of `list_data_sources`: what can be asked here, said without asking any database.

use schemars::JsonSchema;
use serde::Serialize;

use crate::db::{
    resources::{self, Page},
    source::{About, Dialect},
};

/// The data sources of an explorer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DataSources {
    /// By name.
    pub(crate) sources: Vec<DataSource>,
}

/// One data source.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DataSource {
    /// What tools take as `source`.
    pub(crate) name: String,
    /// The SQL that it speaks: `SQLite` or `PostgreSQL`.
    pub(crate) dialect: &'static str,
    /// How parameters are written in it.
    pub(crate) parameters: &'static str,
    /// The most rows of one answer.
    pub(crate) rows_max: usize,
    /// The most bytes of one answer's rows, as JSON.
    pub(crate) bytes_max: usize,
    /// The most milliseconds of one call.
    pub(crate) timeout_ms: u64,
    /// Whether insert_record may add rows to some of its tables.
    pub(crate) insertable: bool,
    /// What can be read about it as resources.
    pub(crate) resources: Vec<String>,
}

/// What the sources are.
pub(crate) fn data_sources<'a>(abouts: impl Iterator<Item = &'a About>) -> DataSources {
    DataSources { sources: abouts.map(DataSource::of).collect() }
}

impl DataSource {
    /// Of one source.
    pub(crate) fn of(about: &About) -> Self {
        let page = |page: Page| page.uri(&about.name);
        Self {
            name: about.name.clone(),
            dialect: about.dialect.name(),
            parameters: parameters(about.dialect),
            rows_max: about.bounds.rows_max,
            bytes_max: about.bounds.bytes_max,
            timeout_ms: u64::try_from(about.bounds.timeout.as_millis()).unwrap_or(u64::MAX),
            insertable: about.inserts,
            resources: vec![
                page(Page::Overview),
                page(Page::Info),
                page(Page::Examples),
                resources::template(&about.name),
            ],
        }
    }
}

/// How parameters are written in the dialect.
pub(crate) const fn parameters(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "?1, ?2 …",
        Dialect::Postgres => "$1, $2 …",
    }
}

/// Bytes for people.
pub(crate) fn volume(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        bytes if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        bytes if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        bytes => format!("{bytes} bytes"),
    }
}

/// A time for people.
pub(crate) fn span(time: std::time::Duration) -> String {
    match time.as_millis() {
        ms if ms >= 1000 && ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}
