//! One connection to a PostgreSQL server: sockets, TLS, the settings it begins with, how it is made clean and how it ends.
//! Which connections there are is the matter of `pool`.

use std::{fmt, future::poll_fn, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    net::{TcpSocket, lookup_host},
    task::AbortHandle,
    time::timeout,
};
use tokio_postgres::{
    Client, Config, NoTls, SimpleQueryMessage,
    config::{Host, SslMode},
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::{Place, places},
    counted::{Count, Counted, Socket},
};
use crate::OptionsError;

#[cfg(unix)]
use tokio::net::UnixStream;

/// How long one step of ending a connection may take: asking to cancel, waiting for the end of a query, making clean.
const STEP_MAX: Duration = Duration::from_secs(1);
/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Bytes that may come in while a connection is made.
const GREETING_BYTES_MAX: usize = 256 * 1024;

/// What the server is told of us at the start. Values come out in one spelling whatever the server's own settings are,
/// strings are lexed as the judge reads them, and nothing is written even outside of a transaction of ours.
/// `IntervalStyle` is PostgreSQL's own: `1 day 02:00:00` is what its manuals show, and what a model writes back as a literal.
/// `lc_messages` is missing, since only a superuser may set it; no message of the server reaches a caller anyway.
const SETTINGS: &str = "-c standard_conforming_strings=on -c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC \
    -c bytea_output=hex -c extra_float_digits=1 -c search_path=pg_catalog -c jit=off \
    -c max_parallel_workers_per_gather=0 -c lock_timeout=1000 -c work_mem=16MB -c default_transaction_read_only=on \
    -c idle_in_transaction_session_timeout=5000";

/// What `DISCARD ALL` does, in one message and without `DEALLOCATE ALL`: the driver keeps statements of its own, by which it
/// looks types up, and would go on using them. Names that a caller prepared are counted instead; there must be none.
const MAKE_CLEAN: &str = "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES; \
    SELECT pg_catalog.count(*) AS prepared FROM pg_catalog.pg_prepared_statements WHERE from_sql";

/// The server of one source.
pub(crate) struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

/// Why there is no connection. For the operator: it names hosts and roles, never a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the name `{0}` does not resolve: {1}")]
    Resolve(String, io::Error),
    #[error("`{0}` cannot be reached: {1}")]
    Reach(String, io::Error),
    #[error("the server at `{0}` refused the connection: {text}", text = causes(.1))]
    Refused(String, tokio_postgres::Error),
}

