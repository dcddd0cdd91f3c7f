//! What is measured: requests, errors and latencies of a window, and the CPU time that processes spent in it.

use std::{
    cell::RefCell,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;

/// After so many errors a measurement has failed anyway, so it ends.
pub(crate) const ERRORS_MAX: u64 = 1000;
/// The unit of `/proc/PID/stat` on Linux, for user space always a hundredth of a second.
const TICK_US: u64 = 10_000;

/// Collects while the window is open.
#[derive(Default)]
pub(crate) struct Tally {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    open: bool,
    over: bool,
    latencies_ns: Vec<u64>,
    refused: u64,
    errors: u64,
    first_error: Option<String>,
}

/// The line that goes out.
#[derive(Serialize)]
pub(crate) struct Report {
    requests: usize,
    refused: u64,
    errors: u64,
    first_error: Option<String>,
    rps: f64,
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    cpu_us_per_request: f64,
}

impl Tally {
    /// From now on requests count.
    pub(crate) fn open(&self) {
        self.inner.borrow_mut().open = true;
    }

    /// From now on nothing counts, and loops end.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.open = false;
        inner.over = true;
    }

    /// Whether loops should end.
    pub(crate) fn is_over(&self) -> bool {
        let inner = self.inner.borrow();
        inner.over || inner.errors >= ERRORS_MAX
    }

    /// A request that began then was answered as expected.
    pub(crate) fn answered(&self, begun: Instant) {
        let mut inner = self.inner.borrow_mut();
        if inner.open {
            inner.latencies_ns.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// A limit refused a request, which is as it should be.
    pub(crate) fn refused(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.refused += u64::from(inner.open);
    }

    /// A request failed; errors count always, in the warm-up too.
    pub(crate) fn failed(&self, error: &anyhow::Error) {
        let mut inner = self.inner.borrow_mut();
        if inner.over {
            return;
        }
        inner.errors += 1;
        inner.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Sums up a window of this length in which processes spent so much CPU time.
    pub(crate) fn report(self, window: Duration, cpu: Duration) -> Report {
        let Inner { mut latencies_ns, refused, errors, first_error, .. } = self.inner.into_inner();
        latencies_ns.sort_unstable();
        let requests = latencies_ns.len();
        let at = |share: f64| {
            let index = ((requests as f64 * share) as usize).min(requests.saturating_sub(1));
            latencies_ns.get(index).map_or(0.0, |ns| *ns as f64 / 1000.0)
        };
        Report {
            requests,
            refused,
            errors,
            first_error,
            rps: requests as f64 / window.as_secs_f64(),
            p50_us: at(0.50),
            p95_us: at(0.95),
            p99_us: at(0.99),
            cpu_us_per_request: cpu.as_secs_f64() * 1e6 / requests.max(1) as f64,
        }
    }
}

/// The CPU time of all threads of these processes so far.
pub(crate) fn cpu_time(pids: &[u32]) -> Result<Duration> {
    let ticks = pids.iter().map(|pid| ticks_of(*pid)).sum::<Result<u64>>()?;
    Ok(Duration::from_micros(ticks * TICK_US))
}

fn ticks_of(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}: the process is gone"))?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> =
        text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    field(11).zip(field(12)).map(|(user, system)| user + system).with_context(|| format!("{file} is not as expected"))
}
