//! What operators are told of a token: each check, what was found and what was expected, and never the token.

use patchbay_core::issuer::Revoked;
use patchbay_token::{Explanation, TokenCache};
use serde_json::json;

use crate::world::{ISS, JWKS, NOW, World, claims, corp, revocation, wanted, with};

async fn explained(world: &World, token: &str) -> Explanation {
    world.issuers.explain(token, wanted(), NOW * 1000).await
}

fn found<'a>(explanation: &'a Explanation, what: &str) -> (bool, &'a str) {
    let check = explanation.checks.iter().find(|check| check.what == what);
    check.map(|check| (check.passed, check.found.as_str())).unwrap_or_else(|| panic!("no {what} in {explanation:?}"))
}

#[tokio::test]
async fn a_good_token_passes_check_by_check() {
    let world = World::new();
    let token = world.p256.token(&claims());
    let explanation = explained(&world, &token).await;
    assert!(explanation.is_good(), "{explanation:?}");
    let checks: Vec<_> = explanation.checks.iter().map(|check| check.what).collect();
    assert_eq!(
        checks,
        [
            "form",
            "header",
            "algorithm",
            "extensions",
            "key name",
            "payload",
            "issuer",
            "allowed",
            "type",
            "claims",
            "times",
            "audience",
            "subject",
            "keys",
            "key",
            "signature",
            "revocations",
            "counts until"
        ]
    );
    let (_, times) = found(&explanation, "times");
    assert_eq!(times, "`iat` 2025-10-09T08:52:20Z, `exp` 2025-10-09T09:03:20Z");
    let (_, keys) = found(&explanation, "keys");
    assert!(keys.contains(JWKS) && keys.contains("`p256-1`") && keys.contains("`ed-1`"), "{keys}");
    let told = format!("{explanation:?}");
    assert!(token.split('.').all(|part| !told.contains(part)));
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let mut world = World::new();
    let what = Revoked::Token { issuer: ISS.into(), jti: "token-1".into() };
    world.reload(&[corp(json!({}))], &[revocation(what, NOW - 5)]);
    let wrong = json!({ "exp": NOW - 3600, "aud": "https://other.example" });
    let explanation = explained(&world, &world.p256.token(&with(claims(), wrong))).await;
    let failed: Vec<_> = explanation.checks.iter().filter(|check| !check.passed).map(|check| check.what).collect();
    assert_eq!(failed, ["times", "audience", "revocations"]);
    let (_, times) = found(&explanation, "times");
    assert!(
        times.contains("expired at 2025-10-09T07:53:20Z") && times.contains("now is 2025-10-09T08:53:20Z"),
        "{times}"
    );
    let (_, audience) = found(&explanation, "audience");
    assert!(audience.contains("`https://other.example`") && audience.contains(crate::world::RESOURCE), "{audience}");
    assert!(found(&explanation, "signature").0, "what can still be checked is");
}

#[tokio::test]
async fn it_ends_where_nothing_more_can_be_said() {
    let world = World::new();
    let foreign = explained(&world, &world.p256.token(&with(claims(), json!({ "iss": "https://x.example" })))).await;
    let last = foreign.checks.last().unwrap();
    assert!(last.what == "issuer" && !last.passed && last.found.contains(ISS), "{last:?}");
    world.provider.take_away(JWKS);
    let alone = explained(&world, &world.p256.token(&claims())).await;
    let last = alone.checks.last().unwrap();
    assert!(last.what == "keys" && !last.passed && last.found.contains(JWKS), "{last:?}");
}

#[tokio::test]
async fn a_key_that_is_not_there_is_named_beside_those_that_are() {
    let world = World::new();
    let header = with(world.p256.header(), json!({ "kid": "p256-0" }));
    let explanation = explained(&world, &world.p256.token_of(&header.to_string(), &claims().to_string())).await;
    let (passed, key) = found(&explanation, "key");
    assert!(!passed && key.contains("`p256-0`"), "{key}");
    assert!(found(&explanation, "keys").1.contains("`p256-1`"));
}

#[tokio::test]
async fn it_says_good_exactly_when_the_token_is() {
    let world = World::new();
    for members in [
        json!({}),
        json!({ "exp": NOW - 31 }),
        json!({ "sub": "" }),
        json!({ "aud": [] }),
        json!({ "nbf": "9" }),
        json!({ "typ": "ID" }),
        json!({ "scope": 1 }),
    ] {
        let token = world.ed.token(&with(claims(), members.clone()));
        assert_eq!(explained(&world, &token).await.is_good(), world.verify(&token).await.is_ok(), "{members}");
    }
}

#[test]
fn nothing_here_prints_secrets() {
    let world = World::with(json!({ "introspection": { "client_id": "patchbay" } }));
    let printed = format!("{:?} {:?}", world.issuers, TokenCache::new(1));
    assert!(!printed.contains("gateways-own") && printed.contains("corp"), "{printed}");
}
