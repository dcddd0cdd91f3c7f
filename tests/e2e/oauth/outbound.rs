//! The gateway as a client with an identity of its own: at another gateway, with a real provider between them, and held against the client role of the official conformance suite: the
//! suite starts the servers, `suite-client` puts a gateway before them and plays the agent (`tests/fixtures/suite_client`).
//!
//! Most scenarios of that role are about a user in a browser, whom a gateway has not: of those the part before the login is
//! played, by checks, and the rest of them cannot pass here. Registration, PKCE, `iss` of the authorization response, refresh
//! tokens, and scopes that are asked for in an authorization request are all of that rest.

use std::collections::BTreeMap;

use patchbay_e2e::{
    Client, Installed, TestGateway,
    database::Postgres,
    idp::{GATEWAY_CLIENT, claims},
    process::run,
    programs::program,
    setup::tenant,
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::World;

/// What has to pass of a scenario.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// All of it, and the suite says so itself.
    Whole,
    /// These checks.
    Checks(&'static [&'static str]),
}

const DISCOVERED: Wanted = Wanted::Checks(&["prm-pathbased-requested", "authorization-server-metadata"]);

/// The scenarios that say something of a client without a user.
const SCENARIOS: [(&str, Wanted); 8] = [
    ("auth/client-credentials-jwt", Wanted::Whole),
    ("auth/client-credentials-basic", Wanted::Whole),
    ("auth/metadata-default", DISCOVERED),
    ("auth/metadata-var1", DISCOVERED),
    ("auth/metadata-var2", DISCOVERED),
    ("auth/metadata-var3", DISCOVERED),
    ("auth/resource-mismatch", Wanted::Whole),
    ("auth/metadata-issuer-mismatch", Wanted::Whole),
];

