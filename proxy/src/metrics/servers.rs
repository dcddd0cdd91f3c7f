//! What is counted for each server, and for each tool where that is wanted. A [`ServerMeter`] has its labels resolved, so that a
//! call costs a few atomic additions; `control` makes one for each connection, and the samples go when nobody holds it any more.
//!
//! Labels are names of the configuration, and of tools that are in a snapshot. Beyond [`SERVERS_MAX`] all servers together are
//! one, `_other`: no name can begin like that.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use patchbay_downstream::Load;
use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::registry::Registered;

/// The most servers, over all tenants, that have samples of their own: about 30 for each.
pub const SERVERS_MAX: usize = 2_000;
/// The label of those beyond the bounds.
pub(super) const OTHER: &str = "_other";
/// The longest name of a tool in a label, in bytes; what is longer is cut.
const TOOL_BYTES_MAX: usize = 128;

/// How a call ended at its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// With a result.
    Answered,
    /// With a result that says `isError`.
    ToolError,
    /// With a JSON-RPC error.
    Error,
    /// Without an answer.
    Failed,
    /// In the middle of its answer.
    Broken,
    /// The caller took it back, or went away.
    Cancelled,
}

impl CallEnd {
    const ALL: [Self; 6] = [Self::Answered, Self::ToolError, Self::Error, Self::Failed, Self::Broken, Self::Cancelled];

    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ToolError => "tool_error",
            Self::Error => "error",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Counters by the ways in which a call ends.
type Ends = [IntCounter; CallEnd::ALL.len()];
/// Tenant and server.
type Labels = (Box<str>, Box<str>);
/// The tools of one server that are counted by name.
type Tools = RwLock<HashMap<Box<str>, Arc<Ends>>>;

/// The metrics of all servers.
pub(super) struct Servers {
    calls: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
    waiting: IntGaugeVec,
    breaker_open: IntGaugeVec,
    up: IntGaugeVec,
    catalog_age: GaugeVec,
    sessions: IntGaugeVec,
    children: IntGaugeVec,
    child_starts: IntCounterVec,
    child_failures: IntCounterVec,
    tool_calls: IntCounterVec,
    tools_max: usize,
    tools_counted: AtomicUsize,
    known: Mutex<BTreeMap<Labels, Known>>,
}

/// A server that has samples. It is looked over at each scrape, so that whoever drops a meter has nothing to do.
struct Known {
    meter: Weak<ServerMeter>,
    tools: Arc<Tools>,
}

/// Counts what one server does.
pub struct ServerMeter {
    all: Arc<Servers>,
    labels: Labels,
    /// Whether it stands for all servers beyond the bound, of which a gauge would say nothing.
    is_other: bool,
    calls: Ends,
    seconds: Histogram,
    tools: Arc<Tools>,
    /// When the catalog in force was read, in milliseconds since 1970; 0 for never.
    read_ms: AtomicI64,
    /// Starts and failures of children that were taken over until now.
    seen: Mutex<(u64, u64)>,
}

impl Servers {
    pub(super) fn new(all: &Registered<'_>, tools_max: usize) -> Arc<Self> {
        const OF: &[&str] = &["tenant", "server"];
        Arc::new(Self {
            calls: all.counters(
                "patchbay_server_calls_total",
                "Requests that were sent to a server, by how they ended there.",
                &["tenant", "server", "outcome"],
            ),
            seconds: all.histograms(
                "patchbay_server_call_seconds",
                "Time from a request to a server to the last byte of its answer, the wait for its turn included.",
                OF,
            ),
            in_flight: all.gauges("patchbay_server_in_flight", "Calls that run at a server.", OF),
            waiting: all.gauges("patchbay_server_waiting", "Calls that wait for their turn at a server.", OF),
            breaker_open: all.gauges(
                "patchbay_server_breaker_open",
                "1 while a server that failed is not asked but for a probe.",
                OF,
            ),
            up: all.gauges("patchbay_server_up", "Whether the last reading of a server's lists succeeded.", OF),
            catalog_age: all.measures(
                "patchbay_server_catalog_age_seconds",
                "Time since the lists of a server that are in force were read from it.",
                OF,
            ),
            sessions: all.gauges("patchbay_server_sessions", "Sessions that are open with an HTTP server.", OF),
            children: all.gauges("patchbay_server_children", "Child processes of a stdio server that run.", OF),
            child_starts: all.counters(
                "patchbay_server_child_starts_total",
                "Child processes of a stdio server that came up.",
                OF,
            ),
            child_failures: all.counters(
                "patchbay_server_child_failures_total",
                "Child processes of a stdio server that did not come up, or ended by themselves.",
                OF,
            ),
            tool_calls: all.counters(
                "patchbay_tool_calls_total",
                "Calls of a tool, by how they ended, for the first tools that are called, as many as metrics.tools_max says.",
                &["tenant", "server", "tool", "outcome"],
            ),
            tools_max,
            tools_counted: AtomicUsize::new(0),
            known: Mutex::default(),
        })
    }

