//! Finds the secrets of a document that was checked: whatever its schema calls `writeOnly`. Called where references in tenant
//! files are replaced before they are sent away.

use serde_json::Value as Json;

use super::want::{Kind, Want};
use crate::path::FieldPath;

/// Shows each text that is a secret, with its place.
pub(crate) fn each_secret(document: &mut Json, schema: &Json, visit: &mut dyn FnMut(&FieldPath, &mut String)) {
    walk(document, Want::of(schema, schema, false), schema, &FieldPath::default(), visit);
}

fn walk(
    json: &mut Json,
    want: Want<'_>,
    root: &Json,
    field: &FieldPath,
    visit: &mut dyn FnMut(&FieldPath, &mut String),
) {
    match (want.kind, json) {
        (Kind::Fields, Json::Object(members)) => {
            for (key, value) in members {
                let below = Want::of(&want.schema["properties"][key], root, want.secret);
                walk(value, below, root, &field.key(key), visit);
            }
        }
        (Kind::Map, Json::Object(members)) => {
            let below = Want::of(&want.schema["additionalProperties"], root, want.secret);
            for (key, value) in members {
                walk(value, below, root, &field.key(key), visit);
            }
        }
        (Kind::List, Json::Array(items)) => {
            let below = Want::of(&want.schema["items"], root, want.secret);
            for (at, item) in items.iter_mut().enumerate() {
                walk(item, below, root, &field.index(at), visit);
            }
        }
        (Kind::Text, Json::String(text)) if want.secret => visit(field, text),
        _ => {}
    }
}
