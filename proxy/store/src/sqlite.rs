//! The store in one SQLite file: one writer, several readers, and a watcher that sees what other processes write.
//!
//! Opening, migrating and the two sorts of transaction are here; what is read and written is in the files by noun.

mod admin_keys;
mod admin_requests;
mod api_keys;
mod audit;
mod catalogs;
mod issuers;
mod reseal;
mod revocations;
mod server_tokens;
mod session_notes;
mod tenants;
mod tombstones;
mod watch;

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::broadcast;

use crate::{
    Cancelled, Cancels, Change, Changes, OpenOptions, Store, StoreError, Vault,
    announce::{Announcer, Background},
    error::{Fault, doing, from_migration, from_sql},
    levels::Levels,
};

/// Steps that are there and not among these are for `levels` to judge.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut known = sqlx::migrate!("migrations/sqlite");
    known.set_ignore_missing(true);
    known
});

/// How long a statement waits for a lock of another process.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// How long opening waits for another process that opens the same file; a switch to WAL does not heed [`BUSY_MAX`].
const OPEN_MAX: Duration = Duration::from_secs(10);

pub(crate) struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
    vault: Vault,
    announcer: Arc<Announcer>,
    watcher: Option<Background>,
}

impl SqliteStore {
    /// Opens the file, or a store in memory that only this handle sees.
    pub(crate) async fn open(path: Option<&Path>, vault: Vault, options: &OpenOptions) -> Result<Self, StoreError> {
        let announcer = Arc::new(Announcer::new());
        let Some(path) = path else {
            return Self::open_memory(vault, announcer, options).await;
        };
        make_private(path)?;
        let named = format!("the SQLite store {}", path.display());
        let to_file = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_MAX)
            .foreign_keys(true)
            // What was committed survives a loss of power: a record of the audit leaves the spool once it is here, and a key that
            // was revoked stays so. With NORMAL the last commits are in nobody's keeping but the system's.
            .synchronous(SqliteSynchronous::Full)
            // For new files. Most of what is written is the audit, row after row: a larger page takes more of them and costs one
            // write instead of two.
            .page_size(8 * 1024)
            // Twice the default: under load the same pages are then copied back less often.
            .pragma("wal_autocheckpoint", "2000");
        // The first connection migrates, and watches afterwards.
        let mut first = connect(&named, &to_file.clone().journal_mode(SqliteJournalMode::Wal)).await?;
        migrate(&named, &mut first).await?;
        let watch = watch::Watch::begin(first, Arc::clone(&announcer)).await;
        let watch = watch.map_err(|error| from_sql(&format!("read {named}"), error))?;
        let reading = to_file.clone().pragma("query_only", "on");
        Ok(Self {
            write: pool(1, options).connect_lazy_with(to_file),
            read: pool(options.connections_max.max(1), options).connect_lazy_with(reading),
            vault,
            announcer,
            watcher: Some(Background::asked(|unwanted| watch.run(unwanted))),
        })
    }

    async fn open_memory(vault: Vault, announcer: Arc<Announcer>, options: &OpenOptions) -> Result<Self, StoreError> {
        let in_memory = SqliteConnectOptions::new().foreign_keys(true);
        let named = "the SQLite store in memory";
        // The one connection is the store; were it closed, all would be gone.
        let only = pool(1, options).min_connections(1).connect_with(in_memory).await;
        let only = only.map_err(|error| from_sql(&format!("make {named}"), error))?;
        let mut connection = only.acquire().await.map_err(|error| from_sql(&format!("make {named}"), error))?;
        migrate(named, &mut connection).await?;
        drop(connection);
        Ok(Self { write: only.clone(), read: only, vault, announcer, watcher: None })
    }

    /// A transaction that holds the write lock from its beginning, so that what it reads stays true until it writes.
    async fn writing(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A transaction that sees one state of all tables.
    async fn reading(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        Ok(self.read.begin().await?)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        doing("reach the store", async {
            sqlx::query("SELECT 1").execute(&self.read).await?;
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        if let Some(watcher) = &self.watcher {
            watcher.stop().await;
        }
        self.read.close().await;
        self.write.close().await;
    }
}

#[async_trait]
impl Cancels for SqliteStore {
    async fn cancel_tell(&self, _calls: &[Cancelled]) -> Result<(), StoreError> {
        Ok(())
    }

    fn cancels(&self) -> broadcast::Receiver<Cancelled> {
        self.announcer.cancels()
    }
}

impl Changes for SqliteStore {
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.announcer.subscribe()
    }
}

fn pool(connections_max: u32, options: &OpenOptions) -> SqlitePoolOptions {
    // A connection to a file does not go stale: neither age nor idleness is a reason to open it anew, nor to test it.
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Makes the file readable for its owner only; SQLite gives its companions (`-wal`, `-shm`) the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let shown = path.display();
    if path.is_dir() {
        return Err(StoreError::Url(format!(
            "the SQLite store {shown} is a folder: name a file in it, as in sqlite://{shown}/patchbay.db"
        )));
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Url(format!(
            "the folder of the SQLite store {shown} does not exist: make it, or name another path"
        ))),
        Err(error) => Err(StoreError::Url(format!(
            "the SQLite store {shown} cannot be made ({error}): name a path that this user may write to"
        ))),
    }
}

