//! The kit of the nouns' tests: the routes over a store in memory (or over a whole gateway), asked as whoever it may be, without a
//! listener and without signing in.

mod fence;
mod parts;
mod probe;
mod tenants;
mod whole;
mod writers;

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request};
use http::{HeaderMap, StatusCode};
use patchbay_config::{Environment, GatewayConfig};
use patchbay_core::{KeyId, admin::Grant, audit::Actor};
use patchbay_store::{Note, OpenOptions, Store, Vault};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use super::{ROOT, desk::Desk, routes, who::Admin};
use crate::auth::tests::house::House;

/// Answers are small.
const ANSWER_BYTES: usize = 16 << 20;

/// See the module.
pub(crate) struct Kit {
    pub(crate) desk: Arc<Desk>,
    router: Router,
    /// The gateway, where there is one.
    pub(crate) house: Option<House>,
}

/// What an admin is told.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body; null when it is none.
    pub(crate) json: Json,
}

impl Kit {
    /// An empty store, without a gateway.
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same with what the operator decided.
    pub(crate) async fn with(edit: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::at("sqlite::memory:", edit).await
    }

    /// The same with the store at a URL.
    pub(crate) async fn at(url: &str, edit: impl FnOnce(&mut GatewayConfig)) -> Self {
        let vault = Vault::new(1, [7; 32]);
        let store = patchbay_store::open(url, vault, OpenOptions::default()).await.unwrap();
        let mut config = patchbay_config::load(None, &Environment::default()).unwrap();
        edit(&mut config);
        Self::of(Desk::of_store(store, config), None)
    }

    /// An empty store with a gateway over it, which listens nowhere.
    pub(crate) async fn live(edit: impl FnOnce(&mut GatewayConfig)) -> Self {
        let house = House::with(edit).await;
        Self::of(Desk::of_gateway(house.app.clone()), Some(house))
    }

    fn of(desk: Desk, house: Option<House>) -> Self {
        let desk = Arc::new(desk);
        Self { router: routes(desk.clone()), desk, house }
    }

    /// Makes a tenant be what a tenant file says.
    pub(crate) async fn apply(&self, yaml: &str) {
        let doc = patchbay_config::tenant_from_yaml(yaml, "tenant", &|_| Err(String::new())).unwrap();
        self.store().tenant_apply(&doc, None, &Note::by_operator("a test", 0)).await.unwrap();
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.desk.store()
    }

    /// Asks, with a body of JSON unless it is null. The path stands below `/admin/v1`.
    pub(crate) async fn ask(
        &self,
        admin: &Admin,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Json,
    ) -> Answer {
        if body.is_null() {
            return self.send(admin, method, path, headers, String::new()).await;
        }
        let json = [("content-type", "application/json")];
        let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let headers: Vec<_> = headers.iter().chain(json.iter().filter(|_| !named)).copied().collect();
        self.send(admin, method, path, &headers, body.to_string()).await
    }

    /// Asks with a body as it stands.
    pub(crate) async fn send(
        &self,
        admin: &Admin,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{ROOT}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(admin.clone());
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, text, json };
        answer.check();
        answer
    }

    /// What is there; the request must succeed.
    pub(crate) async fn get(&self, admin: &Admin, path: &str) -> Answer {
        let answer = self.ask(admin, "GET", path, &[], Json::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Its ETag.
    pub(crate) fn tag(&self) -> String {
        self.header("etag").unwrap_or_else(|| panic!("no ETag: {self:?}")).to_owned()
    }

    /// The pointers of the fields that it complains about.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    /// Whatever failed is told in problem details, and nothing fails by our own fault.
    fn check(&self) {
        assert_ne!(self.status, 500, "{self:?}");
        if StatusCode::from_u16(self.status).unwrap().as_u16() >= 400 {
            assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
            assert_eq!(self.json["status"], json!(self.status), "{self:?}");
        }
    }
}

/// Somebody with these grants.
pub(crate) fn admin(grants: Vec<Grant>) -> Admin {
    Admin::new(Actor::AdminKey(KeyId::from_bits(7)), grants)
}

/// An admin of the platform.
pub(crate) fn platform() -> Admin {
    admin(vec![Grant::PlatformAdmin])
}

/// An admin of one tenant.
pub(crate) fn admin_of(tenant: &str) -> Admin {
    admin(vec![Grant::TenantAdmin { tenant: tenant.parse().unwrap() }])
}

/// Somebody who may look at one tenant.
pub(crate) fn viewer_of(tenant: &str) -> Admin {
    admin(vec![Grant::TenantViewer { tenant: tenant.parse().unwrap() }])
}
