//! Getting to a Postgres server: the pool, the migrations under an advisory lock, and sentences for what stands in the way.
//!
//! The sentences name host, port, user and database, which the operator wrote; never the password.

use std::{future::Future, sync::LazyLock, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    migrate::{Migrate, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{
    OpenOptions, StoreError,
    error::{from_migration, from_sql},
    levels::Levels,
};

/// Steps that are there and not among these are for `levels` to judge.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut known = sqlx::migrate!("migrations/postgres");
    known.set_ignore_missing(true);
    known
});

/// How long a server may take to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long opening waits for a replica that is just making the tables.
const MIGRATE_MAX: Duration = Duration::from_secs(60);

/// Bounds that the server keeps, also when this process is gone: no statement, no lock and no forgotten transaction holds up
/// the others for long. They stand below the bound of a whole operation.
const SESSION: &str = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                       SET idle_in_transaction_session_timeout = '15s'; SET bytea_output = 'hex'";

pub(super) fn pool(to_server: &PgConnectOptions, options: &OpenOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(options.connections_max.max(1))
        .acquire_timeout(options.acquire_timeout)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SESSION).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(named(to_server, "patchbay"))
}

/// The options with a name by which an operator recognises the connection in `pg_stat_activity`, unless the URL gave one.
pub(super) fn named(to_server: &PgConnectOptions, name: &str) -> PgConnectOptions {
    let to_server = to_server.clone();
    if to_server.get_application_name().is_some() { to_server } else { to_server.application_name(name) }
}

/// Brings the tables up to date under an advisory lock: a second process waits, and finds the work done.
pub(super) async fn migrate(to_server: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = in_time(to_server, named(to_server, "patchbay migrations").connect()).await?;
    let store = format!("the Postgres database {}", database(to_server));
    // Otherwise each start says on the screen that the table of the migrations is there already.
    let quiet = sqlx::raw_sql("SET client_min_messages = warning").execute(&mut connection).await;
    quiet.map_err(|error| explain(to_server, error))?;
    // The connection is not pooled: when it is dropped, on whichever way, the lock goes with it.
    timeout(MIGRATE_MAX, bring_up(&store, &mut connection)).await.map_err(|late| StoreError::Unavailable {
        tried: format!(
            "{store} has been locked for {} seconds by another process that makes its tables: wait until that one is done, or \
             stop it",
            MIGRATE_MAX.as_secs()
        ),
        source: late.into(),
    })??;
    close(connection).await;
    Ok(())
}

/// Looks what is there, and makes what is missing.
async fn bring_up(store: &str, connection: &mut PgConnection) -> Result<(), StoreError> {
    // The lock that sqlx takes too; who has it may take it again.
    connection.lock().await.map_err(|error| from_migration(store, error))?;
    let levels =
        levels(connection).await.map_err(|error| from_sql(&format!("look at the tables in {store}"), error))?;
    levels.admit(store, &MIGRATIONS)?;
    // Not `run`: with its `Acquire` bound, rustc cannot prove to callers that `open` is `Send`.
    MIGRATIONS.run_direct(None, &mut *connection, false).await.map_err(|error| from_migration(store, error))?;
    connection.unlock().await.map_err(|error| from_migration(store, error))
}

async fn levels(connection: &mut PgConnection) -> Result<Levels, sqlx::Error> {
    let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL, to_regclass('schema_needs') IS NOT NULL";
    let (any, says): (bool, bool) = sqlx::query_as(there).fetch_one(&mut *connection).await?;
    let mut levels = Levels::default();
    if any {
        let made = "SELECT version FROM _sqlx_migrations ORDER BY version";
        levels.made = sqlx::query_scalar(made).fetch_all(&mut *connection).await?;
    }
    if says {
        levels.oldest = sqlx::query_scalar("SELECT max(oldest) FROM schema_needs").fetch_one(connection).await?;
    }
    Ok(levels)
}

async fn close(connection: PgConnection) {
    // A goodbye that fails changes nothing.
    let _ = timeout(CONNECT_MAX, connection.close()).await;
}

/// Waits for a connection, and explains why there is none.
pub(super) async fn in_time<T>(
    to_server: &PgConnectOptions,
    connecting: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(CONNECT_MAX, connecting).await {
        Ok(connected) => connected.map_err(|error| explain(to_server, error)),
        Err(late) => Err(StoreError::Unavailable {
            tried: format!(
                "no answer from {} within {} seconds: check host and port in the URL of the store, and firewalls between",
                address(to_server),
                CONNECT_MAX.as_secs()
            ),
            source: late.into(),
        }),
    }
}

pub(super) fn unreadable(error: &sqlx::Error) -> StoreError {
    StoreError::Url(format!(
        "the URL of the Postgres store cannot be read ({error}): expected postgres://user:password@host:port/database"
    ))
}

fn explain(to_server: &PgConnectOptions, error: sqlx::Error) -> StoreError {
    let address = address(to_server);
    let user = to_server.get_username();
    let code = error.as_database_error().and_then(|error| error.code());
    let known = match code.as_deref() {
        Some("28P01" | "28000") => Some(format!(
            "the Postgres server at {address} refuses the user `{user}`: check user and password in the URL of the store, and the server's pg_hba.conf \
             (special characters of a password are written as %40 for @, %2F for /, and so on)"
        )),
        Some("3D000") => {
            let database = database(to_server);
            Some(format!(
                "the Postgres server at {address} has no database {database}: create it (createdb -O {user} ...), or name another one at the end of the \
                 URL of the store"
            ))
        }
        Some("42501") => Some(format!(
            "the user `{user}` may not connect to the database {} on {address}: grant CONNECT, or name another user in the URL of \
             the store",
            database(to_server)
        )),
        _ => None,
    };
    if let Some(text) = known {
        return StoreError::Url(text);
    }
    let tried = match &error {
        sqlx::Error::Io(io) => format!(
            "no Postgres server answers at {address} ({io}): check that it runs, and host and port in the URL of the store"
        ),
        sqlx::Error::Tls(tls) => format!(
            "the Postgres server at {address} and this program do not agree on TLS ({tls}): check `sslmode` and `sslrootcert` in the URL of the store"
        ),
        sqlx::Error::Protocol(said) => format!(
            "what answers at {address} does not speak like a Postgres server ({said}): check host and port in the URL of the store"
        ),
        other => format!("the Postgres server at {address} does not take the connection ({other})"),
    };
    StoreError::Unavailable { tried, source: error.into() }
}

fn address(to_server: &PgConnectOptions) -> String {
    match to_server.get_socket() {
        Some(socket) => format!("the Postgres socket in {}", socket.display()),
        None => format!("the Postgres server {}:{}", to_server.get_host(), to_server.get_port()),
    }
}

/// A URL without a database means the one named like the user.
fn database(to_server: &PgConnectOptions) -> String {
    format!("`{}`", to_server.get_database().unwrap_or_else(|| to_server.get_username()))
}
