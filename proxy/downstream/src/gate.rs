//! What stands before every server, whatever its transport: so many calls at once, a bounded queue, and a breaker that stops
//! asking a server that does not answer. It knows nothing of what is asked.

mod breaker;
mod reply;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::{Instant, timeout_at},
};

use self::breaker::{Breaker, Pass};
use crate::{CallCx, Downstream, DownstreamError, Event, Fault, Health, HealthState, Hello, Load, Outgoing, Reply};

/// The bounds of one server.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// Calls that may run at once. 64.
    pub concurrency_max: usize,
    /// Calls that may wait for their turn; one more is refused at once. 256.
    pub waiting_max: usize,
    /// Failures in a row, within [`Self::failure_window`], that open the breaker. 5.
    pub failures_max: u32,
    /// How far apart those failures may be. 60 s.
    pub failure_window: Duration,
    /// How long the breaker stays open the first time; it doubles with each probe that fails. 1 s.
    pub open_first: Duration,
    /// How long it stays open at the most. 30 s.
    pub open_longest: Duration,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            concurrency_max: 64,
            waiting_max: 256,
            failures_max: 5,
            failure_window: Duration::from_secs(60),
            open_first: Duration::from_secs(1),
            open_longest: Duration::from_secs(30),
        }
    }
}

/// A server behind its gate.
pub struct Gated {
    inner: Arc<dyn Downstream>,
    concurrency_max: usize,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    breaker: Arc<Breaker>,
}

impl Gated {
    /// This server, within these bounds.
    pub fn new(inner: Arc<dyn Downstream>, options: &GateOptions) -> Arc<Self> {
        Arc::new(Self {
            inner,
            concurrency_max: options.concurrency_max,
            running: Arc::new(Semaphore::new(options.concurrency_max)),
            waiting: AtomicUsize::new(0),
            waiting_max: options.waiting_max,
            breaker: Arc::new(Breaker::new(options)),
        })
    }

    async fn through(&self, cx: CallCx, request: Outgoing) -> Result<Reply, DownstreamError> {
        let place = self.place(cx.deadline).await?;
        let pass = Breaker::admit(&self.breaker)?;
        match self.inner.call(cx, request).await {
            Ok(reply) => {
                pass.answered();
                Ok(reply::keep(reply, place, &self.breaker))
            }
            Err(error) => Err(pass.failed(error)),
        }
    }

    /// A place to run in, now or when one gets free.
    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, DownstreamError> {
        if let Ok(place) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(place);
        }
        self.breaker.refuse_if_open()?;
        let _waiting = Waiting::new(&self.waiting, self.waiting_max)?;
        match timeout_at(deadline, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(DownstreamError::not_sent(Fault::Busy, "the call waited for its turn until its deadline")),
        }
    }
}

/// A place in the queue, given back on drop.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize, waiting_max: usize) -> Result<Self, DownstreamError> {
        let before = waiting.fetch_add(1, AcqRel);
        let place = Self(waiting);
        if before < waiting_max {
            return Ok(place);
        }
        Err(DownstreamError::not_sent(Fault::Busy, format!("{before} calls wait for their turn already")))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gated")
            .field("concurrency_max", &self.concurrency_max)
            .field("running", &(self.concurrency_max - self.running.available_permits()))
            .finish_non_exhaustive()
    }
}

impl Downstream for Gated {
    fn hello(&self, deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(async move {
            let pass: Pass = Breaker::admit(&self.breaker)?;
            match self.inner.hello(deadline).await {
                Ok(hello) => {
                    pass.answered();
                    Ok(hello)
                }
                Err(error) => Err(pass.failed(error)),
            }
        })
    }

    fn call(&self, cx: CallCx, request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(self.through(cx, request))
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events()
    }

    fn health(&self) -> Health {
        let mut health = self.inner.health();
        health.in_flight = u32::try_from(self.concurrency_max - self.running.available_permits()).unwrap_or(u32::MAX);
        if let Some(trouble) = self.breaker.trouble()
            && health.state != HealthState::Closed
        {
            health.state = HealthState::Down;
            health.retry_in = health.retry_in.max(Some(trouble.retry_in));
            health.last_error = health.last_error.or(Some(trouble.last_error));
        }
        health
    }

    fn load(&self) -> Load {
        let running = self.concurrency_max - self.running.available_permits();
        Load {
            in_flight: u32::try_from(running).unwrap_or(u32::MAX),
            waiting: u32::try_from(self.waiting.load(Relaxed)).unwrap_or(u32::MAX),
            breaker_open: self.breaker.is_open(),
            ..self.inner.load()
        }
    }

    fn hurry(&self) {
        self.breaker.hurry();
        self.inner.hurry();
    }

    fn watch(&self, uris: Arc<BTreeSet<Arc<str>>>) {
        self.inner.watch(uris);
    }

    fn roots_changed(&self, cx: CallCx) -> BoxFuture<'_, ()> {
        self.inner.roots_changed(cx)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
