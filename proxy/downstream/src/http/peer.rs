//! What one server is to this transport: the client that reaches it, what is known of its era, its legacy sessions, who
//! listens. The rooms beside this one (`era`, `session`, `call`, `listen`, `aside`) each add what they do with it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use patchbay_core::model::EraPin;
use tokio::{
    sync::{Semaphore, broadcast},
    time::Instant,
};

use super::{
    client::Client,
    era::Known,
    flight::Flight,
    patience::{Closing, Patience},
    session::Sessions,
    status::Status,
};
use crate::{DownstreamError, Event, Fault, watched::Watched};

/// Events that a slow listener may be behind before it loses some.
pub(crate) const EVENTS_KEPT: usize = 256;

/// One server.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) response_bytes_max: u64,
    pub(crate) sse_event_bytes_max: usize,
    pub(crate) pin: EraPin,
    /// What it said of itself, or is remembered to have said.
    pub(crate) known: ArcSwapOption<Known>,
    /// Held by whoever finds the era out.
    pub(crate) asking: Flight<DownstreamError>,
    pub(crate) sessions: Sessions,
    pub(crate) events: broadcast::Sender<Event>,
    /// The resources that it is to tell of.
    pub(crate) watched: Watched,
    /// Whether the task that listens for events runs.
    pub(crate) listening: AtomicBool,
    /// Whether the server turned out to offer no events.
    pub(crate) silent: AtomicBool,
    pub(crate) status: Arc<Status>,
    pub(crate) closing: Closing,
    /// Places for requests that nobody waits for; see `aside`.
    pub(crate) aside: Arc<Semaphore>,
    pub(crate) ids: AtomicU64,
}

impl Peer {
    /// The id of the next request: never used again, whatever the session.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn patience(&self, deadline: Instant) -> Patience {
        Patience { deadline, closing: self.closing.clone() }
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, event: Event) {
        // An error only says that nobody listens.
        let _ = self.events.send(event);
    }

    pub(crate) fn refuse_when_closed(&self) -> Result<(), DownstreamError> {
        if self.closing.is_closed() {
            return Err(DownstreamError::not_sent(
                Fault::Closed,
                "the connection to the server was closed by the gateway",
            ));
        }
        Ok(())
    }
}
