//! What a tenant is made of, as plain values: the desired state that files describe, the store keeps and `control` turns
//! into a snapshot. No wire format and no database row lives here.
//!
//! Every value of a header, of an environment variable or under `secrets` counts as a secret: it lives in [`Secrets`], beside
//! the [`ServerSpec`], so that a spec can be printed, compared and exported without care.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    Generation, KeyId, ServerId, Slug, TenantId,
    access::{AccessRules, ToolClasses},
    audit::TenantAudit,
    issuer::{Algorithm, ClientAuth, IssuerDoc, IssuerRow},
    limits::LimitRule,
};

/// The toolset that every tenant has; its URL is `/t/{tenant}/mcp`.
pub const DEFAULT_TOOLSET: &str = "default";

/// The desired state of one tenant, as a tenant file gives it.
#[derive(Debug, Clone)]
pub struct TenantDoc {
    /// The tenant's name in URLs.
    pub slug: Slug,
    /// A title for people.
    pub title: Option<String>,
    /// A tenant that is switched off answers nobody.
    pub enabled: bool,
    /// The servers, by their names.
    pub servers: BTreeMap<Slug, ServerDoc>,
    /// The toolsets, by their names; `default` is added when it is absent.
    pub toolsets: BTreeMap<Slug, ToolsetSpec>,
    /// Who signs its people in, by their names.
    pub issuers: BTreeMap<Slug, IssuerDoc>,
    /// Its limits.
    pub limits: TenantLimits,
    /// What its audit holds, and how surely.
    pub audit: TenantAudit,
}

/// One server as a tenant file gives it: the spec, and the secrets that the file sets.
#[derive(Debug, Clone)]
pub struct ServerDoc {
    /// What may be shown.
    pub spec: ServerSpec,
    /// The secrets that the file names; a value of `None` says "keep what the store has".
    pub secrets: BTreeMap<String, Option<SecretString>>,
}

/// What may be shown of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// How it is reached.
    pub transport: Transport,
    /// A server that is switched off is in no list.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The word before its exposed names; the server's own name when absent. `[A-Za-z0-9-]`, at most 12 characters.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Which of its native tool names are offered, renamed or described otherwise, in every toolset.
    #[serde(default)]
    pub tools: ToolRules,
    /// Seconds that one call may take.
    #[serde(default)]
    pub call_timeout_s: Option<u32>,
    /// Calls that may run at once; more wait in a bounded queue.
    #[serde(default)]
    pub concurrency_max: Option<u32>,
    /// Native names of tools that may run twice without harm: only these are ever sent again when a server broke off.
    #[serde(default)]
    pub idempotent_tools: Vec<String>,
    /// Which of its tools only read.
    #[serde(default)]
    pub classes: ToolClasses,
    /// Whether its `instructions` may reach clients.
    #[serde(default)]
    pub instructions: bool,
    /// What it may ask the clients of its calls.
    #[serde(default)]
    pub asks: Asks,
}

/// What a server may ask the client of a call, if that client can be asked. What it may not is never offered to it, and turned
/// down when it asks all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asks {
    /// Questions to the user, by form or by URL.
    pub elicitation: bool,
    /// Requests to the client's model: they spend the user's budget, and are a way in for injected prompts.
    pub sampling: bool,
    /// The client's roots: paths of the user's machine.
    pub roots: bool,
}

impl Default for Asks {
    fn default() -> Self {
        Self { elicitation: true, sampling: false, roots: false }
    }
}

