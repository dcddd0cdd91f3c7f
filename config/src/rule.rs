//! A limit as files write it, the operator's in `patchbay.yaml` and a tenant's in its own: its fields, what it may say, and how
//! it is written back. Which servers and toolsets a tenant has is checked in `tenant::limits`.

use std::{collections::BTreeMap, time::Duration};

use patchbay_core::{
    Slug,
    limits::{Amount, Applies, Dimension, Gcra, LimitRule, Rate, WhenAway},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Report,
    path::FieldPath,
    tenant::{check_toolset_glob, slugify},
    words::{AwayWord, DimensionWord},
};

/// Limits in one file: with the two that always are, a tenant has as many as it may have.
pub(crate) const FILE_RULES_MAX: usize = 14;

/// The longest name of a limit; refused callers and metrics show it.
const NAME_BYTES_MAX: usize = 40;

/// Names of limits that the gateway has anyway.
const NAMES_TAKEN: [&str; 4] = ["principal", "principal_concurrency", "address", "sign_in"];

/// Limits by their names.
pub(crate) type RuleFiles = BTreeMap<String, RuleFile>;

/// One limit: exactly one of `count` (a rate) and `concurrent` (calls at once) says how much it lets through.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RuleFile {
    /// What it is counted by; each mix of them has a count of its own. Empty: the tenant as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<DimensionWord>", length(max = 6))]
    pub(crate) by: Vec<Dimension>,
    /// Requests in each period in the long run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) count: Option<u32>,
    /// Seconds of a period; absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub(crate) per_s: Option<u32>,
    /// Requests at once after a pause; absent: `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Calls that may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub(crate) concurrent: Option<u32>,
    /// Only what comes through these toolsets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub(crate) toolsets: Vec<String>,
    /// Only calls to these servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub(crate) servers: Vec<String>,
    /// Only calls of these tools: globs over `server/name`, with the server's own names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub(crate) tools: Vec<String>,
    /// What becomes of it while Redis is out of reach.
    #[serde(skip_serializing_if = "is_local")]
    #[schemars(with = "AwayWord")]
    pub(crate) away: WhenAway,
    /// Counts and tells whom it would refuse, and refuses nobody.
    #[serde(skip_serializing_if = "is_no")]
    pub(crate) dry_run: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_local(away: &WhenAway) -> bool {
    *away == WhenAway::Local
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_no(value: &bool) -> bool {
    !*value
}

/// The limits under `field`, those that make no sense left out and reported.
pub(crate) fn lower(report: &mut Report<'_>, field: &FieldPath, files: RuleFiles) -> Vec<LimitRule> {
    let mut rules = Vec::new();
    for (name, file) in files {
        let field = field.key(&name);
        if let Err(why) = check_name(&name) {
            report.meaning(&field, why);
        }
        rules.extend(rule(report, &field, &name, file));
    }
    rules
}

fn rule(report: &mut Report<'_>, field: &FieldPath, name: &str, file: RuleFile) -> Option<LimitRule> {
    let amount = amount(report, field, &file);
    let toolsets = slugs(report, &field.key("toolsets"), &file.toolsets);
    let servers = slugs(report, &field.key("servers"), &file.servers);
    for (at, glob) in file.tools.iter().enumerate() {
        if let Err(why) = check_toolset_glob(glob) {
            report.meaning(&field.key("tools").index(at), why);
        }
    }
    Some(LimitRule {
        name: name.into(),
        by: Dimension::sorted(file.by),
        amount: amount?,
        applies: Applies { toolsets, servers, tools: file.tools },
        away: file.away,
        dry_run: file.dry_run,
    })
}

fn amount(report: &mut Report<'_>, field: &FieldPath, file: &RuleFile) -> Option<Amount> {
    match (file.count, file.concurrent) {
        (Some(count), None) => rate(report, field, file, count).map(Amount::Rate),
        (None, Some(max)) => {
            let of_rates = [("per_s", file.per_s.is_some()), ("burst", file.burst.is_some())];
            for (name, _) in of_rates.into_iter().filter(|(_, given)| *given) {
                let message = "belongs to a limit with `count`; this one has `concurrent`";
                report.meaning(&field.key(name), message);
            }
            Some(Amount::Concurrent(max))
        }
        _ => {
            let misshapen = |name: &str| report.is_misshapen(&field.key(name));
            if !misshapen("count") && !misshapen("concurrent") {
                let message =
                    "expected exactly one of `count` (requests in each period) and `concurrent` (calls at once)";
                report.meaning(field, message);
            }
            None
        }
    }
}

fn rate(report: &mut Report<'_>, field: &FieldPath, file: &RuleFile, count: u32) -> Option<Rate> {
    let period = Duration::from_secs(u64::from(file.per_s.unwrap_or(1)));
    let rate = Rate { count, period, burst: file.burst.unwrap_or(count) };
    let gcra = Gcra::new(rate);
    let most = gcra.capacity_us / gcra.emission_us;
    if most < u64::from(rate.burst) {
        let place = if file.burst.is_some() { field.key("burst") } else { field.clone() };
        let message =
            format!("a burst of {} would take decades to come back at this rate; expected at most {most}", rate.burst);
        report.meaning(&place, message);
        return None;
    }
    Some(rate)
}

fn slugs(report: &mut Report<'_>, field: &FieldPath, names: &[String]) -> Vec<Slug> {
    let mut slugs: Vec<Slug> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match name.parse() {
            Ok(slug) if slugs.contains(&slug) => {
                report.meaning(&field.index(at), format!("`{name}` stands in this list twice; expected it once"));
            }
            Ok(slug) => slugs.push(slug),
            Err(why) => report.meaning(&field.index(at), format!("{why}; `{}` would be one", slugify(name))),
        }
    }
    slugs
}

fn check_name(name: &str) -> Result<(), String> {
    if NAMES_TAKEN.contains(&name) {
        return Err(format!("the gateway has a limit `{name}` anyway; expected another name"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!("expected the name of a limit: 1 to {NAME_BYTES_MAX} characters of a-z, 0-9, `_` and `-`"))
}

impl RuleFile {
    /// The limit as a file has it; what has its default is left out.
    pub(crate) fn of(rule: &LimitRule) -> Self {
        let texts = |slugs: &[Slug]| slugs.iter().map(ToString::to_string).collect();
        let mut file = Self {
            by: rule.by.clone(),
            toolsets: texts(&rule.applies.toolsets),
            servers: texts(&rule.applies.servers),
            tools: rule.applies.tools.clone(),
            away: rule.away,
            dry_run: rule.dry_run,
            ..Self::default()
        };
        match rule.amount {
            Amount::Rate(rate) => {
                let seconds = u32::try_from(rate.period.as_secs()).unwrap_or(u32::MAX);
                file.count = Some(rate.count);
                file.per_s = (seconds != 1).then_some(seconds);
                file.burst = (rate.burst != rate.count).then_some(rate.burst);
            }
            Amount::Concurrent(max) => file.concurrent = Some(max),
        }
        file
    }
}

/// All limits as a file has them.
pub(crate) fn files(rules: &[LimitRule]) -> RuleFiles {
    rules.iter().map(|rule| (rule.name.to_string(), RuleFile::of(rule))).collect()
}
