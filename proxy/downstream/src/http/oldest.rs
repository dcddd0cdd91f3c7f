//! Servers that speak HTTP+SSE, the transport of 2024-11-05: one stream for everything that comes, and an endpoint, named in the
//! stream, for everything that goes. Apart from how it is carried this is a connection of lines, as a child has one: seats and
//! [`crate::pipe`] do the rest. Such servers are never found out by asking, only configured.

mod inbound;
mod launch;
mod outbound;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use patchbay_core::model::EraPin;
use tokio::{runtime::Handle, sync::broadcast, time::Instant};

use self::launch::StreamLauncher;
use super::{HttpError, HttpOptions, client, client::Client};
use crate::{
    CallCx, Downstream, DownstreamError, Event, Fault, Health, Hello, Load, Outgoing, Reply,
    pipe::Limits,
    seat::{Common, Rules, Seats},
};

/// Callers, or sets of callers, who may have a stream of their own.
const STREAMS_MAX: usize = 1024;
/// What opening a stream may take, handshake included.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// After how long without calls a stream is closed.
const IDLE_STOP: Duration = Duration::from_secs(600);
/// How long a server may stay silent, also to a ping, after a call timed out in silence; then its stream is opened anew.
const HANG_GRACE: Duration = Duration::from_secs(10);
/// Events that are no messages, within a minute; one more closes the stream.
const GARBAGE_MAX: u32 = 100;

/// One server that speaks HTTP+SSE. Callers share a stream as they share the child of a stdio server: with a stream that is
/// shared by all, nobody can be asked anything, since nothing in it says which call a question belongs to.
pub struct SseDownstream {
    common: Arc<Common>,
    seats: Seats,
    client: Arc<Client>,
}

impl SseDownstream {
    /// A server whose stream is at the options' URL. Connects to nothing yet. `runtime` is where its streams are read; callers
    /// may be anywhere.
    pub fn new(name: &str, mut options: HttpOptions, runtime: Handle) -> Result<Arc<Self>, HttpError> {
        let client = Arc::new(client(&mut options)?);
        let rules = Rules {
            era: EraPin::Sse,
            start_timeout: START_PATIENCE,
            probe_timeout: START_PATIENCE,
            idle_stop: Some(IDLE_STOP),
            hang_grace: HANG_GRACE,
            limits: Limits {
                line_bytes_max: options.sse_event_bytes_max,
                calls_max: options.connections_max,
                garbage_lines_max: GARBAGE_MAX,
                write_stall: START_PATIENCE,
            },
        };
        let remembered = options.remembered.take().map(Arc::new);
        let launcher = StreamLauncher::new(Arc::clone(&client), options.url, options.sse_event_bytes_max);
        let common = Common::new(name.into(), rules, remembered, Box::new(launcher), runtime);
        let seats = Seats::new(Arc::clone(&common), STREAMS_MAX);
        Ok(Arc::new(Self { common, seats, client }))
    }
}

impl fmt::Debug for SseDownstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseDownstream").field("common", &self.common).finish_non_exhaustive()
    }
}

impl Downstream for SseDownstream {
    fn hello(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(async move {
            if let Some(hello) = self.common.hello() {
                return Ok(hello);
            }
            self.seats.tenant().ready(deadline).await?;
            let gone = || DownstreamError::not_sent(Fault::Unavailable, "the server said nothing of itself");
            self.common.hello().ok_or_else(gone)
        })
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(async move { self.seats.of(&cx)?.call(&cx, &request).await })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.common.events()
    }

    fn health(&self) -> Health {
        let mut health = self.seats.health();
        if let Some(keeper) = &self.client.keeper {
            keeper.tell(&mut health);
        }
        health
    }

    fn load(&self) -> Load {
        Load { sessions: Some(self.seats.up()), ..Load::default() }
    }

    fn hurry(&self) {
        if let Some(keeper) = &self.client.keeper {
            keeper.hurry();
        }
        self.seats.hurry();
    }

    fn watch(&self, uris: Arc<BTreeSet<Arc<str>>>) {
        self.common.watched.set(uris);
    }

    fn roots_changed(&self, cx: CallCx) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.seats.roots_changed(cx) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.common.close().await;
            self.client.pool.clear();
        })
    }
}
