//! What a source is and allows, as JSON, said without asking it.

use serde::Serialize;

use crate::db::{error::QueryError, source::About, tools::DataSource};

#[derive(Serialize)]
struct Info {
    #[serde(flatten)]
    source: DataSource,
    allowed: Allowed,
    explorer: Explorer,
}

#[derive(Serialize)]
struct Allowed {
    statements: &'static str,
    inserts: &'static str,
}

#[derive(Serialize)]
struct Explorer {
    name: &'static str,
    version: &'static str,
}

/// The page.
pub(crate) fn info(about: &About) -> Result<String, QueryError> {
    let inserts = match about.inserts {
        true => "insert_record, one row a call, into the tables that describe_table calls insertable",
        false => "none",
    };
    let info = Info {
        source: DataSource::of(about),
        allowed: Allowed {
            statements: "one SELECT, VALUES or WITH … SELECT a call, over the tables that list_tables shows",
            inserts,
        },
        explorer: Explorer { name: "patchbay-db", version: env!("CARGO_PKG_VERSION") },
    };
    serde_json::to_string_pretty(&info).map_err(|_| QueryError::Unavailable)
}
