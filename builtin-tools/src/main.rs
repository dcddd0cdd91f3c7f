//! `patchbay-tools`: serves one of the built-in tool servers alone on stdio, for clients without the gateway and for
//! tests, and makes the sample database. All protocol goes to stdout, all else to stderr.

mod cli;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(tracing::Level::WARN).init();
    match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With nobody to read stderr there is still the exit code.
            let _ = writeln!(io::stderr(), "patchbay-tools: {error:#}");
            ExitCode::FAILURE
        }
    }
}
