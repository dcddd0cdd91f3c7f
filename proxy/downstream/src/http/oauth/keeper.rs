//! The token that is used now. It is got once for all who wait, in a task of its own that no caller's leaving ends, and replaced
//! before it ends while it still serves. What fails is waited out; what a server refuses is replaced, but not over and over.
//! Getting it, over all replicas, is [`super::acquire`]'s; showing it is [`super::signed`]'s.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{runtime::Handle, task::AbortHandle, time::Instant};

use super::{
    acquire::{Need, Source},
    challenge::Challenge,
    paper::Held,
    problem::{Problem, words},
};
use crate::{DownstreamError, Health, http::patience::Patience};

/// Times that more scopes are asked for, until this long after the last of them.
const STEP_UPS_MAX: u32 = 8;
const STEP_UPS_REST: Duration = Duration::from_secs(10 * 60);
/// Scopes that are asked for at the most.
const SCOPES_MAX: usize = 64;
/// Tokens that are struck out of what a server says: the one in use, and those before it that calls may still carry.
const SPENT_MAX: usize = 4;

/// A task that gets a token, and all who wait for it.
type Flight = Shared<BoxFuture<'static, Result<Arc<Held>, Problem>>>;

/// The token of one server.
pub(crate) struct Keeper {
    held: ArcSwapOption<Held>,
    source: Source,
    state: Mutex<State>,
    /// Whether the server refused a token since it last took one.
    doubted: AtomicBool,
}

#[derive(Default)]
struct State {
    flight: Option<(AbortHandle, Flight)>,
    /// Attempts in a row that failed, why the last one did, and when the next one may be made.
    failures: u32,
    problem: Option<Problem>,
    retry_at: Option<Instant>,
    /// Tokens in a row that the server refused, and until when the next one that it refuses is left at that.
    refusals: u32,
    refused_until: Option<Instant>,
    /// Scopes beyond those that are asked for anyway, since calls needed them.
    extra: BTreeSet<String>,
    step_ups: u32,
    step_up_at: Option<Instant>,
    step_up_failed: Option<(Problem, Instant)>,
    spent: Vec<Arc<Held>>,
}

impl State {
    fn struck(&self, said: &str) -> String {
        self.spent.iter().fold(said.to_owned(), |text, held| text.replace(held.token(), "***"))
    }
}

impl Keeper {
    pub(crate) fn new(source: Source) -> Arc<Self> {
        Arc::new(Self {
            held: ArcSwapOption::empty(),
            source,
            state: Mutex::default(),
            doubted: AtomicBool::new(false),
        })
    }

    /// The token for the next request. One that has to be replaced soon still serves; that is seen to on the side.
    pub(super) async fn token(self: &Arc<Self>, patience: &Patience) -> Result<Arc<Held>, DownstreamError> {
        if let Some(held) = self.alive() {
            if held.is_due() {
                // An error only says that it is not time to try again.
                let _ = self.fly(|_| Need::default());
            }
            return Ok(held);
        }
        let flight = self.fly(|_| Need::default()).map_err(|problem| problem.error())?;
        self.landed(flight, patience).await?.map_err(|problem| problem.error())
    }

    /// The server refused this token (401): another one, or nothing when it refuses those too.
    pub(super) async fn refused(
        self: &Arc<Self>,
        used: &Arc<Held>,
        challenge: Option<Challenge>,
        patience: &Patience,
    ) -> Result<Option<Arc<Held>>, DownstreamError> {
        if let Some(newer) = self.alive().filter(|held| !held.is(used)) {
            return Ok(Some(newer));
        }
        if self.is_refusing(used) {
            return Ok(None);
        }
        let flight = self.fly(|_| Need { not: Some(used.clone()), challenge, ..Need::default() });
        let flight = flight.map_err(|problem| problem.error())?;
        self.landed(flight, patience).await?.map(Some).map_err(|problem| problem.error())
    }

