//! A tenant's whole document: as JSON and as YAML, rehearsed and put.

use patchbay_store::{OpenOptions, Vault};
use serde_json::{Value as Json, json};

use super::{Kit, admin_of, platform, viewer_of};

const PATH: &str = "/tenants/acme/document";
const YAML: (&str, &str) = ("content-type", "application/yaml");

#[tokio::test]
async fn a_tenant_is_made_from_yaml_and_read_back_in_both_forms() {
    let kit = Kit::new().await;
    let text = "tenant: acme\ntitle: Acme\nservers:\n  web:\n    url: https://mcp.example.org/mcp\n    headers: { X-Key: s3cret }\n";
    let put =
        async |headers: &[(&str, &str)], path: &str| kit.send(&platform(), "PUT", path, headers, text.to_owned()).await;
    let rehearsed = put(&[YAML], "/tenants/acme/document?dry_run=true").await;
    assert_eq!((rehearsed.status, &rehearsed.json["generation"]), (200, &json!(0)), "{rehearsed:?}");
    assert!(rehearsed.json["diff"].as_str().unwrap().contains("+ tenant acme"), "{rehearsed:?}");
    assert_eq!(put(&[YAML], PATH).await.status, 428);
    assert_eq!(put(&[YAML, ("if-match", "*")], PATH).await.status, 412);
    assert_eq!(put(&[("content-type", "text/plain"), ("if-none-match", "*")], PATH).await.status, 415);
    let made = put(&[YAML, ("if-none-match", "*")], PATH).await;
    assert_eq!(
        (made.status, &made.json["changed"], &made.json["generation"]),
        (201, &json!(true), &json!(1)),
        "{made:?}"
    );
    assert_eq!(made.header("location"), Some("/admin/v1/tenants/acme"));
    assert!(!made.text.contains("s3cret"));
    assert_eq!(put(&[YAML, ("if-none-match", "*")], PATH).await.status, 412);

    let json = kit.get(&viewer_of("acme"), PATH).await;
    assert_eq!(json.tag(), made.tag());
    assert_eq!(json.json["servers"]["web"]["headers"], json!({ "X-Key": "${sealed}" }));
    let yaml = kit.ask(&viewer_of("acme"), "GET", PATH, &[("accept", "application/yaml")], Json::Null).await;
    assert_eq!((yaml.header("content-type"), yaml.header("vary")), (Some("application/yaml"), Some("accept")));
    assert!(yaml.text.starts_with("tenant: acme\n") && yaml.tag() != json.tag(), "{yaml:?}");
    let back = [YAML, ("if-match", yaml.header("etag").unwrap())];
    let same = kit.send(&admin_of("acme"), "PUT", PATH, &back, yaml.text.clone()).await;
    assert_eq!(
        (same.status, &same.json["changed"], &same.json["generation"]),
        (200, &json!(false), &json!(1)),
        "{same:?}"
    );
    let same = kit.ask(&admin_of("acme"), "PUT", PATH, &[("if-match", &json.tag())], json.json.clone()).await;
    assert_eq!((same.status, &same.json["changed"]), (200, &json!(false)), "{same:?}");
}

