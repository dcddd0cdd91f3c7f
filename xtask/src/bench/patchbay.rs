//! Patchbay as it is measured: its real configuration, with SQLite, an API key, limits that nobody meets, and the audit.
//!
//! The only file of the measurements that knows Patchbay's commands and formats.

use std::{
    cell::Cell,
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{
    databases::{Shop, TOOLSET},
    fleet::Origin,
};
use crate::{
    process::{self, Guard},
    workspace::free_port,
};

const LIMIT: Duration = Duration::from_secs(30);
/// The servers whose tools make up the long list.
const LIST_SERVERS: usize = 10;
/// The tokens' `iss`; nobody asks there, since the key set has an address of its own.
const ISSUER: &str = "http://127.0.0.1/bench-issuer";
const AUDIENCE: &str = "patchbay-bench";
/// Tokens for one measurement that shows each of them once: more than can be shown in ten seconds.
const FRESH_TOKENS: usize = 100_000;
/// The toolset that takes tokens; it has what `legacy` has.
pub(super) const TOKENS: &str = "tokens";

/// The toolset whose list changes while it is listened to, and the tool by which it does.
pub(super) const CHANGING: &str = "changing";
const CHANGED_TOOL: &str = "modern/small";

/// A gateway that is set up, and runs between `start` and `stop`.
pub(super) struct Patchbay {
    program: PathBuf,
    config: PathBuf,
    tenant: PathBuf,
    log: PathBuf,
    port: u16,
    key: String,
    noisy_key: String,
    tokens: Tokens,
    server: Option<Guard>,
}

/// Access tokens: one that is shown again and again, and files of those that are shown once.
struct Tokens {
    folder: PathBuf,
    warm: String,
    files: usize,
    next: Cell<usize>,
}

#[derive(Deserialize)]
struct NewKey {
    key: String,
}

impl Patchbay {
    /// Writes the files, applies the tenant and makes its key, with this program.
    pub(super) fn prepare(
        program: &Path,
        folder: &Path,
        origin: &Origin,
        shop: Option<&Shop>,
        fresh: usize,
        flavour: &Flavour,
    ) -> Result<Self> {
        let (port, operations) = (free_port()?, free_port()?);
        let (config, tenant) = (folder.join("patchbay.yaml"), folder.join("bench.yaml"));
        let text =
            configuration(folder, port, operations, &origin.stdio_command()[0], matches!(flavour, Flavour::Usual));
        fs::write(&config, text + &flavour.configuration())?;
        fs::write(&tenant, tenant_file(origin, shop) + flavour.tenant())?;
        let log = folder.join("patchbay.log");
        let tokens = Tokens::mint(folder, origin, fresh)?;
        let (key, noisy_key) = (String::new(), String::new());
        let mut patchbay =
            Self { program: program.to_owned(), config, tenant, log, port, key, noisy_key, tokens, server: None };
        patchbay.key = patchbay.new_tenant("bench", &patchbay.tenant)?;
        if let Flavour::Governed { .. } = flavour {
            let noisy = folder.join("noisy.yaml");
            fs::write(&noisy, noisy_file(origin))?;
            patchbay.noisy_key = patchbay.new_tenant("noisy", &noisy)?;
        }
        Ok(patchbay)
    }

    /// Applies a tenant's file and makes its key.
    fn new_tenant(&self, name: &str, file: &Path) -> Result<String> {
        self.apply(file)?;
        let mut create = self.command("key");
        create.args(["create", "--tenant", name, "--label", "bench", "--json"]);
        let text = process::output(&mut create, "patchbay key create", LIMIT)?;
        let made: NewKey = serde_json::from_str(&text).context("`patchbay key create --json` did not tell the key")?;
        Ok(made.key)
    }

    fn apply(&self, file: &Path) -> Result<()> {
        process::output(self.command("apply").arg("-f").arg(file), "patchbay apply", LIMIT)?;
        Ok(())
    }

    /// Changes the list of the toolset [`CHANGING`], and of no other.
    pub(super) fn change(&self, round: usize) -> Result<()> {
        let text = fs::read_to_string(&self.tenant)?;
        let before = text.lines().find(|line| line.contains(CHANGED_TOOL)).context("no tool is described")?;
        let after = format!("      describe: {{ {CHANGED_TOOL}: \"described in round {round}\" }}");
        fs::write(&self.tenant, text.replace(before, &after))?;
        self.apply(&self.tenant)
    }

    /// The key of the noisy tenant, where there is one.
    pub(super) fn noisy_key(&self) -> &str {
        &self.noisy_key
    }

    /// Starts the gateway and waits until it says that it is ready.
    pub(super) fn start(&mut self) -> Result<()> {
        let arguments = self.serve_command();
        let mut command = Command::new(&arguments[0]);
        let log = fs::File::create(&self.log)?;
        command.args(&arguments[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let server = self.server.insert(Guard::start(&mut command, "Patchbay")?);
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let said = || process::tail(&fs::read_to_string(&self.log).unwrap_or_default()).to_owned();
            server.check_alive().with_context(said)?;
            ensure!(Instant::now() < end, "Patchbay took no connections in {} seconds: {}", LIMIT.as_secs(), said());
            process::pause()?;
        }
        Ok(())
    }

    /// Stops the gateway; its store stays.
    pub(super) fn stop(&mut self) {
        self.server = None;
    }

    /// The command line that serves.
    pub(super) fn serve_command(&self) -> Vec<String> {
        let words = [self.program.display().to_string(), "serve".into(), "--config".into()];
        words.into_iter().chain([self.config.display().to_string()]).collect()
    }

    /// The path of a toolset.
    pub(super) fn path(&self, toolset: &str) -> String {
        format!("/t/bench/{toolset}/mcp")
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The token that is shown again and again.
    pub(super) fn token(&self) -> &str {
        &self.tokens.warm
    }

    /// A file of tokens that were not shown yet.
    pub(super) fn fresh_tokens(&self) -> Result<PathBuf> {
        let part = self.tokens.next.get();
        ensure!(part < self.tokens.files, "no fresh tokens are left: {part} measurements had theirs");
        self.tokens.next.set(part + 1);
        Ok(self.tokens.folder.join(format!("tokens-{part}.txt")))
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Guard::pid)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        let words: Vec<&str> = name.split(' ').collect();
        command.args(words).arg("--config").arg(&self.config);
        command
    }
}

impl Tokens {
    /// One file more than asked for, of which the warm token is the first.
    fn mint(folder: &Path, origin: &Origin, fresh: usize) -> Result<Self> {
        let files = fresh + 1;
        let mut mint = origin.mint_command(folder);
        let count = if fresh > 0 { FRESH_TOKENS } else { 1 };
        mint.args([ISSUER, AUDIENCE, &files.to_string(), &count.to_string()]);
        process::output(&mut mint, "bench-origin --mint", LIMIT)?;
        let last = fs::File::open(folder.join(format!("tokens-{fresh}.txt")))?;
        let warm = BufReader::new(last).lines().next().context("no token was made")??;
        Ok(Self { folder: folder.to_owned(), warm, files: fresh, next: Cell::new(0) })
    }
}

/// How a gateway counts and records.
pub(super) enum Flavour {
    /// As it comes: limits in memory, records in the spool before the answer.
    Usual,
    /// The same, in a build that may not know every setting.
    Before,
    /// As little as can be: the limits that always are, in memory, and one record after the answer.
    Bare,
    /// Three rates and a cap on each call, in Redis; records in the spool before the answer.
    Governed {
        /// Where Redis is.
        redis: String,
    },
}

impl Flavour {
    fn configuration(&self) -> String {
        match self {
            Self::Usual | Self::Before | Self::Bare => String::new(),
            Self::Governed { redis } => format!("redis: {{ url: \"{redis}\" }}\n"),
        }
    }

    fn tenant(&self) -> &'static str {
        match self {
            Self::Usual | Self::Before => "",
            Self::Bare => "audit: { level: async }\n",
            Self::Governed { .. } => {
                "audit: { level: ack }
limits:
  rules:
    team: { by: [tenant], count: 1000000, burst: 1000000 }
    each-tool: { by: [principal, tool], count: 1000000, burst: 1000000 }
"
            }
        }
    }
}

/// What the limit of the noisy tenant lets through in a second.
pub(super) const NOISY_PER_S: u32 = 50;

/// A tenant with a limit that it will meet.
fn noisy_file(origin: &Origin) -> String {
    let url = origin.url("/modern/calls");
    format!(
        "tenant: noisy
servers:
  modern:
    url: {url}
limits:
  rules:
    all: {{ by: [tenant], count: {NOISY_PER_S}, burst: {NOISY_PER_S} }}
"
    )
}

/// What a real configuration holds; only the bounds that would stop a measurement are moved out of its way.
fn configuration(folder: &Path, port: u16, operations: u16, stdio_program: &str, is_usual: bool) -> String {
    let folder = folder.display();
    // An earlier build may not know it yet.
    let streams = if is_usual { "  streams_per_principal: 10000\n" } else { "" };
    format!(
        "listen:
  mcp: 127.0.0.1:{port}
  operations: 127.0.0.1:{operations}
  admin: 'off'
public_url: http://127.0.0.1:{port}
data_dir: {folder}/patchbay-data
stdio:
  commands:
    bench-origin: {{ path: {stdio_program} }}
http:
  allow_private: [127.0.0.0/8]
  allow_http: true
limits:
  connections_max: 65536
  connections_per_ip_max: 65536
  principal_per_second: 1000000
  principal_burst: 1000000
  principal_concurrency: 4096
{streams}  address_per_second: 1000000
  address_burst: 1000000
"
    )
}

/// One tenant with a toolset for each kind of measurement; toolsets of one server pass its names as they are.
fn tenant_file(origin: &Origin, shop: Option<&Shop>) -> String {
    let keys = origin.url("/jwks");
    let mut text = format!(
        "tenant: bench\nissuers:\n  bench: {{ issuer: \"{ISSUER}\", jwks_url: \"{keys}\", audiences: [{AUDIENCE}] }}\nservers:\n"
    );
    let mut http = |name: &str, path: &str| {
        text += &format!("  {name}:\n    url: {}\n", origin.url(path));
    };
    http("legacy", "/legacy/calls");
    http("modern", "/modern/calls");
    for number in 0..LIST_SERVERS {
        http(&format!("list{number}"), &format!("/legacy/ten/{number}"));
    }
    let arguments = origin.stdio_command()[1..].join(", ");
    text += &format!("  stdio:\n    command: bench-origin\n    args: [{arguments}]\n");
    text += &shop.map(Shop::server).unwrap_or_default();
    text += "toolsets:\n";
    for name in ["legacy", "modern", "stdio"].into_iter().chain(shop.map(|_| TOOLSET)) {
        text += &format!("  {name}:\n    servers: [{name}]\n    prefix: never\n");
    }
    text += &format!("  {TOKENS}:\n    servers: [legacy]\n    prefix: never\n    access: both\n");
    text += &format!(
        "  {CHANGING}:\n    servers: [modern]\n    prefix: never\n    tools:\n      describe: {{ {CHANGED_TOOL}: \"described in round 0\" }}\n"
    );
    let lists: Vec<String> = (0..LIST_SERVERS).map(|number| format!("list{number}")).collect();
    text + &format!("  lists:\n    servers: [{}]\n", lists.join(", "))
}
