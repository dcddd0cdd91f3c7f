//! The tools as clients see them: names, titles, descriptions, hints. `inputs` has what they take, `arguments` reads it from a
//! call, `schema` makes the schemas of what they answer, `data_sources` is the one answer that no source gives. What tools
//! do is in `handler::calls`.

pub(crate) mod arguments;
mod data_sources;
mod inputs;
mod schema;

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;

use super::{
    answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
    source::About,
};
pub(crate) use data_sources::{DataSource, DataSources, data_sources, span, volume};
pub(crate) use inputs::PARAMS_MAX;

pub(crate) const ANALYZE: &str = "analyze_table";
pub(crate) const DESCRIBE: &str = "describe_table";
pub(crate) const EXPLAIN: &str = "explain_query";
pub(crate) const INSERT: &str = "insert_record";
pub(crate) const LIST: &str = "list_tables";
pub(crate) const QUERY: &str = "query_database";
pub(crate) const SOURCES: &str = "list_data_sources";

/// The tools over these sources, by name.
pub(crate) fn all(sources: &[&About]) -> Vec<Tool> {
    let mut tools = vec![analyze(sources), describe(sources), explain(sources)];
    if sources.iter().any(|about| about.inserts) {
        tools.push(insert(sources));
    }
    tools.extend([list_sources(), list(sources), query(sources)]);
    tools
}

fn analyze(sources: &[&About]) -> Tool {
    reading::<TableAnalysis>(
        ANALYZE,
        "Analyze a table",
        "Says what is in a table: how many rows it has and, by column, the share of NULLs, how many values differ, the least \
         and the greatest, and samples. A large table is judged by statistics or a sample; `basis` says which. Pass \
         `columns` where only some matter; it is faster.",
        inputs::analyze(sources),
    )
}

fn describe(sources: &[&About]) -> Tool {
    reading::<TableDetail>(
        DESCRIBE,
        "Describe a table",
        "Shows the columns with their types and defaults, the primary key, foreign keys both ways, indexes and constraints of \
         one table or view.",
        inputs::describe(sources),
    )
}

fn explain(sources: &[&About]) -> Tool {
    reading::<Plan>(
        EXPLAIN,
        "Explain a query",
        "Shows how the database would run a query, without running it. Use it before a query over large tables, and after one \
         that took too long.",
        inputs::explain(sources),
    )
}

fn insert(sources: &[&About]) -> Tool {
    let hints = ToolAnnotations::with_title("Insert a record").read_only(false).destructive(false).idempotent(false);
    tool::<Inserted>(
        INSERT,
        "Insert a record",
        "Adds one row to a table that was opened for it (describe_table says `insertable`), and shows the row as it is then. \
         Columns that are left out get their defaults. Calling it again adds another row.",
        inputs::insert(sources),
        hints.open_world(false),
    )
}

fn list_sources() -> Tool {
    reading::<DataSources>(
        SOURCES,
        "List data sources",
        "Lists the databases that can be asked here: their names, their SQL dialects, the bounds of an answer, and the URIs of \
         their resources.",
        inputs::none(),
    )
}

fn list(sources: &[&About]) -> Tool {
    reading::<TableList>(
        LIST,
        "List tables",
        "Lists tables and views with their columns and sizes. Call it before writing a query. Where it says `truncated`, \
         narrow it by `contains`, or pass `next` as `after` to go on.",
        inputs::list(sources),
    )
}

fn query(sources: &[&About]) -> Tool {
    let description = format!(
        "Runs one read-only SQL query ({}) and gives its rows. Put values into `params` and not into the text. {} An answer \
         that is not whole says so in `truncated`, and in `note` how to go on.",
        inputs::dialects(sources),
        bounds(sources)
    );
    reading::<QueryAnswer>(QUERY, "Query the database", description, inputs::query(sources))
}

/// The bounds of the sources in a sentence, where they are the same.
fn bounds(sources: &[&About]) -> String {
    let said = |about: &About| {
        let bounds = about.bounds;
        format!(
            "At most {} rows and {} come back, within {}.",
            bounds.rows_max,
            volume(bounds.bytes_max),
            span(bounds.timeout)
        )
    };
    let first = sources.first().map(|about| said(about)).unwrap_or_default();
    if sources.iter().all(|about| said(about) == first) {
        first
    } else {
        "Rows, bytes and time are bounded; list_data_sources tells how.".to_owned()
    }
}

