//! The place of one child: started when somebody calls, one start for all who wait, watched while it runs, started again with
//! growing pauses when it fails. What a child is — a process, a task — is the [`Launcher`]'s; see [`crate::stdio`].

mod backoff;
mod run;
mod seats;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use patchbay_core::{era::Era, json, model::EraPin};
use tokio::{
    io::AsyncRead,
    runtime::Handle,
    sync::{broadcast, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::backoff::Backoff;
pub(crate) use self::seats::Seats;
use crate::{
    CallCx, Children, DownstreamError, Event, Fault, Health, HealthState, Hello, Outgoing, Reply,
    pipe::{CallError, Limits, Outlet, Pipe},
    watched::{self, Watched},
};

/// Events that a slow receiver may lag behind before it is told that it missed some.
const EVENTS_MAX: usize = 256;
/// A call waits for the next start when it is this near; else it fails at once.
const BACKOFF_WORTH_WAITING: Duration = Duration::from_secs(1);
/// How often a call looks for a child when the one that it found had just ended.
const ATTEMPTS_MAX: usize = 3;
/// How long [`Common::close`] waits for children to end; each has at most 5 s from the first hint to the last.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// Starts children.
pub(crate) trait Launcher: Send + Sync + 'static {
    /// Starts one for this seat. It runs on the seat's runtime.
    fn launch<'a>(&'a self, seat: &'a Arc<Seat>) -> BoxFuture<'a, Result<Launched, DownstreamError>>;
}

/// A child that was just started.
pub(crate) struct Launched {
    /// Its output.
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Its input.
    pub(crate) outlet: Outlet,
    /// The child.
    pub(crate) body: Box<dyn Body>,
}

/// A running child, apart from its pipes.
pub(crate) trait Body: Send + 'static {
    /// Resolves when it ended, with how, for operators.
    fn exited(&mut self) -> BoxFuture<'_, String>;
    /// Ends it and whatever it started, its input being closed already, and gives back what it held.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The rules for all children of one server.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The configured era.
    pub(crate) era: EraPin,
    /// How long a start may take, handshake included.
    pub(crate) start_timeout: Duration,
    /// How long a probe for the era may stay unanswered.
    pub(crate) probe_timeout: Duration,
    /// After how long without calls a child is stopped.
    pub(crate) idle_stop: Option<Duration>,
    /// How long a child may be silent after a call timed out in silence.
    pub(crate) hang_grace: Duration,
    /// The bounds of its connection.
    pub(crate) limits: Limits,
}

/// What all children of one server share.
pub(crate) struct Common {
    pub(crate) name: Arc<str>,
    pub(crate) rules: Rules,
    launcher: Box<dyn Launcher>,
    runtime: Handle,
    ids: Arc<AtomicU64>,
    events: broadcast::Sender<Event>,
    /// Whether anybody ever asked for the events; modern children are listened to only then.
    events_wanted: watch::Sender<bool>,
    /// The resources that the shared child is to tell of.
    pub(crate) watched: Watched,
    known: Mutex<Known>,
    /// Children that came up, and those that did not or ended by themselves.
    starts: AtomicU64,
    failures: AtomicU64,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Default)]
struct Known {
    /// What a child said in this life.
    hello: Option<Arc<Hello>>,
    /// What one said before it.
    remembered: Option<Arc<Hello>>,
    last_error: Option<String>,
}

impl Common {
    pub(crate) fn new(
        name: Arc<str>,
        rules: Rules,
        remembered: Option<Arc<Hello>>,
        launcher: Box<dyn Launcher>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            rules,
            launcher,
            runtime,
            ids: Arc::new(AtomicU64::new(1)),
            events: broadcast::Sender::new(EVENTS_MAX),
            events_wanted: watch::Sender::new(false),
            watched: Watched::default(),
            known: Mutex::new(Known { remembered, ..Known::default() }),
            starts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events_wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        self.events.subscribe()
    }

    /// What a child of this life said last.
    pub(crate) fn hello(&self) -> Option<Arc<Hello>> {
        self.known().hello.clone()
    }

