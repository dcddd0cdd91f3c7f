//! A tenant that works quietly, alone and beside one that sends twenty times what its limit lets through: what the second does to
//! the first. Both are on one gateway, with their limits in Redis.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    fleet::{Fleet, Target},
    load::{Load, Measure},
    patchbay::NOISY_PER_S,
};

/// The name of the measurement.
pub(super) const NAME: &str = "noisy-neighbour";

/// How much more than its limit the noisy tenant sends.
const NOISE: f64 = 20.0;
/// What the quiet tenant sends in a second, and over how many connections.
const QUIET: (f64, usize) = (400.0, 8);
const NOISY_CONNECTIONS: usize = 32;
/// How long the noise goes on before and after the window of the other.
const MARGIN_MS: u64 = 1000;

/// One round.
#[derive(Serialize)]
pub(super) struct Neighbour {
    alone_p99_us: f64,
    beside_p99_us: f64,
    noisy_answered: u64,
    noisy_refused: u64,
}

impl Neighbour {
    /// What the noise does.
    pub(super) fn ratio(&self) -> f64 {
        self.beside_p99_us / self.alone_p99_us
    }
}

/// Measures the quiet tenant alone and beside the noisy one, in turns.
pub(super) fn measure(fleet: &Fleet, load: &Load, rounds: usize, seconds: u64) -> Result<Vec<Neighbour>> {
    if fleet.pair.is_none() {
        return Ok(Vec::new());
    }
    let quiet = quiet(fleet, seconds)?;
    let noisy = noisy(fleet, seconds)?;
    (1..=rounds)
        .map(|round| {
            let alone = load.measure(&quiet)?;
            let (beside, noise) = std::thread::scope(|scope| -> Result<(Measure, Measure)> {
                let noise = scope.spawn(|| load.measure(&noisy));
                let beside = load.measure(&quiet)?;
                let noise = noise.join().ok().context("the noise has stopped in a panic")??;
                Ok((beside, noise))
            })?;
            ensure!(noise.refused > noise.requests, "the noisy tenant was hardly refused: nothing was shown");
            println!("{NAME} {round}/{rounds}: alone    {alone}");
            println!("{NAME} {round}/{rounds}: beside   {beside}  ({} refused of the other)", noise.refused);
            Ok(Neighbour {
                alone_p99_us: alone.p99_us,
                beside_p99_us: beside.p99_us,
                noisy_answered: noise.requests,
                noisy_refused: noise.refused,
            })
        })
        .collect()
}

fn act() -> Value {
    json!({"call": {"tool": "small", "bytes_min": 200}})
}

fn quiet(fleet: &Fleet, seconds: u64) -> Result<Value> {
    let place = fleet.place(Target::Governed, "legacy", "/legacy/calls", "legacy")?;
    Ok(json!({"mode": "http", "target": place, "act": act(), "connections": QUIET.1, "per_s": QUIET.0,
        "warmup_ms": MARGIN_MS, "window_ms": seconds * 1000, "pids": fleet.pids(Target::Governed)?}))
}

/// Begins with the other and ends after it.
fn noisy(fleet: &Fleet, seconds: u64) -> Result<Value> {
    let governed = &fleet.pair.as_ref().context("the gateway was left out")?.governed;
    let place = json!({"address": format!("127.0.0.1:{}", governed.port()), "path": "/t/noisy/mcp",
        "bearer": governed.noisy_key(), "bearers": null, "era": "modern"});
    let act = json!({"call": {"tool": "modern_small", "bytes_min": 200}});
    Ok(json!({"mode": "http", "target": place, "act": act, "connections": NOISY_CONNECTIONS,
        "per_s": NOISE * f64::from(NOISY_PER_S), "may_be_refused": true,
        "warmup_ms": MARGIN_MS / 2, "window_ms": seconds * 1000 + MARGIN_MS, "pids": []}))
}
