//! A tenant file as it is written: its fields, their ranges and their descriptions.
//!
//! The wire form of [`patchbay_core::model::TenantDoc`]; `lower` reads it, `export` writes it, nobody else sees it. What
//! concerns tokens is in `oauth`, what governs the tenant in `limits`.

mod limits;
mod oauth;

pub(crate) use limits::{AuditFile, KeepFile, LimitsFile};
pub(crate) use oauth::{
    ClaimsFile, IntrospectionFile, IssuerFile, RegistrationFile, ScopeList, ScopesFile, ServerOauthFile,
};

use std::collections::BTreeMap;

use patchbay_core::model::{Access, Asks, EraPin, Overflow, PrefixMode, Sharing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::ISSUERS_MAX;
use crate::words::words;

/// One tenant of the gateway: who signs its people in, its servers, its toolsets, its limits, its audit.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tenant file")]
pub(crate) struct TenantFile {
    /// The tenant's name in URLs: a-z, 0-9 and `-`, at most 40 characters.
    #[schemars(length(min = 1, max = 40))]
    pub(crate) tenant: String,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub(crate) title: Option<String>,
    /// A tenant that is switched off answers nobody.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub(crate) enabled: bool,
    /// Who signs its people in, by their names. Toolsets with `access: oauth` or `both` take their tokens.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = ISSUERS_MAX))]
    pub(crate) issuers: BTreeMap<String, IssuerFile>,
    /// The servers, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 200))]
    pub(crate) servers: BTreeMap<String, ServerFile>,
    /// The toolsets, by their names; `default` shows all servers unless it is given here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub(crate) toolsets: BTreeMap<String, ToolsetFile>,
    /// What its callers may do, and how often.
    #[serde(default, skip_serializing_if = "LimitsFile::is_empty")]
    pub(crate) limits: LimitsFile,
    /// What its audit holds, and how surely.
    #[serde(default, skip_serializing_if = "AuditFile::is_empty")]
    pub(crate) audit: AuditFile,
}

/// One server: exactly one of `url`, `command` and `builtin` says how it is reached.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerFile {
    /// The MCP endpoint of a remote server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) url: Option<String>,
    /// Headers that every request to the remote server carries. Values are secrets: `${env:NAME}` and `${file:PATH}` are
    /// replaced, and `${sealed}` alone keeps what the store has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("writeOnly" = true, "maxProperties" = 32))]
    pub(crate) headers: BTreeMap<String, String>,
    /// The gateway's own sign-in at the remote server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oauth: Option<ServerOauthFile>,
    /// The command of a local server, as the operator's list names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 400))]
    pub(crate) command: Option<String>,
    /// The command's arguments, handed over without a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub(crate) args: Vec<String>,
    /// The local server's environment, and all of it. Values are secrets, as in `headers`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("writeOnly" = true, "maxProperties" = 128))]
    pub(crate) env: BTreeMap<String, String>,
    /// The local server's working directory, an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) cwd: Option<String>,
    /// The kind of a server that is part of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub(crate) builtin: Option<String>,
    /// Options of a built-in server. A text that is `secret:NAME` stands for one of its `secrets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub(crate) options: Option<Map<String, Json>>,
    /// Secrets of a built-in server by names of a-z, 0-9, `-` and `_`, at most 40 characters. Values are secrets, as in
    /// `headers`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("writeOnly" = true, "maxProperties" = 64))]
    pub(crate) secrets: BTreeMap<String, String>,
    /// Who shares one child process, or one session with a remote server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SharingWord>")]
    pub(crate) sharing: Option<Sharing>,
    /// Which revisions of MCP the server speaks, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<EraWord>")]
    pub(crate) era: Option<EraPin>,
    /// A server that is switched off is in no list.
    #[serde(skip_serializing_if = "is_yes")]
    pub(crate) enabled: bool,
    /// The word before its tools' names, `[A-Za-z0-9-]`; the server's own name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 12))]
    pub(crate) prefix: Option<String>,
    /// Which of its tools are offered, and how, in every toolset. Names are the server's own.
    #[serde(skip_serializing_if = "RulesFile::is_empty")]
    pub(crate) tools: RulesFile,
    /// Seconds that one call may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) call_timeout_s: Option<u32>,
    /// Calls that may run at once; more wait in a bounded queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub(crate) concurrency_max: Option<u32>,
    /// The server's own names of tools that may run twice without harm: only these are sent again when it broke off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub(crate) idempotent_tools: Vec<String>,
    /// Globs over the server's own names: tools that only read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub(crate) read_tools: Vec<String>,
    /// Globs over the server's own names: tools that may change something; stronger than `read_tools` and than hints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub(crate) write_tools: Vec<String>,
    /// Whether a tool that neither list names is taken for what its `readOnlyHint` says; absent: only for servers that are
    /// part of the gateway. Any other tool counts as one that writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trust_read_only_hint: Option<bool>,
    /// Whether the server's `instructions` may reach clients.
    #[serde(skip_serializing_if = "is_no")]
    pub(crate) instructions: bool,
    /// What the server may ask the clients of its calls.
    #[serde(skip_serializing_if = "AsksFile::is_usual")]
    pub(crate) asks: AsksFile,
}

