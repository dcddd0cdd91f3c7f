//! Opaque tokens, which say nothing: the provider is asked what they are good for (RFC 7662), and forgets them when somebody
//! revokes them there.

use patchbay_e2e::wait_until;
use serde_json::{Value, json};

use super::{World, challenge, param};

async fn world() -> Option<World> {
    let change = |acme: &mut Value, idp: &patchbay_e2e::Idp| {
        let implies = acme["issuers"]["corp"]["scope_implies"].clone();
        acme["issuers"]["corp"] = idp.issuer_of_opaque();
        acme["issuers"]["corp"]["scope_implies"] = implies;
    };
    World::start_with(change, |setup| setup).await
}

fn opaque(world: &World, user: &str, scope: &str, resource: &str) -> String {
    world.idp.mint(&json!({ "sub": user, "scope": scope, "resource": resource, "format": "opaque" }))
}

#[tokio::test]
async fn an_opaque_token_opens_what_its_provider_says_until_it_is_revoked_there() {
    let Some(world) = world().await else { return };
    let token = opaque(&world, "alice", "mcp:read", &world.resource("default"));
    let client = world.client(&token);
    assert_eq!(client.call("box_echo", json!({ "a": 1 })).await.text(), r#"{"a":1}"#);
    assert_eq!(world.call(&client, "box_grow").await.0, 403);
    let bob = opaque(&world, "bob", "mcp:write", &world.resource("default"));
    assert_eq!(world.client(&bob).call("box_grow", json!({})).await.text(), "grown_1");

    world.idp.revoke(&token).await;
    wait_until("the revoked token is refused", || async { world.status(&token).await == 401 }).await;
    let said = world.told(Some(&token)).await;
    assert_eq!(param(challenge(&said), "error"), Some("invalid_token"));
    for (what, other) in [
        ("an unknown one", "never-was-a-token-of-anybody".to_owned()),
        ("another toolset's", opaque(&world, "alice", "mcp:read", &world.resource("staff"))),
        ("one for nobody", opaque(&world, "alice", "mcp:read", "https://elsewhere.example")),
    ] {
        assert_eq!(world.told(Some(&other)).await, said, "{what}");
    }
    assert_eq!(world.status(&world.token("alice", "mcp:read")).await, 200, "signed tokens count as well");
}

#[tokio::test]
async fn the_provider_is_not_asked_at_every_call() {
    let Some(world) = world().await else { return };
    let token = opaque(&world, "alice", "mcp:read", &world.resource("default"));
    assert_eq!(world.status(&token).await, 200);
    world.idp.forget();
    let began = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let ask = world.client(&token).ask("tools/list", json!({}));
        let address = world.gateway.address;
        tasks.spawn(async move { ask.send(address).await.status });
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    // An answer counts for a second.
    let most = 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
    let asked = world.idp.asked("/token/introspection");
    assert!(asked <= most, "{asked} times in {:?}", began.elapsed());
}

#[tokio::test]
async fn while_the_provider_cannot_be_asked_nobody_new_comes_in() {
    let Some(world) = world().await else { return };
    world.idp.trouble("/token/introspection", "down");
    let token = opaque(&world, "alice", "mcp:read", &world.resource("default"));
    let said = world.told(Some(&token)).await;
    assert_eq!(said.0, 503, "{said:?}");
    assert!(!said.1.iter().any(|(name, _)| name == "www-authenticate"), "nobody is to sign in anew for it: {said:?}");
    world.idp.well("/token/introspection");
    wait_until("it is asked again", || async { world.status(&token).await == 200 }).await;
}
