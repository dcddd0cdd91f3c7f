//! What a gateway is started with: its configuration, its tenants, its store. One line per thing that a test wants otherwise
//! than usual.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{
    database::Postgres,
    gateway::TestGateway,
    idp::Idp,
    process::{Outcome, command, run},
    programs::program,
};

/// A gateway that is about to be started.
#[derive(Debug)]
pub struct Setup {
    config: Value,
    tenants: Vec<Value>,
    home: Arc<Home>,
    at_once: bool,
}

/// The folder of a gateway: its configuration, its data, the files of its tenants. Outlives a restart.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    watched: Mutex<Watched>,
}

/// Where tokens come from that this gateway sees, and where it may have left something of them besides its folder.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// The providers.
    pub(crate) providers: Vec<SocketAddr>,
    /// The Postgres database.
    pub(crate) database: Option<Postgres>,
}

/// The sealing key of gateways that share a store; nothing of it is secret.
const SEALING_KEY: &str = "0123456789abcdef0123456789abcdef-for-tests";

impl Home {
    /// The path of something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// See [`Watched`].
    pub(crate) fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gateway's configuration.
    pub fn config(&self) -> PathBuf {
        self.path("patchbay.yaml")
    }

    /// Runs `patchbay` with these arguments and this configuration.
    pub fn patchbay(&self, args: &[&str]) -> Outcome {
        self.patchbay_with(&[], args)
    }

    /// The same with these variables, each `NAME=value`.
    pub fn patchbay_with(&self, environment: &[&str], args: &[&str]) -> Outcome {
        let config = self.config();
        let all = ["--config", config.to_str().expect("a plain path")].into_iter().chain(args.iter().copied());
        let variables = environment.iter().filter_map(|pair| pair.split_once('='));
        run(command(&program("patchbay"), all).envs(variables).current_dir(self.folder.path()))
    }

    /// Applies a tenant file.
    pub fn apply(&self, tenant: &Value) -> Outcome {
        let file = self.path(&format!("{}.yaml", tenant["tenant"].as_str().unwrap_or("tenant")));
        fs::write(&file, tenant.to_string()).expect("the folder can be written");
        self.patchbay(&["apply", "-f", file.to_str().expect("a plain path")])
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A gateway on free ports with an embedded store, that lets tenants reach servers on this machine and start our fixtures:
    /// the commands `scripted` and `conformance`, over stdio.
    ///
    /// # Panics
    /// When there is no place for its folder.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("patchbay-e2e-").expect("a folder");
        let home = Home { folder, watched: Mutex::default() };
        let fixture = |name: &str| json!({ "path": program(name), "args_prefix": ["--stdio"] });
        let config = json!({
            "listen": { "mcp": "127.0.0.1:0", "operations": "127.0.0.1:0", "admin": "127.0.0.1:0" },
            "data_dir": home.path("data"),
            "http": { "allow_private": ["127.0.0.0/8"], "allow_http": true },
            "stdio": { "commands": {
                "scripted": fixture("fixture-scripted"),
                "conformance": fixture("fixture-conformance"),
            } },
            // All callers of a test share one address.
            "limits": { "address_per_second": 0, "failed_sign_ins_per_minute": 0 },
            "log": { "format": "json", "filter": "info" },
        });
        Self { config, tenants: Vec::new(), home: Arc::new(home), at_once: false }
    }

    /// Changes a setting of the configuration: a field, or several fields of a section.
    #[must_use]
    pub fn set(mut self, field: &str, value: Value) -> Self {
        merge(&mut self.config[field], value);
        self
    }

    /// Changes one bound.
    #[must_use]
    pub fn limit(self, name: &str, value: u64) -> Self {
        self.set("limits", json!({ name: value }))
    }

    /// Adds a tenant. It gets a key that opens all of it, see [`TestGateway::key`].
    #[must_use]
    pub fn tenant(mut self, tenant: Value) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// Uses a Postgres database, and the sealing key of all gateways that share one.
    ///
    /// # Panics
    /// When the key cannot be written.
    #[must_use]
    pub fn postgres(self, database: &Postgres) -> Self {
        let file = self.home.path("sealing.key");
        fs::write(&file, SEALING_KEY).expect("the folder can be written");
        self.home.watched().database = Some(database.clone());
        self.set("store", json!({ "url": database.url() }))
            .set("sealing_key", json!(format!("file:{}", file.display())))
    }

    /// Gives it its first admin key.
    ///
    /// # Panics
    /// When the key cannot be written.
    #[must_use]
    pub fn first_admin_key(self, key: &str) -> Self {
        let file = self.home.path("admin.key");
        fs::write(&file, key).expect("the folder can be written");
        self.set("admin", json!({ "bootstrap_key": format!("file:{}", file.display()) }))
    }

    /// Counts limits in a Redis at this address.
    #[must_use]
    pub fn redis(self, address: SocketAddr) -> Self {
        self.set("redis", json!({ "url": format!("redis://{address}/") }))
    }

    /// Tokens of this provider come to the gateway: when it ends, nothing of any of them may be found in its log, its metrics,
    /// its store.
    #[must_use]
    pub fn idp(self, idp: &Idp) -> Self {
        self.home.watched().providers.push(idp.control());
        self
    }

    /// Uses another store.
    #[must_use]
    pub fn store(self, url: &str) -> Self {
        self.set("store", json!({ "url": url }))
    }

    /// Does not wait for the first lists of the servers. Without this, the tools of all servers that are well are known when
    /// the gateway has been started.
    #[must_use]
    pub const fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Writes the configuration and gives the folder, for what is done before or without a start.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn home(&self) -> Arc<Home> {
        fs::write(self.home.config(), self.config.to_string()).expect("the folder can be written");
        self.home.clone()
    }

    /// Makes the tenants and their keys, starts the gateway and waits until it serves and has heard its servers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(self) -> TestGateway {
        let home = self.home();
        for tenant in &self.tenants {
            home.apply(tenant).good();
        }
        let names: Vec<_> = self.tenants.iter().filter_map(|tenant| tenant["tenant"].as_str()).collect();
        let gateway = TestGateway::start(home, &names).await;
        for name in names.into_iter().filter(|_| !self.at_once) {
            // The first list waits for its servers; what it says is for the tests to ask.
            let _ = gateway.modern(name).ask("tools/list", json!({})).send(gateway.address).await.bytes().await;
        }
        gateway
    }
}

/// Lays `over` over `under`: objects member by member, anything else as a whole.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                merge(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

/// A tenant of these servers.
pub fn tenant(name: &str, servers: impl IntoIterator<Item = (impl Into<String>, Value)>) -> Value {
    let servers: Map<String, Value> = servers.into_iter().map(|(name, server)| (name.into(), server)).collect();
    json!({ "tenant": name, "servers": servers })
}

/// `fixture-scripted` over stdio, as a tenant file has it, with these further arguments.
pub fn scripted(args: &[&str]) -> Value {
    json!({ "command": "scripted", "args": args })
}

/// `fixture-conformance` over stdio, as a tenant file has it, with these further arguments.
pub fn conformance(args: &[&str]) -> Value {
    json!({ "command": "conformance", "args": args })
}
