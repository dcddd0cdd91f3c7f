//! The DB explorer: lets a model look into databases and not touch anything. This file has the server's state; what it says
//! over MCP is in `surface` (the lists) and `handler` (the work), what a database must do is in `source`, and the two
//! databases are in `sqlite` and `postgres`.

mod answer;
mod error;
#[cfg(test)]
mod fake;
mod handler;
mod options;
mod postgres;
mod prompts;
mod resources;
mod sample;
mod source;
mod sqlite;
mod surface;
mod tools;

use std::sync::Arc;

pub use options::OPTIONS_HELP;
pub(crate) use options::reach;
pub use postgres::{create_sample_shop_in_postgres, explorer_statements, role_sql};
pub use sqlite::{Sample, SampleError, create_sample_shop};

use crate::{Given, OptionsError};
use error::QueryError;
use options::Settings;
use source::{About, Source};
use sqlite::SqliteSource;
use surface::Surface;

/// The DB explorer over some databases. Cloning is cheap and shares their connections and bounds.
#[derive(Debug, Clone)]
pub struct DbExplorer {
    /// By name; at least one.
    sources: Arc<[Arc<dyn Source>]>,
    surface: Arc<Surface>,
}

/// Makes a DB explorer of options (see [`OPTIONS_HELP`]). A SQLite file is opened once, to check it; nothing is connected to.
pub fn db(given: &Given) -> Result<DbExplorer, OptionsError> {
    let sources = options::parse(given)?.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    Ok(DbExplorer::new(sources))
}

fn open(settings: Settings) -> Result<Arc<dyn Source>, OptionsError> {
    match settings {
        Settings::Sqlite(settings) => Ok(Arc::new(SqliteSource::new(settings)?)),
        Settings::Postgres(settings) => Ok(Arc::new(postgres::PostgresSource::new(*settings)?)),
    }
}

impl DbExplorer {
    fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let abouts: Vec<_> = sources.iter().map(|source| source.about()).collect();
        let surface = Arc::new(Surface::of(&abouts));
        Self { sources: sources.into(), surface }
    }

    /// Connects to every source and says, in a sentence for the operator, what is wrong with the first that cannot be used.
    pub async fn check(&self) -> Result<(), String> {
        for source in self.sources.iter() {
            source.check().await.map_err(|why| format!("The source `{}`: {why}", source.about().name))?;
        }
        Ok(())
    }

    /// The source of that name; the only one where none is named.
    fn source(&self, name: Option<&str>) -> Result<&dyn Source, QueryError> {
        let names = || self.abouts().map(|about| about.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, &*self.sources) {
            (None, [only]) => Ok(&**only),
            (None, _) => Err(QueryError::WhichSource(names())),
            (Some(name), _) => {
                self.find(name).ok_or_else(|| QueryError::NoSuchSource(name.chars().take(64).collect(), names()))
            }
        }
    }

    fn find(&self, name: &str) -> Option<&dyn Source> {
        self.sources.iter().map(|source| &**source).find(|source| source.about().name == name)
    }

    fn abouts(&self) -> impl Iterator<Item = &About> {
        self.sources.iter().map(|source| source.about())
    }
}
