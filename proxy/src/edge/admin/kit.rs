//! For tests: the admin API as it stands behind its gate, over a gateway without listeners, with real keys of every kind.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
};
use http::{HeaderMap, Method, StatusCode};
use patchbay_config::GatewayConfig;
use patchbay_core::{
    Slug, TenantId,
    admin::Grant,
    issuer::IssuerDoc,
    model::{ServerDoc, TenantDoc, TenantLimits, ToolsetSpec},
};
use patchbay_store::{AuditFilter, Note};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::gate::{Gate, guarded};
use crate::{
    app::StoreSink,
    audit::{Drain, DrainOptions, now_ms},
    auth::{
        Peer,
        admin::NewAdminKey,
        tests::house::{House, ISS, issuer},
    },
};

/// See the module.
pub(crate) struct Guarded {
    pub(crate) house: House,
    pub(crate) gate: Arc<Gate>,
    pub(crate) router: Router,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn admin_of(tenant: &str) -> Grant {
    Grant::TenantAdmin { tenant: slug(tenant) }
}

pub(crate) fn viewer_of(tenant: &str) -> Grant {
    Grant::TenantViewer { tenant: slug(tenant) }
}

impl Guarded {
    /// One with the tenants `acme` and `umbrella`.
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// One whose operator decided otherwise.
    pub(crate) async fn with(edit: impl FnOnce(&mut GatewayConfig)) -> Self {
        let house = House::with(edit).await;
        let gate = Gate::new(house.app.clone(), None);
        let guarded = Self { router: guarded(gate.clone()), gate, house };
        for tenant in ["acme", "umbrella"] {
            guarded.tenant(tenant).await;
        }
        guarded
    }

    /// Makes a tenant with the server `shop`, the toolset `default` and the issuer `corp`.
    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        let spec = json!({ "transport": { "kind": "http", "url": "https://shop.example/mcp" } });
        let shop = ServerDoc { spec: serde_json::from_value(spec).unwrap(), secrets: [].into() };
        let corp = IssuerDoc { spec: issuer("corp", ISS).spec, secrets: [].into() };
        let doc = TenantDoc {
            slug: slug(name),
            title: None,
            enabled: true,
            servers: [(slug("shop"), shop)].into(),
            toolsets: [(slug("default"), ToolsetSpec::default())].into(),
            issuers: [(slug("corp"), corp)].into(),
            limits: TenantLimits::default(),
            audit: Default::default(),
        };
        self.house.app.store.tenant_apply(&doc, None, &Note::by_operator("a test", 0)).await.unwrap().id
    }

    /// Makes an admin key.
    pub(crate) async fn key(&self, grant: Grant) -> NewAdminKey {
        self.key_until(grant, None).await
    }

    pub(crate) async fn key_until(&self, grant: Grant, expires_ms: Option<i64>) -> NewAdminKey {
        let key = NewAdminKey::generate("test".to_owned(), grant, now_ms() - 1, expires_ms);
        self.house.app.store.admin_key_create(&key.row, &Note::by_operator("a test", 0)).await.unwrap();
        key
    }

    /// Asks with a bearer credential.
    pub(crate) async fn ask(&self, credential: &str, line: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let bearer = format!("Bearer {credential}");
        let mut all = vec![("authorization", bearer.as_str())];
        if !body.is_null() && headers.iter().all(|(name, _)| *name != "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        self.send(line, &all, &text).await
    }

    /// Asks with an admin key and nothing else.
    pub(crate) async fn get(&self, key: &NewAdminKey, path: &str) -> Answer {
        self.ask(key.secret.expose_secret(), &format!("GET {path}"), &[], &Value::Null).await
    }

    /// Posts JSON with an admin key.
    pub(crate) async fn post(&self, key: &NewAdminKey, path: &str, body: &Value) -> Answer {
        self.ask(key.secret.expose_secret(), &format!("POST {path}"), &[], body).await
    }

    /// Sends exactly this, from an address outside. The line has the method and a path below the API's root, or a whole one
    /// after `//`.
    pub(crate) async fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        answer(&self.router, request(line, headers, body)).await
    }

    /// All records of refusals at the admin API, oldest first.
    pub(crate) async fn refusals(&self) -> Vec<Value> {
        let app = &self.house.app;
        let drain = Drain::start(
            app.audit.clone(),
            StoreSink(app.store.clone()),
            app.signer.clone(),
            DrainOptions::default(),
            &tokio::runtime::Handle::current(),
        );
        assert_eq!(drain.flush(Duration::from_secs(10)).await.left, 0);
        let rows = app.store.audit_page(&AuditFilter::default(), 1000).await.unwrap();
        let records = rows.iter().rev().map(|row| serde_json::from_str::<Value>(&row.json).unwrap());
        records.filter(|record| record["action"] == "admin.refused").collect()
    }
}

pub(crate) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let (method, path) = line.split_once(' ').unwrap();
    let uri = path
        .strip_prefix('/')
        .filter(|rest| rest.starts_with('/'))
        .map_or_else(|| format!("{}{path}", super::ROOT), str::to_owned);
    let mut builder = Request::builder().method(method.parse::<Method>().unwrap()).uri(uri);
    if headers.iter().all(|(name, _)| *name != "host") {
        builder = builder.header("host", "localhost:9091");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let mut request = builder.body(if body.is_empty() { Body::empty() } else { body.to_owned().into() }).unwrap();
    request.extensions_mut().insert(Peer { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), loopback: false });
    request
}

pub(crate) async fn answer(router: &Router, request: Request) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap().to_vec();
    assert_ne!(head.status, StatusCode::NOT_IMPLEMENTED);
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}
