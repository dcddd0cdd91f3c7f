//! What a tenant's own admin may not write, by whichever way it is tried; and that a platform admin may.

use std::path::Path;

use patchbay_builtin_tools::db::create_sample_shop;
use patchbay_config::GatewayConfig;
use serde_json::{Value as Json, json};

use super::{Kit, admin_of, platform};

const STAR: [(&str, &str); 1] = [("if-match", "*")];

async fn acme(edit: impl FnOnce(&mut GatewayConfig)) -> Kit {
    let kit = Kit::with(edit).await;
    kit.apply(
        "tenant: acme
servers:
  web:
    url: https://mcp.example.org/team/mcp
    headers: { X-Key: s3cret }
    oauth: { client_id: us, client_secret: s3cret, issuer: 'https://login.example' }
  db: { builtin: db, options: { database: 'secret:url' }, secrets: { url: 'postgres://u:s3cret@far.example/x' } }
  run: { command: tool, args: [a], env: { TOKEN: s3cret } }
issuers:
  corp: { issuer: 'https://login.example', introspection: { client_id: us, client_secret: s3cret } }
toolsets: { open: { access: anonymous } }
",
    )
    .await;
    kit
}

async fn patch(kit: &Kit, path: &str, body: &Json) -> (u16, Vec<String>) {
    let path = format!("/tenants/acme/{path}");
    let answer = kit.ask(&admin_of("acme"), "PATCH", &path, &STAR, body.clone()).await;
    assert!(!answer.text.contains("s3cret"), "{answer:?}");
    let pointers = answer.pointers().into_iter().map(str::to_owned).collect();
    if answer.status != 200 {
        let by_platform = kit.ask(&platform(), "PATCH", &path, &STAR, body.clone()).await;
        assert_eq!(by_platform.status, 200, "a platform admin may: {by_platform:?}");
    }
    (answer.status, pointers)
}

#[tokio::test]
async fn a_secret_that_one_cannot_read_is_not_sent_where_one_wants() {
    for (path, body, pointers) in [
        (
            "servers/web",
            json!({ "url": "https://evil.example/team/mcp" }),
            vec!["/headers/X-Key", "/oauth/client_secret"],
        ),
        (
            "servers/web",
            json!({ "url": "https://mcp.example.org/evil" }),
            vec!["/headers/X-Key", "/oauth/client_secret"],
        ),
        ("servers/web", json!({ "oauth": { "issuer": "https://evil.example" } }), vec!["/oauth/client_secret"]),
        ("servers/web", json!({ "oauth": { "issuer": null } }), vec!["/oauth/client_secret"]),
        ("servers/web", json!({ "url": "https://evil.example", "oauth": null }), vec!["/headers/X-Key"]),
        ("issuers/corp", json!({ "issuer": "https://evil.example" }), vec!["/introspection/client_secret"]),
        (
            "issuers/corp",
            json!({ "introspection": { "url": "https://evil.example/i" } }),
            vec!["/introspection/client_secret"],
        ),
    ] {
        let kit = acme(|_| ()).await;
        let expected: Vec<_> = pointers.into_iter().map(str::to_owned).collect();
        assert_eq!(patch(&kit, path, &body).await, (422, expected), "{path} {body}");
    }
}

#[tokio::test]
async fn with_the_secret_given_anew_the_address_is_free() {
    let kit = acme(|_| ()).await;
    let anew = json!({ "url": "https://new.example/mcp", "headers": { "X-Key": "mine" }, "oauth": null });
    assert_eq!(patch(&kit, "servers/web", &anew).await.0, 200);
    let same = json!({ "prefix": "db", "call_timeout_s": 5 });
    assert_eq!(patch(&kit, "servers/db", &same).await.0, 200, "what stays as it is was allowed before");
    let corp = json!({ "introspection": { "client_secret": "mine", "url": "https://new.example/i" } });
    assert_eq!(patch(&kit, "issuers/corp", &corp).await.0, 200);
}

#[tokio::test]
async fn programs_are_those_of_the_operators_list() {
    let run = |config: &mut GatewayConfig| {
        let tool = patchbay_config::StdioCommand { path: "true".into(), args_prefix: Vec::new(), description: None };
        config.stdio.commands.insert("tool".to_owned(), tool);
    };
    let kit = acme(run).await;
    let (status, pointers) = patch(&kit, "servers/run", &json!({ "command": "sh", "env": null })).await;
    assert_eq!((status, pointers), (403, vec!["/command".to_owned()]));
    let kit = acme(run).await;
    let (status, pointers) = patch(&kit, "servers/run", &json!({ "args": ["--print-environment"] })).await;
    assert_eq!(
        (status, pointers),
        (422, vec!["/env/TOKEN".to_owned()]),
        "its arguments decide what becomes of a secret"
    );
    assert_eq!(patch(&kit, "servers/run", &json!({ "args": ["b"], "env": { "TOKEN": "mine" } })).await.0, 200);
    let sh = json!({ "name": "sh", "command": "sh", "args": ["-c", "id"] });
    let refused = kit.ask(&admin_of("acme"), "POST", "/tenants/acme/servers", &[], sh).await;
    assert_eq!((refused.status, refused.pointers()), (403, vec!["/command"]), "{refused:?}");
}