fn reading<R: JsonSchema>(
    name: &'static str,
    title: &'static str,
    description: impl Into<String>,
    input: JsonObject,
) -> Tool {
    let hints = ToolAnnotations::with_title(title).read_only(true).destructive(false).idempotent(true);
    tool::<R>(name, title, description, input, hints.open_world(false))
}

fn tool<R: JsonSchema>(
    name: &'static str,
    title: &'static str,
    description: impl Into<String>,
    input: JsonObject,
    hints: ToolAnnotations,
) -> Tool {
    Tool::new(name, description.into(), Arc::new(input))
        .with_title(title)
        .with_raw_output_schema(Arc::new(schema::output::<R>()))
        .with_annotations(hints)
}

#[cfg(test)]
pub(crate) fn find_in<'a>(tools: &'a [Tool], name: &str) -> &'a Tool {
    tools.iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("no tool {name}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};

    use super::*;
    use crate::db::fake::about;
    use crate::db::source::Dialect;

    #[test]
    fn tools_are_in_order_and_the_same_each_time() {
        let (shop, log) = (about("shop", Dialect::Sqlite), about("log", Dialect::Postgres));
        for sources in [&[&shop][..], &[&log, &shop]] {
            let tools = all(sources);
            assert!(tools.is_sorted_by_key(|tool| tool.name.clone()));
            let text = |tools: &[Tool]| serde_json::to_string(tools).unwrap();
            assert_eq!(text(&tools), text(&all(sources)));
        }
    }

    /// Holds it against the file, byte for byte. With `PATCHBAY_BLESS` set the file is written instead, to be read in review.
    fn assert_same(expected: &str, found: &Value, file: &str) {
        let found = format!("{found:#}\n");
        if std::env::var_os("PATCHBAY_BLESS").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/db/tools").join(file);
            return fs::write(path, found).unwrap();
        }
        let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
        assert!(expected == found, "{file} says otherwise, first here: {differs:?}; PATCHBAY_BLESS=1 writes it anew");
    }

    /// What clients and models see, word for word: a change here is a change for everybody who uses it.
    #[test]
    fn tools_of_one_source_are_these() {
        let mut shop = about("shop", Dialect::Sqlite);
        shop.inserts = true;
        assert_same(include_str!("tools/one_source.json"), &json!(all(&[&shop])), "one_source.json");
    }

    #[test]
    fn tools_of_several_sources_take_these() {
        let (mut shop, log) = (about("shop", Dialect::Sqlite), about("log", Dialect::Postgres));
        shop.inserts = true;
        let tools = all(&[&log, &shop]);
        let inputs: Vec<_> = tools.iter().map(|tool| (&tool.name, &tool.description, &tool.input_schema)).collect();
        assert_same(include_str!("tools/several_sources.json"), &json!(inputs), "several_sources.json");
    }

    #[test]
    fn adding_rows_is_offered_only_where_a_source_opens_a_table() {
        let (mut shop, log) = (about("shop", Dialect::Sqlite), about("log", Dialect::Postgres));
        let has_insert = |sources: &[&About]| all(sources).iter().any(|tool| tool.name == INSERT);
        assert!(!has_insert(&[&log, &shop]));
        shop.inserts = true;
        assert!(has_insert(&[&log, &shop]));
        // Only the source that has such a table can be named.
        let insert = insert(&[&log, &shop]);
        assert_eq!(insert.input_schema["properties"]["source"]["enum"], json!(["shop"]));
    }

    #[test]
    fn bounds_are_said_where_they_hold_for_every_source() {
        let (shop, mut log) = (about("shop", Dialect::Sqlite), about("log", Dialect::Postgres));
        assert_eq!(bounds(&[&log, &shop]), "At most 200 rows and 1 MiB come back, within 5 s.");
        log.bounds.rows_max = 10;
        assert!(bounds(&[&log, &shop]).contains("list_data_sources"));
    }
}
