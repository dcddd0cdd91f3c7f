//! Who calls: turns a [`Door`] and the head of a request into a [`Principal`], or into the 401 that says how to come in.
//! Whose tenant that principal may enter is decided in [`crate::tenancy`].

pub(crate) mod admin;
pub mod api_key;
pub(crate) mod bootstrap;
pub mod challenge;
mod foreign;
pub mod sign_in;
pub mod site;
mod token;

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, header};
use patchbay_core::{KeyId, TenantId, access::in_any, audit::Actor, model::Access, snapshot::View};
use patchbay_token::Verified;

use self::site::Site;
use crate::{admission, app::App, audit::Trail, error::GatewayError, metrics::Credential, tenancy::Door};
pub use api_key::{KeyEntry, KeyRing, NewKey};

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The address.
    pub ip: IpAddr,
    /// Whether it came in over a loopback listener from this machine.
    pub loopback: bool,
}

/// Who calls. Made only here, so holding one is the proof of having signed in.
#[derive(Debug, Clone)]
pub struct Principal {
    identity: Identity,
    digest: [u8; 16],
}

#[derive(Debug, Clone)]
enum Identity {
    Key(Arc<KeyEntry>),
    /// Somebody of an issuer, and the tenant whose issuer it is: the same issuer elsewhere is somebody else's word.
    Token(TenantId, Arc<Verified>),
    /// Somebody on this machine, at a toolset that says so.
    Anonymous,
}

impl Principal {
    fn of_key(entry: Arc<KeyEntry>) -> Self {
        Self { digest: entry.id.bits().to_be_bytes(), identity: Identity::Key(entry) }
    }

    fn of_token(tenant: TenantId, verified: Arc<Verified>) -> Self {
        Self { digest: verified.digest, identity: Identity::Token(tenant, verified) }
    }

    /// What limits, sessions and handles are bound to, together with the tenant. Says nothing of the credential's bytes, and
    /// is the same for all tokens of a person.
    pub const fn digest(&self) -> [u8; 16] {
        self.digest
    }

    /// The API key, if it is one.
    pub(crate) fn key(&self) -> Option<KeyId> {
        match &self.identity {
            Identity::Key(entry) => Some(entry.id),
            Identity::Token(..) | Identity::Anonymous => None,
        }
    }

    /// Who it is to the audit.
    pub fn actor(&self) -> Actor {
        match &self.identity {
            Identity::Key(entry) => Actor::Key(entry.id),
            Identity::Token(_, verified) => Actor::Token(verified.who.clone()),
            Identity::Anonymous => Actor::Anonymous,
        }
    }

    /// What its issuer said of it, if it has a token.
    pub(crate) fn token(&self) -> Option<&Verified> {
        match &self.identity {
            Identity::Token(_, verified) => Some(verified),
            Identity::Key(_) | Identity::Anonymous => None,
        }
    }

    /// Whether this principal belongs to the tenant and may know of the toolset.
    pub fn may_enter(&self, tenant: TenantId, view: &View) -> bool {
        match &self.identity {
            Identity::Key(entry) => {
                entry.tenant == tenant && entry.toolsets.as_ref().is_none_or(|open| open.contains(&view.toolset))
            }
            Identity::Token(of, verified) => *of == tenant && in_any(&view.rules.groups, &verified.groups),
            Identity::Anonymous => true,
        }
    }

    /// Whether its credential counts still where this is taken, as far as that can be known without it: for who stays long.
    pub(crate) fn still_counts(&self, keys: &KeyRing, access: Access, now_ms: i64) -> bool {
        match &self.identity {
            Identity::Key(entry) => access.takes_keys() && keys.still_opens(entry, now_ms),
            Identity::Token(_, verified) => access.takes_tokens() && now_ms < verified.until_ms,
            Identity::Anonymous => access == Access::Anonymous,
        }
    }

    /// When its token ends by itself, in milliseconds since 1970.
    pub(crate) fn until_ms(&self) -> Option<i64> {
        self.token().map(|verified| verified.until_ms)
    }

    /// What this principal sees of the toolset: without the tools that write, if they are only for groups that it is not in.
    pub(crate) fn sees(&self, view: &Arc<View>) -> Arc<View> {
        match (&view.read_only, self.token()) {
            (Some(read_only), Some(token)) if !in_any(&view.rules.write_groups, &token.groups) => read_only.clone(),
            _ => view.clone(),
        }
    }
}

/// Finds out who calls at this door. The trail learns why a token is refused; the caller is told the same whatever it was.
///
/// # Errors
/// The 401 of a caller without a credential that the door takes, or with one that is unknown, expired or revoked; 404 for a
/// token that is good elsewhere; 503 when nobody can say whether a token is good. From an address of which too many
/// credentials have failed, 429 for all that are not known already.
pub async fn identify(
    app: &App,
    door: &Door,
    headers: &HeaderMap,
    peer: Peer,
    site: Option<&Site>,
    now_ms: i64,
    trail: &mut Trail,
) -> Result<Principal, GatewayError> {
    match shown(headers)? {
        None if peer.loopback && door.access() == Some(Access::Anonymous) => {
            Ok(Principal { identity: Identity::Anonymous, digest: [0; 16] })
        }
        None => Err(GatewayError::Unauthenticated(door.challenge(site))),
        Some(Shown::Key(key)) => {
            let takes_keys = door.access().is_none_or(Access::takes_keys);
            if !takes_keys && let Some(challenge) = door.challenge(site) {
                // Not even looked at, so nothing is learned by it.
                return Err(GatewayError::Unauthenticated(Some(challenge)));
            }
            match with_key(app, key, now_ms) {
                Some(principal) if takes_keys => Ok(principal),
                // Where nobody is told how to sign in, a key is told what it is told where nothing is.
                Some(_) => Err(GatewayError::NotFound),
                None => {
                    let error = GatewayError::BadCredential(door.challenge(site));
                    Err(admission::door::failed(app, peer.ip, error, trail).await)
                }
            }
        }
        Some(Shown::Token(token)) => token::identify(app, door, token, peer, site, now_ms, trail).await,
    }
}

fn with_key(app: &App, key: &str, now_ms: i64) -> Option<Principal> {
    let Some(entry) = app.keys.find(key, now_ms) else {
        app.metrics.sign_in_refused(Credential::Key, "key_unknown");
        return None;
    };
    app.keys.used(&entry, now_ms);
    app.metrics.signed_in(Credential::Key);
    Some(Principal::of_key(entry))
}

/// A credential as it was shown.
enum Shown<'a> {
    /// A key, or what stands where only keys do.
    Key(&'a str),
    /// Anything else that came as a bearer.
    Token(&'a str),
}

/// The credential of a request. Tokens in the query are never looked at.
fn shown(headers: &HeaderMap) -> Result<Option<Shown<'_>>, GatewayError> {
    let bearer = one(headers, &header::AUTHORIZATION)?;
    let key = one(headers, &api_key::HEADER)?;
    match (bearer, key) {
        (Some(bearer), None) => {
            let (scheme, credential) = bearer.split_once(' ').ok_or(GatewayError::MalformedCredential)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(GatewayError::MalformedCredential);
            }
            let credential = credential.trim();
            // An admin key opens nothing here, and is never shown to an issuer either.
            let is_key = [api_key::PREFIX, admin::PREFIX].iter().any(|prefix| credential.starts_with(prefix));
            Ok(Some(if is_key { Shown::Key(credential) } else { Shown::Token(credential) }))
        }
        (None, key) => Ok(key.map(Shown::Key)),
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

#[cfg(test)]
pub(crate) mod tests;
