//! Something of an issuer's that was fetched: how long it is believed, when it is asked for anew, and that all who wait share
//! one fetch. Knows nothing of what it is. `keys` remembers metadata and key sets in it.

mod state;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{self, Instant},
};
use tracing::{info, warn};

use self::state::{Plan, State};
use super::Unavailable;

/// What one attempt may take, with all that it fetches.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// What was fetched just now.
pub(super) struct Fresh<T> {
    pub(super) value: T,
    /// How long it wants to be believed.
    pub(super) max_age: Option<Duration>,
}

/// An attempt to fetch it.
pub(super) type Attempt<T> = BoxFuture<'static, Result<Fresh<T>, Unavailable>>;
type Flight<T> = Shared<BoxFuture<'static, Result<Arc<T>, Unavailable>>>;
/// A flight that was promised to all who wait and has yet to be spawned, once the lock is let go.
type Departure = BoxFuture<'static, ()>;

/// One thing that is remembered.
pub(super) struct Remembered<T> {
    /// What it is, for the log.
    what: String,
    /// Whether the new one takes back something of the old one.
    withdraws: fn(&T, &T) -> bool,
    state: Mutex<State<T>>,
    version: AtomicU64,
    born: Instant,
    /// From when on a touch has something to do, in milliseconds since `born`.
    due_ms: AtomicU64,
}