    /// Notes that this token was refused. `true` when others before it were, a moment ago: a new one would not help.
    fn is_refusing(&self, used: &Arc<Held>) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        if !self.held.load().as_ref().is_some_and(|held| held.is(used)) {
            // Somebody noted it already.
            return false;
        }
        if state.refused_until.is_some_and(|until| now < until) {
            return true;
        }
        self.held.store(None);
        state.refusals = state.refusals.saturating_add(1);
        state.refused_until = Some(now + Problem::passing("").wait(state.refusals));
        self.doubted.store(true, Ordering::Release);
        false
    }

    /// The server took a token.
    pub(super) fn accepted(&self) {
        if self.doubted.load(Ordering::Relaxed) && self.doubted.swap(false, Ordering::AcqRel) {
            let mut state = self.state();
            (state.refusals, state.refused_until) = (0, None);
        }
    }

    /// The server wants more scopes (403): a token with them, or nothing when more asking does not help; the reason then, if
    /// there is one.
    pub(super) async fn step_up(
        self: &Arc<Self>,
        used: &Arc<Held>,
        needed: &[String],
        patience: &Patience,
    ) -> Result<Result<Arc<Held>, Option<Problem>>, DownstreamError> {
        // A token that is got just now may have them; else it is this call's turn.
        for _ in 0..2 {
            if let Some(held) = self.alive().filter(|held| !held.is(used) && held.paper.covers(needed)) {
                return Ok(Ok(held));
            }
            if used.paper.covers(needed) {
                return Ok(Err(None));
            }
            if let Some(refusal) = self.step_up_refused(used, needed) {
                return Ok(Err(refusal));
            }
            let flight = self.fly(|state| Need {
                scopes: state.extra.iter().chain(&used.paper.scopes).chain(needed).cloned().collect(),
                is_step_up: true,
                ..Need::default()
            });
            let flight = match flight {
                Ok(flight) => flight,
                Err(problem) => return Ok(Err(Some(problem))),
            };
            match self.landed(flight, patience).await? {
                Ok(held) if held.paper.covers(needed) => return Ok(Ok(held)),
                Ok(_) => {}
                Err(problem) => return Ok(Err(Some(problem))),
            }
        }
        Ok(Err(None))
    }

    /// Why no more scopes are asked for now.
    fn step_up_refused(&self, used: &Held, needed: &[String]) -> Option<Option<Problem>> {
        let mut state = self.state();
        let now = Instant::now();
        if state.step_up_at.is_some_and(|at| now > at + STEP_UPS_REST) {
            state.step_ups = 0;
        }
        let wanted: BTreeSet<&String> = used.paper.scopes.iter().chain(&state.extra).chain(needed).collect();
        match &state.step_up_failed {
            Some((problem, until)) if now < *until => Some(Some(problem.clone())),
            _ if state.step_ups >= STEP_UPS_MAX || wanted.len() > SCOPES_MAX => Some(None),
            _ => None,
        }
    }

    /// The flight that is under way, else a new one. An error: the last one failed, and it is not time to try again.
    fn fly(self: &Arc<Self>, need: impl FnOnce(&State) -> Need) -> Result<Flight, Problem> {
        let mut state = self.state();
        // The task is asked and not the flight, which only knows that it is over when somebody waits for it.
        if let Some((_, flight)) = state.flight.as_ref().filter(|(task, _)| !task.is_finished()) {
            return Ok(flight.clone());
        }
        let mut need = need(&state);
        let now = Instant::now();
        if let (Some(problem), Some(at)) = (&state.problem, state.retry_at)
            && now < at
            && !need.is_step_up
        {
            return Err(problem.clone());
        }
        if need.is_step_up {
            (state.step_ups, state.step_up_at) = (state.step_ups + 1, Some(now));
        } else {
            need.scopes.extend(state.extra.iter().cloned());
        }
        let runtime = Handle::try_current().map_err(|_| Problem::passing("the gateway is going down"))?;
        let keeper = self.clone();
        let task = runtime.spawn(async move { keeper.run(need).await });
        let handle = task.abort_handle();
        let stopped = |_| Err(Problem::passing("the thread that asked for a token was stopped"));
        let flight = task.map(move |ended| ended.unwrap_or_else(stopped)).boxed().shared();
        state.flight = Some((handle, flight.clone()));
        Ok(flight)
    }

    async fn run(self: Arc<Self>, need: Need) -> Result<Arc<Held>, Problem> {
        let current = self.alive();
        let got = self.source.acquire(&need, current.as_ref()).await.map(Arc::new);
        let mut state = self.state();
        let got = got.map_err(|problem| Problem {
            // Whoever was asked may have said a secret back.
            text: self.source.struck(state.struck(&problem.text)),
            ..problem
        });
        match &got {
            Ok(held) => self.take(&mut state, held, &need),
            Err(problem) => self.fail(&mut state, problem, need.is_step_up),
        }
        got
    }

    fn take(&self, state: &mut State, held: &Arc<Held>, need: &Need) {
        (state.failures, state.problem, state.retry_at) = (0, None, None);
        if need.is_step_up {
            state.extra.extend(need.scopes.iter().cloned());
            state.step_up_failed = None;
        }
        if state.spent.len() >= SPENT_MAX {
            state.spent.remove(0);
        }
        state.spent.push(held.clone());
        self.held.store(Some(held.clone()));
    }

    fn fail(&self, state: &mut State, problem: &Problem, is_step_up: bool) {
        let host = self.source.server().host_str().unwrap_or_default();
        tracing::warn!(server.host = host, "no token for the server at {host}: {}", problem.text);
        if is_step_up {
            state.step_up_failed = Some((problem.clone(), Instant::now() + Problem::lasting("").wait(1)));
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.retry_at = Some(Instant::now() + problem.wait(state.failures));
        state.problem = Some(problem.clone());
    }

    async fn landed(&self, flight: Flight, patience: &Patience) -> Result<Result<Arc<Held>, Problem>, DownstreamError> {
        patience.within(flight).await.map_err(|cut| cut.not_sent())
    }

    fn alive(&self) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| held.is_alive())
    }

    /// Lets the next attempt at a token be now.
    pub(crate) fn hurry(&self) {
        let mut state = self.state();
        state.retry_at = state.retry_at.map(|at| at.min(Instant::now()));
    }

    /// What operators have to know, when there is something: it goes before what calls met.
    pub(crate) fn tell(&self, health: &mut Health) {
        let state = self.state();
        if let Some(problem) = &state.problem {
            health.last_error = Some(format!("there is no new token for the server: {}", problem.text));
            let left = state.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
            health.retry_in = health.retry_in.max(left);
        }
    }

    /// Whether a text holds a token: a server may say what it was shown back in odd places.
    pub(super) fn is_told(&self, text: &str) -> bool {
        self.state().spent.iter().any(|held| text.contains(held.token()))
    }

    /// What a server said, without the tokens that it was shown.
    pub(crate) fn struck(&self, said: &str) -> String {
        self.state().struck(said)
    }

    /// The issuer of a token, for people.
    pub(super) fn issuer(held: &Held) -> String {
        words(&held.paper.issuer, &[])
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
