//! `patchbay.yaml` as it is written: one field per setting, its default, its range and its description.
//!
//! This is the wire form and the one source of the JSON schema, of the environment's names and of the numbers in error
//! messages. The rest of the program sees [`crate::GatewayConfig`], which `lower` makes of it.

mod admin;
mod audit;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use admin::{AdminFile, GrantFile, Role, TenantAdminsFile};
pub use audit::SinkKind;
pub(crate) use audit::{AuditFile, MetricsFile, SinkFile, TracesFile};

use crate::{
    lower::SEALING_KEYS_OLD_MAX,
    rule::{FILE_RULES_MAX, RuleFiles},
};

/// Configuration of the Patchbay gateway. Every field is optional.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "patchbay.yaml")]
pub(crate) struct GatewayFile {
    /// The addresses to listen on.
    pub(crate) listen: ListenFile,
    /// The address under which clients reach the gateway, as in `https://tools.example.org` or, behind a proxy that adds a
    /// path, `https://example.org/tools`. Its host and origin are always allowed.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) public_url: Option<String>,
    /// How the other replicas reach this one, as in `http://10.0.3.7:8080`: the address of its own listener for clients. Absent:
    /// requests that another replica would have to answer are refused. `${env:NAME}` and `${file:PATH}` are replaced.
    #[schemars(length(min = 1, max = 512))]
    pub(crate) replica_url: Option<String>,
    /// Where tenants, keys and the audit trail are kept.
    pub(crate) store: StoreFile,
    /// What replicas share besides the store.
    pub(crate) redis: RedisFile,
    /// The folder for everything that the gateway writes: the embedded database, its key, the audit spool.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) data_dir: String,
    /// Networks or addresses of reverse proxies whose `Forwarded` and `X-Forwarded-…` headers are believed.
    #[schemars(length(max = 256))]
    pub(crate) trusted_proxies: Vec<String>,
    /// Names that a `Host` header may have; without a port, any port will do.
    #[schemars(length(max = 256))]
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins whose pages may call the gateway from a browser; without a port, any port will do.
    #[schemars(length(max = 256))]
    pub(crate) allowed_origins: Vec<String>,
    /// The key that seals secrets: `env:NAME` or `file:PATH`. Without it the embedded store makes one in `data_dir`;
    /// with Postgres it is needed. Of several lines there, the first is the key, the others are old ones.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) sealing_key: Option<String>,
    /// Keys that sealed before it and still open: `env:NAME` or `file:PATH`, one on each line there.
    #[schemars(extend("maxItems" = SEALING_KEYS_OLD_MAX), inner(length(min = 1, max = 4096)))]
    pub(crate) sealing_keys_old: Vec<String>,
    /// Who administers the gateway by its admin API.
    pub(crate) admin: AdminFile,
    /// What tenants' own admins, unlike those of the platform, may point built-in servers at.
    pub(crate) tenant_admins: TenantAdminsFile,
    /// Servers that are local child processes.
    pub(crate) stdio: StdioFile,
    /// Servers that are reached over HTTP.
    pub(crate) http: HttpFile,
    /// What is shown of signing in beside the toolsets' own documents.
    pub(crate) oauth: OauthFile,
    /// How much of everything there may be.
    pub(crate) limits: LimitsFile,
    /// What the audit trail holds, how surely, for how long, and where it goes.
    pub(crate) audit: AuditFile,
    /// What the gateway writes to its standard error.
    pub(crate) log: LogFile,
    /// Traces of OpenTelemetry.
    pub(crate) traces: TracesFile,
    /// Metrics beyond those that every gateway has.
    pub(crate) metrics: MetricsFile,
}

impl Default for GatewayFile {
    fn default() -> Self {
        let texts = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
        Self {
            listen: ListenFile::default(),
            public_url: None,
            replica_url: None,
            store: StoreFile::default(),
            redis: RedisFile::default(),
            data_dir: "./patchbay-data".to_owned(),
            trusted_proxies: Vec::new(),
            allowed_hosts: texts(["localhost", "127.0.0.1", "[::1]"]),
            allowed_origins: texts(["http://localhost", "http://127.0.0.1", "http://[::1]"]),
            sealing_key: None,
            sealing_keys_old: Vec::new(),
            admin: AdminFile::default(),
            tenant_admins: TenantAdminsFile::default(),
            stdio: StdioFile::default(),
            http: HttpFile::default(),
            oauth: OauthFile::default(),
            limits: LimitsFile::default(),
            audit: AuditFile::default(),
            log: LogFile::default(),
            traces: TracesFile::default(),
            metrics: MetricsFile::default(),
        }
    }
}

/// The addresses to listen on.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenFile {
    /// Address and port for MCP clients.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) mcp: String,
    /// Address and port for operators: metrics and health. Never make it public.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) operations: String,
    /// Address and port for the admin API, or `off`.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) admin: String,
}

