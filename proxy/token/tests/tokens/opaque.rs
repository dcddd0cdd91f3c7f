//! Opaque tokens: only their issuer can say what they are, and what it says is held to the same rules.

use patchbay_core::issuer::Revoked;
use patchbay_token::{Reason, TokenCache, TokenError};
use serde_json::{Value, json};

use crate::world::{ISS, NOW, World, claims, corp, revocation, row, wanted, with};

const INTROSPECT: &str = "https://login.example/realms/acme/introspect";
const TOKEN: &str = "gho_16C7e42F292c6912E7710c838347Ae178B4a";
const NOW_MS: i64 = NOW * 1000;

fn introspecting() -> Value {
    json!({ "introspection": { "url": INTROSPECT, "client_id": "patchbay", "cache_s": 5 } })
}

/// A tenant whose issuer answers this about every token.
fn answering(answer: &Value) -> World {
    let world = World::with(introspecting());
    world.provider.put(INTROSPECT, answer);
    world
}

fn active(members: Value) -> Value {
    with(with(claims(), json!({ "active": true })), members)
}

#[tokio::test]
async fn an_active_token_counts_for_as_long_as_the_answer_does() {
    let (world, cache) = (answering(&active(json!({}))), TokenCache::new(10));
    let verified = cache.verify(world.tenant, &world.issuers, TOKEN, wanted(), NOW_MS).await.unwrap();
    assert_eq!((&*verified.who.subject, verified.until_ms), ("alice", NOW_MS + 5000));
    assert!(verified.scopes.has("mcp:write"));
    assert!(cache.find(world.tenant, &world.issuers, TOKEN, wanted(), NOW_MS + 4999).is_some());
    assert!(cache.find(world.tenant, &world.issuers, TOKEN, wanted(), NOW_MS + 5000).is_none());
    assert_eq!(world.provider.asked(), [INTROSPECT]);
    assert!(world.provider.forms()[0].contains(TOKEN));
    // The person is the same as with a signed token.
    let signed = world.verify(&world.p256.token(&claims())).await.unwrap();
    assert_eq!(signed.digest, verified.digest);
}

#[tokio::test]
async fn it_counts_no_longer_than_it_lives() {
    let world = answering(&active(json!({ "exp": NOW - 28 })));
    assert_eq!(world.verify(TOKEN).await.unwrap().until_ms, NOW_MS + 2000);
}

#[tokio::test]
async fn what_little_an_answer_may_leave_out() {
    let bare = json!({ "active": true, "aud": [crate::world::RESOURCE], "sub": "alice", "exp": null, "scope": null });
    let verified = answering(&bare).verify(TOKEN).await.unwrap();
    assert_eq!((verified.until_ms, verified.issued_ms, verified.jti.is_none()), (NOW_MS + 5000, None, true));
    assert_eq!(verified.scopes.iter().count(), 0);
}

#[tokio::test]
async fn what_the_issuer_says_is_held_to_the_same_rules() {
    for (members, reason) in [
        (json!({ "aud": "(absent)" }), Reason::Audience),
        (json!({ "aud": null }), Reason::Audience),
        (json!({ "aud": "https://other.example" }), Reason::Audience),
        (json!({ "iss": "https://other.example" }), Reason::UnknownIssuer),
        (json!({ "iss": 7 }), Reason::UnknownIssuer),
        (json!({ "exp": NOW - 31 }), Reason::Expired),
        (json!({ "exp": "soon" }), Reason::Claims),
        (json!({ "exp": NOW + 25 * 3600 }), Reason::TooLongLived),
        (json!({ "nbf": NOW + 60 }), Reason::NotYetValid),
        (json!({ "iat": NOW + 60 }), Reason::NotYetValid),
        (json!({ "sub": "(absent)" }), Reason::Subject),
        (json!({ "sub": 7 }), Reason::Subject),
        (json!({ "jti": 7 }), Reason::Claims),
        (json!({ "active": false }), Reason::Inactive),
    ] {
        let world = answering(&active(members.clone()));
        assert_eq!(world.refusal(TOKEN).await, Some(reason), "{members}");
        let explanation = world.issuers.explain(TOKEN, wanted(), NOW_MS).await;
        assert!(!explanation.is_good() && !format!("{explanation:?}").contains(TOKEN), "{members}");
    }
}

#[tokio::test]
async fn an_inactive_token_is_asked_about_once_while_the_answer_counts() {
    let world = answering(&json!({ "active": false }));
    for _ in 0..50 {
        assert_eq!(world.refusal(TOKEN).await, Some(Reason::Inactive));
    }
    assert_eq!(world.provider.asked().len(), 1);
    let later = world.issuers.verify(TOKEN, wanted(), NOW_MS + 5000).await;
    assert_eq!((later, world.provider.asked().len()), (Err(TokenError::Refused(Reason::Inactive)), 2));
}

#[tokio::test]
async fn nobody_is_asked_where_no_issuer_is_to_be() {
    let world = World::new();
    for token in [TOKEN, "a.b", "a.b.c", "a.b.c.d.e"] {
        assert_eq!(world.refusal(token).await, Some(Reason::Malformed), "{token}");
    }
    assert!(world.provider.asked().is_empty());
}

