//! Servers that are local child processes. Who shares a child decides how many there are; each has its own seat, which starts,
//! watches and ends it. The protocol on its pipes is [`crate::pipe`]'s.

mod budget;
mod environment;
mod options;
mod process;
mod ring;
mod spawner;

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use patchbay_core::model::Sharing;
use tokio::{sync::broadcast, time::Instant};

pub use self::{
    budget::ChildBudget,
    environment::{EnvironmentError, check_env},
    options::StdioOptions,
};
use self::{process::ProcessLauncher, ring::Ring};
use crate::{
    CallCx, Children, Downstream, DownstreamError, Event, Fault, Health, Hello, Load, Outgoing, Reply, ShareKey,
    seat::{Common, Seat, Seats},
};

/// Seats that are remembered for each child that may run; the ones without child and without failure are forgotten first.
const SEATS_PER_CHILD: usize = 4;

/// A server that is a local child process, or several, by its sharing.
pub struct StdioDownstream {
    common: Arc<Common>,
    sharing: Sharing,
    seats: Seats,
    stderr: Arc<Ring>,
}

impl StdioDownstream {
    /// The server that these options describe. Nothing is started before somebody calls; what is wrong with the options is
    /// then said to each call.
    pub fn new(options: StdioOptions) -> Arc<Self> {
        let stderr = Arc::new(Ring::new(&options.env));
        let others_max = options.children_max.saturating_mul(SEATS_PER_CHILD);
        let sharing = options.sharing;
        let common = Common::new(
            Arc::clone(&options.name),
            options.rules(),
            options.remembered.clone(),
            Box::new(ProcessLauncher::new(&options, Arc::clone(&stderr))),
            options.runtime,
        );
        let seats = Seats::new(Arc::clone(&common), others_max);
        Arc::new(Self { common, sharing, seats, stderr })
    }

    fn seat(&self, mut cx: CallCx) -> (CallCx, Result<Arc<Seat>, DownstreamError>) {
        if self.sharing == Sharing::Shared {
            cx.share = ShareKey::Tenant;
        }
        let seat = self.seats.of(&cx);
        (cx, seat)
    }
}

impl fmt::Debug for StdioDownstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioDownstream").field("common", &self.common).finish_non_exhaustive()
    }
}

impl Downstream for StdioDownstream {
    fn hello(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(async move {
            if let Some(hello) = self.common.hello() {
                return Ok(hello);
            }
            self.seats.tenant().ready(deadline).await?;
            let gone = || DownstreamError::not_sent(Fault::Unavailable, "the child said nothing of itself");
            self.common.hello().ok_or_else(gone)
        })
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(async move {
            let (cx, seat) = self.seat(cx);
            seat?.call(&cx, &request).await
        })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.common.events()
    }

    fn health(&self) -> Health {
        Health { stderr_tail: self.stderr.lines(), ..self.seats.health() }
    }

    fn load(&self) -> Load {
        let children = Children { running: self.seats.up(), ..self.common.children() };
        Load { children: Some(children), ..Load::default() }
    }

    fn hurry(&self) {
        self.seats.hurry();
    }

    fn watch(&self, uris: Arc<BTreeSet<Arc<str>>>) {
        self.common.watched.set(uris);
    }

    fn roots_changed(&self, cx: CallCx) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.seats.roots_changed(cx) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.common.close())
    }
}
