//! Schemas as tables of fields: the name, what it is in a few words, and what it means. What has a name of its own among the
//! components is a link to its table; what has none stands inside of the field.

use serde_json::{Map, Value as Json};

use super::html::{anchor, escape, prose};

/// How deep fields stand inside of fields before a table says no more.
const FIELD_DEPTH_MAX: usize = 6;

/// The schemas that have names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shapes<'d>(pub(super) &'d Json);

/// Where the table of a shape is.
pub(super) fn place(name: &str) -> String {
    format!("shape-{}", anchor(name))
}

/// A shape's name for people.
pub(super) fn title(name: &str) -> String {
    match name.split_once('_') {
        Some(("Page", of)) => format!("page of {of}"),
        Some(("Local", of)) => format!("page of {of}, by one replica"),
        _ => name.to_owned(),
    }
}

impl<'d> Shapes<'d> {
    /// The schema behind a reference, and its name.
    pub(super) fn behind(self, schema: &Json) -> Option<(&'d str, &'d Json)> {
        let name = schema.get("$ref")?.as_str()?.rsplit('/').next()?;
        self.0.as_object()?.get_key_value(name).map(|(name, schema)| (name.as_str(), schema))
    }

    /// The schema itself, whether it is a reference or not.
    pub(super) fn resolve<'s>(self, schema: &'s Json) -> &'s Json
    where
        'd: 's,
    {
        self.behind(schema).map_or(schema, |(_, schema)| schema)
    }

    /// The schema without the choice of null.
    pub(super) fn present(self, schema: &Json) -> &Json {
        let rest = choices(schema);
        if let [one] = rest[..] { one } else { schema }
    }

    /// The fields of an object with those of all its parts, and which of them are required.
    pub(super) fn members(self, schema: &Json) -> (Map<String, Json>, Vec<String>) {
        let (mut fields, mut required) = (Map::new(), Vec::new());
        self.gather(schema, &mut fields, &mut required, 0);
        (fields, required)
    }

    fn gather(self, schema: &Json, fields: &mut Map<String, Json>, required: &mut Vec<String>, depth: usize) {
        if depth > FIELD_DEPTH_MAX {
            return;
        }
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.gather(part, fields, required, depth + 1);
        }
        fields.extend(schema["properties"].as_object().cloned().unwrap_or_default());
        let names = schema["required"].as_array().into_iter().flatten();
        required.extend(names.filter_map(Json::as_str).map(str::to_owned));
    }

    /// The table of a schema's fields; nothing for what has none.
    pub(super) fn table(self, schema: &Json) -> String {
        self.table_at(schema, 0)
    }

    fn table_at(self, schema: &Json, depth: usize) -> String {
        let (fields, required) = self.members(schema);
        if fields.is_empty() || depth > FIELD_DEPTH_MAX {
            return String::new();
        }
        let row = |(name, field): (&String, &Json)| {
            let must = if required.contains(name) { " <b class=must>required</b>" } else { "" };
            let inner = self.inside(field, depth);
            format!(
                "<tr><td><code>{}</code>{must}</td><td class=type>{}</td><td>{}{inner}</td></tr>",
                escape(name),
                self.words(field),
                self.about(field),
            )
        };
        let rows: String = fields.iter().map(row).collect();
        format!("<table class=fields><tbody>{rows}</tbody></table>")
    }

    /// The fields of what stands inside of a field and has no name.
    fn inside(self, field: &Json, depth: usize) -> String {
        let field = self.present(field);
        let within = [field, &field["items"], &field["additionalProperties"]];
        let nameless = within.into_iter().find(|schema| schema.get("properties").is_some());
        let table = nameless.map(|schema| self.table_at(schema, depth + 1)).unwrap_or_default();
        if table.is_empty() { table } else { format!("<details><summary>Fields</summary>{table}</details>") }
    }

    /// What a field means, with its words where it has to be one of some.
    fn about(self, field: &Json) -> String {
        let own = field["description"].as_str();
        let text = own.or_else(|| self.resolve(self.present(field))["description"].as_str()).unwrap_or_default();
        let default = match &field["default"] {
            Json::Null => String::new(),
            value => format!(" <span class=bound>Otherwise <code>{}</code>.</span>", escape(&value.to_string())),
        };
        format!("{}{default}{}", prose(text), self.options(field))
    }

    /// The words that a field can be, with what each means.
    fn options(self, field: &Json) -> String {
        let schema = self.resolve(self.present(field));
        let listed = |choice: &Json| {
            let word = choice["const"]
                .as_str()
                .or_else(|| choice["enum"].as_array().filter(|all| all.len() == 1)?[0].as_str())?;
            let about = choice["description"].as_str()?;
            Some(format!("<dt><code>{}</code></dt><dd>{}</dd>", escape(word), prose(about)))
        };
        let words: String = choices(schema).into_iter().filter_map(listed).collect();
        if words.is_empty() { words } else { format!("<dl class=words>{words}</dl>") }
    }

    /// What a value is, in a few words.
    pub(super) fn words(self, schema: &Json) -> String {
        self.words_at(schema, 0)
    }

    fn words_at(self, schema: &Json, depth: usize) -> String {
        if depth > FIELD_DEPTH_MAX {
            return "…".to_owned();
        }
        let schema = self.present(schema);
        if let Some((name, shape)) = self.behind(schema) {
            return if is_of_words(shape) {
                self.words_at(shape, depth + 1)
            } else {
                format!("<a href=\"#{}\">{}</a>", place(name), escape(&title(name)))
            };
        }
        if is_of_words(schema) {
            return words_of(schema)
                .iter()
                .map(|word| format!("<code>{}</code>", escape(word)))
                .collect::<Vec<_>>()
                .join(" | ");
        }
        let several = choices(schema);
        if several.len() > 1 {
            return several.iter().map(|one| self.words_at(one, depth + 1)).collect::<Vec<_>>().join(" or ");
        }
        match kind(schema) {
            Some("array") => format!("list of {}{}", self.words_at(&schema["items"], depth + 1), bounds(schema)),
            Some("object") => match schema.get("additionalProperties") {
                Some(value) if value.is_object() => {
                    format!("map to {}{}", self.words_at(value, depth + 1), bounds(schema))
                }
                _ => "object".to_owned(),
            },
            Some("string") if schema["format"] == "date-time" => "time".to_owned(),
            Some(kind) => format!("{}{}", escape(kind), bounds(schema)),
            None if schema.get("properties").is_some() || schema.get("allOf").is_some() => "object".to_owned(),
            None => "anything".to_owned(),
        }
    }
}