impl Default for ListenFile {
    fn default() -> Self {
        let address = |port: u16| format!("127.0.0.1:{port}");
        Self { mcp: address(8080), operations: address(9090), admin: address(9091) }
    }
}

/// Where tenants, keys and the audit trail are kept.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreFile {
    /// `sqlite://path/to/file` or `postgres://user:password@host/database`; absent: a SQLite file in `data_dir`.
    /// `${env:NAME}` and `${file:PATH}` are replaced.
    #[schemars(length(min = 1, max = 4096), extend("writeOnly" = true))]
    pub(crate) url: Option<String>,
    /// Hours for which the last good copies of tenants in `data_dir` may start a gateway while the store is away; 0: never.
    #[schemars(range(min = 0, max = 720))]
    pub(crate) start_without_hours: u32,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self { url: None, start_without_hours: 24 }
    }
}

/// What replicas share besides the store.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RedisFile {
    /// `redis://` or `rediss://`: there all replicas count limits together; absent: each replica counts in its memory.
    /// `${env:NAME}` and `${file:PATH}` are replaced.
    #[schemars(length(min = 1, max = 4096), extend("writeOnly" = true))]
    pub(crate) url: Option<String>,
    /// Milliseconds that one round trip may take before limits fall back to what their `away` says.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) timeout_ms: u32,
    /// What every key begins with, for gateways that share a Redis: A-Z, a-z, 0-9, `:`, `_` and `-`.
    #[schemars(length(min = 1, max = 40))]
    pub(crate) prefix: String,
}

impl Default for RedisFile {
    fn default() -> Self {
        Self { url: None, timeout_ms: 25, prefix: "patchbay".to_owned() }
    }
}

/// Servers that are local child processes.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StdioFile {
    /// The commands that tenants may run, by the names that they use for them. No other command is ever started.
    #[schemars(extend("maxProperties" = 1000))]
    pub(crate) commands: BTreeMap<String, CommandFile>,
    /// Child processes that one tenant may have at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) children_per_tenant_max: u32,
    /// Seconds without a call after which a child is stopped; 0 means never.
    #[schemars(range(min = 0, max = 604_800))]
    pub(crate) idle_stop_s: u32,
    /// Seconds that a child may take until it answers for the first time.
    #[schemars(range(min = 1, max = 600))]
    pub(crate) start_timeout_s: u32,
}

impl Default for StdioFile {
    fn default() -> Self {
        Self { commands: BTreeMap::new(), children_per_tenant_max: 16, idle_stop_s: 600, start_timeout_s: 60 }
    }
}

/// A command that tenants may run.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandFile {
    /// The program: an absolute path, or a name that is looked up on PATH.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) path: String,
    /// Arguments that always come first, before those of the tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub(crate) args_prefix: Vec<String>,
    /// What the command is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub(crate) description: Option<String>,
}

/// Servers that are reached over HTTP.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpFile {
    /// Networks or addresses to which servers may point besides public ones.
    #[schemars(length(max = 256))]
    pub(crate) allow_private: Vec<String>,
    /// Whether servers in `allow_private` may be reached over plain `http://`.
    pub(crate) allow_http: bool,
}

/// What is shown of signing in beside the toolsets' own documents, for clients that look for it elsewhere.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OauthFile {
    /// The toolset whose resource metadata stands at the root of the host too: `acme` or `acme/toolset`. Clients of all
    /// toolsets find it there: where a toolset takes keys alone, some of them then leave their keys away.
    #[schemars(length(min = 1, max = 81))]
    pub(crate) root_resource: Option<String>,
    /// Whether the places where clients of 2025-03-26 look for an authorization server lead to the metadata of the tenant's
    /// first issuer.
    pub(crate) authorization_server_redirect: bool,
}

