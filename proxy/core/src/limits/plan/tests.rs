//! Plans that make no sense are refused with the reason, and every request meets what it should and nothing else.

use super::*;
use crate::limits::Applies;

fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

fn gateway(rules: Vec<LimitRule>) -> GatewayLimits {
    GatewayLimits { principal: Rate::per_second(200, 400), principal_concurrency: 64, rules }
}

fn tenant(rules: Vec<LimitRule>) -> TenantLimits {
    TenantLimits { rules, ..TenantLimits::default() }
}

fn rate(name: &str, by: &[Dimension], burst: u32) -> LimitRule {
    LimitRule {
        name: name.into(),
        by: by.to_vec(),
        amount: Amount::Rate(Rate::per_second(burst, burst)),
        applies: Applies::default(),
        away: WhenAway::Local,
        dry_run: false,
    }
}

fn cap(name: &str, by: &[Dimension]) -> LimitRule {
    LimitRule { amount: Amount::Concurrent(3), ..rate(name, by, 1) }
}

fn at(mut rule: LimitRule, toolsets: &[&str], servers: &[&str], tools: &[&str]) -> LimitRule {
    let slugs = |list: &[&str]| list.iter().map(|text| slug(text)).collect();
    rule.applies = Applies {
        toolsets: slugs(toolsets),
        servers: slugs(servers),
        tools: tools.iter().map(ToString::to_string).collect(),
    };
    rule
}

fn built(gateway_rules: Vec<LimitRule>, tenant_rules: Vec<LimitRule>) -> (LimitPlan, Sieve) {
    LimitPlan::build(&gateway(gateway_rules), &tenant(tenant_rules)).expect("a plan")
}

fn refused(gateway_rules: Vec<LimitRule>, tenant: &TenantLimits) -> LimitError {
    LimitPlan::build(&gateway(gateway_rules), tenant).expect_err("no plan")
}

/// The names of the rules in the set.
fn names(plan: &LimitPlan, set: RuleSet) -> Vec<&str> {
    set.places().map(|place| &*plan.policy(place).name).collect()
}

fn tool<'p>(plan: &'p LimitPlan, sieve: &Sieve, toolset: &str, server: &str, native: &str) -> Vec<&'p str> {
    names(plan, sieve.of_tool(&slug(server), &format!("{server}/{native}")).met.and(sieve.through(&slug(toolset))))
}

fn weighing(weights: &[(&str, u32)], rules: Vec<LimitRule>) -> TenantLimits {
    TenantLimits {
        weights: weights.iter().map(|(glob, weight)| (glob.to_string(), *weight)).collect(),
        ..tenant(rules)
    }
}

#[test]
fn too_many_limits_are_refused_the_gateways_counted_in() {
    let rules = |from: usize, to: usize| (from..to).map(|n| rate(&format!("r{n}"), &[], 9)).collect::<Vec<_>>();
    assert_eq!(refused(rules(0, 8), &tenant(rules(8, 15))), LimitError::TooMany { found: 17 });
    let (plan, _) = built(rules(0, 8), rules(8, 14));
    assert_eq!(plan.rules().len(), RULES_MAX);
    let caps = |count: usize| (0..count).map(|n| cap(&format!("c{n}"), &[])).collect::<Vec<_>>();
    assert_eq!(refused(caps(7), &tenant(vec![cap("x", &[])])), LimitError::TooManyCaps { found: 9 });
    built(caps(7), Vec::new());
}

#[test]
fn a_name_stands_for_one_limit() {
    for (of_gateway, of_tenant) in [("a", "a"), ("b", "principal"), ("b", "principal_concurrency")] {
        let said = refused(vec![rate(of_gateway, &[], 1)], &tenant(vec![rate(of_tenant, &[], 1)]));
        assert_eq!(said, LimitError::NameTaken(of_tenant.into()));
    }
}

#[test]
fn a_glob_that_cannot_be_read_is_said_with_its_limit() {
    let said = refused(Vec::new(), &tenant(vec![at(rate("a", &[], 1), &[], &[], &["s/x["])])).to_string();
    assert!(said.contains("the limit `a`") && said.contains("`s/x[`"), "{said}");
    let said = refused(Vec::new(), &weighing(&[("s/x[", 2)], Vec::new())).to_string();
    assert!(said.contains("the limit `weights`"), "{said}");
}

#[test]
fn the_two_that_always_are_come_first_and_the_tenant_may_set_their_numbers() {
    let limits = TenantLimits {
        principal_per_second: Some(5),
        principal_burst: Some(7),
        principal_concurrency: Some(2),
        ..tenant(vec![rate("ours", &[], 1)])
    };
    let (plan, _) = LimitPlan::build(&gateway(vec![rate("theirs", &[], 1)]), &limits).expect("a plan");
    let places: Vec<&str> = plan.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(places, ["principal", "principal_concurrency", "theirs", "ours"]);
    let five = Rate::per_second(5, 7);
    assert_eq!(plan.policy(0).amount, PlannedAmount::Rate(five, Gcra::new(five)));
    assert_eq!(plan.policy(1).amount, PlannedAmount::Concurrent(2));
    assert!(plan.rules()[..2].iter().all(|rule| rule.by == [Dimension::Principal] && !rule.dry_run));
}