    /// The meter of a server: the same one for as long as somebody holds it.
    pub(super) fn meter(self: &Arc<Self>, tenant: &str, server: &str) -> Arc<ServerMeter> {
        let mut known = self.known();
        let labels = (tenant.into(), server.into());
        if let Some(meter) = known.get(&labels).and_then(|known| known.meter.upgrade()) {
            return meter;
        }
        let is_full = |known: &BTreeMap<_, _>| !known.contains_key(&labels) && known.len() >= SERVERS_MAX;
        if is_full(&known) {
            self.forget_unheld(&mut known);
        }
        if is_full(&known) {
            return self.other();
        }
        let entry = known.entry(labels.clone());
        let entry = entry.or_insert_with(|| Known { meter: Weak::new(), tools: Arc::default() });
        if let Some(meter) = entry.meter.upgrade() {
            return meter;
        }
        let meter = Arc::new(ServerMeter::new(Arc::clone(self), labels, false, Arc::clone(&entry.tools)));
        entry.meter = Arc::downgrade(&meter);
        meter
    }

    /// A meter of the servers beyond the bound. Their samples stay.
    fn other(self: &Arc<Self>) -> Arc<ServerMeter> {
        Arc::new(ServerMeter::new(Arc::clone(self), (OTHER.into(), OTHER.into()), true, Arc::default()))
    }

    /// Takes away the samples of servers that are no more.
    pub(super) fn sweep(&self) {
        self.forget_unheld(&mut self.known());
    }

    fn forget_unheld(&self, known: &mut BTreeMap<Labels, Known>) {
        known.retain(|labels, known| {
            let is_held = known.meter.strong_count() > 0;
            if !is_held {
                self.forget(labels, &known.tools);
            }
            is_held
        });
    }

