//! Servers that speak Streamable HTTP, of both eras. This file is the door: options in, [`Downstream`] out. A call goes
//! [`call`] → [`era`] and [`session`] → [`mod@client`] → [`pool`], [`live`], [`connect`], and comes back through [`reply`] (one JSON
//! body) or [`messages`] (a stream of events); [`listen`] hears what the server says outside of calls. [`oauth`] signs the
//! gateway in where it has an identity of its own. Servers of the transport before it are [`oldest`]'s.
//!
//! Nothing of a caller's headers can get here, since the contract has none: every header is made in [`heads`].

mod aside;
mod call;
mod client;
pub(crate) mod connect;
mod era;
mod flight;
pub mod guard;
mod heads;
mod listen;
mod live;
mod messages;
pub mod oauth;
mod oldest;
mod patience;
mod peer;
mod pool;
mod refusal;
mod reply;
mod session;
mod sse;
mod status;
mod tls;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::{StreamExt, future::BoxFuture, stream};
use http::{HeaderName, HeaderValue, Uri, header::AUTHORIZATION};
use patchbay_core::{era::Era, model::EraPin};
use rustls::pki_types::ServerName;
use tokio::{
    sync::{Semaphore, broadcast},
    time::Instant,
};
use url::{Host, Position, Url};

use self::{
    client::Client,
    connect::Target,
    era::Known,
    heads::Heads,
    oauth::{OauthOptions, acquire::Source, authority::Probe, keeper::Keeper},
    peer::Peer,
    pool::Pool,
};
pub use self::{guard::NetPolicy, oldest::SseDownstream};
use crate::{CallCx, Downstream, DownstreamError, Event, Health, Hello, Load, Outgoing, Reply, fetch::Fetcher, wire};

/// How long [`Downstream::close`] waits for sessions to be ended on the server's side.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Sessions that are ended at once then.
const CLOSE_AT_ONCE: usize = 16;

/// How a server is reached, and what it may take.
#[derive(Clone)]
pub struct HttpOptions {
    /// The server's MCP endpoint.
    pub url: Url,
    /// Headers of every request. The values are secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The era, when the operator knows it.
    pub era: EraPin,
    /// What the server said of itself when it was last asked: saves asking before the first call.
    pub remembered: Option<Hello>,
    /// Where servers may be.
    pub net: NetPolicy,
    /// The largest answer.
    pub response_bytes_max: u64,
    /// What resolving, connecting and TLS may take together.
    pub connect_timeout: Duration,
    /// How long a connection waits for work before it is closed.
    pub idle_timeout: Duration,
    /// The largest event of a stream.
    pub sse_event_bytes_max: usize,
    /// Connections for calls that may be open at once.
    pub connections_max: usize,
    /// The gateway's own sign-in there, when it has one.
    pub oauth: Option<OauthOptions>,
}

impl HttpOptions {
    /// Options with the usual bounds.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            era: EraPin::Auto,
            remembered: None,
            net: NetPolicy::default(),
            response_bytes_max: 64 * 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            sse_event_bytes_max: 16 * 1024 * 1024,
            connections_max: 256,
            oauth: None,
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&HeaderName> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpOptions")
            .field("host", &self.url.host_str())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// Why a server cannot be reached the way it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL is of no use.
    #[error("the server's URL cannot be used: {0}")]
    Url(String),
    /// It is `http://`, and the operator wants TLS.
    #[error("the server's URL is http://; expected https://, unless the operator allows plain HTTP")]
    PlainHttp,
    /// There are a user name or a password in the URL.
    #[error("the server's URL holds a user name or a password; put them into a header of the server instead")]
    Credentials,
    /// A configured header is one that the gateway writes itself.
    #[error("the header {0} cannot be configured, since the gateway writes it itself")]
    ReservedHeader(HeaderName),
    /// What is said of the gateway's sign-in makes none.
    #[error("the server's oauth cannot be used: {0}")]
    Oauth(String),
}

/// One server that speaks Streamable HTTP.
pub struct HttpDownstream {
    peer: Arc<Peer>,
}

impl HttpDownstream {
    /// A server that is reached like this. Connects to nothing yet.
    pub fn new(mut options: HttpOptions) -> Result<Arc<Self>, HttpError> {
        let client = client(&mut options)?;
        let remembered = options.remembered.map(|hello| Arc::new(Known { hello: Arc::new(hello), confirmed: false }));
        let peer = Arc::new(Peer {
            client,
            response_bytes_max: options.response_bytes_max,
            sse_event_bytes_max: options.sse_event_bytes_max,
            pin: options.era,
            known: ArcSwapOption::new(remembered),
            asking: Default::default(),
            sessions: Default::default(),
            events: broadcast::Sender::new(peer::EVENTS_KEPT),
            watched: Default::default(),
            listening: Default::default(),
            silent: Default::default(),
            status: Default::default(),
            closing: Default::default(),
            aside: Arc::new(Semaphore::new(aside::ASIDE_MAX)),
            ids: AtomicU64::new(1),
        });
        Ok(Arc::new(Self { peer }))
    }
}

