//! An authorization server, servers that take only its tokens, and a vault that replicas share.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::atomic::AtomicU64,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::future::BoxFuture;
use patchbay_core::{issuer::ClientAuth, model::ServerOauth};
use patchbay_downstream::http::oauth::{OauthOptions, StoredToken, TokenVault};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use crate::server::{self, Seen, discovered, initialized};
pub(crate) use crate::*;

pub(crate) const SECRET: &str = "canary-secret+/ü";

/// What an authorization server does.
pub(crate) struct Rules {
    /// Where its metadata is.
    pub(crate) place: &'static str,
    /// The path of its issuer.
    pub(crate) path: &'static str,
    /// Members of its metadata that are other than usual.
    pub(crate) metadata: Value,
}

impl Default for Rules {
    fn default() -> Self {
        Self { place: "/.well-known/oauth-authorization-server", path: "", metadata: json!({}) }
    }
}

#[derive(Default)]
pub(crate) struct State {
    /// Answers 503.
    pub(crate) down: AtomicBool,
    /// Answers token requests with this error.
    pub(crate) refuse: Mutex<Option<&'static str>>,
    /// The lives of the next tokens in seconds; then an hour.
    pub(crate) lives: Mutex<VecDeque<u64>>,
    /// Scopes that it gives; empty: all.
    pub(crate) gives: Mutex<BTreeSet<String>>,
    /// Who checks proofs that are not the secret.
    pub(crate) judge: Mutex<Option<Judge>>,
    tokens: Mutex<HashMap<String, (Instant, BTreeSet<String>)>>,
    made: AtomicU64,
}

pub(crate) type Judge = Box<dyn Fn(&BTreeMap<String, String>) -> bool + Send + Sync>;

impl State {
    pub(crate) fn is_good(&self, token: &str) -> bool {
        self.tokens.lock().unwrap().get(token).is_some_and(|(until, _)| Instant::now() < *until)
    }

    pub(crate) fn has_scope(&self, token: &str, scope: &str) -> bool {
        self.tokens.lock().unwrap().get(token).is_some_and(|(_, scopes)| scopes.contains(scope))
    }

    pub(crate) fn revoke_all(&self) {
        self.tokens.lock().unwrap().clear();
    }

    fn token(&self, seen: &Seen) -> server::Reply {
        let form: BTreeMap<String, String> = form_urlencoded::parse(&seen.raw).into_owned().collect();
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic =
            BASE64_STANDARD.encode(format!("gate+way:{}", encoded(SECRET)).replace("gate+way", &encoded("gate way")));
        let is_known = match &*self.judge.lock().unwrap() {
            Some(judge) => judge(&form),
            None => seen.header("authorization") == Some(&format!("Basic {basic}")),
        };
        if let Some(error) = *self.refuse.lock().unwrap() {
            return refused(error);
        }
        if !is_known {
            return refused("invalid_client");
        }
        if form["grant_type"] != "client_credentials" || !form.contains_key("resource") {
            return refused("invalid_request");
        }
        let scopes: BTreeSet<String> =
            form.get("scope").map(|text| text.split(' ').map(str::to_owned).collect()).unwrap_or_default();
        let gives = self.gives.lock().unwrap().clone();
        if !gives.is_empty() && !scopes.is_subset(&gives) {
            return refused("invalid_scope");
        }
        let life = self.lives.lock().unwrap().pop_front().unwrap_or(3600);
        let token = format!("canary-token-{}", self.made.fetch_add(1, Ordering::SeqCst) + 1);
        self.tokens.lock().unwrap().insert(token.clone(), (Instant::now() + Duration::from_secs(life), scopes));
        bytes(
            200,
            "application/json",
            json!({"access_token": token, "token_type": "Bearer", "expires_in": life}).to_string(),
        )
    }
}

fn refused(error: &str) -> server::Reply {
    let body = json!({"error": error, "error_description": format!("said of {SECRET}")});
    bytes(if error == "invalid_client" { 401 } else { 400 }, "application/json", body.to_string())
}

