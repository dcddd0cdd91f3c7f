//! Servers, toolsets, issuers, limits and the audit policy: the parts of a tenant, each for itself.

use serde_json::{Value as Json, json};

use super::{Kit, admin_of, platform, viewer_of};

const SERVERS: &str = "/tenants/acme/servers";
const GITHUB: &str = "/tenants/acme/servers/github";

async fn acme() -> Kit {
    let kit = Kit::new().await;
    kit.apply(
        "tenant: acme
servers:
  github: { url: 'https://mcp.example.org/mcp', headers: { Authorization: s3cret, X-Team: blue } }
  wx: { builtin: weather, enabled: false }
issuers: { corp: { issuer: 'https://login.example' } }
toolsets:
  small: { servers: [github], access: oauth }
limits: { principal_per_second: 5 }
",
    )
    .await;
    kit
}

#[tokio::test]
async fn a_server_lives_through_its_states() {
    let kit = acme().await;
    let admin = admin_of("acme");
    let body = json!({ "name": "new", "url": "https://new.example.org/mcp", "headers": { "X-Key": "hush" } });
    let made = kit.ask(&admin, "POST", SERVERS, &[], body.clone()).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/admin/v1/tenants/acme/servers/new")), "{made:?}");
    assert_eq!(made.json["headers"]["X-Key"], "${sealed}");
    assert_eq!((&made.json["enabled"], &made.json["warnings"]), (&json!(true), &json!([])));
    assert_eq!(kit.ask(&admin, "POST", SERVERS, &[], body.clone()).await.status, 409);
    let seen = kit.get(&viewer_of("acme"), "/tenants/acme/servers/new").await;
    assert_eq!((seen.tag(), seen.json.get("warnings")), (made.tag(), None));

    let path = "/tenants/acme/servers/new";
    let put = async |condition: &str, body: Json| kit.ask(&admin, "PUT", path, &[(condition, "*")], body).await;
    let same = put("if-match", seen.json.clone()).await;
    assert_eq!((same.status, same.tag()), (200, made.tag()), "what was read can be put back: {same:?}");
    let generation = kit.get(&admin, "/tenants/acme").await.json["generation"].clone();
    assert_eq!(generation, 2, "putting the same again is no change");
    assert_eq!(put("if-none-match", seen.json.clone()).await.status, 412);
    let bare = kit.ask(&admin, "PUT", path, &[], seen.json.clone()).await;
    assert_eq!(bare.status, 428);
    let fresh = kit
        .ask(&admin, "PUT", "/tenants/acme/servers/fresh", &[("if-none-match", "*")], json!({ "builtin": "weather" }))
        .await;
    assert_eq!(
        (fresh.status, fresh.header("location")),
        (201, Some("/admin/v1/tenants/acme/servers/fresh")),
        "{fresh:?}"
    );
    let absent = kit
        .ask(&admin, "PUT", "/tenants/acme/servers/absent", &[("if-match", "*")], json!({ "builtin": "weather" }))
        .await;
    assert_eq!(absent.status, 412);

    let patch = json!({ "prefix": "nw", "headers": { "X-Other": "b" } });
    let merged = [("if-match", made.header("etag").unwrap()), ("content-type", "application/merge-patch+json")];
    let patched = kit.ask(&admin, "PATCH", path, &merged, patch.clone()).await;
    assert_eq!((patched.status, &patched.json["prefix"]), (200, &json!("nw")), "{patched:?}");
    assert_eq!(patched.json["headers"], json!({ "X-Key": "${sealed}", "X-Other": "${sealed}" }));
    assert_eq!(kit.ask(&admin, "PATCH", path, &merged, patch).await.status, 412);
    let row = kit.store().tenant_load(&"acme".parse().unwrap()).await.unwrap().unwrap();
    let server = row.servers.iter().find(|server| server.slug.as_str() == "new").unwrap();
    assert_eq!(
        (server.secrets.reveal("header:X-Key"), server.secrets.reveal("header:X-Other")),
        (Some("hush"), Some("b"))
    );

    assert_eq!(kit.ask(&admin, "DELETE", path, &[("if-match", &made.tag())], Json::Null).await.status, 412);
    assert_eq!(kit.ask(&admin, "DELETE", path, &[("if-match", &patched.tag())], Json::Null).await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(kit.ask(&admin, method, path, &[("if-match", "*")], Json::Null).await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_a_server_is_said_at_once() {
    let kit = acme().await;
    let body = json!({
        "name": "bad", "url": "ftp://x", "prefix": "much-too-long-a-prefix", "call_timeout_s": 0,
        "headers": { "Host": "x", "X-A": "${env:HOME}", "X-B": "${sealed}" }, "tools": { "allow": ["a[", 5] }, "nonsense": 1,
    });
    let refused = kit.ask(&platform(), "POST", SERVERS, &[], body).await;
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    assert_eq!(refused.status, 422);
    let expected = [
        "/call_timeout_s",
        "/headers/Host",
        "/headers/X-A",
        "/nonsense",
        "/prefix",
        "/tools/allow/0",
        "/tools/allow/1",
        "/url",
    ];
    assert_eq!(pointers, expected, "{refused:?}");
    assert!(refused.text.contains("looked up by the command line and never by the gateway"), "{refused:?}");

    let sealed = json!({ "name": "bad", "url": "https://x.example", "headers": { "X-B": "${sealed}", "a/b~c": "x" } });
    let refused = kit.ask(&platform(), "POST", SERVERS, &[], sealed).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/headers/a~1b~0c"]), "{refused:?}");
    let sealed = json!({
        "name": "bad", "builtin": "weather", "secrets": { "k": "${sealed}", "l": "${sealed}" },
    });
    let refused = kit.ask(&platform(), "POST", SERVERS, &[], sealed).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/secrets/k", "/secrets/l"]), "{refused:?}");
    let renamed = json!({ "name": "other", "builtin": "weather" });
    let refused = kit.ask(&platform(), "PUT", GITHUB, &[("if-match", "*")], renamed).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/name"]), "{refused:?}");
    let issuer = json!({ "name": "x", "issuer": "https://x.example", "introspection": { "client_id": "a", "client_secret": "${sealed}" } });
    let refused = kit.ask(&platform(), "POST", "/tenants/acme/issuers", &[], issuer).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/introspection/client_secret"]), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_others_need_stays_and_they_are_named() {
    let kit = acme().await;
    let refused = kit.ask(&admin_of("acme"), "DELETE", GITHUB, &[("if-match", "*")], Json::Null).await;
    assert_eq!((refused.status, refused.pointers()), (409, vec!["/toolsets/small/servers/0"]), "{refused:?}");
    assert!(refused.text.contains("not in what was sent"), "{refused:?}");
    let refused =
        kit.ask(&admin_of("acme"), "DELETE", "/tenants/acme/issuers/corp", &[("if-match", "*")], Json::Null).await;
    assert_eq!(refused.status, 409, "{refused:?}");
}

#[tokio::test]
async fn servers_are_listed_by_kind_and_switch() {
    let kit = acme().await;
    let viewer = viewer_of("acme");
    for (query, names) in [
        ("", vec!["github", "wx"]),
        ("?kind=http", vec!["github"]),
        ("?kind=builtin&enabled=false", vec!["wx"]),
        ("?kind=stdio", vec![]),
        ("?enabled=true", vec!["github"]),
    ] {
        let listed = kit.get(&viewer, &format!("{SERVERS}{query}")).await;
        let found: Vec<_> = listed.json["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        assert_eq!(found, names, "{query}");
        assert!(!listed.text.contains("s3cret"));
    }
    for query in ["?kind=ftp", "?knd=http"] {
        assert_eq!(kit.ask(&viewer, "GET", &format!("{SERVERS}{query}"), &[], Json::Null).await.status, 400, "{query}");
    }
    let page = kit.get(&viewer, &format!("{SERVERS}?limit=1")).await.json;
    let next = page["next"].as_str().unwrap();
    let page = kit.get(&viewer, &format!("{SERVERS}?limit=1&cursor={next}")).await.json;
    assert_eq!((&page["items"][0]["name"], page.get("next")), (&json!("wx"), None));
}

#[tokio::test]
async fn the_default_toolset_goes_back_to_plain_instead_of_away() {
    let kit = acme().await;
    let admin = admin_of("acme");
    let path = "/tenants/acme/toolsets/default";
    let put = kit.ask(&admin, "PUT", path, &[("if-match", "*")], json!({ "tools_max": 3 })).await;
    assert_eq!((put.status, &put.json["tools_max"]), (200, &json!(3)), "{put:?}");
    assert_eq!(kit.ask(&admin, "DELETE", path, &[("if-match", &put.tag())], Json::Null).await.status, 204);
    assert_eq!(kit.get(&admin, path).await.json, json!({ "name": "default" }));
    let small = kit.ask(&admin, "DELETE", "/tenants/acme/toolsets/small", &[("if-match", "*")], Json::Null).await;
    assert_eq!(small.status, 204);
    let names = kit.get(&admin, "/tenants/acme/toolsets").await.json["items"].as_array().unwrap().len();
    assert_eq!(names, 1);
}

#[tokio::test]
async fn limits_and_audit_policy_are_one_each_and_always_there() {
    let kit = acme().await;
    let admin = admin_of("acme");
    let limits = kit.get(&admin, "/tenants/acme/limits").await;
    assert_eq!(limits.json, json!({ "principal_per_second": 5 }));
    let bare = kit.ask(&admin, "PUT", "/tenants/acme/limits", &[], json!({})).await;
    assert_eq!(bare.status, 428);
    let tag = limits.tag();
    let patched =
        kit.ask(&admin, "PATCH", "/tenants/acme/limits", &[("if-match", &tag)], json!({ "principal_burst": 9 })).await;
    assert_eq!(patched.json, json!({ "principal_per_second": 5, "principal_burst": 9, "warnings": [] }), "{patched:?}");
    let wrong = json!({ "principal_burst": 0, "rules": { "Big Name": {} } });
    let refused = kit.ask(&admin, "PUT", "/tenants/acme/limits", &[("if-match", "*")], wrong).await;
    assert!(refused.status == 422 && refused.pointers().contains(&"/principal_burst"), "{refused:?}");
    let put = kit.ask(&admin, "PUT", "/tenants/acme/limits", &[("if-match", &patched.tag())], json!({})).await;
    assert_eq!((put.status, &put.json), (200, &json!({ "warnings": [] })));

    let policy = kit.get(&admin, "/tenants/acme/audit-policy").await;
    let put = kit
        .ask(
            &admin,
            "PUT",
            "/tenants/acme/audit-policy",
            &[("if-match", &policy.tag())],
            json!({ "arguments": "keys" }),
        )
        .await;
    assert_eq!((put.status, &put.json["arguments"]), (200, &json!("keys")), "{put:?}");
}

#[tokio::test]
async fn what_will_not_work_comes_with_the_answer() {
    let kit = acme().await;
    let body = json!({ "name": "tool", "command": "no-such-command" });
    let made = kit.ask(&platform(), "POST", SERVERS, &[], body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.json["warnings"][0].as_str().unwrap().contains("not on the operator's list"), "{made:?}");
    let issuer = json!({ "name": "inside", "issuer": "https://10.0.0.1" });
    let made = kit.ask(&platform(), "POST", "/tenants/acme/issuers", &[], issuer).await;
    assert!(made.json["warnings"][0].as_str().unwrap().contains("http.allow_private"), "{made:?}");
}

#[tokio::test]
async fn every_change_is_in_the_audit_with_who_made_it() {
    let kit = acme().await;
    let admin = admin_of("acme");
    kit.ask(&admin, "PATCH", GITHUB, &[("if-match", "*")], json!({ "prefix": "gh" })).await;
    let filter = patchbay_store::AuditFilter::default();
    let rows = kit.store().audit_page(&filter, 10).await.unwrap();
    let line = &rows[0].json;
    assert!(line.contains("changed the server github of acme") && line.contains("admin_key"), "{line}");
    assert!(rows.iter().all(|row| !row.json.contains("s3cret")));
}

#[test]
fn the_parts_are_described_by_the_schemas_of_tenant_files() {
    let document = serde_json::to_value(super::super::document()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in [
        "Server",
        "NewServer",
        "ServerBody",
        "Toolset",
        "Issuer",
        "Limits",
        "AuditPolicy",
        "TenantDocument",
        "RulesFile",
    ] {
        assert!(schemas.contains_key(name), "{name}: {:?}", schemas.keys().collect::<Vec<_>>());
    }
    assert_eq!(schemas["Server"]["required"], json!(["name"]));
    assert_eq!(schemas["NewIssuer"]["required"], json!(["issuer", "name"]));
    assert_eq!(schemas["Server"]["properties"]["url"]["maxLength"], 2048);
    assert!(document.to_string().contains("#/components/schemas/ServerFile"));
    assert!(!document.to_string().contains("$defs"));
    let mut missing = Vec::new();
    find_missing(&document, schemas, &mut missing);
    assert_eq!(missing, Vec::<String>::new());
    let shown = &document["paths"]["/admin/v1/tenants/{tenant}/servers/{server}"];
    assert_eq!(
        shown["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Server"
    );
}

fn find_missing(value: &Json, schemas: &serde_json::Map<String, Json>, missing: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            let shapes = |target: &&str| target.starts_with("#/components/schemas/");
            if let Some(target) = members.get("$ref").and_then(Json::as_str).filter(shapes) {
                let name = target.rsplit('/').next().unwrap();
                if !schemas.contains_key(name) {
                    missing.push(name.to_owned());
                }
            }
            members.values().for_each(|inner| find_missing(inner, schemas, missing));
        }
        Json::Array(items) => items.iter().for_each(|inner| find_missing(inner, schemas, missing)),
        _ => {}
    }
}
