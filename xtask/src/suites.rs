//! `cargo xtask test` and `cargo xtask soak`: services, clients, one build, then the suites in order, each with its budget.
//!
//! How a suite's own numbers are found is in `suites/runner.rs`. `cargo xtask ci` calls this last.

mod runner;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::ValueEnum;

use self::runner::{Counts, Runner};
use crate::{
    clients, process,
    services::{Environment, Services},
    workspace::{cargo, target},
};

/// A build from nothing on two slow cores.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// Statements that the grammar of the DB explorer's proofs makes in a soak run; a normal run has a sample of them.
const SOAK_STATEMENTS: usize = 100_000;

/// What to run.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only this suite; may be given more than once.
    #[arg(long, value_name = "SUITE")]
    only: Vec<Suite>,
    /// Run only tests whose names contain one of these.
    names: Vec<String>,
}

/// Whether what is long runs as a sample or whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Sampled,
    Whole,
}

/// The suites, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// The tests of every package but the end-to-end one: units, and the shared suites of store and limiter.
    Unit,
    /// The examples in the documentation.
    Doc,
    /// The gateway as its users meet it: real processes, databases and clients.
    E2e,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Doc => "doc",
            Self::E2e => "e2e",
        }
    }

    /// What the suite may take in minutes on two cores before we say so; together less than the 35 of the whole run.
    fn budget_minutes(self, length: Length) -> u64 {
        let sampled = match self {
            Self::Unit => 6,
            Self::Doc => 3,
            Self::E2e => 20,
        };
        if length == Length::Whole { sampled * 6 } else { sampled }
    }

    /// The packages of the suite, as cargo's arguments.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Unit => &["--workspace", "--exclude", "patchbay-e2e"],
            Self::Doc => &["--workspace"],
            Self::E2e => &["--package", "patchbay-e2e"],
        }
    }
}

/// Runs the suites; fails when one test did.
pub(crate) fn run(args: &Args, length: Length) -> Result<()> {
    let wanted = |suite: &Suite| args.only.is_empty() || args.only.contains(suite);
    let suites: Vec<Suite> = [Suite::Unit, Suite::Doc, Suite::E2e].into_iter().filter(wanted).collect();
    let runner = Runner::find();
    let services = Services::start()?;
    let mut environment = services.environment();
    if suites.contains(&Suite::E2e) {
        environment.extend(clients::prepare()?);
    }
    if length == Length::Whole {
        environment.push(("PATCHBAY_TEST_SOAK", "1".into()));
        environment.push(("PATCHBAY_SOAK_STATEMENTS", SOAK_STATEMENTS.to_string().into()));
    }
    environment.push(("PATCHBAY_TEST_BIN_DIR", target().join("debug").into()));
    build(&suites)?;
    let mut total = Counts::default();
    let mut report = Vec::new();
    for suite in suites {
        let begun = Instant::now();
        let counts = run_suite(runner, suite, args, length, &environment)?;
        report.push(line(suite, length, counts, begun.elapsed()));
        total = total + counts;
    }
    println!("\n{}", report.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 { bail!("{} tests failed", total.failed) } else { Ok(()) }
}

/// Builds everything before the first suite, so that the budgets are about testing.
fn build(suites: &[Suite]) -> Result<()> {
    let begun = Instant::now();
    if suites.contains(&Suite::E2e) {
        let packages = ["--package", "patchbay", "--package", "patchbay-builtin-tools", "--package", "patchbay-e2e"];
        process::run(cargo().arg("build").args(packages).arg("--bins"), "cargo build", BUILD_LIMIT)?;
    }
    for suite in suites.iter().filter(|suite| **suite != Suite::Doc) {
        let mut build = cargo();
        build.arg("test").args(suite.packages()).args(["--no-run", "--all-targets"]);
        process::run(&mut build, "cargo test --no-run", BUILD_LIMIT)?;
    }
    println!("built in {}", duration(begun.elapsed()));
    Ok(())
}

fn run_suite(runner: Runner, suite: Suite, args: &Args, length: Length, environment: &Environment) -> Result<Counts> {
    let budget = suite.budget_minutes(length);
    println!("\nsuite {}: budget {budget} minutes", suite.name());
    let prepare = |command: &mut Command| {
        command.envs(environment.iter().map(|(name, value)| (name, value)));
    };
    // A suite that hangs is stopped long after its budget, which only warns.
    let limit = Duration::from_secs(budget * 60 * 3);
    let counts = match suite {
        Suite::Doc => runner::libtest(suite.packages(), &["--doc"], &args.names, limit, prepare)?,
        Suite::Unit | Suite::E2e => runner.tests(suite.packages(), &args.names, limit, prepare)?,
    };
    Ok(counts)
}

fn line(suite: Suite, length: Length, counts: Counts, used: Duration) -> String {
    let budget = suite.budget_minutes(length);
    let Counts { passed, failed } = counts;
    let over = if used > Duration::from_secs(budget * 60) { "  WARNING: over its budget" } else { "" };
    format!(
        "suite {:5} {passed:5} passed {failed:3} failed  {} of {budget} minutes{over}",
        suite.name(),
        duration(used)
    )
}

fn duration(time: Duration) -> String {
    format!("{}m{:02}s", time.as_secs() / 60, time.as_secs() % 60)
}
