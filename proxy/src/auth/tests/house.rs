//! A gateway without its listeners: an app over stores in memory, tenants that are put in force by hand, and an issuer with a
//! real key whose documents are served without a network.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING as CURVE, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use patchbay_config::{Environment, GatewayConfig};
use patchbay_core::{
    Generation, ServerId, TenantId,
    era::{Era, Version},
    issuer::{IssuerRow, RevocationRow},
    model::{Access, KeyRow, Secrets, ServerRow, TenantLimits, TenantRow, ToolsetSpec},
    snapshot::{self, CatalogPart},
};
use patchbay_downstream::{Downstream, Hello};
use patchbay_token::{Fetch, FetchError, Fetched, Issuers};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::{
    app::{App, Keys, open_audit, open_store},
    audit::{Audit, SEGMENT_BYTES_MIN, SpoolOptions, Trail, now_ms},
    auth::{NewKey, Peer, Principal, identify, sign_in::SignIn, site::Site},
    control::{inside::ServerInside, stored::Stored, unusable::Unusable},
    error::GatewayError,
    tenancy::{Door, Made, ServerHandle, Source, Tenant, TenantState},
};

/// The issuer that the tenants of a house have.
pub(crate) const ISS: &str = "https://login.example";

/// Somebody outside.
pub(crate) const PEER: Peer = Peer { ip: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), loopback: false };

/// See the module.
pub(crate) struct House {
    pub(crate) app: Arc<App>,
    pub(crate) issuer: Arc<TestIssuer>,
    /// What the servers of tenants are that are put in force from now on, and the era that they are known by; nobody is there
    /// otherwise.
    pub(crate) server: Option<(Arc<dyn Downstream>, Era)>,
    /// What they say that they can.
    pub(crate) capabilities: &'static str,
    _folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// One whose operator decided otherwise.
    pub(crate) async fn with(edit: impl FnOnce(&mut GatewayConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("PATCHBAY_DATA_DIR", folder.path().to_str().unwrap())];
        let mut config = patchbay_config::load(None, &settings.into_iter().collect::<Environment>()).unwrap();
        edit(&mut config);
        let keys = Keys::of(&config).unwrap();
        let store = open_store(&config, &keys).await.unwrap();
        let audit = open_audit(&config).unwrap();
        let issuer = Arc::new(TestIssuer::new());
        let mut app = App::new(config, store, &keys, audit).unwrap();
        app.fetch = issuer.clone();
        Self { app: Arc::new(app), issuer, server: None, capabilities: "{}", _folder: folder }
    }

    /// Another gateway over the same store, with the same keys.
    pub(crate) fn replica(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = self.app.config.clone();
        let keys = Keys::of(&config).unwrap();
        let options = SpoolOptions { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 2 };
        let audit = Audit::open(folder.path(), options).unwrap();
        let mut app = App::new(config, self.app.store.clone(), &keys, audit).unwrap();
        app.fetch = self.issuer.clone();
        Self {
            app: Arc::new(app),
            issuer: self.issuer.clone(),
            server: self.server.clone(),
            capabilities: self.capabilities,
            _folder: folder,
        }
    }

    /// Puts a tenant in force with the toolsets `default`, as it is edited here, and `keys`, which takes keys alone. It has a
    /// server `shop` with the tools `get`, which reads, and `put`.
    pub(crate) fn open(&self, slug: &str, edit: impl FnOnce(&mut TenantRow, &mut ToolsetSpec)) -> TenantRow {
        let mut toolset = ToolsetSpec { access: Access::Oauth, ..ToolsetSpec::default() };
        let mut row = TenantRow {
            id: TenantId::random(),
            slug: slug.parse().unwrap(),
            title: None,
            enabled: true,
            generation: Generation(1),
            limits: TenantLimits::default(),
            audit: Default::default(),
            servers: vec![server()],
            toolsets: Vec::new(),
            issuers: vec![issuer("corp", ISS)],
        };
        edit(&mut row, &mut toolset);
        row.toolsets = vec![("default".parse().unwrap(), toolset), ("keys".parse().unwrap(), ToolsetSpec::default())];
        self.publish(&row, &[]);
        row
    }

    /// Puts a state of a tenant in force, with what was revoked.
    pub(crate) fn publish(&self, row: &TenantRow, revoked: &[RevocationRow]) {
        let era = self.server.as_ref().map_or(Era::Modern, |server| server.1);
        let part = CatalogPart { capabilities: self.capabilities.to_owned(), ..catalog(era) };
        let parts: BTreeMap<_, _> = row.servers.iter().map(|server| (server.id, part.clone())).collect();
        let before = self.app.tenants.state(row.slug.as_str());
        let before = before.as_ref().map(|state| &*state.issuers);
        let enabled = row.servers.iter().filter(|server| server.spec.enabled);
        let servers = enabled.map(|server| {
            let nobody = || Unusable::new("nobody is there".to_owned()) as Arc<dyn Downstream>;
            let downstream = self.server.as_ref().map_or_else(nobody, |server| server.0.clone());
            Arc::new(ServerHandle {
                id: server.id,
                slug: server.slug.clone(),
                downstream,
                meter: self.app.metrics.server(row.slug.as_str(), server.slug.as_str()),
                inside: ServerInside::new(server, Some(Arc::new(stored()))).0,
            })
        });
        let limits = self.app.config.limits.tenants.clone();
        let options = snapshot::BuildOptions { limits, ..snapshot::BuildOptions::default() };
        self.app.tenants.publish(TenantState {
            snapshot: snapshot::build(row, &parts, &options).unwrap(),
            servers: servers.collect(),
            issuers: Issuers::new(&row.issuers, revoked, before, self.issuer.clone()),
            sign_in: Arc::new(SignIn::of(&row.issuers)),
            meter: self.app.metrics.tenant(row.slug.as_str()),
            made: Made { row: Arc::new(row.clone()), at_ms: now_ms(), source: Source::Store },
        });
    }

