//! A tenant's limits made ready for requests: the rules by their places, and the keys under which they count. Which requests
//! meet which rules is decided by the [`Sieve`] that is made with the plan, while the snapshot is built; a request only makes
//! the keys of those that it meets.

use std::{collections::HashSet, sync::Arc};

use super::{Amount, Dimension, GatewayLimits, Gcra, LimitKey, LimitRule, Rate, Sieve, WhenAway};
use crate::{KeyId, ServerId, Slug, TenantId, filter::FilterError, model::TenantLimits};

/// The most rules that a tenant may have, the gateway's and the two that always are counted in: a [`RuleSet`] has as many bits.
/// So many rates fit into one question to a limiter (`CHARGES_MAX` of `patchbay-limit`).
pub const RULES_MAX: usize = 16;

/// The most of them that may be caps on calls at once (`PLACES_MAX` of `patchbay-limit`).
pub const CAPS_MAX: usize = 8;

/// The most dimensions that one rule can be counted by, a tool's two parts counted.
const PARTS_MAX: usize = Dimension::ALL.len() + 1;

/// All limits of a tenant, in the order of their places: `principal`, `principal_concurrency`, the gateway's, the tenant's own.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitPlan {
    rules: Box<[Planned]>,
}

/// One limit, ready for counting.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Its name.
    pub name: Arc<str>,
    /// What it is counted by: sorted, each once. Empty is the tenant alone.
    pub by: Vec<Dimension>,
    /// How much it lets through.
    pub amount: PlannedAmount,
    /// While the counts of all replicas are out of reach.
    pub away: WhenAway,
    /// Whether it refuses nobody.
    pub dry_run: bool,
}

/// How much a limit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedAmount {
    /// A rate as it was written, and ready for computing.
    Rate(Rate, Gcra),
    /// So many calls at once.
    Concurrent(u32),
}

/// Some of a plan's rules, a bit for each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RuleSet(pub u32);

/// What is known of a request when its limits are counted.
#[derive(Debug, Clone, Copy)]
pub struct Met<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who calls.
    pub principal: [u8; 16],
    /// The API key, if it is one.
    pub key: Option<KeyId>,
    /// Through which toolset.
    pub toolset: &'a Slug,
    /// To which server, for calls.
    pub server: Option<ServerId>,
    /// Which tool, by its native name, for calls of tools.
    pub tool: Option<&'a str>,
}

/// Limits that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There are too many.
    #[error(
        "there are {found} limits, those of the gateway and the two that always are counted in; expected at most {RULES_MAX}"
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Too many of them are caps on calls at once.
    #[error(
        "there are {found} limits on calls at once, those of the gateway and `principal_concurrency` counted in; expected at \
         most {CAPS_MAX}"
    )]
    TooManyCaps {
        /// How many.
        found: usize,
    },
    /// A tool weighs more than a limit lets through at once.
    #[error(
        "`{tool}` weighs {weight}, more than the burst of the limit `{limit}`, which is {burst}: it could never be called; \
         expected a lighter weight or a larger burst"
    )]
    TooHeavy {
        /// The glob.
        tool: String,
        /// Its weight.
        weight: u32,
        /// The limit.
        limit: Arc<str>,
        /// What it lets through at once.
        burst: u32,
    },
    /// A glob cannot be read.
    #[error("the limit `{limit}`: {source}")]
    Glob {
        /// The limit, or `weights`.
        limit: Arc<str>,
        /// What is wrong.
        source: FilterError,
    },
    /// Two limits have one name.
    #[error(
        "two limits are called `{0}`; the names `principal` and `principal_concurrency` are taken, and those of the gateway"
    )]
    NameTaken(Arc<str>),
}

