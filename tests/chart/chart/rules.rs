//! What every rendering has to hold to: the checklist of a workload that may run in production, one rule for each sentence. A rule
//! comes with a way to break it, and has to notice that.

mod eyes;
mod network;
mod pods;
mod scale;
mod secrets;
mod upkeep;
mod wiring;

use serde_json::Value;

use crate::chart::rendered::{Chart, chart, charts};

/// A rule.
pub(crate) struct Rule {
    /// What it wants, as a sentence.
    says: &'static str,
    /// What is wrong.
    finds: fn(&Chart) -> Vec<String>,
    /// How it is broken: a set of values, a kind of object, the place in the first such object, and the JSON that comes there.
    broken: (&'static str, &'static str, &'static str, &'static str),
}

/// Notes a sentence unless something holds.
macro_rules! hold {
    ($found:ident, $holds:expr, $($text:tt)+) => {
        if !$holds {
            $found.push(format!($($text)+));
        }
    };
}
pub(crate) use hold;

fn rules() -> impl Iterator<Item = &'static Rule> {
    [pods::RULES, scale::RULES, network::RULES, secrets::RULES, eyes::RULES, upkeep::RULES, wiring::RULES]
        .into_iter()
        .flatten()
}

#[test]
fn every_rule_holds_for_every_set_of_values() {
    let Some(charts) = charts() else { return };
    let mut findings = Vec::new();
    for chart in charts {
        for rule in rules() {
            findings.extend((rule.finds)(chart).iter().map(|found| format!("{}: {} {found}", chart.set, rule.says)));
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_rule_notices_when_it_is_broken() {
    let mut blind = Vec::new();
    for rule in rules() {
        let (set, kind, at, to) = rule.broken;
        let Some(mut chart) = chart(set) else { return };
        assert!((rule.finds)(&chart).is_empty(), "{set}: {}", rule.says);
        chart.change(kind, at, serde_json::from_str::<Value>(to).unwrap());
        if (rule.finds)(&chart).is_empty() {
            blind.push(format!("{} ({set}: {kind} {at} = {to})", rule.says));
        }
    }
    assert!(blind.is_empty(), "these see nothing:\n{}", blind.join("\n"));
}
