//! A session is its subject's at its issuer: it outlives tokens, and nobody else gets into it, whatever they show.

use patchbay_e2e::{Ask, Client, Idp};
use serde_json::{Value, json};

use super::{World, path};

#[tokio::test]
async fn a_session_outlives_its_token_and_is_nobody_elses() {
    let Some(world) = World::start().await else { return };
    let address = world.gateway.address;
    let first = world.token("alice", "mcp:read");
    let owner = Client::legacy(address, &path("default"), Some(&first)).await;
    let with = |token: &str| owner.with(Some(token));
    let status = async |client: &Client| client.ask("ping", json!({})).send(address).await.status;
    assert_eq!(status(&owner).await, 200);

    // Another token of the same person, with other scopes, by another key: the same principal.
    let renewed = world.idp.mint(&json!({
        "sub": "alice", "scope": "mcp:read mcp:write", "resource": world.resource("default"), "alg": "RS256",
    }));
    assert_eq!(status(&with(&renewed)).await, 200);
    assert_eq!(with(&renewed).call("box_echo", json!({ "a": 1 })).await.text(), r#"{"a":1}"#);
    // A call is judged by the token that it comes with, not by that which opened the session.
    assert_eq!(with(&renewed).call("box_grow", json!({})).await.text(), "grown_1");
    assert_eq!(owner.ask_tool("box_grow", json!({})).send(address).await.status, 403);

    let bob = with(&world.token("bob", "mcp:read"));
    let forged = with(&first).in_session("never-was");
    let words = forged.ask_as("1", "ping", json!({})).send(address).await;
    let stolen = bob.ask_as("1", "ping", json!({})).send(address).await;
    assert_eq!((words.status, stolen.status), (404, 404));
    assert_eq!(words.text().await, stolen.text().await, "a session of somebody else is as one that never was");
    let end =
        |client: &Client| Ask { method: "DELETE".parse().unwrap(), body: "".into(), ..client.ask("ping", json!({})) };
    assert_eq!(end(&bob).send(address).await.status, 404);
    assert_eq!(status(&owner).await, 200, "nor can anybody else end it");

    let nobody = owner.with(None);
    assert_eq!(status(&nobody).await, 401, "a session is no credential");
    let expired = world.idp.mint(&json!({
        "sub": "alice", "scope": "mcp:read", "resource": world.resource("default"),
        "claims": { "exp": super::now_s() - 60 },
    }));
    assert_eq!(status(&with(&expired)).await, 401, "and is none for whose token has expired");
    assert_eq!(end(&with(&renewed)).send(address).await.status, 200, "its owner ends it with any token");
}

#[tokio::test]
async fn the_same_name_at_another_issuer_or_with_a_key_is_somebody_else() {
    let Some(installed) = patchbay_e2e::Installed::find() else { return };
    let other = Idp::start(&installed);
    let change = |acme: &mut Value, _: &Idp| {
        acme["issuers"]["other"] = other.issuer();
        acme["issuers"]["other"]["scope_implies"] = acme["issuers"]["corp"]["scope_implies"].clone();
    };
    let Some(world) = World::start_with(change, |setup| setup.idp(&other)).await else { return };
    let address = world.gateway.address;
    let resource = world.resource("both");
    let ours = world.idp.token("alice", "mcp:read", &resource);
    let theirs = other.token("alice", "mcp:read", &resource);
    let owner = Client::legacy(address, &path("both"), Some(&ours)).await;
    let key = world.gateway.key("acme").to_owned();
    for (who, credential) in [("the namesake", theirs.clone()), ("a key", key)] {
        let thief = owner.with(Some(&credential));
        assert_eq!(thief.ask("ping", json!({})).send(address).await.status, 404, "{who}");
        let own = Client::legacy(address, &path("both"), Some(&credential)).await;
        assert_eq!(own.ask("ping", json!({})).send(address).await.status, 200, "{who} has sessions of their own");
    }
    assert_eq!(owner.ask("ping", json!({})).send(address).await.status, 200);
    // A token that one issuer signed in the name of the other is nobody's.
    let crossed = other.mint(&json!({
        "sub": "alice", "scope": "mcp:read", "resource": resource, "claims": { "iss": world.idp.issuer },
    }));
    assert_eq!(world.told_at("both", Some(&crossed)).await.0, 401);
    drop(world);
}
