//! TLS towards servers: rustls with ring, the roots that the operating system trusts, HTTP/1.1 by ALPN. Made once for the
//! process, at the first connection that needs it, since reading the roots takes a while.

use std::sync::Arc;

use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::Verifier;
use tokio::{
    sync::OnceCell,
    task::{JoinError, spawn_blocking},
};
use tokio_rustls::TlsConnector;

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The roots could not be read.
    #[error("the trusted certificates of this machine cannot be used: {0}")]
    Roots(#[from] rustls::Error),
    /// The runtime is going down.
    #[error("TLS could not be prepared: {0}")]
    Runtime(#[from] JoinError),
}

/// The connector that all servers share; it holds no state of any of them but resumable sessions by server name.
pub(crate) async fn connector() -> Result<TlsConnector, TlsError> {
    static CONNECTOR: OnceCell<TlsConnector> = OnceCell::const_new();
    CONNECTOR.get_or_try_init(|| async { Ok(spawn_blocking(build).await??) }).await.cloned()
}

fn build() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
