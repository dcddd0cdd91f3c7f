//! `patchbay-tools statements`: what the DB explorer itself runs for a tool, for whoever measures it beside a plain driver.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;
use patchbay_builtin_tools::db::explorer_statements;

/// Print, as JSON, the SQL that the DB explorer runs for a tool on the sample shop in PostgreSQL
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Statements {
    /// `list_tables`, `describe_table` or `analyze_table`
    tool: String,
    /// The schema of the sample shop
    #[arg(long, value_name = "NAME", default_value = "shop")]
    schema: String,
    /// The table that is described or analysed
    #[arg(long, value_name = "NAME", default_value = "orders")]
    table: String,
}

impl Statements {
    /// Prints them.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let statements = explorer_statements(&self.tool, &self.schema, &self.table).context(
            "Only list_tables and describe_table have such statements, and analyze_table of the table orders.",
        )?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&statements)?)?;
        Ok(())
    }
}
