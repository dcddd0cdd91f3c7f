//! Who signs a tenant's people in: what an operator says of an issuer of access tokens. Judging tokens by it is
//! `patchbay-token`'s.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{Slug, TenantId};

/// What may be shown of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerSpec {
    /// The issuer, exactly as its tokens and its metadata write it.
    pub issuer: String,
    /// Where its metadata is, when it is not where RFC 8414 and OpenID discovery put it.
    #[serde(default)]
    pub metadata_url: Option<String>,
    /// Where its keys are. With it, metadata is asked for only when an introspection endpoint is wanted and not given.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Audiences that are accepted besides the URL of the toolset itself, for providers that cannot issue tokens for it.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// The signature algorithms that its keys may have; empty: [`Algorithm::USUAL`].
    #[serde(default)]
    pub algorithms: Vec<Algorithm>,
    /// The `typ` of its access tokens; empty: `at+jwt` (RFC 9068). Compared without regard to case, `application/` left off.
    #[serde(default)]
    pub token_types: Vec<String>,
    /// The claims that say who it is.
    #[serde(default)]
    pub claims: ClaimNames,
    /// From a scope to those that it contains.
    #[serde(default)]
    pub scope_implies: BTreeMap<String, Vec<String>>,
    /// Scopes that every token of it needs, besides those of the toolset.
    #[serde(default)]
    pub scopes_required: Vec<String>,
    /// How opaque tokens are looked up; absent: they are refused.
    #[serde(default)]
    pub introspection: Option<Introspection>,
    /// How clients come to a client id, as hints for people.
    #[serde(default)]
    pub registration: Registration,
}

/// The names of the claims that say who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimNames {
    /// Who: the claim that never changes for a person.
    pub subject: String,
    /// A name for people.
    pub name: String,
    /// The groups: a list of texts, or one text. A dotted path leads into objects, as in `realm_access.roles`.
    pub groups: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { subject: "sub".to_owned(), name: "name".to_owned(), groups: "groups".to_owned() }
    }
}

/// Signature algorithms (RFC 7518, RFC 8037). Symmetric ones and `none` have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of RFC 7518 and RFC 8037")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const USUAL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The name in tokens and key sets.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of exactly that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::USUAL.into_iter().find(|known| known.as_str() == name)
    }
}

/// How opaque tokens are looked up (RFC 7662). The gateway's secret there is the issuer's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspection {
    /// The endpoint; absent: as the metadata says.
    #[serde(default)]
    pub url: Option<String>,
    /// The gateway's own client id there.
    pub client_id: String,
    /// How it shows its secret.
    #[serde(default)]
    pub auth: ClientAuth,
    /// Seconds that an answer counts, at most until the token expires.
    #[serde(default = "five")]
    pub cache_s: u32,
}

const fn five() -> u32 {
    5
}

/// How a client shows its secret to an authorization server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_secret_basic`
    #[default]
    Basic,
    /// `client_secret_post`
    Post,
    /// `private_key_jwt`
    PrivateKeyJwt,
}

/// How clients come to a client id at this issuer: hints that are shown to people, nothing is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// A public client id that was registered for IDEs beforehand.
    pub client_id: Option<String>,
    /// A port on loopback that the registered client's redirect URI names.
    pub callback_port: Option<u16>,
    /// Whether clients may register themselves (RFC 7591).
    pub dynamic: bool,
    /// Whether a client's id may be the URL of its metadata document.
    pub metadata_document: bool,
}

/// An issuer as a tenant file gives it.
#[derive(Debug, Clone)]
pub struct IssuerDoc {
    /// What may be shown.
    pub spec: IssuerSpec,
    /// The secrets that the file names, see [`INTROSPECTION_SECRET`]; `None` keeps what the store has.
    pub secrets: BTreeMap<String, Option<SecretString>>,
}

/// The name of the gateway's secret at the introspection endpoint.
pub const INTROSPECTION_SECRET: &str = "introspection:client_secret";

/// An issuer as the store has it, its secrets opened.
#[derive(Debug, Clone)]
pub struct IssuerRow {
    /// Its name.
    pub slug: Slug,
    /// What may be shown.
    pub spec: IssuerSpec,
    /// What may not.
    pub secrets: crate::model::Secrets,
}

/// What no longer opens anything although it was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRow {
    /// The row.
    pub id: crate::RevocationId,
    /// Whose.
    pub tenant: TenantId,
    /// What.
    pub what: Revoked,
    /// Why, for people.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it says nothing any more, in milliseconds since 1970; `None`: until it is taken back.
    pub expires_ms: Option<i64>,
}

/// What was revoked. Keys are revoked in their own rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Revoked {
    /// One token, by its `jti`.
    Token {
        /// The issuer, as in `iss`.
        issuer: String,
        /// The `jti`.
        jti: String,
    },
    /// All that a subject has, and gets while this stands.
    Subject {
        /// The issuer, as in `iss`.
        issuer: String,
        /// The subject.
        subject: String,
    },
    /// What a subject got before this was written, by `iat`: signing in again helps.
    SubjectBefore {
        /// The issuer, as in `iss`.
        issuer: String,
        /// The subject.
        subject: String,
    },
}
