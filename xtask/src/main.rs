//! The project's own commands: `cargo xtask test | ci | bench | soak`.
//!
//! Here the command line is read; each command lives in the file of its name. Nothing of this ships with the gateway.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "these commands talk to the person who runs them")]

mod apt;
mod bench;
mod ci;
mod clients;
mod process;
mod services;
mod suites;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, tests and measures Patchbay.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all suites against a private PostgreSQL and Redis and the official clients.
    Test(suites::Args),
    /// Runs the suites with their long variants whole.
    Soak(suites::Args),
    /// Checks formatting, lints, documentation and tidiness, then runs all suites.
    Ci,
    /// Measures Patchbay beside nginx and beside no proxy at all.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    process::end_in_order_when_interrupted()?;
    match Args::parse().command {
        Command::Test(args) => suites::run(&args, suites::Length::Sampled),
        Command::Soak(args) => suites::run(&args, suites::Length::Whole),
        Command::Ci => ci::run(),
        Command::Bench(args) => bench::run(&args),
    }
}
