//! The provider's keys in all weathers: exchanged, out of reach, late, far too many, elsewhere, garbage. Who was known stays
//! known, nobody comes in by it, and the provider is not asked more than it has to be.

use std::time::{Duration, Instant};

use patchbay_e2e::{
    idp::{JWKS, METADATA},
    wait_until,
};
use serde_json::{Value, json};

use super::World;

/// How long the answer may take that nobody can come in now.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn after_an_exchange_of_keys_new_tokens_count_at_once_and_old_ones_no_more() {
    let Some(world) = World::start().await else { return };
    let old = world.token("alice", "mcp:read");
    assert_eq!(world.status(&old).await, 200);
    world.idp.forget();
    world.idp.rotate();
    let new = world.token("alice", "mcp:read");
    assert_eq!(world.status(&new).await, 200, "one refresh finds the new key");
    assert_eq!(world.idp.asked(JWKS), 1);
    wait_until("what the old key signed is refused", || async { world.status(&old).await == 401 }).await;
    assert_eq!(world.status(&new).await, 200);
}

#[tokio::test]
async fn a_thousand_unknown_keys_are_asked_for_once() {
    let Some(world) = World::start_with(|_, _| (), generous).await else { return };
    let good = world.token("alice", "mcp:read");
    assert_eq!(world.status(&good).await, 200);
    world.idp.forget();
    let resource = world.resource("default");
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    let stranger = world.idp.mint(&json!({ "sub": "alice", "scope": "mcp:read", "resource": resource }));
    let (_, rest) = stranger.split_once('.').unwrap();
    for number in 0..1000 {
        // The signature is never looked at, since there is no key to look at it with.
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": format!("kid-{number:04}") }).to_string();
        let token = format!("{}.{rest}", encoded(&header));
        let ask = world.client(&token).ask("tools/list", json!({}));
        let address = world.gateway.address;
        tasks.spawn(async move { ask.send(address).await.status });
        while tasks.len() > 50 {
            assert_eq!(tasks.join_next().await.unwrap().unwrap(), 401);
        }
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.unwrap(), 401);
    }
    let most = 1 + began.elapsed().as_secs() / 30;
    let asked = world.idp.asked(JWKS);
    assert!((1..=usize::try_from(most).unwrap()).contains(&asked), "{asked} times in {:?}", began.elapsed());
    assert_eq!(world.status(&good).await, 200);
}

/// Bounds that are not what is tested.
fn generous(setup: patchbay_e2e::Setup) -> patchbay_e2e::Setup {
    setup.set("limits", json!({ "principal_per_second": 100_000, "principal_burst": 100_000 }))
}

fn encoded(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(text)
}

/// Everything that can be wrong with the answer to who asks for keys.
const TROUBLES: [&str; 5] = ["down", "garbage", "huge", "redirect", "status"];

#[tokio::test]
async fn with_the_keys_in_trouble_who_is_known_by_them_still_comes_in() {
    let Some(world) = World::start().await else { return };
    assert_eq!(world.status(&world.token("alice", "mcp:read")).await, 200);
    for kind in TROUBLES {
        trouble(&world, kind);
        // Another token of the same key is verified anew, with what is remembered.
        assert_eq!(world.status(&world.token("bob", "mcp:read")).await, 200, "{kind}");
        let unknown = with_kid(&world, "nobody-has-this");
        assert_eq!(world.status(&unknown).await, 401, "{kind}: a key that nobody has opens nothing");
        assert_eq!(world.status(&world.token("carol", "mcp:read")).await, 200, "{kind}: and spoils nothing");
    }
    assert_eq!(world.idp.asked("/elsewhere/jwks"), 0, "nobody is sent elsewhere");
}