impl LimitPlan {
    /// Makes the plan of a tenant, and what says which requests meet which of its rules.
    ///
    /// # Errors
    /// See [`LimitError`].
    pub fn build(gateway: &GatewayLimits, tenant: &TenantLimits) -> Result<(Self, Sieve), LimitError> {
        let written: Vec<LimitRule> = always(gateway, tenant)
            .into_iter()
            .chain(gateway.rules.iter().cloned())
            .chain(tenant.rules.iter().cloned())
            .collect();
        if written.len() > RULES_MAX {
            return Err(LimitError::TooMany { found: written.len() });
        }
        let caps = written.iter().filter(|rule| matches!(rule.amount, Amount::Concurrent(_))).count();
        if caps > CAPS_MAX {
            return Err(LimitError::TooManyCaps { found: caps });
        }
        let mut names = HashSet::new();
        if let Some(twice) = written.iter().find(|rule| !names.insert(&rule.name)) {
            return Err(LimitError::NameTaken(twice.name.clone()));
        }
        let plan = Self { rules: written.iter().map(Planned::of).collect() };
        let sieve = Sieve::compile(&plan, written, &tenant.weights)?;
        Ok((plan, sieve))
    }

    /// The rules, by their places.
    pub fn rules(&self) -> &[Planned] {
        &self.rules
    }

    /// The rule at a place of a [`RuleSet`] of this plan.
    pub fn policy(&self, at: usize) -> &Planned {
        &self.rules[at]
    }

    /// The key under which this rule counts the request; `None` when the request has none of what it is counted by (no API key).
    pub fn key(&self, rule: usize, met: &Met<'_>) -> Option<LimitKey> {
        let rule = &self.rules[rule];
        let key = met.key.map(|key| key.bits().to_be_bytes());
        let server = met.server.map(|server| server.bits().to_be_bytes());
        let mut parts: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
        let mut used = 0;
        let mut add = |part| {
            parts[used] = part;
            used += 1;
        };
        for dimension in &rule.by {
            match dimension {
                // Each key has it anyway.
                Dimension::Tenant => {}
                Dimension::Principal => add(&met.principal),
                Dimension::Key => add(key.as_ref()?),
                Dimension::Toolset => add(met.toolset.as_str().as_bytes()),
                Dimension::Server => add(server.as_ref()?),
                Dimension::Tool => {
                    add(server.as_ref()?);
                    add(met.tool?.as_bytes());
                }
            }
        }
        Some(LimitKey::of(Some(met.tenant), &rule.name, &parts[..used]))
    }
}

/// The two limits that every tenant has.
fn always(gateway: &GatewayLimits, tenant: &TenantLimits) -> [LimitRule; 2] {
    let mut rate = gateway.principal;
    rate.count = tenant.principal_per_second.unwrap_or(rate.count);
    rate.burst = tenant.principal_burst.unwrap_or(rate.burst);
    let concurrent = tenant.principal_concurrency.unwrap_or(gateway.principal_concurrency);
    let rule = |name: &str, amount| LimitRule {
        name: name.into(),
        by: vec![Dimension::Principal],
        amount,
        applies: Default::default(),
        away: WhenAway::Local,
        dry_run: false,
    };
    [rule("principal", Amount::Rate(rate)), rule("principal_concurrency", Amount::Concurrent(concurrent))]
}

impl Planned {
    fn of(rule: &LimitRule) -> Self {
        Self {
            name: rule.name.clone(),
            by: Dimension::sorted(rule.by.clone()),
            amount: match rule.amount {
                Amount::Rate(rate) => PlannedAmount::Rate(rate, Gcra::new(rate)),
                Amount::Concurrent(max) => PlannedAmount::Concurrent(max),
            },
            away: rule.away,
            dry_run: rule.dry_run,
        }
    }

    /// The largest cost that can ever pass; `None` where costs mean nothing: for a cap, for what refuses nobody, and for what
    /// refuses everybody.
    pub(super) fn cost_max(&self) -> Option<u32> {
        match self.amount {
            PlannedAmount::Rate(_, gcra) if !self.dry_run => {
                u32::try_from(gcra.capacity_us / gcra.emission_us).ok().filter(|most| *most > 0)
            }
            _ => None,
        }
    }
}

impl RuleSet {
    /// The set of the places for which `holds`.
    pub(super) fn of(rules: usize, holds: impl Fn(usize) -> bool) -> Self {
        Self((0..rules).filter(|place| holds(*place)).fold(0, |bits, place| bits | 1 << place))
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the rule at this place is in it.
    pub const fn has(self, place: usize) -> bool {
        place < RULES_MAX && self.0 & 1 << place != 0
    }

    /// The places of the rules, ascending.
    pub fn places(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                place
            })
        })
    }
}

#[cfg(test)]
mod tests;
