//! Access tokens: are they genuine, whose are they, and may they be used here. Knows issuers, their keys and their
//! introspection endpoints; knows nothing of HTTP servers, tenants' directories or MCP. The gateway's `auth` asks it.
//!
//! A token goes [`cache`] → (cold: [`issuers`], which takes it apart with [`jwt`] and has the keys of [`keys`], or asks by
//! [`introspect`]) → [`Verified`]. [`explain`] walks the same checks one by one and says what each found. No error, log line or
//! `Debug` here ever has a byte of a token.
//!
//! What is proved, in this order (`issuers/judge.rs`): the form of the token; a header that asks for nothing unusual; an issuer of
//! the tenant, by its exact name; the right type, so no ID token; claims of the right types, in time, for this audience, with a
//! subject; a signature of one of the issuer's keys, by an algorithm that this key allows; no revocation. Claims are looked at
//! before the signature because that costs nothing and asks nobody; they count only after it.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

pub mod cache;
pub mod explain;
pub mod fetch;
mod introspect;
pub mod issuers;
mod jwt;
mod keys;
mod shelf;
pub mod verified;

pub use cache::TokenCache;
pub use explain::{Check, Explanation};
pub use fetch::{Fetch, FetchError, Fetched};
pub use issuers::{Hint, Issuers, Wanted};
pub use jwt::signature::{NoCrypto, self_check};
pub use verified::Verified;

/// Why a token opens nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not one that counts here, with the first check that failed, for operators and the audit alone: callers are told
    /// the same words whatever it was.
    #[error("the token is refused: {0}")]
    Refused(Reason),
    /// Nobody could say: the issuer's keys or its introspection endpoint are out of reach, and none are remembered.
    #[error("the issuer `{issuer}` cannot be asked now")]
    Unavailable {
        /// The issuer's name in the tenant.
        issuer: patchbay_core::Slug,
    },
}

/// The first check that a token failed. The word is for logs, metrics and the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Reason {
    Malformed,
    TooLong,
    UnknownIssuer,
    Algorithm,
    Critical,
    Type,
    UnknownKey,
    Signature,
    Claims,
    Expired,
    NotYetValid,
    TooLongLived,
    Audience,
    Subject,
    Inactive,
    Revoked,
}

impl Reason {
    /// The word in logs, metrics and the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::TooLong => "token_too_long",
            Self::UnknownIssuer => "token_issuer",
            Self::Algorithm => "token_algorithm",
            Self::Critical => "token_critical",
            Self::Type => "token_type",
            Self::UnknownKey => "token_key",
            Self::Signature => "token_signature",
            Self::Claims => "token_claims",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet",
            Self::TooLongLived => "token_lifetime",
            Self::Audience => "token_audience",
            Self::Subject => "token_subject",
            Self::Inactive => "token_inactive",
            Self::Revoked => "token_revoked",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