const fn yes() -> bool {
    true
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Transport {
    /// A tool server that is part of the program, by the name of its kind. Its secrets are named `secret:NAME`.
    Builtin {
        /// `db`, and others as they come.
        name: String,
        /// Its options, as the built-in defines them; a text that is `secret:NAME` stands for one of the secrets.
        #[serde(default)]
        options: serde_json::Value,
        /// Names of its secrets; the values are secrets.
        #[serde(default)]
        secrets: Vec<String>,
    },
    /// A local child process that speaks newline-delimited JSON. Environment values are secrets named `env:NAME`.
    Stdio {
        /// The command, exactly as the operator's list names it.
        command: String,
        /// Its arguments, handed over without a shell.
        #[serde(default)]
        args: Vec<String>,
        /// Names of the environment variables; the values are secrets.
        #[serde(default)]
        env: Vec<String>,
        /// The working directory.
        #[serde(default)]
        cwd: Option<String>,
        /// Who shares one child.
        #[serde(default)]
        sharing: Sharing,
        /// The era, when it is known; else it is found out and remembered.
        #[serde(default)]
        era: EraPin,
    },
    /// A remote server that speaks Streamable HTTP. Header values are secrets named `header:Name`.
    Http {
        /// The server's MCP endpoint.
        url: String,
        /// Names of fixed headers; the values are secrets.
        #[serde(default)]
        headers: Vec<String>,
        /// The gateway's own sign-in there. Its secrets are named [`ServerOauth::SECRET`] and [`ServerOauth::PRIVATE_KEY`].
        #[serde(default)]
        oauth: Option<ServerOauth>,
        /// Who shares one session with a legacy server.
        #[serde(default)]
        sharing: Sharing,
        /// The era, when it is known; else it is found out and remembered.
        #[serde(default)]
        era: EraPin,
    },
}

/// The gateway's own identity at a remote server: an OAuth client that gets tokens for itself (client credentials).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerOauth {
    /// The gateway's client id.
    pub client_id: String,
    /// How it proves to be that client.
    #[serde(default)]
    pub auth: ClientAuth,
    /// The algorithm of its private key, for [`ClientAuth::PrivateKeyJwt`].
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// The `kid` that its assertions carry, for [`ClientAuth::PrivateKeyJwt`].
    #[serde(default)]
    pub key_id: Option<String>,
    /// The authorization server; absent: as the server's metadata says.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The `resource` that tokens are asked for; absent: as the server's metadata says.
    #[serde(default)]
    pub resource: Option<String>,
    /// The scopes that are asked for; empty: those that the server's challenge or metadata names.
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl ServerOauth {
    /// The name of the client's secret.
    pub const SECRET: &str = "oauth:client_secret";
    /// The name of the client's private key, PEM.
    pub const PRIVATE_KEY: &str = "oauth:private_key";
}

/// Who shares one child process, or one session with a legacy HTTP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// All callers of the tenant.
    #[default]
    Shared,
    /// One for each principal.
    Principal,
    /// One for each client session (a modern client: for each principal).
    Session,
}

/// Which era a server is configured to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EraPin {
    /// Found out by asking, and remembered.
    #[default]
    Auto,
    /// Revisions up to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
    /// 2024-11-05 over HTTP+SSE, with its two endpoints; `http` servers only, and never found out by asking.
    Sse,
}

/// Filters, renames and texts for tools. Globs match case-sensitively over the whole name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolRules {
    /// Globs of names to offer; empty means all.
    pub allow: Vec<String>,
    /// Globs of names to hide; stronger than `allow`.
    pub deny: Vec<String>,
    /// From a name to the whole exposed name that replaces it.
    pub rename: BTreeMap<String, String>,
    /// From a name to the description that replaces the server's.
    pub describe: BTreeMap<String, String>,
}

/// A named view of a tenant's servers. In its [`ToolRules`] a name is written `server/native`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolsetSpec {
    /// The servers in this view; `None` means all of the tenant.
    pub servers: Option<Vec<Slug>>,
    /// Which credentials it takes.
    pub access: Access,
    /// What tokens need here.
    pub rules: AccessRules,
    /// Whether exposed names carry the server's prefix.
    pub prefix: PrefixMode,
    /// Its own filters, over `server/native`.
    pub tools: ToolRules,
    /// How many tools it shows at the most.
    pub tools_max: Option<u32>,
    /// What happens to the tools over `tools_max`.
    pub overflow: Overflow,
    /// Globs over `server/native`: tools that stay first, in this order, when there are too many; the rest stay in the
    /// order of their exposed names.
    pub keep_first: Vec<String>,
}

