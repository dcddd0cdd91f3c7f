//! What must pass: every algorithm, every way to write a good token, the edges of the clock; and what is known of somebody then.

use patchbay_core::issuer::{Algorithm, Revoked};
use patchbay_token::{Issuers, Reason, TokenError, self_check};
use serde_json::json;

use crate::{
    mint::Signer,
    world::{ISS, JWKS, NOW, RESOURCE, World, claims, corp, revocation, row, wanted, with},
};

#[test]
fn this_build_can_check_signatures() {
    assert_eq!(self_check(), Ok(()));
}

#[tokio::test]
async fn every_algorithm_verifies_what_it_signed_and_nothing_else() {
    let world = World::new();
    for algorithm in Algorithm::USUAL {
        let signer = match algorithm {
            Algorithm::ES256 => &world.p256,
            Algorithm::ES384 => &world.p384,
            Algorithm::EdDSA => &world.ed,
            _ => &world.rsa,
        };
        let header = with(signer.header(), json!({ "alg": algorithm.as_str() }));
        let text = |claims: &serde_json::Value| {
            format!("{}.{}", crate::mint::base64(header.to_string()), crate::mint::base64(claims.to_string()))
        };
        let signed = text(&claims());
        let signature = crate::mint::base64(signer.sign(algorithm, signed.as_bytes()));
        let verified = world.verify(&format!("{signed}.{signature}")).await;
        assert_eq!(
            verified.map(|verified| verified.who.subject.to_string()),
            Ok("alice".to_owned()),
            "{}",
            algorithm.as_str()
        );
        let other = text(&with(claims(), json!({ "sub": "mallory" })));
        let refused = world.refusal(&format!("{other}.{signature}")).await;
        assert_eq!(refused, Some(Reason::Signature), "{}", algorithm.as_str());
    }
    assert_eq!(world.provider.asked(), [JWKS], "one fetch of the keys is enough for all of them");
}

#[tokio::test]
async fn an_algorithm_that_the_operator_left_out_is_refused_before_any_fetch() {
    let world = World::with(json!({ "algorithms": ["EdDSA"] }));
    assert_eq!(world.refusal(&world.p256.token(&claims())).await, Some(Reason::Algorithm));
    assert!(world.provider.asked().is_empty());
    world.verify(&world.ed.token(&claims())).await.unwrap();
}

#[tokio::test]
async fn good_tokens_pass_however_they_are_written() {
    let world = World::with(json!({ "audiences": ["api://patchbay"] }));
    for members in [
        json!({ "aud": [RESOURCE] }),
        json!({ "aud": ["https://other.example", RESOURCE] }),
        json!({ "aud": "api://patchbay" }),
        json!({ "exp": NOW - 29 }),
        json!({ "exp": NOW as f64 + 0.25 }),
        json!({ "nbf": NOW + 29, "iat": NOW + 29 }),
        json!({ "iat": "(absent)", "jti": "(absent)", "scope": "(absent)", "groups": "(absent)" }),
        json!({ "exp": NOW + 24 * 3600 - 60, "iat": NOW - 60 }),
        json!({ "nonce": "only ID tokens are known by it" }),
        json!({ "unknown": { "deep": [1, 2, { "a": null }] } }),
    ] {
        let verified = world.verify(&world.p256.token(&with(claims(), members.clone()))).await;
        assert!(verified.is_ok(), "{members}: {verified:?}");
    }
    for typ in ["AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        let header = with(world.p256.header(), json!({ "typ": typ }));
        world.verify(&world.p256.token_of(&header.to_string(), &claims().to_string())).await.unwrap();
    }
    let nameless = with(world.p256.header(), json!({ "kid": "(absent)" }));
    world.verify(&world.p256.token_of(&nameless.to_string(), &claims().to_string())).await.unwrap();
    let spaced = serde_json::to_string_pretty(&claims()).unwrap();
    world.verify(&world.p256.token_of(&world.p256.header().to_string(), &spaced)).await.unwrap();
}

#[tokio::test]
async fn all_that_is_known_of_somebody_comes_from_the_claims_that_the_operator_named() {
    let world = World::with(json!({
        "claims": { "subject": "oid", "name": "preferred_username", "groups": "realm_access.roles" },
        "scope_implies": { "mcp:write": ["mcp:read"] },
        "scopes_required": ["mcp:base"],
    }));
    let said = json!({
        "oid": "7-42", "preferred_username": "alice@example", "realm_access": { "roles": ["dev", "ops"] },
        "scope": "mcp:write", "client_id": "(absent)", "azp": "ide-2",
    });
    let verified = world.verify(&world.p256.token(&with(claims(), said))).await.unwrap();
    assert_eq!((&*verified.who.subject, verified.who.name.as_deref()), ("7-42", Some("alice@example")));
    assert_eq!((verified.who.client.as_deref(), verified.jti.as_deref()), (Some("ide-2"), Some("token-1")));
    assert_eq!(*verified.groups, ["dev".into(), "ops".into()]);
    assert_eq!(verified.scopes.iter().collect::<Vec<_>>(), ["mcp:read", "mcp:write"]);
    assert_eq!((verified.issued_ms, verified.until_ms), (Some((NOW - 60) * 1000), (NOW + 630) * 1000));
    assert_eq!((&*verified.who.iss, &*verified.audiences), (ISS, &[RESOURCE.into()][..]));
    assert_eq!(world.issuers.required_scopes(&verified.who.issuer), ["mcp:base"]);
}

