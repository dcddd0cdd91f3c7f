//! The gateway's configuration as the program uses it: parsed, checked, with types that cannot be wrong.
//!
//! Made by `lower` from the wire form in `schema`, where the meaning and the range of each number are described.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use patchbay_core::{
    Slug,
    admin::Grant,
    audit::AuditDefaults,
    issuer::IssuerDoc,
    limits::{GatewayLimits, Rate},
};
use secrecy::SecretString;
use url::Url;

pub use crate::schema::{LogFormat, SinkKind};
use crate::secret::SecretRef;

/// Everything that an operator decides.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The listener of MCP clients.
    pub listen_mcp: SocketAddr,
    /// The listener of operators.
    pub listen_operations: SocketAddr,
    /// The listener of the admin API; `None` has none.
    pub listen_admin: Option<SocketAddr>,
    /// Who administers.
    pub admin: AdminConfig,
    /// What tenants' own admins may point built-in servers at.
    pub tenant_admins: TenantAdminsConfig,
    /// How old a last good copy of a tenant may be for a start without the store; `None` never starts so.
    pub start_without: Option<Duration>,
    /// The address under which clients reach the gateway. Its path, if it has one, has no slash at its end.
    pub public_url: Option<Url>,
    /// How the other replicas reach this one: `http://host:port` and nothing after it.
    pub replica_url: Option<String>,
    /// The store.
    pub store: StoreTarget,
    /// What replicas share besides the store.
    pub redis: Option<RedisConfig>,
    /// The folder for everything that the gateway writes.
    pub data_dir: PathBuf,
    /// Reverse proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Names that a `Host` header may have, in lower case; without a port, any port will do.
    pub allowed_hosts: Vec<String>,
    /// Origins of browser pages, in lower case; without a port, any port will do.
    pub allowed_origins: Vec<String>,
    /// The key that seals secrets, when it is not the one of the data folder.
    pub sealing_key: Option<SealingKey>,
    /// Keys that sealed before it, and still open.
    pub sealing_keys_old: Vec<SealingKey>,
    /// Servers that are child processes.
    pub stdio: StdioConfig,
    /// Servers that are reached over HTTP.
    pub http: HttpConfig,
    /// What is shown of signing in beside the toolsets' own documents.
    pub oauth: OauthConfig,
    /// How much of everything there may be.
    pub limits: LimitsConfig,
    /// What the audit trail holds.
    pub audit: AuditConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Where traces go; `None` makes none.
    pub traces: Option<TracesConfig>,
    /// Tools that have metrics of their own, over all tenants; 0 for none.
    pub metrics_tools_max: usize,
}

/// Who administers the gateway by its admin API.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// The first admin key, when the operator gives it instead of having one made.
    pub bootstrap_key: Option<SecretString>,
    /// The address under which admins reach the API; the audience of their tokens.
    pub public_url: Option<Url>,
    /// Names that a `Host` header may have there, besides those of loopback and of `public_url`.
    pub allowed_hosts: Vec<String>,
    /// Who signs admins in, by their names.
    pub issuers: BTreeMap<Slug, IssuerDoc>,
    /// What the groups of their tokens may do.
    pub grants: Vec<GroupGrant>,
}

/// What the people of a group may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupGrant {
    /// The issuer whose group it is; `None` for all.
    pub issuer: Option<Slug>,
    /// The group, as in the tokens' claim.
    pub group: String,
    /// What its people may do.
    pub grant: Grant,
}

/// What tenants' own admins, unlike those of the platform, may point built-in servers at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantAdminsConfig {
    /// Hosts of databases, as `host` or `host:port`.
    pub database_hosts: Vec<String>,
    /// Files, or folders of files, of SQLite databases.
    pub database_files: Vec<PathBuf>,
    /// Whether weather services may be at addresses of their choice.
    pub custom_weather: bool,
}

/// Which store, and where.
#[derive(Debug, Clone)]
pub enum StoreTarget {
    /// The embedded store, in this file.
    Sqlite(PathBuf),
    /// A Postgres database; the URL may hold a password.
    Postgres(SecretString),
}