#[tokio::test]
async fn a_token_that_only_looks_signed_is_asked_about_and_one_that_is_signed_is_not() {
    let world = answering(&active(json!({})));
    world.verify("not.a.header").await.unwrap();
    assert_eq!(world.provider.asked(), [INTROSPECT]);
    // Of a forgery with a readable header nobody is asked, however active it would be.
    let forged = world.p256.token_of(r#"{"alg":"none"}"#, &claims().to_string());
    assert_eq!(world.refusal(&forged).await, Some(Reason::Algorithm));
    let foreign = world.p256.token(&with(claims(), json!({ "iss": "https://other.example" })));
    assert_eq!(world.refusal(&foreign).await, Some(Reason::UnknownIssuer));
    assert_eq!(world.refusal(&"x".repeat(17_000)).await, Some(Reason::TooLong));
    assert_eq!(world.provider.asked(), [INTROSPECT]);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_told_apart_from_a_bad_token() {
    let world = World::with(introspecting());
    let corp = "corp".parse().unwrap();
    assert_eq!(world.verify(TOKEN).await, Err(TokenError::Unavailable { issuer: corp }));
}

#[tokio::test]
async fn revocations_count_for_opaque_tokens_too() {
    let mut world = answering(&active(json!({})));
    let what = Revoked::Subject { issuer: ISS.into(), subject: "alice".into() };
    world.reload(&[corp(introspecting())], &[revocation(what, NOW)]);
    assert_eq!(world.refusal(TOKEN).await, Some(Reason::Revoked));
}

#[tokio::test]
async fn issuers_are_asked_in_their_order_and_four_at_most() {
    let mut world = World::new();
    let (name, iss) = (|n: usize| format!("issuer-{n}"), |n: usize| format!("https://i{n}.example"));
    let rows: Vec<_> = (0..6)
        .map(|n| {
            let at = format!("{}/introspect", iss(n));
            world.provider.put(&at, &json!({ "active": false }));
            let introspection = json!({ "introspection": { "url": at, "client_id": "patchbay" } });
            row(&name(n), json!({ "issuer": iss(n) }), introspection)
        })
        .collect();
    world.reload(&rows, &[]);
    assert_eq!(world.refusal(TOKEN).await, Some(Reason::Inactive));
    let asked: Vec<_> = (0..4).map(|n| format!("{}/introspect", iss(n))).collect();
    assert_eq!(world.provider.asked(), asked);
    // One that is away hides nobody behind it.
    world.provider.take_away(&asked[0]);
    world.provider.put(&asked[2], &active(json!({ "iss": iss(2) })));
    let verified = world.issuers.verify("another-token", wanted(), NOW_MS).await.unwrap();
    assert_eq!(verified.who.issuer.as_str(), "issuer-2");
}

#[tokio::test]
async fn who_was_good_before_is_looked_up_however_much_garbage_comes() {
    let world = answering(&active(json!({})));
    world.verify(TOKEN).await.unwrap();
    world.provider.put(INTROSPECT, &json!({ "active": false }));
    let mut kept_out = 0;
    for at in 0..1000 {
        let refused = world.verify(&format!("garbage-{at}")).await.unwrap_err();
        kept_out += usize::from(matches!(refused, TokenError::Unavailable { .. }));
    }
    assert!(kept_out > 500, "{kept_out}");
    world.provider.put(INTROSPECT, &active(json!({})));
    let again = world.issuers.verify(TOKEN, wanted(), NOW_MS + 5000).await;
    assert_eq!(again.map(|verified| verified.who.subject.to_string()), Ok("alice".to_owned()));
}

#[tokio::test]
async fn a_refresh_token_opens_nothing_although_it_is_active() {
    for members in [
        json!({ "token_use": "refresh_token" }),
        json!({ "token_type": "refresh_token" }),
        json!({ "token_type": "Refresh" }),
        json!({ "typ": "Refresh" }),
        json!({ "typ": "Offline" }),
        json!({ "token_use": "id" }),
    ] {
        assert_eq!(answering(&active(members.clone())).refusal(TOKEN).await, Some(Reason::Type), "{members}");
    }
    for members in [
        json!({ "token_use": "access_token", "token_type": "Bearer" }),
        json!({ "typ": "Bearer", "nonce": "n" }),
        json!({ "token_type": "DPoP" }),
    ] {
        assert_eq!(answering(&active(members.clone())).refusal(TOKEN).await, None, "{members}");
    }
}

#[tokio::test]
async fn about_a_token_that_must_be_signed_nobody_is_asked() {
    let (world, cache) = (answering(&active(json!({}))), TokenCache::new(10));
    for token in [TOKEN, "not.a.header"] {
        let refused = cache.verify_signed(world.tenant, &world.issuers, token, wanted(), NOW_MS).await;
        assert!(matches!(refused, Err(TokenError::Refused(Reason::Malformed))), "{refused:?}");
    }
    assert!(world.provider.asked().is_empty() && cache.count() == 0);
    let signed = world.p256.token(&claims());
    assert!(cache.verify_signed(world.tenant, &world.issuers, &signed, wanted(), NOW_MS).await.is_ok());
    assert!(cache.find(world.tenant, &world.issuers, &signed, wanted(), NOW_MS).is_some());
}
