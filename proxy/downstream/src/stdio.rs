//! Servers that are local child processes. Who shares a child decides how many there are; each has its own seat, which starts,
//! watches and ends it. The protocol on its pipes is [`crate::pipe`]'s.

mod budget;
mod environment;
mod options;
mod process;
mod ring;
mod spawner;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

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
    CallCx, Children, Downstream, DownstreamError, Event, Fault, Health, HealthState, Hello, Load, Outgoing, Reply,
    ShareKey,
    seat::{Common, Seat},
};

/// Seats that are remembered for each child that may run; the ones without child and without failure are forgotten first.
const SEATS_PER_CHILD: usize = 4;

/// A server that is a local child process, or several, by its sharing.
pub struct StdioDownstream {
    common: Arc<Common>,
    sharing: Sharing,
    /// The seat of what belongs to no caller, and of all callers of a shared server.
    tenant: Arc<Seat>,
    others: Mutex<HashMap<SeatKey, Arc<Seat>>>,
    others_max: usize,
    stderr: Arc<Ring>,
}

/// Callers with equal keys share a child. A legacy child learns only once what callers can be asked, so those who can be asked
/// different things do not share one.
type SeatKey = (ShareKey, Arc<str>);

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
        let tenant = Seat::new(Arc::clone(&common), true, "{}".into());
        Arc::new(Self { common, sharing, tenant, others: Mutex::default(), others_max, stderr })
    }

    fn seat(&self, cx: &CallCx) -> Result<Arc<Seat>, DownstreamError> {
        if self.sharing == Sharing::Shared || cx.share == ShareKey::Tenant {
            return Ok(Arc::clone(&self.tenant));
        }
        let key = (cx.share.clone(), Arc::clone(&cx.capabilities));
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = others.get(&key) {
            return Ok(Arc::clone(seat));
        }
        if others.len() >= self.others_max {
            others.retain(|_, seat| !seat.is_vacant());
        }
        if others.len() >= self.others_max {
            let text = format!("{} callers have a child of their own already", others.len());
            return Err(DownstreamError::not_sent(Fault::Busy, text));
        }
        let seat = Seat::new(Arc::clone(&self.common), false, Arc::clone(&cx.capabilities));
        others.insert(key, Arc::clone(&seat));
        Ok(seat)
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
            self.tenant.ready(deadline).await?;
            let gone = || DownstreamError::not_sent(Fault::Unavailable, "the child said nothing of itself");
            self.common.hello().ok_or_else(gone)
        })
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(async move { self.seat(&cx)?.call(&cx, &request).await })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.common.events()
    }

    fn health(&self) -> Health {
        let mut health = Health { stderr_tail: self.stderr.lines(), ..Health::default() };
        self.tenant.add_to(&mut health);
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.values().for_each(|seat| seat.add_to(&mut health));
        if self.common.is_closed() {
            health.state = HealthState::Closed;
        }
        health
    }

    fn load(&self) -> Load {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let running = others.values().chain([&self.tenant]).filter(|seat| seat.is_up()).count();
        drop(others);
        let children = Children { running: u32::try_from(running).unwrap_or(u32::MAX), ..self.common.children() };
        Load { children: Some(children), ..Load::default() }
    }

    fn hurry(&self) {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.values().chain([&self.tenant]).for_each(|seat| seat.hurry());
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.common.close())
    }
}