/// An authorization server.
pub(crate) struct Issuer {
    pub(crate) server: Server,
    pub(crate) state: Arc<State>,
    pub(crate) issuer: String,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::with(Rules::default()).await
    }

    pub(crate) async fn with(rules: Rules) -> Self {
        let state = Arc::new(State::default());
        let (told, path) = (state.clone(), rules.path);
        let server = Server::start(move |seen| {
            let host = seen.header("host").unwrap().to_owned();
            if told.down.load(Ordering::SeqCst) {
                return ready(empty(503));
            }
            if seen.path == "/token" {
                return ready(told.token(&seen));
            }
            if seen.path != rules.place {
                return ready(empty(404));
            }
            let mut metadata = json!({
                "issuer": format!("http://{host}{}", rules.path),
                "token_endpoint": format!("http://{host}/token"),
                "grant_types_supported": ["client_credentials"],
            });
            let changes = rules.metadata.as_object().unwrap().clone();
            metadata.as_object_mut().unwrap().extend(changes);
            ready(bytes(200, "application/json", metadata.to_string()))
        })
        .await;
        let issuer = format!("http://{}{path}", server.address);
        Self { server, state, issuer }
    }

    /// How many tokens were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.server.log.all().iter().filter(|seen| seen.path == "/token").count()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.server.log.all().into_iter().map(|seen| seen.path).collect()
    }

    /// The forms of the token requests.
    pub(crate) fn forms(&self) -> Vec<BTreeMap<String, String>> {
        let all = self.server.log.all();
        let forms = all.iter().filter(|seen| seen.path == "/token");
        forms.map(|seen| form_urlencoded::parse(&seen.raw).into_owned().collect()).collect()
    }
}

/// A server that takes only tokens of this issuer. `admin` needs the scope of that name, `greedy` one that is never enough.
pub(crate) async fn protected(issuer: &Issuer, era: Era) -> Server {
    protected_as(issuer, era, json!({})).await
}

