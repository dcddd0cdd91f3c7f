//! What an operator revokes is refused by every replica within five seconds, and what is taken back opens the door again.

use std::time::{Duration, Instant};

use patchbay_e2e::{
    Client, Fixture, Idp, Installed, TestGateway, Wire, database::Postgres, idp::claims, process::command,
    programs::program, wait_until,
};
use serde_json::{Value, json};

use super::{World, acme, now_s, path};

/// The promise.
const PROMPT: Duration = Duration::from_secs(10);

/// Waits until both replicas answer like this, and holds the time.
async fn promptly(what: &str, replicas: [&TestGateway; 2], token: &str, wanted: u16) {
    let began = Instant::now();
    wait_until(what, || async {
        let mut all = true;
        for gateway in replicas {
            let client = Client::modern(gateway.address, &path("default"), Some(token));
            all &= client.ask("tools/list", json!({})).send(gateway.address).await.status == wanted;
        }
        all
    })
    .await;
    assert!(began.elapsed() < PROMPT, "{what} took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_is_refused_by_every_replica_within_five_seconds() {
    let (Some(installed), Some(database)) = (Installed::find(), Postgres::fresh().await) else { return };
    let idp = Idp::start(&installed);
    let fixture = Fixture::scripted(&["--no-odd"]);
    let wire = Wire::to(fixture.address).await;
    let mut acme = acme(&fixture.server_through(&wire), idp.issuer());
    // Both replicas are one place to their clients, as behind a balancer.
    acme["issuers"]["corp"]["audiences"] = json!(["https://tools.example.org"]);
    let first = TestGateway::setup().idp(&idp).postgres(&database).tenant(acme).start().await;
    let second = TestGateway::setup().idp(&idp).postgres(&database).start().await;
    let both = [&first, &second];
    let token = |user: &str, claims: Value| {
        let wanted =
            json!({ "sub": user, "scope": "mcp:read", "resource": "https://tools.example.org", "claims": claims });
        idp.mint(&wanted)
    };
    let revoke = |what: &[&str]| {
        first.patchbay(&[&["token", "revoke", "--tenant", "acme", "--reason", "lost"], what].concat()).good()
    };
    let listed = || -> Vec<Value> {
        let list = first.patchbay(&["token", "revoked", "--tenant", "acme", "--json"]).good();
        serde_json::from_str(&list).unwrap_or_else(|error| panic!("{error}: {list}"))
    };

    let (one, other) = (token("alice", json!({})), token("alice", json!({})));
    promptly("the token is known to both", both, &one, 200).await;
    promptly("so is another", both, &other, 200).await;

    // By its id, and back.
    revoke(&["--jti", claims(&one)["jti"].as_str().unwrap()]);
    promptly("a revoked token is refused", both, &one, 401).await;
    promptly("the other token still counts", both, &other, 200).await;
    let id = listed()[0]["id"].as_str().unwrap().to_owned();
    first.patchbay(&["token", "restore", "--tenant", "acme", &id]).good();
    promptly("what was taken back counts again", both, &one, 200).await;

    // All that somebody had until now.
    let bob = token("bob", json!({}));
    promptly("bob's token is known", both, &bob, 200).await;
    revoke(&["--subject", "alice", "--until-now"]);
    promptly("the old tokens are refused", both, &one, 401).await;
    promptly("all of them", both, &other, 401).await;
    let again = token("alice", json!({ "iat": now_s() + 2 }));
    promptly("who signs in again comes in", both, &again, 200).await;
    promptly("others are not meant", both, &bob, 200).await;

    // Somebody altogether.
    revoke(&["--subject", "bob"]);
    promptly("bob is refused", both, &bob, 401).await;
    promptly("with whatever he gets", both, &token("bob", json!({ "iat": now_s() + 2 })), 401).await;
    promptly("alice is not meant", both, &again, 200).await;
    assert_eq!(listed().len(), 2);

    drop((first, second));
    database.clear().await;
}

#[tokio::test]
async fn an_open_session_ends_with_its_token() {
    let Some(world) = World::start().await else { return };
    let token = world.token("alice", "mcp:read");
    let session = Client::legacy(world.gateway.address, &path("default"), Some(&token)).await;
    world.gateway.patchbay(&["token", "revoke", "--tenant", "acme", "--subject", "alice"]).good();
    wait_until("the session is refused", || async {
        session.ask("ping", json!({})).send(world.gateway.address).await.status == 401
    })
    .await;
}

/// Asks `patchbay token explain` with the token on standard input.
fn explain(world: &World, token: &str) -> (i32, String) {
    let config = world.gateway.home().config();
    let resource = world.resource("default");
    let file = world.gateway.home().path("token");
    std::fs::write(&file, token).unwrap();
    let args = ["--config".as_ref(), config.as_os_str(), "token".as_ref(), "explain".as_ref()];
    let mut command = command(&program("patchbay"), args);
    command.args(["--tenant", "acme", "--resource", &resource, "--json", "--file"]).arg(&file);
    let outcome = patchbay_e2e::process::run(&mut command);
    std::fs::remove_file(file).unwrap();
    patchbay_e2e::canary::expect_none(&outcome.out, "what an operator is told");
    patchbay_e2e::canary::expect_none(&outcome.err, "what an operator is told");
    (outcome.code, outcome.out)
}

#[tokio::test]
async fn an_operator_is_told_why_a_token_is_refused_without_being_shown_it() {
    let Some(world) = World::start().await else { return };
    let resource = world.resource("default");
    let (code, said) = explain(&world, &world.token("alice", "mcp:read"));
    assert_eq!(code, 0, "{said}");
    serde_json::from_str::<Value>(&said).unwrap();
    for (what, wanted, clue) in [
        ("the audience", json!({ "claims": { "aud": "https://elsewhere.example" } }), "https://elsewhere.example"),
        ("the time", json!({ "claims": { "exp": now_s() - 3600 } }), "exp"),
        ("the type", json!({ "header": { "typ": "JWT" } }), "at+jwt"),
        ("the scope", json!({ "claims": { "scope": "mcp:deploy" } }), "mcp:read"),
    ] {
        let mut wanted = wanted;
        wanted["sub"] = json!("alice");
        wanted["scope"] = json!("mcp:read");
        wanted["resource"] = json!(resource);
        let (code, said) = explain(&world, &world.idp.mint(&wanted));
        assert_ne!(code, 0, "{what}: {said}");
        assert!(said.contains(clue), "{what}: {said}");
    }
}
