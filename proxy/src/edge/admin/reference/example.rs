//! Examples: a value of a schema, and the `curl` that sends a request. Bodies that the document has an example of are shown so.

use serde_json::{Map, Value as Json, json};

use super::fields::{Shapes, kind, words_of};

/// How deep an example goes into a schema.
const EXAMPLE_DEPTH_MAX: usize = 4;
/// Fields that an example has of one object.
const EXAMPLE_FIELDS_MAX: usize = 16;

/// A value as the schema has it, with the fields that are always there and some that may be.
pub(super) fn value(shapes: Shapes<'_>, schema: &Json) -> Json {
    value_at(shapes, Field { owner: "", name: "" }, schema, 0)
}

/// The field that a value is for, and the shape that has the field.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    owner: &'a str,
    name: &'a str,
}

fn value_at(shapes: Shapes<'_>, field: Field<'_>, schema: &Json, depth: usize) -> Json {
    for word in ["example", "default"] {
        if let Some(given) = schema.get(word).filter(|given| !given.is_null()) {
            return given.clone();
        }
    }
    if let Some(given) = shapes.resolve(schema)["examples"].get(0) {
        return given.clone();
    }
    let present = shapes.present(schema);
    let (owner, schema) = shapes.behind(present).unwrap_or((field.owner, present));
    if let Some(word) = words_of(schema).first() {
        return json!(word);
    }
    match kind(schema) {
        Some("boolean") => json!(true),
        Some("integer") => json!(number(field.name)),
        Some("number") => json!(0.25),
        Some("array") if depth > EXAMPLE_DEPTH_MAX => json!([]),
        Some("array") => json!([value_at(shapes, field, &schema["items"], depth + 1)]),
        Some("string") => json!(text(field, schema)),
        _ => object(shapes, owner, schema, depth),
    }
}

fn object(shapes: Shapes<'_>, owner: &str, schema: &Json, depth: usize) -> Json {
    let (fields, required) = shapes.members(schema);
    let mut shown = Map::new();
    if depth <= EXAMPLE_DEPTH_MAX {
        let wanted = |name: &&String| required.is_empty() || depth == 0 || required.contains(name);
        for name in fields.keys().filter(wanted).take(EXAMPLE_FIELDS_MAX) {
            shown.insert(name.clone(), value_at(shapes, Field { owner, name }, &fields[name], depth + 1));
        }
    }
    Json::Object(shown)
}

fn number(name: &str) -> u32 {
    match name {
        "status" => 422,
        "generation" => 7,
        "uptime_s" => 86_400,
        _ if name.ends_with("_ms") => 250,
        _ if name.ends_with("_s") => 30,
        _ => 3,
    }
}

fn text(field: Field<'_>, schema: &Json) -> &'static str {
    if schema["format"] == "date-time" {
        return "2026-11-20T09:30:00.000Z";
    }
    match field.name {
        "name" if field.owner.contains("Tenant") => "acme",
        "name" if field.owner.contains("Toolset") => "default",
        "name" if field.owner.contains("Issuer") => "corp",
        "key" if field.owner.starts_with("MadeAdmin") => "pba_…",
        "key" if field.owner.starts_with("Made") => "pb_…",
        "id" | "replica" | "key" => "0190f5fe00007000a00000000000c0de",
        "tenant" => "acme",
        "server" | "servers" => "shop",
        "toolset" | "toolsets" => "default",
        "issuer" => "corp",
        "iss" => "https://login.example.com",
        "subject" => "alice",
        "name" => "shop",
        "title" => "Acme Ltd",
        "label" => "alice",
        "revision" => "2026-07-28",
        "next" => "c2hvcA",
        "pointer" => "/servers/shop/url",
        _ => "…",
    }
}

/// How an operation is asked on a command line.
pub(super) fn curl(method: &str, path: &str, operation: &Json) -> String {
    let mut target = path.to_owned();
    let mut lines = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, example) = (parameter["name"].as_str().unwrap_or_default(), &parameter["example"]);
        match parameter["in"].as_str() {
            Some("path") => target = target.replace(&format!("{{{name}}}"), example.as_str().unwrap_or("…")),
            Some("header") if name == "If-Match" => lines.push(format!("-H '{name}: \"…\"'")),
            _ => {}
        }
    }
    let (kind, body) = body(operation).unzip();
    lines.extend(kind.map(|kind| format!("-H 'Content-Type: {kind}'")));
    lines.extend(body.map(|body| format!("-d '{body}'")));
    let verb = if method == "get" { String::new() } else { format!("-X {} ", method.to_uppercase()) };
    let head = format!("curl {verb}\"$PATCHBAY{target}\"");
    let key = "-H \"Authorization: Bearer $PATCHBAY_ADMIN_KEY\"".to_owned();
    [head, key].into_iter().chain(lines).collect::<Vec<_>>().join(" \\\n  ")
}

/// The kind of a body and an example of it.
fn body(operation: &Json) -> Option<(&str, String)> {
    let contents = operation["requestBody"]["content"].as_object()?;
    let (kind, content) = contents.iter().find(|(_, content)| content.get("example").is_some())?;
    let example = &content["example"];
    let short = example.to_string();
    let text = if short.len() > 70 { pretty(example) } else { short };
    Some((kind, text.replace('\'', "'\\''")))
}

/// JSON for people.
pub(super) fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
