//! The real gateway as a child process. It dies with the test; whatever happens, no child of its own may be left behind.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    canary,
    client::Client,
    database,
    http::Ask,
    idp,
    process::{Mark, Outcome, Running, command, descendants, expect_gone},
    programs::program,
    setup::{Home, Setup},
    wait::{block_until, wait_until},
};

/// A running gateway.
#[derive(Debug)]
pub struct TestGateway {
    process: Running,
    mark: Mark,
    home: Arc<Home>,
    keys: BTreeMap<String, Key>,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Where operators reach it.
    pub operations: SocketAddr,
    /// Where admins reach it.
    pub admin: SocketAddr,
    checked: bool,
}

/// An API key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
}

impl TestGateway {
    /// A gateway to be described.
    pub fn setup() -> Setup {
        Setup::new()
    }

    /// Starts a gateway in this folder, and makes a key for each of these tenants.
    pub(crate) async fn start(home: Arc<Home>, tenants: &[&str]) -> Self {
        let keys = tenants.iter().map(|tenant| ((*tenant).to_owned(), new_key(&home, tenant, "e2e", &[]))).collect();
        Self::run(home, keys).await
    }

    async fn run(home: Arc<Home>, keys: BTreeMap<String, Key>) -> Self {
        let mut process = Self::spawn(&home);
        let mut at = None;
        block_until("the gateway says where it listens", || {
            at = addresses(&process.err());
            let ended = process.status();
            assert!(ended.is_none(), "the gateway ended: {ended:?}\n{}", process.err());
            at.is_some()
        });
        let (address, operations, admin) = at.expect("it was found");
        let mark = Mark::of(process.pid()).expect("it lives");
        let gateway = Self { process, mark, home, keys, address, operations, admin, checked: false };
        gateway.wait_ready().await;
        gateway
    }

    /// Starts the program in this folder without waiting for anything.
    pub fn spawn(home: &Home) -> Running {
        let config = home.config();
        Running::start(
            command(&program("patchbay"), ["--config".as_ref(), config.as_os_str()]).current_dir(home.path(".")),
        )
    }

