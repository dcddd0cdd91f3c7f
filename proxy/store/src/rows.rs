//! Between rows and values, once for both databases: ids are 16 bytes big-endian, specs and limits JSON text, times milliseconds.
//!
//! The records here are what a `SELECT` gives, whichever driver ran it; a row that makes no sense is [`StoreError::Corrupt`].
//! A whole tenant has a file of its own, `held`, and so have the rows of the audit, `audit/rows`.

use std::collections::BTreeMap;

use patchbay_core::{
    Generation, KeyId, RevocationId, ServerId, Slug, TenantId,
    issuer::{RevocationRow, Revoked},
    model::KeyRow,
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use crate::{SessionNote, StoreError, TenantSummary, Tombstone, announce::State};

/// An id as its column has it.
pub(crate) fn blob(bits: u128) -> Vec<u8> {
    bits.to_be_bytes().to_vec()
}

pub(crate) fn bits(column: &str, bytes: &[u8]) -> Result<u128, StoreError> {
    fixed(column, bytes).map(u128::from_be_bytes)
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(format!("a value has no JSON form: {error}")))
}

pub(crate) fn fixed<const N: usize>(column: &str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| corrupt(column, &format!("it has {} bytes, not {N}", bytes.len())))
}

pub(crate) fn parsed<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(column, &error.to_string()))
}

pub(crate) fn slug(column: &str, text: &str) -> Result<Slug, StoreError> {
    text.parse().map_err(|error: patchbay_core::SlugError| corrupt(column, &error.to_string()))
}

pub(crate) fn corrupt(column: &str, why: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "the stored {column} cannot be understood ({why}): it was written by a newer Patchbay or changed by hand; \
         apply the tenant's file again, or restore a backup"
    ))
}

pub(crate) fn generation(number: i64) -> Result<Generation, StoreError> {
    u64::try_from(number).map(Generation).map_err(|_| corrupt("generation", "it is negative"))
}

/// A count as the databases give it.
pub(crate) fn count(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| corrupt("number of rows", "it is negative"))
}

pub(crate) fn no_such_tenant(tenant: TenantId) -> StoreError {
    StoreError::NotFound(format!("there is no tenant with the id {tenant}: it was deleted, or never there"))
}

pub(crate) fn no_such_server(server: ServerId) -> StoreError {
    StoreError::NotFound(format!(
        "the tenant has no server with the id {server}: it was removed, or is another tenant's"
    ))
}

#[derive(FromRow)]
pub(crate) struct GenerationRecord {
    slug: String,
    generation: i64,
    live: bool,
}

impl TryFrom<GenerationRecord> for State {
    type Error = StoreError;

    fn try_from(record: GenerationRecord) -> Result<Self, StoreError> {
        let slug = slug("tenant name", &record.slug)?;
        Ok(Self { slug, generation: generation(record.generation)?, live: record.live })
    }
}

#[derive(FromRow)]
pub(crate) struct SummaryRecord {
    id: Vec<u8>,
    slug: String,
    title: Option<String>,
    enabled: bool,
    generation: i64,
}

impl TryFrom<SummaryRecord> for TenantSummary {
    type Error = StoreError;

