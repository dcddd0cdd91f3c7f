//! The limiter and the audit in numbers. Both keep their totals themselves; what is here takes them over before a scrape is
//! answered, as plain numbers, so that neither has to know of metrics.

use std::time::Duration;

use patchbay_limit::Mode;
use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::registry::{Registered, advance, whole};

/// How the limiter counts. Totals are since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimiterStats {
    /// How it counts now.
    pub mode: Mode,
    /// Replicas that share the counts, this one included.
    pub replicas: u32,
    /// Questions to Redis.
    pub round_trips: u64,
    /// Refusals that needed none, since the same caller had been refused shortly before.
    pub refused_locally: u64,
    /// Decisions that were made without the counts that all replicas share.
    pub fallbacks: u64,
}

impl LimiterStats {
    /// A limiter that shares its counts with nobody.
    pub const ALONE: Self = Self { mode: Mode::Memory, replicas: 1, round_trips: 0, refused_locally: 0, fallbacks: 0 };
}

/// How the audit is. Totals are since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AuditStats {
    /// Records that the store does not have yet.
    pub lag_records: u64,
    /// How long the oldest of them waits.
    pub lag: Duration,
    /// Bytes on the spool, by whole segments.
    pub spool_bytes: u64,
    /// The part of the spool that is taken: 0 to 1.
    pub spool_ratio: f64,
    /// Whether the disk does not let the spool grow.
    pub is_stunted: bool,
    /// Records that were written to the spool.
    pub records: u64,
    /// Records that found no room and are missing.
    pub gaps: u64,
    /// Batches that the store did not take.
    pub store_failures: u64,
    /// Checkpoints that were signed.
    pub checkpoints: u64,
}

/// How a sink is. Totals are since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SinkStats {
    /// Records that it does not have yet.
    pub lag_records: u64,
    /// How long the oldest of them waits.
    pub lag: Duration,
    /// Records that it took.
    pub sent: u64,
    /// Attempts that failed.
    pub failures: u64,
}

/// How the spans of traces fare. Totals are since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanStats {
    /// Spans that wait to be sent.
    pub waiting: u64,
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that could not be brought to it.
    pub failed: u64,
    /// Spans that found no room.
    pub dropped: u64,
}

/// The metrics of limiter, audit, sinks and traces.
pub(super) struct Shared {
    mode: IntGaugeVec,
    replicas: IntGauge,
    round_trips: IntCounter,
    refused_locally: IntCounter,
    fallbacks: IntCounter,
    lag_records: IntGauge,
    lag: Gauge,
    spool_bytes: IntGauge,
    spool_ratio: Gauge,
    spool_stunted: IntGauge,
    records: IntCounter,
    gaps: IntCounter,
    store_failures: IntCounter,
    checkpoints: IntCounter,
    sync_seconds: Histogram,
    sink_lag_records: IntGaugeVec,
    sink_lag: GaugeVec,
    sink_sent: IntCounterVec,
    sink_failures: IntCounterVec,
    spans_waiting: IntGauge,
    spans: IntCounterVec,
}