impl Default for ToolsetSpec {
    fn default() -> Self {
        Self {
            servers: None,
            access: Access::Key,
            rules: AccessRules::default(),
            prefix: PrefixMode::Always,
            tools: ToolRules::default(),
            tools_max: None,
            overflow: Overflow::Drop,
            keep_first: Vec::new(),
        }
    }
}

/// Which credentials a toolset takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// An API key of the tenant. Such a toolset shows nothing of OAuth, since some clients leave their keys away where they
    /// find any of it.
    #[default]
    Key,
    /// A token of one of the tenant's issuers.
    Oauth,
    /// Either.
    Both,
    /// None; only on a loopback listener.
    Anonymous,
}

impl Access {
    /// Whether API keys open it.
    pub const fn takes_keys(self) -> bool {
        matches!(self, Self::Key | Self::Both | Self::Anonymous)
    }

    /// Whether tokens open it.
    pub const fn takes_tokens(self) -> bool {
        matches!(self, Self::Oauth | Self::Both)
    }
}

/// Whether exposed names carry the server's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrefixMode {
    /// `{prefix}_{native}`.
    #[default]
    Always,
    /// Native names as they are; for a toolset of one server.
    Never,
}

/// What happens to the tools over a toolset's maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// They are left out, and the log, the metrics and the toolset's instructions say so.
    #[default]
    Drop,
    /// The configuration that leads there is refused; the last good one stays in force.
    Refuse,
}

/// The limits of a tenant. Absent means the gateway's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantLimits {
    /// Requests per second and principal, in the long run.
    pub principal_per_second: Option<u32>,
    /// Requests that a principal may make at once after a pause.
    pub principal_burst: Option<u32>,
    /// Calls of a principal that may run at once.
    pub principal_concurrency: Option<u32>,
    /// Further limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<LimitRule>,
    /// What calls of tools take from rates, by globs over `server/native`; the first that matches counts, and 1 is for all
    /// others. 0 takes nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<(String, u32)>,
}

/// A tenant as the store has it.
#[derive(Debug, Clone)]
pub struct TenantRow {
    /// The row.
    pub id: TenantId,
    /// The name in URLs.
    pub slug: Slug,
    /// A title for people.
    pub title: Option<String>,
    /// Whether it answers at all.
    pub enabled: bool,
    /// The number of this state.
    pub generation: Generation,
    /// Its limits.
    pub limits: TenantLimits,
    /// What its audit holds, and how surely.
    pub audit: TenantAudit,
    /// The servers, sorted by name.
    pub servers: Vec<ServerRow>,
    /// The toolsets, sorted by name; `default` is always among them.
    pub toolsets: Vec<(Slug, ToolsetSpec)>,
    /// Who signs its people in, sorted by name.
    pub issuers: Vec<IssuerRow>,
}

/// A server as the store has it, its secrets opened.
#[derive(Debug, Clone)]
pub struct ServerRow {
    /// The row; it stays the same while the server's name does.
    pub id: ServerId,
    /// The server's name.
    pub slug: Slug,
    /// What may be shown.
    pub spec: ServerSpec,
    /// What may not.
    pub secrets: Secrets,
}

/// The secrets of a server by their names (`header:Authorization`, `env:TOKEN`, `secret:database`). Never printed.
#[derive(Clone, Default)]
pub struct Secrets(pub BTreeMap<String, SecretString>);

impl Secrets {
    /// The secret of that name in the clear, for the one place that sends it.
    pub fn reveal(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An API key as the store has it. The key itself is nowhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRow {
    /// The row.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What people call it.
    pub label: String,
    /// The visible beginning of the key, to recognise it by.
    pub shown: String,
    /// SHA-256 of the whole key.
    pub digest: [u8; 32],
    /// The toolsets that it opens; `None` means all of the tenant.
    pub toolsets: Option<Vec<Slug>>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it is refused.
    pub expires_ms: Option<i64>,
    /// Since when it is refused.
    pub revoked_ms: Option<i64>,
    /// When it was last used; written in batches, so a little behind.
    pub used_ms: Option<i64>,
}
