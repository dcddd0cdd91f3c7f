//! The official conformance suite against the gateway, in both roles.
//!
//! As a server: against the fixture directly and then against the gateway before it, an anonymous loopback toolset of that one
//! server, names as they are, in all four pairings of the client's era and the fixture's. What passes directly in the client's
//! era has to pass through, whatever the fixture speaks. As a client: the suite starts the servers, `suite-client` puts a
//! gateway before them and plays the agent, so that it is the gateway's own client side that is judged.
//!
//! What does not pass is listed check by check in `tests/conformance`, each line with the reason, and a line that has become
//! untrue fails the test as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use patchbay_e2e::{
    Fixture, Installed, TestGateway,
    process::{Outcome as Ended, run, run_long},
    programs::program,
    setup::tenant,
};
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
    /// What is played of the client role: all scenarios that are not about authorization.
    played: &'static [&'static str],
}

const LEGACY: Revision = Revision {
    name: "2025-11-25",
    era: "legacy",
    scenarios: 33,
    scenarios_passed: 33,
    played: &[
        "elicitation-sep1034-client-defaults",
        "initialize",
        "json-schema-2020-12-preservation",
        "sse-retry",
        "tools_call",
    ],
};
const MODERN: Revision = Revision {
    name: "2026-07-28",
    era: "modern",
    scenarios: 50,
    scenarios_passed: 49,
    played: &[
        "http-custom-headers",
        "http-invalid-tool-headers",
        "http-standard-headers",
        "json-schema-2020-12-preservation",
        "json-schema-ref-no-deref",
        "request-metadata",
        "sep-2322-client-request-state",
        "tools_call",
    ],
};

#[tokio::test]
async fn what_passes_directly_in_2025_11_25_passes_through() {
    passes_through(&LEGACY).await;
}

#[tokio::test]
async fn what_passes_directly_in_2026_07_28_passes_through() {
    passes_through(&MODERN).await;
}

#[tokio::test]
async fn the_gateway_is_a_client_of_2025_11_25_as_the_suite_wants_it() {
    plays(&LEGACY);
}

#[tokio::test]
async fn the_gateway_is_a_client_of_2026_07_28_as_the_suite_wants_it() {
    plays(&MODERN);
}

