//! What the DB explorer lets clients read beside its tools, and the URIs that lead there: `db://{source}/overview`, `/info`,
//! `/examples` and `/tables/{table}/schema`. The texts are in `overview`, `info` and `examples`; who reads them is in
//! `handler::reading`.

mod examples;
mod info;
mod overview;

use percent_encoding::percent_decode_str;
use rmcp::model::{Resource, ResourceTemplate};

use super::{answer::TableDetail, error::QueryError, source::About};
pub(crate) use examples::examples;
pub(crate) use info::info;
pub(crate) use overview::overview;

/// The argument of the template.
pub(crate) const TABLE_ARGUMENT: &str = "table";

/// A page about a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Overview,
    Info,
    Examples,
    /// The schema of one table.
    Table(String),
}

impl Page {
    /// Where the page of that source is.
    pub(crate) fn uri(&self, source: &str) -> String {
        match self {
            Self::Overview => format!("db://{source}/overview"),
            Self::Info => format!("db://{source}/info"),
            Self::Examples => format!("db://{source}/examples"),
            Self::Table(table) => {
                let table = percent_encoding::utf8_percent_encode(table, percent_encoding::NON_ALPHANUMERIC);
                format!("db://{source}/tables/{table}/schema")
            }
        }
    }

    /// What it is written in.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Overview | Self::Examples => "text/markdown",
            Self::Info | Self::Table(_) => "application/json",
        }
    }
}

/// The template of a source's table schemas.
pub(crate) fn template(source: &str) -> String {
    format!("db://{source}/tables/{{{TABLE_ARGUMENT}}}/schema")
}

/// The source and the page that a URI names. Whether there is such a source and such a table is another question.
pub(crate) fn place(uri: &str) -> Option<(&str, Page)> {
    let (source, path) = uri.strip_prefix("db://")?.split_once('/')?;
    let page = match path {
        "overview" => Page::Overview,
        "info" => Page::Info,
        "examples" => Page::Examples,
        path => {
            let table = path.strip_prefix("tables/")?.strip_suffix("/schema")?;
            if table.is_empty() || table.contains('/') {
                return None;
            }
            Page::Table(percent_decode_str(table).decode_utf8().ok()?.into_owned())
        }
    };
    Some((source, page))
}

/// The pages that have a fixed place.
pub(crate) fn all(sources: &[&About]) -> Vec<Resource> {
    let pages = |about: &&About| {
        let name = about.name.clone();
        [
            (Page::Overview, "overview", "Overview", "All tables and views with their columns and sizes, on one page."),
            (
                Page::Info,
                "info",
                "Server info",
                "Dialect, bounds and rights of this source, and the explorer's version.",
            ),
            (Page::Examples, "examples", "Query examples", "Queries in this source's dialect, over its own tables."),
        ]
        .map(|(page, short, title, description)| {
            Resource::new(page.uri(&name), format!("{name}-{short}"))
                .with_title(format!("{title} of the database {name}"))
                .with_description(description)
                .with_mime_type(page.kind())
        })
    };
    sources.iter().flat_map(pages).collect()
}

/// One template for each source, so that its tables can be completed.
pub(crate) fn templates(sources: &[&About]) -> Vec<ResourceTemplate> {
    let one = |about: &&About| {
        ResourceTemplate::new(template(&about.name), format!("{}-table-schema", about.name))
            .with_title(format!("Schema of a table of the database {}", about.name))
            .with_description("The columns, keys, indexes and constraints of one table or view.")
            .with_mime_type(Page::Table(String::new()).kind())
    };
    sources.iter().map(one).collect()
}

/// The page of a table.
pub(crate) fn schema(table: &TableDetail) -> Result<String, QueryError> {
    serde_json::to_string_pretty(table).map_err(|_| QueryError::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_uris_lead_nowhere() {
        for uri in [
            "db://shop",
            "db://shop/",
            "db://shop/overview/",
            "db://shop/Overview",
            "db://shop/tables//schema",
            "db://shop/tables/a/b/schema",
            "db://shop/tables/a",
            "db://shop/tables/%ff/schema",
            "file:///etc/passwd",
        ] {
            assert_eq!(place(uri), None, "{uri}");
        }
    }

    #[test]
    fn uri_of_a_table_is_decoded_once() {
        assert_eq!(place("db://shop/overview"), Some(("shop", Page::Overview)));
        assert_eq!(place("db://shop/tables/a%20b%252F/schema"), Some(("shop", Page::Table("a b%2F".to_owned()))));
    }

    #[test]
    fn every_table_has_a_uri_that_leads_back_to_it() {
        for table in ["orders", "public.orders", "a b/c", "100%", "größe?#", "%2F"] {
            let page = Page::Table(table.to_owned());
            assert_eq!(place(&page.uri("shop")), Some(("shop", Page::Table(table.to_owned()))));
        }
    }
}
