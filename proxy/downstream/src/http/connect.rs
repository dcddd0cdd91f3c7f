//! From a server's host and port to a connected socket: resolve, check every address against the operator's policy, connect
//! to an address that was checked. No proxy variables, no redirects; what is sent over the socket is `live`'s.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;
use url::Host;

use super::{guard::NetPolicy, tls};

/// Addresses of one name that are tried at the most.
const ADDRESSES_MAX: usize = 8;

/// When a silent peer is probed: a half-open connection must not hold a stream forever.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));

/// Where a server is and how it may be reached.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    /// The name to prove by certificate; `None` without TLS.
    pub(crate) tls_name: Option<ServerName<'static>>,
    pub(crate) net: NetPolicy,
    pub(crate) connect_timeout: Duration,
}

/// Why there is no connection. Nothing was sent in any case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// One text for every refused address, so that answers map no network.
    #[error("the server's address is not one that this gateway may connect to; the operator can allow its network")]
    Forbidden,
    #[error("the server's name could not be resolved: {0}")]
    Resolve(io::Error),
    #[error("the server's name has no address")]
    NoAddress,
    #[error("the connection to the server failed: {0}")]
    Connect(io::Error),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("TLS with the server failed: {0}")]
    Handshake(io::Error),
    #[error("the connection to the server was not there within {} ms", .0.as_millis())]
    Timeout(Duration),
}

impl Target {
    /// Opens a connection within the connect timeout.
    pub(crate) async fn connect(&self) -> Result<Stream, ConnectError> {
        let until = Instant::now() + self.connect_timeout;
        timeout_at(until, self.connect_checked(until)).await.unwrap_or(Err(ConnectError::Timeout(self.connect_timeout)))
    }

    async fn connect_checked(&self, until: Instant) -> Result<Stream, ConnectError> {
        let tcp = connect_any(&self.addresses().await?, until).await?;
        let _ = tcp.set_nodelay(true);
        let _ = SockRef::from(&tcp).set_tcp_keepalive(&KEEPALIVE);
        match &self.tls_name {
            None => Ok(Stream::Plain(tcp)),
            Some(name) => {
                let tls = tls::connector().await?.connect(name.clone(), tcp).await.map_err(ConnectError::Handshake)?;
                Ok(Stream::Tls(Box::new(tls)))
            }
        }
    }

    /// The addresses of the host, all of them allowed: a name of which only some addresses are allowed is refused whole,
    /// since its owner plays games.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let found: Vec<SocketAddr> = match &self.host {
            Host::Ipv4(ip) => vec![(*ip, self.port).into()],
            Host::Ipv6(ip) => vec![(*ip, self.port).into()],
            Host::Domain(name) => {
                lookup_host((name.as_str(), self.port)).await.map_err(ConnectError::Resolve)?.collect()
            }
        };
        if !found.iter().all(|address| self.net.allows(address.ip())) {
            return Err(ConnectError::Forbidden);
        }
        Ok(found)
    }
}

/// Tries the addresses in their order; each gets its share of the time that is left.
async fn connect_any(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::NoAddress;
    let count = addresses.len().min(ADDRESSES_MAX);
    for (tried, address) in addresses.iter().take(count).enumerate() {
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / u32::try_from(count - tried).unwrap_or(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = ConnectError::Connect(error),
            Err(_) => last = ConnectError::Timeout(share),
        }
    }
    Err(last)
}

/// A connected socket, with TLS or without.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls the same method on whichever of the two it is.
macro_rules! either {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain(tcp) => {
                let $inner = Pin::new(tcp);
                $call
            }
            Stream::Tls(tls) => {
                let $inner = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, inner => inner.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, inner => inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
