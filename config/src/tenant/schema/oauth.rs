//! The fields of a tenant file that concern tokens: its issuers, the scopes of a toolset, and the gateway's own sign-in at a
//! remote server. Lowered by `issuer`, `toolset::access` and `server::oauth`.

use std::collections::BTreeMap;

use patchbay_core::issuer::{ClaimNames, ClientAuth};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{is_default, is_no};
use crate::{
    tenant::scopes::{SCOPE_CHARS_MAX, SCOPES_MAX},
    words::words,
};

/// Scopes, as RFC 6749 writes them.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "maxItems" = SCOPES_MAX,
    "items" = { "type": "string", "minLength": 1, "maxLength": SCOPE_CHARS_MAX, "pattern": "^[!#-\\[\\]-~]+$" }
))]
pub(crate) struct ScopeList(pub(crate) Vec<String>);

/// Who signs people in: an issuer of access tokens.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["issuer"]))]
pub(crate) struct IssuerFile {
    /// The issuer, exactly as its tokens write it in `iss`, a slash at its end included.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) issuer: String,
    /// Where its metadata is, when it is not where RFC 8414 and OpenID discovery put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) metadata_url: Option<String>,
    /// Where its keys are. With it, metadata is asked for only to find an introspection endpoint that is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) jwks_url: Option<String>,
    /// Audiences that are accepted besides the URL of the toolset itself, compared exactly; for issuers that cannot make
    /// tokens for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 2048)))]
    pub(crate) audiences: Vec<String>,
    /// The signature algorithms that its keys may have; empty: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and
    /// EdDSA.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9), inner(regex(pattern = "^([RP]S(256|384|512)|ES(256|384)|EdDSA)$")))]
    pub(crate) algorithms: Vec<String>,
    /// The `typ` of its access tokens; empty: `at+jwt`. Without regard to case, and without `application/`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 100)))]
    pub(crate) token_types: Vec<String>,
    /// The claims that say who somebody is.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) claims: ClaimsFile,
    /// From a scope to those that it contains.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = SCOPES_MAX))]
    pub(crate) scope_implies: BTreeMap<String, ScopeList>,
    /// Scopes that every token of it needs, besides those of the toolset.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) scopes_required: ScopeList,
    /// How opaque tokens are looked up; absent: they are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) introspection: Option<IntrospectionFile>,
    /// How clients come to a client id: hints for people, nothing is enforced.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) registration: RegistrationFile,
}

/// The claims that say who somebody is.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClaimsFile {
    /// The claim that never changes for a person.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) subject: String,
    /// A name for people.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) name: String,
    /// The groups: a list of texts, or one text. Dots lead into objects, as in `realm_access.roles`.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) groups: String,
}

impl Default for ClaimsFile {
    fn default() -> Self {
        let ClaimNames { subject, name, groups } = ClaimNames::default();
        Self { subject, name, groups }
    }
}

/// How opaque tokens are looked up (RFC 7662).
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["client_id", "client_secret"]))]
pub(crate) struct IntrospectionFile {
    /// The endpoint; absent: as the issuer's metadata says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) url: Option<String>,
    /// The gateway's own client id there.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 400))]
    pub(crate) client_id: String,
    /// The gateway's secret there: `${env:NAME}` and `${file:PATH}` are replaced, and `${sealed}` alone keeps what the store
    /// has.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(extend("writeOnly" = true), length(min = 1))]
    pub(crate) client_secret: String,
    /// How the gateway shows its secret.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "SecretAuthWord")]
    pub(crate) auth: ClientAuth,
    /// Seconds that an answer counts, at most until the token expires.
    #[schemars(range(min = 1, max = 300))]
    pub(crate) cache_s: u32,
}

impl Default for IntrospectionFile {
    fn default() -> Self {
        Self { url: None, client_id: String::new(), client_secret: String::new(), auth: ClientAuth::Basic, cache_s: 5 }
    }
}

/// How clients come to a client id at an issuer.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RegistrationFile {
    /// A public client id that was registered for IDEs beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 400))]
    pub(crate) client_id: Option<String>,
    /// The port on loopback that the redirect URI of that client names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) callback_port: Option<u16>,
    /// Whether clients may register themselves (RFC 7591).
    #[serde(skip_serializing_if = "is_no")]
    pub(crate) dynamic: bool,
    /// Whether a client's id may be the URL of its metadata document.
    #[serde(skip_serializing_if = "is_no")]
    pub(crate) metadata_document: bool,
}

/// The scopes that tokens need at a toolset; of each list, all.
#[derive(Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScopesFile {
    /// To come in.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) enter: ScopeList,
    /// To call a tool that only reads, besides `enter`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) read: ScopeList,
    /// To call any other tool, besides `enter`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) write: ScopeList,
    /// To call tools by globs over `server/name`, besides the others; all globs that match count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200))]
    pub(crate) tools: BTreeMap<String, ScopeList>,
}

/// The gateway's own sign-in at a remote server: an OAuth client that gets tokens for itself (client credentials).
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["client_id"]))]
pub(crate) struct ServerOauthFile {
    /// The gateway's client id.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 400))]
    pub(crate) client_id: String,
    /// How it proves to be that client.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "ClientAuthWord")]
    pub(crate) auth: ClientAuth,
    /// The client's secret, for `basic` and `post`. A secret, as in `headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("writeOnly" = true), length(min = 1))]
    pub(crate) client_secret: Option<String>,
    /// The client's private key in PEM, for `private_key_jwt`. A secret, as in `headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("writeOnly" = true), length(min = 1))]
    pub(crate) private_key: Option<String>,
    /// The algorithm of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^([RP]S(256|384|512)|ES(256|384)|EdDSA)$"))]
    pub(crate) algorithm: Option<String>,
    /// The `kid` under which the authorization server knows the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) key_id: Option<String>,
    /// The authorization server; absent: as the server's metadata says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) issuer: Option<String>,
    /// The `resource` that tokens are asked for; absent: as the server's metadata says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) resource: Option<String>,
    /// The scopes that are asked for; empty: those that the server names.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) scopes: ScopeList,
}

words! {
    /// How a client shows its secret to an authorization server.
    SecretAuthWord {
        /// `client_secret_basic`
        Basic,
        /// `client_secret_post`
        Post,
    }
    /// How a client proves to an authorization server who it is.
    ClientAuthWord {
        /// `client_secret_basic`
        Basic,
        /// `client_secret_post`
        Post,
        /// `private_key_jwt`
        PrivateKeyJwt,
    }
}
