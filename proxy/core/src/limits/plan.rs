//! A tenant's limits made ready for requests: which rules a request meets is decided when the snapshot is built, so that a
//! request only makes the keys of those that it meets.

use std::sync::Arc;

use super::{Dimension, Gcra, GatewayLimits, LimitKey, Rate, WhenAway};
use crate::{KeyId, ServerId, Slug, TenantId, model::TenantLimits};

/// The most rules that a tenant may have, the gateway's and the two that always are counted in: a [`RuleSet`] has as many bits.
pub const RULES_MAX: usize = 16;

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
    /// What it is counted by.
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
    #[error("there are {found} limits, those of the gateway counted in; expected at most {RULES_MAX}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A tool weighs more than a limit lets through at once.
    #[error("`{tool}` weighs {weight}, more than the burst of the limit `{limit}`, which is {burst}: it could never be called")]
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
        source: crate::filter::FilterError,
    },
    /// Two limits have one name.
    #[error("two limits are called `{0}`; the names `principal` and `principal_concurrency` are taken, and those of the gateway")]
    NameTaken(Arc<str>),
}

impl LimitPlan {
    /// Makes the plan of a tenant.
    ///
    /// # Errors
    /// See [`LimitError`].
    pub fn build(gateway: &GatewayLimits, tenant: &TenantLimits) -> Result<Self, LimitError> {
        let mut rate = gateway.principal;
        rate.count = tenant.principal_per_second.unwrap_or(rate.count);
        rate.burst = tenant.principal_burst.unwrap_or(rate.burst);
        let concurrent = tenant.principal_concurrency.unwrap_or(gateway.principal_concurrency);
        let always = |name: &str, amount| Planned {
            name: name.into(),
            by: vec![Dimension::Principal],
            amount,
            away: WhenAway::Local,
            dry_run: false,
        };
        let rules = [
            always("principal", PlannedAmount::Rate(rate, Gcra::new(rate))),
            always("principal_concurrency", PlannedAmount::Concurrent(concurrent)),
        ];
        Ok(Self { rules: rules.into() })
    }

    /// The rules, by their places.
    pub fn rules(&self) -> &[Planned] {
        &self.rules
    }

    /// What a request meets that goes to no server (lists, sessions).
    pub fn for_toolset(&self, toolset: &Slug) -> RuleSet {
        let _ = toolset;
        RuleSet(0b01)
    }

    /// What a call meets that is not of a tool (prompts, resources, completion).
    pub fn for_server(&self, toolset: &Slug, server: &Slug) -> RuleSet {
        let _ = (toolset, server);
        RuleSet(0b11)
    }

    /// What a call of a tool meets, and what it costs.
    pub fn for_tool(&self, toolset: &Slug, server: &Slug, native: &str) -> (RuleSet, u32) {
        let _ = native;
        (self.for_server(toolset, server), 1)
    }

    /// The key under which this rule counts the request; `None` when the request has none of what it is counted by (no API key).
    pub fn key(&self, rule: usize, met: &Met<'_>) -> Option<LimitKey> {
        Some(LimitKey::of(Some(met.tenant), &self.rules[rule].name, &[&met.principal]))
    }
}

impl RuleSet {
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
