//! The schemas of answers, derived from their types and then made plain: clients choke on references, on formats that no
//! standard knows (`uint64`), and on members that may be null but never are.

use rmcp::model::JsonObject;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// What an answer looks like; an object, as every structured answer is.
pub(crate) fn output<R: JsonSchema>() -> JsonObject {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = match settings.into_generator().into_root_schema_for::<R>().to_value() {
        Value::Object(schema) => schema,
        // Not an object only for a type that takes anything, and there is no such answer.
        _ => JsonObject::new(),
    };
    schema.remove("description");
    plain(&mut schema);
    schema
}

fn plain(schema: &mut JsonObject) {
    schema.remove("title");
    schema.remove("format");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        // The lines of a doc comment are not those of whoever reads it there.
        *description = description.replace('\n', " ");
    }
    let required: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties {
            let Value::Object(property) = property else { continue };
            plain(property);
            if !required.iter().any(|required| required == name) {
                never_null(property);
            }
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(inner) {
            plain(inner);
        }
    }
}

/// A member that is left out when there is nothing to say is no null.
fn never_null(property: &mut JsonObject) {
    let Some(Value::Array(types)) = property.get("type") else { return };
    let one = match &**types {
        [one, null] if null == "null" => one.clone(),
        _ => return,
    };
    property.insert("type".to_owned(), one);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{
        answer::{Inserted, Plan, QueryAnswer, TableAnalysis, TableDetail, TableList},
        tools::DataSources,
    };

    /// Every schema in it, itself first.
    fn all(schema: &Value) -> Vec<&Value> {
        let inner = ["items", "additionalProperties"].into_iter().filter_map(|member| schema.get(member));
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
        [schema].into_iter().chain(inner.chain(properties).flat_map(all)).collect()
    }

    #[test]
    fn schemas_have_only_words_that_every_client_reads() {
        let known =
            ["type", "description", "properties", "required", "items", "additionalProperties", "minimum", "maximum"];
        for schema in [
            output::<DataSources>(),
            output::<Inserted>(),
            output::<Plan>(),
            output::<QueryAnswer>(),
            output::<TableAnalysis>(),
            output::<TableDetail>(),
            output::<TableList>(),
        ] {
            let schema = Value::Object(schema);
            for part in all(&schema) {
                let part = part.as_object().unwrap_or_else(|| panic!("{part} is no object, in {schema:#}"));
                assert!(part.contains_key("type"), "a schema without a type: {part:?}");
                for word in part.keys() {
                    assert!(known.contains(&word.as_str()), "{word} in {part:?}");
                }
            }
        }
    }
}