    /// Ends all children and waits for it, for a bounded time.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.tasks.wait()).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }

    fn era(&self) -> Option<Era> {
        let known = self.known();
        known.hello.as_ref().or(known.remembered.as_ref()).map(|hello| hello.era())
    }

    /// Keeps what a child said; tells receivers when it is something new.
    fn learn(&self, hello: Hello) -> Arc<Hello> {
        let mut known = self.known();
        let before = known.hello.take().or(known.remembered.take());
        let changed = before.as_ref().is_some_and(|before| **before != hello);
        let hello = before.filter(|_| !changed).unwrap_or_else(|| Arc::new(hello));
        known.hello = Some(Arc::clone(&hello));
        known.last_error = None;
        drop(known);
        if changed {
            let _ = self.events.send(Event::HelloChanged(Arc::clone(&hello)));
        }
        hello
    }

    /// How many children came and failed until now; how many run is for the seats to say.
    pub(crate) fn children(&self) -> Children {
        Children { running: 0, starts: self.starts.load(Relaxed), failures: self.failures.load(Relaxed) }
    }

    fn failed(&self, why: &str) {
        self.failures.fetch_add(1, Relaxed);
        tracing::warn!(server.name = %self.name, "a child of server {} failed: {why}", self.name);
        self.known().last_error = Some(why.to_owned());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("name", &self.name).finish_non_exhaustive()
    }
}

/// See the module.
pub(crate) struct Seat {
    pub(crate) common: Arc<Common>,
    /// Whether callers share the child who have nothing to do with each other.
    shared: bool,
    capabilities: Arc<str>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    backoff: Backoff,
    /// Whether a child was up here before.
    was_up: bool,
}

enum Phase {
    /// No child; the next call starts one, not before the back-off allows it.
    Empty,
    /// All who wait hear of the end of the start here.
    Starting(watch::Receiver<Option<Started>>),
    Up {
        pipe: Arc<Pipe>,
        stop: CancellationToken,
    },
}

type Started = Result<Arc<Pipe>, DownstreamError>;

impl Seat {
    /// A seat without a child. Who shares a child can be asked nothing.
    pub(crate) fn new(common: Arc<Common>, shared: bool, capabilities: Arc<str>) -> Arc<Self> {
        let capabilities = if shared { "{}".into() } else { capabilities };
        let state = State { phase: Phase::Empty, backoff: Backoff::default(), was_up: false };
        Arc::new(Self { common, shared, capabilities, state: Mutex::new(state) })
    }

