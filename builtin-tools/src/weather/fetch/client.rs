//! The HTTP client of a weather server: rustls with ring, the roots that the operating system trusts, HTTP/1.1. `fetch`
//! makes it once, for the first question. What reads the roots is shared by all servers of the process.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, redirect};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::Verifier;
use tokio::{sync::OnceCell, task::spawn_blocking};

use crate::weather::error::Why;

/// The most redirects of one request, all within one origin.
const REDIRECTS_MAX: usize = 3;
/// The most idle connections by host, and how long they stay.
const IDLE_MAX: usize = 2;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that repeats nothing by itself and follows nothing to another host. The proxy variables of the environment are
/// not looked at, as nowhere else in the gateway: what a tenant's tools reach must not depend on them.
pub(super) async fn build(user_agent: &str, connect: Duration) -> Result<Client, Why> {
    Client::builder()
        .tls_backend_preconfigured(tls().await?)
        .user_agent(user_agent)
        .connect_timeout(connect)
        .redirect(redirect::Policy::custom(same_origin))
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .map_err(|_| Why::Tls)
}

/// Holds no state of any tenant but resumable sessions by the provider's name.
async fn tls() -> Result<ClientConfig, Why> {
    static TLS: OnceCell<ClientConfig> = OnceCell::const_new();
    let built = TLS.get_or_try_init(|| async { spawn_blocking(trusting).await.map_err(|_| Why::Tls)? });
    built.await.cloned()
}

fn trusting() -> Result<ClientConfig, Why> {
    config().map_err(|error| {
        tracing::warn!(%error, "the trusted certificates of this machine cannot be used");
        Why::Tls
    })
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A redirect that is not followed is answered as it came, and is a failure of the provider then.
fn same_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}
