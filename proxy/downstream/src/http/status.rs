//! How the server is, as seen by its calls: a state, the last fault in words, and how many calls run now.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU32, Ordering},
};

use crate::{DownstreamError, Fault, Health, HealthState};

const IDLE: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;
const CLOSED: u8 = 3;

/// The state of one server.
#[derive(Default)]
pub(crate) struct Status {
    state: AtomicU8,
    last_error: Mutex<Option<String>>,
    in_flight: AtomicU32,
}

impl Status {
    /// Counts a call until the result is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// It answered.
    pub(crate) fn up(&self) {
        self.turn(UP);
    }

    /// It failed.
    pub(crate) fn failed(&self, error: &DownstreamError) {
        match error.fault {
            Fault::Unavailable
            | Fault::Timeout
            | Fault::Closed
            | Fault::Protocol
            | Fault::SignIn
            | Fault::Refused(500..) => self.turn(DOWN),
            // It said something sensible, or the gateway did not even ask.
            _ => {}
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// For good.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
    }

    /// Written only when it changes, since every call comes by; closed stays closed.
    fn turn(&self, to: u8) {
        let now = self.state.load(Ordering::Relaxed);
        if now != to && now != CLOSED {
            let _ = self.state.compare_exchange(now, to, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    pub(crate) fn health(&self) -> Health {
        Health {
            state: match self.state.load(Ordering::Acquire) {
                UP => HealthState::Up,
                DOWN => HealthState::Down,
                CLOSED => HealthState::Closed,
                IDLE.. => HealthState::Idle,
            },
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            ..Health::default()
        }
    }
}

/// One call that runs.
pub(crate) struct InFlight(Arc<Status>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
