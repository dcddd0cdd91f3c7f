//! Tenants by those who may and those who may not.

use serde_json::{Value as Json, json};

use super::{Kit, admin_of, platform, viewer_of};

#[tokio::test]
async fn a_tenant_is_made_changed_and_removed_by_the_state_that_was_seen() {
    let kit = Kit::new().await;
    let made = kit.ask(&platform(), "POST", "/tenants", &[], json!({ "name": "acme", "title": "Acme" })).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/admin/v1/tenants/acme")), "{made:?}");
    assert_eq!(
        (&made.json["title"], &made.json["enabled"], &made.json["generation"]),
        (&json!("Acme"), &json!(true), &json!(1))
    );
    assert_eq!(kit.get(&platform(), "/tenants/acme").await.tag(), made.tag());
    let again = kit.ask(&platform(), "POST", "/tenants", &[], json!({ "name": "acme" })).await;
    assert_eq!(again.status, 409, "{again:?}");

    let patch = json!({ "title": null, "enabled": false });
    let bare = kit.ask(&platform(), "PATCH", "/tenants/acme", &[], patch.clone()).await;
    assert_eq!(bare.status, 428, "{bare:?}");
    let tag = made.tag();
    let patched = kit.ask(&platform(), "PATCH", "/tenants/acme", &[("if-match", &tag)], patch.clone()).await;
    assert_eq!((patched.status, patched.json.get("title"), &patched.json["enabled"]), (200, None, &json!(false)));
    assert_eq!(patched.tag(), kit.get(&platform(), "/tenants/acme").await.tag());
    for method in ["PATCH", "DELETE"] {
        let body = if method == "PATCH" { patch.clone() } else { Json::Null };
        let stale = kit.ask(&platform(), method, "/tenants/acme", &[("if-match", &tag)], body).await;
        assert_eq!(stale.status, 412, "{stale:?}");
    }
    let gone = kit.ask(&platform(), "DELETE", "/tenants/acme", &[("if-match", &patched.tag())], Json::Null).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(kit.ask(&platform(), "GET", "/tenants/acme", &[], Json::Null).await.status, 404);
}

#[tokio::test]
async fn another_tenant_is_as_if_it_were_not_there() {
    let kit = Kit::new().await;
    kit.apply("tenant: acme\nservers: { web: { url: 'https://mcp.example.org/mcp' } }").await;
    kit.apply("tenant: other").await;
    let other = admin_of("other");
    for (method, path, body) in [
        ("GET", "/tenants/NAME", Json::Null),
        ("PATCH", "/tenants/NAME", json!({ "title": "x" })),
        ("GET", "/tenants/NAME/document", Json::Null),
        ("PUT", "/tenants/NAME/document", json!({ "tenant": "acme" })),
        ("GET", "/tenants/NAME/servers", Json::Null),
        ("POST", "/tenants/NAME/servers", json!({ "name": "x", "url": "https://a.example/" })),
        ("GET", "/tenants/NAME/servers/web", Json::Null),
        ("PUT", "/tenants/NAME/servers/web", json!({})),
        ("PATCH", "/tenants/NAME/servers/web", json!({})),
        ("DELETE", "/tenants/NAME/servers/web", Json::Null),
        ("GET", "/tenants/NAME/toolsets/default", Json::Null),
        ("GET", "/tenants/NAME/issuers", Json::Null),
        ("GET", "/tenants/NAME/limits", Json::Null),
        ("PUT", "/tenants/NAME/limits", json!({})),
        ("PATCH", "/tenants/NAME/audit-policy", json!({})),
        ("POST", "/tenants/NAME/probe", json!({ "builtin": "weather" })),
    ] {
        let headers = [("if-match", "*")];
        let there = kit.ask(&other, method, &path.replace("NAME", "acme"), &headers, body.clone()).await;
        let nowhere = kit.ask(&other, method, &path.replace("NAME", "nobody"), &headers, body.clone()).await;
        assert_eq!((there.status, &there.text), (404, &nowhere.text), "{method} {path}: {there:?}");
        assert_eq!(there.headers, nowhere.headers, "{method} {path}");
        if method != "GET" {
            let viewer = kit.ask(&viewer_of("acme"), method, &path.replace("NAME", "acme"), &headers, body).await;
            assert_eq!(viewer.status, 403, "{method} {path}: {viewer:?}");
        }
    }
    for admin in [admin_of("acme"), viewer_of("acme")] {
        assert_eq!(kit.ask(&admin, "POST", "/tenants", &[], json!({ "name": "new" })).await.status, 403);
        assert_eq!(kit.ask(&admin, "DELETE", "/tenants/acme", &[("if-match", "*")], Json::Null).await.status, 403);
    }
}

