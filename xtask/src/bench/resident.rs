//! What a process costs besides requests: memory at rest and with open sessions, and the time until its first answer.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    fleet::{Fleet, Target},
    load::Load,
};
use crate::process;

/// The names of the two measurements.
pub(super) const MEMORY: &str = "memory";
pub(super) const START: &str = "start";

const SESSIONS: [usize; 2] = [1000, 10_000];
/// Each load client holds at most so many, so that its own limit of open files and its memory stay small.
const SESSIONS_PER_CLIENT: usize = 5000;
const STARTS: usize = 15;
/// What a process gets to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(1500);

/// Resident memory of one target, in KiB.
#[derive(Serialize)]
pub(super) struct Memory {
    pub(super) target: Target,
    pub(super) rest_kib: u64,
    /// How many sessions were open, and what was resident then.
    pub(super) with_sessions_kib: Vec<(usize, u64)>,
}

/// Reads the memory of both proxies at rest and with open sessions. Patchbay starts afresh for it.
pub(super) fn memory(fleet: &mut Fleet, load: &Load) -> Result<Vec<Memory>> {
    if let Some(patchbay) = &mut fleet.patchbay {
        patchbay.stop();
        patchbay.start()?;
    }
    let has_memory = |target: &Target| matches!(target, Target::Nginx | Target::Patchbay);
    let targets: Vec<Target> = fleet.targets().filter(has_memory).collect();
    targets.into_iter().map(|target| of_target(fleet, load, target)).collect()
}

fn of_target(fleet: &Fleet, load: &Load, target: Target) -> Result<Memory> {
    let pids = fleet.pids(target)?;
    thread::sleep(SETTLE);
    let rest_kib = resident_kib(&pids)?;
    let place = fleet.place(target, "legacy", "/legacy/calls", "legacy")?;
    let mut with_sessions_kib = Vec::new();
    for sessions in SESSIONS {
        let mut guards = Vec::new();
        let mut left = sessions;
        while left > 0 {
            let part = left.min(SESSIONS_PER_CLIENT);
            guards.push(load.hold(&json!({"mode": "hold", "target": place, "sessions": part}))?);
            left -= part;
        }
        thread::sleep(SETTLE);
        process::check_interrupted()?;
        let kib = resident_kib(&pids)?;
        println!("{MEMORY}: {:8} {rest_kib} KiB at rest, {kib} KiB with {sessions} sessions", target.name());
        with_sessions_kib.push((sessions, kib));
    }
    Ok(Memory { target, rest_kib, with_sessions_kib })
}

/// The sum over the processes; pages that nginx's workers share count for each of them.
pub(super) fn resident_kib(pids: &[u32]) -> Result<u64> {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().map(|pid| of(pid).with_context(|| format!("process {pid} is gone"))).sum()
}

#[derive(Deserialize)]
struct Starts {
    first_answer_us: Vec<u64>,
}

/// How long Patchbay takes from its start to the first answered list, each time; nothing without Patchbay.
pub(super) fn start(fleet: &mut Fleet, load: &Load) -> Result<Vec<u64>> {
    let place = match &mut fleet.patchbay {
        Some(patchbay) => {
            patchbay.stop();
            fleet.place(Target::Patchbay, "modern", "", "lists")?
        }
        None => return Ok(Vec::new()),
    };
    let command = fleet.patchbay.as_ref().map(|patchbay| patchbay.serve_command()).unwrap_or_default();
    let job = json!({"mode": "start", "command": command, "target": place, "tries": STARTS});
    let starts: Starts = load.run(&job)?;
    println!("{START}: first answers after {:?} µs", starts.first_answer_us);
    Ok(starts.first_answer_us)
}