impl<T: Send + Sync + 'static> Remembered<T> {
    /// Nothing is known yet. `withdraws` is asked of the new and the old value whenever a new one comes.
    pub(super) fn new(what: String, withdraws: fn(&T, &T) -> bool) -> Arc<Self> {
        Arc::new(Self {
            what,
            withdraws,
            state: Mutex::default(),
            version: AtomicU64::new(0),
            born: Instant::now(),
            due_ms: AtomicU64::new(u64::MAX),
        })
    }

    /// What is known and recent. Else, or if that is not `enough`, what an attempt gives, unless there was one a moment ago.
    /// Who insists does not wait for the end of a pause after failures when nothing is known.
    pub(super) async fn get(
        self: &Arc<Self>,
        insist: bool,
        enough: impl Fn(&T) -> bool + Send + 'static,
        ask: impl FnOnce() -> Attempt<T>,
    ) -> Result<Arc<T>, Unavailable> {
        let (flight, departure, plan) = {
            let now = Instant::now();
            let mut state = self.state();
            let plan = state.plan(now, insist, &enough);
            let (flight, departure) = match &plan {
                Plan::Serve(_) | Plan::Refuse(_) => (None, None),
                Plan::Renew(_) | Plan::Wait(..) => self.board(&mut state, now, enough, ask),
            };
            (flight, departure, plan)
        };
        if let Some(departure) = departure {
            tokio::spawn(departure);
        }
        match (plan, flight) {
            (Plan::Serve(value) | Plan::Renew(value), _) => Ok(value),
            (Plan::Refuse(error), _) => Err(error),
            (Plan::Wait(None, _), Some(flight)) => flight.await,
            (Plan::Wait(Some(value), patience), Some(flight)) => match time::timeout(patience, flight).await {
                Ok(Ok(newer)) => Ok(newer),
                Ok(Err(_)) | Err(_) => Ok(value),
            },
            (Plan::Wait(..), None) => Err(broken_off()),
        }
    }

    /// Starts an attempt in the background when one is due for what is held. What nobody could confirm for too long is let go.
    pub(super) fn touch(self: &Arc<Self>, ask: impl FnOnce() -> Attempt<T>) {
        let now = Instant::now();
        if self.since_birth_ms(now) < self.due_ms.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let departure = {
            let mut state = self.state();
            if state.give_up(now) {
                self.version.fetch_add(1, Ordering::AcqRel);
                self.note_due(&state);
                warn!("{}: what is known is too old to be used any longer", self.what);
                return;
            }
            match state.plan(now, false, &|_| true) {
                Plan::Renew(_) | Plan::Wait(..) => self.board(&mut state, now, |_| true, ask).1,
                Plan::Serve(_) | Plan::Refuse(_) => None,
            }
        };
        if let Some(departure) = departure {
            runtime.spawn(departure);
        }
    }

    /// A number that changes when something was withdrawn.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is held may be wrong: whoever wants it next has it fetched.
    pub(super) fn doubt(&self) {
        let now = Instant::now();
        if let Some(held) = &mut self.state().held {
            held.fresh_until = held.fresh_until.min(now);
        }
    }

    /// What is held and how old it is, however old; and why the last attempt failed, if it did.
    pub(super) fn seen(&self) -> (Option<(Arc<T>, Duration)>, Option<Unavailable>) {
        let state = self.state();
        let held = state.held.as_ref().map(|held| (held.value.clone(), held.fetched.elapsed()));
        (held, state.error.clone())
    }

    /// The flight under way, or a new one with what is to be spawned for it.
    fn board(
        self: &Arc<Self>,
        state: &mut State<T>,
        now: Instant,
        enough: impl Fn(&T) -> bool + Send + 'static,
        ask: impl FnOnce() -> Attempt<T>,
    ) -> (Option<Flight<T>>, Option<Departure>) {
        if let Some(flight) = &state.flight {
            return (Some(flight.clone()), None);
        }
        let (tell, told) = oneshot::channel();
        let flight = told.map(|told| told.unwrap_or_else(|_| Err(broken_off()))).boxed().shared();
        state.flight = Some(flight.clone());
        self.note_due(state);
        let (landing, attempt) = (Landing { of: self.clone(), landed: false }, ask());
        let departure = async move {
            let late = |_| Err(Unavailable::new(format!("there was no answer within {} s", ATTEMPT_MAX.as_secs())));
            let outcome = time::timeout(ATTEMPT_MAX, attempt).await.unwrap_or_else(late);
            // Nobody may be waiting any more.
            let _ = tell.send(landing.land(outcome, now, enough));
        };
        (Some(flight), Some(departure.boxed()))
    }

    fn land(
        &self,
        outcome: Result<Fresh<T>, Unavailable>,
        asked: Instant,
        enough: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, Unavailable> {
        let mut state = self.state();
        state.flight = None;
        let failures = state.failures;
        let landed = match outcome {
            Ok(fresh) => {
                if !enough(&fresh.value) {
                    state.anew_at = Some(asked);
                }
                Ok(self.keep(&mut state, fresh))
            }
            Err(error) => Err(state.fail(error)),
        };
        self.note_due(&state);
        drop(state);
        let what = &*self.what;
        match &landed {
            Ok(_) if failures > 0 => info!(attempts.failed = failures, "{what}: fetched again"),
            Ok(_) => {}
            Err(error) => warn!(attempts.failed = failures + 1, "{what}: not fetched: {error}"),
        }
        landed
    }

    fn keep(&self, state: &mut State<T>, fresh: Fresh<T>) -> Arc<T> {
        let (value, old) = state.keep(fresh);
        if old.is_some_and(|old| (self.withdraws)(&value, &old)) {
            // After the new value is held: who reads the number before the value can only be too careful.
            self.version.fetch_add(1, Ordering::AcqRel);
            info!("{}: some of them were withdrawn", self.what);
        }
        value
    }

    fn note_due(&self, state: &State<T>) {
        let due_ms = state.due_at().map_or(u64::MAX, |due_at| self.since_birth_ms(due_at));
        self.due_ms.store(due_ms, Ordering::Relaxed);
    }

    fn since_birth_ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.born).as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a flight, also one that is dropped halfway, with its runtime for instance: else nobody would ever ask again.
struct Landing<T: Send + Sync + 'static> {
    of: Arc<Remembered<T>>,
    landed: bool,
}

impl<T: Send + Sync + 'static> Landing<T> {
    fn land(
        mut self,
        outcome: Result<Fresh<T>, Unavailable>,
        asked: Instant,
        enough: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, Unavailable> {
        self.landed = true;
        self.of.land(outcome, asked, enough)
    }
}

impl<T: Send + Sync + 'static> Drop for Landing<T> {
    fn drop(&mut self) {
        if !self.landed {
            let mut state = self.of.state();
            state.flight = None;
            self.of.note_due(&state);
        }
    }
}

fn broken_off() -> Unavailable {
    Unavailable::new("the attempt to ask the issuer was broken off")
}
