//! What Claude Code was recorded to ask for (`tests/recorded`), asked again at a toolset that takes tokens: each request gets
//! what the client needs to go on. Clients of 2025-03-26 are led to the provider where the operator wants it.

use patchbay_e2e::{Ask, Reply};
use serde_json::{Value, json};

use super::World;
use crate::recorded::{Recorded, recording};

/// `acme` is called as in the recording.
async fn demo(set: impl FnOnce(patchbay_e2e::Setup) -> patchbay_e2e::Setup) -> Option<(World, Vec<Recorded>)> {
    let world = World::start_with(
        |acme, idp| acme["issuers"]["corp"]["registration"] = json!({ "dynamic": true, "client_id": idp_client(idp) }),
        set,
    )
    .await?;
    let mut demo = json!({ "tenant": "demo", "servers": {} });
    demo["issuers"] = json!({ "corp": world.idp.issuer() });
    demo["issuers"]["corp"]["registration"] = json!({ "dynamic": true });
    demo["toolsets"] = json!({ "default": { "access": "oauth", "scopes": { "enter": ["mcp:read"] } } });
    world.gateway.apply(&demo);
    let requests = recording("claude-code-2.1.197-oauth");
    patchbay_e2e::wait_until("the new tenant offers a sign-in", || async {
        requests[1].ask(None, None).send(world.gateway.address).await.status == 200
    })
    .await;
    Some((world, requests))
}

const fn idp_client(_: &patchbay_e2e::Idp) -> &'static str {
    patchbay_e2e::idp::CLIENT
}

#[tokio::test]
async fn claude_code_finds_what_it_needs_at_each_step() {
    let Some((world, requests)) = demo(|setup| setup).await else { return };
    let [first, resource, server, openid, register] = &requests[..] else { panic!("five requests") };
    let send = async |request: &Recorded| -> Reply { request.ask(None, None).send(world.gateway.address).await };
    // It was recorded at this address, and goes on at whatever address the challenge names.
    let at = "http://127.0.0.1:8080";

    let refused = send(first).await;
    assert_eq!(refused.status, first.status_given);
    let challenge = refused.header("www-authenticate").unwrap();
    let leads_to = format!("resource_metadata=\"{at}{}\"", resource.path);
    assert!(challenge.contains(&leads_to) && challenge.contains("scope=\"mcp:read\""), "{challenge}");

    let found = send(resource).await;
    assert_eq!(found.status, 200);
    let found = found.json().await;
    assert_eq!(found["resource"], format!("{at}/t/demo/mcp"));
    let issuer = found["authorization_servers"][0].as_str().unwrap();
    assert_eq!(issuer, world.idp.issuer);

    // What it looked for at the gateway, for want of an authorization server that told it more, is at the provider.
    for request in [server, openid, register] {
        assert_eq!(send(request).await.status, 404, "{}", request.path);
    }
    let metadata = Ask::get(&openid.path).send(world.idp.address).await.json().await;
    let place = metadata["registration_endpoint"].as_str().unwrap().strip_prefix(&*world.idp.issuer).unwrap();
    let registered =
        Ask { path: place.to_owned(), ..register.ask(None, None) }.without("host").send(world.idp.address).await;
    assert_eq!(registered.status, 201);
    assert!(registered.json().await["client_id"].is_string(), "its registration is taken as it was recorded");

    // And with the token it comes in, at the address that it knows.
    let token = world.idp.token("alice", "mcp:read", &format!("{at}/t/demo/mcp"));
    assert_eq!(first.ask(Some(&token), None).send(world.gateway.address).await.status, 200);
}

#[tokio::test]
async fn clients_of_2025_03_26_are_led_to_the_provider_where_the_operator_wants_it() {
    let set = |setup: patchbay_e2e::Setup| {
        setup.set("oauth", json!({ "root_resource": "demo", "authorization_server_redirect": true }))
    };
    let Some((world, requests)) = demo(set).await else { return };
    for path in [&*requests[2].path, &*requests[3].path, "/.well-known/oauth-authorization-server/t/demo/mcp"] {
        let reply = Ask::get(path).send(world.gateway.address).await;
        assert_eq!(reply.status, 307, "{path}");
        let leads_to = reply.header("location").unwrap().to_owned();
        let place = leads_to.strip_prefix(&*world.idp.issuer).unwrap_or_else(|| panic!("{path} leads to {leads_to}"));
        let metadata = Ask::get(place).send(world.idp.address).await;
        assert_eq!(metadata.status, 200, "{path} leads to {leads_to}");
        assert_eq!(metadata.json().await["issuer"], json!(world.idp.issuer));
    }
    let root = Ask::get("/.well-known/oauth-protected-resource").send(world.gateway.address).await.json().await;
    assert_eq!(root["resource"], format!("http://{}/t/demo/mcp", world.gateway.address));
    assert_eq!(
        Ask::get("/.well-known/oauth-authorization-server/t/acme/keys/mcp").send(world.gateway.address).await.status,
        404
    );
}

#[tokio::test]
async fn who_must_sign_in_is_told_how_to_come_to_a_client_id() {
    let Some((world, _)) = demo(|setup| setup).await else { return };
    let told: Value = serde_json::from_str(&world.told(None).await.2).unwrap();
    let text = told["error"]["message"].as_str().unwrap();
    for part in [&*world.idp.issuer, patchbay_e2e::idp::CLIENT] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}
