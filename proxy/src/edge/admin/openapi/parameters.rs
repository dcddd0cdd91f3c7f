//! What parameters look like, for all operations in one place: names and ids in paths, conditions, `Idempotency-Key`, and that
//! nothing in a query can be null.

use serde_json::{Map, Value as Json, json};

use super::Operation;

/// Names in paths, and one for the examples.
const NAMES: [(&str, &str); 4] = [("tenant", "acme"), ("server", "shop"), ("toolset", "default"), ("issuer", "corp")];
/// Ids in paths.
const IDS: [&str; 4] = ["id", "key", "revocation", "session"];
/// An id for the examples.
const ID: &str = "0190f5fe00007000a00000000000c0de";

/// The header of requests that are done once, among the components.
pub(super) fn components() -> Map<String, Json> {
    let about = "Your own word for this request, for example a UUID: however often it is sent with it, it is done once. For a \
                 day, the same request is given the first answer again.";
    let key = json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": about,
        "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
    });
    Map::from_iter([("IdempotencyKey".to_owned(), key)])
}

/// Completes the parameters of an operation.
pub(super) fn complete(operation: &Operation<'_>, parameters: &mut Vec<Json>) {
    for parameter in parameters.iter_mut() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        match parameter["in"].as_str() {
            Some("path") => in_path(parameter, &name),
            Some("query") => without_null(&mut parameter["schema"]),
            Some("header") => parameter["schema"] = json!({ "type": "string", "minLength": 1 }),
            _ => {}
        }
    }
    if operation.method == "post" {
        parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
}

fn in_path(parameter: &mut Json, name: &str) {
    if let Some((_, example)) = NAMES.iter().find(|(known, _)| *known == name) {
        parameter["schema"] = json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": 40 });
        parameter["example"] = json!(example);
    } else if IDS.contains(&name) {
        parameter["schema"] = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
        parameter["example"] = json!(ID);
    }
}

/// Absent is absent in a query, and never null.
fn without_null(schema: &mut Json) {
    let is_null = |schema: &Json| schema["type"] == "null";
    if let Some(kinds) = schema["type"].as_array().cloned() {
        let mut kinds: Vec<_> = kinds.into_iter().filter(|kind| kind != "null").collect();
        schema["type"] = if kinds.len() == 1 { kinds.remove(0) } else { Json::from(kinds) };
    }
    for word in ["oneOf", "anyOf"] {
        let Some(choices) = schema[word].as_array().cloned() else { continue };
        let mut rest: Vec<_> = choices.into_iter().filter(|choice| !is_null(choice)).collect();
        if rest.len() == 1 {
            *schema = rest.remove(0);
            return;
        }
        schema[word] = Json::from(rest);
    }
}
