//! Servers that are part of the program: an rmcp handler at the other end of a channel in memory. They speak the legacy era,
//! which opens once and then carries nothing per request; progress and cancelling work as with any child.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use patchbay_core::model::EraPin;
use rmcp::{RoleServer, Service, ServiceExt};
use tokio::{io::DuplexStream, runtime::Handle, sync::broadcast, task::JoinHandle, time::Instant};

use crate::{
    CallCx, Downstream, DownstreamError, Event, Fault, Health, HealthState, Hello, Outgoing, Reply,
    pipe::{Limits, Outlet},
    seat::{Body, Common, Launched, Launcher, Rules, Seat},
};

/// What the channel holds in each direction before the writer waits.
const CHANNEL_BYTES: usize = 256 * 1024;
/// Calls that may wait at once.
const CALLS_MAX: usize = 4096;

/// A server in the gateway's own process, shared by all callers of its tenant.
pub struct BuiltinDownstream {
    common: Arc<Common>,
    seat: Arc<Seat>,
}

impl BuiltinDownstream {
    /// A server of the services that `make` makes, one for each time the channel is opened; an rmcp handler is such a service.
    /// `runtime` is where it works; callers may be anywhere.
    pub fn of<S: Service<RoleServer>>(
        name: &str,
        make: impl Fn() -> S + Send + Sync + 'static,
        runtime: Handle,
    ) -> Arc<Self> {
        let serve = move |channel| -> BoxFuture<'static, ()> {
            let service = make();
            Box::pin(async move {
                match service.serve(channel).await {
                    // However it ends, the seat sees the channel close.
                    Ok(running) => drop(running.waiting().await),
                    Err(error) => tracing::warn!("a built-in server did not come up: {error}"),
                }
            })
        };
        Self::new(name, serve, runtime)
    }

    /// A server that `serve` runs over a channel until the channel ends.
    pub fn new(
        name: &str,
        serve: impl Fn(DuplexStream) -> BoxFuture<'static, ()> + Send + Sync + 'static,
        runtime: Handle,
    ) -> Arc<Self> {
        let launcher = Box::new(TaskLauncher { serve: Box::new(serve) });
        let common = Common::new(name.into(), rules(), None, launcher, runtime);
        let seat = Seat::new(Arc::clone(&common), true, "{}".into());
        Arc::new(Self { common, seat })
    }
}

fn rules() -> Rules {
    Rules {
        era: EraPin::Legacy,
        start_timeout: Duration::from_secs(10),
        probe_timeout: Duration::from_secs(1),
        idle_stop: None,
        hang_grace: Duration::from_secs(30),
        limits: Limits {
            line_bytes_max: 16 * 1024 * 1024,
            calls_max: CALLS_MAX,
            garbage_lines_max: 0,
            write_stall: Duration::from_secs(30),
        },
    }
}

impl fmt::Debug for BuiltinDownstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltinDownstream").field("common", &self.common).finish_non_exhaustive()
    }
}

impl Downstream for BuiltinDownstream {
    fn hello(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(async move {
            if let Some(hello) = self.common.hello() {
                return Ok(hello);
            }
            self.seat.ready(deadline).await?;
            let gone = || DownstreamError::not_sent(Fault::Unavailable, "the built-in server said nothing of itself");
            self.common.hello().ok_or_else(gone)
        })
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(async move { self.seat.call(&cx, &request).await })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.common.events()
    }

    fn hurry(&self) {
        self.seat.hurry();
    }

    fn watch(&self, uris: Arc<BTreeSet<Arc<str>>>) {
        self.common.watched.set(uris);
    }

    fn health(&self) -> Health {
        let mut health = Health::default();
        self.seat.add_to(&mut health);
        if self.common.is_closed() {
            health.state = HealthState::Closed;
        }
        health
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.common.close())
    }
}

type Serve = Box<dyn Fn(DuplexStream) -> BoxFuture<'static, ()> + Send + Sync>;

struct TaskLauncher {
    serve: Serve,
}

impl Launcher for TaskLauncher {
    fn launch<'a>(&'a self, _seat: &'a Arc<Seat>) -> BoxFuture<'a, Result<Launched, DownstreamError>> {
        let (ours, theirs) = tokio::io::duplex(CHANNEL_BYTES);
        let (reader, writer) = tokio::io::split(ours);
        let task = tokio::spawn((self.serve)(theirs));
        let outlet = Outlet::Bytes(Box::new(writer));
        let launched = Launched { reader: Box::new(reader), outlet, body: Box::new(Task(task)) };
        Box::pin(async move { Ok(launched) })
    }
}

/// The task that serves.
struct Task(JoinHandle<()>);

impl Body for Task {
    fn exited(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            match (&mut self.0).await {
                Ok(()) => "the built-in server returned".to_owned(),
                Err(error) => format!("the built-in server broke down: {error}"),
            }
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.0.abort() })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