/// Connects, and waits for a neighbour that is just making the same file.
async fn connect(named: &str, options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let deadline = Instant::now() + OPEN_MAX;
    loop {
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
            Err(error) => return Err(open_error(named, error)),
        }
    }
}

fn open_error(named: &str, error: sqlx::Error) -> StoreError {
    match primary_code(&error) {
        // SQLITE_CORRUPT, SQLITE_NOTADB
        Some(11 | 26) => StoreError::Corrupt(format!(
            "{named} is not a SQLite database, or is damaged: name another path, or restore a backup"
        )),
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN
        Some(3 | 8 | 14) => StoreError::Url(format!(
            "{named} cannot be opened for writing ({error}): the file and its folder must be writable for this user"
        )),
        _ => from_sql(&format!("open {named}"), error),
    }
}

/// Brings the tables up to date under SQLite's write lock: a second process waits, and finds the work done.
async fn migrate(named: &str, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let deadline = Instant::now() + OPEN_MAX;
    let mut locked = loop {
        match connection.begin_with("BEGIN IMMEDIATE").await {
            Ok(locked) => break locked,
            Err(error) if is_busy(&error) && Instant::now() < deadline => {}
            Err(error) => return Err(open_error(named, error)),
        }
    };
    let levels =
        levels(&mut locked).await.map_err(|error| from_sql(&format!("look at the tables in {named}"), error))?;
    levels.admit(named, &MIGRATIONS)?;
    // Not `run`: with its `Acquire` bound, rustc cannot prove to callers that `open` is `Send`.
    MIGRATIONS.run_direct(None, &mut *locked, false).await.map_err(|error| from_migration(named, error))?;
    locked.commit().await.map_err(|error| open_error(named, error))
}

async fn levels(locked: &mut SqliteConnection) -> Result<Levels, sqlx::Error> {
    let there = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('_sqlx_migrations', 'schema_needs')";
    let there: Vec<String> = sqlx::query_scalar(there).fetch_all(&mut *locked).await?;
    let has = |table: &str| there.iter().any(|name| name == table);
    let mut levels = Levels::default();
    if has("_sqlx_migrations") {
        let made = "SELECT version FROM _sqlx_migrations ORDER BY version";
        levels.made = sqlx::query_scalar(made).fetch_all(&mut *locked).await?;
    }
    if has("schema_needs") {
        levels.oldest = sqlx::query_scalar("SELECT max(oldest) FROM schema_needs").fetch_one(locked).await?;
    }
    Ok(levels)
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// SQLITE_BUSY or SQLITE_LOCKED.
fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_committed_survives_a_loss_of_power() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("store.db");
        let store = SqliteStore::open(Some(&path), Vault::new(1, [7; 32]), &OpenOptions::default()).await?;
        let full: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.write).await?;
        assert_eq!(full, 2, "2 is FULL");
        store.close().await;
        Ok(())
    }
}
