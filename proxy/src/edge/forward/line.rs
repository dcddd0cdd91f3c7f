//! Connections to other replicas: plain HTTP/1.1 to the listener that clients use too. Each belongs to one worker; one that was
//! just used is kept for the next request, for less than the time in which a replica that stops still answers on it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, task::JoinHandle};
use tracing::debug;

use super::Failed;
use crate::replica::home;

/// How long a connection to another replica may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long a connection is kept that nothing runs on.
const KEPT_MAX: Duration = Duration::from_secs(1);
/// Connections to one replica that a worker keeps.
const KEPT_OF_ONE_MAX: usize = 8;
/// Replicas to which a worker keeps connections.
const REPLICAS_MAX: usize = 64;
/// Requests that a worker hands on at once, streams that go on among them.
const AT_ONCE_MAX: usize = 2048;
/// How soon it is noticed that the machine of another replica is gone.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(5)).with_retries(3);
/// How long what was sent to it may stay unacknowledged.
const UNHEARD_MAX: Duration = Duration::from_secs(15);

thread_local! {
    static KEPT: RefCell<HashMap<Arc<str>, Vec<Line>>> = RefCell::default();
    static AT_ONCE: Cell<usize> = const { Cell::new(0) };
}

/// A request's place among those that this worker hands on.
pub(super) struct Place(());

impl Place {
    /// A place, unless all are taken.
    pub(super) fn take() -> Option<Self> {
        let taken = AT_ONCE.get();
        (taken < AT_ONCE_MAX).then(|| {
            AT_ONCE.set(taken + 1);
            Self(())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        AT_ONCE.set(AT_ONCE.get().saturating_sub(1));
    }
}

/// One connection to another replica. It ends when this is dropped.
pub(super) struct Line {
    url: Arc<str>,
    pub(super) sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
    /// Since when nothing runs on it.
    idle: Instant,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// One that was kept and is still there.
    pub(super) fn kept(url: &Arc<str>) -> Option<Self> {
        KEPT.with_borrow_mut(|all| {
            let lines = all.get_mut(url)?;
            lines.retain(Self::is_good);
            lines.pop()
        })
    }

    /// A new one.
    pub(super) async fn open(url: &Arc<str>) -> Result<Self, Failed> {
        let authority = home::authority(url).ok_or(Failed::NoAddress)?;
        let tcp = match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(authority)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => {
                debug!(%error, %url, "another replica cannot be reached");
                return Err(Failed::NotReached);
            }
            Err(_) => return Err(Failed::NotReached),
        };
        let _ = tcp.set_nodelay(true);
        let socket = SockRef::from(&tcp);
        let _ = socket.set_tcp_keepalive(&KEEPALIVE);
        let _ = socket.set_tcp_user_timeout(Some(UNHEARD_MAX));
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(|_| Failed::NotReached)?;
        let task = tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to another replica broke");
            }
        });
        Ok(Self { url: url.clone(), sender, task, idle: Instant::now() })
    }

    /// Keeps it for the next request, if there is room.
    pub(super) fn keep(mut self) {
        self.idle = Instant::now();
        KEPT.with_borrow_mut(|all| {
            all.retain(|_, lines| {
                lines.retain(Self::is_good);
                !lines.is_empty()
            });
            if all.len() < REPLICAS_MAX || all.contains_key(&self.url) {
                let lines = all.entry(self.url.clone()).or_default();
                if lines.len() < KEPT_OF_ONE_MAX {
                    lines.push(self);
                }
            }
        });
    }

    fn is_good(&self) -> bool {
        !self.sender.is_closed() && self.idle.elapsed() < KEPT_MAX
    }
}
