//! The arrows between the crates, read from the manifests: which package of the workspace, and which heavy library, may stand
//! in whose `Cargo.toml`.

use std::collections::BTreeMap;

use crate::{nothing_of, read};

/// A package, its manifest, and the packages of the workspace that it may depend on.
const PACKAGES: [(&str, &str, &[&str]); 11] = [
    ("patchbay-core", "proxy/core/Cargo.toml", &[]),
    ("patchbay-config", "config/Cargo.toml", &["patchbay-core"]),
    ("patchbay-store", "proxy/store/Cargo.toml", &["patchbay-core"]),
    ("patchbay-limit", "proxy/limit/Cargo.toml", &["patchbay-core"]),
    ("patchbay-downstream", "proxy/downstream/Cargo.toml", &["patchbay-core"]),
    ("patchbay-token", "proxy/token/Cargo.toml", &["patchbay-core"]),
    ("patchbay-sql-policy", "builtin-tools/sql-policy/Cargo.toml", &[]),
    ("patchbay-builtin-tools", "builtin-tools/Cargo.toml", &["patchbay-sql-policy"]),
    (
        "patchbay",
        "proxy/Cargo.toml",
        &[
            "patchbay-core",
            "patchbay-config",
            "patchbay-store",
            "patchbay-limit",
            "patchbay-downstream",
            "patchbay-token",
            "patchbay-builtin-tools",
        ],
    ),
    (
        "patchbay-e2e",
        "tests/Cargo.toml",
        &[
            "patchbay",
            "patchbay-core",
            "patchbay-config",
            "patchbay-store",
            "patchbay-limit",
            "patchbay-downstream",
            "patchbay-token",
            "patchbay-builtin-tools",
        ],
    ),
    ("xtask", "xtask/Cargo.toml", &[]),
];

/// A library, the packages that may have it, and why no other.
const FENCED: [(&str, &[&str], &str); 15] = [
    ("axum", &["patchbay"], "only the edge knows HTTP frameworks"),
    ("tower", &["patchbay"], "only the edge knows HTTP frameworks"),
    ("tower-http", &["patchbay"], "only the edge knows HTTP frameworks"),
    ("sqlx", &["patchbay-store", "patchbay-e2e"], "rows and SQL stay in the store"),
    ("redis", &["patchbay-limit"], "only the limiter speaks Redis"),
    (
        "rusqlite",
        &["patchbay-builtin-tools"],
        "the DB explorer is the one that needs SQLite's authorizer; the store has sqlx",
    ),
    (
        "tokio-postgres",
        &["patchbay-builtin-tools", "patchbay-e2e"],
        "the DB explorer is the one that needs portals and a stream of its own; the store has sqlx",
    ),
    ("tokio-postgres-rustls", &["patchbay-builtin-tools"], "it goes with the driver"),
    ("sqlparser", &["patchbay-sql-policy"], "SQL is judged in one place, by one version of the parser"),
    (
        "reqwest",
        &["patchbay", "patchbay-builtin-tools"],
        "the command line asks gateways elsewhere and the weather tools fetch; servers are reached by our own client",
    ),
    (
        "rmcp",
        &["patchbay-downstream", "patchbay-builtin-tools", "patchbay-e2e"],
        "the relay owns its JSON-RPC layer: the SDK is for built-in servers and for tests",
    ),
    (
        "rustls",
        &["patchbay", "patchbay-downstream", "patchbay-limit", "patchbay-builtin-tools", "patchbay-e2e"],
        "TLS is that of the transport towards servers, of the way to Redis, of the drivers of built-in tools, and of the command line; tests choose it for the SDK's client",
    ),
    (
        "jsonwebtoken",
        &["patchbay-token", "patchbay-downstream"],
        "tokens are judged in one place, and the gateway's own assertions signed in one; everybody else has what was found",
    ),
    ("clap", &["patchbay", "patchbay-builtin-tools", "patchbay-e2e", "xtask"], "a library has no command line"),
    (
        "anyhow",
        &["patchbay", "patchbay-builtin-tools", "patchbay-e2e", "xtask"],
        "a library says what went wrong in an enum of its own",
    ),
];

/// Nothing that waits, connects, logs or opens files belongs into the core.
const NOT_IN_CORE: [&str; 14] = [
    "async-trait",
    "axum",
    "dashmap",
    "hyper",
    "hyper-util",
    "memmap2",
    "nix",
    "rusqlite",
    "socket2",
    "tokio",
    "tokio-util",
    "tower",
    "tracing",
    "tracing-subscriber",
];

/// All that the policy may have besides tests: what judges a statement has to be small enough to be read whole.
const POLICY: [&str; 2] = ["sqlparser", "thiserror"];

/// The names that stand in the dependency tables of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    in_tables(manifest, |table| table.ends_with("dependencies"))
}

