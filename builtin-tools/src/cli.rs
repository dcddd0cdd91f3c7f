//! The command line of `patchbay-tools`: its commands, a file for each. What they share is in `database` (which database, and
//! where a password may stand) and `serve` (a tool server on stdio).

mod database;
mod db;
mod role;
mod sample;
mod serve;
mod statements;
mod weather;

use clap::{Parser, Subcommand};

/// Patchbay's built-in tool servers, without the gateway.
#[derive(Debug, Parser)]
#[command(name = "patchbay-tools", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Db(db::Db),
    Weather(weather::Weather),
    Sample(sample::Sample),
    Role(role::Role),
    Statements(statements::Statements),
}

impl Cli {
    /// Does what the command says.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Db(db) => db.run().await,
            Command::Weather(weather) => weather.run().await,
            Command::Sample(sample) => sample.run().await,
            Command::Role(role) => role.run(),
            Command::Statements(statements) => statements.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
