//! Sockets: accepts connections, hands each to a worker, and serves HTTP/1.1 on it until it ends, is over time or the gateway
//! drains. TLS is in front of us. What a request means is [`super::mcp`]'s.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr, TcpStream as StdStream},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use http::{HeaderValue, header};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    mcp,
    watch::{Order, Patience, Phase, Watched, WatchedIo},
};
use crate::{app::App, auth::Peer, worker::Workers};

/// How long a connection may lie idle. Clients keep theirs for the length of a conversation.
const IDLE_S: u32 = 900;
/// How long a client may take nothing of what is written.
const WRITE_STALL_S: u32 = 30;
/// The most headers of a request.
const HEADERS_MAX: usize = 128;
/// The pause after the operating system gave no connection (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most connections that are taken over from the listener's queue at the end; systems keep fewer.
const BACKLOG_MAX: usize = 65_536;

/// Counts connections against the bounds.
#[derive(Debug, Default)]
struct Count {
    all: AtomicUsize,
    by_ip: DashMap<IpAddr, usize>,
}

/// One connection's place in the count.
struct Place {
    count: Arc<Count>,
    ip: IpAddr,
    app: Arc<App>,
}

impl Place {
    /// A place, unless all are taken or this address has too many.
    fn take(count: &Arc<Count>, ip: IpAddr, app: &Arc<App>) -> Option<Self> {
        let bounds = &app.config.limits;
        if count.all.load(Ordering::Relaxed) >= bounds.connections_max {
            return None;
        }
        let mut of_ip = count.by_ip.entry(ip).or_default();
        if *of_ip >= bounds.connections_per_ip_max {
            return None;
        }
        *of_ip += 1;
        drop(of_ip);
        count.all.fetch_add(1, Ordering::Relaxed);
        app.metrics.connections.inc();
        Some(Self { count: count.clone(), ip, app: app.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.all.fetch_sub(1, Ordering::Relaxed);
        self.app.metrics.connections.dec();
        if let dashmap::Entry::Occupied(mut of_ip) = self.count.by_ip.entry(self.ip) {
            *of_ip.get_mut() -= 1;
            if *of_ip.get() == 0 {
                of_ip.remove();
            }
        }
    }
}

/// Accepts connections until `stop`, and then those that have been waiting for it. A connection over a bound is closed at once.
pub(crate) async fn accept(app: Arc<App>, listener: TcpListener, workers: Arc<Workers>, stop: CancellationToken) {
    let on_loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
    let acceptor = Acceptor { app, workers, count: Arc::default(), on_loopback };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, from)| Ok((stream.into_std()?, from))) {
            Ok((stream, from)) => acceptor.hand_over(stream, from),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // To their clients these are connected, and a closed listener would reset them. The system is asked, not the runtime, which
    // may not have heard of them yet.
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..BACKLOG_MAX {
        let Ok((stream, from)) = listener.accept() else { return };
        if stream.set_nonblocking(true).is_ok() {
            acceptor.hand_over(stream, from);
        }
    }
}

/// Hands connections to the workers.
struct Acceptor {
    app: Arc<App>,
    workers: Arc<Workers>,
    count: Arc<Count>,
    on_loopback: bool,
}

impl Acceptor {
    fn hand_over(&self, stream: StdStream, from: SocketAddr) {
        let ip = from.ip().to_canonical();
        let Some(place) = Place::take(&self.count, ip, &self.app) else {
            debug!(%ip, "too many connections: one is closed unheard");
            return;
        };
        let peer = Peer { ip, loopback: self.on_loopback && ip.is_loopback() };
        let app = self.app.clone();
        self.workers.run(move || async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            serve(app, stream, peer).await;
            drop(place);
        });
    }
}

/// Serves one connection to its end.
async fn serve(app: Arc<App>, stream: TcpStream, peer: Peer) {
    let _ = stream.set_nodelay(true);
    let bounds = &app.config.limits;
    let patience = Patience {
        idle_s: IDLE_S,
        head_s: bounds.header_read_timeout.as_secs() as u32,
        body_s: bounds.body_read_timeout.as_secs() as u32,
        write_s: WRITE_STALL_S,
    };
    let watched = Watched::begin(patience);
    let service = {
        let (app, watched) = (app.clone(), watched.clone());
        service_fn(move |request: Request<Incoming>| {
            let (app, watched) = (app.clone(), watched.clone());
            // Boxed, since a connection keeps the place for its service's future also while it is idle.
            Box::pin(async move {
                watched.enter(Phase::Body);
                let mut response = mcp::route(app.clone(), peer, request, &watched).await;
                if app.is_draining() {
                    // Who keeps the connection for more goes elsewhere, before it is closed under a request.
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            })
        })
    };
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(bounds.header_bytes_max.max(16 * 1024))
        .max_headers(HEADERS_MAX)
        .pipeline_flush(true)
        .serve_connection(WatchedIo::new(stream, watched.clone()), service);
    run(std::pin::pin!(connection), &watched).await;
}

async fn run<C>(mut connection: Pin<&mut C>, watched: &Watched)
where
    C: std::future::Future<Output = hyper::Result<()>> + Drain,
{
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            order = watched.ordered() => match order {
                Order::Drop => return,
                Order::Drain => {
                    if watched.phase() == Phase::Idle {
                        // By then the runtime has looked once more whether the next request is there.
                        tokio::select! {
                            biased;
                            _ = connection.as_mut() => return,
                            () = tokio::task::yield_now() => {}
                        }
                    }
                    // One whose next request has begun to come is closed by the answer.
                    if watched.phase() != Phase::Head {
                        connection.as_mut().drain();
                    }
                }
            },
        }
    }
}

/// A connection that can be told to take no more requests.
trait Drain {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S> Drain for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
