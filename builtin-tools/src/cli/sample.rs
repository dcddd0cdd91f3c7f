//! `patchbay-tools sample`: the sample shop.

use std::{
    io::{self, Write as _},
    path::Path,
};

use clap::Args;
use patchbay_builtin_tools::db::{Sample as Made, create_sample_shop};
use secrecy::ExposeSecret as _;

use super::database::{Database, is_postgres};

/// Make the sample shop database: products, orders and order items
///
/// What exists already is left as it is.
#[derive(Debug, Args)]
pub(crate) struct Sample {
    #[command(flatten)]
    database: Database,
}

impl Sample {
    /// Makes it, and says whether it was there.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let database = self.database.read()?;
        let database = database.expose_secret();
        anyhow::ensure!(!is_postgres(database), "The sample shop is made in SQLite files; give a path.");
        let said = match create_sample_shop(Path::new(database))? {
            Made::Created => "The sample shop is made.",
            Made::AlreadyThere => "A file of that name exists; it was left as it is.",
        };
        writeln!(io::stderr(), "{said}")?;
        Ok(())
    }
}
