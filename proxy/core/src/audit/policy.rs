//! What a tenant's audit holds, and how surely it is kept: as people write it ([`TenantAudit`]), and with the gateway's defaults
//! filled in ([`AuditPolicy`]). What that means for a tool ([`ToolAudit`]) is found when the snapshot is built.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::filter::{FilterError, Globs};

/// How surely a record is kept before the answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditLevel {
    /// On the disk: it survives a loss of power.
    Sync,
    /// In the spool: it survives the death of the process.
    #[default]
    Ack,
    /// In the spool as soon as the call has ended; what ran when the process died leaves nothing.
    Async,
}

/// How much of a call's arguments a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditArguments {
    /// Nothing but the size of the whole message.
    #[default]
    None,
    /// The names of the arguments, without their values.
    Keys,
    /// A keyed digest of all of them, by which equal ones can be told without knowing them.
    Digest,
    /// Names, and values only of those that the policy keeps, without what looks like a secret.
    Redacted,
}

/// What becomes of calls while the spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// They are refused.
    #[default]
    Refuse,
    /// They go on, apart from those of closed tools; the audit says how many records are missing.
    Pass,
}

/// Which arguments of which tools a record may show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// A glob over `server/native`.
    pub tools: String,
    /// Names of arguments.
    pub arguments: Vec<String>,
}

/// A tenant's own wishes; what is absent is as the gateway says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantAudit {
    /// How surely records are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<AuditLevel>,
    /// How much of the arguments they hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<AuditArguments>,
    /// What `redacted` may show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<Keep>,
    /// What becomes of calls while the spool is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
    /// Globs over `server/native`: tools that are never called without a record, whatever `when_full` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed_tools: Vec<String>,
}

/// The gateway's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditDefaults {
    /// How surely records are kept.
    pub level: AuditLevel,
    /// How much of the arguments they hold.
    pub arguments: AuditArguments,
    /// What becomes of calls while the spool is full.
    pub when_full: WhenFull,
}

/// The policy of a tenant, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPolicy {
    /// How surely records are kept.
    pub level: AuditLevel,
    /// How much of the arguments they hold.
    pub arguments: AuditArguments,
    /// What `redacted` may show.
    pub keep: Vec<Keep>,
    /// What becomes of calls while the spool is full.
    pub when_full: WhenFull,
    /// Tools that are never called without a record.
    pub closed_tools: Vec<String>,
}

impl AuditPolicy {
    /// The policy of a tenant.
    pub fn of(defaults: AuditDefaults, tenant: &TenantAudit) -> Self {
        Self {
            level: tenant.level.unwrap_or(defaults.level),
            arguments: tenant.arguments.unwrap_or(defaults.arguments),
            keep: tenant.keep.clone(),
            when_full: tenant.when_full.unwrap_or(defaults.when_full),
            closed_tools: tenant.closed_tools.clone(),
        }
    }
}

/// What the policy says of one tool; looked up when the snapshot is built.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolAudit {
    /// Whether it is never called without a record.
    pub closed: bool,
    /// The arguments that a record may show.
    pub keep: Option<Arc<[String]>>,
}

/// The policy's words on tools, ready to be asked once for each tool.
pub(crate) struct AuditTools {
    closed: Globs,
    kept: Globs,
    keep: Vec<Arc<[String]>>,
}

impl AuditTools {
    pub(crate) fn compile(policy: &AuditPolicy) -> Result<Self, FilterError> {
        let kept: Vec<String> = policy.keep.iter().map(|keep| keep.tools.clone()).collect();
        Ok(Self {
            closed: Globs::compile(&policy.closed_tools)?,
            kept: Globs::compile(&kept)?,
            keep: policy.keep.iter().map(|keep| keep.arguments.as_slice().into()).collect(),
        })
    }

    /// What the policy says of the tool `server/native`; of the lists of arguments the first whose glob matches counts.
    pub(crate) fn of(&self, qualified: &str) -> ToolAudit {
        ToolAudit {
            closed: self.closed.matches(qualified),
            keep: self.kept.first(qualified).map(|at| self.keep[at].clone()),
        }
    }
}