#[tokio::test]
async fn lists_show_what_one_may_see_page_by_page() {
    let kit = Kit::new().await;
    for name in ["a1", "a2", "a3", "b1"] {
        kit.apply(&format!("tenant: {name}\nenabled: {}", name != "a2")).await;
    }
    let names = |page: &Json| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = kit.get(&platform(), "/tenants?limit=2").await.json;
    assert_eq!(names(&first), ["a1", "a2"]);
    let next = first["next"].as_str().unwrap();
    let second = kit.get(&platform(), &format!("/tenants?limit=2&cursor={next}")).await.json;
    assert_eq!((names(&second), second.get("next")), (vec!["a3".to_owned(), "b1".to_owned()], None));
    assert_eq!(names(&kit.get(&platform(), "/tenants?prefix=a&enabled=true").await.json), ["a1", "a3"]);
    assert_eq!(names(&kit.get(&viewer_of("b1"), "/tenants").await.json), ["b1"]);
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=%00", "prefx=a", "enabled=yes"] {
        let refused = kit.ask(&platform(), "GET", &format!("/tenants?{query}"), &[], Json::Null).await;
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
    }
    let asked = kit.ask(&platform(), "DELETE", "/tenants/a1?dry_run=true", &[("if-match", "*")], Json::Null).await;
    assert_eq!(asked.status, 400, "a parameter that is not known is not passed over: {asked:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_tenant_is_said_by_its_field() {
    let kit = Kit::new().await;
    kit.apply("tenant: acme").await;
    for (body, pointers) in [
        (json!({ "name": "A B" }), vec!["/name"]),
        (json!({ "name": "new", "title": "x".repeat(201) }), vec!["/title"]),
        (json!({ "name": "new", "titel": "x" }), vec![""]),
        (json!([]), vec![""]),
    ] {
        let refused = kit.ask(&platform(), "POST", "/tenants", &[], body).await;
        assert_eq!((refused.status, refused.pointers()), (422, pointers), "{refused:?}");
    }
    for (body, pointers) in [
        (json!({ "servers": {}, "a/b": 1 }), vec!["/servers", "/a~1b"]),
        (json!({ "name": "other" }), vec!["/name"]),
        (json!({ "enabled": "no", "title": [] }), vec!["/enabled", "/title"]),
    ] {
        let refused = kit.ask(&platform(), "PATCH", "/tenants/acme", &[("if-match", "*")], body).await;
        let mut found = refused.pointers();
        found.sort_unstable();
        let mut pointers = pointers;
        pointers.sort_unstable();
        assert_eq!((refused.status, found), (422, pointers), "{refused:?}");
    }
    let text = kit.send(&platform(), "POST", "/tenants", &[("content-type", "text/plain")], "{}".to_owned()).await;
    assert_eq!(text.status, 415, "{text:?}");
    let torn = kit.send(&platform(), "POST", "/tenants", &[("content-type", "application/json")], "{".to_owned()).await;
    assert_eq!(torn.status, 400, "{torn:?}");
    let json = [("content-type", "application/json")];
    let large =
        kit.send(&platform(), "POST", "/tenants", &json, " ".repeat(super::super::ADMIN_BODY_BYTES_MAX + 1)).await;
    assert_eq!(large.status, 413, "{large:?}");
}
