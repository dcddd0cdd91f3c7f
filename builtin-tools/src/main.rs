//! `patchbay-tools`: serves one of the built-in tool servers alone on stdio, for clients without the gateway and for
//! tests, and makes the sample database. All protocol goes to stdout, all else to stderr.

use std::{io, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use patchbay_builtin_tools::{
    Given,
    db::{self, Sample},
};
use rmcp::ServiceExt as _;
use serde_json::json;

/// Patchbay's built-in tool servers, without the gateway.
#[derive(Debug, Parser)]
#[command(name = "patchbay-tools", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the DB explorer over one SQLite database on stdin and stdout, as an MCP server
    ///
    /// The database is opened read-only; SQLite's authorizer refuses everything but reading the tables that are allowed.
    Db(Db),
    /// Make the sample shop database: products, orders and order items
    ///
    /// A file that exists already is left as it is.
    Sample {
        /// Where to put the database
        #[arg(long, value_name = "PATH")]
        database: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Db {
    /// The SQLite file to read
    #[arg(long, value_name = "PATH")]
    database: PathBuf,
    /// The name of the source in resource URIs [default: the file's name without its ending]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The tables and views that may be read, separated by commas [default: all]
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    tables: Option<Vec<String>>,
    /// The most rows of one answer
    #[arg(long, value_name = "N", default_value_t = 200)]
    rows_max: u64,
    /// The most bytes of one answer's rows
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    bytes_max: u64,
    /// The most milliseconds of one query
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    timeout_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(tracing::Level::WARN).init();
    match Cli::parse().command {
        Command::Db(options) => serve(options).await,
        Command::Sample { database } => sample(&database),
    }
}

async fn serve(options: Db) -> anyhow::Result<()> {
    let explorer = db::db(&Given::of(json!({
        "database": options.database,
        "source": options.source,
        "tables": options.tables,
        "rows_max": options.rows_max,
        "bytes_max": options.bytes_max,
        "timeout_ms": options.timeout_ms,
    })))?;
    let running = explorer.serve(rmcp::transport::stdio()).await.context("the client did not begin an MCP session")?;
    running.waiting().await.context("the MCP session broke off")?;
    Ok(())
}

fn sample(database: &std::path::Path) -> anyhow::Result<()> {
    let said = match db::create_sample_shop(database)? {
        Sample::Created => "The sample shop is made.",
        Sample::AlreadyThere => "A file of that name exists; it was left as it is.",
    };
    io::Write::write_all(&mut io::stderr(), format!("{said}\n").as_bytes())?;
    Ok(())
}
