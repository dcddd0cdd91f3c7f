//! Environment variables as settings: `PATCHBAY_` and the field's path in capitals, joined by `_`.
//!
//! The names follow from the schema by that rule alone: `limits.body_bytes_max` is `PATCHBAY_LIMITS_BODY_BYTES_MAX`,
//! `listen.mcp` is `PATCHBAY_LISTEN_MCP`. Lists are written with commas; mappings with free keys (`stdio.commands`)
//! and lists of mappings can only be set in the file. An empty variable counts as not set.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value as Json;

use crate::{
    error::Report,
    node::{At, Node, Value},
    suggest::nearest,
};

/// What every variable of ours begins with.
const PREFIX: &str = "PATCHBAY_";

/// Variables that begin like ours and are no settings: what the command line reads, and what is left to the user.
pub const NOT_SETTINGS: [&str; 6] =
    ["PATCHBAY_CONFIG", "PATCHBAY_LOG", "PATCHBAY_KEY", "PATCHBAY_ADMIN_KEY", "PATCHBAY_SERVER", "PATCHBAY_URL"];

/// Beginnings of variables that are no settings. `PATCHBAY_SECRET_…` is free for secrets that files refer to.
pub const NOT_SETTINGS_PREFIXES: [&str; 3] = ["PATCHBAY_TEST_", "PATCHBAY_BENCH_", "PATCHBAY_SECRET_"];

/// The environment that a configuration is read in: a plain value, so that two gateways fit into one process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; what is no UTF-8 is left out.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The settings that variables can make: from a variable's name to the field's path.
pub(crate) fn settings(schema: &Json) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    collect(schema, schema, &mut Vec::new(), &mut names);
    names
}

fn collect(schema: &Json, root: &Json, path: &mut Vec<String>, names: &mut BTreeMap<String, Vec<String>>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return collect(&root["$defs"][name], root, path, names);
    }
    if let Some(fields) = schema["properties"].as_object() {
        for (key, field) in fields {
            path.push(key.clone());
            collect(field, root, path, names);
            path.pop();
        }
    } else if schema["type"] != "object" && !is_list_of_mappings(schema, root) {
        names.insert(format!("{PREFIX}{}", path.join("_").to_ascii_uppercase()), path.clone());
    }
}

/// Whether no text with commas could stand for it.
fn is_list_of_mappings(schema: &Json, root: &Json) -> bool {
    let name = schema["items"]["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
    name.is_some_and(|name| root["$defs"][name]["type"] == "object")
}

/// Lays the variables over the file.
pub(crate) fn overlay(root: &mut Node, env: &Environment, schema: &Json) {
    for (name, path) in settings(schema) {
        if let Some(text) = env.get(&name).filter(|text| !text.is_empty()) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            root.set(&path, Node { at: At::Variable(name.as_str().into()), value: Value::Loose(text.to_owned()) });
        }
    }
}

/// Reports variables that look like settings and are none. `referred` are names that the file itself reads.
pub(crate) fn refuse_unknown(env: &Environment, schema: &Json, referred: &BTreeSet<String>, report: &mut Report<'_>) {
    let known = settings(schema);
    let ours = env.0.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
    for (name, _) in ours.filter(|(name, _)| !known.contains_key(*name) && !referred.contains(*name)) {
        if is_free(name) {
            continue;
        }
        report.variable(
            name,
            match nearest(name, known.keys().map(String::as_str)) {
                Some(near) => format!("no setting has this name; did you mean {near}?"),
                None => {
                    "no setting has this name; expected PATCHBAY_ and the path of a field, as in PATCHBAY_LISTEN_MCP \
                         (PATCHBAY_SECRET_… is free for secrets of your own)"
                        .to_owned()
                }
            },
        );
    }
}

/// Whether the name is on the list, or one that Kubernetes makes for a service called `patchbay…`.
fn is_free(name: &str) -> bool {
    let of_service = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|end| name.ends_with(end))
        || name.contains("_SERVICE_PORT_")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    of_service || NOT_SETTINGS.contains(&name) || NOT_SETTINGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
