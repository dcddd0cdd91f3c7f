//! The rooms inside of the crates, read from the sources: which words may stand where. A rule that has to give way gets its
//! place in the list here, with the commit that says why.

use crate::{Source, names, nothing_of, sources};

/// What may be named where, and why.
struct Rule {
    /// Any of these words.
    words: &'static [&'static str],
    /// Where the rule looks; tests are left out. A folder ends with a slash.
    within: &'static [&'static str],
    /// Where the words may stand.
    allowed: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        words: &["axum::", "hyper::", "hyper_util::", "tower_http::", "http_body::"],
        within: &["proxy/src/"],
        allowed: &["proxy/src/edge/", "proxy/src/edge.rs"],
        why: "only the edge knows HTTP; other rooms get values",
    },
    Rule {
        words: &["sqlx::"],
        within: &["proxy/", "config/", "builtin-tools/"],
        allowed: &["proxy/store/"],
        why: "rows and SQL stay in the store",
    },
    Rule {
        words: &["redis::"],
        within: &["proxy/", "config/", "builtin-tools/"],
        allowed: &["proxy/limit/"],
        why: "only the limiter speaks Redis",
    },
    Rule {
        words: &["rmcp::"],
        within: &["proxy/", "config/"],
        allowed: &["proxy/downstream/"],
        why: "the relay owns its JSON-RPC layer; the SDK serves built-in tools and nothing on the way of a call",
    },
    Rule {
        words: &["MemoryLimiter", "RedisLimiter"],
        within: &["proxy/src/"],
        allowed: &["proxy/src/app.rs"],
        why: "app.rs alone chooses the back ends",
    },
    Rule {
        words: &["StoreTarget::Postgres", "StoreTarget::Sqlite", "patchbay_store::open"],
        within: &["proxy/src/"],
        // The sample of the first start is only for the embedded store; the DB explorer must not read the store's own file.
        allowed: &["proxy/src/app.rs", "proxy/src/cli/quickstart.rs", "proxy/src/control/builtins.rs"],
        why: "app.rs alone chooses the back ends; elsewhere the store is a trait",
    },
    Rule {
        words: &["HttpDownstream", "StdioDownstream", "BuiltinDownstream"],
        within: &["proxy/src/"],
        allowed: &["proxy/src/control/servers.rs", "proxy/src/app.rs"],
        why: "from a server's row to its connection there is one place; elsewhere a server is a `dyn Downstream`",
    },
    Rule {
        words: &["jsonwebtoken::", "aws_lc_rs::"],
        within: &["proxy/", "config/", "builtin-tools/"],
        // Towards servers the gateway is a client, and signs what it says of itself.
        allowed: &["proxy/token/", "proxy/downstream/src/http/oauth/"],
        why: "tokens are judged in one place; elsewhere there is what was found of them",
    },
    Rule {
        words: &["ring::signature"],
        within: &["proxy/", "config/", "builtin-tools/"],
        allowed: &["proxy/src/audit/signer.rs"],
        why: "the audit's checkpoints are signed and verified in one place",
    },
    Rule {
        words: &["Principal::of_token", "Principal::of_key"],
        within: &["proxy/src/"],
        allowed: &["proxy/src/auth.rs", "proxy/src/auth/token.rs"],
        why: "holding a principal is the proof of having signed in, so only auth makes one",
    },
    Rule {
        words: &["patchbay_downstream", "patchbay_store", "hyper::", "reqwest::"],
        within: &["proxy/token/src/"],
        allowed: &[],
        why: "what judges tokens asks a `Fetch` for documents; where one may go is the transport's",
    },
    Rule {
        words: &["tenants.publish(", "tenants.remove("],
        within: &["proxy/src/"],
        allowed: &["proxy/src/control/", "proxy/src/control.rs"],
        why: "only control publishes; requests read",
    },
    Rule {
        words: &["patchbay_store", "app.store"],
        within: &[
            "proxy/src/dispatch/",
            "proxy/src/dispatch.rs",
            "proxy/src/auth/",
            "proxy/src/auth.rs",
            "proxy/src/outbound.rs",
            "proxy/src/admission.rs",
            "proxy/src/tenancy.rs",
            "proxy/src/caller.rs",
            "proxy/src/bridge.rs",
            "proxy/src/error.rs",
        ],
        // Admins are no callers: their keys are looked up at each request, so that a revoked one is refused everywhere at once. And
        // what a person answered counts once over all replicas: that is asked of the store, with an end.
        allowed: &["proxy/src/auth/admin.rs", "proxy/src/auth/bootstrap.rs", "proxy/src/dispatch/state/claims.rs"],
        why: "no call waits for the store: what a request needs is in memory",
    },
    Rule {
        words: &["crate::edge", "edge::session", "mcp_session_id", "mcp-session-id"],
        within: &["proxy/src/"],
        // The command line asks the admin API in process where no gateway is named.
        allowed: &[
            "proxy/src/edge/",
            "proxy/src/edge.rs",
            "proxy/src/lib.rs",
            "proxy/src/app.rs",
            "proxy/src/run.rs",
            "proxy/src/cli/api.rs",
            "proxy/src/cli/api/remote.rs",
        ],
        why: "nothing below the edge knows that sessions exist, and no step goes back to it",
    },
    Rule {
        words: &["crate::dispatch", "crate::edge", "crate::control", "crate::app"],
        within: &[
            "proxy/src/audit/",
            "proxy/src/audit.rs",
            "proxy/src/metrics.rs",
            "proxy/src/metrics/",
            "proxy/src/telemetry/",
            "proxy/src/telemetry.rs",
            "proxy/src/error.rs",
            "proxy/src/worker.rs",
            "proxy/src/bridge.rs",
            "proxy/src/caller.rs",
        ],
        allowed: &[],
        why: "what all rooms use knows none of them",
    },
    Rule {
        words: &["std::fs", "std::net::Tcp", "std::process", "std::env::", "std::thread", "SystemTime", "Instant::now"],
        within: &["proxy/core/src/", "builtin-tools/sql-policy/src/"],
        // What tests and the fuzzer share; it makes the stack that the judge was promised.
        allowed: &["builtin-tools/sql-policy/src/invariants.rs"],
        why: "the core and the policy are values and functions: no I/O and no clock; time is handed in",
    },
    Rule {
        words: &["sqlparser::"],
        within: &["proxy/", "config/", "builtin-tools/"],
        allowed: &["builtin-tools/sql-policy/"],
        why: "SQL is judged in one place; elsewhere there are judged statements",
    },
    Rule {
        words: &["patchbay_sql_policy::"],
        within: &["proxy/", "config/", "builtin-tools/src/db/sqlite.rs", "builtin-tools/src/db/sqlite/"],
        allowed: &[],
        why: "the policy judges PostgreSQL; SQLite has an authorizer of its own",
    },
    Rule {
        words: &["tokio_postgres::"],
        within: &["proxy/", "config/", "builtin-tools/"],
        // The options name the driver's settings, and the program connects to make the sample.
        allowed: &["builtin-tools/src/db/"],
        why: "the second driver of PostgreSQL stays in the DB explorer; the store has sqlx",
    },
    Rule {
        words: &["unsafe {"],
        within: &["proxy/", "config/", "builtin-tools/"],
        allowed: &["proxy/src/audit/segment.rs", "proxy/downstream/src/stdio/process.rs", "builtin-tools/src/db/"],
        why: "unsafe code stays in the few places that need it: the mapped spool, the fork of a child, SQLite's own interface",
    },
];

