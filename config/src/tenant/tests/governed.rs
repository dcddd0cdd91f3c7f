//! A tenant's limits and its audit: what people get wrong, what they get, and what of it is a change.

use patchbay_core::{
    audit::{AuditArguments, AuditLevel, WhenFull},
    limits::{Amount, Dimension, Rate, WhenAway},
};

use super::*;

const SERVERS: &str = "tenant: a\nservers:\n  one: {builtin: db}\n  two: {builtin: db}\ntoolsets:\n  ci: {}\n";

#[test]
fn each_mistake_in_limits_is_said_with_its_place() {
    for (limits, expected) in [
        (
            "{rules: {r: {count: 1, servers: [one, too]}}}",
            "limits.rules.r.servers[1]: the tenant has no server \"too\"; did you mean `two`?",
        ),
        (
            "{rules: {r: {count: 1, toolsets: [default, ic]}}}",
            "limits.rules.r.toolsets[1]: the tenant has no toolset \"ic\"; did you mean `ci`?",
        ),
        (
            "{rules: {r: {count: 1, toolsets: [Ci]}}}",
            "limits.rules.r.toolsets[0]: `Ci` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `ci` would be one",
        ),
        (
            "{rules: {principal: {count: 1}}}",
            "limits.rules.principal: the gateway has a limit `principal` anyway; expected another name",
        ),
        ("{rules: {r: {count: x}}}", "limits.rules.r.count: expected a whole number from 1 to 1000000, found \"x\""),
        ("{weights: {one/x: 1001}}", "limits.weights.one/x: expected a whole number from 0 to 1000, found 1001"),
        ("{weights: {x: 1}}", "limits.weights.x: expected a glob over `server/name`, as in `github/x` or `*/x`"),
        (
            "{rules: {r: {count: 9}}, weights: {one/x: 10}}",
            "limits.weights.one/x: weighs 10, more than the burst of the limit `r`, which is 9: it could never be called; expected a lighter weight or a larger burst",
        ),
        (
            "{principal_burst: 5, weights: {'one/*': 6}}",
            "limits.weights.\"one/*\": weighs 6, more than the burst of the limit `principal`, which is 5: it could never be called; expected a lighter weight or a larger burst",
        ),
    ] {
        let said = parse(&format!("{SERVERS}limits: {limits}\n")).map(|_| ()).unwrap_err().to_string();
        assert!(said.ends_with(&format!(": {expected}")) && said.starts_with("acme.yaml:7:"), "{limits}\n{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn more_limits_than_there_may_be_are_refused() {
    let rules = |count: usize, what: &str| {
        let rules: String = (0..count).map(|n| format!("    r{n}: {what}\n")).collect();
        format!("tenant: a\nlimits:\n  rules:\n{rules}")
    };
    let said = parse(&rules(15, "{count: 1}")).unwrap_err().to_string();
    assert!(said.contains("limits.rules: expected at most 14 entries, found 15"), "{said}");
    let said = parse(&rules(8, "{concurrent: 1}")).unwrap_err().to_string();
    assert!(said.contains("limits.rules: there are 9 limits on calls at once"), "{said}");
    assert!(parse(&rules(14, "{count: 1}")).is_ok() && parse(&rules(7, "{concurrent: 1}")).is_ok());
}

#[test]
fn a_server_that_is_wrong_does_not_make_its_limits_wrong_too() {
    let text = "tenant: a\nservers:\n  s: {url: x}\ntoolsets:\n  T: {}\nlimits: {rules: {r: {count: 1, servers: [s], toolsets: [T]}}}\n";
    let errors = parse(text).unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["servers.s.url", "toolsets.T", "limits.rules.r.toolsets[0]"], "{errors}");
}

#[test]
fn each_mistake_in_the_audit_is_said_with_its_place() {
    for (audit, expected) in [
        ("{level: disk}", "audit.level: expected `sync`, `ack` or `async`, found \"disk\""),
        ("{arguments: all}", "audit.arguments: expected `none`, `keys`, `digest` or `redacted`, found \"all\""),
        ("{when_full: drop}", "audit.when_full: expected `refuse` or `pass`, found \"drop\""),
        (
            "{retention_days: 3}",
            "audit.retention_days: no such field; expected `level`, `arguments`, `when_full`, `keep` or `closed_tools`",
        ),
        (
            "{closed_tools: [one/x, 'y']}",
            "audit.closed_tools[1]: expected a glob over `server/name`, as in `github/y` or `*/y`",
        ),
        (
            "{keep: [{tools: 'one/[', arguments: [a]}]}",
            "audit.keep[0].tools: expected a glob, as in `get_*`: unclosed character class; missing ']'",
        ),
        (
            "{keep: [{tools: one/x, arguments: []}]}",
            "audit.keep[0].arguments: expected at least one name of an argument",
        ),
        ("{keep: [{tools: one/x}]}", "audit.keep[0].arguments: expected a list, found nothing"),
        (
            "{arguments: keys, keep: [{tools: one/x, arguments: [a]}]}",
            "audit.keep: would do nothing: only `arguments: redacted` shows values of arguments",
        ),
    ] {
        let said = parse(&format!("{SERVERS}audit: {audit}\n")).map(|_| ()).unwrap_err().to_string();
        assert!(said.ends_with(&format!(": {expected}")) && said.starts_with("acme.yaml:7:"), "{audit}\n{said}");
    }
}

#[test]
fn the_example_means_what_it_says() {
    let env: Environment = [("SEARCH_TOKEN", "s3arch"), ("BILLING_TOKEN", "b1lling")].into_iter().collect();
    let text = include_str!("../../../examples/lyra.yaml");
    let doc = tenant_from_yaml(text, "lyra.yaml", &resolver(&env, Path::new(""))).unwrap();
    let names: Vec<&str> = doc.limits.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["billing", "everybody", "jobs", "refunds", "searches"]);
    let rule = |name: &str| doc.limits.rules.iter().find(|rule| &*rule.name == name).unwrap();
    assert_eq!(rule("everybody").amount, Amount::Rate(Rate::per_second(200, 400)));
    assert_eq!((rule("billing").amount, &rule("billing").by[..]), (Amount::Concurrent(4), &[Dimension::Server][..]));
    assert!(rule("refunds").dry_run && rule("searches").away == WhenAway::Closed);
    let weights: Vec<_> = doc.limits.weights.iter().map(|(glob, weight)| (glob.as_str(), *weight)).collect();
    assert_eq!(weights, [("search/status", 0), ("search/deep_*", 20), ("search/*", 2)]);
    let audit = &doc.audit;
    let said = (audit.level, audit.arguments, audit.when_full);
    assert_eq!(said, (Some(AuditLevel::Sync), Some(AuditArguments::Redacted), Some(WhenFull::Pass)));
    assert_eq!((audit.keep[0].arguments.len(), audit.closed_tools.as_slice()), (2, &["billing/*".to_owned()][..]));
}