impl Server {
    /// Reads the certificates of `ca_file`; connects to nothing.
    pub(crate) fn new(
        mut config: Config,
        ca_file: Option<&Path>,
        statement_max: Duration,
    ) -> Result<Self, OptionsError> {
        let given = config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
        // The later of two wins, so nothing in the URL undoes ours.
        config.options(format!("{given}{SETTINGS} -c statement_timeout={}", statement_max.as_millis()));
        config.application_name("patchbay");
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(tls(ca_file)?)),
        };
        Ok(Self { config, tls })
    }

    /// A new connection to the first place that gives one.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        let mut last = ConnectError::Reach("nowhere".to_owned(), io::ErrorKind::NotFound.into());
        for place in places(&self.config) {
            let spots = match Spot::all(place).await {
                Ok(spots) => spots,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            for spot in spots {
                match self.connect_to(spot).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    async fn connect_to(&self, spot: Spot) -> Result<Connection, ConnectError> {
        let count = Count::new(GREETING_BYTES_MAX);
        let socket = Counted::new(spot.socket().await?, count.clone());
        let mut config = self.config.clone();
        let refused = |error| ConnectError::Refused(spot.name.clone(), error);
        let (client, driver) = match (&self.tls, &spot.at) {
            (Some(tls), At::Tcp(..)) => {
                let tls = rustls_for(tls, &spot.name);
                greet(socket, tls, &config).await.map_err(refused)?
            }
            _ => {
                config.ssl_mode(SslMode::Disable);
                greet(socket, NoTls, &config).await.map_err(refused)?
            }
        };
        let mut connection = Connection { client, driver, count, spot, tls: self.tls.clone(), watches_us: false };
        connection.watches_us = connection.watch_us().await;
        Ok(connection)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("hosts", &self.config.get_hosts()).finish_non_exhaustive()
    }
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, OptionsError> {
    let wrong = |why: String| OptionsError::Meaning("ca_file".into(), why);
    let certificates: Vec<CertificateDer<'static>> = match ca_file {
        None => Vec::new(),
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| wrong(format!("certificates (PEM) cannot be read from it: {error}")))?,
    };
    if ca_file.is_some() && certificates.is_empty() {
        return Err(wrong("there is no certificate (PEM) in it".to_owned()));
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(certificates, Arc::clone(&provider))
        .map_err(|error| wrong(format!("the server's certificate could not be verified with it: {error}")))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Counted>>::TlsConnect;

fn rustls_for(tls: &MakeRustlsConnect, name: &str) -> RustlsConnect {
    let Ok(connect) = MakeTlsConnect::<Counted>::make_tls_connect(&mut tls.clone(), name.trim_matches(['[', ']']));
    connect
}

/// Signs in, and drives the connection from then on. Notices are dropped: they are words of the server for people.
async fn greet<T>(socket: Counted, tls: T, config: &Config) -> Result<(Client, AbortHandle), tokio_postgres::Error>
where
    T: TlsConnect<Counted>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect_raw(socket, tls).await?;
    let driver =
        tokio::spawn(async move { while let Some(Ok(_)) = poll_fn(|cx| connection.poll_message(cx)).await {} });
    Ok((client, driver.abort_handle()))
}

/// One address of a place, after its name was looked up, so that a request to cancel goes to the same server.
#[derive(Debug, Clone)]
struct Spot {
    /// The name that the certificate is for.
    name: String,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

impl Spot {
    async fn all(place: Place) -> Result<Vec<Self>, ConnectError> {
        match place.host {
            Host::Tcp(name) => {
                let addresses: Vec<SocketAddr> = match place.address {
                    Some(address) => vec![SocketAddr::new(address, place.port)],
                    None => lookup_host((name.trim_matches(['[', ']']), place.port))
                        .await
                        .map_err(|error| ConnectError::Resolve(name.clone(), error))?
                        .take(ADDRESSES_MAX)
                        .collect(),
                };
                Ok(addresses.into_iter().map(|address| Self { name: name.clone(), at: At::Tcp(address) }).collect())
            }
            #[cfg(unix)]
            Host::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{}", place.port));
                Ok(vec![Self { name: path.display().to_string(), at: At::Unix(path) }])
            }
        }
    }

    async fn socket(&self) -> Result<Socket, ConnectError> {
        let socket = match &self.at {
            At::Tcp(address) => tcp(*address).await,
            #[cfg(unix)]
            At::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        };
        socket.map_err(|error| ConnectError::Reach(self.name.clone(), error))
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    Ok(Socket::Tcp(socket.connect(address).await?))
}

/// A connection that somebody uses or that waits to be used.
pub(crate) struct Connection {
    client: Client,
    driver: AbortHandle,
    count: Count,
    spot: Spot,
    tls: Option<MakeRustlsConnect>,
    watches_us: bool,
}

impl Connection {
    /// The driver's handle.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What may still come in.
    pub(crate) fn count(&self) -> &Count {
        &self.count
    }

    /// Whether it is of no use any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.client.is_closed() || self.count.exceeded()
    }

    /// Whether the server can look once a second if we are still there, also while it computes.
    pub(crate) fn watches_us(&self) -> bool {
        self.watches_us
    }

    /// PostgreSQL has it since version 14, and not on every system.
    async fn watch_us(&self) -> bool {
        let set = self.client.batch_execute("BEGIN; SET LOCAL client_connection_check_interval = '1s'; COMMIT").await;
        if set.is_err() {
            // The next use begins with a transaction of its own, and there must be none open.
            let _ = self.client.batch_execute("ROLLBACK").await;
        }
        set.is_ok()
    }

    /// Undoes whatever the last use left behind. `false` when the connection cannot be used again.
    pub(crate) async fn make_clean(&self) -> bool {
        let Ok(Ok(messages)) = timeout(STEP_MAX, self.client.simple_query(MAKE_CLEAN)).await else { return false };
        let prepared = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get("prepared"),
            _ => None,
        });
        prepared == Some("0") && !self.is_gone()
    }

    /// Ends it with whatever runs there: asks the server to cancel, gives it a moment, then closes.
    pub(crate) async fn end(self) {
        if !self.is_gone() {
            let told = timeout(STEP_MAX, self.cancel()).await;
            // What the query still sends is read and counted meanwhile, so that the server is not stuck in sending.
            if matches!(told, Ok(Ok(()))) {
                let _ = timeout(STEP_MAX, self.client.check_connection()).await;
            }
        }
        self.driver.abort();
    }

    async fn cancel(&self) -> Result<(), ConnectError> {
        let socket = Counted::new(self.spot.socket().await?, Count::new(GREETING_BYTES_MAX));
        let token = self.client.cancel_token();
        let cancelled = match (&self.tls, &self.spot.at) {
            (Some(tls), At::Tcp(..)) => token.cancel_query_raw(socket, rustls_for(tls, &self.spot.name)).await,
            _ => token.cancel_query_raw(socket, NoTls).await,
        };
        cancelled.map_err(|error| ConnectError::Refused(self.spot.name.clone(), error))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("spot", &self.spot).finish_non_exhaustive()
    }
}

/// An error with all that led to it; the driver's own text says little.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
