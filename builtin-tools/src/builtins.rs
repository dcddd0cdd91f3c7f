//! The table of built-in tool servers: from the name of a kind to the server that options make of it.
//! The gateway lists kinds and builds servers from here; it names no kind itself.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use rmcp::{RoleServer, Service, service::DynService};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::{
    db::{self, DbExplorer},
    weather::{self, Weather},
};

/// What a text of the options begins with when it names one of the secrets instead of being the value itself.
pub const SECRET_PREFIX: &str = "secret:";

/// The built-in tool servers, in the order in which help texts list them.
pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "db",
        title: "DB explorer: read-only SQL over PostgreSQL and SQLite databases",
        options_help: db::OPTIONS_HELP,
        reach: db::reach,
        make: |given| {
            let explorer = db::db(given)?;
            let checked = explorer.clone();
            let check = move || -> BoxFuture<'static, Result<(), String>> {
                let explorer = checked.clone();
                Box::pin(async move { explorer.check().await })
            };
            Ok(ToolServer::new::<DbExplorer>(explorer, check))
        },
    },
    Builtin {
        name: "weather",
        title: "Weather: alerts and forecasts for the US, and the weather now in any city",
        options_help: weather::OPTIONS_HELP,
        reach: weather::reach,
        make: |given| {
            let weather = weather::weather(given)?;
            let checked = weather.clone();
            let check = move || -> BoxFuture<'static, Result<(), String>> {
                let weather = checked.clone();
                Box::pin(async move { weather.check().await })
            };
            Ok(ToolServer::new::<Weather>(weather, check))
        },
    },
];

/// What a built-in server is made of.
#[derive(Debug, Default)]
pub struct Given {
    /// Its options, as its help text says.
    pub options: Value,
    /// Secrets by their names. A text of the options that is `secret:NAME` stands for one of them.
    pub secrets: BTreeMap<String, SecretString>,
    /// What belongs to the gateway itself.
    pub off_limits: OffLimits,
}

/// What belongs to the gateway itself, and is no source for anybody.
#[derive(Debug, Default, Clone)]
pub struct OffLimits {
    /// Files, also through a link.
    pub files: Vec<PathBuf>,
    /// PostgreSQL databases by their URLs.
    pub databases: Vec<SecretString>,
}

impl Given {
    /// Options alone.
    pub fn of(options: Value) -> Self {
        Self { options, ..Self::default() }
    }

    /// The value of a text of the options: the secret that it names, or itself.
    pub(crate) fn resolve(&self, option: &'static str, text: &str) -> Result<SecretString, OptionsError> {
        let Some(name) = text.strip_prefix(SECRET_PREFIX) else { return Ok(text.into()) };
        let missing = || OptionsError::Secret { option, name: name.to_owned() };
        self.secrets.get(name).cloned().ok_or_else(missing)
    }
}

/// One kind of built-in tool server.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// The name that configuration uses, such as `db`.
    pub name: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The options and their defaults, one line each.
    pub options_help: &'static str,
    make: fn(&Given) -> Result<ToolServer, OptionsError>,
    reach: fn(&Given) -> Result<Reach, OptionsError>,
}

/// What options point a built-in server at, besides what it is at by default. A secret is in none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Hosts of databases, as they are connected to, with their ports; of a socket the folder that it is in.
    pub hosts: Vec<(String, u16)>,
    /// Files that are read.
    pub files: Vec<PathBuf>,
    /// Addresses of services.
    pub urls: Vec<Url>,
}

impl Builtin {
    /// The kind of that name.
    pub fn find(name: &str) -> Option<&'static Builtin> {
        BUILTINS.iter().find(|builtin| builtin.name == name)
    }

    /// A server of this kind, or a sentence about the option that is wrong. Connects to nothing.
    pub fn build(&self, given: &Given) -> Result<ToolServer, OptionsError> {
        (self.make)(given)
    }

    /// What a server with these options would reach, or a sentence about the option that is wrong. Opens and connects to nothing.
    pub fn reach(&self, given: &Given) -> Result<Reach, OptionsError> {
        (self.reach)(given)
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
    check: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl ToolServer {
    fn new<S: Service<RoleServer> + Clone + Sync>(
        service: S,
        check: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { handler: Arc::new(move || Box::new(service.clone())), check: Arc::new(check) }
    }

    /// Connects to what the server depends on and says, in a sentence, why it cannot be used as it is configured. The text
    /// is for the operator: it may name hosts and roles, never a secret.
    pub async fn check(&self) -> Result<(), String> {
        (self.check)().await
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
    /// An option has a value without a meaning here.
    #[error("The option `{0}` cannot be used: {1}.")]
    Meaning(String, String),
    /// A secret is named that is not there.
    #[error(
        "The option `{option}` names the secret `{name}`, which this server does not have; give it under `secrets`."
    )]
    Secret {
        /// The option.
        option: &'static str,
        /// The secret's name.
        name: String,
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
    /// The database belongs to the gateway.
    #[error("The option `database` names a database that belongs to the gateway itself; name another database.")]
    OffLimits,
}