#[test]
fn every_word_of_the_schema_is_read_and_every_word_that_is_written_is_in_the_schema() {
    for (field, words) in [
        (
            "limits: {rules: {r: {count: 1, by: [WORD]}}}",
            &["tenant", "principal", "key", "toolset", "server", "tool"][..],
        ),
        ("limits: {rules: {r: {count: 1, away: WORD}}}", &["local", "closed", "open"]),
        ("audit: {level: WORD}", &["sync", "ack", "async"]),
        ("audit: {arguments: WORD}", &["none", "keys", "digest", "redacted"]),
        ("audit: {when_full: WORD}", &["refuse", "pass"]),
    ] {
        for word in words {
            let doc = parse(&format!("tenant: a\n{}\n", field.replace("WORD", word))).unwrap();
            let exported = tenant_to_yaml(&row(&doc));
            assert!(exported.contains(word) || *word == "local", "{exported}");
            assert!(parse(&exported).is_ok(), "{exported}");
        }
    }
}

#[test]
fn the_difference_names_each_limit_and_the_order_of_weights() {
    let before = "tenant: a\nlimits:\n  rules: {x: {count: 5, by: [key]}, y: {concurrent: 2}}\n  weights: {'s/a*': 2, 's/*': 3, 's/z': 4}\naudit: {level: sync}\n";
    let after = "tenant: a\nlimits:\n  rules: {x: {count: 6, by: [key]}, z: {count: 1, dry_run: true}}\n  weights: {'s/*': 3, 's/a*': 2}\naudit: {keep: [{tools: s/a, arguments: [b]}]}\n";
    let (before, after) = (parse(before).unwrap(), parse(after).unwrap());
    let said = diff(Some(&row(&before)), &after);
    let expected = "  tenant a
  - audit.level: \"sync\"
  ~ limits.rules.x.count: 5 → 6
  - limits.rules.y.concurrent: 2
  - limits.weights.s/z: 4
  + audit.keep: [{\"tools\":\"s/a\",\"arguments\":[\"b\"]}]
  + limits.rules.z.count: 1
  + limits.rules.z.dry_run: true
  ~ limits.weights: now in the order s/*, s/a*
";
    assert_eq!(said, expected, "\n{said}");
    assert_eq!(diff(Some(&row(&after)), &after), "  tenant a\n    nothing changes\n");
    assert!(diff(None, &after).contains("  + limits.weights.s/a*: 2\n"));
}

#[test]
fn an_export_leaves_out_what_is_as_usual() {
    let text = "tenant: a\nlimits:\n  rules:\n    r: {by: [tool, principal], count: 5, per_s: 1, burst: 5, away: local, dry_run: false}\n  weights: {'*/b': 0, '*/a': 2}\naudit: {when_full: refuse}\n";
    let exported = tenant_to_yaml(&row(&parse(text).unwrap()));
    assert!(
        exported.ends_with(
            "limits:\n  rules:\n    r:\n      by:\n      - principal\n      - tool\n      count: 5\n  weights:\n    \"*/b\": 0\n    \"*/a\": 2\naudit:\n  when_full: refuse\n"
        ),
        "{exported}"
    );
}
