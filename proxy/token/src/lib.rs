//! Access tokens: are they genuine, whose are they, and may they be used here. Knows issuers, their keys and their
//! introspection endpoints; knows nothing of HTTP servers, tenants' directories or MCP. The gateway's `auth` asks it.
//!
//! A token goes [`cache`] → (cold: [`jwt`] with the keys of [`keys`], or [`introspect`]) → [`Verified`]. [`explain`] walks the
//! same checks one by one and says what each found. No error, log line or `Debug` here ever has a byte of a token.

pub mod cache;
pub mod explain;
pub mod fetch;
mod introspect;
pub mod issuers;
mod jwt;
mod keys;
pub mod verified;

pub use cache::TokenCache;
pub use explain::{Check, Explanation};
pub use fetch::{Fetch, FetchError, Fetched};
pub use issuers::{Issuers, Wanted};
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
