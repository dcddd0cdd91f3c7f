//! A connection for making the sample shop: by an administrator's URL, for a moment, with the rights to write. A source's
//! connections are made elsewhere and otherwise.

use std::{error::Error as _, sync::Arc, time::Duration};

use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::sample::SampleError;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Connects as the URL says; a server's certificate has to be one that this system trusts.
pub(super) async fn connect(url: &SecretString) -> Result<Client, SampleError> {
    let config = super::super::config(url, true).map_err(|error| SampleError::Unreachable(error.to_string()))?;
    let connecting = async {
        match config.get_ssl_mode() {
            SslMode::Disable => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            _ => {
                let (client, connection) = config.connect(MakeRustlsConnect::new(tls()?)).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    };
    match timeout(CONNECT_MAX, connecting).await {
        Ok(connected) => connected.map_err(|error: Trouble| SampleError::Unreachable(error.0)),
        Err(_) => Err(SampleError::Unreachable(format!("no answer within {} s", CONNECT_MAX.as_secs()))),
    }
}

/// What went wrong, with its cause; neither quotes the URL.
struct Trouble(String);

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.source() {
            Some(cause) => Self(format!("{error}: {cause}")),
            None => Self(error.to_string()),
        }
    }
}

impl From<rustls::Error> for Trouble {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(config)
}
