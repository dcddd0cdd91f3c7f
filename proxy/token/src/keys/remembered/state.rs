//! When something of an issuer's is believed, asked for anew and given up: the times, and what they mean for somebody who asks.
//! Fetches nothing and waits for nothing. [`remembered`](super) follows it.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{ATTEMPT_MAX, Flight, Fresh};
use crate::keys::Unavailable;

/// How long an answer is believed when it does not say itself (`max-age`).
const FRESH: Duration = Duration::from_secs(600);
/// It is believed for at least that long, whatever it says.
const FRESH_MIN: Duration = Duration::from_secs(60);
/// And at most for that long.
const FRESH_MAX: Duration = Duration::from_secs(3600);
/// How long it is used while no newer one can be had.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long an asker waits for a newer one before the old one is used.
const STALE_WAIT_MAX: Duration = Duration::from_secs(3);
/// How often it is asked for anew, although it is fresh, because something was not in it.
const ANEW_EVERY: Duration = Duration::from_secs(30);
/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// What is known of it.
pub(super) struct State<T> {
    pub(super) held: Option<Held<T>>,
    pub(super) flight: Option<Flight<T>>,
    /// Attempts that failed since the last that did not.
    pub(super) failures: u32,
    /// Not before then is it tried again.
    pub(super) retry_at: Option<Instant>,
    /// When it was last asked for anew although it was fresh.
    pub(super) anew_at: Option<Instant>,
    pub(super) error: Option<Unavailable>,
}

pub(super) struct Held<T> {
    pub(super) value: Arc<T>,
    pub(super) fetched: Instant,
    /// From then on whoever uses it has it fetched in the background.
    pub(super) renew_at: Instant,
    /// From then on nobody uses it without an attempt to get a newer one.
    pub(super) fresh_until: Instant,
}

/// What an asker gets.
pub(super) enum Plan<T> {
    /// What is held.
    Serve(Arc<T>),
    /// What is held, and a fetch for others later.
    Renew(Arc<T>),
    /// What is being fetched; if that fails or takes longer than the patience, what is held.
    Wait(Option<Arc<T>>, Duration),
    Refuse(Unavailable),
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { held: None, flight: None, failures: 0, retry_at: None, anew_at: None, error: None }
    }
}

impl<T> State<T> {
    /// What somebody gets who asks now.
    pub(super) fn plan(&mut self, now: Instant, insist: bool, enough: &dyn Fn(&T) -> bool) -> Plan<T> {
        let flies = self.flight.is_some();
        let rests = !flies && self.retry_at.is_some_and(|retry_at| now < retry_at);
        let Some(held) = self.held.as_ref().filter(|held| now < held.fetched + STALE_MAX) else {
            return match &self.error {
                Some(error) if rests && !insist => Plan::Refuse(error.clone()),
                _ => Plan::Wait(None, ATTEMPT_MAX),
            };
        };
        let (value, is_fresh, is_due) = (held.value.clone(), now < held.fresh_until, now >= held.renew_at);
        match enough(&value) {
            _ if rests => Plan::Serve(value),
            true if is_fresh && is_due && !flies => Plan::Renew(value),
            true if is_fresh => Plan::Serve(value),
            // Whoever failed before may well fail again, and slowly: nobody waits for that.
            true if self.failures > 0 => Plan::Renew(value),
            true => Plan::Wait(Some(value), STALE_WAIT_MAX),
            false if flies || !is_fresh => Plan::Wait(Some(value), ATTEMPT_MAX),
            false if self.anew_at.is_some_and(|anew_at| now < anew_at + ANEW_EVERY) => Plan::Serve(value),
            false => {
                self.anew_at = Some(now);
                Plan::Wait(Some(value), ATTEMPT_MAX)
            }
        }
    }

    /// Something came. Gives back what it takes the place of.
    pub(super) fn keep(&mut self, fresh: Fresh<T>) -> (Arc<T>, Option<Arc<T>>) {
        let now = Instant::now();
        let fresh_for = fresh.max_age.unwrap_or(FRESH).clamp(FRESH_MIN, FRESH_MAX);
        let value = Arc::new(fresh.value);
        let (renew_at, fresh_until) = (now + fresh_for / 4 * 3, now + fresh_for);
        let old = self.held.replace(Held { value: value.clone(), fetched: now, renew_at, fresh_until });
        (self.failures, self.retry_at, self.error) = (0, None, None);
        (value, old.map(|old| old.value))
    }

    /// Lets go of what is too old to be used, and says whether there was such.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        self.held.take_if(|held| now >= held.fetched + STALE_MAX).is_some()
    }

    /// From when on there is something to do for what is held, if nothing is done yet.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let held = self.held.as_ref().filter(|_| self.flight.is_none())?;
        Some(self.retry_at.map_or(held.renew_at, |retry_at| held.renew_at.max(retry_at)))
    }

    /// Nothing came, and for a while nobody tries again.
    pub(super) fn fail(&mut self, error: Unavailable) -> Unavailable {
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + jittered(pause));
        self.error = Some(error.clone());
        error
    }
}

/// Between a half and all of the pause, so that replicas that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // A new RandomState has new keys, which is as much chance as is needed here.
    let chance = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + pause.mul_f64(chance as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_a_half_and_the_whole() {
        let pauses: Vec<_> = (0..200).map(|_| jittered(PAUSE_MAX)).collect();
        assert!(pauses.iter().all(|pause| (PAUSE_MAX / 2..=PAUSE_MAX).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn any_number_of_failures_has_a_pause() {
        let mut state = State::<()> { failures: u32::MAX, ..State::default() };
        state.fail(Unavailable::new("again"));
        let pause = state.retry_at.unwrap().saturating_duration_since(Instant::now());
        assert!(pause <= PAUSE_MAX && pause > PAUSE_MAX / 3);
    }
}
