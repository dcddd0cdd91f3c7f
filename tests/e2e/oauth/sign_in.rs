//! Real clients come with nothing but a URL and do the whole dance by themselves: the challenge, the metadata, registration,
//! PKCE, the login (the browser is ours), the token, its renewal, and more scopes when a tool asks for them.

use std::{path::Path, time::Duration};

use patchbay_e2e::{idp::claims, wait::hold};
use serde_json::{Value, json};

use super::{World, actor::Actor};

/// How a client behaves where the specification leaves it to them.
struct Habits {
    /// It asks for more scopes when a tool needs them.
    steps_up: bool,
    /// What it calls the revision that it speaks; none where a proxy speaks for it.
    protocol: Option<&'static str>,
}

/// Tells the story with a client.
async fn dances(world: &World, client: &mut Actor, habits: &Habits) {
    let opened = client.act(&json!({ "do": "connect" }));
    if let Some(protocol) = habits.protocol {
        assert_eq!((&opened["protocol"], &opened["logins"]), (&json!(protocol), &json!(1)), "{opened}");
    }
    let tools = client.act(&json!({ "do": "tools" }));
    assert!(tools.as_array().unwrap().contains(&json!("box_grow")), "what needs another scope is listed too: {tools}");
    assert_eq!(client.call("box_echo", &json!({ "a": 1 })), r#"{"a":1}"#);

    let grants = world.idp.grants();
    let [first] = &grants[..] else { panic!("one login, one token: {grants:?}") };
    assert_eq!(first["kind"], "authorization_code");
    assert_eq!(first["resource"], json!(world.resource("default")), "the token is for the URL that was pasted");
    assert_eq!(first["scope"], "mcp:read", "no more than is needed to come in");

    // The token is refused from now on: the client gets another one without its user.
    let tokens = world.tokens();
    world.revoke(&tokens[0]).await;
    assert_eq!(client.call("box_echo", &json!({ "b": 2 })), r#"{"b":2}"#);
    let grants = world.idp.grants();
    assert_eq!(grants.len(), 2, "{grants:?}");
    assert_eq!(grants[1]["kind"], "refresh_token");

    let write = json!({ "do": "call", "name": "box_grow", "arguments": {} });
    match client.attempt(&write) {
        Ok(result) if habits.steps_up => assert_eq!(result["content"][0]["text"], "grown_1", "{result}"),
        Err(error) if !habits.steps_up => assert!(error.contains("403"), "{error}"),
        other => panic!("steps up: {}, but: {other:?}", habits.steps_up),
    }
    if habits.steps_up {
        let grants = world.idp.grants();
        let last = grants.last().unwrap();
        assert_eq!((&last["kind"], &last["scope"]), (&json!("authorization_code"), &json!("mcp:read mcp:write")));
    }
    client.act(&json!({ "do": "close" }));
}

impl World {
    /// The signed tokens that were given out, in their order.
    fn tokens(&self) -> Vec<String> {
        let issued = self.idp.order("issued", &json!({}));
        let texts = issued.as_array().unwrap().iter().filter_map(Value::as_str);
        texts.filter(|token| token.matches('.').count() == 2).map(str::to_owned).collect()
    }

    /// Revokes a token by its `jti`, and waits until it is refused.
    async fn revoke(&self, token: &str) {
        let jti = claims(token)["jti"].as_str().unwrap().to_owned();
        self.gateway.patchbay(&["token", "revoke", "--tenant", "acme", "--jti", &jti]).good();
        let refused = hold(Duration::from_secs(5), || async { self.status(token).await == 401 }).await;
        assert!(refused, "a revoked token still opens the door after five seconds");
    }
}

async fn node(name: &'static str, habits: Habits) {
    let Some(world) = World::start().await else { return };
    dances(&world, &mut Actor::node(name, &world, "alice"), &habits).await;
}

/// Version 1 answers a request for more scopes by renewing the token that it has, which brings no scopes; its hosts have to send
/// their users to sign in anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_sdk_v1_signs_in_and_renews_its_token() {
    node("oauth_v1", Habits { steps_up: false, protocol: Some("2025-11-25") }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typescript_sdk_v2_signs_in_renews_its_token_and_asks_for_more() {
    node("oauth_v2", Habits { steps_up: true, protocol: Some("2026-07-28") }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_remote_signs_in_renews_its_token_and_asks_for_more() {
    let Some(world) = World::start().await else { return };
    dances(&world, &mut Actor::remote(&world, "alice"), &Habits { steps_up: true, protocol: None }).await;
}

/// A short life renews a token of the Python SDKs before it is refused; a refused one sends their users to sign in anew.
async fn dances_in_python(name: &'static str, with: impl Fn(&World) -> &Path, protocol: &str) {
    let Some(world) = World::start().await else { return };
    world.idp.order("set", &json!({ "ttl": 2 }));
    let mut client = Actor::python(name, &world, with(&world), "alice");
    let opened = client.act(&json!({ "do": "connect" }));
    assert_eq!((&opened["protocol"], &opened["logins"]), (&json!(protocol), &json!(1)), "{opened}");
    let renewed = hold(Duration::from_secs(20), || {
        assert_eq!(client.call("box_echo", &json!({ "a": 1 })), r#"{"a":1}"#);
        let renewed = world.idp.grants().iter().any(|grant| grant["kind"] == "refresh_token");
        async move { renewed }
    })
    .await;
    assert!(renewed, "a token of two seconds is renewed: {:?}", world.idp.grants());
    assert_eq!(client.act(&json!({ "do": "logins" })), 1);

    world.idp.order("set", &json!({ "ttl": 3600 }));
    assert_eq!(client.call("box_grow", &json!({})), "grown_1");
    let grants = world.idp.grants();
    let last = grants.last().unwrap();
    assert_eq!((&last["kind"], &last["scope"]), (&json!("authorization_code"), &json!("mcp:read mcp:write")));
    assert_eq!(client.act(&json!({ "do": "logins" })), 2);

    let tokens = world.tokens();
    world.revoke(tokens.last().unwrap()).await;
    assert_eq!(client.call("box_echo", &json!({ "b": 2 })), r#"{"b":2}"#);
    client.act(&json!({ "do": "close" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_of_2025_signs_in_renews_its_token_and_asks_for_more() {
    dances_in_python("oauth_v1", |world| &world.installed.py_legacy, "2025-11-25").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_of_2026_signs_in_renews_its_token_and_asks_for_more() {
    dances_in_python("oauth_v2", |world| &world.installed.py_modern, "2026-07-28").await;
}

/// Somebody whose provider lets in whom the toolset does not know finds nothing there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_none_of_the_groups_signs_in_for_nothing() {
    let change = |acme: &mut Value, _: &_| acme["toolsets"]["default"]["groups"] = json!(["ops"]);
    let Some(world) = World::start_with(change, |setup| setup).await else { return };
    let mut client = Actor::node("oauth_v2", &world, "bob");
    let error = client.attempt(&json!({ "do": "connect" })).expect_err("bob is not in ops");
    assert!(error.contains("not found"), "{error}");
    let mut client = Actor::node("oauth_v2", &world, "alice");
    client.act(&json!({ "do": "connect" }));
}
