//! What operators are told of single requests: spans for a collector (OpenTelemetry, OTLP), and the request's ids on every line
//! of the log. The edge begins a [`RequestTrace`], the audit's trail carries and ends it, [`log`] marks the lines.
//!
//! Without `traces` in patchbay.yaml there is no [`Telemetry`]: nothing is recorded, no task runs, no connection is made, and
//! what callers say of traces passes as it came.

mod came;
mod export;
mod ids;
pub mod log;
mod outbox;
mod span;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use patchbay_config::TracesConfig;
use patchbay_core::{
    method::Method,
    trace::{TraceContext, TraceId, TraceParent},
};

pub use came::{Came, of_headers};
pub use export::{Exporting, TelemetryError};
pub use outbox::TelemetryStats;
pub use span::{RequestTrace, Setting};

use self::{
    export::Exporter,
    outbox::Outbox,
    span::{Recorded, Remote},
};

/// Records spans and sends them.
pub struct Telemetry {
    sampler: Sampler,
    outbox: Arc<Outbox>,
    /// Until it is started.
    exporter: Mutex<Option<Exporter>>,
}

impl Telemetry {
    /// What this configuration says. Nothing is sent before [`Self::start`].
    ///
    /// # Errors
    /// When a URL or header cannot be used.
    pub fn new(config: &TracesConfig) -> Result<Self, TelemetryError> {
        let outbox = Arc::new(Outbox::default());
        let exporter = Exporter::new(config, outbox.clone())?;
        Ok(Self { sampler: Sampler::new(config), outbox, exporter: Mutex::new(Some(exporter)) })
    }

    /// Begins the span of a request.
    pub fn begin(&self, came: &Came, method: &Method) -> RequestTrace {
        let parent = came.context.as_ref().map(|context| context.parent);
        let trace = parent.map_or_else(ids::trace, |parent| parent.trace);
        let sampled = self.sampler.samples(parent, trace);
        let own = parent.map_or_else(
            || TraceParent::root(trace, ids::span(), sampled),
            |parent| parent.child(ids::span(), sampled),
        );
        let context = TraceContext { parent: own, state: came.context.as_ref().and_then(|came| came.state.clone()) };
        let remote = Remote { parent: parent.map(|parent| parent.span), link: came.link };
        let recorded = sampled.then(|| Box::new(Recorded::new(self.outbox.clone(), &context, remote, method)));
        RequestTrace::new(context, recorded)
    }

    /// Begins to send, in a task of this runtime. `None` when it was begun before.
    pub fn start(&self) -> Option<Exporting> {
        let exporter = self.exporter.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(exporter.start())
    }

    /// What became of spans so far.
    pub fn stats(&self) -> TelemetryStats {
        self.outbox.stats()
    }
}

/// Decides which requests are recorded.
struct Sampler {
    trusts_callers: bool,
    /// Traces whose hash is below are recorded; `None` for all of them.
    below: Option<u64>,
    /// Keyed, so that no caller can pick a trace id that is recorded; one trace gets one decision.
    hash: RandomState,
}

impl Sampler {
    fn new(config: &TracesConfig) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of 2^64 that is below it")]
        let below = if config.sample >= 1.0 { None } else { Some((config.sample.max(0.0) * 2_f64.powi(64)) as u64) };
        Self { trusts_callers: config.trust_callers, below, hash: RandomState::new() }
    }

    fn samples(&self, parent: Option<TraceParent>, trace: TraceId) -> bool {
        match parent {
            Some(parent) if self.trusts_callers => parent.is_sampled(),
            _ => self.below.is_none_or(|below| self.hash.hash_one(trace.bytes()) < below),
        }
    }
}

#[cfg(test)]
mod tests;