/// The key that seals secrets.
#[derive(Debug, Clone)]
pub struct SealingKey {
    /// Where it was found, for messages.
    pub source: SecretRef,
    /// The key as it was found there.
    pub value: SecretString,
}

/// Servers that are child processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdioConfig {
    /// The commands that tenants may run, by their names; those trusted at run time among them.
    pub commands: BTreeMap<String, StdioCommand>,
    /// Child processes that one tenant may have at once.
    pub children_per_tenant_max: usize,
    /// How long a child may be without a call; `None` means for ever.
    pub idle_stop: Option<Duration>,
    /// How long a child may take until it answers for the first time.
    pub start_timeout: Duration,
}

/// A command that tenants may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdioCommand {
    /// An absolute path, or a name that is looked up on PATH.
    pub path: PathBuf,
    /// Arguments that always come first.
    pub args_prefix: Vec<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// A command whose program is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandMissing {
    /// The name is on no folder of PATH.
    #[error(
        "`{}` is not on PATH; install it, or give its absolute path under stdio.commands in patchbay.yaml", .0.display()
    )]
    NotOnPath(PathBuf),
    /// The path is no file.
    #[error("{} is not a file; install it, or correct the path under stdio.commands in patchbay.yaml", .0.display())]
    NotThere(PathBuf),
}

impl StdioCommand {
    /// The program's absolute path; `search` is the value of PATH. Looked up at each start of a child, since programs
    /// are installed and moved while the gateway runs.
    pub fn find(&self, search: Option<&OsStr>) -> Result<PathBuf, CommandMissing> {
        if self.path.is_absolute() {
            return is_file(&self.path).ok_or_else(|| CommandMissing::NotThere(self.path.clone()));
        }
        let folders = search.map(std::env::split_paths).into_iter().flatten();
        let mut candidates = folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(&self.path));
        candidates.find_map(|path| is_file(&path)).ok_or_else(|| CommandMissing::NotOnPath(self.path.clone()))
    }
}

/// The path, if a program may be there. Whether it may be executed is for the system to say when it is.
fn is_file(path: &Path) -> Option<PathBuf> {
    path.is_file().then(|| path.to_owned())
}

/// Servers that are reached over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Networks to which servers may point besides public ones.
    pub allow_private: Vec<IpNet>,
    /// Whether those may be reached without TLS.
    pub allow_http: bool,
}

/// What is shown of signing in beside the toolsets' own documents, for clients that look for it elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OauthConfig {
    /// The tenant and the toolset whose resource metadata stands at the root of the host too. A root document is found by
    /// the clients of all toolsets: of those that take keys alone, some clients then leave their keys away and ask their
    /// users to sign in where nobody can.
    pub root_resource: Option<(Slug, Slug)>,
    /// Whether the places where clients of 2025-03-26 look for an authorization server lead to the metadata of the first
    /// issuer. Most of them look at the root of the host, for which `root_resource` is needed too.
    pub authorization_server_redirect: bool,
}