#[tokio::test]
async fn a_rehearsal_says_what_would_be_different_and_writes_nothing() {
    let kit = Kit::new().await;
    kit.apply("tenant: acme\nservers: { a: { builtin: weather, enabled: false } }").await;
    let wanted = json!({ "tenant": "acme", "title": "new", "servers": { "b": { "command": "nobody-has-this" } } });
    let dry = format!("{PATH}?dry_run=true");
    let told = kit.ask(&platform(), "PUT", &dry, &[], wanted.clone()).await;
    assert_eq!((told.status, &told.json["changed"], &told.json["generation"]), (200, &json!(true), &json!(1)));
    let diff = told.json["diff"].as_str().unwrap();
    assert!(diff.contains("- server a") && diff.contains("+ server b"), "{diff}");
    assert!(told.json["warnings"][0].as_str().unwrap().contains("operator's list"), "{told:?}");
    assert!(told.header("etag").is_none());
    assert_eq!(kit.ask(&platform(), "PUT", &dry, &[("if-match", "\"x\"")], wanted).await.status, 412);
    let same = kit.ask(&platform(), "PUT", &dry, &[], kit.get(&platform(), PATH).await.json).await;
    assert_eq!(
        (&same.json["changed"], same.json["diff"].as_str().unwrap().contains("nothing changes")),
        (&json!(false), true)
    );
    let bad = kit.ask(&platform(), "PUT", &dry, &[], json!({ "tenant": "acme", "servers": { "b": {} }, "x": 1 })).await;
    assert_eq!((bad.status, bad.pointers()), (422, vec!["/servers/b", "/x"]), "{bad:?}");
    assert_eq!(kit.get(&platform(), "/tenants/acme").await.json["generation"], 1);
}

#[tokio::test]
async fn only_platform_admins_make_tenants_and_no_document_is_for_another() {
    let kit = Kit::new().await;
    let new = [("if-none-match", "*")];
    for path in [PATH, "/tenants/acme/document?dry_run=true"] {
        let refused = kit.ask(&admin_of("acme"), "PUT", path, &new, json!({ "tenant": "acme" })).await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    kit.apply("tenant: acme").await;
    kit.apply("tenant: other").await;
    let astray = kit.ask(&admin_of("acme"), "PUT", PATH, &[("if-match", "*")], json!({ "tenant": "other" })).await;
    assert_eq!((astray.status, astray.pointers()), (422, vec!["/tenant"]), "{astray:?}");
    let twice =
        kit.send(&platform(), "PUT", PATH, &[YAML, ("if-match", "*")], "tenant: acme\ntenant: acme\n".to_owned()).await;
    assert_eq!(twice.status, 422, "{twice:?}");
    let lacking = json!({ "tenant": "acme", "servers": { "a": { "url": "https://a.example", "headers": { "X": "${sealed}" } } } });
    let refused = kit.ask(&platform(), "PUT", PATH, &[("if-match", "*")], lacking).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/servers/a/headers/X"]), "{refused:?}");
}

#[tokio::test]
async fn a_tenant_whose_secrets_no_key_opens_is_put_anew_by_whoever_means_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/patchbay.db", folder.path().display());
    let sealed = patchbay_store::open(&url, Vault::new(9, [9; 32]), OpenOptions::default()).await.unwrap();
    let text = "tenant: acme\nservers: { a: { url: 'https://a.example', headers: { X: old } } }";
    let doc = patchbay_config::tenant_from_yaml(text, "t", &|_| Err(String::new())).unwrap();
    sealed.tenant_apply(&doc, None, &patchbay_store::Note::by_operator("a test", 0)).await.unwrap();
    sealed.close().await;

    let kit = Kit::at(&url, |_| ()).await;
    let closed = kit.ask(&platform(), "GET", PATH, &[], Json::Null).await;
    assert!(closed.status == 409 && closed.text.contains("cannot be opened"), "{closed:?}");
    assert_eq!(kit.get(&platform(), "/tenants/acme").await.json["name"], "acme");
    let anew =
        json!({ "tenant": "acme", "servers": { "a": { "url": "https://a.example", "headers": { "X": "new" } } } });
    let any = [("if-match", "*")];
    assert_eq!(kit.ask(&platform(), "PUT", PATH, &[("if-match", "\"x\"")], anew.clone()).await.status, 409);
    assert_eq!(kit.ask(&admin_of("acme"), "PUT", PATH, &any, anew.clone()).await.status, 409);
    let put = kit.ask(&platform(), "PUT", PATH, &any, anew).await;
    assert_eq!((put.status, &put.json["generation"]), (200, &json!(2)), "{put:?}");
    assert_eq!(kit.get(&platform(), PATH).await.tag(), put.tag());
}