#[tokio::test]
async fn without_any_keys_nobody_comes_in_and_with_them_everybody_does_again() {
    for kind in TROUBLES {
        let Some(world) = World::start().await else { return };
        trouble(&world, kind);
        let token = world.token("alice", "mcp:read");
        let began = Instant::now();
        let said = world.told(Some(&token)).await;
        assert_eq!(said.0, 503, "{kind}: {said:?}");
        assert!(said.1.iter().any(|(name, _)| name == "retry-after"), "{kind}: {said:?}");
        assert!(began.elapsed() < PATIENCE, "{kind}: {:?}", began.elapsed());
        // Keys have nothing to do with it.
        assert_eq!(world.told_at("both", Some(world.gateway.key("acme"))).await.0, 200);
        world.idp.well(JWKS);
        wait_until("the provider is asked again", || async { world.status(&token).await == 200 }).await;
        assert_eq!(world.idp.asked("/elsewhere/jwks"), 0, "{kind}");
    }
}

#[tokio::test]
async fn while_the_keys_do_not_come_others_do_not_wait() {
    let Some(world) = World::start().await else { return };
    world.idp.trouble(JWKS, "hang");
    let slow = world.client(&world.token("alice", "mcp:read")).ask("tools/list", json!({}));
    let address = world.gateway.address;
    let waiting = tokio::spawn(async move { slow.send(address).await.status });
    wait_until("the keys are asked for", || async { world.idp.asked(JWKS) > 0 }).await;
    let began = Instant::now();
    assert_eq!(world.told_at("both", Some(world.gateway.key("acme"))).await.0, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "a key waits for a provider: {:?}", began.elapsed());
    assert_eq!(waiting.await.unwrap(), 503);

    world.idp.order("trouble", &json!({ "path": JWKS, "kind": "slow", "ms": 1500 }));
    let token = world.token("alice", "mcp:read");
    wait_until("keys that come late are keys", || async { world.status(&token).await == 200 }).await;
}

#[tokio::test]
async fn metadata_is_looked_for_where_it_may_be_until_it_is_found() {
    let Some(world) = World::start().await else { return };
    world.idp.trouble(METADATA[0], "garbage");
    let token = world.token("alice", "mcp:read");
    assert_eq!(world.status(&token).await, 200, "the second place has it");
    let asked: Vec<_> = METADATA.into_iter().map(|place| world.idp.asked(place)).collect();
    assert_eq!((&asked[..], world.idp.asked(JWKS)), (&[1, 1][..], 1));

    let Some(world) = World::start().await else { return };
    METADATA.into_iter().for_each(|place| world.idp.trouble(place, "garbage"));
    let token = world.token("alice", "mcp:read");
    assert_eq!(world.status(&token).await, 503);
    assert_eq!(world.idp.asked(JWKS), 0);
    world.idp.well(METADATA[1]);
    wait_until("the metadata is asked for again", || async { world.status(&token).await == 200 }).await;
}

#[tokio::test]
async fn keys_that_nobody_should_use_are_ignored_and_the_others_are_not() {
    let Some(world) = World::start().await else { return };
    world.idp.order("extra", &json!({ "names": ["oct", "weak", "enc-key"] }));
    let claims = Value::Object(patchbay_e2e::idp::claims(&world.token("alice", "mcp:read")));
    for (kid, alg) in [("weak", "RS256"), ("enc-key", "ES256")] {
        let header = json!({ "alg": alg, "typ": "at+jwt", "kid": kid });
        assert_eq!(world.status(&world.idp.forge(&header, &claims, kid)).await, 401, "{kid}");
    }
    assert_eq!(world.status(&world.token("alice", "mcp:read")).await, 200);
}

fn trouble(world: &World, kind: &str) {
    world.idp.order("trouble", &json!({ "path": JWKS, "kind": kind, "status": 500 }));
}

fn with_kid(world: &World, kid: &str) -> String {
    let wanted = json!({
        "sub": "alice", "scope": "mcp:read", "resource": world.resource("default"), "header": { "kid": kid },
    });
    world.idp.mint(&wanted)
}
