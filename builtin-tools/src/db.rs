//! The DB explorer: lets a model look into one SQLite database and not touch anything. This file has the server's
//! state; what it says over MCP is in `handler`, what keeps SQL in bounds is in `fence` and `worker`.
//!
//! No statement is judged by its text: SQLite's own authorizer decides on what the compiled statement would do.

mod access;
mod answer;
mod bounds;
mod error;
mod fence;
mod functions;
mod handler;
mod options;
mod query;
mod resources;
mod sample;
mod schema;
mod tools;
mod worker;

use std::{path::Path, sync::Arc};

use serde_json::Value;

use crate::OptionsError;
pub use options::OPTIONS_HELP;
pub use sample::{Sample, SampleError, create_sample_shop};

use error::QueryError;
use fence::Session;
use options::Settings;
use worker::Workers;

/// The DB explorer over one database. Cloning is cheap and shares the bound on queries that run at once.
#[derive(Debug, Clone)]
pub struct DbExplorer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    workers: Workers,
}

/// Makes a DB explorer of options (see [`OPTIONS_HELP`]). The database is opened once, to check it.
pub fn db(options: Value) -> Result<DbExplorer, OptionsError> {
    let settings = Settings::parse(options)?;
    fence::check(&settings)?;
    let inner = Inner { settings: Arc::new(settings), workers: Workers::default() };
    Ok(DbExplorer { inner: Arc::new(inner) })
}

impl DbExplorer {
    /// The name of the source in resource URIs: `db://{source}/overview`.
    pub fn source(&self) -> &str {
        &self.inner.settings.source
    }

    /// Whether this explorer reads that very file, whatever name or link leads to it.
    pub fn reads_file(&self, path: &Path) -> bool {
        options::same_file(&self.inner.settings.database, path)
    }

    /// Runs `job` on a session of its own, on a thread that is left behind when it outstays the deadline.
    async fn with_session<T: Send + 'static>(
        &self,
        job: impl FnOnce(Session) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let settings = Arc::clone(&self.inner.settings);
        let timeout = settings.timeout;
        self.inner.workers.run(timeout, move |stop| job(Session::open(settings, stop)?)).await
    }
}
