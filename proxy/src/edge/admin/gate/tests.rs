use std::sync::atomic::Ordering;

use axum::routing::{get, post};
use patchbay_config::GroupGrant;
use patchbay_core::{admin::Grant, issuer::IssuerDoc};
use patchbay_store::Note;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    super::kit::{Answer, Guarded, admin_of, answer, request, slug, viewer_of},
    *,
};
use crate::auth::tests::house::{ISS, issuer};

const PUBLIC: &str = "https://admin.example";

/// A gateway whose issuer signs admins in as well.
async fn with_issuer() -> Guarded {
    Guarded::with(|config| {
        config.admin.public_url = Some(PUBLIC.parse().unwrap());
        let doc = IssuerDoc { spec: issuer("corp", ISS).spec, secrets: [].into() };
        config.admin.issuers.insert(slug("corp"), doc);
        let give = |group: &str, issuer: Option<&str>, grant: Grant| GroupGrant {
            issuer: issuer.map(slug),
            group: group.to_owned(),
            grant,
        };
        config.admin.grants = vec![
            give("platform", Some("corp"), Grant::PlatformAdmin),
            give("leads", None, admin_of("acme")),
            give("leads", None, viewer_of("umbrella")),
            give("elsewhere", Some("other"), Grant::PlatformAdmin),
        ];
    })
    .await
}

/// What somebody is told, without what differs from request to request.
fn told(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let named = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let headers = answer.headers.iter().filter(|(name, _)| *name != REQUEST_ID).map(named).collect();
    (answer.status, String::from_utf8(answer.body.clone()).unwrap(), headers)
}

#[tokio::test]
async fn all_that_opens_nothing_is_told_the_same() {
    let guarded = Guarded::new().await;
    let store = &guarded.house.app.store;
    let acme = guarded.house.open("acme", |_, _| ());
    let (tenants_key, _) = guarded.house.key(acme.id);
    let (revoked, expired) =
        (guarded.key(Grant::PlatformAdmin).await, guarded.key_until(Grant::PlatformAdmin, Some(1)).await);
    store.admin_key_revoke(revoked.row.id, 1, &Note::by_operator("a test", 0)).await.unwrap();
    let good = guarded.key(Grant::PlatformAdmin).await;
    let good = good.secret.expose_secret();
    let mut answers = vec![guarded.send("GET /me", &[], "").await];
    for credential in [
        &tenants_key,
        "pb_garbage",
        "garbage",
        "",
        "pba_unknown",
        &good[..46],
        &format!("{good}A"),
        &format!("pba_{}", "x".repeat(10_000)),
        revoked.secret.expose_secret(),
        expired.secret.expose_secret(),
    ] {
        answers.push(guarded.ask(credential, "GET /me", &[], &Value::Null).await);
    }
    answers.push(guarded.send("GET /me", &[("x-api-key", good)], "").await);
    answers
        .push(guarded.send(&format!("GET /me?access_token={good}"), &[("cookie", &format!("key={good}"))], "").await);
    answers.push(guarded.send("GET /nothing", &[], "").await);
    let first = told(&answers[0]);
    assert_eq!((first.0, answers[0].header("www-authenticate")), (401, "Bearer realm=\"patchbay admin\""));
    for answer in &answers {
        assert_eq!(told(answer), first);
    }
    assert_eq!(guarded.ask(good, "GET /me", &[], &Value::Null).await.status, 200);
    let records = guarded.refusals().await;
    let reasons: Vec<_> = records.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    assert_eq!(
        reasons,
        [
            "unauthenticated",
            "admin_not_taken",
            "admin_not_taken",
            "admin_not_taken",
            "admin_not_taken",
            "admin_key_unknown",
            "admin_key_unknown",
            "admin_key_unknown",
            "admin_key_unknown",
            "admin_key_revoked",
            "admin_key_expired",
            "unauthenticated",
            "unauthenticated",
            "unauthenticated",
        ]
    );
    assert!(records.iter().all(|record| record["actor"]["kind"] == "unknown" && record["rule"].is_string()));
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains(&good[5..20]), "{all}");
}