/// How much of everything there may be.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// Bytes of a request's body.
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub(crate) body_bytes_max: u64,
    /// Bytes of a request's head.
    #[schemars(range(min = 4096, max = 1_048_576))]
    pub(crate) header_bytes_max: u64,
    /// Seconds within which a request's head has to arrive.
    #[schemars(range(min = 1, max = 300))]
    pub(crate) header_read_timeout_s: u32,
    /// Seconds within which a request's body has to arrive.
    #[schemars(range(min = 1, max = 3600))]
    pub(crate) body_read_timeout_s: u32,
    /// Connections of clients at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) connections_max: u32,
    /// Connections at once from one address; addresses in `trusted_proxies` are not counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) connections_per_ip_max: u32,
    /// Bytes of one answer of a server.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub(crate) response_bytes_max: u64,
    /// How deep JSON may be nested.
    #[schemars(range(min = 8, max = 512))]
    pub(crate) depth_max: u32,
    /// Seconds that a call may take, unless the server says otherwise.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) call_timeout_s: u32,
    /// Seconds that a call may take at the most, whatever a server says or however often it reports progress.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) call_timeout_max_s: u32,
    /// Seconds that a person has to answer one question of a server; the call waits meanwhile.
    #[schemars(range(min = 10, max = 3600))]
    pub(crate) answer_s: u32,
    /// Streams of changes that one principal may hold open.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) streams_per_principal: u32,
    /// Minutes after which a stream of changes ends, so that its client opens it anew.
    #[schemars(range(min = 1, max = 1440))]
    pub(crate) stream_minutes: u32,
    /// Seconds of silence after which a call is answered as a stream of events.
    #[schemars(range(min = 1, max = 300))]
    pub(crate) sse_after_s: u32,
    /// Seconds of silence after which a stream gets a sign of life.
    #[schemars(range(min = 1, max = 300))]
    pub(crate) keepalive_s: u32,
    /// Seconds that running calls have to finish when the gateway is asked to stop.
    #[schemars(range(min = 0, max = 3600))]
    pub(crate) drain_s: u32,
    /// Seconds that the gateway goes on as usual after it was asked to stop and says that it is not ready; then `drain_s` begins.
    #[schemars(range(min = 0, max = 300))]
    pub(crate) drain_delay_s: u32,
    /// Calls that may run at once on one server, unless the server says otherwise.
    #[schemars(range(min = 1, max = 4096))]
    pub(crate) concurrency_per_server: u32,
    /// Calls that may wait for one server.
    #[schemars(range(min = 0, max = 65_536))]
    pub(crate) queue_per_server: u32,
    /// Items on one page of a list.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) page_size: u32,
    /// Items that are taken from one server's list.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) catalog_items_max: u32,
    /// Pages that are taken from one server's list.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) catalog_pages_max: u32,
    /// Seconds after which a server's lists are asked for again.
    #[schemars(range(min = 5, max = 86_400))]
    pub(crate) catalog_refresh_s: u32,
    /// Hours that a session lasts.
    #[schemars(range(min = 1, max = 8760))]
    pub(crate) session_hours: u32,
    /// Requests per second and principal in the long run, unless the tenant says otherwise.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) principal_per_second: u32,
    /// Requests that a principal may make at once after a pause, unless the tenant says otherwise.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) principal_burst: u32,
    /// Calls of one principal that may run at once, unless the tenant says otherwise.
    #[schemars(range(min = 1, max = 65_536))]
    pub(crate) principal_concurrency: u32,
    /// Further limits by names of a-z, 0-9, `_` and `-`, which refused callers are told. Every tenant is counted for itself,
    /// and none can change them.
    #[schemars(extend("maxProperties" = FILE_RULES_MAX))]
    pub(crate) rules: RuleFiles,
    /// Requests per second of one address (of IPv6, of one /64) in the long run, before anybody knows who asks; counted by each
    /// replica, 0 means without a limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) address_per_second: u32,
    /// Requests of one address at once after a pause.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) address_burst: u32,
    /// Sign-ins per minute of one address that may fail; counted by each replica, 0 means without a limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) failed_sign_ins_per_minute: u32,
    /// Sign-ins of one address that may fail at once after a pause.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) failed_sign_ins_burst: u32,
    /// Whether answers carry `RateLimit` headers.
    pub(crate) headers: bool,
    /// Threads that do the work; absent: as many as there are cores.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) workers: Option<u32>,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            header_bytes_max: 64 << 10,
            header_read_timeout_s: 10,
            body_read_timeout_s: 30,
            connections_max: 16_384,
            connections_per_ip_max: 2048,
            response_bytes_max: 64 << 20,
            depth_max: 64,
            call_timeout_s: 60,
            call_timeout_max_s: 600,
            answer_s: 300,
            streams_per_principal: 512,
            stream_minutes: 60,
            sse_after_s: 5,
            keepalive_s: 15,
            drain_s: 25,
            drain_delay_s: 0,
            concurrency_per_server: 64,
            queue_per_server: 256,
            page_size: 500,
            catalog_items_max: 5000,
            catalog_pages_max: 100,
            catalog_refresh_s: 300,
            session_hours: 24,
            principal_per_second: 200,
            principal_burst: 400,
            principal_concurrency: 64,
            rules: RuleFiles::new(),
            address_per_second: 2000,
            address_burst: 4000,
            failed_sign_ins_per_minute: 60,
            failed_sign_ins_burst: 60,
            headers: false,
            workers: None,
        }
    }
}

/// What the gateway writes to its standard error.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogFile {
    /// Lines for people or for programs.
    pub(crate) format: LogFormat,
    /// What is written, as in `info` or `info,patchbay=debug`.
    #[schemars(length(min = 1, max = 1000))]
    pub(crate) filter: String,
}

impl Default for LogFile {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
