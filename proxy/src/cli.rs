//! What people type. Without a command the gateway serves. What reads and changes tenants speaks the admin API ([`api`]): to a gateway
//! that is named with `--server`, or in this process over the store, where a running gateway sees it within a second. Texts for people
//! go to standard output, problems to standard error, and the exit code says which it was.

mod admin_keys;
mod api;
mod ask;
mod audit;
pub mod connect;
mod keys;
mod limits;
mod migrate;
mod quickstart;
mod sealing_key;
mod serve;
mod server;
mod sessions;
mod tenants;
mod token;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use patchbay_config::{ConfigErrors, Environment, GatewayConfig};
use patchbay_store::{Note, Store};
use std::sync::Arc;

use self::api::Server;
pub use crate::files;
use crate::{
    app::{self, Keys},
    audit as trail,
};

/// The program was called wrongly (sysexits EX_USAGE).
const EXIT_USAGE: u8 = 64;
/// The configuration cannot be used (sysexits EX_CONFIG).
const EXIT_CONFIG: u8 = 78;

/// The variable that names the gateway to ask.
const SERVER_VARIABLE: &str = "PATCHBAY_SERVER";

/// One address for all the tools of a team: an MCP gateway for many tenants.
#[derive(Debug, Parser)]
#[command(name = "patchbay", version, about, long_about = None, propagate_version = true)]
struct Args {
    /// The gateway's configuration. Without one: ./patchbay.yaml when it is there, else the embedded default.
    #[arg(long, global = true, value_name = "FILE", env = "PATCHBAY_CONFIG")]
    config: Option<PathBuf>,
    /// The gateway to ask, by the address of its admin listener, instead of the store of the configuration. The admin key is read from
    /// PATCHBAY_ADMIN_KEY. [env: PATCHBAY_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// With --server: read the admin key, or an access token of an issuer of admins, from this file.
    #[arg(long, global = true, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    /// With --server: let the admin key go over http:// to another machine, where everybody on the way can read it.
    #[arg(long, global = true)]
    insecure_http: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default).
    Serve,
    /// Check the configuration, the store, the commands on the operator's list and the tenants' servers, and change no tenant.
    Check,
    /// Bring the store's tables up to date and end. Gateways do it too when they start.
    Migrate,
    /// Make a tenant be what a file says.
    Apply(tenants::Apply),
    /// Write a tenant as a file, without its secrets.
    Export(tenants::Export),
    /// Take the servers of an existing mcp.json into a tenant.
    Import(tenants::Import),
    /// API keys.
    #[command(subcommand)]
    Key(keys::Key),
    /// Admin keys: who may administer over the admin API.
    #[command(subcommand)]
    AdminKey(admin_keys::AdminKey),
    /// Access tokens of a tenant's issuers.
    #[command(subcommand)]
    Token(token::Token),
    /// Limits.
    #[command(subcommand)]
    Limits(limits::Limits),
    /// The trail of who did what.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Tenants.
    #[command(subcommand)]
    Tenant(tenants::TenantCommand),
    /// Servers of a tenant, as a running gateway sees them.
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Legacy sessions of a tenant.
    #[command(subcommand)]
    Session(sessions::Session),
    /// The key that seals secrets in the store.
    #[command(subcommand)]
    SealingKey(sealing_key::Sealing),
    /// Print what to paste into an IDE to reach a tenant.
    Connect(connect::Connect),
    /// Ask a running gateway whether it is well; the exit code says so.
    Health {
        /// Where its operations listener is; without it, where the configuration says.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Print the JSON schema of a file.
    Schema {
        /// Which file.
        #[arg(value_parser = ["patchbay", "tenant"])]
        of: String,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    let (url, rest) = gateway_of(std::env::args_os());
    let args = match Args::try_parse_from(rest) {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(args, url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_config = error.chain().any(|cause| cause.is::<ConfigErrors>());
            complain(&format!("patchbay: {error:#}"));
            ExitCode::from(if is_config { EXIT_CONFIG } else { 1 })
        }
    }
}

/// The gateway among the arguments, and the rest of them. It is looked for before they are parsed, since two commands look for what
/// happened at a server of a tenant: theirs is `--server NAME`, and the gateway's is `--server URL`.
fn gateway_of(args: impl IntoIterator<Item = OsString>) -> (Option<String>, Vec<OsString>) {
    let is_url = |text: &&str| text.contains("://");
    let (mut url, mut rest) = (None, Vec::new());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.push(arg);
            rest.extend(args);
            break;
        }
        let text = arg.to_str().unwrap_or_default();
        if let Some(given) = text.strip_prefix("--server=").filter(is_url) {
            url = Some(given.to_owned());
        } else if let Some(given) =
            args.next_if(|next| text == "--server" && next.to_str().as_ref().is_some_and(is_url))
        {
            url = given.into_string().ok();
        } else {
            rest.push(arg);
        }
    }
    (url, rest)
}

impl Command {
    /// Whether its own `--server` is the server of a tenant.
    const fn names_server(&self) -> bool {
        matches!(self, Self::Limits(_) | Self::Audit(_))
    }

    /// Whether it has nothing to do with the store, so that a variable that names a gateway is meant for other commands.
    const fn is_of_here(&self) -> bool {
        matches!(self, Self::Serve | Self::Health { .. } | Self::Schema { .. })
    }
}