#[tokio::test]
async fn several_credentials_and_other_schemes_are_malformed() {
    let guarded = Guarded::new().await;
    let key = guarded.key(Grant::PlatformAdmin).await;
    let bearer = format!("Bearer {}", key.secret.expose_secret());
    for headers in [
        &[("authorization", bearer.as_str()), ("authorization", bearer.as_str())][..],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", key.secret.expose_secret())],
    ] {
        assert_eq!(guarded.send("GET /me", headers, "").await.status, 400, "{headers:?}");
    }
    let lower = format!("bearer {}", key.secret.expose_secret());
    assert_eq!(guarded.send("GET /me", &[("authorization", &lower)], "").await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_its_last_use_is_known() {
    let guarded = Guarded::new().await;
    let store = &guarded.house.app.store;
    let key = guarded.key(Grant::PlatformAdmin).await;
    assert_eq!(guarded.get(&key, "/me").await.json()["key"], key.row.id.to_string());
    let used = async || store.admin_key_find(key.row.digest).await.unwrap().unwrap().used_ms;
    while used().await.is_none() {
        tokio::task::yield_now().await;
    }
    store.admin_key_revoke(key.row.id, 1, &Note::by_operator("a test", 0)).await.unwrap();
    assert_eq!(guarded.get(&key, "/me").await.status, 401);
    let of_gone = guarded.key(admin_of("acme")).await;
    assert_eq!(guarded.get(&of_gone, "/tenants/acme").await.status, 200);
    store.tenant_delete(&slug("acme"), None, &Note::by_operator("a test", 0)).await.unwrap();
    assert_eq!(guarded.get(&of_gone, "/me").await.status, 401, "a key goes with its tenant");
}

#[tokio::test]
async fn too_many_failures_hold_back_strangers_and_nobody_who_is_known() {
    let rate = patchbay_core::limits::Rate { count: 3, period: Duration::from_secs(3600), burst: 3 };
    let guarded = Guarded::with(|config| config.limits.failed_sign_ins = Some(rate)).await;
    let (known, fresh) = (guarded.key(Grant::PlatformAdmin).await, guarded.key(Grant::PlatformAdmin).await);
    assert_eq!(guarded.get(&known, "/me").await.status, 200);
    for _ in 0..3 {
        assert_eq!(guarded.ask("pba_guess", "GET /me", &[], &Value::Null).await.status, 401);
    }
    for credential in ["pba_guess", "guess", "pb_guess", fresh.secret.expose_secret()] {
        let answer = guarded.ask(credential, "GET /me", &[], &Value::Null).await;
        assert_eq!(answer.status, 429, "{credential:.8}");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1000);
    }
    assert_eq!(guarded.get(&known, "/me").await.status, 200);
    let door = &guarded.house.app.limits.doors;
    let address = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    assert!(door.may_fail_again(address).await.is_ok(), "clients are counted apart");
    let reasons: Vec<_> = guarded.refusals().await.iter().map(|record| record["reason"].clone()).collect();
    let words = ["admin_key_unknown", "admin_key_unknown", "admin_key_unknown", "sign_ins"];
    assert_eq!(reasons, words, "of those who are held back one has a record");
}

#[tokio::test]
async fn only_listed_names_and_pages_may_ask() {
    let guarded = Guarded::with(|config| {
        config.admin.public_url = Some(PUBLIC.parse().unwrap());
        config.admin.allowed_hosts = vec!["patchbay-admin.ns.svc".to_owned()];
    })
    .await;
    let key = guarded.key(Grant::PlatformAdmin).await;
    let ask = async |headers: &[(&str, &str)]| {
        guarded.ask(key.secret.expose_secret(), "GET /me", headers, &Value::Null).await
    };
    for host in
        ["localhost", "LOCALHOST:1", "127.0.0.1:9091", "[::1]:9091", "admin.example", "patchbay-admin.ns.svc:9091"]
    {
        assert_eq!(ask(&[("host", host)]).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "admin.example.evil", "", "127.0.0.2"] {
        let answer = ask(&[("host", host)]).await;
        assert_eq!((answer.status, &answer.json()["type"]), (403, &json!("urn:patchbay:problem:foreign")), "{host}");
    }
    let page = ask(&[("origin", PUBLIC)]).await;
    assert_eq!(page.status, 200);
    assert!(page.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    for origin in ["null", "http://localhost", "http://localhost:9091", "https://evil.example", "http://admin.example"]
    {
        assert_eq!(ask(&[("origin", origin)]).await.status, 403, "{origin}");
    }
    assert!(guarded.refusals().await.iter().all(|record| record["actor"]["kind"] == "unknown"));
}

#[tokio::test]
async fn bodies_that_a_page_could_send_are_not_read() {
    let guarded = Guarded::new().await;
    let key = guarded.key(Grant::PlatformAdmin).await;
    let new = json!({ "label": "a", "role": "platform_admin" });
    let ask = async |kind: &str| {
        guarded.ask(key.secret.expose_secret(), "POST /admin-keys", &[("content-type", kind)], &new).await
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"]
    {
        let answer = ask(kind).await;
        assert_eq!((answer.status, answer.header("content-type")), (415, "application/problem+json"), "{kind}");
    }
    assert_eq!(ask("Application/JSON; charset=utf-8").await.status, 201);
}

#[tokio::test]
async fn every_answer_says_how_it_may_be_used_and_under_which_id_it_is_known() {
    let guarded = Guarded::new().await;
    let key = guarded.key(viewer_of("acme")).await;
    let refused = guarded.send("GET /me", &[], "").await;
    let answers = [
        guarded.get(&key, "/me").await,
        guarded.get(&key, "/nothing").await,
        guarded.send("GET /me", &[("host", "evil.example")], "").await,
        guarded.ask(key.secret.expose_secret(), "PUT /me", &[], &Value::Null).await,
    ];
    let mut ids = std::collections::BTreeSet::new();
    for answer in answers.iter().chain([&refused]) {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        ids.insert(answer.header("x-request-id").to_owned());
    }
    assert_eq!((ids.len(), answers.map(|answer| answer.status)), (5, [200, 404, 403, 405]));
    let records = guarded.refusals().await;
    assert_eq!(records[0]["event"], refused.header("x-request-id"), "{records:#?}");
}

#[tokio::test]
async fn people_have_the_roles_of_their_groups() {
    let guarded = with_issuer().await;
    let token = |claims: Value| {
        let mut all = json!({ "aud": PUBLIC });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        guarded.house.issuer.token(&all)
    };
    let ask = async |token: &str, line: &str| guarded.ask(token, line, &[], &Value::Null).await;
    let lead = token(json!({ "groups": ["leads", "others"], "name": "Ann" }));
    let me = ask(&lead, "GET /me").await.json();
    let grants =
        json!([{ "role": "tenant_admin", "tenant": "acme" }, { "role": "tenant_viewer", "tenant": "umbrella" }]);
    assert_eq!(me, json!({ "kind": "token", "issuer": "corp", "subject": "ann", "name": "Ann", "grants": grants }));
    let boss = token(json!({ "groups": "platform", "aud": [format!("{PUBLIC}/"), "x"] }));
    assert_eq!(ask(&boss, "GET /me").await.json()["grants"], json!([{ "role": "platform_admin" }]));

    for groups in [json!([]), json!(["others", "elsewhere", "LEADS"]), json!(null)] {
        let answer = ask(&token(json!({ "groups": groups })), "GET /me").await;
        assert_eq!(answer.status, 403, "{groups}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("you are known and have no role"));
    }
    let past = now() - 600;
    for claims in [
        json!({ "aud": "https://tools.example/t/acme/mcp", "groups": ["platform"] }),
        json!({ "aud": "", "groups": ["platform"] }),
        json!({ "iss": "https://evil.example", "groups": ["platform"] }),
        json!({ "exp": past, "iat": past, "groups": ["platform"] }),
    ] {
        assert_eq!(ask(&token(claims.clone()), "GET /me").await.status, 401, "{claims}");
    }
    let records = guarded.refusals().await;
    let roleless = records.iter().filter(|record| record["reason"] == "admin_no_role");
    assert!(roleless.clone().count() == 3 && roleless.clone().all(|record| record["actor"]["subject"] == "ann"));

    guarded.house.issuer.is_down.store(true, Ordering::SeqCst);
    assert_eq!(ask(&lead, "GET /me").await.status, 200, "a known token needs nobody");
}

fn now() -> i64 {
    audit::now_ms() / 1000
}

#[tokio::test]
async fn an_issuer_that_is_away_is_no_refusal() {
    let guarded = with_issuer().await;
    guarded.house.issuer.is_down.store(true, Ordering::SeqCst);
    let token = guarded.house.issuer.token(&json!({ "aud": PUBLIC, "groups": ["platform"] }));
    let answer = guarded.ask(&token, "GET /me", &[], &Value::Null).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert!(guarded.refusals().await.is_empty());
}

#[tokio::test]
async fn neither_an_admin_key_nor_a_tenants_key_is_ever_shown_to_an_issuer() {
    let guarded = with_issuer().await;
    let acme = guarded.house.open("acme", |_, toolset| toolset.access = patchbay_core::model::Access::Both);
    let admin = guarded.key(Grant::PlatformAdmin).await;
    let (key, _) = guarded.house.key(acme.id);
    assert_eq!(guarded.ask(&key, "GET /me", &[], &Value::Null).await.status, 401);
    let at_clients = crate::auth::tests::house::bearer(admin.secret.expose_secret());
    let refused = guarded.house.identify(&guarded.house.door("acme", None), &at_clients).await.unwrap_err();
    assert!(matches!(refused, crate::error::GatewayError::BadCredential(_)), "{refused:?}");
    assert_eq!(guarded.house.issuer.asked(), 0);
}

#[tokio::test]
async fn an_admin_who_wants_what_is_not_theirs_is_on_record_by_name() {
    let guarded = Guarded::new().await;
    let viewer = guarded.key(viewer_of("acme")).await;
    let ask = async |line: &str| guarded.ask(viewer.secret.expose_secret(), line, &[], &Value::Null).await.status;
    assert_eq!(ask("GET /tenants/umbrella").await, 404);
    assert_eq!(ask("DELETE /tenants/acme").await, 403);
    assert_eq!(ask("GET /tenants/acme").await, 200);
    assert_eq!(ask("GET /tenants").await, 200);
    let records = guarded.refusals().await;
    let said: Vec<_> = records.iter().map(|record| (&record["rule"], &record["reason"], &record["status"])).collect();
    assert_eq!(
        said,
        [
            (&json!("GET /tenants/umbrella"), &json!("not_found"), &json!(404)),
            (&json!("DELETE /tenants/acme"), &json!("role"), &json!(403)),
        ]
    );
    for record in records {
        let actor = ["kind", "key", "ip"].map(|name| record["actor"][name].as_str().unwrap());
        assert_eq!(actor, ["admin_key", &viewer.row.id.to_string(), "192.0.2.7"]);
        assert!(record["tenant"].is_null());
    }
}

/// Operations of the test behind the real gate.
fn behind_gate(guarded: &Guarded, router: Router) -> Router {
    behind(guarded.gate.clone(), Arc::new(Desk::of_gateway(guarded.house.app.clone())), router)
}

#[tokio::test]
async fn a_panic_is_a_problem_and_nothing_of_it_is_told() {
    let guarded = Guarded::new().await;
    let key = guarded.key(Grant::PlatformAdmin).await;
    let bearer = format!("Bearer {}", key.secret.expose_secret());
    async fn broken() -> &'static str {
        panic!("secret words")
    }
    let router = behind_gate(&guarded, Router::new().route("/admin/v1/boom", post(broken)));
    for more in [&[][..], &[("idempotency-key", "k")]] {
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        let answer = answer(&router, request("POST /boom", &headers, "")).await;
        assert_eq!((answer.status, answer.header("content-type")), (500, "application/problem+json"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret words"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn what_takes_too_long_ends_and_the_places_of_all_are_counted() {
    let guarded = Guarded::new().await;
    let router = Router::new().route("/admin/v1/", get(std::future::pending::<&'static str>));
    let router = behind_gate(&guarded, router);
    tokio::time::pause();
    let hanging: Vec<_> = (0..REQUESTS_AT_ONCE_MAX)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move { answer(&router, request("GET /", &[], "")).await })
        })
        .collect();
    while guarded.gate.places.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let further = answer(&router, request("GET /", &[], "")).await;
    assert_eq!((further.status, further.header("retry-after")), (503, "1"));
    for one in hanging {
        let answer = one.await.unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.json()["detail"].as_str().unwrap().contains("look whether it was done"));
    }
    assert_eq!(guarded.gate.places.available_permits(), REQUESTS_AT_ONCE_MAX);
}
