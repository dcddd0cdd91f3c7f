//! `cargo xtask ci`: what a change has to pass. `.ci/run` calls it, and so may everybody before pushing.

use std::{process::Command, time::Duration};

use anyhow::Result;

use crate::{process, suites, tidy, workspace::cargo};

/// The longest that one step before the tests may take, with a cold target folder on two cores.
const STEP_LIMIT: Duration = Duration::from_secs(40 * 60);

/// Runs all checks, the quick ones first, and stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    println!("tidiness");
    tidy::check()?;
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    step("lints", cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", &mut doc)?;
    suites::run(&suites::Args::default(), suites::Length::Sampled)
}

fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("\n{name}");
    process::run(command, name, STEP_LIMIT)
}