    /// One call, by the child that is there or by a new one.
    pub(crate) async fn call(self: &Arc<Self>, cx: &CallCx, request: &Outgoing) -> Result<Reply, DownstreamError> {
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let pipe = self.ready(cx.deadline).await?;
            match pipe.call(cx, request).await {
                Err(CallError::Gone(error)) => {
                    self.left(&pipe);
                    last = Some(error);
                }
                Err(CallError::Failed(error)) => return Err(error),
                Ok(reply) => return Ok(reply),
            }
        }
        Err(last.unwrap_or_else(|| DownstreamError::not_sent(Fault::Unavailable, "its children end at once")))
    }

    /// The child, started when there is none.
    pub(crate) async fn ready(self: &Arc<Self>, deadline: Instant) -> Started {
        for _ in 0..ATTEMPTS_MAX {
            if self.common.is_closed() {
                return Err(DownstreamError::not_sent(Fault::Closed, "the server was closed"));
            }
            match self.look() {
                Look::Up(pipe) => return Ok(pipe),
                Look::Starting(starting) => return started(starting, deadline).await,
                Look::NotBefore(when) => {
                    self.worth_waiting(when, deadline)?;
                    sleep_until(when).await;
                }
            }
        }
        Err(DownstreamError::not_sent(Fault::Unavailable, "its children fail one after the other"))
    }

    fn worth_waiting(&self, when: Instant, deadline: Instant) -> Result<(), DownstreamError> {
        let left = when.saturating_duration_since(Instant::now());
        if left <= BACKOFF_WORTH_WAITING && when < deadline {
            return Ok(());
        }
        let last = self.common.known().last_error.clone().unwrap_or_default();
        let text = format!("the next start is due in {:.1} s; the last child failed: {last}", left.as_secs_f32());
        Err(DownstreamError::not_sent(Fault::Unavailable, text))
    }

    fn look(self: &Arc<Self>) -> Look {
        let mut state = self.state();
        match &state.phase {
            Phase::Up { pipe, .. } => return Look::Up(Arc::clone(pipe)),
            Phase::Starting(starting) => return Look::Starting(starting.clone()),
            Phase::Empty => {}
        }
        if let Some(when) = state.backoff.not_before() {
            return Look::NotBefore(when);
        }
        let (report, starting) = watch::channel(None);
        state.phase = Phase::Starting(starting.clone());
        drop(state);
        self.common.tasks.spawn_on(run::run(Arc::clone(self), report), &self.common.runtime);
        Look::Starting(starting)
    }

    /// Stops the child when nobody waits for it; says whether there was one to stop.
    pub(crate) fn retire(&self) -> bool {
        let mut state = self.state();
        let Phase::Up { pipe, stop } = &state.phase else { return false };
        let retired = pipe.retire();
        if retired {
            stop.cancel();
            state.phase = Phase::Empty;
        }
        retired
    }

    /// For how long nobody has waited for the child; `None` when somebody does, or there is no child.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        match &self.state().phase {
            Phase::Up { pipe, .. } => pipe.idle_for(),
            _ => None,
        }
    }

    /// Whether it can be forgotten: no child, and no failure to remember.
    pub(crate) fn is_vacant(&self) -> bool {
        let state = self.state();
        matches!(state.phase, Phase::Empty) && state.backoff.not_before().is_none()
    }

    /// Whether somebody watches a resource of this child: it is not stopped then, though nobody calls.
    fn is_watched(&self, hello: &Hello) -> bool {
        self.shared && !self.common.watched.is_empty() && watched::is_offered(&hello.capabilities)
    }

    /// Tells a legacy child that was offered roots, if there is one, that they changed.
    pub(crate) fn roots_changed(&self) {
        let is_offered = json::at_path(&self.capabilities, &["roots", "listChanged"]) == Some("true");
        if let Phase::Up { pipe, .. } = &self.state().phase
            && is_offered
            && pipe.era() == Era::Legacy
        {
            pipe.say("notifications/roots/list_changed");
        }
    }

    /// Whether a child is up.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state().phase, Phase::Up { .. })
    }

    /// Lets the next start be now.
    pub(crate) fn hurry(&self) {
        self.state().backoff.hurry();
    }

    /// Adds what is known here to the health of the server.
    pub(crate) fn add_to(&self, health: &mut Health) {
        let state = self.state();
        match &state.phase {
            Phase::Up { pipe, .. } => {
                health.state = HealthState::Up;
                health.in_flight += u32::try_from(pipe.calls()).unwrap_or(u32::MAX);
            }
            _ => {
                if state.backoff.has_failed() && health.state == HealthState::Idle {
                    health.state = HealthState::Down;
                    health.last_error.clone_from(&self.common.known().last_error);
                }
                let left = state.backoff.not_before().map(|when| when.saturating_duration_since(Instant::now()));
                health.retry_in = health.retry_in.max(left);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the start that is under way.
async fn started(mut starting: watch::Receiver<Option<Started>>, deadline: Instant) -> Started {
    let broken_off = || DownstreamError::not_sent(Fault::Unavailable, "the start was broken off");
    match timeout_at(deadline, starting.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(broken_off())),
        Ok(Err(_)) => Err(broken_off()),
        Err(_) => Err(DownstreamError::not_sent(Fault::Timeout, "the child was still starting at the deadline")),
    }
}

enum Look {
    Up(Arc<Pipe>),
    Starting(watch::Receiver<Option<Started>>),
    NotBefore(Instant),
}
