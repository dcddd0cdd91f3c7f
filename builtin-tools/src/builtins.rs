//! The table of built-in tool servers: from the name of a kind to the server that options make of it.
//! The gateway lists kinds and builds servers from here; it names no kind itself.

use std::{fmt, path::PathBuf, sync::Arc};

use rmcp::{RoleServer, Service, service::DynService};
use serde_json::Value;

use crate::db::{self, DbExplorer};

/// The built-in tool servers, in the order in which help texts list them.
pub const BUILTINS: &[Builtin] = &[Builtin {
    name: "db",
    title: "DB explorer: read-only SQL over one SQLite database",
    options_help: db::OPTIONS_HELP,
    make: |options, off_limits| {
        let explorer = db::db(options)?;
        match off_limits.iter().any(|path| explorer.reads_file(path)) {
            true => Err(OptionsError::OffLimits),
            false => Ok(ToolServer::new::<DbExplorer>(explorer)),
        }
    },
}];

/// One kind of built-in tool server.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// The name that configuration uses, such as `db`.
    pub name: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The options and their defaults, one line each.
    pub options_help: &'static str,
    make: fn(Value, &[PathBuf]) -> Result<ToolServer, OptionsError>,
}

impl Builtin {
    /// The kind of that name.
    pub fn find(name: &str) -> Option<&'static Builtin> {
        BUILTINS.iter().find(|builtin| builtin.name == name)
    }

    /// A server of this kind, or a sentence about the option that is wrong. Files in `off_limits` (the gateway's own
    /// database) are refused as sources, also through a link.
    pub fn build(&self, options: Value, off_limits: &[PathBuf]) -> Result<ToolServer, OptionsError> {
        (self.make)(options, off_limits)
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builtin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A built-in server, ready to be served any number of times; all that it gives out share one state.
#[derive(Clone)]
pub struct ToolServer {
    handler: Arc<dyn Fn() -> Box<dyn DynService<RoleServer>> + Send + Sync>,
}

impl ToolServer {
    fn new<S: Service<RoleServer> + Clone + Sync>(service: S) -> Self {
        Self { handler: Arc::new(move || Box::new(service.clone())) }
    }

    /// A handler for one connection; it implements `Service<RoleServer>`.
    pub fn handler(&self) -> Box<dyn DynService<RoleServer>> {
        (self.handler)()
    }
}

impl fmt::Debug for ToolServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolServer").finish_non_exhaustive()
    }
}

/// Why options do not make a tool server. The texts are for whoever wrote the options and name what they wrote.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// An option is missing, unknown or of another type.
    #[error("The options cannot be read: {0}. Expected an object with: {help}", help = .1.replace('\n', "; "))]
    Shape(serde_json::Error, &'static str),
    /// A number is out of its range.
    #[error("The option `{option}` is {given}; expected a number from {least} to {most}.")]
    Range {
        /// The option.
        option: &'static str,
        /// What was given.
        given: u64,
        /// The least that is accepted.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// The option `source` is no name.
    #[error("The option `source` is {0:?}; expected 1 to 40 characters of a-z, 0-9, `-` and `_`.")]
    Source(String),
    /// The database cannot be opened.
    #[error("The database {path:?} cannot be opened ({reason}). Name an existing SQLite file that this user may read.")]
    Database {
        /// The path as it was given.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// A table in the allow-list does not exist.
    #[error(
        "The option `tables` names {0:?}, which is no table or view of the database. Correct the name, or leave it out."
    )]
    Table(String),
    /// The file belongs to the gateway.
    #[error("The option `database` names a file that belongs to the gateway itself; name another database.")]
    OffLimits,
}