    /// A key of the tenant, as a client sends it.
    pub(crate) fn key(&self, tenant: TenantId) -> (String, KeyRow) {
        let key = NewKey::generate(tenant, "test".to_owned(), None, 0, None);
        self.app.keys.replace(tenant, std::slice::from_ref(&key.row));
        (key.secret.expose_secret().to_owned(), key.row)
    }

    pub(crate) fn door(&self, tenant: &str, toolset: Option<&str>) -> Door {
        self.app.tenants.door(tenant, toolset)
    }

    pub(crate) fn trail(&self) -> Trail {
        Trail::open(&self.app.audit, None, None)
    }

    /// Who it is that shows this, at a known address.
    pub(crate) async fn identify(&self, door: &Door, headers: &HeaderMap) -> Result<Principal, GatewayError> {
        identify(&self.app, door, headers, PEER, Some(&site()), now_ms(), &mut self.trail()).await
    }

    /// The same with a bearer token at the toolset `default`, and through the door.
    pub(crate) async fn enter(&self, tenant: &str, token: &str) -> Result<(Principal, Tenant), GatewayError> {
        let door = self.door(tenant, None);
        let principal = self.identify(&door, &bearer(token)).await?;
        let tenant = door.enter(&principal, Some(&site()))?;
        Ok((principal, tenant))
    }
}

/// Where the gateway is.
pub(crate) fn site() -> Site {
    Site { origin: "https://tools.example".to_owned(), prefix: String::new() }
}

pub(crate) fn bearer(credential: &str) -> HeaderMap {
    with(&header::AUTHORIZATION, &format!("Bearer {credential}"))
}

pub(crate) fn with(name: &HeaderName, value: &str) -> HeaderMap {
    [(name.clone(), HeaderValue::from_str(value).unwrap())].into_iter().collect()
}

pub(crate) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// An issuer of that name.
pub(crate) fn issuer(slug: &str, iss: &str) -> IssuerRow {
    let spec = json!({ "issuer": iss, "jwks_url": format!("{iss}/keys") });
    IssuerRow { slug: slug.parse().unwrap(), spec: serde_json::from_value(spec).unwrap(), secrets: Secrets::default() }
}

fn server() -> ServerRow {
    let spec = json!({
        "transport": { "kind": "http", "url": "https://shop.example/mcp" },
        "classes": { "read": ["get"] },
    });
    ServerRow {
        id: ServerId::random(),
        slug: "shop".parse().unwrap(),
        spec: serde_json::from_value(spec).unwrap(),
        secrets: Secrets::default(),
    }
}

fn catalog(era: Era) -> CatalogPart {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } }).to_string();
    CatalogPart {
        era,
        tools: vec![tool("get"), tool("put")],
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        skills: Vec::new(),
        capabilities: "{}".to_owned(),
        instructions: None,
        stale: false,
        fresh_until_ms: None,
    }
}

/// The same as it was heard from the server.
fn stored() -> Stored {
    let CatalogPart { tools, prompts, resources, templates, skills, .. } = catalog(Era::Modern);
    Stored { hello: hello(), tools, prompts, resources, templates, skills, at_ms: now_ms(), ttl_ms: None, stale: false }
}

/// What a server says of itself.
pub(crate) fn hello() -> Hello {
    Hello {
        version: Version::NEWEST,
        capabilities: "{}".to_owned(),
        server_info: r#"{"name":"shop","version":"1"}"#.to_owned(),
        instructions: None,
    }
}

/// An issuer with a key of its own.
pub(crate) struct TestIssuer {
    pair: EcdsaKeyPair,
    /// Whether nobody answers.
    pub(crate) is_down: AtomicBool,
    /// How often it was asked for something.
    pub(crate) asked: AtomicUsize,
}

impl TestIssuer {
    fn new() -> Self {
        let made = EcdsaKeyPair::generate_pkcs8(&CURVE, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&CURVE, made.as_ref()).unwrap();
        Self { pair, is_down: AtomicBool::new(false), asked: AtomicUsize::new(0) }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn keys(&self) -> Vec<u8> {
        // An uncompressed point: a byte that says so, x, y.
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "k1", "x": x, "y": y }] })
            .to_string()
            .into_bytes()
    }

    /// A token with these claims in place of, or besides, those of a good one for the toolset `default` of `acme`.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let now = now_ms() / 1000;
        let mut all = json!({
            "iss": ISS, "sub": "ann", "aud": "https://tools.example/t/acme/mcp",
            "iat": now, "exp": now + 300, "jti": format!("{:?}", patchbay_core::random_bytes::<8>()),
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.sign(&all)
    }

    fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
        let signed = format!("{}.{}", part(&head), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

impl Fetch for TestIssuer {
    fn get<'a>(&'a self, _url: &'a Url, _bytes_max: usize) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = if self.is_down.load(Ordering::SeqCst) {
            Err(FetchError::Unreachable("down".into()))
        } else {
            Ok(Fetched { status: 200, max_age: None, body: self.keys() })
        };
        Box::pin(ready(answer))
    }

    fn post_form<'a>(
        &'a self,
        _url: &'a Url,
        _authorization: Option<&'a SecretString>,
        _form: SecretString,
        _bytes_max: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Err(FetchError::Unreachable("no such endpoint".into()))))
    }
}
