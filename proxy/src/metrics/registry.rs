//! Makes metrics, registers them, and remembers what each is called, of what type it is and which labels it has: what
//! docs/metrics.md, the dashboards and the rules are held to. The names themselves are beside what they count.

use std::cell::RefCell;

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, core::Collector,
};

/// Upper bounds of the latency buckets, in seconds: what a hop costs, what servers take, what people wait.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by upper bounds: `_bucket` with the label `le`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The word in the documentation, which is also Prometheus's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What there is to know of a metric besides its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    /// Its name; of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
}

/// Makes metrics and registers them.
pub(super) struct Registered<'a> {
    registry: &'a Registry,
    described: RefCell<Vec<Described>>,
}

impl<'a> Registered<'a> {
    pub(super) const fn new(registry: &'a Registry) -> Self {
        Self { registry, described: RefCell::new(Vec::new()) }
    }

    /// All that was made, by name.
    pub(super) fn described(self) -> Vec<Described> {
        let mut all = self.described.into_inner();
        all.sort_by_key(|one| one.name);
        all
    }

    fn add<C: Collector + Clone + 'static>(&self, one: Described, made: prometheus::Result<C>) -> C {
        let collector = made.expect("names and labels in these files are well formed");
        self.registry.register(Box::new(collector.clone())).expect("each name in these files stands once");
        self.described.borrow_mut().push(one);
        collector
    }

    pub(super) fn counter(&self, name: &'static str, help: &str) -> IntCounter {
        self.add(Described { name, kind: Kind::Counter, labels: &[] }, IntCounter::new(name, help))
    }

    pub(super) fn counter_of_seconds(&self, name: &'static str, help: &str) -> Counter {
        self.add(Described { name, kind: Kind::Counter, labels: &[] }, Counter::new(name, help))
    }

    pub(super) fn counters(&self, name: &'static str, help: &str, labels: &'static [&'static str]) -> IntCounterVec {
        let made = IntCounterVec::new(Opts::new(name, help), labels);
        self.add(Described { name, kind: Kind::Counter, labels }, made)
    }

    pub(super) fn gauge(&self, name: &'static str, help: &str) -> IntGauge {
        self.add(Described { name, kind: Kind::Gauge, labels: &[] }, IntGauge::new(name, help))
    }

    /// A gauge of a number with a fraction.
    pub(super) fn measure(&self, name: &'static str, help: &str) -> Gauge {
        self.add(Described { name, kind: Kind::Gauge, labels: &[] }, Gauge::new(name, help))
    }

    pub(super) fn measures(&self, name: &'static str, help: &str, labels: &'static [&'static str]) -> GaugeVec {
        self.add(Described { name, kind: Kind::Gauge, labels }, GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &'static str, help: &str, labels: &'static [&'static str]) -> IntGaugeVec {
        self.add(Described { name, kind: Kind::Gauge, labels }, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(&self, name: &'static str, help: &str) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(Described { name, kind: Kind::Histogram, labels: &[] }, Histogram::with_opts(options))
    }

    pub(super) fn histograms(&self, name: &'static str, help: &str, labels: &'static [&'static str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(Described { name, kind: Kind::Histogram, labels }, HistogramVec::new(options, labels))
    }
}

/// A number as gauges take it.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Brings a counter to a total that somebody else keeps. Only for one scrape at a time.
pub(super) fn advance(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