/// With members of its metadata that are other than usual.
pub(crate) async fn protected_as(issuer: &Issuer, era: Era, changes: Value) -> Server {
    let (state, named) = (issuer.state.clone(), issuer.issuer.clone());
    let greed = AtomicU64::new(0);
    Server::start(move |seen| {
        let host = seen.header("host").unwrap();
        if seen.path.starts_with("/.well-known/") {
            if seen.path != "/.well-known/oauth-protected-resource/mcp" {
                return ready(empty(404));
            }
            let mut metadata = json!({
                "resource": format!("http://{host}/mcp"),
                "authorization_servers": [named],
                "scopes_supported": ["all", "of", "them"],
            });
            metadata.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            return ready(bytes(200, "application/json", metadata.to_string()));
        }
        let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let metadata = format!(r#"resource_metadata="http://{host}/.well-known/oauth-protected-resource/mcp""#);
        if !state.is_good(token) {
            let error = if token.is_empty() { "" } else { r#", error="invalid_token""# };
            let said = format!("who is {token}?");
            return ready(challenged(401, &format!(r#"Bearer {metadata}, scope="tools"{error}"#), &said));
        }
        let needed = match seen.body["params"]["name"].as_str() {
            Some("admin") if !state.has_scope(token, "admin") => Some("tools admin".to_owned()),
            // It says the token back where nobody expects it.
            Some("greedy") => Some(format!("more{} {token}", greed.fetch_add(1, Ordering::SeqCst))),
            _ => None,
        };
        if let Some(needed) = needed {
            let value = format!(r#"Bearer error="insufficient_scope", scope="{needed}", {metadata}"#);
            return ready(challenged(403, &value, "too little"));
        }
        ready(served(&seen, era))
    })
    .await
}

fn served(seen: &Seen, era: Era) -> server::Reply {
    match (seen.method(), era) {
        ("server/discover", Era::Modern) => result(seen, discovered()),
        ("initialize", Era::Legacy) => {
            let mut reply = result(seen, initialized("2025-11-25"));
            reply.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
            reply
        }
        ("server/discover" | "initialize", _) => empty(400),
        ("tools/call", _) => echoed(seen),
        ("GET", _) => empty(405),
        ("DELETE", _) => empty(200),
        _ => empty(202),
    }
}

pub(crate) fn challenged(status: u16, value: &str, said: &str) -> server::Reply {
    let mut reply = bytes(status, "text/plain", said.to_owned());
    reply.headers_mut().insert("www-authenticate", value.parse().unwrap());
    reply
}

/// A vault in memory.
#[derive(Default)]
pub(crate) struct Vault {
    pub(crate) stored: Mutex<Option<StoredToken>>,
    pub(crate) lease: Mutex<Option<(u64, i64)>>,
    pub(crate) is_broken: AtomicBool,
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

impl Vault {
    fn answer<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, String>> {
        let is_broken = self.is_broken.load(Ordering::SeqCst);
        async move { if is_broken { Err("the store is away".to_owned()) } else { Ok(answer) } }.boxed()
    }
}

impl TokenVault for Vault {
    fn load(&self) -> BoxFuture<'_, Result<Option<StoredToken>, String>> {
        self.answer(self.stored.lock().unwrap().clone())
    }

    fn save<'a>(&'a self, token: &'a StoredToken) -> BoxFuture<'a, Result<(), String>> {
        *self.stored.lock().unwrap() = Some(token.clone());
        *self.lease.lock().unwrap() = None;
        self.answer(())
    }

    fn forget<'a>(&'a self, token: &'a StoredToken) -> BoxFuture<'a, Result<(), String>> {
        let mut stored = self.stored.lock().unwrap();
        if stored.as_ref().is_some_and(|kept| kept.secret.expose_secret() == token.secret.expose_secret()) {
            *stored = None;
        }
        self.answer(())
    }

    fn lease(&self, holder: u64, until_ms: i64) -> BoxFuture<'_, Result<bool, String>> {
        let mut lease = self.lease.lock().unwrap();
        let is_free = lease.is_none_or(|(by, until)| by == holder || until <= now_ms());
        if is_free {
            *lease = Some((holder, until_ms));
        }
        self.answer(is_free)
    }
}

pub(crate) fn spec() -> ServerOauth {
    ServerOauth {
        client_id: "gate way".into(),
        auth: ClientAuth::Basic,
        algorithm: None,
        key_id: None,
        issuer: None,
        resource: None,
        scopes: Vec::new(),
    }
}

pub(crate) fn oauth(vault: Option<&Arc<Vault>>) -> OauthOptions {
    OauthOptions {
        spec: spec(),
        client_secret: Some(SecretString::from(SECRET)),
        private_key: None,
        vault: vault.map(|vault| vault.clone() as Arc<dyn TokenVault>),
    }
}

/// A connection that signs in.
pub(crate) fn signed(server: &Server, oauth: OauthOptions) -> Arc<HttpDownstream> {
    HttpDownstream::new(HttpOptions { oauth: Some(oauth), ..options(server.address) }).unwrap()
}

pub(crate) fn tool(name: &str) -> Outgoing {
    let mut request =
        Outgoing::plain("tools/call", vec![format!(r#""name":"{name}","arguments":{{"text":"x"}}"#).into()]);
    request.mirror_name = Some(name.into());
    request
}

/// Calls until it is so, as calls are what moves a connection.
pub(crate) async fn called_until(http: &HttpDownstream, fits: impl Fn(&Result<Reply, DownstreamError>) -> bool) {
    let tried = async {
        while !fits(&http.call(cx(), echo("x")).await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(15), tried).await.expect("calls come to it");
}

pub(crate) async fn until_ms(when: i64) {
    while now_ms() <= when {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// That nothing secret is in what people read.
pub(crate) fn is_clean(http: &HttpDownstream, error: Option<&DownstreamError>) {
    let shown = format!("{http:?} {:?} {error:?} {:?}", http.health(), oauth(None));
    assert!(!shown.contains("canary"), "{shown}");
}