    fn try_from(record: SummaryRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: TenantId::from_bits(bits("tenant id", &record.id)?),
            slug: slug("tenant name", &record.slug)?,
            title: record.title,
            enabled: record.enabled,
            generation: generation(record.generation)?,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct KeyRecord {
    id: Vec<u8>,
    tenant_id: Vec<u8>,
    label: String,
    shown: String,
    digest: Vec<u8>,
    toolsets: Option<String>,
    created_ms: i64,
    expires_ms: Option<i64>,
    revoked_ms: Option<i64>,
    used_ms: Option<i64>,
}

impl TryFrom<KeyRecord> for KeyRow {
    type Error = StoreError;

    fn try_from(record: KeyRecord) -> Result<Self, StoreError> {
        let toolsets = record.toolsets.as_deref().map(|text| parsed("list of a key's toolsets", text)).transpose()?;
        Ok(Self {
            id: KeyId::from_bits(bits("key id", &record.id)?),
            tenant: TenantId::from_bits(bits("tenant id", &record.tenant_id)?),
            label: record.label,
            shown: record.shown,
            digest: fixed("digest of a key", &record.digest)?,
            toolsets,
            created_ms: record.created_ms,
            expires_ms: record.expires_ms,
            revoked_ms: record.revoked_ms,
            used_ms: record.used_ms,
        })
    }
}

/// Ends the key `$1` of the tenant `$2` for one that is made at `$3`: at `$4` if not before, or at once.
pub(crate) const REPLACE: &str = "UPDATE api_keys SET revoked_ms = CASE WHEN $4 <= $3 THEN $3 END, \
     expires_ms = CASE WHEN $4 <= $3 OR expires_ms <= $4 THEN expires_ms ELSE $4 END \
     WHERE id = $1 AND tenant_id = $2 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $3)";

/// The newest use of each key, in the order of their ids, so that writers who lock many rows lock them in one order.
pub(crate) fn newest_uses(used: &[(TenantId, KeyId, i64)]) -> BTreeMap<(KeyId, TenantId), i64> {
    let mut newest = BTreeMap::new();
    for &(tenant, key, at_ms) in used {
        let known = newest.entry((key, tenant)).or_insert(at_ms);
        *known = at_ms.max(*known);
    }
    newest
}

#[derive(FromRow)]
pub(crate) struct RevocationRecord {
    pub(crate) id: Vec<u8>,
    tenant_id: Vec<u8>,
    what: String,
    reason: Option<String>,
    created_ms: i64,
    expires_ms: Option<i64>,
}

impl RevocationRecord {
    /// Whether it says nothing any more.
    pub(crate) fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

impl TryFrom<RevocationRecord> for RevocationRow {
    type Error = StoreError;

    fn try_from(record: RevocationRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: RevocationId::from_bits(bits("revocation id", &record.id)?),
            tenant: TenantId::from_bits(bits("tenant id", &record.tenant_id)?),
            what: parsed("revocation", &record.what)?,
            reason: record.reason,
            created_ms: record.created_ms,
            expires_ms: record.expires_ms,
        })
    }
}

/// What is revoked as its text, and the digest of that text, by which the same thing is known again: the order of its fields
/// never changes.
pub(crate) fn revoked(what: &Revoked) -> Result<(String, Vec<u8>), StoreError> {
    let text = json(what)?;
    let digest = Sha256::digest(&text).to_vec();
    Ok((text, digest))
}

/// What is to stand when this is revoked although `held` revokes the same thing: since the later moment where that counts, until
/// the later end. `None` when that is what stands already.
pub(crate) fn joined(row: &RevocationRow, held: RevocationRow) -> Option<RevocationRow> {
    let created_ms = match row.what {
        Revoked::SubjectBefore { .. } => row.created_ms.max(held.created_ms),
        Revoked::Token { .. } | Revoked::Subject { .. } => held.created_ms,
    };
    let expires_ms = row.expires_ms.zip(held.expires_ms).map(|(new, old)| new.max(old));
    let is_more = (created_ms, expires_ms) != (held.created_ms, held.expires_ms);
    let reason = row.reason.clone().or(held.reason);
    is_more.then(|| RevocationRow { created_ms, expires_ms, reason, ..row.clone() })
}

pub(crate) fn revoked_already() -> StoreError {
    StoreError::Exists(
        "the same is revoked already in this tenant, and for as long: nothing is left to do, or lift that revocation first to \
         change its reason or to end it sooner"
            .to_owned(),
    )
}

#[derive(FromRow)]
pub(crate) struct CatalogRecord {
    server_id: Vec<u8>,
    bytes: Vec<u8>,
}

impl TryFrom<CatalogRecord> for (ServerId, Vec<u8>) {
    type Error = StoreError;

    fn try_from(record: CatalogRecord) -> Result<Self, StoreError> {
        Ok((ServerId::from_bits(bits("server id", &record.server_id)?), record.bytes))
    }
}

#[derive(FromRow)]
pub(crate) struct TombstoneRecord {
    tenant_id: Vec<u8>,
    digest: Vec<u8>,
    pub(crate) expires_ms: i64,
}

impl TryFrom<TombstoneRecord> for Tombstone {
    type Error = StoreError;

    fn try_from(record: TombstoneRecord) -> Result<Self, StoreError> {
        Ok(Self {
            tenant: TenantId::from_bits(bits("tenant id", &record.tenant_id)?),
            digest: fixed("digest of a tombstone", &record.digest)?,
            expires_ms: record.expires_ms,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct SessionNoteRecord {
    pub(crate) seq: i64,
    tenant_id: Vec<u8>,
    session: Vec<u8>,
    name: String,
    value: Option<String>,
    expires_ms: i64,
}

impl TryFrom<SessionNoteRecord> for SessionNote {
    type Error = StoreError;

    fn try_from(record: SessionNoteRecord) -> Result<Self, StoreError> {
        Ok(Self {
            tenant: TenantId::from_bits(bits("tenant id", &record.tenant_id)?),
            session: fixed("session of a note", &record.session)?,
            name: record.name,
            value: record.value,
            expires_ms: record.expires_ms,
        })
    }
}

impl TryFrom<SessionNoteRecord> for (i64, SessionNote) {
    type Error = StoreError;

    fn try_from(record: SessionNoteRecord) -> Result<Self, StoreError> {
        Ok((record.seq, record.try_into()?))
    }
}

/// By what the notes of a session are told apart, however long their names are.
pub(crate) fn item_of(name: &str) -> Vec<u8> {
    Sha256::digest(name.as_bytes()).to_vec()
}

/// All records as values, or the first that makes no sense.
pub(crate) fn all<R, T: TryFrom<R, Error = StoreError>>(records: Vec<R>) -> Result<Vec<T>, StoreError> {
    records.into_iter().map(T::try_from).collect()
}
