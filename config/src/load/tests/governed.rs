//! The operator's limits, the audit with its sinks, Redis, traces and metrics.

use std::time::Duration;

use patchbay_core::{
    audit::{AuditArguments, AuditLevel, WhenFull},
    limits::{Amount, Dimension, Rate, WhenAway},
};
use secrecy::ExposeSecret;

use super::*;
use crate::SinkKind;

fn one_rule(rule: &str) -> String {
    format!("limits:\n  rules:\n    r: {rule}\n")
}

#[test]
fn each_mistake_in_a_limit_is_said_with_its_place() {
    for (rule, expected) in [
        (
            "{by: [tenant]}",
            "3:5: limits.rules.r: expected exactly one of `count` (requests in each period) and `concurrent` (calls at once)",
        ),
        (
            "{count: 1, concurrent: 1}",
            "3:5: limits.rules.r: expected exactly one of `count` (requests in each period) and `concurrent` (calls at once)",
        ),
        ("{count: 0}", "3:16: limits.rules.r.count: expected a whole number from 1 to 1000000, found 0"),
        (
            "{count: 1, per_s: 0}",
            "3:26: limits.rules.r.per_s: expected a whole number of seconds from 1 to 2592000, found 0",
        ),
        (
            "{count: 1, per_s: 2592000, burst: 1000000}",
            "3:42: limits.rules.r.burst: a burst of 1000000 would take decades to come back at this rate; expected at most 434",
        ),
        (
            "{concurrent: 1, per_s: 2, burst: 3}",
            "3:31: limits.rules.r.per_s: belongs to a limit with `count`; this one has `concurrent`\npatchbay.yaml:3:41: limits.rules.r.burst: belongs to a limit with `count`; this one has `concurrent`",
        ),
        (
            "{count: 1, by: [user]}",
            "3:24: limits.rules.r.by[0]: expected `tenant`, `principal`, `key`, `toolset`, `server` or `tool`, found \"user\"",
        ),
        ("{count: 1, away: shut}", "3:25: limits.rules.r.away: expected `local`, `closed` or `open`, found \"shut\""),
        (
            "{count: 1, tools: [get]}",
            "3:27: limits.rules.r.tools[0]: expected a glob over `server/name`, as in `github/get` or `*/get`",
        ),
        (
            "{count: 1, servers: [A b]}",
            "3:29: limits.rules.r.servers[0]: `A b` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `a-b` would be one",
        ),
        (
            "{count: 1, toolsets: [a, a]}",
            "3:33: limits.rules.r.toolsets[1]: `a` stands in this list twice; expected it once",
        ),
        ("{cuont: 1}", "3:9: limits.rules.r.cuont: no such field; did you mean `count`?"),
    ] {
        assert_eq!(
            complaint(&one_rule(rule), &Environment::default()),
            format!("patchbay.yaml:{expected}"),
            "\n{rule}"
        );
    }
}

