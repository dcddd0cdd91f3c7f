//! What can go wrong with the store, in sentences for people, and how the driver's errors become those.
//!
//! No text here carries a password, a secret or a bound value: the driver's messages name tables and constraints only.

use std::{error::Error, future::Future, time::Duration};

use patchbay_core::Generation;

/// How long one operation may take, the wait for a connection included. A store that answers slower than this is as good as
/// away, and whoever waits has something better to do.
pub(crate) const OPERATION_MAX: Duration = Duration::from_secs(15);

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer, or not in time. Trying again later may help.
    #[error("{tried}")]
    Unavailable {
        /// What was tried, and what to do.
        tried: String,
        /// What the driver said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Somebody else changed the tenant first.
    #[error(
        "the tenant is at generation {found}, not at {expected} (0 means that there is none): somebody else changed it; \
         read it again and repeat the change"
    )]
    Conflict {
        /// What the caller had read.
        expected: Generation,
        /// What is there; 0 when there is no such tenant.
        found: Generation,
    },
    /// Something that was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// Something that should be new is there already.
    #[error("{0}")]
    Exists(String),
    /// Rows do not continue their chain: somebody else wrote to it, or they were not chained from its head.
    #[error("{0}")]
    Chain(String),
    /// What is stored cannot be understood.
    #[error("{0}")]
    Corrupt(String),
    /// A secret cannot be opened with the keys given.
    #[error("{0}")]
    Sealed(String),
    /// Something is too large to be kept.
    #[error("{0}")]
    TooLarge(String),
    /// The store's URL, or what it names, cannot be right.
    #[error("{0}")]
    Url(String),
}

/// An error on its way up through one operation: the driver's, or already ours.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Runs one operation within [`OPERATION_MAX`], and says in its error what was tried: "could not {what}".
pub(crate) async fn doing<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, StoreError> {
    match tokio::time::timeout(OPERATION_MAX, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Fault::Store(error))) => Err(error),
        Ok(Err(Fault::Sql(error))) => Err(from_sql(what, error)),
        Err(late) => Err(StoreError::Unavailable {
            tried: format!("could not {what}: the store did not answer within {} seconds", OPERATION_MAX.as_secs()),
            source: late.into(),
        }),
    }
}

/// The driver's error as ours.
pub(crate) fn from_sql(what: &str, error: sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    if matches!(error, E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) | E::TypeNotFound { .. }) {
        return StoreError::Corrupt(format!("could not {what}: a stored value is not what it should be: {error}"));
    }
    let reason = match &error {
        E::PoolTimedOut => "no connection to the store became free in time; it is away or overloaded".to_owned(),
        E::PoolClosed => "the store is closed".to_owned(),
        E::Io(io) => format!("the connection to the store broke ({io})"),
        other => other.to_string(),
    };
    StoreError::Unavailable { tried: format!("could not {what}: {reason}"), source: error.into() }
}

/// An error of the migrations as ours; `named` says which store.
pub(crate) fn from_migration(named: &str, error: sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError as E;
    match error {
        E::VersionMismatch(version) | E::Dirty(version) => StoreError::Corrupt(format!(
            "the tables in {named} were not made by a released Patchbay (step {version} is another one, or only half done): \
             restore a backup, or name an empty store"
        )),
        // PostgreSQL's "insufficient privilege"
        E::Execute(source) | E::ExecuteMigration(source, _)
            if source.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501")) =>
        {
            StoreError::Url(format!(
                "the user in the URL of the store may not make tables in {named}: make that user the owner of the database, or \
                 name another one"
            ))
        }
        E::Execute(source) | E::ExecuteMigration(source, _) => from_sql(&format!("make the tables in {named}"), source),
        other => {
            StoreError::Unavailable { tried: format!("could not make the tables in {named}"), source: other.into() }
        }
    }
}
