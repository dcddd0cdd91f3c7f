//! Limits as people write them: a name, what it is counted by, how much, where it applies, and what becomes of it when nobody
//! counts for all replicas.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Dimension, Rate};
use crate::Slug;

/// One limit of a tenant, or of all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRule {
    /// Its name, which refused callers are told: `[a-z0-9_-]`, at most 40 bytes, unique in the tenant.
    pub name: Arc<str>,
    /// What it is counted by: sorted, each once. Empty is the tenant alone, since nothing is counted over tenants.
    pub by: Vec<Dimension>,
    /// How much it lets through.
    pub amount: Amount,
    /// Which requests meet it.
    #[serde(default)]
    pub applies: Applies,
    /// What becomes of it while the counts of all replicas are out of reach.
    #[serde(default)]
    pub away: WhenAway,
    /// Counts and tells whom it would refuse, and refuses nobody.
    #[serde(default)]
    pub dry_run: bool,
}

/// How much a limit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// So much in the long run.
    Rate(Rate),
    /// So many calls at once.
    Concurrent(u32),
}

/// Which requests meet a limit; what is empty means all. A limit with `servers` or `tools`, or counted by one of them, is met by
/// calls alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applies {
    /// Requests through these toolsets.
    pub toolsets: Vec<Slug>,
    /// Calls to these servers.
    pub servers: Vec<Slug>,
    /// Calls of these tools: globs over `server/native`.
    pub tools: Vec<String>,
}

/// What becomes of a limit while the counts of all replicas are out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAway {
    /// Each replica counts its share of it.
    #[default]
    Local,
    /// It refuses.
    Closed,
    /// It refuses nobody.
    Open,
}

/// The limits that the operator sets for every tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Requests of a principal, unless its tenant says otherwise: the limit `principal`.
    pub principal: Rate,
    /// Calls of a principal at once, unless its tenant says otherwise: the limit `principal_concurrency`.
    pub principal_concurrency: u32,
    /// Further ones, each counted in each tenant for itself. No tenant file changes them.
    pub rules: Vec<LimitRule>,
}
