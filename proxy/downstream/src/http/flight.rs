//! Something that many need and one does: the others wait, and when it failed meanwhile they take that failure, so that a
//! server that cannot be reached is not tried by each of them in turn.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::patience::{Cut, Patience};

/// The right to do it, held by one at a time.
pub(crate) struct Flight<E> {
    last: Mutex<Option<E>>,
    failures: AtomicU64,
}

impl<E> Default for Flight<E> {
    fn default() -> Self {
        Self { last: Mutex::new(None), failures: AtomicU64::new(0) }
    }
}

/// Whose turn it is.
pub(crate) struct Turn<'a, E> {
    flight: &'a Flight<E>,
    last: MutexGuard<'a, Option<E>>,
}

impl<E: Clone> Flight<E> {
    /// Waits for its turn; the inner error is the failure of somebody who had it meanwhile.
    pub(crate) async fn turn(&self, patience: &Patience) -> Result<Result<Turn<'_, E>, E>, Cut> {
        let before = self.failures.load(Ordering::Acquire);
        let last = patience.within(self.last.lock()).await?;
        match &*last {
            Some(error) if self.failures.load(Ordering::Acquire) != before => Ok(Err(error.clone())),
            _ => Ok(Ok(Turn { flight: self, last })),
        }
    }
}

impl<E: Clone> Turn<'_, E> {
    /// Those who wait need not try.
    pub(crate) fn failed(mut self, error: &E) {
        *self.last = Some(error.clone());
        self.flight.failures.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn who_waits_takes_the_failure_and_who_comes_later_tries_anew() {
        let flight = Flight::default();
        let patience = Patience { deadline: Instant::now() + Duration::from_secs(5), closing: Default::default() };
        let Ok(Ok(turn)) = flight.turn(&patience).await else { panic!("nobody else is here") };
        let mut waiting = Box::pin(flight.turn(&patience));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        turn.failed(&"down");
        assert!(matches!(waiting.await, Ok(Err("down"))));
        assert!(matches!(flight.turn(&patience).await, Ok(Ok(_))));
    }
}
