//! Runs the load client and reads what it says; medians over rounds.

use std::{
    fmt,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::process::{self, Guard};

/// No job takes longer.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The load client.
pub(super) struct Load {
    program: PathBuf,
}

/// What one job measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measure {
    pub(super) requests: u64,
    #[serde(default)]
    pub(super) refused: u64,
    pub(super) errors: u64,
    first_error: Option<String>,
    pub(super) rps: f64,
    pub(super) p50_us: f64,
    pub(super) p95_us: f64,
    pub(super) p99_us: f64,
    pub(super) cpu_us_per_request: f64,
}

impl Load {
    pub(super) fn new(bins: &Path) -> Self {
        Self { program: bins.join("bench-load") }
    }

    /// Runs a job to its end; wrong answers make it fail.
    pub(super) fn measure(&self, job: &Value) -> Result<Measure> {
        let measure: Measure = self.run(job)?;
        let error = measure.first_error.as_deref().unwrap_or_default();
        ensure!(measure.errors == 0, "{} of the answers were wrong, the first one so: {error}", measure.errors);
        ensure!(measure.requests > 0, "nothing was answered");
        Ok(measure)
    }

    /// Runs a job to its end.
    pub(super) fn run<T: DeserializeOwned>(&self, job: &Value) -> Result<T> {
        let text = process::output(Command::new(&self.program).arg(job.to_string()), "the load client", LIMIT)
            .with_context(|| format!("the job was {job}"))?;
        serde_json::from_str(&text).context("the load client's report is not as expected")
    }

    /// Starts a job that holds what it opened; it lets go when the guard is dropped.
    pub(super) fn hold(&self, job: &Value) -> Result<Guard> {
        Ok(self.wait(job)?.guard)
    }

    /// The same, when it can be told to go on.
    pub(super) fn wait(&self, job: &Value) -> Result<Waiting> {
        let mut command = Command::new(&self.program);
        command.arg(job.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = Guard::start(&mut command, "the load client")?;
        let pipe = guard.child().stdout.take().context("the pipe was asked for above")?;
        let mut line = String::new();
        let mut answers = BufReader::new(pipe);
        answers.read_line(&mut line)?;
        ensure!(line.starts_with("{\"held\":"), "not all of them could be opened; the reason stands above");
        Ok(Waiting { guard, answers })
    }
}

/// A job that waits for lines and answers each with one.
pub(super) struct Waiting {
    guard: Guard,
    answers: BufReader<ChildStdout>,
}

impl Waiting {
    /// Says that a round begins.
    pub(super) fn begin(&mut self) -> Result<()> {
        let input = self.guard.child().stdin.as_mut().context("the pipe was asked for")?;
        writeln!(input, "round")?;
        Ok(())
    }

    /// What is said at its end.
    pub(super) fn end<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).context("the load client gave up; the reason stands above")
    }
}

impl Measure {
    /// Each number's median over the rounds.
    pub(super) fn median(measures: &[Self]) -> Self {
        let of = |number: fn(&Self) -> f64| median(measures.iter().map(number).collect());
        Self {
            requests: measures.iter().map(|measure| measure.requests).sum(),
            refused: measures.iter().map(|measure| measure.refused).sum(),
            errors: measures.iter().map(|measure| measure.errors).sum(),
            first_error: None,
            rps: of(|measure| measure.rps),
            p50_us: of(|measure| measure.p50_us),
            p95_us: of(|measure| measure.p95_us),
            p99_us: of(|measure| measure.p99_us),
            cpu_us_per_request: of(|measure| measure.cpu_us_per_request),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rps, p50_us, p95_us, p99_us, cpu_us_per_request: cpu, .. } = self;
        write!(f, "{rps:9.0}/s  p50 {p50_us:8.1}  p95 {p95_us:8.1}  p99 {p99_us:8.1} µs  cpu {cpu:7.2} µs")
    }
}

/// The middle one.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        count if count % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(median(vec![]), 0.0);
    }
}
