//! Who calls: turns a [`Door`] and the head of a request into a [`Principal`], or into the 401 that says how to come in.
//! Whose tenant that principal may enter is decided in [`crate::tenancy`].

pub mod api_key;
pub mod challenge;
pub mod site;

use http::{HeaderMap, header};
use patchbay_core::{
    Slug, TenantId,
    audit::Actor,
    limits::{Dimension, LimitKey},
    model::Access,
};

use self::site::Site;
use crate::{app::App, error::GatewayError, tenancy::Door};
pub use api_key::{KeyEntry, KeyRing, NewKey};

/// Who calls. Made only here, so holding one is the proof of having signed in.
#[derive(Debug, Clone)]
pub struct Principal {
    identity: Identity,
    digest: [u8; 16],
}

#[derive(Debug, Clone)]
enum Identity {
    Key(std::sync::Arc<KeyEntry>),
    /// Somebody on this machine, at a toolset that says so.
    Anonymous,
}

impl Principal {
    /// What limits, sessions and handles are bound to. Says nothing of the credential's bytes.
    pub const fn digest(&self) -> [u8; 16] {
        self.digest
    }

    /// What this principal's use of the tenant is counted under. A key's id is random, so it is its own digest.
    pub fn limit_key(&self, tenant: TenantId) -> LimitKey {
        match &self.identity {
            Identity::Key(entry) => LimitKey(entry.id.bits()),
            Identity::Anonymous => LimitKey::of(Some(tenant), Dimension::Principal, &self.digest),
        }
    }

    /// Who it is to the audit.
    pub fn actor(&self) -> Actor {
        match &self.identity {
            Identity::Key(entry) => Actor::Key(entry.id),
            Identity::Anonymous => Actor::Anonymous,
        }
    }

    /// Whether this principal belongs to the tenant and may use the toolset.
    pub fn may_enter(&self, tenant: TenantId, toolset: &Slug) -> bool {
        match &self.identity {
            Identity::Key(entry) => {
                entry.tenant == tenant && entry.toolsets.as_ref().is_none_or(|open| open.contains(toolset))
            }
            Identity::Anonymous => true,
        }
    }
}

/// Finds out who calls at this door.
///
/// # Errors
/// The 401 of a caller without a credential, or with one that is unknown, expired or revoked.
pub async fn identify(
    app: &App,
    door: &Door,
    headers: &HeaderMap,
    loopback: bool,
    site: Option<&Site>,
    now_ms: i64,
) -> Result<Principal, GatewayError> {
    let (ring, _) = (&app.keys, site);
    let Some(credential) = credential(headers)? else {
        return match door.access() {
            Some(Access::Anonymous) if loopback => Ok(Principal { identity: Identity::Anonymous, digest: [0; 16] }),
            _ => Err(GatewayError::Unauthenticated(None)),
        };
    };
    let entry = ring.find(credential, now_ms).ok_or(GatewayError::BadCredential(None))?;
    ring.used(&entry, now_ms);
    Ok(Principal { digest: entry.id.bits().to_be_bytes(), identity: Identity::Key(entry) })
}

/// The credential of a request. Tokens in the query are never looked at.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, GatewayError> {
    let bearer = one(headers, &header::AUTHORIZATION)?;
    let key = one(headers, &api_key::HEADER)?;
    match (bearer, key) {
        (Some(bearer), None) => {
            let (scheme, token) = bearer.split_once(' ').ok_or(GatewayError::MalformedCredential)?;
            if scheme.eq_ignore_ascii_case("bearer") {
                Ok(Some(token.trim()))
            } else {
                Err(GatewayError::MalformedCredential)
            }
        }
        (None, key) => Ok(key),
        (Some(_), Some(_)) => Err(GatewayError::MalformedCredential),
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Result<Option<&'a str>, GatewayError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(GatewayError::MalformedCredential);
    }
    first.map(|value| value.to_str().map_err(|_| GatewayError::MalformedCredential)).transpose()
}
