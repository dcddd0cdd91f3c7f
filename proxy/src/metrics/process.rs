//! The process itself: since when it runs, its memory, its files, its time on the processors, and what waits for its workers.
//! Read from the operating system before each scrape; what that does not tell keeps its last number.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike,
};
use prometheus::{Counter, IntGauge, IntGaugeVec};

use super::registry::{Registered, whole};
use crate::worker::WorkerLoad;

/// The metrics of the process.
pub(super) struct Process {
    resident: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    cpu: Counter,
    jobs_waiting: IntGaugeVec,
    jobs_running: IntGaugeVec,
}

impl Process {
    pub(super) fn new(all: &Registered<'_>) -> Self {
        const WORKER: &[&str] = &["worker"];
        all.gauges("patchbay_build_info", "The version that runs.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        all.gauge("patchbay_start_time_seconds", "When the gateway started, in seconds since 1970.")
            .set(whole(now.as_secs()));
        Self {
            resident: all.gauge("patchbay_resident_memory_bytes", "Memory that the process has in RAM."),
            open_fds: all.gauge("patchbay_open_fds", "Files and sockets that the process has open."),
            max_fds: all.gauge("patchbay_max_fds", "Files and sockets that the process may have open."),
            cpu: all.counter_of_seconds("patchbay_cpu_seconds_total", "Time that the process ran on processors."),
            jobs_waiting: all.gauges(
                "patchbay_worker_jobs_waiting",
                "Connections that a worker has been given and has not begun.",
                WORKER,
            ),
            jobs_running: all.gauges(
                "patchbay_worker_jobs_running",
                "Connections that a worker serves, those it has not begun included.",
                WORKER,
            ),
        }
    }

    /// Reads the process anew.
    pub(super) fn look(&self) {
        if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
            self.resident.set(whole(bytes));
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The folder itself is open while it is read.
            self.open_fds.set(whole(entries.count().saturating_sub(1) as u64));
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.max_fds.set(whole(soft));
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let spent = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
            self.cpu.inc_by((spent as f64 / 1e6 - self.cpu.get()).max(0.0));
        }
    }

    pub(super) fn workers(&self, loads: &[WorkerLoad]) {
        for (index, load) in loads.iter().enumerate() {
            let worker = index.to_string();
            self.jobs_waiting.with_label_values(&[&worker]).set(whole(load.waiting as u64));
            self.jobs_running.with_label_values(&[&worker]).set(whole(load.running as u64));
        }
    }
}

/// The resident memory in bytes, by the line of `/proc/self/status` that says it.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nThreads:\t1\n"), Some(12_345 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
