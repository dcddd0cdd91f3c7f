//! Bodies for the examples of the reference, by operations. A test sends each of them, so none can grow old.

use serde_json::{Map, Value as Json};

/// The id of the operation, and a body that it takes.
pub(super) const BODIES: &[(&str, &str)] = &[
    ("change_audit_policy", r#"{ "level": "sync", "arguments": "digest" }"#),
    ("change_issuer", r#"{ "audiences": ["https://mcp.example.com"] }"#),
    ("change_limits", r#"{ "principal_per_second": 50, "principal_burst": 100 }"#),
    ("change_server", r#"{ "enabled": false, "call_timeout_s": null }"#),
    ("change_tenant", r#"{ "title": "Acme Ltd" }"#),
    ("change_toolset", r#"{ "tools_max": 40 }"#),
    ("create_admin_key", r#"{ "label": "ci of acme", "role": "tenant_admin", "tenant": "acme" }"#),
    ("create_api_key", r#"{ "label": "alice", "toolsets": ["default"], "expires_days": 90 }"#),
    ("create_issuer", r#"{ "name": "people", "issuer": "https://people.example.com" }"#),
    ("create_revocation", r#"{ "issuer": "corp", "subject": "alice", "until_now": true, "reason": "a lost laptop" }"#),
    (
        "create_server",
        r#"{
  "name": "github",
  "url": "https://api.githubcopilot.com/mcp/",
  "headers": { "Authorization": "Bearer …" },
  "prefix": "gh",
  "tools": { "deny": ["delete_*"] }
}"#,
    ),
    ("create_tenant", r#"{ "name": "lyra", "title": "Lyra Ltd" }"#),
    (
        "create_toolset",
        r#"{ "name": "reading", "servers": ["shop"], "tools": { "allow": ["shop/get_*"] }, "prefix": "never" }"#,
    ),
    ("probe_server", r#"{ "url": "https://shop.example/mcp" }"#),
    (
        "put_audit_policy",
        r#"{ "level": "ack", "arguments": "redacted", "keep": [{ "tools": "shop/*", "arguments": ["order"] }] }"#,
    ),
    ("put_issuer", r#"{ "issuer": "https://login.example.com", "audiences": ["https://mcp.example.com"] }"#),
    (
        "put_limits",
        r#"{
  "principal_per_second": 50,
  "rules": {
    "everybody": { "count": 200, "burst": 400 },
    "searches": { "by": ["principal", "tool"], "count": 1000, "per_s": 3600, "tools": ["shop/search"] }
  }
}"#,
    ),
    ("put_server", r#"{ "url": "https://shop.example/mcp", "headers": { "Authorization": "Bearer …" } }"#),
    (
        "put_tenant_document",
        r#"{
  "tenant": "acme",
  "title": "Acme Ltd",
  "servers": { "shop": { "url": "https://shop.example/mcp" } },
  "toolsets": { "default": { "servers": ["shop"] } },
  "limits": { "principal_per_second": 50 }
}"#,
    ),
    ("put_toolset", r#"{ "servers": ["shop"], "tools_max": 40 }"#),
    ("rotate_admin_key", r#"{ "overlap_s": 3600 }"#),
    ("rotate_api_key", r#"{ "overlap_s": 86400 }"#),
    ("verify_audit", r#"{ "max_s": 30 }"#),
    ("verify_tenant_audit", r#"{ "max_s": 30 }"#),
];

/// Shapes of answers whose fields say little one by one, as they are in life.
const SHAPES: &[(&str, &str)] = &[
    ("AuditPolicy", r#"{ "level": "sync", "arguments": "digest" }"#),
    (
        "Issuer",
        r#"{ "name": "corp", "issuer": "https://login.example.com", "audiences": ["https://mcp.example.com"] }"#,
    ),
    (
        "Limits",
        r#"{ "principal_per_second": 50, "principal_burst": 100, "rules": { "everybody": { "count": 200, "burst": 400 } } }"#,
    ),
    (
        "Server",
        r#"{ "name": "shop", "url": "https://shop.example/mcp", "headers": { "Authorization": "${sealed}" }, "enabled": true }"#,
    ),
    (
        "TenantDocument",
        r#"{
  "tenant": "acme",
  "title": "Acme Ltd",
  "servers": { "shop": { "url": "https://shop.example/mcp", "headers": { "Authorization": "${sealed}" } } },
  "toolsets": { "default": { "servers": ["shop"], "tools_max": 40 } },
  "limits": { "principal_per_second": 50 }
}"#,
    ),
    ("Toolset", r#"{ "name": "default", "servers": ["shop"], "tools_max": 40 }"#),
];

/// Puts the examples of shapes into the shapes.
pub(super) fn add_shapes(schemas: &mut Map<String, Json>) {
    for (name, example) in SHAPES {
        let (schema, example) = (schemas.get_mut(*name), serde_json::from_str::<Json>(example));
        if let (Some(schema), Ok(example)) = (schema, example) {
            schema["examples"] = Json::from(vec![example]);
        }
    }
}

/// Puts the example of an operation where its body is described, in each kind that is JSON.
pub(super) fn add(operation: &mut Json) {
    let Some((_, body)) = BODIES.iter().find(|(id, _)| operation["operationId"] == *id) else { return };
    let body = serde_json::from_str(body).unwrap_or(Json::Object(Map::new()));
    let kinds = operation["requestBody"]["content"].as_object_mut();
    for (_, content) in kinds.into_iter().flatten().filter(|(kind, _)| kind.ends_with("json")) {
        content["example"] = body.clone();
    }
}