/// Those of a kind of tables; it is given the table's name without that of a dependency.
fn in_tables(manifest: &str, is_wanted: fn(&str) -> bool) -> Vec<String> {
    let mut is_table = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            // `[dependencies.name]` says the same in another way.
            match table.split_once("dependencies.") {
                Some((before, name)) if is_wanted(&format!("{before}dependencies")) => found.push(name.to_owned()),
                _ => is_table = is_wanted(table),
            }
        } else if let Some((name, _)) = line.split_once('=').filter(|_| is_table && !line.starts_with('#')) {
            found.push(name.trim().split('.').next().unwrap_or_default().trim_matches('"').to_owned());
        }
    }
    found
}

fn all() -> BTreeMap<&'static str, (&'static str, Vec<String>)> {
    PACKAGES.iter().map(|(package, path, _)| (*package, (*path, dependencies(&read(path))))).collect()
}

#[test]
fn every_member_of_the_workspace_is_in_the_plan() {
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let members: Vec<_> = members.split('"').skip(1).step_by(2).collect();
    let missing =
        members.iter().filter(|member| PACKAGES.iter().all(|(_, path, _)| *path != format!("{member}/Cargo.toml")));
    let findings: Vec<_> = missing
        .map(|member| {
            format!(
                "{member} is a new crate: a new border needs its arrows in PACKAGES, and a line in docs/architecture.md"
            )
        })
        .collect();
    nothing_of(&findings);
    assert_eq!(members.len(), PACKAGES.len());
}

/// The packages of the workspace in a manifest that this package must not use.
fn forbidden(package: &str, path: &str, allowed: &[&str], manifest: &str) -> Vec<String> {
    let names = dependencies(manifest).into_iter();
    let ours = names.filter(|name| PACKAGES.iter().any(|(known, ..)| known == name) && !allowed.contains(&&**name));
    let sentence = |name: String| {
        format!(
            "{path}: {package} must not use {name}: the arrows are core ← config, store, limit, downstream, token ← patchbay ← e2e, and sql-policy ← builtin-tools ← patchbay"
        )
    };
    ours.map(sentence).collect()
}

#[test]
fn crates_use_only_those_below_them() {
    let findings = PACKAGES.iter().flat_map(|(package, path, allowed)| forbidden(package, path, allowed, &read(path)));
    nothing_of(&findings.collect::<Vec<_>>());
}

#[test]
fn a_sideways_arrow_is_found() {
    let (package, path, allowed) = PACKAGES[2];
    let broken = format!("{}patchbay-limit.workspace = true\n", read(path));
    let findings = forbidden(package, path, allowed, &broken);
    assert!(findings.len() == 1 && findings[0].contains("patchbay-store must not use patchbay-limit"), "{findings:?}");
}

#[test]
fn heavy_libraries_stay_behind_their_fence() {
    let mut findings = Vec::new();
    for (package, (path, names)) in all() {
        for (library, allowed, why) in FENCED {
            if names.iter().any(|name| name == library) && !allowed.contains(&package) {
                findings.push(format!("{path}: {library} is only for {}: {why}", allowed.join(", ")));
            }
        }
    }
    nothing_of(&findings);
}

#[test]
fn the_core_waits_for_nothing() {
    let names = dependencies(&read("proxy/core/Cargo.toml"));
    let found = names.iter().filter(|name| NOT_IN_CORE.contains(&name.as_str()));
    let findings: Vec<_> = found.map(|name| format!("proxy/core/Cargo.toml: {name} is not for the core, which is values and functions: no I/O, no clock, no runtime, no log")).collect();
    nothing_of(&findings);
}

#[test]
fn the_policy_needs_the_parser_and_no_more() {
    let manifest = read("builtin-tools/sql-policy/Cargo.toml");
    let product = |table: &str| table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
    let names = in_tables(&manifest, product);
    assert!(names.iter().any(|name| name == "sqlparser"), "the parser was not found among {names:?}");
    let found = names.iter().filter(|name| !POLICY.contains(&name.as_str()));
    let findings: Vec<_> = found.map(|name| format!("builtin-tools/sql-policy/Cargo.toml: {name} is not for the policy, which is one pure function over a parser's tree: no I/O, no clock, no runtime, no log")).collect();
    nothing_of(&findings);
}

#[test]
fn manifests_are_read_in_all_their_spellings() {
    let manifest = "[dependencies]\na.workspace = true\nb = { path = \"b\" }\n# c = \"1\"\n[dev-dependencies]\n\"d\" = \"1\"\n[lints]\nworkspace = true\n[target.'cfg(unix)'.dependencies.e]\nversion = \"1\"\n";
    assert_eq!(dependencies(manifest), ["a", "b", "d", "e"]);
    assert_eq!(in_tables(manifest, |table| table.ends_with("dev-dependencies")), ["d"]);
    for (package, (path, names)) in all() {
        assert!(
            !names.is_empty(),
            "no dependencies of {package} were found in {path}; the rules would hold for nothing"
        );
    }
}