    /// Waits until it says that it serves.
    pub async fn wait_ready(&self) {
        wait_until("the gateway is ready", || async {
            Ask::get("/readyz").try_send(self.operations).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
    }

    /// Its folder.
    pub const fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The key of this tenant that opens all of it.
    ///
    /// # Panics
    /// When the tenant was not part of the setup.
    pub fn key(&self, tenant: &str) -> &str {
        &self.keys.get(tenant).unwrap_or_else(|| panic!("no key for {tenant}")).text
    }

    /// Makes another key.
    pub fn new_key(&self, tenant: &str, label: &str, more: &[&str]) -> Key {
        new_key(&self.home, tenant, label, more)
    }

    /// The path of a tenant's default toolset.
    pub fn path(tenant: &str) -> String {
        format!("/t/{tenant}/mcp")
    }

    /// A modern client of the tenant's default toolset.
    pub fn modern(&self, tenant: &str) -> Client {
        Client::modern(self.address, &Self::path(tenant), Some(self.key(tenant)))
    }

    /// A legacy client of the tenant's default toolset, with its session.
    pub async fn legacy(&self, tenant: &str) -> Client {
        Client::legacy(self.address, &Self::path(tenant), Some(self.key(tenant))).await
    }

    /// A client of each era.
    pub async fn both(&self, tenant: &str) -> [Client; 2] {
        [self.legacy(tenant).await, self.modern(tenant)]
    }

    /// Runs `patchbay` with this gateway's configuration.
    pub fn patchbay(&self, args: &[&str]) -> Outcome {
        self.home.patchbay(args)
    }

    /// Runs `patchbay` with this gateway's configuration and these variables, each `NAME=value`.
    pub fn patchbay_with(&self, environment: &[&str], args: &[&str]) -> Outcome {
        self.home.patchbay_with(environment, args)
    }

    /// Applies a tenant file from a second process.
    pub fn apply(&self, tenant: &Value) {
        self.home.apply(tenant).good();
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.process.err()
    }

    /// All that it has written until now.
    pub fn written(&self) -> String {
        self.process.out() + &self.process.err()
    }

    /// The processes that it has started.
    pub fn children(&self) -> Vec<Mark> {
        descendants(self.pid())
    }

    /// The metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> String {
        Ask::get("/metrics").send(self.operations).await.text().await
    }

    /// The audit records that are in the embedded store by now, in the order of their ids.
    pub async fn audit(&self) -> Vec<Value> {
        database::audit(&self.home.path("data/patchbay.db")).await
    }

    /// Asks it to stop and does not wait.
    pub fn terminate(&self) {
        self.expect_no_token_in_metrics();
        self.process.signal(Signal::SIGTERM);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Whether it is still there.
    pub fn lives(&self) -> bool {
        self.mark.lives()
    }

    /// Waits for its end in order, and that nothing is left of what it started.
    ///
    /// # Panics
    /// When it fails.
    pub fn ended(&mut self) {
        let children = self.children();
        let status = self.process.ended();
        assert!(status.success(), "the gateway ended with {status}\n{}", self.process.err());
        expect_gone(&children);
        self.checked = true;
        self.expect_no_token_in_what_is_left();
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Arc<Home> {
        self.terminate();
        self.ended();
        self.home.clone()
    }

    /// Kills it without a word; nothing may be left of what it started.
    pub fn kill(&mut self) {
        let children = self.children();
        self.expect_no_token_in_metrics();
        self.process.kill();
        expect_gone(&children);
        self.checked = true;
        self.expect_no_token_in_what_is_left();
    }

    /// Whether tokens come here at all.
    fn is_watched(&self) -> bool {
        !self.home.watched().providers.is_empty()
    }

    fn expect_no_token_in_metrics(&self) {
        if !self.is_watched() || !self.lives() {
            return;
        }
        self.watch_issued();
        let metrics = idp::ask_blocking(self.operations, "GET", "/metrics", "");
        canary::expect_none(metrics.expect("there are metrics"), "the metrics of the gateway");
    }

    fn expect_no_token_in_what_is_left(&self) {
        if !self.is_watched() {
            return;
        }
        self.watch_issued();
        canary::expect_none(self.written(), "the log of the gateway");
        for entry in fs::read_dir(self.home.path("data")).into_iter().flatten().flatten() {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            canary::expect_none(bytes, entry.path().display());
        }
        let database = self.home.watched().database.clone();
        if let Some(database) = database {
            // There may be a runtime around this already, which must not be blocked by another.
            let dumped = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(database.dump())
            });
            canary::expect_none(dumped.join().expect("a dump"), "the store");
        }
    }

    fn watch_issued(&self) {
        let providers = self.home.watched().providers.clone();
        providers.into_iter().for_each(idp::watch_issued);
    }

    /// Starts it again in the same folder, with the same keys, on other ports. To be called after it has ended.
    pub async fn again(&self) -> Self {
        Self::run(self.home.clone(), self.keys.clone()).await
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            complain(&format!("--- the log of the gateway ---\n{}", self.process.err()));
        } else if !self.checked {
            self.kill();
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads of a failed test wants to see it")]
fn complain(text: &str) {
    eprintln!("{text}");
}

fn new_key(home: &Home, tenant: &str, label: &str, more: &[&str]) -> Key {
    let args = ["key", "create", "--tenant", tenant, "--label", label, "--json"];
    let out = home.patchbay(&[&args, more].concat()).good();
    let key: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let text = |name: &str| key[name].as_str().unwrap_or_else(|| panic!("no {name} in {out}")).to_owned();
    Key { id: text("id"), text: text("key") }
}

/// Where the gateway listens, by the line of its log that says so.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr, SocketAddr)> {
    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
        let address = |name: &str| line[name].as_str()?.parse().ok();
        Some((address("mcp")?, address("operations")?, address("admin")?))
    })
}
