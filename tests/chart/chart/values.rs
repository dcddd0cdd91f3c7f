//! What the chart says of itself: its values with their schema, its numbers. The schema of `config` is that of `patchbay.yaml`;
//! `UPDATE_SCHEMA=1` writes that part anew.

use std::{env, fs};

use serde_json::{Map, Value};

use crate::chart::{
    helm::{folder, repository},
    rendered::{list, one, text},
};

fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&file("values.schema.json")).unwrap()
}

/// Definitions of the chart's own begin with a small letter, those of `patchbay.yaml` with a large one; its root is `patchbay`.
fn is_own(name: &str) -> bool {
    name != "patchbay" && name.starts_with(|first: char| first.is_ascii_lowercase())
}

#[test]
fn the_schema_of_config_is_that_of_the_gateway() {
    let mut gateway: Map<String, Value> =
        serde_json::from_str(&fs::read_to_string(repository().join("config/patchbay.schema.json")).unwrap()).unwrap();
    let Some(Value::Object(parts)) = gateway.shift_remove("$defs") else { panic!("no definitions") };
    for of_a_file in ["$schema", "title"] {
        gateway.shift_remove(of_a_file);
    }
    let mut schema = schema();
    let mut own = schema["$defs"].as_object().unwrap().clone();
    own.retain(|name, _| is_own(name));
    assert!(parts.keys().all(|name| !own.contains_key(name)), "two definitions have one name");
    own.insert("patchbay".to_owned(), gateway.into());
    own.extend(parts);
    schema["$defs"] = own.into();
    let wanted = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(folder().join("values.schema.json"), &wanted).unwrap();
    }
    let hint =
        "helm/values.schema.json is not what config/patchbay.schema.json says; run the test once with UPDATE_SCHEMA=1";
    assert!(file("values.schema.json") == wanted, "{hint}");
}

/// Objects of a schema that take any field, by their place; what is Kubernetes' own or helm's says so.
fn open(schema: &Value, at: &str, found: &mut Vec<String>) {
    let is_object = schema["type"] == "object" || schema["type"] == Value::from(vec!["object", "null"]);
    let rest = &schema["additionalProperties"];
    if is_object && *rest != false && !rest.is_object() && schema["$comment"].is_null() {
        found.push(at.to_owned());
    }
    match schema {
        Value::Object(fields) => fields.iter().for_each(|(name, part)| open(part, &format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, part)| open(part, &format!("{at}/{number}"), found))
        }
        _ => {}
    }
}

#[test]
fn the_schema_takes_nothing_that_it_does_not_know() {
    let mut found = Vec::new();
    open(&schema(), "", &mut found);
    // Items of Kubernetes' own lists.
    found.retain(|at| !at.ends_with("/items"));
    assert!(found.is_empty(), "these objects take any field: {found:?}");
    let mut control = Vec::new();
    open(&serde_json::json!({"properties": {"x": {"type": "object"}}}), "", &mut control);
    assert_eq!(control, ["/properties/x"]);
}

#[test]
fn every_value_has_a_default_and_every_default_a_schema() {
    let (values, schema) = (one(&file("values.yaml")), schema());
    let named = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut known = named(&schema["properties"]);
    known.retain(|name| name != "global");
    assert_eq!(known, named(&values), "in the same order");
    for (name, value) in values.as_object().unwrap() {
        let fields = schema["properties"][name]["properties"].as_object();
        if let (Some(fields), Some(value)) = (fields, value.as_object()) {
            let fields: Vec<_> = fields.keys().collect();
            let defaults: Vec<_> = value.keys().collect();
            let alike = fields.len() == defaults.len() && fields.iter().all(|name| defaults.contains(name));
            assert!(alike || name == "affinity" || name == "resources", "{name}: {fields:?} and {defaults:?}");
        }
    }
}

#[test]
fn every_value_is_explained_where_it_stands() {
    let text = file("values.yaml");
    let lines: Vec<_> = text.lines().collect();
    let mut bare = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let begins = line.chars().next().is_some_and(|first| first.is_ascii_lowercase());
        // A comment may stand for a group of values that follow each other, or inside of one.
        let group = lines[..at].iter().rev().take_while(|line| !line.is_empty());
        let inside = lines[at + 1..].iter().take_while(|line| line.starts_with(' '));
        if begins && !group.chain(inside).any(|line| line.trim_start().starts_with('#')) {
            bare.push(*line);
        }
    }
    bare.retain(|line| !["ports:", "podLabels: {}", "podAnnotations: {}"].contains(line));
    assert!(bare.is_empty(), "these lack a comment: {bare:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= 132), "a line is too long to be read");
}

#[test]
fn the_chart_has_the_number_of_the_gateway() {
    let chart = one(&file("Chart.yaml"));
    for name in ["version", "appVersion"] {
        assert_eq!(text(&chart[name]), env!("CARGO_PKG_VERSION"), "{name} of helm/Chart.yaml");
    }
    assert!(list(&chart["dependencies"]).next().is_none(), "databases are given by URL");
}
