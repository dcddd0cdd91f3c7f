//! What becomes of legacy streams that broke: who came back for the rest, what they got, and what was given up before.

use prometheus::{IntCounter, IntGauge};

use super::registry::{Registered, whole};

/// See the module.
pub(crate) struct Resumptions {
    /// A stream went on.
    pub(crate) continued: IntCounter,
    /// There was nothing more to come.
    pub(crate) over: IntCounter,
    /// The answer was not kept any more.
    pub(crate) lost: IntCounter,
    /// The event was none of the session.
    pub(crate) unknown: IntCounter,
    /// Events that were there already for those who came back.
    pub(crate) replayed: IntCounter,
    /// Events that were given up before anybody had read them.
    pub(crate) given_up: IntCounter,
    bytes: IntGauge,
}

impl Resumptions {
    /// At zero.
    pub(super) fn new(all: &Registered<'_>) -> Self {
        let asked = all.counters(
            "patchbay_streams_resumed_total",
            "Legacy clients that came back to a stream, by what became of that.",
            &["outcome"],
        );
        let by = |outcome| asked.with_label_values(&[outcome]);
        Self {
            continued: by("continued"),
            over: by("over"),
            lost: by("lost"),
            unknown: by("unknown"),
            replayed: all.counter("patchbay_events_replayed_total", "Events that were sent to clients that came back."),
            given_up: all.counter(
                "patchbay_events_given_up_total",
                "Events that nobody had read and that were not kept any longer.",
            ),
            bytes: all.gauge("patchbay_replay_bytes", "Bytes that are kept for clients that may come back."),
        }
    }

    /// Takes over how much is kept.
    pub(crate) fn keeps(&self, bytes: usize) {
        self.bytes.set(whole(bytes as u64));
    }
}
