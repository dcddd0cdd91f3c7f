//! Admin keys and the requests of admins, between rows and values, once for both databases. Who may do what with a key, and what
//! makes a request the same one, is not decided here.

use patchbay_core::{
    KeyId, Slug, TenantId,
    admin::{AdminKeyRow, Grant},
};
use secrecy::ExposeSecret;
use sqlx::FromRow;
use tracing::warn;

use crate::{
    Reservation, Reserved, StoreError,
    rows::{bits, corrupt, fixed, slug},
    vault::{Bound, Of, Vault},
};

/// The longest answer that is kept for a request, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long after a use of a key that is noted the next one is not.
pub(crate) const TOUCH_EVERY_MS: i64 = 60 * 1000;

/// Expired requests that are deleted at once; the next reservation deletes more.
pub(crate) const FORGOTTEN_MAX: i64 = 1000;

/// How often a reservation is tried that finds its request just gone, before it counts as begun.
pub(crate) const RESERVE_TRIES_MAX: u32 = 3;

pub(crate) const FIND: &str = "SELECT k.id, k.role, t.slug AS tenant, k.label, k.shown, k.digest, k.created_ms, k.expires_ms, \
     k.revoked_ms, k.used_ms FROM admin_keys k LEFT JOIN tenants t ON t.id = k.tenant_id WHERE k.digest = $1";

pub(crate) const LIST: &str = "SELECT k.id, k.role, t.slug AS tenant, k.label, k.shown, k.digest, k.created_ms, k.expires_ms, \
     k.revoked_ms, k.used_ms FROM admin_keys k LEFT JOIN tenants t ON t.id = k.tenant_id ORDER BY k.created_ms, k.id";

pub(crate) const INSERT: &str = "INSERT INTO admin_keys \
     (id, tenant_id, role, label, shown, digest, created_ms, expires_ms, revoked_ms, used_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";

/// Has a key expire at $2 if not before, unless it has expired at $3 or was revoked.
pub(crate) const EXPIRE: &str = "UPDATE admin_keys \
    SET expires_ms = CASE WHEN expires_ms < $2 THEN expires_ms ELSE $2 END \
    WHERE id = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $3)";

pub(crate) const TOUCH: &str =
    "UPDATE admin_keys SET used_ms = $2 WHERE id = $1 AND (used_ms IS NULL OR used_ms <= $3)";

/// One that has expired and is still there counts as absent.
pub(crate) const RESERVE: &str = "INSERT INTO admin_requests AS held (request, body, expires_ms) VALUES ($1, $2, $3) \
     ON CONFLICT (request) DO UPDATE SET body = excluded.body, answer = NULL, expires_ms = excluded.expires_ms \
     WHERE held.expires_ms <= $4";

pub(crate) const RESERVED: &str = "SELECT body, answer FROM admin_requests WHERE request = $1";

pub(crate) const ANSWER: &str = "UPDATE admin_requests SET answer = $2 WHERE request = $1 AND answer IS NULL";

pub(crate) const RELEASE: &str = "DELETE FROM admin_requests WHERE request = $1 AND answer IS NULL";

#[derive(FromRow)]
pub(crate) struct AdminKeyRecord {
    id: Vec<u8>,
    role: String,
    tenant: Option<String>,
    label: String,
    shown: String,
    digest: Vec<u8>,
    created_ms: i64,
    expires_ms: Option<i64>,
    revoked_ms: Option<i64>,
    used_ms: Option<i64>,
}

impl TryFrom<AdminKeyRecord> for AdminKeyRow {
    type Error = StoreError;

    fn try_from(record: AdminKeyRecord) -> Result<Self, StoreError> {
        let tenant = record.tenant.as_deref().map(|text| slug("tenant name", text)).transpose()?;
        Ok(Self {
            id: KeyId::from_bits(bits("admin key id", &record.id)?),
            label: record.label,
            shown: record.shown,
            digest: fixed("digest of an admin key", &record.digest)?,
            grant: grant(&record.role, tenant)?,
            created_ms: record.created_ms,
            expires_ms: record.expires_ms,
            revoked_ms: record.revoked_ms,
            used_ms: record.used_ms,
        })
    }
}

/// What a row grants, and nothing when it makes no sense: a role for one tenant without that tenant is none for all.
fn grant(role: &str, tenant: Option<Slug>) -> Result<Grant, StoreError> {
    match (role, tenant) {
        ("platform_admin", None) => Ok(Grant::PlatformAdmin),
        ("tenant_admin", Some(tenant)) => Ok(Grant::TenantAdmin { tenant }),
        ("tenant_viewer", Some(tenant)) => Ok(Grant::TenantViewer { tenant }),
        _ => Err(corrupt("role of an admin key", "it is none, or not one with or without a tenant")),
    }
}

pub(crate) fn no_tenant_named(slug: &Slug) -> StoreError {
    StoreError::NotFound(format!("there is no tenant `{slug}`, so there is nothing that the key could open"))
}

pub(crate) fn key_exists(key: KeyId) -> StoreError {
    StoreError::Exists(format!("an admin key with the id {key} or the same digest is there already"))
}

/// A reserved request as its row has it.
#[derive(FromRow)]
pub(crate) struct RequestRecord {
    body: Vec<u8>,
    answer: Option<Vec<u8>>,
}

impl RequestRecord {
    /// What became of it.
    pub(crate) fn outcome(&self, asked: &Reservation, vault: &Vault) -> Reserved {
        if self.body != asked.body {
            return Reserved::Differs;
        }
        let Some(sealed) = &self.answer else { return Reserved::Begun };
        match vault.open_bytes(bound(asked.request), sealed) {
            Ok(answer) => Reserved::Done(answer.expose_secret().to_vec()),
            Err(closed) => {
                warn!(
                    "the answer of an admin's request cannot be opened: {closed}; the request counts as begun until it expires"
                );
                Reserved::Begun
            }
        }
    }
}

/// The answer as it is kept.
pub(crate) fn seal(request: [u8; 32], answer: &[u8], vault: &Vault) -> Result<Vec<u8>, StoreError> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(StoreError::TooLarge(format!(
            "the answer of the request has {} bytes and cannot be kept: {ANSWER_BYTES_MAX} at the most are",
            answer.len()
        )));
    }
    Ok(vault.seal_bytes(bound(request), answer))
}

pub(crate) fn not_reserved() -> StoreError {
    StoreError::NotFound(
        "the request is not reserved any more, or was answered before: its answer is not kept".to_owned(),
    )
}

pub(crate) fn bound<'a>(request: [u8; 32]) -> Bound<'a> {
    Bound { tenant: TenantId::from_bits(0), of: Of::Request(request), name: "answer" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_that_makes_no_sense_grants_nothing() {
        let acme = || Some("acme".parse().expect("a slug"));
        for (role, tenant) in
            [("tenant_admin", None), ("tenant_viewer", None), ("platform_admin", acme()), ("owner", None), ("", acme())]
        {
            assert!(grant(role, tenant).is_err(), "{role}");
        }
        for of in [Grant::PlatformAdmin, Grant::TenantAdmin { tenant: acme().expect("a slug") }] {
            assert_eq!(grant(of.role(), of.tenant().cloned()).expect("it is one"), of);
        }
    }
}