#[test]
fn lists_meet_rates_alone_and_only_those_that_ask_for_no_server_and_no_tool() {
    use Dimension::{Key, Server, Tool, Toolset};
    let rules = vec![
        rate("all", &[], 9),
        rate("key", &[Key], 9),
        rate("toolset", &[Toolset], 9),
        rate("server", &[Server], 9),
        rate("tool", &[Tool], 9),
        at(rate("one_server", &[], 9), &[], &["a"], &[]),
        at(rate("some_tools", &[], 9), &[], &[], &["a/get*"]),
        cap("cap", &[]),
        at(cap("tool_cap", &[]), &[], &["a"], &["*/get*"]),
    ];
    let (plan, sieve) = built(rules, Vec::new());
    let (t, a, b) = (slug("t"), slug("a"), slug("b"));
    assert_eq!(names(&plan, sieve.for_toolset(&t)), ["principal", "all", "key", "toolset"]);
    let call = ["principal", "principal_concurrency", "all", "key", "toolset", "server"];
    assert_eq!(names(&plan, sieve.for_server(&t, &b)), [&call[..], &["cap"]].concat());
    assert_eq!(names(&plan, sieve.for_server(&t, &a)), [&call[..], &["one_server", "cap"]].concat());
    assert_eq!(tool(&plan, &sieve, "t", "b", "get"), [&call[..], &["tool", "cap"]].concat());
    assert_eq!(tool(&plan, &sieve, "t", "a", "put"), [&call[..], &["tool", "one_server", "cap"]].concat());
    let all = [&call[..], &["tool", "one_server", "some_tools", "cap", "tool_cap"]].concat();
    assert_eq!(tool(&plan, &sieve, "t", "a", "get_it"), all);
}

#[test]
fn a_rule_for_a_toolset_is_not_met_through_another() {
    let rules = vec![
        at(rate("ci", &[], 9), &["ci", "nightly"], &[], &[]),
        at(cap("ci_cap", &[]), &["ci"], &[], &[]),
        at(rate("ci_tool", &[], 9), &["ci"], &[], &["*/get"]),
    ];
    let (plan, sieve) = built(Vec::new(), rules);
    let at = |toolset: &str| {
        let (toolset, server) = (slug(toolset), slug("s"));
        let sets = [sieve.for_toolset(&toolset), sieve.for_server(&toolset, &server)];
        let mut found = sets.map(|set| names(&plan, set)).concat();
        found.extend(tool(&plan, &sieve, toolset.as_str(), "s", "get"));
        found.retain(|name| name.starts_with("ci"));
        found
    };
    assert_eq!(at("ci"), ["ci", "ci", "ci_cap", "ci", "ci_cap", "ci_tool"]);
    assert_eq!(at("nightly"), ["ci", "ci", "ci"]);
    assert!(at("default").is_empty());
}

#[test]
fn the_first_glob_that_matches_says_what_a_tool_weighs() {
    let limits = weighing(&[("s/get_big", 30), ("s/get_*", 0), ("*/del*", 5), ("s/*", 7)], Vec::new());
    let (_, sieve) = LimitPlan::build(&gateway(Vec::new()), &limits).expect("a plan");
    let cost = |server: &str, native: &str| sieve.of_tool(&slug(server), &format!("{server}/{native}")).cost;
    let costs = [cost("s", "get_big"), cost("s", "get_a"), cost("s", "del"), cost("s", "put"), cost("o", "put")];
    assert_eq!(costs, [30, 0, 5, 7, 1]);
}

#[test]
fn a_weight_that_a_limit_never_lets_through_is_refused_where_the_words_tell() {
    let heavy = |glob: &str, rule: LimitRule| {
        LimitPlan::build(&gateway(Vec::new()), &weighing(&[(glob, 11)], vec![rule])).err().map(|error| match error {
            LimitError::TooHeavy { tool, weight, limit, burst } => (tool, weight, limit.to_string(), burst),
            other => panic!("{other}"),
        })
    };
    let some = |glob: &str| Some((glob.to_owned(), 11, "r".to_owned(), 10));
    assert_eq!(heavy("s/*", rate("r", &[], 10)), some("s/*"));
    assert_eq!(heavy("s/*", rate("r", &[], 11)), None);
    assert_eq!(heavy("s/*", LimitRule { dry_run: true, ..rate("r", &[], 10) }), None);
    assert_eq!(heavy("s/*", cap("r", &[])), None);
    assert_eq!(heavy("s/*", at(rate("r", &[], 10), &[], &["o"], &[])), None);
    assert_eq!(heavy("s/*", at(rate("r", &[], 10), &[], &["o", "s"], &[])), some("s/*"));
    assert_eq!(heavy("*/x", at(rate("r", &[], 10), &[], &["o"], &[])), some("*/x"));
    assert_eq!(heavy("s/get", at(rate("r", &[], 10), &["t"], &[], &["s/g*"])), some("s/get"));
    assert_eq!(heavy("s/put", at(rate("r", &[], 10), &[], &[], &["s/g*"])), None);
    assert_eq!(heavy("s/g*", at(rate("r", &[], 10), &[], &[], &["o/*", "s/g*"])), some("s/g*"));
    let said = refused(Vec::new(), &weighing(&[("s/*", 401)], Vec::new()));
    assert!(said.to_string().contains("the limit `principal`, which is 400"), "{said}");
}

