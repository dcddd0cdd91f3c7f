//! The texts that the DB explorer hands out beside its tools, and the URIs that lead to them:
//! `db://{source}/overview` and `db://{source}/tables/{table}/schema`.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

use super::{
    answer::{TableDetail, TableLine, TableList},
    error::QueryError,
};

pub(crate) const OVERVIEW_TYPE: &str = "text/markdown";
pub(crate) const SCHEMA_TYPE: &str = "application/json";

/// What a URI leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Table(String),
}

pub(crate) fn overview_uri(source: &str) -> String {
    format!("db://{source}/overview")
}

pub(crate) fn template(source: &str) -> String {
    format!("db://{source}/tables/{{table}}/schema")
}

/// Where the URI leads, if it is one of this source.
pub(crate) fn place(source: &str, uri: &str) -> Option<Place> {
    let path = uri.strip_prefix("db://")?.strip_prefix(source)?.strip_prefix('/')?;
    if path == "overview" {
        return Some(Place::Overview);
    }
    let table = path.strip_prefix("tables/")?.strip_suffix("/schema")?;
    if table.is_empty() || table.contains('/') {
        return None;
    }
    percent_decode_str(table).decode_utf8().ok().map(|name| Place::Table(name.into_owned()))
}

/// The whole source on one page.
pub(crate) fn overview(source: &str, list: &TableList) -> String {
    let mut text = format!("# Database `{source}`\n\nSQLite, read-only.\n\n");
    for table in &list.tables {
        // Writing to a String does not fail.
        let _ = writeln!(text, "- `{}` ({}): {}", table.name, size(table), table.columns.join(", "));
    }
    if list.truncated {
        text.push_str("\nThere are more tables than are listed here.\n");
    }
    text
}

fn size(table: &TableLine) -> String {
    match table.rows {
        Some(rows) if table.rows_at_least => format!("{}, more than {rows} rows", table.kind),
        Some(rows) => format!("{}, {rows} rows", table.kind),
        None => table.kind.to_owned(),
    }
}

pub(crate) fn schema(table: &TableDetail) -> Result<String, QueryError> {
    serde_json::to_string_pretty(table).map_err(|_| QueryError::Unavailable)
}

/// The prompt of the data analyst.
pub(crate) fn analyst(question: &str, overview: &str) -> String {
    format!(
        "Answer this question from the database below: {question}\n\n\
         Work in small steps. Look at a table with describe_table before you rely on the meaning of a column. Query with \
         query_database: let SQL do the counting and summing, put values into `params`, and keep answers small. If an \
         answer says that it is truncated, narrow the query instead of guessing the rest. End with the answer in one or two \
         sentences, the numbers behind it, the SQL that gave them, and what the data cannot tell.\n\n{overview}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_other_sources_and_odd_paths_lead_nowhere() {
        for uri in [
            "db://other/overview",
            "db://shop2/overview",
            "db://shop",
            "db://shop/",
            "db://shop/tables//schema",
            "db://shop/tables/a/b/schema",
            "db://shop/tables/a",
            "db://shop/tables/%ff/schema",
            "file:///etc/passwd",
        ] {
            assert_eq!(place("shop", uri), None, "{uri}");
        }
    }

    #[test]
    fn uri_of_a_table_is_decoded_once() {
        assert_eq!(place("shop", "db://shop/overview"), Some(Place::Overview));
        assert_eq!(place("shop", "db://shop/tables/a%20b%252F/schema"), Some(Place::Table("a b%2F".to_owned())));
    }
}
