//! Tenants, servers, issuers and keys to tell stories with.

use std::collections::BTreeMap;

use patchbay_core::{
    KeyId, RevocationId, Slug, TenantId,
    admin::{AdminKeyRow, Grant},
    audit::{ChainId, EventId, Facets, Link, WriterId},
    issuer::{IssuerDoc, IssuerSpec, RevocationRow, Revoked},
    model::{EraPin, KeyRow, ServerDoc, ServerSpec, Sharing, TenantDoc, TenantLimits, ToolRules, Transport},
};
use patchbay_store::{AuditRow, Note, ServerToken};
use secrecy::SecretString;

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

/// What the audit is to say of a change that nobody asks about.
pub(crate) fn note() -> Note {
    Note::by_operator("a change", NOW_MS)
}

pub(crate) const DAY_MS: i64 = 24 * 3600 * 1000;
/// A noon.
pub(crate) const NOW_MS: i64 = 20_800 * DAY_MS + DAY_MS / 2;

/// A chain that grows row by row.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) id: ChainId,
    pub(crate) last: Link,
    /// What makes its event ids those of no other chain.
    mark: u64,
}

impl Chain {
    pub(crate) fn new(tenant: Option<TenantId>, writer: u64) -> Self {
        let mark = u64::from_ne_bytes(patchbay_core::random_bytes());
        Self { id: ChainId { tenant, writer: WriterId(writer) }, last: Link::START, mark }
    }

    /// The next row, of an event that began at this time.
    pub(crate) fn row(&mut self, at_ms: i64) -> AuditRow {
        self.row_of(at_ms, "tool.call", Facets::default())
    }

    pub(crate) fn row_of(&mut self, at_ms: i64, kind: &str, facets: Facets) -> AuditRow {
        let event_id = EventId::compose(at_ms, self.last.seq, self.mark).bits();
        let json = format!("{{\"b\": {event_id},  \"a\":1.0}}");
        self.last = self.last.next(self.id, event_id, at_ms, kind, &json);
        AuditRow { event_id, chain: self.id, link: self.last, at_ms, kind: kind.to_owned(), facets, json }
    }

    pub(crate) fn rows(&mut self, at_ms: i64, count: usize) -> Vec<AuditRow> {
        (0..count).map(|_| self.row(at_ms)).collect()
    }
}

/// A row in no chain, as an older Patchbay writes it.
pub(crate) fn loose(event_id: u128, tenant: Option<TenantId>, at_ms: i64) -> AuditRow {
    let chain = ChainId { tenant, writer: WriterId::OPERATOR };
    let (kind, json) = ("call".to_owned(), format!("{{\"b\": {event_id},  \"a\":1.0}}"));
    AuditRow { event_id, chain, link: Link::START, at_ms, kind, facets: Facets::default(), json }
}

/// A tenant with nothing in it.
pub(crate) fn tenant(name: &str) -> TenantDoc {
    TenantDoc {
        slug: slug(name),
        title: None,
        enabled: true,
        servers: BTreeMap::new(),
        toolsets: BTreeMap::new(),
        issuers: BTreeMap::new(),
        limits: TenantLimits::default(),
        audit: Default::default(),
    }
}

/// The tenant with one more server, or another one in its place.
pub(crate) fn with(mut doc: TenantDoc, name: &str, server: ServerDoc) -> TenantDoc {
    doc.servers.insert(slug(name), server);
    doc
}

pub(crate) fn http(url: &str, secrets: &[(&str, Option<&str>)]) -> ServerDoc {
    let headers = secrets.iter().filter_map(|(name, _)| name.strip_prefix("header:")).map(str::to_owned).collect();
    let transport =
        Transport::Http { oauth: None, url: url.to_owned(), headers, sharing: Sharing::Shared, era: EraPin::Auto };
    ServerDoc { spec: spec(transport), secrets: given(secrets) }
}

fn given(secrets: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<SecretString>> {
    secrets.iter().map(|(name, value)| ((*name).to_owned(), value.map(SecretString::from))).collect()
}

/// The tenant with one more issuer, or another one in its place.
pub(crate) fn trusting(mut doc: TenantDoc, name: &str, issuer: IssuerDoc) -> TenantDoc {
    doc.issuers.insert(slug(name), issuer);
    doc
}

/// An issuer of which nothing is said but its URL.
pub(crate) fn issuer(url: &str, secrets: &[(&str, Option<&str>)]) -> IssuerDoc {
    let spec: IssuerSpec = serde_json::from_value(serde_json::json!({"issuer": url})).unwrap();
    IssuerDoc { spec, secrets: given(secrets) }
}

/// A revocation that stands until it is lifted.
pub(crate) fn revocation(tenant: TenantId, jti: &str, created_ms: i64) -> RevocationRow {
    let what = Revoked::Token { issuer: "https://idp.example".to_owned(), jti: jti.to_owned() };
    RevocationRow { id: RevocationId::random(), tenant, what, reason: None, created_ms, expires_ms: None }
}

pub(crate) fn server_token(text: &str, expires_ms: i64) -> ServerToken {
    ServerToken { secret: text.into(), expires_ms }
}

pub(crate) fn builtin(options: serde_json::Value) -> ServerDoc {
    let transport = Transport::Builtin { name: "db".to_owned(), options, secrets: Vec::new() };
    ServerDoc { spec: spec(transport), secrets: BTreeMap::new() }
}

fn spec(transport: Transport) -> ServerSpec {
    ServerSpec {
        classes: Default::default(),
        transport,
        enabled: true,
        prefix: None,
        tools: ToolRules::default(),
        call_timeout_s: None,
        concurrency_max: None,
        idempotent_tools: Vec::new(),
        instructions: false,
        asks: Default::default(),
    }
}

/// A key made at `created_ms`, whose digest is its id twice.
pub(crate) fn key(tenant: TenantId, created_ms: i64) -> KeyRow {
    let id = KeyId::random();
    let digest: Vec<u8> = id.bits().to_be_bytes().repeat(2);
    KeyRow {
        id,
        tenant,
        label: "laptop".to_owned(),
        shown: "pb_abcd".to_owned(),
        digest: digest.try_into().unwrap(),
        toolsets: None,
        created_ms,
        expires_ms: None,
        revoked_ms: None,
        used_ms: None,
    }
}

/// An admin key made at `created_ms`, whose digest is its id twice.
pub(crate) fn admin_key(grant: Grant, created_ms: i64) -> AdminKeyRow {
    let id = KeyId::random();
    let digest: Vec<u8> = id.bits().to_be_bytes().repeat(2);
    AdminKeyRow {
        id,
        label: "terraform".to_owned(),
        shown: "pba_abcd".to_owned(),
        digest: digest.try_into().unwrap(),
        grant,
        created_ms,
        expires_ms: None,
        revoked_ms: None,
        used_ms: None,
    }
}

/// The right to administer one tenant.
pub(crate) fn admin_of(name: &str) -> Grant {
    Grant::TenantAdmin { tenant: slug(name) }
}
