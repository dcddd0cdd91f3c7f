//! The sockets of admins: accepts connections up to a bound, serves HTTP/1.1 on each, and lets what runs finish at the end. What
//! requests go through is in [`super::gate`]. TLS is in front of us, as for clients.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, warn};

use super::gate::{Gate, guarded};
use crate::{app::App, auth::Peer};

/// Connections of admins at once. Others wait in the system's queue.
const ADMIN_CONNECTIONS_MAX: usize = 256;
/// How long a connection may take for a request's head, and lie idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What requests that run have at the end.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// The pause after the operating system gave no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves admins until `stop`.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let at = listener.local_addr()?;
    let router = guarded(Gate::new(app, Some(at)));
    let (places, open) = (Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)), TaskTracker::new());
    let next = async || {
        let place = places.clone().acquire_owned().await;
        (listener.accept().await, place)
    };
    loop {
        let (accepted, place) = tokio::select! {
            () = stop.cancelled() => break,
            next = next() => next,
        };
        match accepted {
            Ok((stream, from)) => {
                let ip = from.ip().to_canonical();
                let peer = Peer { ip, loopback: at.ip().is_loopback() && ip.is_loopback() };
                let (router, stop) = (router.clone(), stop.clone());
                open.spawn(async move {
                    connection(stream, peer, router, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection of an admin");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    open.close();
    if timeout(END_TIME_MAX, open.wait()).await.is_err() {
        warn!("some requests of admins did not finish in time and are broken off");
    }
    Ok(())
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection of an admin ended");
    }
}
