//! What stands in a copy before it is sealed: JSON with a number for its form. The rows of the core have no wire format of their
//! own where they hold secrets, so they are written down here field by field.

use std::{borrow::Cow, collections::BTreeMap, io};

use base64::{Engine, engine::general_purpose::STANDARD};
use patchbay_core::{
    Generation, RevocationId, ServerId, Slug, TenantId,
    audit::TenantAudit,
    issuer::{IssuerRow, IssuerSpec, RevocationRow, Revoked},
    model::{KeyRow, Secrets, ServerRow, ServerSpec, TenantLimits, TenantRow, ToolsetSpec},
};
use patchbay_store::Tombstone;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{All, Copy, Refused};
use crate::control::stored::Stored;

/// The form that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// Bytes of an ended session: whose, which, until when.
const ENDED_BYTES: usize = 16 + 32 + 8;

/// The beginning that every form has.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct TenantWire<'a> {
    format: u32,
    as_of_ms: i64,
    id: TenantId,
    slug: Cow<'a, Slug>,
    title: Cow<'a, Option<String>>,
    enabled: bool,
    generation: Generation,
    limits: Cow<'a, TenantLimits>,
    audit: Cow<'a, TenantAudit>,
    servers: Vec<ServerWire<'a>>,
    toolsets: Cow<'a, [(Slug, ToolsetSpec)]>,
    issuers: Vec<IssuerWire<'a>>,
    keys: Cow<'a, [KeyRow]>,
    revoked: Vec<RevocationWire<'a>>,
    catalogs: Vec<(ServerId, Cow<'a, Stored>)>,
}

#[derive(Serialize, Deserialize)]
struct ServerWire<'a> {
    id: ServerId,
    slug: Cow<'a, Slug>,
    spec: Cow<'a, ServerSpec>,
    secrets: BTreeMap<String, Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct IssuerWire<'a> {
    slug: Cow<'a, Slug>,
    spec: Cow<'a, IssuerSpec>,
    secrets: BTreeMap<String, Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct RevocationWire<'a> {
    id: RevocationId,
    what: Cow<'a, Revoked>,
    reason: Cow<'a, Option<String>>,
    created_ms: i64,
    expires_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct AllWire<'a> {
    format: u32,
    as_of_ms: i64,
    tenants: Cow<'a, BTreeMap<Slug, Generation>>,
    /// Base64, since there may be many.
    ended: String,
}

impl<'a> ServerWire<'a> {
    fn of(row: &'a ServerRow) -> Self {
        let (slug, spec) = (Cow::Borrowed(&row.slug), Cow::Borrowed(&row.spec));
        Self { id: row.id, slug, spec, secrets: revealed(&row.secrets) }
    }
}

impl<'a> IssuerWire<'a> {
    fn of(row: &'a IssuerRow) -> Self {
        Self { slug: Cow::Borrowed(&row.slug), spec: Cow::Borrowed(&row.spec), secrets: revealed(&row.secrets) }
    }
}

impl<'a> RevocationWire<'a> {
    fn of(row: &'a RevocationRow) -> Self {
        let (what, reason) = (Cow::Borrowed(&row.what), Cow::Borrowed(&row.reason));
        Self { id: row.id, what, reason, created_ms: row.created_ms, expires_ms: row.expires_ms }
    }
}

pub(super) fn tenant(
    as_of_ms: i64,
    row: &TenantRow,
    keys: &[KeyRow],
    revoked: &[RevocationRow],
    catalogs: &BTreeMap<ServerId, &Stored>,
) -> io::Result<Vec<u8>> {
    let wire = TenantWire {
        format: FORMAT,
        as_of_ms,
        id: row.id,
        slug: Cow::Borrowed(&row.slug),
        title: Cow::Borrowed(&row.title),
        enabled: row.enabled,
        generation: row.generation,
        limits: Cow::Borrowed(&row.limits),
        audit: Cow::Borrowed(&row.audit),
        servers: row.servers.iter().map(ServerWire::of).collect(),
        toolsets: Cow::Borrowed(&row.toolsets),
        issuers: row.issuers.iter().map(IssuerWire::of).collect(),
        keys: Cow::Borrowed(keys),
        revoked: revoked.iter().map(RevocationWire::of).collect(),
        catalogs: catalogs.iter().map(|(id, stored)| (*id, Cow::Borrowed(*stored))).collect(),
    };
    Ok(serde_json::to_vec(&wire)?)
}