#[test]
fn a_tool_that_turns_out_too_heavy_takes_all_of_the_tightest_burst() {
    let rules = vec![at(rate("r", &[], 10), &[], &[], &["s/get_*"]), at(rate("q", &[], 20), &[], &[], &["*_all"])];
    let limits = weighing(&[("s/*_all", 30)], rules);
    let (_, sieve) = LimitPlan::build(&gateway(Vec::new()), &limits).expect("a plan");
    let toll = |native: &str| sieve.of_tool(&slug("s"), &format!("s/{native}"));
    assert_eq!((toll("get_all").cost, toll("get_all").too_heavy), (10, Some((30, "r".into()))));
    assert_eq!((toll("get_one").cost, toll("get_one").too_heavy), (1, None));
}

#[test]
fn a_limit_of_nothing_stays_shut_for_whoever_pays() {
    let shut = LimitRule { amount: Amount::Rate(Rate::per_second(0, 5)), ..rate("shut", &[], 1) };
    let (_, sieve) = built(vec![shut], Vec::new());
    assert_eq!(sieve.of_tool(&slug("s"), "s/x").cost, 1);
}

fn met<'a>(toolset: &'a Slug, key: Option<u128>, server: Option<u128>, tool: Option<&'a str>) -> Met<'a> {
    Met {
        tenant: TenantId::from_bits(1),
        principal: [7; 16],
        key: key.map(KeyId::from_bits),
        toolset,
        server: server.map(ServerId::from_bits),
        tool,
    }
}

#[test]
fn keys_are_made_of_exactly_what_a_limit_is_counted_by() {
    use Dimension::{Key, Principal, Server, Tenant, Tool, Toolset};
    let all = Dimension::ALL;
    let rules = vec![
        rate("tenant", &[], 9),
        rate("key", &[Key], 9),
        rate("toolset", &[Tenant, Toolset], 9),
        rate("server", &[Server], 9),
        rate("tool", &[Tool], 9),
        rate("all", &[all[5], all[3], all[0], all[1], all[2], all[4], all[1]], 9),
    ];
    let (plan, _) = built(rules, Vec::new());
    assert_eq!(plan.policy(7).by, all);
    let (t, u) = (slug("t"), slug("u"));
    let base = met(&t, Some(1), Some(1), Some("x"));
    let others = [
        (Principal, Met { principal: [8; 16], ..base }),
        (Key, Met { key: Some(KeyId::from_bits(2)), ..base }),
        (Toolset, Met { toolset: &u, ..base }),
        (Server, Met { server: Some(ServerId::from_bits(2)), ..base }),
        (Tool, Met { tool: Some("y"), ..base }),
        (Tenant, Met { tenant: TenantId::from_bits(2), ..base }),
    ];
    for (place, rule) in plan.rules().iter().enumerate() {
        for (dimension, other) in others {
            // A tool is one of a server.
            let counts =
                dimension == Tenant || rule.by.contains(&dimension) || dimension == Server && rule.by.contains(&Tool);
            let same = plan.key(place, &base) == plan.key(place, &other);
            assert_eq!(!same, counts, "`{}` and {}", rule.name, dimension.as_str());
        }
    }
    let mut keys: Vec<_> = (0..plan.rules().len()).map(|place| plan.key(place, &base)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), plan.rules().len());
}

#[test]
fn who_has_no_key_does_not_meet_what_is_counted_by_keys() {
    let (plan, _) = built(vec![rate("key", &[Dimension::Key], 9), rate("tool", &[Dimension::Tool], 9)], Vec::new());
    let t = slug("t");
    assert_eq!(plan.key(2, &met(&t, None, None, None)), None);
    assert!(plan.key(2, &met(&t, Some(1), None, None)).is_some());
    assert!(plan.key(3, &met(&t, None, Some(1), None)).is_none());
    assert!(plan.key(3, &met(&t, None, Some(1), Some("x"))).is_some());
}

#[test]
fn sets_tell_their_places() {
    let set = RuleSet::of(16, |place| place % 5 == 0);
    assert_eq!(set.places().collect::<Vec<_>>(), [0, 5, 10, 15]);
    assert!(set.has(15) && !set.has(14) && !set.has(16) && !set.has(64));
    assert_eq!(RuleSet::default().places().next(), None);
}