#[test]
fn the_gateway_signs_in_as_itself_as_the_suite_wants_it() {
    let Some(installed) = Installed::find() else { return };
    let mut wrong = BTreeMap::new();
    for (scenario, wanted) in SCENARIOS {
        let (code, checks, said) = play(&installed, scenario);
        let failed: Vec<_> = match wanted {
            Wanted::Whole => {
                let bad = checks.iter().filter(|(_, status)| !matches!(&***status, "SUCCESS" | "INFO"));
                bad.map(|(check, status)| format!("{check}: {status}")).collect()
            }
            Wanted::Checks(wanted) => {
                let lost = wanted.iter().filter(|check| checks.get(**check).is_none_or(|status| status != "SUCCESS"));
                lost.map(|check| format!("{check}: {:?}", checks.get(*check))).collect()
            }
        };
        let whole = matches!(wanted, Wanted::Whole);
        if !failed.is_empty() || checks.is_empty() || (whole && code != 0) {
            wrong.insert(scenario, (code, failed, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Plays a scenario: the suite's exit code, its checks with how they ended, and what was said meanwhile.
fn play(installed: &Installed, scenario: &str) -> (i32, BTreeMap<String, String>, String) {
    let folder = TempDir::with_prefix("patchbay-e2e-suite-").unwrap();
    let entry = installed.module("@modelcontextprotocol/conformance/dist/index.js");
    let agent = program("suite-client");
    let mut command = installed.command(&installed.node, [entry]);
    command.arg("client").arg("--command").arg(&agent).args(["--scenario", scenario, "--output-dir"]);
    // The agent looks for the gateway where we do.
    command.arg(folder.path()).env("PATCHBAY_TEST_BIN_DIR", agent.parent().unwrap());
    let outcome = run(&mut command);
    let mut checks = BTreeMap::new();
    // `auth/{scenario}-{time}` lies in the folder.
    let results = std::fs::read_dir(folder.path().join("auth")).into_iter().flatten().flatten();
    for result in results {
        let text = std::fs::read_to_string(result.path().join("checks.json")).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        for check in found {
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            // A check that has failed once has failed.
            let status = checks.entry(text("id")).or_insert_with(|| text("status"));
            if text("status") == "FAILURE" {
                "FAILURE".clone_into(status);
            }
        }
    }
    (outcome.code, checks, outcome.out + &outcome.err)
}

/// Two replicas, with another gateway as their server, at which they sign in as themselves.
async fn replicas(world: &World, database: &Postgres) -> [TestGateway; 2] {
    let (id, secret) = GATEWAY_CLIENT;
    let server = json!({
        "url": world.resource("default"),
        "oauth": { "client_id": id, "client_secret": secret, "scopes": ["mcp:read"] },
    });
    let mut front = tenant("front", [("behind", server)]);
    front["toolsets"] = json!({ "default": { "prefix": "never" } });
    let first = TestGateway::setup().idp(&world.idp).postgres(database).tenant(front).start().await;
    let second = TestGateway::setup().idp(&world.idp).postgres(database).start().await;
    [first, second]
}

impl World {
    /// The tokens that the gateway got for itself.
    fn own_tokens(&self) -> Vec<String> {
        let issued = self.idp.order("issued", &json!({}));
        let texts = issued.as_array().unwrap().iter().filter_map(Value::as_str);
        texts
            .filter(|token| token.contains('.') && claims(token)["sub"] == GATEWAY_CLIENT.0)
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_get_one_token_for_all_and_another_when_it_is_refused() {
    let (Some(world), Some(database)) = (World::start().await, Postgres::fresh().await) else { return };
    let gateways = replicas(&world, &database).await;
    let key = gateways[0].key("front").to_owned();
    let clients = gateways.each_ref().map(|gateway| Client::modern(gateway.address, "/t/front/mcp", Some(&key)));
    for client in &clients {
        wait_until("the tools behind the sign-in are listed", || async {
            let reply = client.ask("tools/list", json!({})).send(client.address).await;
            reply.status == 200 && reply.text().await.contains("box_echo")
        })
        .await;
    }
    everybody_calls(&clients).await;
    let own = world.own_tokens();
    assert_eq!(own.len(), 1, "one token for all");
    let claims_of = claims(&own[0]);
    assert_eq!((&claims_of["aud"], &claims_of["scope"]), (&json!(world.resource("default")), &json!("mcp:read")));

    // The server refuses it from now on.
    let jti = claims_of["jti"].as_str().unwrap();
    world.gateway.patchbay(&["token", "revoke", "--tenant", "acme", "--jti", jti]).good();
    wait_until("it is refused", || async { world.status(&own[0]).await == 401 }).await;
    everybody_calls(&clients).await;
    assert_eq!(world.own_tokens().len(), 2, "one other for all");

    // A tool that needs another scope: it is asked for once, and what the provider gives is all there is.
    let answer = clients[0].call("box_grow", json!({})).await;
    assert!(answer.raw.contains("grown_1") || answer.raw.contains("mcp:write"), "{}", answer.raw);
    assert!(world.own_tokens().len() <= 3);
    drop(gateways);
    drop(world);
    database.clear().await;
}

/// Forty calls at once, half of them at each replica; all of them are answered.
async fn everybody_calls(clients: &[Client; 2]) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let client = clients[number % 2].clone();
        tasks.spawn(async move { client.call("box_echo", json!({ "n": number })).await });
    }
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.unwrap();
        assert!(answer.text().starts_with(r#"{"n":"#), "{}", answer.raw);
    }
}

#[tokio::test]
async fn a_server_that_wants_a_users_own_sign_in_is_said_to_want_it() {
    let Some(world) = World::start().await else { return };
    let mut front = tenant("front", [("behind", json!({ "url": world.resource("default") }))]);
    front["toolsets"] = json!({ "default": { "prefix": "never" } });
    let front = TestGateway::setup().idp(&world.idp).tenant(front).start().await;
    assert!(front.modern("front").tools().await.is_empty());
    let metadata = format!("{}{}", world.gateway.address, super::metadata_path("default"));
    wait_until("the operator is told what is wanted", || async {
        let log = front.log();
        log.contains("sign-in") && log.contains(&metadata)
    })
    .await;
}