#[test]
fn names_that_the_gateway_has_anyway_are_taken() {
    for (name, expected) in [
        ("principal", "the gateway has a limit `principal` anyway; expected another name"),
        ("principal_concurrency", "anyway"),
        ("address", "anyway"),
        ("sign_in", "anyway"),
        ("Big", "expected the name of a limit: 1 to 40 characters of a-z, 0-9, `_` and `-`"),
        ("'a b'", "expected the name of a limit"),
        (&"x".repeat(41), "expected the name of a limit"),
    ] {
        let said = complaint(&format!("limits: {{rules: {{{name}: {{count: 1}}}}}}\n"), &Environment::default());
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn more_limits_than_a_tenant_may_have_are_refused() {
    let rules = |count: usize, what: &str| {
        let rules: String = (0..count).map(|n| format!("    r{n}: {what}\n")).collect();
        format!("limits:\n  rules:\n{rules}")
    };
    let said = complaint(&rules(15, "{count: 1}"), &Environment::default());
    assert!(said.contains("limits.rules: expected at most 14 entries, found 15"), "{said}");
    assert_eq!(yaml(&rules(14, "{count: 1}")).unwrap().limits.tenants.rules.len(), 14);
    let said = complaint(&rules(8, "{concurrent: 1}"), &Environment::default());
    assert!(said.contains("limits.rules: there are 9 limits on calls at once"), "{said}");
}

#[test]
fn a_limit_has_the_defaults_that_its_page_says() {
    let text = "limits:\n  rules:\n    b: {by: [tool, key, tool], count: 5, per_s: 60, tools: ['*/x'], away: closed, dry_run: true}\n    a: {count: 7}\n    c: {concurrent: 3, servers: [s], toolsets: [t], away: open}\n";
    let limits = yaml(text).unwrap().limits;
    let [a, b, c] = &limits.tenants.rules[..] else { panic!("{limits:?}") };
    assert_eq!((&*a.name, a.amount, a.away), ("a", Amount::Rate(Rate::per_second(7, 7)), WhenAway::Local));
    assert!(a.by.is_empty() && a.applies == Default::default() && !a.dry_run);
    let minute = Rate { count: 5, period: Duration::from_secs(60), burst: 5 };
    assert_eq!((&b.by[..], b.amount), (&[Dimension::Key, Dimension::Tool][..], Amount::Rate(minute)));
    assert_eq!((b.applies.tools.as_slice(), b.away, b.dry_run), (&["*/x".to_owned()][..], WhenAway::Closed, true));
    assert_eq!((c.amount, c.away), (Amount::Concurrent(3), WhenAway::Open));
    assert_eq!((c.applies.servers[0].as_str(), c.applies.toolsets[0].as_str()), ("s", "t"));
}

#[test]
fn limits_of_addresses_are_there_unless_they_are_switched_off() {
    let limits = yaml("").unwrap().limits;
    let minute = Rate { count: 60, period: Duration::from_secs(60), burst: 60 };
    assert_eq!(
        (limits.address, limits.failed_sign_ins, limits.headers),
        (Some(Rate::per_second(2000, 4000)), Some(minute), false)
    );
    let variables = env([
        ("PATCHBAY_LIMITS_ADDRESS_PER_SECOND", "0"),
        ("PATCHBAY_LIMITS_FAILED_SIGN_INS_PER_MINUTE", "0"),
        ("PATCHBAY_LIMITS_HEADERS", "true"),
    ]);
    let limits = from_yaml("", "f", Path::new(""), &variables).unwrap().limits;
    assert_eq!((limits.address, limits.failed_sign_ins, limits.headers), (None, None, true));
}

#[test]
fn redis_has_its_patience_and_its_prefix() {
    assert!(yaml("redis: {prefix: x}").unwrap().redis.is_none());
    let redis = yaml("redis: {url: 'redis://:hunter2@h'}").unwrap().redis.unwrap();
    assert_eq!((redis.timeout, redis.prefix.as_str()), (Duration::from_millis(25), "patchbay"));
    assert!(!format!("{redis:?}").contains("hunter2"));
    let redis = yaml("redis: {url: 'rediss://h', timeout_ms: 1000, prefix: 'a:B_c-1'}").unwrap().redis.unwrap();
    assert_eq!((redis.timeout, redis.prefix.as_str()), (Duration::from_secs(1), "a:B_c-1"));
    for (text, expected) in [
        (
            "redis: {timeout_ms: 0}",
            "patchbay.yaml:1:21: redis.timeout_ms: expected a whole number of milliseconds from 1 to 1000, found 0",
        ),
        (
            "redis: {prefix: 'a{b}'}",
            "patchbay.yaml:1:17: redis.prefix: expected characters of A-Z, a-z, 0-9, `:`, `_` and `-`, found \"a{b}\"",
        ),
        ("redis: {prefix: ''}", "patchbay.yaml:1:17: redis.prefix: expected a text that is not empty"),
    ] {
        assert_eq!(complaint(text, &Environment::default()), expected);
    }
}

#[test]
fn each_mistake_in_the_audit_and_in_traces_is_said_and_no_secret_is_shown() {
    let variables = env([("SHORT", "hunter2"), ("LINES", "hunter2\nhunter2hunter2")]);
    for (text, expected) in [
        ("audit: {level: disk}", "1:16: audit.level: expected `sync`, `ack` or `async`, found \"disk\""),
        ("audit: {when_full: drop}", "1:20: audit.when_full: expected `refuse` or `pass`, found \"drop\""),
        (
            "audit: {retention_days: 0}",
            "1:25: audit.retention_days: expected a whole number of days from 1 to 3650, found 0",
        ),
        (
            "audit: {sinks: {S: {kind: otlp, url: 'http://h/'}}}",
            "1:17: audit.sinks.S: `S` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `s` would be one",
        ),
        (
            "audit: {sinks: {s: {kind: syslog, url: 'http://h/'}}}",
            "1:27: audit.sinks.s.kind: expected `webhook` or `otlp`, found \"syslog\"",
        ),
        ("audit: {sinks: {s: {kind: otlp}}}", "1:20: audit.sinks.s.url: expected a text, found nothing"),
        (
            "audit: {sinks: {s: {kind: otlp, url: 'ftp://h/'}}}",
            "1:38: audit.sinks.s.url: expected an http or https address, as in https://mcp.example.org/mcp",
        ),
        (
            "audit: {sinks: {s: {kind: otlp, url: 'http://u:hunter2@h/'}}}",
            "1:38: audit.sinks.s.url: expected an address without user name and password; put them into headers, where they are kept secret",
        ),
        (
            "audit: {sinks: {s: {kind: webhook, url: 'http://h/'}}}",
            "1:17: audit.sinks.s.secret: expected `${env:NAME}` or `${file:PATH}`, found nothing: a webhook's bodies are signed, so that who gets them can tell whose they are",
        ),
        (
            "audit: {sinks: {s: {kind: webhook, url: 'http://h/', secret: '${env:SHORT}'}}}",
            "1:62: audit.sinks.s.secret: expected a secret of at least 16 bytes",
        ),
        (
            "audit: {sinks: {s: {kind: webhook, url: 'http://h/', secret: [hunter2]}}}",
            "1:62: audit.sinks.s.secret: expected a text, found a list",
        ),
        (
            "audit: {sinks: {s: {kind: otlp, url: 'http://h/', secret: hunter2}}}",
            "1:59: audit.sinks.s.secret: belongs to a sink of kind `webhook`; this one is `otlp`, which `headers` open",
        ),
        (
            "audit: {sinks: {s: {kind: otlp, url: 'http://h/', headers: {A: '${env:NO}'}}}}",
            "1:64: audit.sinks.s.headers.A: the environment variable NO is not set",
        ),
        (
            "audit: {sinks: {s: {kind: otlp, url: 'http://h/', headers: {A: '${env:LINES}'}}}}",
            "1:64: audit.sinks.s.headers.A: expected one line without control characters",
        ),
        (
            "audit: {sinks: {s: {kind: otlp, url: 'http://h/', tenants: [A]}}}",
            "1:61: audit.sinks.s.tenants[0]: `A` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit",
        ),
        (
            "traces: {url: collector}",
            "1:15: traces.url: expected an http or https address, as in https://mcp.example.org/mcp",
        ),
        (
            "traces: {headers: {A: hunter2}}",
            "1:1: traces.url: expected the address for which `traces.headers` are, found nothing",
        ),
        (
            "traces: {url: 'http://h', headers: {Host: hunter2}}",
            "1:43: traces.headers.Host: the gateway sets this header itself; leave it out",
        ),
        (
            "traces: {url: 'http://h', headers: {a: b, A: c}}",
            "1:40: traces.headers.a: this header stands here twice, in different spelling; expected it once",
        ),
        ("traces: {sample: 1.5}", "1:18: traces.sample: expected a number from 0 to 1, found 1.5"),
        ("traces: {sample: half}", "1:18: traces.sample: expected a number from 0 to 1, found \"half\""),
        ("metrics: {tools_max: 1001}", "1:22: metrics.tools_max: expected a whole number from 0 to 1000, found 1001"),
    ] {
        let said = complaint(text, &variables);
        assert_eq!(said, format!("patchbay.yaml:{expected}"), "\n{text}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_audit_is_kept_for_ever_in_the_store_alone_unless_it_is_said_otherwise() {
    let audit = yaml("").unwrap().audit;
    let usual = (AuditLevel::Ack, AuditArguments::None, WhenFull::Refuse);
    assert_eq!((audit.defaults.level, audit.defaults.arguments, audit.defaults.when_full), usual);
    assert!(audit.retention_days.is_none() && audit.sinks.is_empty());
    let variables = env([
        ("PATCHBAY_AUDIT_LEVEL", "sync"),
        ("PATCHBAY_AUDIT_ARGUMENTS", "digest"),
        ("PATCHBAY_AUDIT_WHEN_FULL", "pass"),
        ("PATCHBAY_AUDIT_RETENTION_DAYS", "30"),
        ("PATCHBAY_SIEM", "hunter2hunter2hunter2"),
    ]);
    let text = "audit:\n  sinks:\n    siem: {kind: webhook, url: 'https://h/in?a=b', secret: '${env:PATCHBAY_SIEM}', headers: {X-Key: 'k ${env:PATCHBAY_SIEM}'}, tenants: [acme]}\n    otel: {kind: otlp, url: 'http://127.0.0.1:4318/v1/logs'}\n";
    let config = from_yaml(text, "f", Path::new(""), &variables).unwrap();
    let audit = &config.audit;
    let said = (audit.defaults.level, audit.defaults.arguments, audit.defaults.when_full, audit.retention_days);
    assert_eq!(said, (AuditLevel::Sync, AuditArguments::Digest, WhenFull::Pass, Some(30)));
    let siem = &audit.sinks["siem"];
    assert_eq!((siem.kind, siem.url.as_str(), siem.tenants.len()), (SinkKind::Webhook, "https://h/in?a=b", 1));
    assert_eq!(siem.secret.as_ref().map(|secret| secret.expose_secret()), Some("hunter2hunter2hunter2"));
    assert_eq!(siem.headers["X-Key"].expose_secret(), "k hunter2hunter2hunter2");
    let otel = &audit.sinks["otel"];
    assert!(otel.kind == SinkKind::Otlp && otel.secret.is_none() && otel.tenants.is_empty());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn traces_are_made_only_where_somebody_takes_them() {
    assert!(yaml("traces: {sample: 1}").unwrap().traces.is_none());
    for number in ["nan", "inf", "-0.1", "1.0001"] {
        let said = complaint("", &env([("PATCHBAY_TRACES_SAMPLE", number)]));
        assert!(said.ends_with(&format!("expected a number from 0 to 1, found {number:?}")), "{said}");
    }
    assert_eq!(yaml("").unwrap().metrics_tools_max, 0);
    let variables = env([
        ("PATCHBAY_TRACES_URL", "http://127.0.0.1:4318/v1/traces"),
        ("PATCHBAY_TRACES_SAMPLE", "0.25"),
        ("PATCHBAY_TRACES_TRUST_CALLERS", "false"),
        ("PATCHBAY_METRICS_TOOLS_MAX", "10"),
        ("T", "hunter2"),
    ]);
    let config = from_yaml("traces: {headers: {A: '${env:T}'}}", "f", Path::new(""), &variables).unwrap();
    let traces = config.traces.as_ref().unwrap();
    assert_eq!((traces.sample, traces.trust_callers, config.metrics_tools_max), (0.25, false, 10));
    assert_eq!(traces.headers["A"].expose_secret(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    let whole = yaml("traces: {url: 'http://h', sample: 0}").unwrap().traces.unwrap();
    assert_eq!((whole.sample, whole.trust_callers), (0.0, true));
}