impl Shared {
    pub(super) fn new(all: &Registered<'_>) -> Self {
        const SINK: &[&str] = &["sink"];
        Self {
            mode: all.gauges("patchbay_limiter_mode", "1 for the way in which limits are counted now.", &["mode"]),
            replicas: all.gauge("patchbay_limiter_replicas", "Replicas that share limits, as this one sees them."),
            round_trips: all.counter("patchbay_limiter_round_trips_total", "Questions to Redis."),
            refused_locally: all.counter(
                "patchbay_limiter_refused_locally_total",
                "Refusals of callers whose time had not come, made without asking Redis.",
            ),
            fallbacks: all.counter(
                "patchbay_limiter_fallbacks_total",
                "Decisions that were made while the shared counts were out of reach.",
            ),
            lag_records: all.gauge("patchbay_audit_lag_records", "Audit records that the store does not have yet."),
            lag: all
                .measure("patchbay_audit_lag_seconds", "Age of the oldest audit record that the store does not have."),
            spool_bytes: all.gauge("patchbay_audit_spool_bytes", "Bytes of audit records on the local spool."),
            spool_ratio: all.measure("patchbay_audit_spool_ratio", "The part of the audit spool that is taken."),
            spool_stunted: all
                .gauge("patchbay_audit_spool_stunted", "1 while the disk does not let the audit spool grow."),
            records: all.counter("patchbay_audit_records_total", "Audit records that were written to the spool."),
            gaps: all.counter("patchbay_audit_gap_records_total", "Audit records that found no room and are missing."),
            store_failures: all.counter(
                "patchbay_audit_store_failures_total",
                "Batches of audit records that the store did not take.",
            ),
            checkpoints: all
                .counter("patchbay_audit_checkpoints_total", "Checkpoints of audit chains that were signed."),
            sync_seconds: all.histogram(
                "patchbay_audit_sync_seconds",
                "Time that answers waited until their audit records were safe on the disk.",
            ),
            sink_lag_records: all.gauges(
                "patchbay_audit_sink_lag_records",
                "Audit records that a sink does not have yet.",
                SINK,
            ),
            sink_lag: all.measures(
                "patchbay_audit_sink_lag_seconds",
                "Age of the oldest audit record that a sink does not have.",
                SINK,
            ),
            sink_sent: all.counters("patchbay_audit_sink_records_total", "Audit records that a sink took.", SINK),
            sink_failures: all.counters(
                "patchbay_audit_sink_failures_total",
                "Attempts to hand audit records to a sink that failed.",
                SINK,
            ),
            spans_waiting: all.gauge("patchbay_trace_spans_waiting", "Spans of traces that wait to be sent."),
            spans: all.counters("patchbay_trace_spans_total", "Spans of traces, by what became of them.", &["outcome"]),
        }
    }

    pub(super) fn limiter(&self, stats: &LimiterStats) {
        for mode in Mode::ALL {
            self.mode.with_label_values(&[mode.as_str()]).set((mode == stats.mode).into());
        }
        self.replicas.set(stats.replicas.into());
        advance(&self.round_trips, stats.round_trips);
        advance(&self.refused_locally, stats.refused_locally);
        advance(&self.fallbacks, stats.fallbacks);
    }

    pub(super) fn audit(&self, stats: &AuditStats) {
        self.lag_records.set(whole(stats.lag_records));
        self.lag.set(stats.lag.as_secs_f64());
        self.spool_bytes.set(whole(stats.spool_bytes));
        self.spool_ratio.set(stats.spool_ratio);
        self.spool_stunted.set(stats.is_stunted.into());
        advance(&self.records, stats.records);
        advance(&self.gaps, stats.gaps);
        advance(&self.store_failures, stats.store_failures);
        advance(&self.checkpoints, stats.checkpoints);
    }

    pub(super) fn synced(&self) -> impl Fn(Duration) + Send + Sync + use<> {
        let seconds = self.sync_seconds.clone();
        move |took| seconds.observe(took.as_secs_f64())
    }

    pub(super) fn spans(&self, stats: &SpanStats) {
        self.spans_waiting.set(whole(stats.waiting));
        for (outcome, total) in [("sent", stats.sent), ("failed", stats.failed), ("dropped", stats.dropped)] {
            advance(&self.spans.with_label_values(&[outcome]), total);
        }
    }

    pub(super) fn sink(&self, name: &str, stats: &SinkStats) {
        self.sink_lag_records.with_label_values(&[name]).set(whole(stats.lag_records));
        self.sink_lag.with_label_values(&[name]).set(stats.lag.as_secs_f64());
        advance(&self.sink_sent.with_label_values(&[name]), stats.sent);
        advance(&self.sink_failures.with_label_values(&[name]), stats.failures);
    }
}
