//! The store in a Postgres database that several replicas share: a bounded pool, and a watcher with a connection of its own.
//!
//! Transactions that change a tenant lock its row in `generations` first, whatever else they touch, so that they queue up and
//! never deadlock, and notify the others from inside (see `watch`). What is read and written is in the files by noun.

mod admin_keys;
mod admin_requests;
mod api_keys;
mod audit;
mod catalogs;
mod connect;
mod issuers;
mod reseal;
mod revocations;
mod server_tokens;
mod session_notes;
mod tenants;
mod tombstones;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use patchbay_core::{Slug, TenantId};
use sqlx::{ConnectOptions, PgConnection, PgPool, Postgres, Transaction, postgres::PgConnectOptions};
use tokio::sync::broadcast;
use url::Url;

use crate::{
    Cancelled, Cancels, Change, Changes, OpenOptions, Store, StoreError, Vault,
    announce::{Announcer, Background, State},
    error::{Fault, doing},
    rows::{blob, count, generation, slug},
};

pub(crate) struct PostgresStore {
    pool: PgPool,
    vault: Vault,
    announcer: Arc<Announcer>,
    /// Marks this handle's own notifications, which it need not hear.
    origin: u64,
    watcher: Background,
}

impl PostgresStore {
    pub(crate) async fn open(url: &Url, vault: Vault, options: &OpenOptions) -> Result<Self, StoreError> {
        let to_server = PgConnectOptions::from_url(url).map_err(|error| connect::unreadable(&error))?;
        connect::migrate(&to_server).await?;
        let announcer = Arc::new(Announcer::new());
        let origin = u64::from_ne_bytes(patchbay_core::random_bytes());
        let watch = watch::Watch::begin(&to_server, Arc::clone(&announcer), origin).await?;
        let pool = connect::pool(&to_server, options);
        Ok(Self { pool, vault, announcer, origin, watcher: Background::new(tokio::spawn(watch.run())) })
    }

    async fn writing(&self) -> Result<Transaction<'static, Postgres>, Fault> {
        Ok(self.pool.begin().await?)
    }

    /// A transaction that sees one state of all tables.
    async fn reading(&self) -> Result<Transaction<'static, Postgres>, Fault> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    /// Ends a transaction that changes a tenant. With a new state it is committed, and told here; else it is taken back.
    async fn settled<T>(
        &self,
        tx: Transaction<'static, Postgres>,
        done: Result<(T, Option<State>), Fault>,
    ) -> Result<T, Fault> {
        match done {
            Ok((value, Some(state))) => {
                tx.commit().await?;
                self.announcer.tenant(&state);
                Ok(value)
            }
            Ok((value, None)) => {
                tx.rollback().await?;
                Ok(value)
            }
            Err(fault) => Err(undone(tx, fault).await),
        }
    }
}

/// Ends a transaction: committed when something was done in it, else taken back.
async fn ended(tx: Transaction<'static, Postgres>, done: Result<bool, Fault>) -> Result<bool, Fault> {
    match done {
        Ok(true) => tx.commit().await?,
        Ok(false) => tx.rollback().await?,
        Err(fault) => return Err(undone(tx, fault).await),
    }
    done
}

/// Takes back what a transaction did before it failed, now. One that is only dropped is rolled back some time later, and its locks
/// are in the way of whoever comes next until then.
async fn undone(tx: Transaction<'static, Postgres>, fault: Fault) -> Fault {
    // It may be that the connection is what failed; what counts is why.
    let _ = tx.rollback().await;
    fault
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        doing("reach the store", async {
            sqlx::query("SELECT 1").execute(&self.pool).await?;
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        self.watcher.stop().await;
        self.pool.close().await;
    }
}

#[async_trait]
impl Cancels for PostgresStore {
    async fn cancel_tell(&self, calls: &[Cancelled]) -> Result<(), StoreError> {
        doing("tell of calls that were taken back", async {
            let mut connection = self.pool.acquire().await?;
            watch::notify_cancelled(&mut connection, calls, self.origin).await
        })
        .await
    }

    fn cancels(&self) -> broadcast::Receiver<Cancelled> {
        self.announcer.cancels()
    }
}

impl Changes for PostgresStore {
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.announcer.subscribe()
    }
}

/// Locks a name until the end of the transaction, whether there is such a tenant or not. Gives its state; generation 0 is a name
/// that was never used.
async fn lock(tx: &mut PgConnection, slug: &Slug) -> Result<State, Fault> {
    sqlx::query("INSERT INTO generations (slug, generation, live) VALUES ($1, 0, false) ON CONFLICT DO NOTHING")
        .bind(slug.as_str())
        .execute(&mut *tx)
        .await?;
    let (number, live): (i64, bool) =
        sqlx::query_as("SELECT generation, live FROM generations WHERE slug = $1 FOR UPDATE")
            .bind(slug.as_str())
            .fetch_one(tx)
            .await?;
    Ok(State { slug: slug.clone(), generation: generation(number)?, live })
}

/// The name of a tenant, locked; `None` when it is gone, also when it went while this waited for the lock.
async fn locked(tx: &mut PgConnection, tenant: TenantId) -> Result<Option<Slug>, Fault> {
    let Some(slug) = slug_of(tx, tenant).await? else {
        return Ok(None);
    };
    lock(tx, &slug).await?;
    slug_of(tx, tenant).await
}

async fn slug_of(tx: &mut PgConnection, tenant: TenantId) -> Result<Option<Slug>, Fault> {
    let text: Option<String> = sqlx::query_scalar("SELECT slug FROM tenants WHERE id = $1")
        .bind(blob(tenant.bits()))
        .fetch_optional(tx)
        .await?;
    Ok(text.map(|text| slug("tenant name", &text)).transpose()?)
}

/// Adds one to the generation of a locked name, and notifies the other handles when the transaction commits.
async fn bump(tx: &mut PgConnection, slug: &Slug, live: bool) -> Result<State, Fault> {
    let number: i64 = sqlx::query_scalar(
        "UPDATE generations SET generation = generation + 1, live = $2 WHERE slug = $1 RETURNING generation",
    )
    .bind(slug.as_str())
    .bind(live)
    .fetch_one(&mut *tx)
    .await?;
    let state = State { slug: slug.clone(), generation: generation(number)?, live };
    watch::notify_tenant(tx, &state).await?;
    Ok(state)
}

/// `count(*)` of anything.
async fn counted(
    query: sqlx::query::QueryScalar<'_, Postgres, i64, sqlx::postgres::PgArguments>,
    pool: &PgPool,
) -> Result<u64, Fault> {
    Ok(count(query.fetch_one(pool).await?)?)
}