/// The choices of a schema, apart from null.
fn choices(schema: &Json) -> Vec<&Json> {
    let all = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    all.into_iter().flatten().filter(|choice| choice["type"] != "null").collect()
}

/// The type of a schema, apart from null.
pub(super) fn kind(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::String(kind) => Some(kind),
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

/// The words of a schema that is one of some words, and of nothing else.
pub(super) fn words_of(schema: &Json) -> Vec<&str> {
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().filter_map(Json::as_str).collect();
    }
    if let Some(word) = schema["const"].as_str() {
        return vec![word];
    }
    choices(schema).into_iter().flat_map(words_of).collect()
}

fn is_of_words(schema: &Json) -> bool {
    let several = choices(schema);
    match several.len() {
        0 => schema.get("enum").is_some() || schema.get("const").is_some(),
        _ => several.into_iter().all(is_of_words),
    }
}

/// How small and how large something may be.
fn bounds(schema: &Json) -> String {
    let of = |low: &str, high: &str, what: &str| {
        let (low, high) = (&schema[low], &schema[high]);
        let low = if *low == 0 { &Json::Null } else { low };
        let text = match (low.is_null(), high.is_null()) {
            (true, true) => return None,
            (false, true) => format!("from {low}{what} on"),
            (true, false) => format!("up to {high}{what}"),
            (false, false) => format!("{low} to {high}{what}"),
        };
        Some(format!(", <span class=bound>{}</span>", escape(&text)))
    };
    let found = match kind(schema) {
        Some("string") => of("minLength", "maxLength", " characters"),
        Some("array") => of("minItems", "maxItems", ""),
        Some("object") => of("minProperties", "maxProperties", ""),
        _ => of("minimum", "maximum", ""),
    };
    found.unwrap_or_default()
}
