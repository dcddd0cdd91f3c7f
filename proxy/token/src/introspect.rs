//! Opaque tokens: what the issuer says of them (RFC 7662).

use std::sync::Arc;

use patchbay_core::issuer::Introspection;
use secrecy::SecretString;

use crate::{
    Fetch,
    keys::{IssuerKeys, Unavailable},
};

/// Asks one issuer about opaque tokens.
pub(crate) struct Introspector {}

impl Introspector {
    pub(crate) fn new(
        spec: Introspection,
        secret: Option<SecretString>,
        issuer: Arc<IssuerKeys>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let _ = (spec, secret, issuer, fetch);
        todo!()
    }

    /// What the issuer says of an active token: the members of its answer. `None` for one that is not active.
    pub(crate) async fn ask(
        &self,
        token: &str,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Unavailable> {
        let _ = token;
        todo!()
    }
}