pub(super) fn read_tenant(plain: &[u8]) -> Result<Copy, Refused> {
    let TenantWire {
        as_of_ms,
        id,
        slug,
        title,
        enabled,
        generation,
        limits,
        audit,
        servers,
        toolsets,
        issuers,
        keys,
        revoked,
        catalogs,
        ..
    } = read(plain)?;
    let server = |server: ServerWire<'_>| ServerRow {
        id: server.id,
        slug: server.slug.into_owned(),
        spec: server.spec.into_owned(),
        secrets: hidden(server.secrets),
    };
    let issuer = |issuer: IssuerWire<'_>| IssuerRow {
        slug: issuer.slug.into_owned(),
        spec: issuer.spec.into_owned(),
        secrets: hidden(issuer.secrets),
    };
    let revocation = |row: RevocationWire<'_>| RevocationRow {
        id: row.id,
        tenant: id,
        what: row.what.into_owned(),
        reason: row.reason.into_owned(),
        created_ms: row.created_ms,
        expires_ms: row.expires_ms,
    };
    Ok(Copy {
        as_of_ms,
        row: TenantRow {
            id,
            slug: slug.into_owned(),
            title: title.into_owned(),
            enabled,
            generation,
            limits: limits.into_owned(),
            audit: audit.into_owned(),
            servers: servers.into_iter().map(server).collect(),
            toolsets: toolsets.into_owned(),
            issuers: issuers.into_iter().map(issuer).collect(),
        },
        keys: keys.into_owned(),
        revoked: revoked.into_iter().map(revocation).collect(),
        catalogs: catalogs.into_iter().map(|(id, stored)| (id, stored.into_owned())).collect(),
    })
}

pub(super) fn all(all: &All) -> io::Result<Vec<u8>> {
    let mut ended = Vec::with_capacity(all.ended.len() * ENDED_BYTES);
    for tombstone in &all.ended {
        ended.extend_from_slice(&tombstone.tenant.bits().to_be_bytes());
        ended.extend_from_slice(&tombstone.digest);
        ended.extend_from_slice(&tombstone.expires_ms.to_be_bytes());
    }
    let wire = AllWire {
        format: FORMAT,
        as_of_ms: all.as_of_ms,
        tenants: Cow::Borrowed(&all.tenants),
        ended: STANDARD.encode(ended),
    };
    Ok(serde_json::to_vec(&wire)?)
}

pub(super) fn read_all(plain: &[u8]) -> Result<All, Refused> {
    let AllWire { as_of_ms, tenants, ended, .. } = read(plain)?;
    let ended = STANDARD.decode(ended).map_err(|error| Refused::Format(error.to_string()))?;
    let (ended, rest) = ended.as_chunks::<ENDED_BYTES>();
    if !rest.is_empty() {
        return Err(Refused::Format("its list of ended sessions is cut off".to_owned()));
    }
    let tombstone = |bytes: &[u8; ENDED_BYTES]| {
        let (tenant, rest) = bytes.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let tenant = TenantId::from_bits(u128::from_be_bytes(*tenant));
        Some(Tombstone { tenant, digest: *digest, expires_ms: i64::from_be_bytes(*rest.first_chunk()?) })
    };
    Ok(All { as_of_ms, tenants: tenants.into_owned(), ended: ended.iter().filter_map(tombstone).collect() })
}

fn read<'a, T: Deserialize<'a>>(plain: &'a [u8]) -> Result<T, Refused> {
    let unread = |error: serde_json::Error| Refused::Format(error.to_string());
    let head: Head = serde_json::from_slice(plain).map_err(unread)?;
    if head.format != FORMAT {
        return Err(Refused::Format(format!("form {}, and this one reads form {FORMAT}", head.format)));
    }
    serde_json::from_slice(plain).map_err(unread)
}

fn revealed(secrets: &Secrets) -> BTreeMap<String, Cow<'_, str>> {
    secrets.0.iter().map(|(name, secret)| (name.clone(), Cow::Borrowed(secret.expose_secret()))).collect()
}

fn hidden(secrets: BTreeMap<String, Cow<'_, str>>) -> Secrets {
    Secrets(secrets.into_iter().map(|(name, secret)| (name, secret.into_owned().into())).collect())
}