/// How much of everything there may be; described field by field in the JSON schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Bytes of a request's head.
    pub header_bytes_max: usize,
    /// Until a request's head has to be there.
    pub header_read_timeout: Duration,
    /// Until a request's body has to be there.
    pub body_read_timeout: Duration,
    /// Connections of clients at once.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_ip_max: usize,
    /// Bytes of one answer of a server.
    pub response_bytes_max: usize,
    /// How deep JSON may be nested.
    pub depth_max: usize,
    /// How long a call may take, unless the server says otherwise.
    pub call_timeout: Duration,
    /// How long a call may take at the most.
    pub call_timeout_max: Duration,
    /// What a person has to answer one question of a server.
    pub answer: Duration,
    /// Streams of changes that one principal may hold open.
    pub streams_per_principal: usize,
    /// After what time a stream of changes ends, so that its client opens it anew.
    pub stream_life: Duration,
    /// Silence after which a call is answered as a stream of events.
    pub sse_after: Duration,
    /// Silence after which a stream gets a sign of life.
    pub keepalive: Duration,
    /// What running calls have to finish when the gateway is asked to stop.
    pub drain: Duration,
    /// How long the gateway goes on as usual after it was asked to stop and says that it is not ready.
    pub drain_delay: Duration,
    /// Calls that may run at once on one server, unless the server says otherwise.
    pub concurrency_per_server: usize,
    /// Calls that may wait for one server.
    pub queue_per_server: usize,
    /// Items on one page of a list.
    pub page_size: usize,
    /// Items that are taken from one server's list.
    pub catalog_items_max: usize,
    /// Pages that are taken from one server's list.
    pub catalog_pages_max: usize,
    /// After what time a server's lists are asked for again.
    pub catalog_refresh: Duration,
    /// How long a session lasts.
    pub session: Duration,
    /// What every tenant's principals may do, and the operator's further limits.
    pub tenants: Arc<GatewayLimits>,
    /// Requests of one address before anybody knows who asks, counted by each replica; `None` counts none.
    pub address: Option<Rate>,
    /// Sign-ins of one address that may fail, counted by each replica; `None` counts none.
    pub failed_sign_ins: Option<Rate>,
    /// Whether answers carry `RateLimit` headers.
    pub headers: bool,
    /// Threads that do the work.
    pub workers: NonZeroUsize,
}

/// Where all replicas count limits together.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://` or `rediss://`; may hold a password.
    pub url: SecretString,
    /// How long one round trip may take before the limits fall back.
    pub timeout: Duration,
    /// What every key begins with, for gateways that share a Redis.
    pub prefix: String,
}

/// The audit.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// Bytes that events may take on the local disk until the store has them.
    pub spool_bytes_max: u64,
    /// What tenants' audits hold by default.
    pub defaults: AuditDefaults,
    /// For how many days records are kept; `None` keeps them for ever.
    pub retention_days: Option<u32>,
    /// Where records go besides the store, by their names.
    pub sinks: BTreeMap<Slug, SinkConfig>,
}

/// A place where audit records go besides the store.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    /// How they get there.
    pub kind: SinkKind,
    /// The URL.
    pub url: Url,
    /// What bodies are signed with (webhook), by HMAC-SHA-256.
    pub secret: Option<SecretString>,
    /// Headers of every request; the values are secrets.
    pub headers: BTreeMap<String, SecretString>,
    /// Records of these tenants; empty means all, those of no tenant too.
    pub tenants: Vec<Slug>,
}

/// Traces.
#[derive(Debug, Clone)]
pub struct TracesConfig {
    /// Where an OpenTelemetry collector takes traces (OTLP over HTTP).
    pub url: Url,
    /// Headers of every request; the values are secrets.
    pub headers: BTreeMap<String, SecretString>,
    /// The part of the requests that are traced when their caller has not decided: 0 to 1.
    pub sample: f64,
    /// Whether the decision of callers counts.
    pub trust_callers: bool,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of the lines.
    pub format: LogFormat,
    /// What is written, in the words of `tracing`.
    pub filter: String,
}

impl GatewayConfig {
    /// The file of commands that were trusted at run time; see [`crate::trust_commands`].
    pub fn trusted_commands_path(&self) -> PathBuf {
        self.data_dir.join(crate::trust::FILE_NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_on_path_or_said_to_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tool"), "").unwrap();
        let command = |path: &Path| StdioCommand { path: path.into(), args_prefix: Vec::new(), description: None };
        let search = std::env::join_paths([Path::new("/nowhere"), folder.path()]).unwrap();
        let found = folder.path().join("tool");
        assert_eq!(command(Path::new("tool")).find(Some(&search)), Ok(found.clone()));
        assert_eq!(command(&found).find(None), Ok(found));
        let absent = command(Path::new("other")).find(Some(&search)).unwrap_err().to_string();
        assert!(absent.starts_with("`other` is not on PATH; install it, or give its absolute path"), "{absent}");
        assert!(matches!(command(Path::new("/no/tool")).find(Some(&search)), Err(CommandMissing::NotThere(_))));
        assert!(command(Path::new("tool")).find(Some(OsStr::new("."))).is_err());
    }
}
