//! Limits and audit in a snapshot: each route knows which rules its calls meet, what they take, and what is recorded of them.

use super::*;
use crate::{
    audit::{AuditArguments, AuditLevel, Keep},
    limits::{Amount, Applies, Dimension, LimitRule, WhenAway},
};

fn rule(name: &str, by: &[Dimension], applies: Applies) -> LimitRule {
    LimitRule {
        name: name.into(),
        by: by.to_vec(),
        amount: Amount::Rate(Rate::per_second(10, 10)),
        applies,
        away: WhenAway::Local,
        dry_run: false,
    }
}

fn tools(globs: &[&str]) -> Applies {
    Applies { tools: strings(globs), ..Applies::default() }
}

fn toolsets(names: &[&str]) -> Applies {
    Applies { toolsets: names.iter().map(|name| slug(name)).collect(), ..Applies::default() }
}

impl Tenant {
    fn rule(mut self, rule: LimitRule) -> Self {
        self.row.limits.rules.push(rule);
        self
    }

    fn weight(mut self, glob: &str, weight: u32) -> Self {
        self.row.limits.weights.push((glob.into(), weight));
        self
    }
}

/// The rules that a call of the tool meets.
fn met(snapshot: &TenantSnapshot, toolset: &str, exposed: &str) -> Vec<String> {
    named(snapshot, snapshot.views[toolset].tools[exposed].limits)
}

fn named(snapshot: &TenantSnapshot, set: RuleSet) -> Vec<String> {
    set.places().map(|place| snapshot.limits.policy(place).name.to_string()).collect()
}

const ALWAYS: [&str; 2] = ["principal", "principal_concurrency"];

#[test]
fn a_route_knows_its_rules_by_toolset_server_and_native_name() {
    let mut tenant = Tenant::new()
        .server("a", &["get", "put"])
        .server("b", &["get"])
        .spec("a", |spec| {
            spec.tools.rename.insert("put".into(), "get_in".into());
        })
        .rule(rule("gets", &[], tools(&["*/get"])))
        .rule(rule("puts", &[], tools(&["a/put"])))
        .rule(rule("exposed", &[], tools(&["*/get_in", "*/a_get"])))
        .rule(rule("other", &[], toolsets(&["other"])))
        .rule(rule("server", &[], Applies { servers: vec![slug("b")], ..Applies::default() }));
    tenant.row.toolsets.push((slug("other"), ToolsetSpec { servers: Some(vec![slug("b")]), ..Default::default() }));
    let snapshot = tenant.snapshot();
    let with = |more: &[&str]| strings(&[&ALWAYS[..], more].concat());
    assert_eq!(met(&snapshot, "default", "a_get"), with(&["gets"]));
    assert_eq!(met(&snapshot, "default", "get_in"), with(&["puts"]));
    assert_eq!(met(&snapshot, "default", "b_get"), with(&["gets", "server"]));
    assert_eq!(met(&snapshot, "other", "b_get"), with(&["gets", "other", "server"]));
    let view = |name: &str| snapshot.views[name].clone();
    assert_eq!(named(&snapshot, view("default").limits), ["principal"]);
    assert_eq!(named(&snapshot, view("other").limits), ["principal", "other"]);
    let of_servers = |name: &str| view(name).server_limits.iter().map(|set| named(&snapshot, *set)).collect::<Vec<_>>();
    assert_eq!(of_servers("default"), [with(&[]), with(&["server"])]);
    assert_eq!(of_servers("other"), [with(&["other"]), with(&["other", "server"])]);
}

#[test]
fn the_view_without_the_tools_that_write_has_the_same_rules() {
    let tenant = Tenant::new()
        .server("a", &["get", "put"])
        .spec("a", |spec| spec.classes.read = strings(&["get"]))
        .toolset(|toolset| toolset.rules.write_groups = strings(&["dev"]))
        .rule(rule("gets", &[Dimension::Tool], tools(&["*/get"])))
        .weight("a/get", 3);
    let view = tenant.view();
    let reading = view.read_only.expect("a view for the others");
    assert_eq!(reading.tools["a_get"], view.tools["a_get"]);
    assert_eq!((reading.tools["a_get"].limits, reading.tools["a_get"].cost), (RuleSet(0b111), 3));
    assert_eq!((reading.limits, &reading.server_limits), (view.limits, &view.server_limits));
}

#[test]
fn a_tool_is_weighed_by_its_native_name_and_too_heavy_ones_are_said() {
    let tenant = Tenant::new()
        .server("a", &["get", "dump_all", "put"])
        .spec("a", |spec| {
            spec.tools.rename.insert("get".into(), "zzz".into());
        })
        .rule(rule("dumps", &[], tools(&["*/dump*"])))
        .weight("a/get", 0)
        .weight("a/zzz", 9)
        .weight("*_all", 50);
    let snapshot = tenant.snapshot();
    let cost = |exposed: &str| snapshot.views["default"].tools[exposed].cost;
    assert_eq!([cost("zzz"), cost("a_dump_all"), cost("a_put")], [0, 10, 1]);
    let said = &snapshot.warnings;
    assert!(said.len() == 1 && said[0].contains("`dump_all`") && said[0].contains("`dumps`"), "{said:#?}");
}

#[test]
fn limits_and_audits_that_make_no_sense_build_nothing() {
    let mut tenant = Tenant::new().server("a", &["get"]).rule(rule("principal", &[], Applies::default()));
    assert!(matches!(tenant.build(), Err(BuildError::Limits(LimitError::NameTaken(_)))));
    tenant.row.limits.rules.clear();
    tenant.row.audit.closed_tools = strings(&["a/["]);
    let said = tenant.build().expect_err("a broken glob").to_string();
    assert!(said.contains("the audit") && said.contains("`a/[`"), "{said}");
    tenant.row.audit.closed_tools.clear();
    tenant.row.audit.keep = vec![Keep { tools: "a/[".into(), arguments: Vec::new() }];
    assert!(tenant.build().is_err());
}

#[test]
fn the_audit_of_a_tool_is_found_by_its_native_name_and_the_first_list_counts() {
    let mut tenant = Tenant::new().server("a", &["get", "put", "del"]).spec("a", |spec| {
        spec.tools.rename.insert("del".into(), "a-get".into());
    });
    let keep = |tools: &str, names: &[&str]| Keep { tools: tools.into(), arguments: strings(names) };
    tenant.row.audit.closed_tools = strings(&["a/del", "a/p*"]);
    tenant.row.audit.keep = vec![keep("a/get", &["id"]), keep("a/[gp]*", &["name", "size"])];
    tenant.row.audit.level = Some(AuditLevel::Sync);
    tenant.options.audit.arguments = AuditArguments::Redacted;
    let snapshot = tenant.snapshot();
    assert_eq!((snapshot.audit.level, snapshot.audit.arguments), (AuditLevel::Sync, AuditArguments::Redacted));
    let view = &snapshot.views["default"];
    let found = |exposed: &str| {
        let audit = &view.tools[exposed].audit;
        (audit.closed, audit.keep.as_deref().map(<[String]>::to_vec))
    };
    assert_eq!(found("a_get"), (false, Some(strings(&["id"]))));
    assert_eq!(found("a_put"), (true, Some(strings(&["name", "size"]))));
    assert_eq!(found("a-get"), (true, None));
}
