//! The JSON schemas of a tenant and of its parts, under names that an OpenAPI document can have them by. Called where the admin
//! API describes itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::tenant_json_schema;

/// Names of components, where they are not the type's own name without its ending.
const NAMES: [(&str, &str); 19] = [
    ("AuditFile", "TenantAudit"),
    ("LimitsFile", "TenantLimits"),
    ("RuleFile", "Limit"),
    ("DimensionWord", "LimitDimension"),
    ("AwayWord", "LimitAway"),
    ("Weight", "ToolWeight"),
    ("RulesFile", "ToolRules"),
    ("KeepFile", "AuditKeep"),
    ("LevelWord", "AuditLevel"),
    ("ArgumentsWord", "AuditArguments"),
    ("WhenFullWord", "AuditWhenFull"),
    ("ClaimsFile", "IssuerClaims"),
    ("IntrospectionFile", "IssuerIntrospection"),
    ("RegistrationFile", "IssuerRegistration"),
    ("SharingWord", "ServerSharing"),
    ("EraWord", "ServerEra"),
    ("ScopesFile", "ToolsetScopes"),
    ("AccessWord", "ToolsetAccess"),
    ("OverflowWord", "ToolsetOverflow"),
];

/// JSON schemas (2020-12) by names of components: `Tenant`, its parts `Server`, `Toolset`, `Issuer`, `TenantLimits` and
/// `TenantAudit`, and whatever these refer to, by `#/components/schemas/NAME`.
///
/// Secrets are texts of the format `password`, not `writeOnly`: their fields are shown, as `${sealed}`.
pub fn part_schemas() -> BTreeMap<String, Json> {
    let mut tenant = tenant_json_schema();
    let parts = tenant.as_object_mut().and_then(|tenant| {
        tenant.remove("$schema");
        tenant.remove("title");
        tenant.remove("$defs")
    });
    let parts = parts.into_iter().flat_map(|parts| parts.as_object().cloned().unwrap_or_default());
    let named = parts.map(|(name, schema)| (component(&name), schema)).chain([("Tenant".to_owned(), tenant)]);
    named
        .map(|(name, mut schema)| {
            adapt(&mut schema);
            (name, schema)
        })
        .collect()
}

fn component(name: &str) -> String {
    if let Some((_, other)) = NAMES.iter().find(|(of, _)| *of == name) {
        return (*other).to_owned();
    }
    name.strip_suffix("File").or_else(|| name.strip_suffix("Word")).unwrap_or(name).to_owned()
}

/// References lead to components, and secrets are said to be passwords.
fn adapt(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            if let Some(name) =
                members.get("$ref").and_then(Json::as_str).and_then(|name| name.strip_prefix("#/$defs/"))
            {
                let reference = format!("#/components/schemas/{}", component(name));
                members.insert("$ref".to_owned(), Json::from(reference));
            }
            if members.remove("writeOnly").is_some() {
                mark_secret(members);
            }
            members.values_mut().for_each(adapt);
        }
        Json::Array(items) => items.iter_mut().for_each(adapt),
        _ => {}
    }
}

fn mark_secret(members: &mut Map<String, Json>) {
    match members.get_mut("additionalProperties").and_then(Json::as_object_mut) {
        Some(values) => values.insert("format".to_owned(), json!("password")),
        None => members.insert("format".to_owned(), json!("password")),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(schema: &Json, found: &mut Vec<String>) {
        match schema {
            Json::Object(members) => {
                found.extend(members.get("$ref").and_then(Json::as_str).map(str::to_owned));
                members.values().for_each(|inner| references(inner, found));
            }
            Json::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }

    #[test]
    fn every_part_is_there_and_every_reference_leads_to_one() {
        let parts = part_schemas();
        let whole = tenant_json_schema();
        assert_eq!(
            parts.len(),
            whole["$defs"].as_object().unwrap().len() + 1,
            "two parts have one name: {:?}",
            parts.keys()
        );
        for name in ["Tenant", "Server", "Toolset", "Issuer", "TenantLimits", "TenantAudit", "Limit"] {
            assert_eq!(parts[name]["type"], "object", "{name}");
        }
        for (old, _) in NAMES {
            assert!(whole["$defs"].get(old).is_some(), "{old} is no longer a part");
        }
        let mut found = Vec::new();
        parts.values().for_each(|schema| references(schema, &mut found));
        assert!(found.len() > 20);
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(parts.contains_key(name), "{reference}");
        }
    }

    #[test]
    fn secrets_are_passwords_and_no_part_is_write_only() {
        let parts = part_schemas();
        assert!(!format!("{parts:?}").contains("writeOnly"));
        let server = &parts["Server"]["properties"];
        for field in ["headers", "env", "secrets"] {
            assert_eq!(server[field]["additionalProperties"]["format"], "password", "{field}");
        }
        assert_eq!(parts["ServerOauth"]["properties"]["private_key"]["format"], "password");
        assert_eq!(parts["IssuerIntrospection"]["properties"]["client_secret"]["format"], "password");
    }
}
