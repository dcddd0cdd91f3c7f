//! One issuer with keys, one toolset, one time; and the provider in memory that stands for the network.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, future::BoxFuture};
use patchbay_core::{
    RevocationId, TenantId,
    issuer::{INTROSPECTION_SECRET, IssuerRow, RevocationRow, Revoked},
    model::Secrets,
};
use patchbay_token::{Fetch, FetchError, Fetched, Issuers, Reason, TokenError, Verified, Wanted};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::mint::Signer;

/// Now, in seconds.
pub(crate) const NOW: i64 = 1_760_000_000;
pub(crate) const ISS: &str = "https://login.example/realms/acme";
pub(crate) const JWKS: &str = "https://login.example/realms/acme/keys";
pub(crate) const RESOURCE: &str = "https://gw.example/t/acme/mcp";

/// What there is on the network, and what was asked.
#[derive(Default)]
pub(crate) struct Provider {
    pages: Mutex<HashMap<String, (u16, String)>>,
    asked: Mutex<Vec<String>>,
    forms: Mutex<Vec<String>>,
}

impl Provider {
    pub(crate) fn put(&self, url: &str, page: &Value) {
        self.pages.lock().unwrap().insert(url.to_owned(), (200, page.to_string()));
    }

    pub(crate) fn take_away(&self, url: &str) {
        self.pages.lock().unwrap().remove(url);
    }

    /// All URLs that were asked, GET and POST.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn forms(&self) -> Vec<String> {
        self.forms.lock().unwrap().clone()
    }

    fn answer(&self, url: &Url) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(url.to_string());
        match self.pages.lock().unwrap().get(url.as_str()) {
            Some((status, body)) => Ok(Fetched { status: *status, max_age: None, body: body.clone().into_bytes() }),
            None => Err(FetchError::Unreachable("nobody is there".into())),
        }
    }
}

impl Fetch for Provider {
    fn get<'a>(&'a self, url: &'a Url, _bytes_max: usize) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        async { self.answer(url) }.boxed()
    }

    fn post_form<'a>(
        &'a self,
        url: &'a Url,
        _authorization: Option<&'a SecretString>,
        form: SecretString,
        _bytes_max: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.forms.lock().unwrap().push(form.expose_secret().to_owned());
        async { self.answer(url) }.boxed()
    }
}

/// A tenant's issuer `corp` with an RSA, two EC and an Ed25519 key.
pub(crate) struct World {
    pub(crate) provider: Arc<Provider>,
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) tenant: TenantId,
    pub(crate) rsa: Signer,
    pub(crate) p256: Signer,
    pub(crate) p384: Signer,
    pub(crate) ed: Signer,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// With these members of the issuer's spec besides.
    pub(crate) fn with(spec: Value) -> Self {
        let (rsa, p256, p384, ed) =
            (Signer::rsa("rsa-1"), Signer::p256("p256-1"), Signer::p384("p384-1"), Signer::ed25519("ed-1"));
        let provider = Arc::new(Provider::default());
        provider.put(JWKS, &json!({ "keys": [rsa.jwk(), p256.jwk(), p384.jwk(), ed.jwk()] }));
        let issuers = Issuers::new(&[corp(spec)], &[], None, provider.clone());
        Self { provider, issuers, tenant: TenantId::random(), rsa, p256, p384, ed }
    }

    /// The same tenant with other rows or revocations.
    pub(crate) fn reload(&mut self, rows: &[IssuerRow], revoked: &[RevocationRow]) {
        self.issuers = Issuers::new(rows, revoked, Some(&self.issuers), self.provider.clone());
    }

    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<Verified>, TokenError> {
        self.issuers.verify(token, wanted(), NOW * 1000).await
    }

    /// The first check that the token fails.
    pub(crate) async fn refusal(&self, token: &str) -> Option<Reason> {
        match self.verify(token).await {
            Ok(_) => None,
            Err(TokenError::Refused(reason)) => Some(reason),
            Err(other) => panic!("{other}"),
        }
    }
}

pub(crate) fn wanted() -> Wanted<'static> {
    Wanted { resource: RESOURCE }
}

/// The row of the issuer `corp`.
pub(crate) fn corp(spec: Value) -> IssuerRow {
    row("corp", json!({ "issuer": ISS, "jwks_url": JWKS }), spec)
}

/// A row of that name, with a secret for introspection.
pub(crate) fn row(name: &str, base: Value, more: Value) -> IssuerRow {
    let spec = with(base, more);
    let secret = (INTROSPECTION_SECRET.to_owned(), SecretString::from("gateways-own"));
    IssuerRow {
        slug: name.parse().unwrap(),
        spec: serde_json::from_value(spec).unwrap(),
        secrets: Secrets([secret].into()),
    }
}

pub(crate) fn revocation(what: Revoked, created_s: i64) -> RevocationRow {
    RevocationRow {
        id: RevocationId::random(),
        tenant: TenantId::from_bits(1),
        what,
        reason: None,
        created_ms: created_s * 1000,
        expires_ms: None,
    }
}

/// The claims of a good access token.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISS,
        "aud": RESOURCE,
        "sub": "alice",
        "exp": NOW + 600,
        "iat": NOW - 60,
        "jti": "token-1",
        "client_id": "ide",
        "scope": "mcp:read mcp:write",
        "groups": ["dev"],
        "name": "Alice",
    })
}

/// An object with these members set; those set to the text `(absent)` are left out.
pub(crate) fn with(mut object: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("expected an object, not {members}") };
    for (name, value) in members {
        if value == "(absent)" {
            object.as_object_mut().unwrap().remove(&name);
        } else {
            object[name] = value;
        }
    }
    object
}