/// What a server may ask the clients of its calls, as far as those can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AsksFile {
    /// Questions to the user, by form or by URL.
    pub(crate) elicitation: bool,
    /// Requests to the client's model: they spend the user's budget.
    pub(crate) sampling: bool,
    /// The folders that the client has open.
    pub(crate) roots: bool,
}

impl AsksFile {
    /// As the file says it.
    pub(crate) const fn of(asks: Asks) -> Self {
        Self { elicitation: asks.elicitation, sampling: asks.sampling, roots: asks.roots }
    }

    /// What it says.
    pub(crate) const fn lower(self) -> Asks {
        Asks { elicitation: self.elicitation, sampling: self.sampling, roots: self.roots }
    }

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for AsksFile {
    fn default() -> Self {
        Self::of(Asks::default())
    }
}

impl Default for ServerFile {
    fn default() -> Self {
        Self {
            url: None,
            headers: BTreeMap::new(),
            oauth: None,
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            builtin: None,
            options: None,
            secrets: BTreeMap::new(),
            sharing: None,
            era: None,
            enabled: true,
            prefix: None,
            tools: RulesFile::default(),
            call_timeout_s: None,
            concurrency_max: None,
            idempotent_tools: Vec::new(),
            read_tools: Vec::new(),
            write_tools: Vec::new(),
            trust_read_only_hint: None,
            instructions: false,
            asks: AsksFile::default(),
        }
    }
}

/// A named view of the tenant's servers.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ToolsetFile {
    /// The servers in this view; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub(crate) servers: Option<Vec<String>>,
    /// Which credentials it takes.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "AccessWord")]
    pub(crate) access: Access,
    /// Groups of which a token needs one to find the toolset at all; empty: every token of the tenant's issuers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub(crate) groups: Vec<String>,
    /// Groups of which a token needs one to see the tools that write; empty: every token that is let in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub(crate) write_groups: Vec<String>,
    /// The scopes that tokens need here.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) scopes: ScopesFile,
    /// Whether names of tools carry the server's prefix.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "PrefixWord")]
    pub(crate) prefix: PrefixMode,
    /// Which tools it shows, and how. Names are written `server/name`.
    #[serde(skip_serializing_if = "RulesFile::is_empty")]
    pub(crate) tools: RulesFile,
    /// How many tools it shows at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) tools_max: Option<u32>,
    /// What happens to the tools over `tools_max`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "OverflowWord")]
    pub(crate) overflow: Overflow,
    /// Globs over `server/name`: the tools that stay first, in this order, when there are too many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub(crate) keep_first: Vec<String>,
}

/// Filters, names and texts of tools.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RulesFile {
    /// Globs of names to offer; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub(crate) allow: Vec<String>,
    /// Globs of names to hide; stronger than `allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub(crate) deny: Vec<String>,
    /// From a name to the whole name that clients see instead: `[A-Za-z0-9_-]`, at most 40 characters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1000))]
    pub(crate) rename: BTreeMap<String, String>,
    /// From a name to the description that clients see instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1000))]
    pub(crate) describe: BTreeMap<String, String>,
}

impl RulesFile {
    fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && self.rename.is_empty() && self.describe.is_empty()
    }
}

words! {
    /// Who shares one child process, or one session with a remote server.
    SharingWord {
        /// All callers of the tenant.
        Shared,
        /// One for each principal.
        Principal,
        /// One for each client session.
        Session,
    }
    /// Which revisions of MCP a server speaks.
    EraWord {
        /// Found out by asking.
        Auto,
        /// Up to 2025-11-25.
        Legacy,
        /// 2026-07-28.
        Modern,
        /// 2024-11-05 over HTTP+SSE; remote servers only.
        Sse,
    }
    /// Which credentials a toolset takes.
    AccessWord {
        /// An API key of the tenant.
        Key,
        /// A token of one of the tenant's issuers.
        Oauth,
        /// An API key or a token.
        Both,
        /// None; only on a loopback listener.
        Anonymous,
    }
    /// Whether names of tools carry the server's prefix.
    PrefixWord {
        /// `{prefix}_{name}`.
        Always,
        /// As they are; for a toolset of one server.
        Never,
    }
    /// What happens to the tools over a toolset's maximum.
    OverflowWord {
        /// They are left out, and the log, the metrics and the toolset's instructions say so.
        Drop,
        /// The configuration that leads there is refused.
        Refuse,
    }
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_yes(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_no(value: &bool) -> bool {
    !*value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
