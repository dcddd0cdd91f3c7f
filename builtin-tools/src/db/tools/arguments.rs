//! The arguments of a call, held against the schema that the tool has: what is unknown, missing or of another type is said in
//! words with which a model can correct its call. A model that guesses a name is told the right one.

mod nearest;

use rmcp::model::JsonObject;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::db::{
    error::QueryError,
    source::{ListFilter, Query},
};
pub(crate) use nearest::nearest;

/// Arguments of `query_database` and `explain_query`.
#[derive(Debug, Deserialize)]
pub(crate) struct OfQuery {
    pub(crate) source: Option<String>,
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
    limit: Option<u64>,
}

impl OfQuery {
    /// What the source is asked.
    pub(crate) fn into_query(self) -> Query {
        Query { sql: self.sql, params: self.params, limit: self.limit }
    }
}

/// Arguments of `list_tables`.
#[derive(Debug, Deserialize)]
pub(crate) struct OfList {
    pub(crate) source: Option<String>,
    schema: Option<String>,
    contains: Option<String>,
    after: Option<String>,
}

impl OfList {
    /// What the source is asked.
    pub(crate) fn into_filter(self) -> ListFilter {
        ListFilter { schema: self.schema, contains: self.contains, after: self.after }
    }
}

/// Arguments of `describe_table` and `analyze_table`.
#[derive(Debug, Deserialize)]
pub(crate) struct OfTable {
    pub(crate) source: Option<String>,
    pub(crate) table: String,
    #[serde(default)]
    pub(crate) columns: Vec<String>,
}

/// Arguments of `insert_record`.
#[derive(Debug, Deserialize)]
pub(crate) struct OfInsert {
    pub(crate) source: Option<String>,
    pub(crate) table: String,
    pub(crate) values: Map<String, Value>,
}

/// The arguments, if they fit the schema. A null stands for an argument that is left out, since some models write it so, and
/// the name of the only source may be given although nothing asks for it.
pub(crate) fn read<A: DeserializeOwned>(schema: &JsonObject, given: Option<JsonObject>) -> Result<A, QueryError> {
    let mut given = given.unwrap_or_default();
    let empty = JsonObject::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    given.retain(|name, value| !value.is_null() || required.contains(&name.as_str()) || !properties.contains_key(name));
    for (name, value) in &given {
        match properties.get(name) {
            Some(schema) => fits(schema, value, &format!("argument `{name}`")).map_err(QueryError::Arguments)?,
            None if name == "source" && value.is_string() => {}
            None => return Err(QueryError::Arguments(unknown(name, properties))),
        }
    }
    if let Some(name) = required.iter().find(|name| !given.contains_key(**name)) {
        let kind = properties.get(*name).map(expected).unwrap_or_default();
        return Err(QueryError::Arguments(format!("The argument `{name}` is missing; expected {kind}.")));
    }
    serde_json::from_value(Value::Object(given))
        .map_err(|error| QueryError::Arguments(format!("The arguments cannot be read: {error}.")))
}

fn unknown(name: &str, properties: &JsonObject) -> String {
    let shown: String = name.chars().take(64).collect();
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    let hint = match nearest(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "none is expected.".to_owned(),
        None => format!("expected are: {}.", known.join(", ")),
    };
    format!("There is no argument `{shown}`; {hint}")
}

/// Whether the value is what the schema says; if not, a sentence about it. Looks into lists and not into objects.
fn fits(schema: &Value, value: &Value, what: &str) -> Result<(), String> {
    let types = types(schema);
    if !types.is_empty() && !types.iter().any(|kind| is(kind, value)) {
        return Err(format!("The {what} is {}; expected {}.", kind_of(value), expected(schema)));
    }
    if let (Some(names), Some(name)) = (schema.get("enum").and_then(Value::as_array), value.as_str())
        && !names.iter().any(|known| known == name)
    {
        let name: String = name.chars().take(64).collect();
        return Err(format!("The {what} is `{name}`; expected {}.", expected(schema)));
    }
    if let (Some(least), Some(number)) = (schema.get("minimum").and_then(Value::as_i64), value.as_i64())
        && number < least
    {
        return Err(format!("The {what} is {number}; expected {least} or more."));
    }
    let Some(list) = value.as_array() else { return Ok(()) };
    if let Some(most) = schema.get("maxItems").and_then(Value::as_u64)
        && list.len() as u64 > most
    {
        return Err(format!("The {what} has {} entries; expected {most} at most.", list.len()));
    }
    let Some(items) = schema.get("items") else { return Ok(()) };
    list.iter().enumerate().try_for_each(|(at, item)| fits(items, item, &format!("entry {} of the {what}", at + 1)))
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => value.is_null(),
    }
}

/// What the schema wants, in words.
fn expected(schema: &Value) -> String {
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        let names: Vec<_> = names.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
        return format!("one of {}", names.join(", "));
    }
    let words = types(schema).into_iter().map(|kind| match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    });
    words.collect::<Vec<_>>().join(", or ")
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
