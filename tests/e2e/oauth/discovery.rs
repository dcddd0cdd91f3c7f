//! What clients find out on their own: where a toolset's metadata is and what it says, before and behind a proxy; and that a
//! toolset of keys shows nothing of it, since some clients leave their keys away once they smell OAuth.

use patchbay_e2e::{Ask, TestGateway};
use serde_json::{Value, json};

use super::{World, challenge, metadata_path, param, path};
use crate::isolation::seen;

async fn metadata(gateway: &TestGateway, path: &str) -> Value {
    let reply = Ask::get(path).send(gateway.address).await;
    assert_eq!((reply.status, reply.kind()), (200, "application/json"), "{path}");
    reply.json().await
}

#[tokio::test]
async fn the_challenge_leads_to_metadata_that_names_the_url_that_was_pasted() {
    let Some(world) = World::start().await else { return };
    for toolset in ["default", "both"] {
        let told = world.told_at(toolset, None).await;
        assert_eq!(told.0, 401);
        let found = param(challenge(&told), "resource_metadata").unwrap();
        let origin = format!("http://{}", world.gateway.address);
        assert_eq!(found, format!("{origin}{}", metadata_path(toolset)));
        let metadata = metadata(&world.gateway, &found[origin.len()..]).await;
        assert_eq!(metadata["resource"], json!(world.resource(toolset)));
        assert_eq!(metadata["authorization_servers"], json!([world.idp.issuer]));
        assert_eq!(metadata["scopes_supported"], json!(["mcp:deploy", "mcp:read", "mcp:write"]));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    }
    let page = Ask::get(metadata_path("default")).header("Origin", "https://ide.example");
    let reply = page.send(world.gateway.address).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("*")), "pages may read it");
    assert_eq!(Ask::new("POST", metadata_path("default")).send(world.gateway.address).await.status, 405);
}

#[tokio::test]
async fn a_toolset_of_keys_shows_nothing_of_oauth() {
    let Some(world) = World::start().await else { return };
    let nowhere = seen(&Ask::get("/there/is/nothing"), &world.gateway).await;
    assert_eq!(nowhere.0, 404);
    let keys = path("keys");
    for place in [
        format!("/.well-known/oauth-protected-resource{keys}"),
        "/.well-known/oauth-protected-resource".to_owned(),
        "/.well-known/oauth-authorization-server".to_owned(),
        format!("/.well-known/oauth-authorization-server{keys}"),
        "/.well-known/openid-configuration".to_owned(),
        format!("/.well-known/openid-configuration{keys}"),
        format!("{keys}/.well-known/openid-configuration"),
        "/register".to_owned(),
        "/authorize".to_owned(),
        "/token".to_owned(),
        "/.well-known/oauth-protected-resource/t/acme/never-was/mcp".to_owned(),
        "/.well-known/oauth-protected-resource/t/nobody-lives-here/mcp".to_owned(),
    ] {
        let found = seen(&Ask::get(place.clone()), &world.gateway).await;
        assert_eq!(found, nowhere, "{place}");
    }
    let told = world.told_at("keys", None).await;
    assert_eq!((told.0, challenge(&told)), (401, "Bearer"), "{told:?}");
    let token = world.idp.token("alice", "mcp:read", &world.resource("keys"));
    let told = world.told_at("keys", Some(&token)).await;
    assert!(matches!(told.0, 401 | 404), "{told:?}");
    assert!(!told.1.iter().any(|(_, value)| value.contains("resource_metadata")), "{told:?}");
    assert_eq!(world.told_at("keys", Some(world.gateway.key("acme"))).await.0, 200);
}

#[tokio::test]
async fn behind_a_prefix_everything_is_under_the_public_address() {
    let set = |setup: patchbay_e2e::Setup| setup.set("public_url", json!("https://tools.example.org/gw/"));
    let Some(world) = World::start_with(|_, _| (), set).await else { return };
    let resource = "https://tools.example.org/gw/t/acme/mcp";
    let well_known = "https://tools.example.org/.well-known/oauth-protected-resource/gw/t/acme/mcp";
    let forged = Ask::get("/.well-known/oauth-protected-resource/gw/t/acme/mcp")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Prefix", "/evil")
        .header("Forwarded", "host=evil.example;proto=http");
    for ask in
        [forged, Ask::get("/.well-known/oauth-protected-resource/gw/t/acme/mcp").header("Host", "tools.example.org")]
    {
        let reply = ask.send(world.gateway.address).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json().await["resource"], resource);
    }
    let token = world.idp.token("alice", "mcp:read", resource);
    // Some proxies take the prefix away and others do not.
    for place in ["/t/acme/mcp", "/gw/t/acme/mcp"] {
        let list = |token: Option<&str>| {
            patchbay_e2e::Client::modern(world.gateway.address, place, token).ask("tools/list", json!({}))
        };
        assert_eq!(list(Some(&token)).send(world.gateway.address).await.status, 200, "{place}");
        let told = seen(&list(None), &world.gateway).await;
        assert_eq!(param(challenge(&told), "resource_metadata"), Some(well_known), "{place}");
        let direct = world.idp.token("alice", "mcp:read", &world.resource("default"));
        assert_eq!(list(Some(&direct)).send(world.gateway.address).await.status, 401, "{place}: the address is one");
    }
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_what_the_address_is_and_nobody_else_does() {
    let forwarded = || {
        Ask::get(metadata_path("default"))
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "tools.example.org")
            .header("X-Forwarded-Prefix", "/gw")
    };
    let hosts = json!(["127.0.0.1", "tools.example.org"]);
    let set = |setup: patchbay_e2e::Setup| {
        setup.set("trusted_proxies", json!(["127.0.0.0/8"])).set("allowed_hosts", hosts.clone())
    };
    let Some(trusting) = World::start_with(|_, _| (), set).await else { return };
    let said = forwarded().send(trusting.gateway.address).await.json().await;
    assert_eq!(said["resource"], "https://tools.example.org/gw/t/acme/mcp");
    let unlisted = forwarded().with("X-Forwarded-Host", "evil.example").send(trusting.gateway.address).await;
    assert_ne!(unlisted.status, 200, "a host that nobody listed");

    let set = |setup: patchbay_e2e::Setup| setup.set("allowed_hosts", hosts.clone());
    let Some(plain) = World::start_with(|_, _| (), set).await else { return };
    let said = forwarded().send(plain.gateway.address).await.json().await;
    assert_eq!(said["resource"], json!(plain.resource("default")));
}

#[tokio::test]
async fn a_name_that_nobody_listed_is_no_address_to_sign_in_for() {
    let Some(world) = World::start().await else { return };
    let evil = world.idp.token("alice", "mcp:read", "http://evil.example/t/acme/mcp");
    let list = world.client(&evil).ask("tools/list", json!({}));
    for header in ["Host", "X-Forwarded-Host"] {
        let asked = list.clone().header(header, "evil.example");
        let reply = asked.send(world.gateway.address).await;
        assert!(matches!(reply.status, 401 | 403), "{header}: {}", reply.status);
        let headers = format!("{:?}", reply.headers);
        let text = headers + &reply.text().await;
        assert!(!text.contains("//evil.example"), "{header}: {text}");
        let page = Ask::get(metadata_path("default")).header(header, "evil.example");
        let reply = page.send(world.gateway.address).await;
        let text = reply.text().await;
        assert!(!text.contains("evil.example"), "{header}: {text}");
    }
}
