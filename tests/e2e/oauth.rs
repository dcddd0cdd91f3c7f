//! Who may enter with a token, told with a real OpenID provider: people who sign in with real clients, tokens that somebody
//! forged, scopes and groups, revocations, and providers in trouble. What all stories share is here; they are in the rooms
//! below. None of them leaves a piece of a token anywhere: the harness looks, whenever a gateway ends.

mod access;
mod actor;
mod canary;
mod compatibility;
mod discovery;
mod forged;
mod keys;
mod opaque;
mod outbound;
mod revocation;
mod sessions;
mod sign_in;

use patchbay_e2e::{
    Ask, Client, Fixture, Idp, Installed, Setup, TestGateway, Wire,
    client::{Exchange, gather},
    setup::tenant,
    wait_until,
};
use serde_json::{Value, json};

use crate::isolation::seen;

/// A gateway with the tenant `acme`, whose people sign in at a provider and whose one server is behind a wire.
///
/// The parts go in the order of the fields: first the gateway, which is looked through for what the others know.
struct World {
    gateway: TestGateway,
    _wire: Wire,
    _fixture: Fixture,
    idp: Idp,
    installed: Installed,
}

/// The status, the headers and the body of an answer.
type Said = (u16, Vec<(String, String)>, String);

impl World {
    /// The usual one; `None` where Node is not installed and need not be.
    async fn start() -> Option<Self> {
        Self::start_with(|_, _| (), |setup| setup).await
    }

    /// One whose tenant file or configuration is otherwise.
    async fn start_with(change: impl FnOnce(&mut Value, &Idp), set: impl FnOnce(Setup) -> Setup) -> Option<Self> {
        let installed = Installed::find()?;
        let idp = Idp::start(&installed);
        let fixture = Fixture::scripted(&["--no-odd"]);
        let wire = Wire::to(fixture.address).await;
        let mut acme = acme(&fixture.server_through(&wire), idp.issuer());
        change(&mut acme, &idp);
        let gateway = set(TestGateway::setup().idp(&idp)).tenant(acme).start().await;
        let world = Self { gateway, _wire: wire, _fixture: fixture, idp, installed };
        world.wait_for_tools().await;
        Some(world)
    }

    /// Waits until the gateway has heard what the server has to offer.
    async fn wait_for_tools(&self) {
        let client = Client::modern(self.gateway.address, "/t/acme/keys/mcp", Some(self.gateway.key("acme")));
        wait_until("the tools of the server are listed", || async {
            let reply = client.ask("tools/list", json!({})).send(self.gateway.address).await;
            reply.status == 200 && reply.text().await.contains("box_echo")
        })
        .await;
    }

    /// The URL of a toolset, as clients paste it, and so what tokens are for.
    fn resource(&self, toolset: &str) -> String {
        format!("http://{}{}", self.gateway.address, path(toolset))
    }

    /// A token for the default toolset.
    fn token(&self, user: &str, scope: &str) -> String {
        self.idp.token(user, scope, &self.resource("default"))
    }

    /// A client of the default toolset with this token.
    fn client(&self, token: &str) -> Client {
        self.client_at("default", token)
    }

    fn client_at(&self, toolset: &str, token: &str) -> Client {
        Client::modern(self.gateway.address, &path(toolset), Some(token))
    }

    /// What somebody is told at the default toolset who comes with this.
    async fn told(&self, credential: Option<&str>) -> Said {
        self.told_at("default", credential).await
    }

    async fn told_at(&self, toolset: &str, credential: Option<&str>) -> Said {
        seen(
            &Client::modern(self.gateway.address, &path(toolset), credential).ask("tools/list", json!({})),
            &self.gateway,
        )
        .await
    }

    /// The status alone.
    async fn status(&self, token: &str) -> u16 {
        self.told(Some(token)).await.0
    }

    /// Calls a tool and gives the whole answer.
    async fn call(&self, client: &Client, tool: &str) -> Said {
        seen(&client.ask_tool(tool, json!({})), &self.gateway).await
    }
}

/// The tenant file of `acme`: `default` takes tokens, reading needs a scope and writing another; `both` takes keys too, `keys`
/// takes nothing else; `staff` is there for the group ops alone, and in `guarded` only they find what writes.
fn acme(server: &Value, issuer: Value) -> Value {
    let mut server = server.clone();
    server["read_tools"] = json!(["echo", "whoami", "seen", "slow"]);
    let mut acme = tenant("acme", [("box", server)]);
    let mut issuer = issuer;
    issuer["scope_implies"] = json!({ "mcp:admin": ["mcp:write"], "mcp:write": ["mcp:read"] });
    acme["issuers"] = json!({ "corp": issuer });
    let scopes = json!({ "enter": ["mcp:read"], "write": ["mcp:write"], "tools": { "box/die": ["mcp:deploy"] } });
    acme["toolsets"] = json!({
        "default": { "access": "oauth", "scopes": scopes },
        "both": { "access": "both", "scopes": scopes },
        "keys": { "access": "key" },
        "staff": { "access": "oauth", "groups": ["ops"] },
        "guarded": { "access": "oauth", "write_groups": ["ops"] },
    });
    acme
}

fn path(toolset: &str) -> String {
    if toolset == "default" { "/t/acme/mcp".to_owned() } else { format!("/t/acme/{toolset}/mcp") }
}

/// The well-known place of a toolset's metadata.
fn metadata_path(toolset: &str) -> String {
    format!("/.well-known/oauth-protected-resource{}", path(toolset))
}

/// The one challenge of an answer.
fn challenge(said: &Said) -> &str {
    let mut challenges = said.1.iter().filter(|(name, _)| name == "www-authenticate");
    let challenge = challenges.next().unwrap_or_else(|| panic!("no challenge: {said:?}"));
    assert!(challenges.next().is_none(), "one challenge: {said:?}");
    &challenge.1
}

/// A parameter of a challenge; those of ours are never escaped.
fn param<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let params = challenge.strip_prefix("Bearer").unwrap_or_else(|| panic!("not for a bearer token: {challenge}"));
    let before = format!("{name}=\"");
    let at = params.match_indices(&before).map(|(at, _)| at).find(|at| params[..*at].ends_with([' ', ',']))?;
    params[at + before.len()..].split('"').next()
}

/// The scopes of a challenge.
fn scopes(said: &Said) -> Vec<&str> {
    param(challenge(said), "scope").unwrap_or_else(|| panic!("no scopes: {said:?}")).split(' ').collect()
}

/// Asks and gathers an answer that is JSON or events.
async fn ask(client: &Client, ask: &Ask) -> Exchange {
    gather(ask.send(client.address).await).await
}

fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}