fn run(args: Args, url: Option<String>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let Args { config: given, server, admin_key_file: key_file, insecure_http, command } = args;
    let command = command.unwrap_or(Command::Serve);
    let url = url.or_else(|| server.filter(|_| !command.names_server()));
    let is_named = url.is_some();
    let url = url.or_else(|| std::env::var(SERVER_VARIABLE).ok()).filter(|url| !url.is_empty());
    let desk = Desk { given: given.clone(), server: url.map(|url| Server { url, key_file, insecure_http }) };
    if command.is_of_here() && is_named {
        desk.is_here("serve`, `patchbay health` and `patchbay schema")?;
    }
    match command {
        Command::Schema { of } => {
            let schema =
                if of == "tenant" { patchbay_config::tenant_json_schema() } else { patchbay_config::json_schema() };
            say(&serde_json::to_string_pretty(&schema)?);
            Ok(())
        }
        Command::Serve => runtime.block_on(serve::serve(given)),
        Command::Check => desk.is_here("check").and_then(|()| runtime.block_on(serve::check(given))),
        Command::Migrate => desk.is_here("migrate").and_then(|()| runtime.block_on(migrate::migrate(given))),
        Command::Health { address } => runtime.block_on(serve::health(given, address)),
        Command::Apply(apply) => runtime.block_on(apply.run(&desk)),
        Command::Export(export) => runtime.block_on(export.run(&desk)),
        Command::Import(import) => runtime.block_on(import.run(&desk)),
        Command::Key(key) => runtime.block_on(key.run(&desk)),
        Command::AdminKey(key) => runtime.block_on(key.run(&desk)),
        Command::Token(token) => runtime.block_on(token.run(&desk)),
        Command::Limits(limits) => runtime.block_on(limits.run(&desk)),
        Command::Audit(audit) => runtime.block_on(audit.run(&desk)),
        Command::Tenant(tenant) => runtime.block_on(tenant.run(&desk)),
        Command::Server(server) => runtime.block_on(server.run(&desk)),
        Command::Session(session) => runtime.block_on(session.run(&desk)),
        Command::SealingKey(sealing) => runtime.block_on(sealing.run(&desk)),
        Command::Connect(connect) => runtime.block_on(connect.run(&desk)),
    }
}

/// Where a command works: at the gateway that it names, or else with the configuration that it was given.
struct Desk {
    given: Option<PathBuf>,
    server: Option<Server>,
}

impl Desk {
    fn config(&self) -> anyhow::Result<GatewayConfig> {
        load_config(self.given.as_deref())
    }

    async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let config = self.config()?;
        app::open_store(&config, &Keys::of(&config)?).await
    }

    /// Refuses a command that works on this machine when another one is named.
    fn is_here(&self, command: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.server.is_none(),
            "`patchbay {command}` works on this machine: leave --server (PATCHBAY_SERVER) out, or run it where the gateway is"
        );
        Ok(())
    }

    /// Refuses what only a gateway can answer when none is named.
    fn needs_gateway(&self, what: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.server.is_some(),
            "only a running gateway knows {what}: name one with --server URL (PATCHBAY_SERVER), and its admin key with \
             PATCHBAY_ADMIN_KEY or --admin-key-file"
        );
        Ok(())
    }
}

/// What the audit says of a change that somebody makes at the command line; the store writes it together with the change.
fn note(what: impl Into<String>) -> Note {
    Note::by_operator(what, trail::now_ms())
}

/// The name of a server of a tenant. It stands as a text, since `--server` is one everywhere.
fn server_name(text: &str) -> Result<String, patchbay_core::SlugError> {
    text.parse::<patchbay_core::Slug>().map(|name| name.to_string())
}

/// The configuration of this call.
fn load_config(given: Option<&std::path::Path>) -> anyhow::Result<GatewayConfig> {
    let found = config_path(given);
    let config = patchbay_config::load(found.as_deref(), &Environment::of_process());
    config.context("the configuration cannot be used")
}

fn config_path(given: Option<&std::path::Path>) -> Option<PathBuf> {
    given.map(PathBuf::from).or_else(|| Some(PathBuf::from("patchbay.yaml")).filter(|path| path.exists()))
}

/// Prints a line for people or for programs that read us. A reader that has left wants no more.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a problem.
#[expect(clippy::print_stderr, reason = "the command line complains on standard error")]
pub(crate) fn complain(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn gateway(line: &str) -> (Option<String>, String) {
        let (url, rest) = gateway_of(line.split(' ').map(OsString::from));
        (url, rest.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_gateway_is_told_from_a_server_of_a_tenant() {
        for (line, url, rest) in [
            ("p tenant list", None, "p tenant list"),
            ("p --server https://g tenant list", Some("https://g"), "p tenant list"),
            ("p tenant list --server=https://g", Some("https://g"), "p tenant list"),
            ("p audit query --server shop --server https://g", Some("https://g"), "p audit query --server shop"),
            ("p --server https://g limits show --server shop", Some("https://g"), "p limits show --server shop"),
            ("p tenant list --server shop", None, "p tenant list --server shop"),
            ("p tenant list --server", None, "p tenant list --server"),
            ("p import -- --server https://g", None, "p import -- --server https://g"),
        ] {
            assert_eq!(gateway(line), (url.map(str::to_owned), rest.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_server_of_a_tenant_is_not_taken_for_a_gateway() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).unwrap();
        for line in ["p audit query --server shop", "p limits show --tenant acme --server shop"] {
            let args = parse(line);
            assert!(args.command.as_ref().is_some_and(Command::names_server), "{line}");
        }
        assert_eq!(parse("p tenant list --server shop").server.as_deref(), Some("shop"));
        assert!(Args::try_parse_from(["p", "audit", "query", "--server", "127.0.0.1:9091"]).is_err());
    }

    #[test]
    fn every_command_is_described_and_fits_together() {
        Args::command().debug_assert();
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing of itself", command.get_name());
            for arg in command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(look);
        }
        look(&Args::command());
    }
}