#[tokio::test]
async fn a_person_stays_the_same_when_the_token_is_refreshed() {
    let world = World::new();
    let first = world.verify(&world.p256.token(&claims())).await.unwrap();
    let refreshed = with(claims(), json!({ "jti": "token-2", "exp": NOW + 900, "scope": "mcp:read" }));
    let second = world.verify(&world.ed.token(&refreshed)).await.unwrap();
    let other = world.verify(&world.ed.token(&with(refreshed, json!({ "sub": "bob" })))).await.unwrap();
    assert!(first.digest == second.digest && first.digest != other.digest);
}

#[tokio::test]
async fn a_rotated_key_counts_after_one_fetch() {
    let world = World::new();
    world.verify(&world.p256.token(&claims())).await.unwrap();
    let next = Signer::p256("p256-2");
    world.provider.put(JWKS, &json!({ "keys": [world.p256.jwk(), next.jwk()] }));
    world.verify(&next.token(&claims())).await.unwrap();
    world.verify(&world.p256.token(&claims())).await.unwrap();
    assert_eq!(world.provider.asked().len(), 2);
}

#[tokio::test]
async fn keys_out_of_reach_are_told_apart_from_bad_tokens() {
    let world = World::new();
    world.provider.take_away(JWKS);
    let token = world.p256.token(&claims());
    let corp = "corp".parse().unwrap();
    assert_eq!(world.verify(&token).await, Err(TokenError::Unavailable { issuer: corp }));
    assert_eq!(world.refusal(&world.p256.token(&with(claims(), json!({ "aud": "x" })))).await, Some(Reason::Audience));
}

#[tokio::test]
async fn a_known_key_counts_while_the_issuer_is_away() {
    let world = World::new();
    world.verify(&world.p256.token(&claims())).await.unwrap();
    world.provider.take_away(JWKS);
    world.verify(&world.p256.token(&with(claims(), json!({ "jti": "token-2" })))).await.unwrap();
}

#[tokio::test]
async fn what_was_revoked_is_refused() {
    let mut world = World::new();
    let token = world.p256.token(&claims());
    let (issuer, subject) = (ISS.to_owned(), "alice".to_owned());
    for (what, refused) in [
        (Revoked::Token { issuer: issuer.clone(), jti: "token-1".into() }, true),
        (Revoked::Token { issuer: issuer.clone(), jti: "token-2".into() }, false),
        (Revoked::Token { issuer: "https://theirs.example".into(), jti: "token-1".into() }, false),
        (Revoked::Subject { issuer: issuer.clone(), subject: subject.clone() }, true),
        (Revoked::SubjectBefore { issuer: issuer.clone(), subject: subject.clone() }, true),
        (Revoked::Subject { issuer, subject: "bob".into() }, false),
    ] {
        world.reload(&[corp(json!({}))], &[revocation(what.clone(), NOW - 10)]);
        assert_eq!(world.refusal(&token).await, refused.then_some(Reason::Revoked), "{what:?}");
    }
    world.reload(&[corp(json!({}))], &[revocation(Revoked::SubjectBefore { issuer: ISS.into(), subject }, NOW - 10)]);
    let newer = world.p256.token(&with(claims(), json!({ "iat": NOW - 9 })));
    assert_eq!(world.refusal(&newer).await, None, "signing in again helps");
    let silent = world.p256.token(&with(claims(), json!({ "iat": "(absent)" })));
    assert_eq!(world.refusal(&silent).await, Some(Reason::Revoked), "who does not say when may be old");
}

#[tokio::test]
async fn people_are_told_where_to_sign_in_in_the_order_of_the_rows() {
    let world = World::new();
    let base = json!({ "issuer": "https://b.example", "registration": { "client_id": "ide", "dynamic": true } });
    let rows = [row("second", base, json!({})), corp(json!({}))];
    let issuers = Issuers::new(&rows, &[], None, world.provider.clone());
    assert_eq!(issuers.iss_list(), ["https://b.example", ISS]);
    let hints: Vec<_> =
        issuers.hints().map(|hint| (hint.name.as_str(), hint.issuer, hint.registration.dynamic)).collect();
    assert_eq!(hints, [("second", "https://b.example", true), ("corp", ISS, false)]);
    assert!(issuers.knows(ISS) && !issuers.knows("https://c.example") && !issuers.is_empty());
    let none = Issuers::new(&[], &[], None, world.provider.clone());
    assert!(none.is_empty() && none.iss_list().is_empty());
    let refused = none.verify(&world.p256.token(&claims()), wanted(), NOW * 1000).await;
    assert_eq!(refused, Err(TokenError::Refused(Reason::UnknownIssuer)));
}
