use serde_json::{Value as Json, json};

use super::super::tests::{Kit, admin_of, viewer_of};

const ONE: &str = "tenant: acme\nissuers:\n  corp:\n    issuer: https://login.example\n";
const TWO: &str = "tenant: two\nissuers:\n  corp:\n    issuer: https://login.example\n  else:\n    \
                   issuer: https://else.example\n";

async fn kit() -> Kit {
    let kit = Kit::new().await;
    for yaml in [ONE, TWO, "tenant: none\n"] {
        kit.apply(yaml).await;
    }
    kit
}

#[tokio::test]
async fn what_is_revoked_is_shown_revoked_once_and_taken_back_by_the_tenants_own() {
    let kit = kit().await;
    let (admin, path) = (admin_of("acme"), "/tenants/acme/revocations");
    for (who, status) in [(admin_of("two"), 404), (viewer_of("acme"), 403)] {
        assert_eq!(kit.ask(&who, "POST", path, &[], json!({ "jti": "a" })).await.status, status);
    }
    let answer = kit.ask(&admin, "POST", path, &[], json!({ "jti": "a", "reason": "lost" })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let expected = json!({
        "id": answer.json["id"], "kind": "token", "issuer": "corp", "iss": "https://login.example", "jti": "a",
        "reason": "lost", "created": answer.json["created"], "expires": answer.json["expires"],
    });
    assert_eq!(answer.json, expected);
    let again = kit.ask(&admin, "POST", path, &[], json!({ "jti": "a", "for_days": 1 })).await;
    assert_eq!((again.status, &again.json), (200, &expected));

    for body in [json!({ "subject": "ann" }), json!({ "subject": "ann", "until_now": true, "issuer": "corp" })] {
        let answer = kit.ask(&admin, "POST", path, &[], body).await;
        assert_eq!((answer.status, &answer.json["expires"]), (201, &Json::Null), "{answer:?}");
    }
    let first = kit.get(&viewer_of("acme"), &format!("{path}?limit=2")).await.json;
    let rest = kit.get(&viewer_of("acme"), &format!("{path}?cursor={}", first["next"].as_str().unwrap())).await.json;
    let kinds =
        |page: &Json| page["items"].as_array().unwrap().iter().map(|it| it["kind"].to_string()).collect::<Vec<_>>();
    let mut all: Vec<String> = [kinds(&first), kinds(&rest)].concat();
    all.sort();
    assert_eq!(all, ["\"subject\"", "\"subject_before\"", "\"token\""]);

    let one = answer.header("location").unwrap().strip_prefix("/admin/v1").unwrap();
    assert_eq!(kit.get(&viewer_of("acme"), one).await.tag(), answer.tag());
    assert_eq!(kit.ask(&admin_of("two"), "GET", one, &[], Json::Null).await.status, 404);
    assert_eq!(kit.ask(&admin_of("two"), "GET", &one.replace("acme", "two"), &[], Json::Null).await.status, 404);
    assert_eq!(kit.ask(&admin, "DELETE", one, &[], Json::Null).await.status, 428);
    assert_eq!(kit.ask(&admin, "DELETE", one, &[("if-match", "\"0\"")], Json::Null).await.status, 412);
    assert_eq!(kit.ask(&admin, "DELETE", one, &[("if-match", &answer.tag())], Json::Null).await.status, 204);
    assert_eq!(kit.ask(&admin, "DELETE", one, &[("if-match", "*")], Json::Null).await.status, 404);
}

#[tokio::test]
async fn all_that_is_wrong_with_a_revocation_is_said_at_once() {
    let kit = kit().await;
    let long = "x".repeat(1025);
    for (tenant, body, pointers) in [
        ("acme", json!({}), vec![""]),
        ("acme", json!({ "jti": "a", "subject": "b" }), vec![""]),
        ("acme", json!({ "jti": long, "reason": "", "for_days": 0 }), vec!["/jti", "/reason", "/for_days"]),
        ("acme", json!({ "jti": "a", "until_now": true, "issuer": "none" }), vec!["/until_now", "/issuer"]),
        ("two", json!({ "jti": "a" }), vec!["/issuer"]),
        ("none", json!({ "jti": "a" }), vec!["/issuer"]),
    ] {
        let path = format!("/tenants/{tenant}/revocations");
        let answer = kit.ask(&admin_of(tenant), "POST", &path, &[], body).await;
        assert_eq!((answer.status, answer.pointers()), (422, pointers), "{answer:?}");
    }
}
