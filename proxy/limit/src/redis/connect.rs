//! One connection to Redis: where it is, TCP, TLS with ring and the roots that the operating system trusts, the greeting. Which
//! connections there are is the matter of `lane`.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
    task::{AbortHandle, spawn_blocking},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{RedisUrlError, breaker::reason};

/// How long it may take to connect: name, TCP, TLS and greeting.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// Commands that wait for one connection.
const WAITING_MAX: usize = 1024;
/// Failures in a row after which a connection is given up, though the others may be well.
const STRIKES_MAX: u32 = 3;
/// Who hears so much too late that time is up was held up in this thread, by somebody's work on a large message.
const HELD_UP: Duration = Duration::from_millis(2);

/// Where Redis is, and as whom to speak to it.
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<ServerName<'static>>,
    redis: RedisConnectionInfo,
}

impl Target {
    pub(super) fn parse(url: &SecretString) -> Result<Self, RedisUrlError> {
        let info: ConnectionInfo = url.expose_secret().into_connection_info().map_err(|_| RedisUrlError)?;
        let redis = info.redis_settings().clone();
        let (host, port, is_tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host, *port, false),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => (host, *port, true),
            _ => return Err(RedisUrlError),
        };
        let tls = is_tls.then(|| ServerName::try_from(host.clone()).map_err(|_| RedisUrlError)).transpose()?;
        Ok(Self { host: host.clone(), port, tls, redis })
    }

    /// Connects and greets. The connection is driven by the runtime that this is called on.
    ///
    /// # Errors
    /// With the word for what went wrong.
    pub(super) async fn connect(&self) -> Result<Arc<Conn>, &'static str> {
        timeout(CONNECT_MAX, self.connect_unbounded()).await.unwrap_or(Err("timeout"))
    }

    async fn connect_unbounded(&self) -> Result<Arc<Conn>, &'static str> {
        let tcp = TcpStream::connect((&*self.host, self.port)).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "refused",
            _ => "unreachable",
        })?;
        tcp.set_nodelay(true).map_err(|_| "broken")?;
        match &self.tls {
            None => self.greet(tcp).await,
            Some(name) => {
                let tls = connector().await?.connect(name.clone(), tcp).await.map_err(|_| "tls")?;
                self.greet(tls).await
            }
        }
    }

    async fn greet<S>(&self, stream: S) -> Result<Arc<Conn>, &'static str>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Whoever asks bounds the wait, since only they know what to do without an answer.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(WAITING_MAX);
        let made = MultiplexedConnection::new_with_config(&self.redis, stream, config).await;
        let (commands, driver) = made.map_err(|error| reason(&error))?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Arc::new(Conn { commands, driver, strikes: AtomicU32::new(0), is_broken: AtomicBool::new(false) }))
    }
}

/// The TLS that all connections share: reading the roots takes a while.
async fn connector() -> Result<TlsConnector, &'static str> {
    static CONNECTOR: OnceCell<TlsConnector> = OnceCell::const_new();
    let made =
        CONNECTOR.get_or_try_init(|| async { spawn_blocking(build).await.map_err(|_| "tls")?.map_err(|_| "tls") });
    made.await.cloned()
}

fn build() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection that many share. It ends when nobody holds it any more.
pub(super) struct Conn {
    commands: MultiplexedConnection,
    driver: AbortHandle,
    strikes: AtomicU32,
    is_broken: AtomicBool,
}

impl Conn {
    /// Whether it is worth to be asked.
    pub(super) fn is_well(&self) -> bool {
        !self.is_broken.load(Ordering::Relaxed) && !self.driver.is_finished()
    }

    /// Asks, and waits for this long at the most; once more so long when this thread was held up meanwhile, since what
    /// waited here may hardly have been sent, and all that waited with it would be taken for a Redis that is away.
    ///
    /// # Errors
    /// What Redis refuses, or what became of the connection.
    pub(super) async fn ask(&self, cmd: &Cmd, patience: Duration) -> Result<Value, Failure> {
        let mut commands = self.commands.clone();
        let (asked, mut answer) = (Instant::now(), pin!(commands.send_packed_command(cmd)));
        let mut said = timeout(patience, &mut answer).await;
        if said.is_err() && asked.elapsed() >= patience + HELD_UP {
            said = timeout(patience, answer).await;
        }
        self.judged(said.map_err(|_| Failure::Late).and_then(|answer| {
            // A refusal comes as a value.
            answer.and_then(Value::extract_error).map_err(Failure::Said)
        }))
    }

    /// Asks several things at once, of whose answers only refusals matter.
    ///
    /// # Errors
    /// As above, with the first refusal.
    pub(super) async fn ask_all(&self, all: &Pipeline, count: usize, patience: Duration) -> Result<(), Failure> {
        let mut commands = self.commands.clone();
        let answer = timeout(patience, commands.send_packed_commands(all, 0, count)).await;
        self.judged(answer.map_err(|_| Failure::Late).and_then(|answer| {
            answer.and_then(|all| Value::Array(all).extract_error()).map(drop).map_err(Failure::Said)
        }))
    }

    fn judged<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        match &answer {
            Ok(_) if self.strikes.load(Ordering::Relaxed) == 0 => {}
            Ok(_) => self.strikes.store(0, Ordering::Relaxed),
            Err(failure) if failure.is_forgotten() => {}
            Err(failure) => {
                let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
                let is_over = matches!(failure, Failure::Said(error) if error.is_unrecoverable_error());
                if is_over || strikes >= STRIKES_MAX {
                    self.is_broken.store(true, Ordering::Relaxed);
                }
            }
        }
        answer
    }

    /// Says something without waiting, to which no answer is wanted. `false` when there is no room or no connection.
    pub(super) fn say(&self, cmd: &Cmd) -> bool {
        if !self.is_well() {
            return false;
        }
        let mut commands = self.commands.clone();
        // Putting it into the queue is all that is waited for, so it is done at once or there is no room.
        let said: Pin<&mut dyn Future<Output = Result<Value, RedisError>>> = pin!(commands.send_packed_command(cmd));
        matches!(said.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_)))
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why there is no answer.
pub(super) enum Failure {
    /// It took too long.
    Late,
    /// Redis refused, or the connection broke.
    Said(RedisError),
    /// It is none that is known.
    Strange,
}

impl Failure {
    /// Whether Redis is well and only does not know the script (any more).
    pub(super) fn is_forgotten(&self) -> bool {
        matches!(self, Self::Said(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
    }

    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Late => "timeout",
            Self::Said(error) => reason(error),
            Self::Strange => "protocol",
        }
    }
}

#[cfg(test)]
mod tests;
