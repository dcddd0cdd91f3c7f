use serde_json::{Value, json};

use super::{
    super::kit::{Guarded, admin_of, viewer_of},
    *,
};

const IN_2100: &str = "2100-01-01T00:00:00.000Z";

/// Who asks, and what for, in one line.
async fn ask(guarded: &Guarded, who: &NewAdminKey, line: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let answer = guarded.ask(who.secret.expose_secret(), line, headers, body).await;
    (answer.status, if answer.body.is_empty() { Value::Null } else { answer.json() })
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_do_more_than_they() {
    let guarded = Guarded::new().await;
    let (admin, viewer) = (guarded.key(admin_of("acme")).await, guarded.key(viewer_of("acme")).await);
    for (role, tenant, expected) in [
        ("platform_admin", None, 403),
        ("tenant_admin", Some("umbrella"), 404),
        ("tenant_viewer", Some("umbrella"), 404),
        ("tenant_viewer", Some("nowhere"), 404),
        ("tenant_admin", Some("acme"), 201),
        ("tenant_viewer", Some("acme"), 201),
    ] {
        let body = json!({ "label": "x", "role": role, "tenant": tenant });
        assert_eq!(guarded.post(&admin, "/admin-keys", &body).await.status, expected, "{body}");
        assert_eq!(guarded.post(&viewer, "/admin-keys", &body).await.status, 403, "{body}");
    }
    let body = |tenant: &str| json!({ "label": "x", "role": "tenant_admin", "tenant": tenant });
    let (foreign, nowhere) = (
        guarded.post(&admin, "/admin-keys", &body("umbrella")).await,
        guarded.post(&admin, "/admin-keys", &body("nowhere")).await,
    );
    assert_eq!(foreign.body, nowhere.body);
    assert_eq!(guarded.house.app.store.admin_key_list().await.unwrap().len(), 4);
}

#[tokio::test]
async fn what_is_wrong_is_said_all_at_once() {
    let guarded = Guarded::new().await;
    let platform = guarded.key(Grant::PlatformAdmin).await;
    for (body, expected) in [
        (json!({ "label": "", "role": "tenant_admin", "expires": "soon" }), &["/label", "/expires", "/tenant"][..]),
        (json!({ "label": " x", "role": "platform_admin", "tenant": "acme" }), &["/label", "/tenant"]),
        (json!({ "label": "x".repeat(101), "role": "platform_admin" }), &["/label"]),
        (json!({ "label": "a\nb", "role": "tenant_viewer", "tenant": "No Name" }), &["/label", "/tenant"]),
        (json!({ "label": "x", "role": "platform_admin", "expires": "2001-01-01T00:00:00Z" }), &["/expires"]),
        (json!({ "label": "x", "role": "tenant_admin", "tenant": "nowhere" }), &["/tenant"]),
    ] {
        let (status, problem) = ask(&guarded, &platform, "POST /admin-keys", &[], &body).await;
        assert_eq!((status, pointers(&problem)), (422, expected.to_vec()), "{body}");
    }
    for body in [
        json!({ "label": "x", "role": "king" }),
        json!({ "label": "x" }),
        json!({ "label": "x", "role": "platform_admin", "key": "pba_mine" }),
    ] {
        assert_eq!(ask(&guarded, &platform, "POST /admin-keys", &[], &body).await.0, 422, "{body}");
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_works() {
    let guarded = Guarded::new().await;
    let platform = guarded.key(Grant::PlatformAdmin).await;
    let body = json!({ "label": "ci of acme", "role": "tenant_admin", "tenant": "acme", "expires": IN_2100 });
    let made = guarded.post(&platform, "/admin-keys", &body).await;
    let (shown, at) = (made.json(), made.header("location").to_owned());
    let key = shown["key"].as_str().unwrap();
    assert!(key.starts_with("pba_") && key.len() == 47 && key.starts_with(shown["shown"].as_str().unwrap()));
    let fields = ["label", "role", "tenant", "state", "expires"].map(|name| shown[name].as_str().unwrap());
    assert_eq!(fields, ["ci of acme", "tenant_admin", "acme", "active", IN_2100]);
    assert_eq!(at, format!("/admin/v1/admin-keys/{}", shown["id"].as_str().unwrap()));
    let path = at.strip_prefix(ROOT).unwrap();
    let found = guarded.get(&platform, path).await;
    assert_eq!((found.status, found.header("etag")), (200, made.header("etag")));
    let all = String::from_utf8([found.body, guarded.get(&platform, "/admin-keys").await.body].concat()).unwrap();
    assert!(!all.contains(&key[12..]));
    let me = guarded.ask(key, "GET /me", &[], &Value::Null).await.json();
    assert_eq!(me["grants"], json!([{ "role": "tenant_admin", "tenant": "acme" }]));
    // That it was used is no reason to refuse who saw it before.
    while guarded.get(&platform, path).await.json()["used"].is_null() {
        tokio::task::yield_now().await;
    }
    assert_eq!(guarded.get(&platform, path).await.header("etag"), made.header("etag"));
}

#[tokio::test]
async fn everybody_sees_the_keys_that_they_manage() {
    let guarded = Guarded::new().await;
    let platform = guarded.key(Grant::PlatformAdmin).await;
    let (acme, umbrella) = (guarded.key(admin_of("acme")).await, guarded.key(admin_of("umbrella")).await);
    let viewer = guarded.key(viewer_of("acme")).await;
    let old = guarded.key_until(viewer_of("acme"), Some(1)).await;
    let ids = async |who: &NewAdminKey, query: &str| -> Vec<String> {
        let listed = guarded.get(who, &format!("/admin-keys{query}")).await.json();
        let mut ids: Vec<_> =
            listed["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let of = |keys: &[&NewAdminKey]| {
        let mut ids: Vec<_> = keys.iter().map(|key| key.row.id.to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&platform, "").await, of(&[&platform, &acme, &umbrella, &viewer, &old]));
    assert_eq!(ids(&acme, "").await, of(&[&acme, &viewer, &old]));
    assert_eq!(ids(&acme, "?tenant=umbrella").await, of(&[]));
    assert_eq!(ids(&platform, "?tenant=acme&state=active").await, of(&[&acme, &viewer]));
    assert_eq!(ids(&platform, "?state=expired").await, of(&[&old]));
    assert_eq!(guarded.get(&viewer, "/admin-keys").await.status, 403);
    for query in ["?state=odd", "?stat=active", "?limit=0", "?limit=1001", "?cursor=*"] {
        assert_eq!(guarded.get(&platform, &format!("/admin-keys{query}")).await.status, 400, "{query}");
    }
    let (mut query, mut paged) = ("?limit=2".to_owned(), Vec::new());
    loop {
        let page = guarded.get(&platform, &format!("/admin-keys{query}")).await.json();
        paged.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    paged.sort();
    assert_eq!(paged, ids(&platform, "").await);
}

#[tokio::test]
async fn keys_of_others_are_not_there() {
    let guarded = Guarded::new().await;
    let platform = guarded.key(Grant::PlatformAdmin).await;
    let (acme, umbrella) = (guarded.key(admin_of("acme")).await, guarded.key(admin_of("umbrella")).await);
    let unknown = guarded.get(&acme, &format!("/admin-keys/{}", KeyId::random())).await;
    assert_eq!(unknown.status, 404);
    for id in [platform.row.id.to_string(), umbrella.row.id.to_string(), "odd".to_owned()] {
        for (line, body) in [("GET", Value::Null), ("DELETE", Value::Null), ("POST", json!({}))] {
            let end = if line == "POST" { "/rotate" } else { "" };
            let line = format!("{line} /admin-keys/{id}{end}");
            let answer = guarded.ask(acme.secret.expose_secret(), &line, &[("if-match", "*")], &body).await;
            assert_eq!((answer.status, &answer.body), (404, &unknown.body), "{line}");
        }
    }
}

#[tokio::test]
async fn a_key_is_revoked_on_a_condition_and_stays_in_the_list() {
    let guarded = Guarded::new().await;
    let (platform, other) = (guarded.key(Grant::PlatformAdmin).await, guarded.key(viewer_of("acme")).await);
    let path = format!("/admin-keys/{}", other.row.id);
    let line = format!("DELETE {path}");
    assert_eq!(ask(&guarded, &platform, &line, &[], &Value::Null).await.0, 428);
    assert_eq!(ask(&guarded, &platform, &line, &[("if-match", "\"old\"")], &Value::Null).await.0, 412);
    let tag = guarded.get(&platform, &path).await.header("etag").to_owned();
    assert_eq!(ask(&guarded, &platform, &line, &[("if-match", &tag)], &Value::Null).await.0, 204);
    assert_eq!(guarded.get(&other, "/me").await.status, 401);
    let revoked = guarded.get(&platform, &path).await.json();
    assert!(revoked["state"] == "revoked" && revoked["revoked"].is_string());
    assert_eq!(
        ask(&guarded, &platform, &line, &[("if-match", &tag)], &Value::Null).await.0,
        412,
        "it is not as it was"
    );
    assert_eq!(ask(&guarded, &platform, &line, &[("if-match", "*")], &Value::Null).await.0, 204);
    assert_eq!(guarded.get(&platform, &path).await.json()["revoked"], revoked["revoked"], "since the first time");
}

#[tokio::test]
async fn the_last_key_of_the_platform_does_not_revoke_itself() {
    let guarded = Guarded::new().await;
    let (last, admin) = (guarded.key(Grant::PlatformAdmin).await, guarded.key(admin_of("acme")).await);
    guarded.key_until(Grant::PlatformAdmin, Some(1)).await;
    let line = format!("DELETE /admin-keys/{}", last.row.id);
    let any = [("if-match", "*")];
    assert_eq!(ask(&guarded, &last, &line, &any, &Value::Null).await.0, 409);
    // The last key of a tenant may: the platform makes another.
    let own = format!("DELETE /admin-keys/{}", admin.row.id);
    assert_eq!(ask(&guarded, &admin, &own, &any, &Value::Null).await.0, 204);
    let next = guarded.key(Grant::PlatformAdmin).await;
    assert_eq!(ask(&guarded, &last, &line, &any, &Value::Null).await.0, 204);
    assert_eq!(guarded.get(&next, "/me").await.status, 200);
}

#[tokio::test]
async fn a_rotated_key_gives_way_to_one_that_may_do_the_same() {
    let guarded = Guarded::new().await;
    let platform = guarded.key(Grant::PlatformAdmin).await;
    let now_ms = now_ms();
    let former = guarded.key_until(admin_of("acme"), Some(now_ms + 1_000_000)).await;
    let line = format!("POST /admin-keys/{}/rotate", former.row.id);
    for (body, pointer) in [(json!({ "overlap_s": 604_801 }), "/overlap_s"), (json!({ "expires": "x" }), "/expires")] {
        let (status, problem) = ask(&guarded, &platform, &line, &[], &body).await;
        assert_eq!((status, pointers(&problem)), (422, vec![pointer]));
    }
    let (status, made) = ask(&guarded, &former, &line, &[], &json!({ "overlap_s": 600 })).await;
    assert_eq!(
        (status, &made["role"], &made["tenant"], &made["label"]),
        (201, &json!("tenant_admin"), &json!("acme"), &json!("test"))
    );
    let of = async |digest| guarded.house.app.store.admin_key_find(digest).await.unwrap().unwrap();
    let until_ms = of(former.row.digest).await.expires_ms.unwrap();
    assert!((now_ms + 600_000..now_ms + 700_000).contains(&until_ms), "{until_ms}");
    let new = of(crate::auth::api_key::digest_of(made["key"].as_str().unwrap())).await;
    assert!((now_ms + 1_000_000..now_ms + 1_100_000).contains(&new.expires_ms.unwrap()));
    assert_eq!(guarded.get(&former, "/me").await.status, 200, "it goes on for a while");
    let (status, _) = ask(&guarded, &platform, &line, &[], &json!({ "expires": IN_2100 })).await;
    assert_eq!((status, guarded.get(&former, "/me").await.status), (201, 401), "without an overlap it ends at once");
    assert_eq!(ask(&guarded, &platform, &line, &[], &json!({})).await.0, 409);
    assert_eq!(guarded.ask(made["key"].as_str().unwrap(), "GET /me", &[], &Value::Null).await.status, 200);
}

#[tokio::test]
async fn keys_that_open_something_are_bounded_for_each_tenant() {
    let guarded = Guarded::new().await;
    let (platform, mut last) = (guarded.key(Grant::PlatformAdmin).await, None);
    for _ in 0..ADMIN_KEYS_ACTIVE_MAX {
        last = Some(guarded.key(viewer_of("acme")).await);
    }
    let body = |tenant: &str| json!({ "label": "x", "role": "tenant_viewer", "tenant": tenant });
    assert_eq!(guarded.post(&platform, "/admin-keys", &body("acme")).await.status, 409);
    assert_eq!(guarded.post(&platform, "/admin-keys", &body("umbrella")).await.status, 201);
    let line = format!("DELETE /admin-keys/{}", last.unwrap().row.id);
    assert_eq!(ask(&guarded, &platform, &line, &[("if-match", "*")], &Value::Null).await.0, 204);
    assert_eq!(guarded.post(&platform, "/admin-keys", &body("acme")).await.status, 201);
}

#[tokio::test]
async fn a_key_made_with_an_idempotency_key_is_made_once_and_shown_again() {
    let guarded = Guarded::new().await;
    let platform = guarded.key(Grant::PlatformAdmin).await;
    let body = json!({ "label": "x", "role": "platform_admin" });
    let once = [("idempotency-key", "make-x")];
    let (first, again) = (
        ask(&guarded, &platform, "POST /admin-keys", &once, &body).await,
        ask(&guarded, &platform, "POST /admin-keys", &once, &body).await,
    );
    assert_eq!((first.0, &first), (201, &again));
    assert_eq!(guarded.house.app.store.admin_key_list().await.unwrap().len(), 2);
}
