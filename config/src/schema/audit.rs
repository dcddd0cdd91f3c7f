//! What `patchbay.yaml` says of the audit, of traces and of metrics.

use std::collections::BTreeMap;

use patchbay_core::audit::{AuditArguments, AuditLevel, WhenFull};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{ArgumentsWord, LevelWord, WhenFullWord};

/// What the audit trail holds, how surely, for how long, and where it goes.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditFile {
    /// MiB that events may take on the local disk until the store has them.
    #[schemars(range(min = 1, max = 65_536))]
    pub(crate) spool_mib: u32,
    /// How surely a record is kept before the answer leaves, unless the tenant says otherwise.
    #[schemars(with = "LevelWord")]
    pub(crate) level: AuditLevel,
    /// How much of a call's arguments a record holds, unless the tenant says otherwise.
    #[schemars(with = "ArgumentsWord")]
    pub(crate) arguments: AuditArguments,
    /// What becomes of calls while the spool is full, unless the tenant says otherwise.
    #[schemars(with = "WhenFullWord")]
    pub(crate) when_full: WhenFull,
    /// Days for which records are kept; absent: for ever.
    #[schemars(range(min = 1, max = 3650))]
    pub(crate) retention_days: Option<u32>,
    /// Where records go besides the store, by names of a-z, 0-9 and `-`.
    #[schemars(extend("maxProperties" = 16))]
    pub(crate) sinks: BTreeMap<String, SinkFile>,
}

impl Default for AuditFile {
    fn default() -> Self {
        Self {
            spool_mib: 64,
            level: AuditLevel::Ack,
            arguments: AuditArguments::None,
            when_full: WhenFull::Refuse,
            retention_days: None,
            sinks: BTreeMap::new(),
        }
    }
}

/// A place where audit records go besides the store.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkFile {
    /// How they get there.
    pub(crate) kind: SinkKind,
    /// Where: an http or https address.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) url: String,
    /// What the bodies of a webhook are signed with, at least 16 bytes. A secret: `${env:NAME}` and `${file:PATH}` are
    /// replaced.
    #[serde(default)]
    #[schemars(length(min = 1), extend("writeOnly" = true))]
    pub(crate) secret: Option<String>,
    /// Headers of every request. Values are secrets, as in `secret`.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true, "maxProperties" = 32))]
    pub(crate) headers: BTreeMap<String, String>,
    /// Only records of these tenants; empty: all records, those of no tenant too.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub(crate) tenants: Vec<String>,
}

/// How records get to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// JSON lines by POST, signed with HMAC-SHA-256.
    Webhook,
    /// OpenTelemetry logs, OTLP over HTTP.
    Otlp,
}

/// Traces of OpenTelemetry.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TracesFile {
    /// Where a collector takes traces (OTLP over HTTP), as in `http://127.0.0.1:4318/v1/traces`; absent: none are made.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) url: Option<String>,
    /// Headers of every request to it. Values are secrets: `${env:NAME}` and `${file:PATH}` are replaced.
    #[schemars(extend("writeOnly" = true, "maxProperties" = 32))]
    pub(crate) headers: BTreeMap<String, String>,
    /// The part of the requests that are traced when their caller has not decided.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) sample: f64,
    /// Whether the decision of callers counts.
    pub(crate) trust_callers: bool,
}

impl Default for TracesFile {
    fn default() -> Self {
        Self { url: None, headers: BTreeMap::new(), sample: 0.1, trust_callers: true }
    }
}

/// Metrics beyond those that every gateway has.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsFile {
    /// Tools that have metrics of their own, over all tenants; 0: none. Each costs a few time series.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) tools_max: u32,
}