    fn forget(&self, (tenant, server): &Labels, tools: &Tools) {
        let all = self;
        let of: [&str; 2] = [tenant, server];
        // What never had a sample has none to be removed.
        for end in CallEnd::ALL.map(CallEnd::as_str) {
            let _ = all.calls.remove_label_values(&[tenant, server, end]);
        }
        let _ = all.seconds.remove_label_values(&of);
        let _ = all.catalog_age.remove_label_values(&of);
        for gauges in [&all.in_flight, &all.waiting, &all.breaker_open, &all.up, &all.sessions, &all.children] {
            let _ = gauges.remove_label_values(&of);
        }
        for counters in [&all.child_starts, &all.child_failures] {
            let _ = counters.remove_label_values(&of);
        }
        let mut tools = tools.write().unwrap_or_else(PoisonError::into_inner);
        for (tool, _) in tools.drain() {
            all.tools_counted.fetch_sub(1, Relaxed);
            for end in CallEnd::ALL.map(CallEnd::as_str) {
                let _ = all.tool_calls.remove_label_values(&[tenant, server, &*tool, end]);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Labels, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerMeter {
    fn new(all: Arc<Servers>, labels: Labels, is_other: bool, tools: Arc<Tools>) -> Self {
        let of: [&str; 2] = [&labels.0, &labels.1];
        Self {
            calls: CallEnd::ALL.map(|end| all.calls.with_label_values(&[of[0], of[1], end.as_str()])),
            seconds: all.seconds.with_label_values(&of),
            is_other,
            tools,
            read_ms: AtomicI64::new(0),
            seen: Mutex::default(),
            labels,
            all,
        }
    }

    /// A call goes out, of this tool if it is one's.
    pub fn begin(self: &Arc<Self>, tool: Option<&str>, now: Instant) -> CallMeter {
        let tool = if self.all.tools_max == 0 { None } else { tool.and_then(|tool| self.tool(tool)) };
        CallMeter { server: Arc::clone(self), tool, began: now, is_over: false }
    }

    /// The counters of a tool: made with its first call while there is room for another.
    fn tool(&self, name: &str) -> Option<Arc<Ends>> {
        let name = &name[..name.floor_char_boundary(TOOL_BYTES_MAX)];
        if let Some(ends) = self.tools.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(Arc::clone(ends));
        }
        let all = &self.all;
        // Once there is no room, a call takes no lock that others have to wait for.
        if self.is_other || all.tools_counted.load(Relaxed) >= all.tools_max {
            return None;
        }
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = tools.get(name) {
            return Some(Arc::clone(ends));
        }
        if all.tools_counted.fetch_add(1, Relaxed) >= all.tools_max {
            all.tools_counted.fetch_sub(1, Relaxed);
            return None;
        }
        let (tenant, server) = &self.labels;
        let ends =
            CallEnd::ALL.map(|end| all.tool_calls.with_label_values(&[&**tenant, &**server, name, end.as_str()]));
        let ends = Arc::new(ends);
        tools.insert(name.into(), Arc::clone(&ends));
        Some(ends)
    }

    /// The lists in force were read at that time, maybe by an earlier process.
    pub fn catalog_of(&self, at_ms: i64) {
        self.read_ms.store(at_ms, Relaxed);
    }

    /// The server's lists were read, or could not be.
    pub fn heard(&self, is_good: bool, at_ms: i64) {
        if is_good {
            self.catalog_of(at_ms);
        }
        if !self.is_other {
            self.all.up.with_label_values(&self.of()).set(i64::from(is_good));
        }
    }

    /// How busy it is; to be said before a scrape is answered, for one scrape at a time.
    pub fn load(&self, load: &Load, now_ms: i64) {
        if self.is_other {
            return;
        }
        let (all, of) = (&self.all, self.of());
        all.in_flight.with_label_values(&of).set(load.in_flight.into());
        all.waiting.with_label_values(&of).set(load.waiting.into());
        all.breaker_open.with_label_values(&of).set(load.breaker_open.into());
        let read_ms = self.read_ms.load(Relaxed);
        if read_ms > 0 {
            let age = Duration::from_millis(u64::try_from(now_ms - read_ms).unwrap_or(0));
            all.catalog_age.with_label_values(&of).set(age.as_secs_f64());
        }
        if let Some(sessions) = load.sessions {
            all.sessions.with_label_values(&of).set(sessions.into());
        }
        if let Some(children) = load.children {
            all.children.with_label_values(&of).set(children.running.into());
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            all.child_starts.with_label_values(&of).inc_by(grown(seen.0, children.starts));
            all.child_failures.with_label_values(&of).inc_by(grown(seen.1, children.failures));
            *seen = (children.starts, children.failures);
        }
    }

    fn of(&self) -> [&str; 2] {
        [&self.labels.0, &self.labels.1]
    }
}

/// By how much a total has grown that begins at zero again with each new connection.
const fn grown(before: u64, now: u64) -> u64 {
    if now < before { now } else { now - before }
}

/// One call on its way; dropped without a word, its caller has gone.
pub struct CallMeter {
    server: Arc<ServerMeter>,
    tool: Option<Arc<Ends>>,
    began: Instant,
    is_over: bool,
}

impl CallMeter {
    /// It has ended. Only the first word counts.
    pub fn end(&mut self, end: CallEnd) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.server.calls[end as usize].inc();
        self.server.seconds.observe(self.began.elapsed().as_secs_f64());
        if let Some(tool) = &self.tool {
            tool[end as usize].inc();
        }
    }
}

impl Drop for CallMeter {
    fn drop(&mut self) {
        self.end(CallEnd::Cancelled);
    }
}

#[cfg(test)]
mod tests;
