//! Stops asking a server that does not answer, and asks once in a while whether it does again. Failures count only in a row:
//! a server that answers some calls is slow, not gone. While all is well, a call costs two loads.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use tokio::time::Instant;

use super::GateOptions;
use crate::{DownstreamError, Fault};

/// A child or connection that ends takes many calls with it within this time: one failure, not many.
const ONE_DEATH: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Breaker {
    failures_max: u32,
    failure_window: Duration,
    open_first: Duration,
    open_longest: Duration,
    /// Whether `state` must be looked at before a call.
    open: AtomicBool,
    /// Whether `state` has failures that a success forgives.
    tainted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    first_failure: Option<Instant>,
    last_closed: Option<Instant>,
    last_error: String,
    open: Option<Open>,
}

#[derive(Clone, Copy)]
struct Open {
    until: Instant,
    length: Duration,
    probing: bool,
}

/// What operators are told of an open breaker.
pub(super) struct Trouble {
    pub(super) retry_in: Duration,
    pub(super) last_error: String,
}

/// The leave to make one call. Dropped without a word — the caller went away — it tells nothing of the server.
pub(super) struct Pass {
    /// The breaker, when this call is its probe.
    probe: Option<Arc<Breaker>>,
    breaker: Option<Arc<Breaker>>,
}

impl Breaker {
    pub(super) fn new(options: &GateOptions) -> Self {
        Self {
            failures_max: options.failures_max.max(1),
            failure_window: options.failure_window,
            open_first: options.open_first,
            open_longest: options.open_longest,
            open: AtomicBool::new(false),
            tainted: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Leave to ask the server; while it is open only for one probe at a time, once its time is over.
    pub(super) fn admit(this: &Arc<Self>) -> Result<Pass, DownstreamError> {
        if !this.open.load(Acquire) {
            return Ok(Pass { probe: None, breaker: Some(Arc::clone(this)) });
        }
        let mut state = this.state();
        match &mut state.open {
            None => Ok(Pass { probe: None, breaker: Some(Arc::clone(this)) }),
            Some(open) if !open.probing && open.until <= Instant::now() => {
                open.probing = true;
                Ok(Pass { probe: Some(Arc::clone(this)), breaker: Some(Arc::clone(this)) })
            }
            Some(_) => Err(refusal(&state)),
        }
    }

    /// Refuses what would have to wait while the breaker is open.
    pub(super) fn refuse_if_open(&self) -> Result<(), DownstreamError> {
        if !self.open.load(Acquire) {
            return Ok(());
        }
        let state = self.state();
        match state.open {
            Some(open) if open.probing || open.until > Instant::now() => Err(refusal(&state)),
            _ => Ok(()),
        }
    }

    /// The server answered.
    pub(super) fn answered(&self) {
        if self.tainted.load(Acquire) {
            let mut state = self.state();
            let last_error = std::mem::take(&mut state.last_error);
            *state = State { last_error, ..State::default() };
            self.tainted.store(false, Release);
            self.open.store(false, Release);
        }
    }

    /// The server did not answer, or not to the end.
    pub(super) fn failed(&self, error: &DownstreamError, probe: bool) {
        if !counts(error.fault) {
            return;
        }
        let now = Instant::now();
        let mut state = self.state();
        if error.fault == Fault::Closed && !probe {
            let same_death = state.last_closed.replace(now).is_some_and(|last| now - last < ONE_DEATH);
            if same_death {
                return;
            }
        }
        if state.first_failure.is_none_or(|first| now - first > self.failure_window) {
            state.first_failure = Some(now);
            state.failures = 0;
        }
        state.failures += 1;
        state.last_error.clone_from(&error.detail);
        self.tainted.store(true, Release);
        match state.open {
            Some(open) if probe => {
                let length = (open.length * 2).min(self.open_longest);
                state.open = Some(Open { until: now + length, length, probing: false });
            }
            // Calls from before it opened tell nothing new.
            Some(_) => {}
            None if state.failures >= self.failures_max => {
                let length = self.open_first;
                state.open = Some(Open { until: now + length, length, probing: false });
                self.open.store(true, Release);
            }
            None => {}
        }
    }

    /// Lets the next probe through now.
    pub(super) fn hurry(&self) {
        if let Some(open) = &mut self.state().open {
            open.until = Instant::now();
        }
    }

    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Acquire)
    }

    /// How it is while it is open.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let state = self.state();
        state.open.map(|open| Trouble {
            retry_in: open.until.saturating_duration_since(Instant::now()),
            last_error: state.last_error.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(state: &State) -> DownstreamError {
    let text = format!(
        "the server failed {} times; it is asked again soon; the last time: {}",
        state.failures, state.last_error
    );
    DownstreamError::not_sent(Fault::Unavailable, text)
}

/// Whether a fault says that the server is gone, not that it did not like the request.
fn counts(fault: Fault) -> bool {
    matches!(fault, Fault::Unavailable | Fault::Closed | Fault::Timeout | Fault::Refused(502..=504))
}

impl Pass {
    /// The server answered.
    pub(super) fn answered(mut self) {
        self.probe = None;
        if let Some(breaker) = self.breaker.take() {
            breaker.answered();
        }
    }

    /// It failed; gives the error back.
    pub(super) fn failed(mut self, error: DownstreamError) -> DownstreamError {
        let probe = self.probe.is_some();
        if let Some(breaker) = self.breaker.take() {
            if counts(error.fault) {
                self.probe = None;
                breaker.failed(&error, probe);
            } else if probe && !matches!(error.fault, Fault::Busy) {
                // It answered, if only to refuse.
                self.probe = None;
                breaker.answered();
            }
        }
        error
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let Some(breaker) = self.probe.take() else { return };
        if let Some(open) = &mut breaker.state().open {
            open.probing = false;
        }
    }
}
