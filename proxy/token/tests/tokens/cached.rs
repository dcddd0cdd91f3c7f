//! The cache: what it serves, to whom, and what makes it forget.

use std::sync::Arc;

use patchbay_core::{TenantId, issuer::Revoked};
use patchbay_token::{Reason, TokenCache, TokenError, Wanted};
use serde_json::json;

use crate::{
    mint::Signer,
    world::{ISS, JWKS, NOW, World, claims, corp, revocation, wanted, with},
};

const NOW_MS: i64 = NOW * 1000;

#[tokio::test]
async fn a_known_token_is_found_until_it_expires_and_by_its_own_tenant_alone() {
    let (world, cache) = (World::new(), TokenCache::new(100));
    let token = world.p256.token(&claims());
    let find = |tenant, token: &str, now_ms| cache.find(tenant, &world.issuers, token, wanted(), now_ms);
    assert!(find(world.tenant, &token, NOW_MS).is_none(), "nobody has verified it");
    let verified = cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    assert!(Arc::ptr_eq(&find(world.tenant, &token, NOW_MS).unwrap(), &verified));
    assert!(find(TenantId::random(), &token, NOW_MS).is_none());
    assert!(find(world.tenant, &token, verified.until_ms - 1).is_some());
    assert!(find(world.tenant, &token, verified.until_ms).is_none());
    let mut other = token.clone();
    other.pop();
    assert!(find(world.tenant, &other, NOW_MS).is_none() && find(world.tenant, "", NOW_MS).is_none());
}

#[tokio::test]
async fn a_known_token_is_found_at_its_audiences_alone() {
    let (world, cache) = (World::with(json!({ "audiences": ["api://patchbay"] })), TokenCache::new(100));
    let elsewhere = Wanted { resource: "https://gw.example/t/acme/other/mcp" };
    let narrow = world.p256.token(&claims());
    cache.verify(world.tenant, &world.issuers, &narrow, wanted(), NOW_MS).await.unwrap();
    assert!(cache.find(world.tenant, &world.issuers, &narrow, elsewhere, NOW_MS).is_none());
    let refused = cache.verify(world.tenant, &world.issuers, &narrow, elsewhere, NOW_MS).await;
    assert_eq!(refused, Err(TokenError::Refused(Reason::Audience)));
    assert!(cache.find(world.tenant, &world.issuers, &narrow, wanted(), NOW_MS).is_some());
    let wide = world.p256.token(&with(claims(), json!({ "aud": ["api://patchbay"] })));
    cache.verify(world.tenant, &world.issuers, &wide, wanted(), NOW_MS).await.unwrap();
    assert!(cache.find(world.tenant, &world.issuers, &wide, elsewhere, NOW_MS).is_some());
}

#[tokio::test]
async fn the_same_token_serves_two_tenants_side_by_side() {
    let (world, cache) = (World::new(), TokenCache::new(100));
    let (token, second) = (world.p256.token(&claims()), TenantId::random());
    for tenant in [world.tenant, second] {
        cache.verify(tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    }
    for tenant in [world.tenant, second] {
        assert!(cache.find(tenant, &world.issuers, &token, wanted(), NOW_MS).is_some());
    }
}

#[tokio::test]
async fn what_is_refused_is_not_remembered() {
    let (world, cache) = (World::new(), TokenCache::new(100));
    let token = world.p256.token(&with(claims(), json!({ "nbf": NOW + 60 })));
    let refused = cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await;
    assert_eq!(refused, Err(TokenError::Refused(Reason::NotYetValid)));
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS + 120_000).is_none());
    assert!(cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS + 120_000).await.is_ok());
}

#[tokio::test]
async fn revoked_token_is_refused_at_once() {
    let (mut world, cache) = (World::new(), TokenCache::new(100));
    let token = world.p256.token(&claims());
    cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    let revoked = revocation(Revoked::Token { issuer: ISS.into(), jti: "token-1".into() }, NOW);
    world.reload(&[corp(json!({}))], std::slice::from_ref(&revoked));
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_none());
    let refused = cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await;
    assert_eq!(refused, Err(TokenError::Refused(Reason::Revoked)));
    world.reload(&[corp(json!({}))], &[]);
    cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_some());
    assert_eq!(world.provider.asked(), [JWKS], "the keys are known all the time");
}

#[tokio::test]
async fn a_reload_that_changes_nothing_forgets_nothing() {
    let (mut world, cache) = (World::new(), TokenCache::new(100));
    let token = world.p256.token(&claims());
    cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    let before = world.issuers.epoch();
    world.reload(&[corp(json!({}))], &[]);
    assert_eq!(world.issuers.epoch(), before);
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_some());
    world.reload(&[corp(json!({ "scopes_required": ["x"] }))], &[]);
    assert!(world.issuers.epoch() != before);
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_none());
    world.verify(&token).await.unwrap();
    assert_eq!(world.provider.asked(), [JWKS], "its keys come from the same place as before");
    world.reload(&[], &[]);
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_none());
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_with_it() {
    let (world, cache) = (World::new(), TokenCache::new(100));
    let token = world.p256.token(&claims());
    cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    // The next key comes and the old one goes; a token of the new key makes that known.
    let next = Signer::p256("p256-2");
    world.provider.put(JWKS, &json!({ "keys": [next.jwk()] }));
    let newer = next.token(&claims());
    cache.verify(world.tenant, &world.issuers, &newer, wanted(), NOW_MS).await.unwrap();
    assert!(cache.find(world.tenant, &world.issuers, &newer, wanted(), NOW_MS).is_some());
    assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_none());
    assert_eq!(world.refusal(&token).await, Some(Reason::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_withdrawn_is_missed_although_only_known_tokens_come() {
    let (world, cache) = (World::new(), TokenCache::new(100));
    let token = world.p256.token(&claims());
    cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
    world.provider.put(JWKS, &json!({ "keys": [world.ed.jwk()] }));
    let mut minutes = 0;
    while cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_some() {
        assert!(minutes < 15, "the keys are looked after within their ten minutes");
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        minutes += 1;
    }
    assert_eq!(world.provider.asked().len(), 2);
}

#[tokio::test]
async fn a_full_cache_keeps_the_newest() {
    let (world, cache) = (World::new(), TokenCache::new(8));
    let mut tokens = Vec::new();
    for n in 0..40 {
        let token = world.ed.token(&with(claims(), json!({ "jti": format!("token-{n}") })));
        cache.verify(world.tenant, &world.issuers, &token, wanted(), NOW_MS).await.unwrap();
        assert!(cache.find(world.tenant, &world.issuers, &token, wanted(), NOW_MS).is_some());
        tokens.push(token);
    }
    let found = |token: &&String| cache.find(world.tenant, &world.issuers, token, wanted(), NOW_MS).is_some();
    assert_eq!(tokens.iter().filter(found).count(), 8);
}

#[tokio::test]
async fn many_at_once_share_the_fetch_of_the_keys() {
    let (world, cache) = (World::new(), TokenCache::new(1000));
    let tokens: Vec<_> =
        (0..200).map(|n| world.ed.token(&with(claims(), json!({ "jti": format!("token-{n}") })))).collect();
    let verified = tokens.iter().map(|token| cache.verify(world.tenant, &world.issuers, token, wanted(), NOW_MS));
    let verified = futures_util::future::join_all(verified).await;
    assert!(verified.iter().all(Result::is_ok));
    assert_eq!(world.provider.asked(), [JWKS]);
}
