//! Runs the tests of some packages with `cargo nextest` where that is installed, else with `cargo test`, and counts them.

use std::{fs, ops::Add, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    process,
    workspace::{cargo, in_path, root},
};

/// How many tests passed and how many did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

/// What runs the tests.
#[derive(Clone, Copy)]
pub(super) enum Runner {
    Nextest,
    Libtest,
}

impl Runner {
    pub(super) fn find() -> Self {
        if in_path("cargo-nextest").is_some() { Self::Nextest } else { Self::Libtest }
    }

    /// Runs the tests of `packages` whose names contain one of `names`, or all when there are none.
    pub(super) fn tests(
        self,
        packages: &[&str],
        names: &[String],
        limit: Duration,
        prepare: impl Fn(&mut Command),
    ) -> Result<Counts> {
        match self {
            Self::Nextest => nextest(packages, names, limit, prepare),
            Self::Libtest => libtest(packages, &["--all-targets"], names, limit, prepare),
        }
    }
}

/// The counts come from nextest's JUnit file, because its text is for people.
fn nextest(packages: &[&str], names: &[String], limit: Duration, prepare: impl Fn(&mut Command)) -> Result<Counts> {
    // Below the checkout, even when cargo's target folder is elsewhere.
    let junit = root().join("target/nextest/default/junit.xml");
    let _ = fs::remove_file(&junit);
    let mut command = cargo();
    command.args(["nextest", "run", "--profile", "default", "--all-targets", "--no-fail-fast", "--no-tests=pass"]);
    prepare(command.args(packages).args(names));
    let status = process::status(&mut command, "cargo nextest", limit)?;
    let report = fs::read_to_string(&junit)
        .with_context(|| format!("cargo nextest ran no tests ({status}); its own output above says why"))?;
    let counts = count_junit(&report).context("the JUnit file of nextest has no counts at its top")?;
    ensure!(status.success() || counts.failed > 0, "cargo nextest failed ({status}) although no test did; see above");
    Ok(counts)
}

/// Runs `cargo test`; each test binary ends with a line of counts.
pub(super) fn libtest(
    packages: &[&str],
    targets: &[&str],
    names: &[String],
    limit: Duration,
    prepare: impl Fn(&mut Command),
) -> Result<Counts> {
    let mut command = cargo();
    command.arg("test").args(packages).args(targets).args(["--no-fail-fast", "--"]);
    prepare(command.args(names));
    let (status, text) = process::tee(&mut command, "cargo test", limit)?;
    let counts = count_libtest(&text);
    ensure!(status.success() || counts.failed > 0, "cargo test failed ({status}) although no test did; see above");
    Ok(counts)
}

/// Reads `<testsuites name=".." tests="N" failures="N" errors="N" ..>`.
fn count_junit(report: &str) -> Option<Counts> {
    let top = report.split_once("<testsuites")?.1.split_once('>')?.0;
    let number = |name: &str| top.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0.parse::<u64>().ok();
    let failed = number("failures")? + number("errors")?;
    Some(Counts { passed: number("tests")?.saturating_sub(failed), failed })
}

/// Sums lines like `test result: FAILED. 3 passed; 1 failed; 0 ignored; ..`.
fn count_libtest(text: &str) -> Counts {
    let of = |line: &str, word: &str| -> u64 {
        let words: Vec<&str> = line.split([' ', ';', '.']).filter(|w| !w.is_empty()).collect();
        let pair = words.windows(2).find(|pair| pair[1] == word);
        pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
    };
    let results = text.lines().filter(|line| line.starts_with("test result: "));
    results.fold(Counts::default(), |sum, line| sum + Counts { passed: of(line, "passed"), failed: of(line, "failed") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_errors_of_nextest_both_count_as_failed() {
        let report = r#"<?xml version="1.0"?><testsuites name="nextest-run" tests="12" failures="2" errors="1" uuid="x" time="0.1">
            <testsuite name="a" tests="1" failures="0" errors="0"></testsuite></testsuites>"#;
        assert_eq!(count_junit(report), Some(Counts { passed: 9, failed: 3 }));
        assert_eq!(count_junit("<testsuites>"), None);
    }

    #[test]
    fn all_binaries_of_cargo_test_are_summed() {
        let text = "running 4 tests\ntest result: FAILED. 3 passed; 1 failed; 0 ignored; finished in 0.00s\n\
            test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.02s\n";
        assert_eq!(count_libtest(text), Counts { passed: 43, failed: 1 });
        assert_eq!(count_libtest("error: could not compile"), Counts::default());
    }
}
