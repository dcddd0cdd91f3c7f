//! What open streams of changes cost: memory for each, and the CPU time of telling all of them that a list has changed.

use std::{fmt, fs, thread, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    fleet::{Fleet, Target},
    load::{Load, Waiting, median},
    patchbay::CHANGING,
    resident::resident_kib,
};
use crate::process;

/// The name of the measurement.
pub(super) const NAME: &str = "streams";

/// How many are open; the first is the yardstick: what a change costs that nearly nobody listens to.
const STREAMS: [usize; 3] = [1, 1000, 10_000];
/// Each load client holds at most so many.
const STREAMS_PER_CLIENT: usize = 5000;
/// Changes for each of them.
const CHANGES: usize = 5;
/// What a process gets to settle before its memory is read, and after a change.
const SETTLE: Duration = Duration::from_millis(1500);
/// The unit of `/proc/PID/stat` on Linux, for user space always a hundredth of a second.
const TICK_US: f64 = 10_000.0;

/// So many streams.
#[derive(Serialize)]
pub(super) struct Streams {
    streams: usize,
    /// For each stream, its connection included.
    kib_each: f64,
    /// CPU time of the gateway for one change, whatever it does about it.
    change_cpu_us: f64,
    /// From the first stream that was told to the last, in the middle.
    spread_us: f64,
    /// CPU time for each stream and change, beyond what a change costs without listeners.
    fan_out_cpu_us: f64,
}

#[derive(Deserialize)]
struct Round {
    spread_us: f64,
}

/// Measures Patchbay; nothing without it.
pub(super) fn measure(fleet: &mut Fleet, load: &Load) -> Result<Vec<Streams>> {
    match &mut fleet.patchbay {
        None => return Ok(Vec::new()),
        Some(patchbay) => {
            patchbay.stop();
            patchbay.start()?;
        }
    }
    let mut all: Vec<Streams> = Vec::new();
    let mut round = 0;
    for streams in STREAMS {
        let mut found = of_streams(fleet, load, streams, &mut round)?;
        let alone = all.first().map_or(found.change_cpu_us, |first| first.change_cpu_us);
        found.fan_out_cpu_us = (found.change_cpu_us - alone) / streams as f64;
        println!("{found}");
        all.push(found);
    }
    Ok(all)
}

fn of_streams(fleet: &Fleet, load: &Load, streams: usize, round: &mut usize) -> Result<Streams> {
    let patchbay = fleet.patchbay.as_ref().context("Patchbay was left out")?;
    let pids = fleet.pids(Target::Patchbay)?;
    thread::sleep(SETTLE);
    let rest_kib = resident_kib(&pids)?;
    let place = fleet.place(Target::Patchbay, "modern", "", CHANGING)?;
    let mut clients: Vec<Waiting> = Vec::new();
    let mut left = streams;
    while left > 0 {
        let part = left.min(STREAMS_PER_CLIENT);
        clients.push(load.wait(&json!({"mode": "listen", "target": place, "streams": part}))?);
        left -= part;
    }
    thread::sleep(SETTLE);
    let kib = resident_kib(&pids)?.saturating_sub(rest_kib);
    let before = cpu_us(&pids)?;
    let mut spreads = Vec::new();
    for _ in 0..CHANGES {
        process::check_interrupted()?;
        *round += 1;
        clients.iter_mut().try_for_each(Waiting::begin)?;
        patchbay.change(*round)?;
        for client in &mut clients {
            spreads.push(client.end::<Round>()?.spread_us);
        }
        thread::sleep(SETTLE);
    }
    let change_cpu_us = (cpu_us(&pids)? - before) / CHANGES as f64;
    let (kib_each, spread_us) = (kib as f64 / streams as f64, median(spreads));
    Ok(Streams { streams, kib_each, change_cpu_us, spread_us, fan_out_cpu_us: 0.0 })
}

/// The CPU time of all threads of these processes so far.
fn cpu_us(pids: &[u32]) -> Result<f64> {
    let of = |pid: &u32| -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the gateway is gone")?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
        Ok(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * TICK_US)
    };
    pids.iter().map(of).sum()
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { streams, kib_each, change_cpu_us, spread_us, fan_out_cpu_us } = self;
        write!(
            f,
            "{NAME}: {streams} open: {kib_each:.2} KiB each; a change costs {:.1} ms CPU, {fan_out_cpu_us:.1} µs for each stream; \
             told within {:.1} ms of each other",
            change_cpu_us / 1000.0,
            spread_us / 1000.0,
        )
    }
}
