//! The parts of tenant files in the OpenAPI document: the very schemas that files are held against, so that there is one
//! description of a server and not two. The types here stand for schemas only; no value of them is ever made.

use std::sync::LazyLock;

use serde_json::{Value as Json, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        extensions::Extensions,
        schema::{ObjectBuilder, SchemaType},
    },
};

/// The schema of tenant files, its references those of an OpenAPI document. `writeOnly` is left out: a secret does come back, as
/// `${sealed}`.
static FILE: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = patchbay_config::tenant_json_schema();
    adapt(&mut schema);
    schema
});

fn adapt(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            if members.get("writeOnly") == Some(&Json::Bool(true)) {
                members.shift_remove("writeOnly");
            }
            if let Some(Json::String(target)) = members.get_mut("$ref") {
                *target = target.replace("#/$defs/", "#/components/schemas/");
            }
            members.values_mut().for_each(adapt);
        }
        Json::Array(items) => items.iter_mut().for_each(adapt),
        _ => {}
    }
}

/// A definition of the file's schema.
fn definition(name: &str) -> Json {
    FILE["$defs"][name].clone()
}

/// A part with further members, of which the first ones are required.
fn part(definition_of: &str, more: &[(&str, Json)], required: &[&str]) -> RefOr<Schema> {
    let mut schema = definition(definition_of);
    for (name, member) in more {
        schema["properties"][*name] = member.clone();
    }
    if !required.is_empty() {
        let known = schema["required"].as_array().cloned().unwrap_or_default();
        schema["required"] = known.into_iter().chain(required.iter().map(|name| Json::from(*name))).collect();
    }
    raw(schema)
}

/// A JSON schema as it stands.
fn raw(schema: Json) -> RefOr<Schema> {
    let Json::Object(members) = schema else { return RefOr::T(Schema::default()) };
    let object =
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).extensions(Some(Extensions::from_iter(members)));
    RefOr::T(object.build().into())
}

/// The definitions that a schema refers to, and those that they refer to.
fn referred(schema: &Json, found: &mut Vec<(String, RefOr<Schema>)>) {
    match schema {
        Json::Object(members) => {
            let name = members.get("$ref").and_then(Json::as_str).and_then(|target| target.rsplit('/').next());
            if let Some(name) = name.filter(|name| found.iter().all(|(known, _)| known != name)) {
                let schema = definition(name);
                found.push((name.to_owned(), raw(schema.clone())));
                referred(&schema, found);
            }
            members.values().for_each(|inner| referred(inner, found));
        }
        Json::Array(items) => items.iter().for_each(|inner| referred(inner, found)),
        _ => {}
    }
}

fn the_name() -> (&'static str, Json) {
    let pattern = "^[a-z0-9][a-z0-9-]*$";
    let about = "The name: a-z, 0-9 and `-`, at most 40 characters.";
    ("name", json!({ "type": "string", "description": about, "minLength": 1, "maxLength": 40, "pattern": pattern }))
}

fn warnings() -> (&'static str, Json) {
    let about = "What will not work as it stands, in whole sentences; only in answers to changes.";
    ("warnings", json!({ "type": "array", "items": { "type": "string" }, "description": about }))
}

/// Types that stand for parts of the file, with more members.
macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident = $of:literal + [$($member:expr),*] required $required:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                part($of, &[$($member),*], &$required)
            }
        }

        impl ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                referred(&definition($of), schemas);
            }
        }
    )*};
}

parts! {
    /// A server as it is shown.
    Server = "ServerFile" + [the_name(), warnings()] required ["name"];
    /// A server as it is made.
    NewServer = "ServerFile" + [the_name()] required ["name"];
    /// A server as it is put.
    ServerBody = "ServerFile" + [the_name()] required [];
    /// A toolset as it is shown.
    Toolset = "ToolsetFile" + [the_name(), warnings()] required ["name"];
    /// A toolset as it is made.
    NewToolset = "ToolsetFile" + [the_name()] required ["name"];
    /// A toolset as it is put.
    ToolsetBody = "ToolsetFile" + [the_name()] required [];
    /// An issuer as it is shown.
    Issuer = "IssuerFile" + [the_name(), warnings()] required ["name"];
    /// An issuer as it is made.
    NewIssuer = "IssuerFile" + [the_name()] required ["name"];
    /// An issuer as it is put.
    IssuerBody = "IssuerFile" + [the_name()] required [];
    /// Limits as they are shown.
    Limits = "LimitsFile" + [warnings()] required [];
    /// Limits as they are put.
    LimitsBody = "LimitsFile" + [] required [];
    /// An audit policy as it is shown.
    AuditPolicy = "AuditFile" + [warnings()] required [];
    /// An audit policy as it is put.
    AuditPolicyBody = "AuditFile" + [] required [];
}

/// A whole tenant file.
#[derive(Debug)]
pub(super) struct TenantDocument;

impl PartialSchema for TenantDocument {
    fn schema() -> RefOr<Schema> {
        let mut schema = FILE.clone();
        if let Some(members) = schema.as_object_mut() {
            members.shift_remove("$defs");
            members.shift_remove("$schema");
        }
        raw(schema)
    }
}

impl ToSchema for TenantDocument {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        referred(&FILE["properties"], schemas);
    }
}

/// A merge patch (RFC 7396).
#[derive(Debug)]
pub(super) struct MergePatch;

impl PartialSchema for MergePatch {
    fn schema() -> RefOr<Schema> {
        let about = "Members to set; `null` takes one away, and objects are gone into.";
        raw(json!({ "type": "object", "description": about, "additionalProperties": true }))
    }
}

impl ToSchema for MergePatch {}
