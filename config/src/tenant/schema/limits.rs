//! The fields of a tenant file that govern it: its limits, and what its audit holds. Lowered by `limits`.

use std::collections::BTreeMap;

use patchbay_core::audit::{AuditArguments, AuditLevel, WhenFull};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::is_default;
use crate::{
    rule::{FILE_RULES_MAX, RuleFiles},
    words::{ArgumentsWord, LevelWord, WhenFullWord},
};

/// Globs that one tenant may weigh tools by.
const WEIGHTS_MAX: usize = 200;

/// What the tenant's callers may do, and how often. The operator's limits count besides.
#[derive(Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// Requests of a principal per second in the long run; absent: the gateway's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) principal_per_second: Option<u32>,
    /// Requests of a principal at once after a pause; absent: the gateway's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) principal_burst: Option<u32>,
    /// Calls of a principal that may run at once; absent: the gateway's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub(crate) principal_concurrency: Option<u32>,
    /// Further limits by names of a-z, 0-9, `_` and `-`, which refused callers are told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = FILE_RULES_MAX))]
    pub(crate) rules: RuleFiles,
    /// What a call of a tool takes from rates: globs over `server/name`, of which the first that matches counts; all others
    /// take 1, and 0 takes nothing.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, Weight>", extend("maxProperties" = WEIGHTS_MAX))]
    pub(crate) weights: Map<String, Json>,
}

/// What one call takes from rates.
#[derive(JsonSchema)]
#[schemars(transparent, extend("minimum" = 0, "maximum" = 1000))]
#[expect(dead_code, reason = "only its schema is used")]
struct Weight(u32);

impl LimitsFile {
    pub(super) fn is_empty(&self) -> bool {
        is_default(self)
    }
}

/// What the tenant's audit holds, and how surely; what is absent is as the gateway says.
#[derive(Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditFile {
    /// How surely a record is kept before the answer leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LevelWord>")]
    pub(crate) level: Option<AuditLevel>,
    /// How much of a call's arguments a record holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ArgumentsWord>")]
    pub(crate) arguments: Option<AuditArguments>,
    /// What becomes of calls while the spool is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<WhenFullWord>")]
    pub(crate) when_full: Option<WhenFull>,
    /// Which arguments `redacted` shows the values of; of each tool the first entry that matches it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub(crate) keep: Vec<KeepFile>,
    /// Globs over `server/name`: tools that are never called without a record, whatever `when_full` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub(crate) closed_tools: Vec<String>,
}

impl AuditFile {
    pub(super) fn is_empty(&self) -> bool {
        is_default(self)
    }
}

/// Arguments whose values a record may show.
#[derive(PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepFile {
    /// A glob over `server/name`.
    #[schemars(length(min = 1, max = 300))]
    pub(crate) tools: String,
    /// Names of arguments, at the top of the call's arguments.
    #[schemars(length(max = 64), inner(length(min = 1, max = 200)))]
    pub(crate) arguments: Vec<String>,
}