/// What sends requests to the server.
fn client(options: &mut HttpOptions) -> Result<Client, HttpError> {
    let (host, port, tls_name) = endpoint(&options.url, &options.net)?;
    let path = &options.url[Position::BeforePath..Position::AfterQuery];
    let uri: Uri = path.parse().map_err(|_| HttpError::Url("its path is not a path of HTTP".into()))?;
    let heads = Heads::new(&options.url, std::mem::take(&mut options.headers))?;
    let oauth = options.oauth.take();
    let keeper = oauth.map(|oauth| keeper(oauth, &options.url, &options.net, &heads)).transpose()?;
    let (net, connect_timeout) = (options.net.clone(), options.connect_timeout);
    let target = Target { host, port, tls_name, net, connect_timeout };
    Ok(Client { target, heads, keeper, uri, pool: Pool::new(options.connections_max, options.idle_timeout) })
}

/// What keeps the token of the gateway's own sign-in.
fn keeper(oauth: OauthOptions, url: &Url, net: &NetPolicy, heads: &Heads) -> Result<Arc<Keeper>, HttpError> {
    if heads.has_authorization() {
        return Err(HttpError::ReservedHeader(AUTHORIZATION));
    }
    let request = Outgoing::plain("server/discover", Vec::new());
    let headers = heads.modern(&request).unwrap_or_default();
    let probe = Probe { headers, message: wire::request(0, &request, Era::Modern, "{}").into() };
    let source = Source::new(oauth, Fetcher::new(net.clone()), url.clone(), probe).map_err(HttpError::Oauth)?;
    Ok(Keeper::new(source))
}

/// Host, port, and the name to prove when it is TLS.
type Endpoint = (Host<String>, u16, Option<ServerName<'static>>);

/// Where a URL leads, when the operator allows its scheme and it holds no credentials.
pub(crate) fn endpoint(url: &Url, net: &NetPolicy) -> Result<Endpoint, HttpError> {
    let is_tls = match url.scheme() {
        "https" => true,
        "http" if net.allow_plain_http => false,
        "http" => return Err(HttpError::PlainHttp),
        other => {
            return Err(HttpError::Url(format!("expected https:// or http://, and not {other}:")));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::Credentials);
    }
    let host = url.host().ok_or_else(|| HttpError::Url("it has no host".into()))?.to_owned();
    let port = url.port_or_known_default().ok_or_else(|| HttpError::Url("it has no port".into()))?;
    let tls_name = match &host {
        _ if !is_tls => None,
        Host::Domain(name) => {
            Some(ServerName::try_from(name.clone()).map_err(|_| HttpError::Url("its host is no DNS name".into()))?)
        }
        Host::Ipv4(ip) => Some(ServerName::from(std::net::IpAddr::from(*ip))),
        Host::Ipv6(ip) => Some(ServerName::from(std::net::IpAddr::from(*ip))),
    };
    Ok((host, port, tls_name))
}

impl Downstream for HttpDownstream {
    fn hello(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(self.peer.hello(deadline))
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(self.peer.call(cx, request))
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        let events = self.peer.events.subscribe();
        self.peer.listen_if_wanted();
        events
    }

    fn health(&self) -> Health {
        let mut health = self.peer.status.health();
        if let Some(keeper) = &self.peer.client.keeper {
            keeper.tell(&mut health);
        }
        health
    }

    fn hurry(&self) {
        if let Some(keeper) = &self.peer.client.keeper {
            keeper.hurry();
        }
    }

    fn watch(&self, uris: Arc<BTreeSet<Arc<str>>>) {
        self.peer.watched.set(uris);
        self.peer.listen_if_wanted();
    }

    fn roots_changed(&self, cx: CallCx) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.peer.roots_changed(&(cx.share, cx.capabilities)) })
    }

    fn load(&self) -> Load {
        Load { sessions: Some(self.peer.sessions.open()), ..Load::default() }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.peer.status.close();
            self.peer.closing.close();
            let deadline = Instant::now() + CLOSE_PATIENCE;
            let ended = self.peer.sessions.drain().into_iter().filter(|session| session.id.is_some());
            stream::iter(ended)
                .for_each_concurrent(CLOSE_AT_ONCE, |session| self.peer.delete(session.headers.clone(), deadline))
                .await;
            self.peer.client.pool.clear();
        })
    }
}

impl Drop for HttpDownstream {
    fn drop(&mut self) {
        // Tasks in the background hold the peer, and end by this.
        self.peer.closing.close();
    }
}

impl fmt::Debug for HttpDownstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.peer.client.target;
        f.debug_struct("HttpDownstream").field("host", &target.host).field("port", &target.port).finish_non_exhaustive()
    }
}