fn findings_of(rule: &Rule, sources: &[Source]) -> Vec<String> {
    let looked_at = sources.iter().filter(|source| !source.is_test() && source.is_under(rule.within));
    let mut count = 0;
    let mut findings = Vec::new();
    for source in looked_at {
        count += 1;
        if source.is_under(rule.allowed) {
            continue;
        }
        let found = rule.words.iter().filter(|word| names(&source.product, word));
        findings.extend(found.map(|word| format!("{} names `{word}`: {}", source.path, rule.why)));
    }
    assert!(count > 0, "the rule on {:?} looks at no file: correct its places", rule.words);
    findings
}

#[test]
fn every_word_stands_in_its_room() {
    let sources = sources();
    let findings: Vec<_> = RULES.iter().flat_map(|rule| findings_of(rule, &sources)).collect();
    nothing_of(&findings);
}

#[test]
fn places_that_rules_allow_exist() {
    let sources = sources();
    let places = RULES.iter().flat_map(|rule| rule.allowed.iter().chain(rule.within));
    let gone = places.filter(|place| !sources.iter().any(|source| source.is_under(&[**place])));
    let findings: Vec<_> =
        gone.map(|place| format!("{place} is in a rule and not in the repository: correct the rule")).collect();
    nothing_of(&findings);
}

#[test]
fn nothing_reads_a_folder_outside_of_the_repository() {
    // In two halves, since this file is looked at as well.
    let outside = ["..", "shared"].join("/");
    let found = sources().into_iter().filter(|source| source.text.contains(&outside) && !source.is_test());
    let findings: Vec<_> = found
        .map(|source| {
            format!(
                "{} reads {outside}, which is not in a checkout: bring what is needed into the repository",
                source.path
            )
        })
        .collect();
    nothing_of(&findings);
}

#[test]
fn a_rule_finds_what_breaks_it() {
    let text = "use axum::Router;\n";
    let source = |path: &str| Source { path: path.to_owned(), text: text.to_owned(), product: text.to_owned() };
    let found = |path: &str| findings_of(&RULES[0], &[source(path)]);
    assert_eq!(
        found("proxy/src/dispatch/call.rs"),
        ["proxy/src/dispatch/call.rs names `axum::`: only the edge knows HTTP; other rooms get values"]
    );
    assert!(found("proxy/src/edge/operations.rs").is_empty());
}
