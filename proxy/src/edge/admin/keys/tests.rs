use serde_json::{Value as Json, json};

use super::super::tests::{Kit, admin_of, platform, viewer_of};

const TENANT: &str = "tenant: acme\ntoolsets:\n  readers: { access: anonymous }\n";

async fn kit() -> Kit {
    let kit = Kit::new().await;
    kit.apply(TENANT).await;
    kit.apply("tenant: other\n").await;
    kit
}

async fn made(kit: &Kit, label: &str) -> Json {
    let answer = kit.ask(&admin_of("acme"), "POST", "/tenants/acme/keys", &[], json!({ "label": label })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json
}

fn ids(page: &Json) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn only_the_tenants_own_admins_make_and_end_keys_and_others_do_not_hear_of_them() {
    let kit = kit().await;
    let key = made(&kit, "laptop").await;
    let one = format!("/tenants/acme/keys/{}", key["id"].as_str().unwrap());
    let rotate = format!("{one}/rotate");
    let any = [("if-match", "*")];
    let nowhere = kit.ask(&platform(), "GET", "/tenants/nowhere/keys", &[], Json::Null).await;
    for (method, path, body) in [
        ("GET", "/tenants/acme/keys", Json::Null),
        ("POST", "/tenants/acme/keys", json!({ "label": "x" })),
        ("GET", one.as_str(), Json::Null),
        ("DELETE", one.as_str(), Json::Null),
        ("POST", rotate.as_str(), json!({})),
    ] {
        let other = kit.ask(&admin_of("other"), method, path, &any, body.clone()).await;
        assert_eq!((other.status, &other.text), (404, &nowhere.text), "{method} {path}");
        let viewer = kit.ask(&viewer_of("acme"), method, path, &any, body).await;
        assert_eq!(viewer.status, if method == "GET" { 200 } else { 403 }, "{method} {path}");
    }
    let foreign = one.replace("acme", "other");
    assert_eq!(kit.ask(&admin_of("other"), "DELETE", &foreign, &any, Json::Null).await.status, 404);
    assert_eq!(kit.get(&viewer_of("acme"), &one).await.json["state"], "active");
}

#[tokio::test]
async fn a_key_is_shown_when_it_is_made_and_never_again() {
    let kit = kit().await;
    let body = json!({ "label": "ci", "toolsets": ["readers"], "expires_days": 7 });
    let answer = kit.ask(&admin_of("acme"), "POST", "/tenants/acme/keys", &[], body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let (key, place) = (answer.json["key"].as_str().unwrap(), answer.header("location").unwrap());
    assert!(key.starts_with("pb_") && key.starts_with(answer.json["shown"].as_str().unwrap()));
    let one = kit.get(&viewer_of("acme"), place.strip_prefix("/admin/v1").unwrap()).await;
    assert_eq!(one.tag(), answer.tag());
    assert_eq!((&one.json["toolsets"], &one.json["label"]), (&json!(["readers"]), &json!("ci")));
    assert!(one.json["expires"].is_string() && one.json["key"].is_null() && one.json["used"].is_null());
    let list = kit.get(&viewer_of("acme"), "/tenants/acme/keys").await;
    let audit = kit.get(&viewer_of("acme"), "/tenants/acme/audit").await;
    for text in [&one.text, &list.text, &audit.text] {
        assert!(!text.contains(key), "{text}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_a_key_is_said_at_once() {
    let kit = kit().await;
    let body = json!({ "label": " ", "toolsets": ["readers", "none", "readers"], "expires": "2020-01-01T00:00:00Z" });
    let answer = kit.ask(&admin_of("acme"), "POST", "/tenants/acme/keys", &[], body).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.pointers(), ["/label", "/toolsets/1", "/toolsets/2", "/expires"]);
    for body in [
        json!({ "label": "a", "toolsets": [] }),
        json!({ "label": "a", "expires_days": 0 }),
        json!({ "label": "a", "expires_days": 3651 }),
        json!({ "label": "a", "expires_days": 3, "expires": "2120-01-01T00:00:00Z" }),
        json!({ "label": "a", "else": 1 }),
        json!({}),
    ] {
        let answer = kit.ask(&admin_of("acme"), "POST", "/tenants/acme/keys", &[], body).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(kit.get(&viewer_of("acme"), "/tenants/acme/keys").await.json["items"], json!([]));
    let unknown = kit.ask(&viewer_of("acme"), "GET", "/tenants/acme/keys?nonsense=1", &[], Json::Null).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn a_key_is_revoked_once_however_often_it_is_asked_for() {
    let kit = kit().await;
    let (admin, key) = (admin_of("acme"), made(&kit, "laptop").await);
    let path = format!("/tenants/acme/keys/{}", key["id"].as_str().unwrap());
    let tag = kit.get(&admin, &path).await.tag();
    assert_eq!(kit.ask(&admin, "DELETE", &path, &[], Json::Null).await.status, 428);
    assert_eq!(kit.ask(&admin, "DELETE", &path, &[("if-match", "\"00\"")], Json::Null).await.status, 412);
    assert_eq!(kit.ask(&admin, "DELETE", &path, &[("if-match", &tag)], Json::Null).await.status, 204);
    let revoked = kit.get(&admin, &path).await;
    assert_eq!(revoked.json["state"], "revoked");
    for condition in [tag.as_str(), "*"] {
        assert_eq!(kit.ask(&admin, "DELETE", &path, &[("if-match", condition)], Json::Null).await.status, 204);
    }
    assert_eq!(kit.ask(&admin, "DELETE", &path, &[], Json::Null).await.status, 428);
    assert_eq!(kit.get(&admin, &path).await.json["revoked"], revoked.json["revoked"]);
    let changes = kit.get(&admin, "/tenants/acme/audit?action=config.update&actor=admin_key:*").await;
    let told: Vec<_> = changes.json["items"].as_array().unwrap().iter().map(Json::to_string).collect();
    assert_eq!(told.iter().filter(|record| record.contains("revoked the key")).count(), 1, "{told:?}");
}

#[tokio::test]
async fn a_key_that_is_replaced_goes_on_for_as_long_as_it_is_wanted() {
    let kit = kit().await;
    let admin = admin_of("acme");
    let body = json!({ "label": "ci", "toolsets": ["readers"], "expires_days": 2 });
    let former = kit.ask(&admin, "POST", "/tenants/acme/keys", &[], body).await.json;
    let path = format!("/tenants/acme/keys/{}", former["id"].as_str().unwrap());
    let rotate = format!("{path}/rotate");
    for body in [json!({ "overlap_s": 2_592_001 }), json!({ "expires_days": 0 }), json!({ "else": 1 })] {
        assert_eq!(kit.ask(&admin, "POST", &rotate, &[], body).await.status, 422);
    }
    let overlapping = kit.ask(&admin, "POST", &rotate, &[], json!({ "overlap_s": 3600 })).await;
    assert_eq!(overlapping.status, 201, "{overlapping:?}");
    let (new, old) = (&overlapping.json, kit.get(&admin, &path).await.json);
    assert_eq!((&new["label"], &new["toolsets"]), (&former["label"], &former["toolsets"]));
    assert!(new["key"] != former["key"] && new["id"] != former["id"] && new["expires"].is_string());
    assert_eq!(old["state"], "active");
    assert!(old["expires"].as_str().unwrap() < former["expires"].as_str().unwrap());

    let at_once = kit.ask(&admin, "POST", &rotate, &[], json!({})).await;
    assert_eq!(at_once.status, 201);
    assert_eq!(kit.get(&admin, &path).await.json["state"], "revoked");
    assert_eq!(kit.ask(&admin, "POST", &rotate, &[], json!({})).await.status, 409);
    let active = kit.get(&admin, "/tenants/acme/keys?state=active").await.json;
    assert_eq!(ids(&active).len(), 2);
}

#[tokio::test]
async fn pages_of_keys_neither_repeat_nor_skip() {
    let kit = kit().await;
    let mut all = Vec::new();
    for number in 0..23 {
        all.push(made(&kit, &format!("key {number}")).await["id"].as_str().unwrap().to_owned());
    }
    let (mut seen, mut path) = (Vec::new(), "/tenants/acme/keys?limit=5".to_owned());
    loop {
        let page = kit.get(&viewer_of("acme"), &path).await.json;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/tenants/acme/keys?limit=5&cursor={next}");
    }
    // Those of the same millisecond stand in the order of their ids.
    all.sort();
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!((sorted, seen.len()), (all, 23));
}
