//! What is known of somebody after a token was found good.

use std::sync::Arc;

use patchbay_core::{Slug, access::Scopes};

/// A token that was found good, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The issuer's name in the tenant.
    pub issuer: Slug,
    /// The issuer, as in `iss`.
    pub iss: Arc<str>,
    /// Who, by the claim that the operator named.
    pub subject: Arc<str>,
    /// A name for people.
    pub name: Option<Box<str>>,
    /// The client that got the token (`client_id` or `azp`).
    pub client: Option<Box<str>>,
    /// The token's own id.
    pub jti: Option<Box<str>>,
    /// The groups.
    pub groups: Box<[Box<str>]>,
    /// The scopes, with what they imply.
    pub scopes: Scopes,
    /// For whom it was made.
    pub audiences: Box<[Box<str>]>,
    /// When it was made, in milliseconds since 1970.
    pub issued_ms: Option<i64>,
    /// From when on it is refused (its `exp` and the leeway), in milliseconds since 1970.
    pub until_ms: i64,
    /// A digest of issuer and subject: the same for all tokens of a person, and for nobody else.
    pub digest: [u8; 16],
}
