//! What people type. Without a command the gateway serves; everything else works on the store and is seen by a running gateway
//! within a second. Texts for people go to standard output, problems to standard error, and the exit code says which it was.

mod ask;
mod audit;
pub mod connect;
mod keys;
mod limits;
mod migrate;
mod quickstart;
mod serve;
mod tenants;
mod token;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use patchbay_config::{ConfigErrors, Environment, GatewayConfig};
use patchbay_store::{Note, Store};
use std::sync::Arc;

pub use crate::files;
use crate::{
    app::{self, Keys},
    audit as trail,
};

/// The program was called wrongly (sysexits EX_USAGE).
const EXIT_USAGE: u8 = 64;
/// The configuration cannot be used (sysexits EX_CONFIG).
const EXIT_CONFIG: u8 = 78;

/// One address for all the tools of a team: an MCP gateway for many tenants.
#[derive(Debug, Parser)]
#[command(name = "patchbay", version, about, long_about = None, propagate_version = true)]
struct Args {
    /// The gateway's configuration. Without one: ./patchbay.yaml when it is there, else the embedded default.
    #[arg(long, global = true, value_name = "FILE", env = "PATCHBAY_CONFIG")]
    config: Option<PathBuf>,
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
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_config = error.chain().any(|cause| cause.is::<ConfigErrors>());
            complain(&format!("patchbay: {error:#}"));
            ExitCode::from(if is_config { EXIT_CONFIG } else { 1 })
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let given = args.config;
    match args.command.unwrap_or(Command::Serve) {
        Command::Schema { of } => {
            let schema =
                if of == "tenant" { patchbay_config::tenant_json_schema() } else { patchbay_config::json_schema() };
            say(&serde_json::to_string_pretty(&schema)?);
            Ok(())
        }
        Command::Serve => runtime.block_on(serve::serve(given)),
        Command::Check => runtime.block_on(serve::check(given)),
        Command::Migrate => runtime.block_on(migrate::migrate(given)),
        Command::Health { address } => runtime.block_on(serve::health(given, address)),
        Command::Apply(apply) => runtime.block_on(apply.run(&Desk::open(given))),
        Command::Export(export) => runtime.block_on(export.run(&Desk::open(given))),
        Command::Import(import) => runtime.block_on(import.run(&Desk::open(given))),
        Command::Key(key) => runtime.block_on(key.run(&Desk::open(given))),
        Command::Token(token) => runtime.block_on(token.run(&Desk::open(given))),
        Command::Limits(limits) => runtime.block_on(limits.run(&Desk::open(given))),
        Command::Audit(audit) => runtime.block_on(audit.run(&Desk::open(given))),
        Command::Tenant(tenant) => runtime.block_on(tenant.run(&Desk::open(given))),
        Command::Connect(connect) => runtime.block_on(connect.run(&Desk::open(given))),
    }
}

/// Where a command works: the configuration that it was given.
struct Desk {
    given: Option<PathBuf>,
}

impl Desk {
    const fn open(given: Option<PathBuf>) -> Self {
        Self { given }
    }

    fn config(&self) -> anyhow::Result<GatewayConfig> {
        load_config(self.given.as_deref())
    }

    async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let config = self.config()?;
        app::open_store(&config, &Keys::of(&config)?).await
    }
}

/// What the audit says of a change that somebody makes at the command line; the store writes it together with the change.
fn note(what: impl Into<String>) -> Note {
    Note::by_operator(what, trail::now_ms())
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
