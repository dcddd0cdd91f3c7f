//! What the tools take, as schemas. They are written out and not derived: they depend on the sources, and they keep to what
//! every client can read: one object, no references, plain types.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

use super::data_sources::parameters;
use crate::db::source::{About, Dialect};

/// The most parameters of a statement.
pub(crate) const PARAMS_MAX: usize = 250;
/// The most columns that a call names.
const COLUMNS_MAX: usize = 100;

/// A property's name, its schema, and whether it must be given.
type Property = (&'static str, Value, bool);

pub(crate) fn none() -> JsonObject {
    object([])
}

pub(crate) fn analyze(sources: &[&About]) -> JsonObject {
    let columns = json!({
        "type": "array",
        "items": { "type": "string" },
        "maxItems": COLUMNS_MAX,
        "description": "Only these columns. All, if left out."
    });
    object(source(sources).into_iter().chain([table(), ("columns", columns, false)]))
}

pub(crate) fn describe(sources: &[&About]) -> JsonObject {
    object(source(sources).into_iter().chain([table()]))
}

pub(crate) fn explain(sources: &[&About]) -> JsonObject {
    object(source(sources).into_iter().chain([sql(sources), params(sources)]))
}

pub(crate) fn insert(sources: &[&About]) -> JsonObject {
    let name = ("table", text("The name of a table that is `insertable`, as list_tables gives it."), true);
    let values = json!({
        "type": "object",
        "description": "The row's values by the names of their columns. Write dates, times and long numbers as text.",
        "additionalProperties": { "type": ["string", "number", "boolean", "null", "array", "object"] }
    });
    let open: Vec<_> = sources.iter().copied().filter(|about| about.inserts).collect();
    // It is named as soon as there are several sources, also where only one of them is open.
    let source = (sources.len() > 1).then(|| one_of(&open));
    object(source.into_iter().chain([name, ("values", values, true)]))
}

pub(crate) fn list(sources: &[&About]) -> JsonObject {
    let schema = sources.iter().any(|about| about.dialect == Dialect::Postgres).then(|| {
        let said = text("Only tables of this schema (PostgreSQL).");
        ("schema", said, false)
    });
    let contains = text("Only tables with this text in their names, in upper or lower case.");
    let after = text("Go on after this table: the `next` of an answer that was truncated.");
    let more = [("contains", contains, false), ("after", after, false)];
    object(source(sources).into_iter().chain(schema).chain(more))
}

pub(crate) fn query(sources: &[&About]) -> JsonObject {
    let rows_max = sources.iter().map(|about| about.bounds.rows_max).max().unwrap_or_default();
    let limit = json!({
        "type": "integer",
        "minimum": 1,
        "description": format!("The most rows to give; {rows_max} at most, also if left out.")
    });
    object(source(sources).into_iter().chain([sql(sources), params(sources), ("limit", limit, false)]))
}

/// The dialects of the sources, and how each writes parameters.
pub(crate) fn dialects(sources: &[&About]) -> String {
    let said = [Dialect::Sqlite, Dialect::Postgres]
        .into_iter()
        .filter(|dialect| sources.iter().any(|about| about.dialect == *dialect))
        .map(|dialect| format!("{} dialect, parameters {}", dialect.name(), parameters(dialect)));
    said.collect::<Vec<_>>().join("; or ")
}

fn sql(sources: &[&About]) -> Property {
    let said = format!("One SELECT, VALUES or WITH … SELECT statement ({}).", dialects(sources));
    ("sql", text(&said), true)
}

fn params(sources: &[&About]) -> Property {
    let mut types = vec!["string", "number", "boolean", "null"];
    if sources.iter().any(|about| about.dialect == Dialect::Postgres) {
        types.extend(["array", "object"]);
    }
    let schema = json!({
        "type": "array",
        "items": { "type": types },
        "maxItems": PARAMS_MAX,
        "description": "The values of the parameters, in order."
    });
    ("params", schema, false)
}

fn table() -> Property {
    ("table", text("The name of a table or view, as list_tables gives it."), true)
}

/// Which source; with only one there is nothing to say.
fn source(sources: &[&About]) -> Option<Property> {
    (sources.len() > 1).then(|| one_of(sources))
}

fn one_of(sources: &[&About]) -> Property {
    let names: Vec<_> = sources.iter().map(|about| about.name.as_str()).collect();
    let said = "The data source to ask; list_data_sources says what each is.";
    ("source", json!({ "type": "string", "enum": names, "description": said }), true)
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// Some clients refuse an object without `properties`, also where it has none.
fn object(all: impl IntoIterator<Item = Property>) -> JsonObject {
    let (mut properties, mut required) = (JsonObject::new(), Vec::new());
    for (name, schema, must) in all {
        properties.insert(name.to_owned(), schema);
        if must {
            required.push(Value::from(name));
        }
    }
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}
