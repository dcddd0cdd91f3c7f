//! The load client: one job in, as JSON in the only argument, one line of JSON out. `cargo xtask bench` starts it.
//!
//! `http.rs` and `stdio.rs` measure calls, `sql.rs` a plain database driver, `hold.rs` keeps sessions open, `listen.rs` streams of changes, `start.rs` measures how long a start takes.

mod connection;
mod hold;
mod http;
mod job;
mod listen;
mod measure;
mod sql;
mod start;
mod stdio;

use std::io::Write;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::job::Job;

fn main() -> Result<()> {
    let text = std::env::args().nth(1).context("expected one argument: the job, as JSON")?;
    let job: Job = serde_json::from_str(&text).context("the job is not as expected")?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")?;
    match job {
        Job::Http(job) => say(&runtime()?.block_on(http::run(&job))?),
        Job::Hold(job) => runtime()?.block_on(hold::run(&job)),
        Job::Listen(job) => runtime()?.block_on(listen::run(&job)),
        Job::Stdio(job) => say(&stdio::run(&job)?),
        Job::Sql(job) => say(&runtime()?.block_on(sql::run(&job))?),
        Job::Start(job) => say(&start::run(&job)?),
    }
}

/// One thread, so that the client costs as little as it can and leaves the rest to what is measured.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn say(value: &impl serde::Serialize) -> Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}
