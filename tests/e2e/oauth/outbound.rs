//! The gateway as a client with an identity of its own, held against the client role of the official conformance suite: the
//! suite starts the servers, `suite-client` puts a gateway before them and plays the agent (`tests/fixtures/suite_client`).
//!
//! Most scenarios of that role are about a user in a browser, whom a gateway has not: of those the part before the login is
//! played, by checks, and the rest of them cannot pass here. Registration, PKCE, `iss` of the authorization response, refresh
//! tokens, and scopes that are asked for in an authorization request are all of that rest.

use std::collections::BTreeMap;

use patchbay_e2e::{Installed, process::run, programs::program};
use serde_json::Value;
use tempfile::TempDir;

/// What has to pass of a scenario.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// All of it, and the suite says so itself.
    Whole,
    /// These checks.
    Checks(&'static [&'static str]),
}

const DISCOVERED: Wanted = Wanted::Checks(&["prm-pathbased-requested", "authorization-server-metadata"]);
const DISCOVERED_AT_THE_ROOT: Wanted = Wanted::Checks(&["authorization-server-metadata"]);

/// The scenarios that say something of a client without a user.
const SCENARIOS: [(&str, Wanted); 8] = [
    ("auth/client-credentials-jwt", Wanted::Whole),
    ("auth/client-credentials-basic", Wanted::Whole),
    ("auth/metadata-default", DISCOVERED),
    ("auth/metadata-var1", DISCOVERED),
    ("auth/metadata-var2", DISCOVERED_AT_THE_ROOT),
    ("auth/metadata-var3", DISCOVERED_AT_THE_ROOT),
    ("auth/resource-mismatch", Wanted::Whole),
    ("auth/metadata-issuer-mismatch", Wanted::Whole),
];

#[test]
fn the_gateway_signs_in_as_itself_as_the_suite_wants_it() {
    let Some(installed) = Installed::find() else { return };
    let mut wrong = BTreeMap::new();
    for (scenario, wanted) in SCENARIOS {
        let (code, checks, said) = play(&installed, scenario);
        let failed: Vec<_> = match wanted {
            Wanted::Whole => {
                let bad = checks.iter().filter(|(_, status)| !matches!(&***status, "SUCCESS" | "INFO"));
                bad.map(|(check, status)| format!("{check}: {status}")).collect()
            }
            Wanted::Checks(wanted) => {
                let lost = wanted.iter().filter(|check| checks.get(**check).is_none_or(|status| status != "SUCCESS"));
                lost.map(|check| format!("{check}: {:?}", checks.get(*check))).collect()
            }
        };
        let whole = matches!(wanted, Wanted::Whole);
        if !failed.is_empty() || checks.is_empty() || (whole && code != 0) {
            wrong.insert(scenario, (code, failed, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Plays a scenario: the suite's exit code, its checks with how they ended, and what was said meanwhile.
fn play(installed: &Installed, scenario: &str) -> (i32, BTreeMap<String, String>, String) {
    let folder = TempDir::with_prefix("patchbay-e2e-suite-").unwrap();
    let entry = installed.module("@modelcontextprotocol/conformance/dist/index.js");
    let agent = program("suite-client");
    let mut command = installed.command(&installed.node, [entry]);
    command.arg("client").arg("--command").arg(&agent).args(["--scenario", scenario, "--output-dir"]);
    // The agent looks for the gateway where we do.
    command.arg(folder.path()).env("PATCHBAY_TEST_BIN_DIR", agent.parent().unwrap());
    let outcome = run(&mut command);
    let mut checks = BTreeMap::new();
    // `auth/{scenario}-{time}` lies in the folder.
    let results = std::fs::read_dir(folder.path().join("auth")).into_iter().flatten().flatten();
    for result in results {
        let text = std::fs::read_to_string(result.path().join("checks.json")).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        for check in found {
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            // A check that has failed once has failed.
            let status = checks.entry(text("id")).or_insert_with(|| text("status"));
            if text("status") == "FAILURE" {
                "FAILURE".clone_into(status);
            }
        }
    }
    (outcome.code, checks, outcome.out + &outcome.err)
}
