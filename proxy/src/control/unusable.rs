//! A server that cannot be reached because of how it is configured: it answers every request with the reason, and the rest of
//! its tenant goes on without it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, ready};
use patchbay_downstream::{
    CallCx, Downstream, DownstreamError, Event, Fault, Health, HealthState, Hello, Outgoing, Reply,
};
use tokio::{sync::broadcast, time::Instant};

/// A server that is none, and why.
pub(crate) struct Unusable {
    why: String,
    events: broadcast::Sender<Event>,
}

impl Unusable {
    /// `why` is for operators: it says what to change.
    pub(crate) fn new(why: String) -> Arc<Self> {
        Arc::new(Self { why, events: broadcast::Sender::new(1) })
    }

    fn error(&self) -> DownstreamError {
        DownstreamError::not_sent(Fault::Unavailable, self.why.clone())
    }
}

impl Downstream for Unusable {
    fn hello(&self, _deadline: Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        Box::pin(ready(Err(self.error())))
    }

    fn call(&self, _cx: CallCx, _request: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        Box::pin(ready(Err(self.error())))
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn health(&self) -> Health {
        Health { state: HealthState::Down, last_error: Some(self.why.clone()), ..Health::default() }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }
}
