//! The gateway's own identity at a server: an OAuth client that gets tokens for itself (client credentials) and shows them with
//! every request. [`authority`] finds who gives them, [`grant`] asks, [`client`] proves who asks, [`keeper`] has the one that is
//! used now; [`challenge`] reads what a server says when it wants another one.
//!
//! The SDK's OAuth client does not do for this: it leaves neither issuer nor way of proof to the operator, wants an endpoint for
//! users' consent where only programs come, refuses private addresses that the operator allowed, and tells a refused client from
//! a broken network only by its words.

pub(crate) mod acquire;
pub(crate) mod authority;
pub(crate) mod challenge;
mod client;
mod grant;
pub(crate) mod keeper;
mod paper;
pub(crate) mod problem;
pub(crate) mod signed;
mod vault;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use patchbay_core::model::ServerOauth;
use secrecy::SecretString;

/// The grant that is asked for.
const GRANT: &str = "client_credentials";

/// The gateway's identity at one server.
#[derive(Clone)]
pub struct OauthOptions {
    /// What may be shown of it.
    pub spec: ServerOauth,
    /// The client's secret, when it proves itself by one.
    pub client_secret: Option<SecretString>,
    /// The client's private key, PEM, when it proves itself by assertions.
    pub private_key: Option<SecretString>,
    /// Where its tokens are kept for all replicas; absent: each connection has its own.
    pub vault: Option<Arc<dyn TokenVault>>,
}

impl fmt::Debug for OauthOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthOptions").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Where the token of one server is kept, for all replicas. Errors are words for operators; a vault that fails keeps nobody
/// from getting tokens, only from sharing them.
pub trait TokenVault: Send + Sync + 'static {
    /// The token, also when it has expired.
    fn load(&self) -> BoxFuture<'_, Result<Option<StoredToken>, String>>;

    /// Replaces the token and ends the lease on it.
    fn save<'a>(&'a self, token: &'a StoredToken) -> BoxFuture<'a, Result<(), String>>;

    /// Forgets the token, when it is still this one.
    fn forget<'a>(&'a self, token: &'a StoredToken) -> BoxFuture<'a, Result<(), String>>;

    /// Takes the right to get a new token until then, in milliseconds since 1970: `true` for one holder at a time, over all
    /// replicas. The same holder may take it again, and gives it back by taking it until now.
    fn lease(&self, holder: u64, until_ms: i64) -> BoxFuture<'_, Result<bool, String>>;
}

/// A token as it is kept.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// What was written, which only the writer understands.
    pub secret: SecretString,
    /// From when on it is of no use, in milliseconds since 1970.
    pub expires_ms: i64,
}
