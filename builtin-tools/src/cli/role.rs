//! `patchbay-tools role`: the SQL of a role that may do what a source of PostgreSQL needs, and nothing else.

use std::io::{self, Write as _};

use clap::Args;
use patchbay_builtin_tools::db::role_sql;

/// Print the SQL that makes a role for a PostgreSQL source: it may read, and do nothing else
///
/// Run it in the database that is to be read, as the owner of the tables or as a superuser, and give the role a password.
/// The options mean the same as those of the source.
#[derive(Debug, Args)]
pub(crate) struct Role {
    /// The role
    #[arg(long, value_name = "ROLE")]
    name: String,
    /// The schemas, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "public")]
    schemas: Vec<String>,
    /// The tables and views that it may read, separated by commas; names or globs [default: all]
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    tables: Option<Vec<String>>,
    /// The tables that it may add rows to, separated by commas; names or globs
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    insert: Vec<String>,
}

impl Role {
    /// Prints it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let sql = role_sql(&self.name, &self.schemas, self.tables.as_deref(), &self.insert);
        io::stdout().write_all(sql.as_bytes())?;
        Ok(())
    }
}
