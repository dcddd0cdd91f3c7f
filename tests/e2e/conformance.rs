//! The official conformance suite, server role, against the fixture directly and then against the gateway before it: an
//! anonymous loopback toolset of that one server, names as they are, the same era on both sides. What passes directly has to
//! pass through. What does not yet is listed check by check in `tests/conformance`, each line with the reason, and a line
//! that has become untrue fails the test as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use patchbay_e2e::{Fixture, Installed, TestGateway, process::run, setup::tenant};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How a check ended. One that has several outcomes in one run counts as its worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    /// Informed, or skipped since the server does not offer what would be checked.
    Neither,
    Failed,
}

/// The outcomes of one run, by `scenario:check`.
type Checks = BTreeMap<String, Outcome>;

/// What a revision's run consists of, so that a suite that runs less than it should is seen.
struct Revision {
    name: &'static str,
    era: &'static str,
    scenarios: usize,
    /// The scenarios that pass directly; the others are of extensions that the fixture has not.
    scenarios_passed: usize,
}

const LEGACY: Revision = Revision { name: "2025-11-25", era: "legacy", scenarios: 33, scenarios_passed: 33 };
const MODERN: Revision = Revision { name: "2026-07-28", era: "modern", scenarios: 50, scenarios_passed: 41 };

#[tokio::test]
async fn what_passes_directly_in_2025_11_25_passes_through() {
    passes_through(&LEGACY).await;
}

#[tokio::test]
async fn what_passes_directly_in_2026_07_28_passes_through() {
    passes_through(&MODERN).await;
}

async fn passes_through(revision: &Revision) {
    let Some(installed) = Installed::find() else { return };
    let fixture = Fixture::conformance(&["--era", revision.era]);
    let direct = suite(&installed, &fixture.url, revision, None);
    let passed = scenarios(&direct).into_iter().filter(|scenario| !fails(&direct, scenario)).count();
    assert_eq!((scenarios(&direct).len(), passed), (revision.scenarios, revision.scenarios_passed), "{direct:#?}");

    let mut tenant = tenant("suite", [("fixture", fixture.server())]);
    tenant["toolsets"] = json!({ "default": { "servers": ["fixture"], "prefix": "never", "access": "anonymous" } });
    let gateway = TestGateway::setup().tenant(tenant).start().await;
    let url = format!("http://{}{}", gateway.address, TestGateway::path("suite"));
    let listed = expected(revision);
    let through = suite(&installed, &url, revision, Some(&listed.file));
    let passed_through = |check: &&String| through.get(*check) == Some(&Outcome::Passed);
    let of_direct: Vec<_> = direct.iter().filter(|(_, outcome)| **outcome == Outcome::Passed).collect();
    let lost: BTreeSet<_> = of_direct.iter().map(|(check, _)| *check).filter(|check| !passed_through(check)).collect();
    say(&format!(
        "{}: {} scenarios; directly {passed} pass, {} checks; through the gateway {} pass, {} checks; {} lines listed",
        revision.name,
        scenarios(&direct).len(),
        of_direct.len(),
        scenarios(&through).into_iter().filter(|scenario| !fails(&through, scenario)).count(),
        through.values().filter(|outcome| **outcome == Outcome::Passed).count(),
        listed.checks.len(),
    ));
    let file = listed.file.display();
    let unlisted: Vec<_> = lost.iter().filter(|check| !listed.checks.contains(**check)).collect();
    assert!(unlisted.is_empty(), "these pass directly, not through the gateway, and are not in {file}: {unlisted:#?}");
    let stale: Vec<_> = listed.checks.iter().filter(|check| !lost.contains(check)).collect();
    assert!(stale.is_empty(), "these lines of {file} are not true any more, delete them: {stale:#?}");
}

/// Runs the suite and gives what it found out. With a list of expected failures its own verdict has to be good too.
fn suite(installed: &Installed, url: &str, revision: &Revision, expected: Option<&Path>) -> Checks {
    let folder = TempDir::with_prefix("patchbay-e2e-suite-").unwrap();
    let entry = installed.module("@modelcontextprotocol/conformance/dist/index.js");
    let mut command = installed.command(&installed.node, [entry]);
    command.args(["server", "--url", url, "--requirements", revision.name, "--output-dir"]).arg(folder.path());
    if let Some(expected) = expected {
        command.arg("--expected-failures").arg(expected);
    }
    let outcome = run(&mut command);
    assert!(outcome.code == 0, "the suite is not content with {url}: {}\n{}", outcome.out, outcome.err);
    let mut checks = Checks::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        read_scenario(&entry.unwrap().path(), &mut checks);
    }
    assert!(!checks.is_empty(), "the suite wrote no results: {}", outcome.out);
    checks
}

/// Reads the folder of one scenario, `server-{scenario}-{time}`.
fn read_scenario(folder: &Path, checks: &mut Checks) {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap();
    let scenario = name.strip_prefix("server-").and_then(|name| name.split_at_checked(name.len() - TIME.len()));
    let scenario = scenario.unwrap_or_else(|| panic!("no folder of a scenario: {name}")).0;
    let found: Vec<Value> = serde_json::from_slice(&fs::read(folder.join("checks.json")).unwrap()).unwrap();
    for check in found {
        let outcome = match check["status"].as_str() {
            Some("SUCCESS") => Outcome::Passed,
            Some("INFO" | "SKIPPED") => Outcome::Neither,
            _ => Outcome::Failed,
        };
        let known = checks.entry(format!("{scenario}:{}", check["id"].as_str().unwrap())).or_insert(outcome);
        *known = outcome.max(*known);
    }
}

/// The form of the time at the end of a folder's name.
const TIME: &str = "-2026-07-28T00-00-00-000Z";

fn scenarios(checks: &Checks) -> BTreeSet<&str> {
    checks.keys().filter_map(|check| check.split(':').next()).collect()
}

fn fails(checks: &Checks, scenario: &str) -> bool {
    checks.iter().any(|(check, outcome)| check.split(':').next() == Some(scenario) && *outcome == Outcome::Failed)
}

/// The file of expected failures, in the suite's own format.
struct Expected {
    file: PathBuf,
    checks: BTreeSet<String>,
}

/// Reads the list. Every line names one check and says after `#` why it does not pass.
fn expected(revision: &Revision) -> Expected {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let file = folder.join(format!("expected-{}.yml", revision.name));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("- "));
    let checks = lines.map(|line| {
        let (check, why) = line.split_once(" # ").unwrap_or_else(|| panic!("why does {line} not pass?"));
        assert!(check.contains(':') && !why.trim().is_empty(), "expected `scenario:check # why`, found {line}");
        check.trim().to_owned()
    });
    Expected { checks: checks.collect(), file }
}

#[expect(clippy::print_stdout, reason = "the numbers are for whoever reads the tests' output")]
fn say(text: &str) {
    println!("{text}");
}
