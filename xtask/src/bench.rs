//! `cargo xtask bench`: Patchbay beside nginx and beside no proxy at all, in turns, in one run on one machine.
//!
//! Who takes part is in `bench/fleet.rs`, what is measured in `bench/scenario.rs`, `bench/resident.rs` and `bench/streams.rs`, and what is
//! said about it in `bench/report.rs`. Only `bench/patchbay.rs` knows how Patchbay is configured.

mod databases;
mod fleet;
mod load;
mod neighbour;
mod nginx;
mod patchbay;
mod report;
mod resident;
mod scenario;
mod streams;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::{
    fleet::{Fleet, Target, With},
    load::{Load, Measure},
    report::{Report, Row},
    scenario::{SCENARIOS, Scenario},
};
use crate::{
    process,
    workspace::{cargo, target},
};

/// A release build from nothing, with link-time optimisation, on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only what has this text in its name; may be given more than once. `--list` tells the names.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How long each single measurement lasts.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How many times each measurement is made; the medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also write all numbers to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave Patchbay out, to look at the measuring itself.
    #[arg(long)]
    without_patchbay: bool,
    /// Another build of Patchbay, to be measured beside this one in the same run.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
    /// Measure what the last release build made.
    #[arg(long)]
    no_build: bool,
    /// Tell the names of all measurements and end.
    #[arg(long)]
    list: bool,
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// Measures, prints, and fails only when a measurement could not be made.
pub(crate) fn run(args: &Args) -> Result<()> {
    let names = SCENARIOS.iter().map(|scenario| scenario.name).chain([
        resident::MEMORY,
        streams::NAME,
        resident::START,
        neighbour::NAME,
    ]);
    if args.list {
        names.for_each(|name| println!("{name}"));
        return Ok(());
    }
    ensure!(names.into_iter().any(|name| args.wants(name)), "no measurement has such a name; `--list` tells the names");
    ensure!(args.rounds > 0 && args.seconds > 0, "a measurement takes at least one round of one second");
    raise_open_files()?;
    if !args.no_build {
        build(args)?;
    }
    let bins = target().join("release");
    let load = Load::new(&bins);
    let with_database = SCENARIOS.iter().any(|scenario| scenario.needs_database() && args.wants(scenario.name));
    let with_fresh = |scenario: &&Scenario| scenario.needs_fresh_tokens() && args.wants(scenario.name);
    let fresh = SCENARIOS.iter().filter(with_fresh).count() * args.rounds;
    let pair = args.wants(neighbour::NAME)
        || SCENARIOS.iter().any(|scenario| scenario.needs_pair() && args.wants(scenario.name));
    let with =
        With { patchbay: !args.without_patchbay, before: args.beside.as_deref(), database: with_database, fresh, pair };
    let mut fleet = Fleet::start(&bins, &with)?;
    let mut report = Report::default();
    // First, since what a process holds at rest is to be seen before it has worked.
    if args.wants(resident::MEMORY) {
        report.memory = resident::memory(&mut fleet, &load)?;
    }
    if args.wants(streams::NAME) {
        report.streams = streams::measure(&mut fleet, &load)?;
    }
    for scenario in SCENARIOS.iter().filter(|scenario| args.wants(scenario.name)) {
        report.rows.extend(measure(&fleet, &load, scenario, args)?);
    }
    if args.wants(neighbour::NAME) {
        report.neighbour = neighbour::measure(&fleet, &load, args.rounds, args.seconds)?;
    }
    if args.wants(resident::START) {
        report.start_us = resident::start(&mut fleet, &load)?;
    }
    drop(fleet);
    println!("\n{report}");
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// All targets in turns, round after round, so that a slow moment of the machine meets each of them.
fn measure(fleet: &Fleet, load: &Load, scenario: &Scenario, args: &Args) -> Result<Vec<Row>> {
    let targets: Vec<Target> = fleet.targets().filter(|target| scenario.suits(*target)).collect();
    let mut measures: Vec<Vec<Measure>> = vec![Vec::new(); targets.len()];
    for round in 1..=args.rounds {
        for (target, measures) in targets.iter().zip(&mut measures) {
            let measure = load.measure(&scenario.job(fleet, *target, args.seconds)?)?;
            println!("{} {}/{}: {:8} {measure}", scenario.name, round, args.rounds, target.name());
            measures.push(measure);
        }
    }
    let median = |(target, measures): (Target, Vec<Measure>)| Row::new(scenario, target, Measure::median(&measures));
    Ok(targets.into_iter().zip(measures).map(median).collect())
}

fn build(args: &Args) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "patchbay-e2e", "--bin", "bench-load", "--bin", "bench-origin"]);
    build.args(["--package", "patchbay-builtin-tools", "--bin", "patchbay-tools"]);
    process::run(&mut build, "cargo build of the load client, the origin and the tools", BUILD_LIMIT)?;
    if !args.without_patchbay {
        // Alone, so that no other package adds features to what is measured.
        let mut build = cargo();
        build.args(["build", "--release", "--package", "patchbay"]);
        process::run(&mut build, "cargo build of Patchbay", BUILD_LIMIT)?;
    }
    Ok(())
}

/// Thousands of connections need thousands of files; children inherit the limit.
fn raise_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard).context("cannot raise the limit of open files")
}
