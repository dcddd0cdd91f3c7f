//! `patchbay-tools sample`: the sample shop, as a SQLite file or in a PostgreSQL database.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::ensure;
use clap::Args;
use patchbay_builtin_tools::db::{Sample as Made, create_sample_shop, create_sample_shop_in_postgres};
use secrecy::{ExposeSecret as _, SecretString};

use super::database::{Database, is_postgres};

/// Make the sample shop database: products, orders and order items
///
/// In PostgreSQL it gets a schema of its own. What exists already is left as it is.
#[derive(Debug, Args)]
pub(crate) struct Sample {
    #[command(flatten)]
    database: Database,
    /// The schema to make, in PostgreSQL [default: shop]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Also make a role that may read the schema and do nothing else, in PostgreSQL; it has no password yet
    #[arg(long, value_name = "ROLE")]
    reader: Option<String>,
}

impl Sample {
    /// Makes it, and says whether it was there.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let database = self.database.read()?;
        let said = match is_postgres(database.expose_secret()) {
            true => in_postgres(&database, self.schema.as_deref().unwrap_or("shop"), self.reader.as_deref()).await?,
            false => {
                ensure!(self.schema.is_none() && self.reader.is_none(), "--schema and --reader are for PostgreSQL.");
                in_sqlite(Path::new(database.expose_secret()))?.to_owned()
            }
        };
        writeln!(io::stderr(), "{said}")?;
        Ok(())
    }
}

fn in_sqlite(path: &Path) -> anyhow::Result<&'static str> {
    Ok(match create_sample_shop(path)? {
        Made::Created => "The sample shop is made.",
        Made::AlreadyThere => "A file of that name exists; it was left as it is.",
    })
}

async fn in_postgres(url: &SecretString, schema: &str, reader: Option<&str>) -> anyhow::Result<String> {
    Ok(match (create_sample_shop_in_postgres(url, schema, reader).await?, reader) {
        (Made::AlreadyThere, _) => format!("The schema `{schema}` exists; it was left as it is."),
        (Made::Created, None) => format!("The sample shop is made in the schema `{schema}`."),
        (Made::Created, Some(role)) => format!(
            "The sample shop is made in the schema `{schema}`. The role `{role}` may read it; give it a password, in psql \
             with: \\password {role}"
        ),
    })
}
