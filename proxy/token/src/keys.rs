//! The keys of an issuer: found by its metadata, fetched, remembered.

use std::sync::Arc;

use patchbay_core::issuer::{Algorithm, IssuerSpec};
use url::Url;

use crate::Fetch;

/// One key that signatures may be checked with.
pub(crate) struct Key {
    /// Its name in tokens.
    pub(crate) kid: Option<Box<str>>,
    /// The algorithms that a token may name with it: what its type, its curve, its own `alg` and the operator allow.
    pub(crate) algorithms: Vec<Algorithm>,
    /// The key.
    pub(crate) decoding: jsonwebtoken::DecodingKey,
}

/// The usable keys of an issuer at one time.
pub(crate) struct KeySet {
    pub(crate) keys: Vec<Key>,
}

/// Nobody could say: nothing is remembered, and the issuer cannot be asked. The text is for operators.
#[derive(Debug, Clone)]
pub(crate) struct Unavailable(pub(crate) Arc<str>);

/// What is known of one issuer's endpoints and keys, fetched when needed and remembered.
pub(crate) struct IssuerKeys {}

impl IssuerKeys {
    /// Nothing is fetched yet.
    pub(crate) fn new(spec: &IssuerSpec, fetch: Arc<dyn Fetch>) -> Arc<Self> {
        let _ = (spec, fetch);
        todo!()
    }

    /// The keys to judge a token with this `kid` by. Asks the issuer when nothing is known, when what is known is too old, and,
    /// at most once in a while, when it has no such `kid`; all who wait share one fetch.
    pub(crate) async fn for_kid(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<KeySet>, Unavailable> {
        let _ = kid;
        todo!()
    }

    /// A number that changes when a key was withdrawn or replaced.
    pub(crate) fn version(&self) -> u64 {
        todo!()
    }

    /// The introspection endpoint of the metadata.
    pub(crate) async fn introspection_url(self: &Arc<Self>) -> Result<Url, Unavailable> {
        todo!()
    }
}
