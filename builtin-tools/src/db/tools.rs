//! The tools of the DB explorer as clients see them: names, descriptions, schemas, and the arguments they take.
//! What they do is in `query` and `schema`; `handler` connects the two.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    answer::{QueryAnswer, TableDetail, TableList},
    error::QueryError,
    source::Query,
};

pub(crate) const QUERY: &str = "query_database";
pub(crate) const LIST: &str = "list_tables";
pub(crate) const DESCRIBE: &str = "describe_table";

/// The most parameters of a statement.
pub(crate) const PARAMS_MAX: usize = 250;

/// Arguments of `query_database`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryArguments {
    /// One SELECT, VALUES or WITH … SELECT statement, in SQLite's dialect. Write parameters as ?1, ?2 …
    sql: String,
    /// The values of the parameters, in order.
    #[serde(default)]
    #[schemars(schema_with = "params_schema")]
    params: Vec<Value>,
    /// The most rows to answer; fewer if the source has a lower bound.
    #[schemars(schema_with = "limit_schema")]
    limit: Option<u64>,
}

fn params_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "type": ["string", "number", "boolean", "null"] },
        "maxItems": PARAMS_MAX
    })
}

fn limit_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 1 })
}

impl From<QueryArguments> for Query {
    fn from(arguments: QueryArguments) -> Self {
        Self { sql: arguments.sql, params: arguments.params, limit: arguments.limit }
    }
}

/// Arguments of `list_tables`: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListArguments {}

/// Arguments of `describe_table`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DescribeArguments {
    /// The name of a table or view, as list_tables gives it.
    pub(crate) table: String,
}

/// The tools, the same for every source.
pub(crate) static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        tool::<DescribeArguments, TableDetail>(
            DESCRIBE,
            "Describe a table",
            "Shows the columns, keys and indexes of one table or view.",
        ),
        tool::<ListArguments, TableList>(
            LIST,
            "List tables",
            "Lists the tables and views of this database with their columns and row counts. Call it first.",
        ),
        tool::<QueryArguments, QueryAnswer>(
            QUERY,
            "Query the database",
            "Runs one read-only SQL query (SQLite dialect) and gives its rows. Put values into `params` and not into the \
             text. Rows, bytes and time are bounded; an answer that is not whole says so in `truncated` and `note`.",
        ),
    ]
});

fn tool<A: JsonSchema + 'static, R: JsonSchema + 'static>(
    name: &'static str,
    title: &'static str,
    description: &'static str,
) -> Tool {
    let mut tool = Tool::new(name, description, JsonObject::default()).with_input_schema::<A>();
    // Some clients refuse an object schema without this member, also when there is nothing to say in it.
    Arc::make_mut(&mut tool.input_schema).entry("properties").or_insert_with(|| JsonObject::default().into());
    let hints =
        ToolAnnotations::with_title(title).read_only(true).destructive(false).idempotent(true).open_world(false);
    tool.with_title(title).with_output_schema::<R>().with_annotations(hints)
}

/// The arguments of a call, or what is wrong with them in words for the model.
pub(crate) fn arguments<A: DeserializeOwned>(given: Option<JsonObject>) -> Result<A, QueryError> {
    serde_json::from_value(Value::Object(given.unwrap_or_default()))
        .map_err(|error| QueryError::Arguments(format!("The arguments cannot be read: {error}.")))
}

/// The result of a call: structured, with the same JSON as text for clients that show only text.
pub(crate) fn result<T: Serialize>(answer: Result<T, QueryError>) -> CallToolResult {
    match answer.and_then(|answer| serde_json::to_value(answer).map_err(|_| QueryError::Unavailable)) {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_text())]),
    }
}

/// The tool of that name.
pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == Cow::Borrowed(name))
}
