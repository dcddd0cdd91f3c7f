//! `patchbay-tools db`: the DB explorer over one database.

use std::path::PathBuf;

use clap::Args;
use patchbay_builtin_tools::{Given, SECRET_PREFIX};
use serde_json::{Map, Value};

use super::{database::Database, serve::serve};

/// The name of the only secret.
const DATABASE: &str = "database";

/// Serve the DB explorer over one SQLite or PostgreSQL database on stdin and stdout, as an MCP server
///
/// A database is only read, but for the tables that --insert names. SQLite files are opened read-only, and SQLite's
/// authorizer refuses everything but reading the tables that are allowed. For PostgreSQL give it a role of its own that may
/// do no more than SELECT; a role that may more is refused, with what to run to take the right away.
#[derive(Debug, Args)]
pub(crate) struct Db {
    #[command(flatten)]
    database: Database,
    /// The name of the source in resource URIs [default: the database's name]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The tables and views that may be read, separated by commas [default: all]
    ///
    /// For PostgreSQL names or globs, with a schema in front where there are several schemas.
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    tables: Option<Vec<String>>,
    /// The tables that insert_record may add rows to, separated by commas [default: none]
    #[arg(long, value_name = "TABLES", value_delimiter = ',')]
    insert: Option<Vec<String>>,
    /// The most rows of one answer [default: 200]
    #[arg(long, value_name = "N")]
    rows_max: Option<u64>,
    /// The most bytes of one answer's rows [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    bytes_max: Option<u64>,
    /// The most milliseconds of one call [default: 5000]
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// The schemas that may be read, separated by commas, in the order of looking up [default: public]
    #[arg(long, value_name = "SCHEMAS", value_delimiter = ',', help_heading = "PostgreSQL only")]
    schemas: Option<Vec<String>>,
    /// The most connections at once [default: 4]
    #[arg(long, value_name = "N", help_heading = "PostgreSQL only")]
    connections_max: Option<u64>,
    /// A file with the certificates (PEM) that may sign the server's, beside those of the system
    #[arg(long, value_name = "FILE", help_heading = "PostgreSQL only")]
    ca_file: Option<PathBuf>,
    /// What the role may do although it should not, as the refusal names it, separated by commas [default: none]
    #[arg(long, value_name = "RISKS", value_delimiter = ',', help_heading = "PostgreSQL only")]
    accept_risks: Option<Vec<String>>,
}

impl Db {
    /// Serves until the client closes.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        serve("db", &self.given()?).await
    }

    fn given(self) -> anyhow::Result<Given> {
        let ca_file = self.ca_file.map(|file| file.to_string_lossy().into_owned());
        let options: [(&str, Option<Value>); 10] = [
            ("source", self.source.map(Value::from)),
            ("tables", self.tables.map(Value::from)),
            ("inserts", self.insert.map(Value::from)),
            ("rows_max", self.rows_max.map(Value::from)),
            ("bytes_max", self.bytes_max.map(Value::from)),
            ("timeout_ms", self.timeout_ms.map(Value::from)),
            ("schemas", self.schemas.map(Value::from)),
            ("connections_max", self.connections_max.map(Value::from)),
            ("ca_file", ca_file.map(Value::from)),
            ("accepted_risks", self.accept_risks.map(Value::from)),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut options: Map<String, Value> = given.collect();
        options.insert(DATABASE.to_owned(), format!("{SECRET_PREFIX}{DATABASE}").into());
        let secrets = [(DATABASE.to_owned(), self.database.read()?)].into();
        Ok(Given { secrets, ..Given::of(Value::Object(options)) })
    }
}
