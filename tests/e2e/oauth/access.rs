//! What a token may do once it is known whose it is: scopes say so in a challenge that names all of them, groups hide.

use patchbay_e2e::Client;
use serde_json::{Value, json};

use super::{World, ask as ask_with, challenge, param, scopes};

#[tokio::test]
async fn a_tool_that_writes_asks_for_all_scopes_that_it_needs_at_once() {
    let Some(world) = World::start().await else { return };
    let reader = world.client(&world.token("bob", "mcp:read"));
    assert!(reader.tools().await.contains(&"box_grow".to_owned()), "what a scope is missing for is listed");
    assert_eq!(reader.call("box_echo", json!({ "a": 1 })).await.text(), r#"{"a":1}"#);

    for (tool, needed) in
        [("box_grow", &["mcp:read", "mcp:write"][..]), ("box_die", &["mcp:deploy", "mcp:read", "mcp:write"])]
    {
        for client in [reader.clone(), Client::legacy(reader.address, &reader.path, reader.key.as_deref()).await] {
            let said = world.call(&client, tool).await;
            assert_eq!(said.0, 403, "{tool}: {said:?}");
            assert_eq!(param(challenge(&said), "error"), Some("insufficient_scope"));
            assert_eq!(scopes(&said), needed, "{tool}");
            assert!(param(challenge(&said), "resource_metadata").is_some() && said.2.contains("scope"), "{said:?}");
        }
    }
    let writer = world.client(&world.token("bob", "mcp:read mcp:write"));
    assert_eq!(writer.call("box_grow", json!({})).await.text(), "grown_1");
}

#[tokio::test]
async fn a_scope_brings_those_that_it_contains() {
    let Some(world) = World::start().await else { return };
    let writer = world.client(&world.token("bob", "mcp:write"));
    assert_eq!(writer.call("box_grow", json!({})).await.text(), "grown_1");
    let admin = world.client(&world.token("bob", "mcp:admin"));
    assert_eq!(admin.call("box_grow", json!({})).await.text(), "grown_2");
    let said = world.call(&admin, "box_die").await;
    assert_eq!(
        (said.0, scopes(&said)),
        (403, vec!["mcp:deploy", "mcp:read", "mcp:write"]),
        "not what it does not contain"
    );
}

#[tokio::test]
async fn without_the_scope_to_come_in_nobody_does() {
    let Some(world) = World::start().await else { return };
    for scope in ["mcp:deploy", "openid"] {
        let said = world.told(Some(&world.token("bob", scope))).await;
        assert_eq!((said.0, scopes(&said)), (403, vec!["mcp:read"]), "{scope}: {said:?}");
        assert_eq!(param(challenge(&said), "error"), Some("insufficient_scope"));
    }
    let changed = world.idp.mint(&json!({
        "sub": "bob", "scope": "mcp:read", "resource": world.resource("default"), "claims": { "scope": null },
    }));
    assert_eq!(world.status(&changed).await, 403, "a token of no scopes");
}

#[tokio::test]
async fn who_is_not_in_the_groups_finds_nothing_there() {
    let Some(world) = World::start().await else { return };
    let resource = world.resource("staff");
    let token = |user: &str| world.idp.token(user, "mcp:read", &resource);
    let alice = world.client_at("staff", &token("alice"));
    assert!(alice.tools().await.contains(&"box_echo".to_owned()));
    for user in ["bob", "carol"] {
        let told = world.told_at("staff", Some(&token(user))).await;
        let nowhere = world.told_at("never-was", Some(&token(user))).await;
        assert_eq!(told.0, 404, "{user}: {told:?}");
        assert_eq!(told, nowhere, "{user}");
    }
    // As the provider says when the token is made; what it said before stands in the token.
    world.idp.order("set", &json!({ "users": { "bob": { "name": "Bob", "groups": ["ops"] } } }));
    assert_eq!(world.told_at("staff", Some(&token("bob"))).await.0, 200);
}

#[tokio::test]
async fn tools_that_write_are_hidden_from_who_is_not_in_their_groups() {
    let Some(world) = World::start().await else { return };
    let resource = world.resource("guarded");
    let token = |user: &str| world.idp.token(user, "mcp:read", &resource);
    let (alice, bob) = (world.client_at("guarded", &token("alice")), world.client_at("guarded", &token("bob")));
    let all = alice.tools().await;
    let some = bob.tools().await;
    assert_eq!(some, ["box_echo", "box_seen", "box_slow", "box_whoami"]);
    assert!(some.iter().all(|name| all.contains(name)) && all.len() > some.len(), "{all:?}");
    for client in [bob.clone(), Client::legacy(bob.address, &bob.path, bob.key.as_deref()).await] {
        let hidden =
            ask_with(&client, &client.ask_as("7", "tools/call", json!({ "name": "box_grow", "arguments": {} }))).await;
        let unknown =
            ask_with(&client, &client.ask_as("7", "tools/call", json!({ "name": "box_hush", "arguments": {} }))).await;
        assert_eq!(hidden.code(), -32602);
        assert_eq!(hidden.raw.replace("box_grow", "X"), unknown.raw.replace("box_hush", "X"));
    }
    assert_eq!(alice.call("box_grow", json!({})).await.text(), "grown_1");
    assert_eq!(bob.call("box_echo", json!({ "a": 1 })).await.text(), r#"{"a":1}"#);
}

#[tokio::test]
async fn both_takes_both_and_asks_keys_for_no_scopes() {
    let Some(world) = World::start().await else { return };
    let key = world.gateway.key("acme");
    let with_key = world.client_at("both", key);
    assert_eq!(with_key.call("box_grow", json!({})).await.text(), "grown_1");
    let reader = world.client_at("both", &world.idp.token("bob", "mcp:read", &world.resource("both")));
    assert_eq!(world.call(&reader, "box_grow").await.0, 403);
    assert_eq!(reader.call("box_echo", json!({})).await.status, 200);
    let nobody = world.told_at("both", None).await;
    assert!(param(challenge(&nobody), "resource_metadata").is_some(), "{nobody:?}");
    // A key at a toolset of tokens is no credential.
    assert_eq!(world.told(Some(key)).await, world.told(None).await);
}

#[tokio::test]
async fn a_token_is_for_one_toolset_and_one_tenant() {
    let Some(world) = World::start().await else { return };
    let mut globex = json!({ "tenant": "globex", "servers": {} });
    globex["toolsets"] = json!({ "default": { "access": "oauth" }, "keys": { "access": "key" } });
    globex["issuers"] = json!({ "corp": world.idp.issuer() });
    world.gateway.apply(&globex);
    let theirs = format!("http://{}/t/globex/mcp", world.gateway.address);
    let token = world.idp.token("alice", "mcp:read", &theirs);
    let at = |path: &str| Client::modern(world.gateway.address, path, Some(&token)).ask("tools/list", json!({}));
    patchbay_e2e::wait_until("the new tenant is served", || async {
        at("/t/globex/mcp").send(world.gateway.address).await.status == 200
    })
    .await;
    let here = world.told(Some(&token)).await;
    assert!(matches!(here.0, 401 | 404), "{here:?}");
    let ours = world.token("alice", "mcp:read");
    assert_eq!(world.status(&ours).await, 200, "and is known from now on");
    for toolset in ["both", "staff", "guarded"] {
        let said = world.told_at(toolset, Some(&ours)).await;
        assert_eq!(said.0, 401, "a token for the default toolset at {toolset}: {said:?}");
        assert_eq!(param(challenge(&said), "error"), Some("invalid_token"));
    }
}

#[tokio::test]
async fn who_called_is_on_record_by_issuer_and_subject() {
    let Some(world) = World::start().await else { return };
    let client = world.client(&world.token("alice", "mcp:read"));
    client.call("box_echo", json!({})).await;
    patchbay_e2e::wait_until("the call is on record", || async {
        let audit = world.gateway.audit().await;
        let called = audit.iter().filter(|record| record["action"] == "tool.call");
        called.map(Value::to_string).any(|text| text.contains("alice") && text.contains(&world.idp.issuer))
    })
    .await;
}

#[tokio::test]
async fn servers_see_nothing_of_the_token_nor_of_who_has_it() {
    let Some(world) = World::start().await else { return };
    let token = world.token("alice", "mcp:read");
    let client = world.client(&token);
    for client in [client.clone(), Client::legacy(client.address, &client.path, Some(&token)).await] {
        let ask = client.ask_tool("box_whoami", json!({})).header("Cookie", format!("token={token}"));
        let answer = ask_with(&client, &ask).await;
        let headers: Value = serde_json::from_str(answer.text()).unwrap();
        for name in ["authorization", "cookie"] {
            assert!(headers.get(name).is_none(), "{headers}");
        }
        assert!(!answer.text().contains("alice"), "{headers}");
    }
}