async fn passes_through(revision: &Revision) {
    let Some(installed) = Installed::find() else { return };
    let fixtures = ["legacy", "modern"].map(|era| (era, Fixture::conformance(&["--era", era])));
    let same = fixtures.iter().find(|(era, _)| *era == revision.era).unwrap();
    let direct = suite(&installed, &same.1.url, revision, None);
    let passed = scenarios(&direct).into_iter().filter(|scenario| !fails(&direct, scenario)).count();
    assert_eq!((scenarios(&direct).len(), passed), (revision.scenarios, revision.scenarios_passed), "{direct:#?}");
    let of_direct: BTreeSet<_> =
        direct.iter().filter(|(_, outcome)| **outcome == Outcome::Passed).map(|(check, _)| check.as_str()).collect();

    let mut wrong = Vec::new();
    for (era, fixture) in &fixtures {
        let gateway = gateway_before(fixture).await;
        let url = format!("http://{}{}", gateway.address, TestGateway::path("suite"));
        let listed = expected(&format!("{}-over-{era}", revision.name));
        let through = suite(&installed, &url, revision, Some(&listed.file));
        let passes = |check: &&str| through.get(*check) == Some(&Outcome::Passed);
        // Tasks are an extension of the modern era: before a legacy server there are none.
        let can_be = |check: &&str| *era == "modern" || !check.starts_with("tasks-");
        let lost = of_direct.iter().copied().filter(can_be).filter(|check| !passes(check)).collect();
        say(&format!(
            "{} over a {era} server: {} scenarios; directly {passed} pass, {} checks; through the gateway {} pass, {} checks; \
             {} lines listed",
            revision.name,
            scenarios(&direct).len(),
            of_direct.len(),
            scenarios(&through).into_iter().filter(|scenario| !fails(&through, scenario)).count(),
            through.values().filter(|outcome| **outcome == Outcome::Passed).count(),
            listed.checks.len(),
        ));
        wrong.extend(listed.wrong(&lost));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A gateway before that server alone, which it lets ask everything.
async fn gateway_before(fixture: &Fixture) -> TestGateway {
    let mut server = fixture.server();
    server["asks"] = json!({ "elicitation": true, "sampling": true, "roots": true });
    let mut tenant = tenant("suite", [("fixture", server)]);
    tenant["toolsets"] = json!({ "default": { "servers": ["fixture"], "prefix": "never", "access": "anonymous" } });
    TestGateway::setup().tenant(tenant).start().await
}

/// Plays the client role, one scenario after the other.
fn plays(revision: &Revision) {
    let Some(installed) = Installed::find() else { return };
    assert_eq!(required_of_clients(&installed, revision), revision.played, "the suite has other scenarios");
    let listed = expected(&format!("client-{}", revision.name));
    let (mut checks, mut said) = (Checks::new(), String::new());
    for scenario in revision.played {
        let folder = TempDir::with_prefix("patchbay-e2e-suite-").unwrap();
        let mut command = conformance(&installed, "client", folder.path(), Some(&listed.file));
        let agent = program("suite-client");
        // The agent looks for the gateway where we do.
        command.env("PATCHBAY_TEST_BIN_DIR", agent.parent().unwrap());
        command.arg("--command").arg(agent).args(["--scenario", scenario, "--spec-version", revision.name]);
        let outcome = run(&mut command);
        let before = checks.len();
        read_results(folder.path(), "", &mut checks);
        assert!(checks.len() > before, "{scenario} wrote no results: {outcome:?}");
        if outcome.code != 0 {
            said = format!("{said}--- {scenario}\n{}{}", outcome.out, outcome.err);
        }
    }
    let failed: BTreeSet<_> =
        checks.iter().filter(|(_, outcome)| **outcome == Outcome::Failed).map(|(check, _)| check.as_str()).collect();
    say(&format!(
        "{} as a client: {} scenarios, {} checks pass, {} fail; {} lines listed",
        revision.name,
        revision.played.len(),
        checks.values().filter(|outcome| **outcome == Outcome::Passed).count(),
        failed.len(),
        listed.checks.len(),
    ));
    // A check that was not come to is as the suite has it: neither lost nor won.
    let absent = listed.checks.iter().map(String::as_str).filter(|check| !checks.contains_key(*check));
    let wrong = listed.wrong(&failed.iter().copied().chain(absent).collect());
    assert!(wrong.is_empty() && said.is_empty(), "{}\n{said}", wrong.join("\n"));
}

/// The scenarios of the client role that the suite requires of that revision or runs besides, but for those about
/// authorization and about extensions.
fn required_of_clients(installed: &Installed, revision: &Revision) -> Vec<String> {
    let entry = installed.module("@modelcontextprotocol/conformance/dist/index.js");
    let args = ["list".as_ref(), "--requirements".as_ref(), revision.name.as_ref()];
    let text = installed.output(&installed.node, [&[entry.as_os_str()][..], &args].concat());
    let (mut here, mut extension) = (false, false);
    let mut found = Vec::new();
    for line in text.lines() {
        match line.trim().strip_prefix("- ") {
            None if line.trim().is_empty() => here = false,
            None => {
                here |= line.starts_with("Client scenarios");
                extension = line.trim().starts_with("extension");
            }
            Some(scenario) => {
                let (name, besides) = scenario.split_once(" [").map_or((scenario, ""), |(name, rest)| (name, rest));
                if (here || (besides == "client]" && !extension)) && !name.starts_with("auth/") {
                    found.push(name.to_owned());
                }
            }
        }
    }
    found.sort();
    found
}

/// The suite's program in that role.
fn conformance(installed: &Installed, role: &str, results: &Path, expected: Option<&Path>) -> Command {
    let entry = installed.module("@modelcontextprotocol/conformance/dist/index.js");
    let mut command = installed.command(&installed.node, [entry]);
    command.arg(role).arg("--output-dir").arg(results);
    if let Some(expected) = expected {
        command.arg("--expected-failures").arg(expected);
    }
    command
}

/// Runs the suite against a server and gives what it found out. With a list of expected failures its own verdict has to be good
/// too.
fn suite(installed: &Installed, url: &str, revision: &Revision, expected: Option<&Path>) -> Checks {
    let folder = TempDir::with_prefix("patchbay-e2e-suite-").unwrap();
    let mut command = conformance(installed, "server", folder.path(), expected);
    let Ended { code, out, err } = run_long(command.args(["--url", url, "--requirements", revision.name]));
    assert!(code == 0, "the suite is not content with {url}: {out}\n{err}");
    let mut checks = Checks::new();
    read_results(folder.path(), "server-", &mut checks);
    assert!(!checks.is_empty(), "the suite wrote no results: {out}");
    checks
}

/// Reads the folders of all scenarios, `{prefix}{scenario}-{time}`.
fn read_results(folder: &Path, prefix: &str, checks: &mut Checks) {
    for entry in fs::read_dir(folder).unwrap() {
        read_scenario(&entry.unwrap().path(), prefix, checks);
    }
}

fn read_scenario(folder: &Path, prefix: &str, checks: &mut Checks) {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap();
    let scenario = name.strip_prefix(prefix).and_then(|name| name.split_at_checked(name.len() - TIME.len()));
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

impl Expected {
    /// What is lost and not listed, and what is listed and not lost.
    fn wrong(&self, lost: &BTreeSet<&str>) -> Vec<String> {
        let file = self.file.display();
        let unlisted = lost.iter().filter(|check| !self.checks.contains(**check));
        let stale = self.checks.iter().filter(|check| !lost.contains(check.as_str()));
        let unlisted = unlisted.map(|check| format!("{check} does not pass, and is not in {file}"));
        unlisted.chain(stale.map(|check| format!("{check} of {file} is not true any more: delete the line"))).collect()
    }
}

/// Reads the list of that name. Every line names one check and says after `#` why it does not pass.
fn expected(name: &str) -> Expected {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let file = folder.join(format!("expected-{name}.yml"));
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
