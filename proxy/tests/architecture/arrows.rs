//! The arrows between the crates, read from the manifests: which package of the workspace, and which heavy library, may stand
//! in whose `Cargo.toml`.

use std::collections::BTreeMap;

use crate::{nothing_of, read};

/// A package, its manifest, and the packages of the workspace that it may depend on.
const PACKAGES: [(&str, &str, &[&str]); 9] = [
    ("patchbay-core", "proxy/core/Cargo.toml", &[]),
    ("patchbay-config", "config/Cargo.toml", &["patchbay-core"]),
    ("patchbay-store", "proxy/store/Cargo.toml", &["patchbay-core"]),
    ("patchbay-limit", "proxy/limit/Cargo.toml", &["patchbay-core"]),
    ("patchbay-downstream", "proxy/downstream/Cargo.toml", &["patchbay-core"]),
    ("patchbay-builtin-tools", "builtin-tools/Cargo.toml", &[]),
    (
        "patchbay",
        "proxy/Cargo.toml",
        &[
            "patchbay-core",
            "patchbay-config",
            "patchbay-store",
            "patchbay-limit",
            "patchbay-downstream",
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
            "patchbay-builtin-tools",
        ],
    ),
    ("xtask", "xtask/Cargo.toml", &[]),
];

/// A library, the packages that may have it, and why no other.
const FENCED: [(&str, &[&str], &str); 10] = [
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
        "rmcp",
        &["patchbay-downstream", "patchbay-builtin-tools", "patchbay-e2e"],
        "the relay owns its JSON-RPC layer: the SDK is for built-in servers and for tests",
    ),
    ("rustls", &["patchbay-downstream"], "TLS towards servers is the transport's"),
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

/// The names that stand in the dependency tables of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut is_table = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            is_table = table.ends_with("dependencies");
            // `[dependencies.name]` says the same in another way.
            if let Some((_, name)) = table.split_once("dependencies.") {
                found.push(name.to_owned());
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
            "{path}: {package} must not use {name}: the arrows are core ← config, store, limit, downstream ← patchbay ← e2e, and builtin-tools uses none of ours"
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
fn manifests_are_read_in_all_their_spellings() {
    let manifest = "[dependencies]\na.workspace = true\nb = { path = \"b\" }\n# c = \"1\"\n[dev-dependencies]\n\"d\" = \"1\"\n[lints]\nworkspace = true\n[target.'cfg(unix)'.dependencies.e]\nversion = \"1\"\n";
    assert_eq!(dependencies(manifest), ["a", "b", "d", "e"]);
    for (package, (path, names)) in all() {
        assert!(
            !names.is_empty(),
            "no dependencies of {package} were found in {path}; the rules would hold for nothing"
        );
    }
}