#[tokio::test]
async fn databases_are_those_that_the_operator_gives() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["given", "other", "data"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    for file in ["given/a.db", "other/b.db", "data/shop.db"] {
        create_sample_shop(&at(file)).unwrap();
    }
    let kit = acme(|config| {
        config.data_dir = at("data");
        config.tenant_admins.database_files = vec![at("given")];
        config.tenant_admins.database_hosts = vec!["db.example:5433".to_owned()];
    })
    .await;
    let try_it = async |options: Json, secrets: Json| {
        let body = json!({ "name": "try", "builtin": "db", "options": options, "secrets": secrets });
        let answer = kit.ask(&admin_of("acme"), "POST", "/tenants/acme/servers", &[], body).await;
        if answer.status == 201 {
            kit.ask(&platform(), "DELETE", "/tenants/acme/servers/try", &STAR, Json::Null).await;
        }
        assert!(!answer.text.contains("hunter2"), "{answer:?}");
        (answer.status, answer.text.clone())
    };
    let path = |path: &Path| json!({ "database": path });
    for allowed in ["given/a.db", "data/shop.db"] {
        assert_eq!(try_it(path(&at(allowed)), json!({})).await.0, 201, "{allowed}");
    }
    let url = json!({ "u": "postgres://u:hunter2@db.example:5433/x" });
    assert_eq!(try_it(json!({ "database": "secret:u" }), url).await.0, 201);
    let there = try_it(path(&at("other/b.db")), json!({})).await;
    let nowhere = try_it(path(&at("other/none.db")), json!({})).await;
    assert_eq!((there.0, &there), (403, &nowhere), "whether a file is there is not told");
    for (options, secrets) in [
        (path(&at("given/../other/b.db")), json!({})),
        (json!({ "database": "secret:u" }), json!({ "u": "postgres://u:hunter2@db.example/x" })),
        (json!({ "database": "secret:u" }), json!({ "u": "postgres://u:hunter2@db.example:5433,far.example/x" })),
        (json!({ "database": "secret:u" }), json!({ "u": "postgres://u:hunter2@db.example:5433/x?hostaddr=10.0.0.1" })),
        (json!({ "database": "secret:u" }), json!({ "u": "postgres://u:hunter2@%2Fvar%2Frun/x" })),
        (
            json!({ "sources": { "a": { "database": at("given/a.db") }, "b": { "database": at("other/b.db") } } }),
            json!({}),
        ),
        (json!({ "database": "postgres://u@db.example:5433/x", "ca_file": "/etc/passwd" }), json!({})),
        (json!({ "database": "secret:gone" }), json!({})),
        (json!({ "database": 5 }), json!({})),
    ] {
        let refused = try_it(options.clone(), secrets).await;
        assert!(refused.0 == 403 && refused.1.contains("/options"), "{options}: {refused:?}");
    }
    let (status, pointers) = patch(&kit, "servers/db", &json!({ "options": { "rows_max": 5 } })).await;
    let expected = vec!["/secrets/url".to_owned(), "/options".to_owned()];
    assert_eq!((status, pointers), (403, expected), "a secret of others opens nothing in other words");
}

#[tokio::test]
async fn weather_elsewhere_unknown_servers_and_open_toolsets_are_for_platform_admins() {
    let kit = acme(|_| ()).await;
    for (path, body, pointer) in [
        (
            "servers",
            json!({ "name": "a", "builtin": "weather", "options": { "nws_url": "http://127.0.0.1:1" } }),
            "/options",
        ),
        ("servers", json!({ "name": "b", "builtin": "shell" }), "/builtin"),
        ("toolsets", json!({ "name": "c", "access": "anonymous" }), "/access"),
    ] {
        let path = format!("/tenants/acme/{path}");
        let refused = kit.ask(&admin_of("acme"), "POST", &path, &[], body.clone()).await;
        assert_eq!((refused.status, refused.pointers()), (403, vec![pointer]), "{refused:?}");
        assert_eq!(kit.ask(&platform(), "POST", &path, &[], body).await.status, 201);
    }
    assert_eq!(patch(&kit, "toolsets/open", &json!({ "tools_max": 5 })).await, (403, vec!["/access".to_owned()]));
    let kit = acme(|config| config.tenant_admins.custom_weather = true).await;
    let body = json!({ "name": "a", "builtin": "weather", "options": { "nws_url": "http://127.0.0.1:1" } });
    assert_eq!(kit.ask(&admin_of("acme"), "POST", "/tenants/acme/servers", &[], body).await.status, 201);
}

#[tokio::test]
async fn a_whole_document_is_held_to_the_same() {
    let kit = acme(|_| ()).await;
    let mut document = kit.get(&admin_of("acme"), "/tenants/acme/document").await.json;
    document["title"] = json!("ours");
    let put = kit.ask(&admin_of("acme"), "PUT", "/tenants/acme/document", &STAR, document.clone()).await;
    assert_eq!((put.status, &put.json["changed"]), (200, &json!(true)), "what others decided may stay: {put:?}");
    document["servers"]["web"]["url"] = json!("https://evil.example");
    document["servers"]["run"]["command"] = json!("sh");
    let dry = "/tenants/acme/document?dry_run=true";
    for path in ["/tenants/acme/document", dry] {
        let refused = kit.ask(&admin_of("acme"), "PUT", path, &STAR, document.clone()).await;
        let expected = [
            "/servers/run/env/TOKEN",
            "/servers/run/command",
            "/servers/web/headers/X-Key",
            "/servers/web/oauth/client_secret",
        ];
        assert_eq!((refused.status, refused.pointers()), (403, expected.to_vec()), "{refused:?}");
    }
}
