//! A real OpenID provider, `tests/clients/node/idp.mjs`, with a door for the test: users who log in without a browser, tokens
//! without a login, forged ones, and trouble on order.
//!
//! It has to outlive the gateway that trusts it: what it gave out is asked for when the gateway ends, see [`crate::canary`].

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    Ask, canary,
    installed::Installed,
    process::Running,
    wait::{PATIENCE, block_until},
};

/// The client at which tokens are minted, and which people may use who registered none.
pub const CLIENT: &str = "ide";
/// The gateway's own client id for introspection, and its secret, in which some characters have to be encoded.
pub const GATEWAY_CLIENT: (&str, &str) = ("patchbay", "a-secret-of-the-tests-%-&-+");
/// The path of the keys.
pub const JWKS: &str = "/jwks";
/// The paths of the metadata, in the order in which it is to be looked for (RFC 8414, OpenID Connect Discovery).
pub const METADATA: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

/// A running provider.
#[derive(Debug)]
pub struct Idp {
    _process: Running,
    /// The issuer, as tokens write it.
    pub issuer: String,
    /// Its socket.
    pub address: SocketAddr,
    control: SocketAddr,
}

impl Idp {
    /// A provider with the users alice (of the groups dev and ops), bob (dev), and carol (of none).
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(installed: &Installed) -> Self {
        let settings = json!({ "users": {
            "alice": { "name": "Alice Ámos", "groups": ["dev", "ops"] },
            "bob": { "name": "Bob", "groups": ["dev"] },
            "carol": { "name": "Carol", "groups": [] },
        } });
        let script = installed.node_script("idp.mjs");
        let mut process = installed.start(&installed.node, [script.as_os_str(), settings.to_string().as_ref()]);
        let mut said = None;
        block_until("the provider listens", || {
            assert!(process.status().is_none(), "the provider ended: {}", process.err());
            said = process.out().lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
            said.is_some()
        });
        let said = said.expect("it was found");
        let text = |name: &str| said[name].as_str().expect("a URL").to_owned();
        let socket = |url: &str| url.trim_start_matches("http://").parse().expect("an address");
        let (issuer, control) = (text("issuer"), text("control"));
        Self { _process: process, address: socket(&issuer), control: socket(&control), issuer }
    }

    /// Where scripts find the browser: they POST `{ url, user }` to `/login` and get the `location` that it ends at.
    pub fn browser(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Has it do something, see `orders` in its script.
    ///
    /// # Panics
    /// When it cannot.
    pub fn order(&self, name: &str, params: &Value) -> Value {
        order(self.control, name, params)
    }

    /// The issuer as a tenant file has it.
    pub fn issuer(&self) -> Value {
        json!({ "issuer": self.issuer })
    }

    /// The issuer as a tenant file has it, whose opaque tokens are looked up.
    pub fn issuer_of_opaque(&self) -> Value {
        let (id, secret) = GATEWAY_CLIENT;
        json!({
            "issuer": self.issuer,
            "introspection": { "client_id": id, "client_secret": secret, "cache_s": 1 },
        })
    }

    /// A token of its own making, as if the user had logged in and agreed.
    pub fn token(&self, user: &str, scope: &str, resource: &str) -> String {
        self.mint(&json!({ "sub": user, "scope": scope, "resource": resource }))
    }

    /// A token of its own making with members of `claims` and `header` laid over it, `alg`, `format`, `ttl`; `null` takes a
    /// claim away.
    pub fn mint(&self, wanted: &Value) -> String {
        self.keep(&self.order("mint", wanted))
    }

    /// A token of the test's making: header and payload, as objects or as text, signed `by` a key of the provider (`ES256`,
    /// `RS256`, `EdDSA`), by a stranger's (`ES256:stranger`), with the `public key as secret`, or by `none`.
    pub fn forge(&self, header: &Value, payload: &Value, by: &str) -> String {
        self.keep(&self.order("forge", &json!({ "header": header, "payload": payload, "by": by })))
    }

    fn keep(&self, answer: &Value) -> String {
        let token = answer["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}"));
        canary::watch(token);
        token.to_owned()
    }

    /// The name of its key for an algorithm.
    ///
    /// # Panics
    /// When it has none.
    pub fn kid(&self, algorithm: &str) -> String {
        self.order("kids", &json!({}))[algorithm].as_str().expect("a kid").to_owned()
    }

    /// Exchanges all keys.
    pub fn rotate(&self) {
        self.order("rotate", &json!({}));
    }

    /// From now on something goes wrong at a path.
    pub fn trouble(&self, path: &str, kind: &str) {
        self.order("trouble", &json!({ "path": path, "kind": kind }));
    }

    /// From now on all is well again there.
    pub fn well(&self, path: &str) {
        self.order("trouble", &json!({ "path": path }));
    }

    /// How often a path was asked for since [`Self::forget`].
    pub fn asked(&self, path: &str) -> usize {
        let seen = self.order("seen", &json!({}));
        seen.as_array().map_or(0, |seen| seen.iter().filter(|asked| asked["path"] == path).count())
    }

    /// All that was asked of it since [`Self::forget`].
    pub fn seen(&self) -> Vec<Value> {
        self.order("seen", &json!({})).as_array().cloned().unwrap_or_default()
    }

    /// Forgets what was asked of it.
    pub fn forget(&self) {
        self.order("seen", &json!({ "forget": true }));
    }

    /// Who got tokens, how, for what.
    pub fn grants(&self) -> Vec<Value> {
        self.order("grants", &json!({})).as_array().cloned().unwrap_or_default()
    }

    /// Revokes an opaque token at its revocation endpoint, as its client would (RFC 7009).
    ///
    /// # Panics
    /// When it will not.
    pub async fn revoke(&self, token: &str) {
        let ask = Ask::new("POST", "/token/revocation")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("token={token}&client_id={CLIENT}"));
        assert_eq!(ask.send(self.address).await.status, 200);
    }

    pub(crate) const fn control(&self) -> SocketAddr {
        self.control
    }
}

/// The claims of a signed token.
///
/// # Panics
/// When it is none.
pub fn claims(token: &str) -> Map<String, Value> {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let payload = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    payload.unwrap_or_else(|| panic!("this is no signed token"))
}

/// Watches for every token that the provider behind this door gave out, to whomever.
pub(crate) fn watch_issued(control: SocketAddr) {
    let issued = order(control, "issued", &json!({}));
    for token in issued.as_array().into_iter().flatten().filter_map(Value::as_str) {
        canary::watch(token);
    }
}

fn order(control: SocketAddr, name: &str, params: &Value) -> Value {
    let said = ask_blocking(control, "POST", &format!("/{name}"), &params.to_string());
    let said =
        said.unwrap_or_else(|error| panic!("the provider does not {name}: {error}; it has to outlive the gateway"));
    let answer: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(answer.get("error").is_none(), "the provider cannot {name}: {}", answer["error"]);
    answer
}

/// One small request on a thread that may block; what comes back is not looked through for tokens.
pub(crate) fn ask_blocking(to: SocketAddr, method: &str, path: &str, body: &str) -> Result<String, String> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().map_err(|error| error.to_string())?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).ok_or_else(|| format!("no answer: {answer:?}"))
}
