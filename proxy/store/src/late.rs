//! A store that may come later: what a gateway starts with while its Postgres is away. Until the store is there, everything that
//! is asked of it is [`StoreError::Unavailable`] at once; from then on all goes to it, and whoever listens hears
//! [`Change::Resync`]. What a gateway does without a store is not decided here.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use patchbay_core::{
    Generation, KeyId, RevocationId, ServerId, Slug, TenantId,
    admin::AdminKeyRow,
    audit::{Action, ChainId, Checkpoint, Link, WriterId},
    issuer::RevocationRow,
    model::{KeyRow, TenantDoc, TenantRow},
};
use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use crate::{
    AdminKeys, AdminRequests, ApiKeys, Applied, AuditFilter, AuditHead, AuditLog, AuditRow, Cancelled, Cancels,
    Catalogs, Change, Changes, Note, OpenOptions, Reseal, Resealed, Reservation, Reserved, Revocations, ServerToken,
    ServerTokens, SessionNote, SessionNotes, Store, StoreError, TenantSummary, Tenants, Tombstone, Tombstones, Vault,
    announce::Background, open, target,
};

/// The first pause between two attempts to reach the store; it doubles.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Changes that a slow listener may be behind before it is told that anything may have changed.
const CHANGES_MAX: usize = 1024;

/// Begins to open the store at `url`, as [`open`] does, and tries for as long as it takes; needs a Tokio runtime that lives as
/// long.
///
/// # Errors
/// [`StoreError::Url`] when the URL cannot be read. What else is wrong is found out by [`LateStore::arrived`].
pub fn open_late(url: &str, vault: Vault, options: OpenOptions) -> Result<Arc<LateStore>, StoreError> {
    target::parse(url)?;
    let shared = Arc::new(Shared {
        inner: OnceLock::new(),
        outcome: watch::Sender::new(Outcome::Waiting),
        changes: broadcast::Sender::new(CHANGES_MAX),
        cancels: broadcast::Sender::new(CHANGES_MAX),
    });
    let task = Background::new(tokio::spawn(shared.clone().follow(url.to_owned(), vault, options)));
    Ok(Arc::new(LateStore { shared, task }))
}

/// A store that may come later. Dropped or closed, it tries no more.
pub struct LateStore {
    shared: Arc<Shared>,
    task: Background,
}

struct Shared {
    inner: OnceLock<Arc<dyn Store>>,
    outcome: watch::Sender<Outcome>,
    changes: broadcast::Sender<Change>,
    cancels: broadcast::Sender<Cancelled>,
}

/// How it stands with the store.
#[derive(Debug, Clone)]
enum Outcome {
    /// Nobody has answered yet.
    Waiting,
    /// It is there.
    Here,
    /// Who answered refused us, or has something else than our tables. Somebody may mend that, so it is tried again.
    Refused(Refusal),
}

/// An error that trying again does not help.
#[derive(Debug, Clone)]
enum Refusal {
    Url(String),
    Corrupt(String),
}

impl Refusal {
    fn error(&self) -> StoreError {
        match self {
            Self::Url(text) => StoreError::Url(text.clone()),
            Self::Corrupt(text) => StoreError::Corrupt(text.clone()),
        }
    }
}

/// Why nothing is done without the store.
#[derive(Debug, thiserror::Error)]
#[error("the store has not answered since the start")]
struct NotYet;

impl LateStore {
    /// The store itself, when it comes within this time; `None` when it did not, and may come later.
    ///
    /// # Errors
    /// When whoever answers refuses us, or has something else than our tables: [`StoreError::Url`], [`StoreError::Corrupt`].
    pub async fn arrived(&self, within: Duration) -> Result<Option<Arc<dyn Store>>, StoreError> {
        let mut outcome = self.shared.outcome.subscribe();
        let said = outcome.wait_for(|outcome| !matches!(outcome, Outcome::Waiting));
        match tokio::time::timeout(within, said).await.ok().and_then(Result::ok).as_deref() {
            Some(Outcome::Refused(refusal)) => Err(refusal.error()),
            Some(Outcome::Here | Outcome::Waiting) | None => Ok(self.shared.inner.get().cloned()),
        }
    }

    /// Waits until whoever answers refuses us, and says how. For good when nobody ever does.
    pub async fn refused(&self) -> StoreError {
        let mut outcome = self.shared.outcome.subscribe();
        loop {
            if let Outcome::Refused(refusal) = &*outcome.borrow_and_update() {
                return refusal.error();
            }
            if outcome.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether the store is there.
    pub fn is_here(&self) -> bool {
        self.shared.inner.get().is_some()
    }

    fn store(&self) -> Result<&dyn Store, StoreError> {
        let inner = self.shared.inner.get().map(|store| &**store);
        inner.ok_or_else(|| StoreError::Unavailable { tried: NotYet.to_string(), source: NotYet.into() })
    }
}

impl Shared {
    /// Opens the store, however often it takes, and then tells what changes there.
    async fn follow(self: Arc<Self>, url: String, vault: Vault, options: OpenOptions) {
        let store = self.reach(&url, vault, options).await;
        let (mut changes, mut cancels) = (store.changes(), store.cancels());
        if self.inner.set(store).is_err() {
            return;
        }
        self.outcome.send_replace(Outcome::Here);
        info!("the store is there");
        self.tell(Change::Resync);
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.tell(change),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.tell(Change::Resync),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                call = cancels.recv() => match call {
                    Ok(call) => drop(self.cancels.send(call)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    }

    async fn reach(&self, url: &str, vault: Vault, options: OpenOptions) -> Arc<dyn Store> {
        let mut pause = RETRY_MIN;
        loop {
            match open(url, vault.clone(), options.clone()).await {
                Ok(store) => return store,
                Err(error @ StoreError::Unavailable { .. }) => {
                    warn!(%error, "the store cannot be reached; trying again");
                }
                Err(error) => {
                    error!(%error, "the store cannot be opened; trying again, but somebody has to look at it");
                    let refusal = match error {
                        StoreError::Url(text) => Refusal::Url(text),
                        other => Refusal::Corrupt(other.to_string()),
                    };
                    self.outcome.send_replace(Outcome::Refused(refusal));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    fn tell(&self, change: Change) {
        // An error only says that nobody listens.
        let _ = self.changes.send(change);
    }
}

#[async_trait]
impl Store for LateStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.store()?.ping().await
    }

    async fn close(&self) {
        self.task.stop().await;
        if let Ok(store) = self.store() {
            store.close().await;
        }
    }
}

#[async_trait]
impl Cancels for LateStore {
    async fn cancel_tell(&self, calls: &[Cancelled]) -> Result<(), StoreError> {
        self.store()?.cancel_tell(calls).await
    }

    fn cancels(&self) -> broadcast::Receiver<Cancelled> {
        self.shared.cancels.subscribe()
    }
}

impl Changes for LateStore {
    fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }
}

/// Hands every method of a trait on to the store, once it is there.
macro_rules! handed_on {
    ($of:ident { $(fn $method:ident($($name:ident: $kind:ty),* $(,)?) -> $given:ty;)+ }) => {
        #[async_trait]
        impl $of for LateStore {
            $(
                async fn $method(&self, $($name: $kind),*) -> Result<$given, StoreError> {
                    self.store()?.$method($($name),*).await
                }
            )+
        }
    };
}

handed_on!(Tenants {
    fn tenant_list() -> Vec<TenantSummary>;
    fn tenant_load(slug: &Slug) -> Option<TenantRow>;
    fn tenant_apply(doc: &TenantDoc, expected: Option<Generation>, note: &Note) -> Applied;
    fn tenant_delete(slug: &Slug, expected: Option<Generation>, note: &Note) -> bool;
});

handed_on!(ApiKeys {
    fn key_create(key: &KeyRow, note: &Note) -> ();
    fn key_list(tenant: TenantId) -> Vec<KeyRow>;
    fn key_revoke(tenant: TenantId, key: KeyId, at_ms: i64, note: &Note) -> bool;
    fn key_rotate(former: KeyId, key: &KeyRow, until_ms: i64, note: &Note) -> bool;
    fn keys_touch(used: &[(TenantId, KeyId, i64)]) -> ();
});

handed_on!(AdminKeys {
    fn admin_key_create(key: &AdminKeyRow, note: &Note) -> ();
    fn admin_key_bootstrap(key: &AdminKeyRow, note: &Note) -> bool;
    fn admin_key_find(digest: [u8; 32]) -> Option<AdminKeyRow>;
    fn admin_key_rotate(former: KeyId, key: &AdminKeyRow, until_ms: i64, note: &Note) -> bool;
    fn admin_key_list() -> Vec<AdminKeyRow>;
    fn admin_key_revoke(key: KeyId, at_ms: i64, note: &Note) -> bool;
    fn admin_key_touch(key: KeyId, at_ms: i64) -> ();
});

handed_on!(AdminRequests {
    fn request_reserve(request: &Reservation) -> Reserved;
    fn request_answer(request: [u8; 32], answer: &[u8]) -> ();
    fn request_release(request: [u8; 32]) -> ();
});

handed_on!(Reseal {
    fn reseal() -> Resealed;
});

handed_on!(Revocations {
    fn revocation_add(row: &RevocationRow, note: &Note) -> ();
    fn revocation_list(tenant: TenantId, now_ms: i64) -> Vec<RevocationRow>;
    fn revocation_lift(tenant: TenantId, id: RevocationId, note: &Note) -> bool;
});

handed_on!(ServerTokens {
    fn server_token_load(tenant: TenantId, server: ServerId) -> Option<ServerToken>;
    fn server_token_save(tenant: TenantId, server: ServerId, token: &ServerToken) -> ();
    fn server_token_forget(tenant: TenantId, server: ServerId, token: &ServerToken) -> ();
    fn server_token_lease(tenant: TenantId, server: ServerId, holder: u64, now_ms: i64, until_ms: i64) -> bool;
});

handed_on!(Catalogs {
    fn catalog_put(tenant: TenantId, server: ServerId, catalog: &[u8]) -> ();
    fn catalog_list(tenant: TenantId) -> Vec<(ServerId, Vec<u8>)>;
});

handed_on!(Tombstones {
    fn tombstone_put(tenant: TenantId, digest: [u8; 32], expires_ms: i64) -> bool;
    fn tombstone_list(now_ms: i64) -> Vec<Tombstone>;
});

handed_on!(SessionNotes {
    fn session_notes_put(notes: &[SessionNote]) -> ();
    fn session_notes_since(after: i64, limit: u32) -> Vec<(i64, SessionNote)>;
    fn session_notes_of(tenant: TenantId, session: [u8; 16]) -> Vec<SessionNote>;
    fn session_notes_forget(tenant: TenantId, session: [u8; 16]) -> ();
    fn session_notes_sweep(now_ms: i64) -> u64;
});

handed_on!(AuditLog {
    fn audit_append(rows: &[AuditRow]) -> u64;
    fn audit_known(ids: &[u128]) -> HashSet<u128>;
    fn audit_heads(writer: Option<WriterId>, tenant: Option<Option<TenantId>>) -> Vec<AuditHead>;
    fn audit_chains(tenant: Option<Option<TenantId>>) -> Vec<ChainId>;
    fn audit_count(tenant: Option<TenantId>) -> u64;
    fn audit_page(filter: &AuditFilter, limit: u32) -> Vec<AuditRow>;
    fn audit_chain(chain: ChainId, after_seq: u64, limit: u32) -> Vec<AuditRow>;
    fn audit_unchained(tenant: Option<TenantId>) -> u64;
    fn audit_checkpoint_put(checkpoints: &[Checkpoint]) -> ();
    fn audit_checkpoint_list(chain: ChainId, after_seq: u64) -> Vec<Checkpoint>;
    fn audit_cursor_list(sink: &str) -> Vec<(ChainId, u64)>;
    fn audit_cursor_put(sink: &str, cursors: &[(ChainId, u64)]) -> ();
    fn audit_lease(work: &str, holder: u64, now_ms: i64, until_ms: i64) -> bool;
    fn audit_expired(before_ms: i64) -> Vec<(ChainId, Link)>;
    fn audit_retain(before_ms: i64, anchors: &[Checkpoint]) -> u64;
    fn audit_note(tenant: Option<TenantId>, action: Action, note: &Note) -> ();
    fn audit_prepare(now_ms: i64) -> ();
});

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr};

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// How long anything may take before a test gives up.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn late(url: &str) -> Arc<LateStore> {
        open_late(url, Vault::new(1, [7; 32]), OpenOptions::default()).expect("a URL")
    }

    /// A free address at which nobody listens.
    async fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("an address")
    }

    /// The test server behind an address that nobody answers at before this is polled.
    async fn forward(at: SocketAddr, to: String) -> io::Result<()> {
        let listener = TcpListener::bind(at).await?;
        loop {
            let (mut near, _) = listener.accept().await?;
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    }

    #[tokio::test]
    async fn everything_is_refused_at_once_before_the_store_is_there() {
        let store = late(&format!("postgres://u:hunter2@{}/d", nowhere().await));
        assert!(store.arrived(Duration::ZERO).await.expect("nobody refused").is_none());
        let begun = std::time::Instant::now();
        let errors = [store.ping().await.err(), store.tenant_list().await.err(), store.audit_known(&[1]).await.err()];
        for error in errors {
            let error = error.expect("there is no store");
            assert!(
                matches!(&error, StoreError::Unavailable { .. }) && !error.to_string().contains("hunter2"),
                "{error}"
            );
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(!store.is_here());
        store.close().await;
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_read_ends_the_start() {
        let refused = open_late("mysql://u@h/d", Vault::new(1, [7; 32]), OpenOptions::default());
        assert!(matches!(refused.err(), Some(StoreError::Url(_))));
    }

    #[tokio::test]
    async fn an_embedded_store_is_there_soon_and_its_changes_are_told() {
        let store = late("sqlite::memory:");
        let mut changes = store.changes();
        let inner = store.arrived(PATIENCE).await.expect("nobody refused").expect("it is there");
        assert!(store.is_here());
        assert_eq!(changes.recv().await.expect("news"), Change::Resync);
        let doc = patchbay_core::model::TenantDoc {
            slug: "acme".parse().expect("a slug"),
            title: None,
            enabled: true,
            servers: Default::default(),
            toolsets: Default::default(),
            issuers: Default::default(),
            limits: Default::default(),
            audit: Default::default(),
        };
        inner.tenant_apply(&doc, None, &Note::by_operator("a test", 0)).await.expect("a tenant");
        let change = changes.recv().await.expect("news");
        assert_eq!(change, Change::Tenant { slug: doc.slug.clone(), generation: Generation(1) });
        assert_eq!(store.tenant_list().await.expect("a list").len(), 1);
        store.close().await;
        assert!(store.ping().await.is_err());
    }

    #[tokio::test]
    async fn a_store_that_comes_later_is_told_and_used() {
        let Ok(url) = std::env::var("PATCHBAY_TEST_POSTGRES_URL") else { return };
        let mut url: url::Url = url.parse().expect("a URL");
        let to = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5432));
        let at = nowhere().await;
        let (admin, name) = (url.clone(), format!("patchbay_late_{:x}", rand()));
        let made = open_database(&admin, &name).await;
        url.set_ip_host(at.ip()).expect("a host");
        url.set_port(Some(at.port())).expect("a port");
        url.set_path(&name);
        let store = late(url.as_str());
        let mut changes = store.changes();
        assert!(store.arrived(Duration::from_millis(700)).await.expect("nobody refused").is_none());
        assert!(matches!(store.tenant_list().await, Err(StoreError::Unavailable { .. })));
        let forwarding = tokio::spawn(forward(at, to));
        let told = tokio::time::timeout(PATIENCE, changes.recv()).await.expect("in time");
        assert_eq!(told.expect("news"), Change::Resync);
        assert!(store.tenant_list().await.expect("a list").is_empty());
        store.close().await;
        forwarding.abort();
        drop_database(made, &name).await;
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_is_a_refusal_and_no_wait() {
        let Ok(url) = std::env::var("PATCHBAY_TEST_POSTGRES_URL") else { return };
        let mut url: url::Url = url.parse().expect("a URL");
        url.set_path("no_such_database");
        let store = late(url.as_str());
        let error = store.arrived(PATIENCE).await.err().expect("it is refused");
        assert!(matches!(&error, StoreError::Url(text) if text.contains("no_such_database")), "{error}");
        let again = tokio::time::timeout(PATIENCE, store.refused()).await.expect("it is known");
        assert_eq!(again.to_string(), error.to_string());
        store.close().await;
    }

    fn rand() -> u64 {
        u64::from_ne_bytes(patchbay_core::random_bytes())
    }

    async fn open_database(admin: &url::Url, name: &str) -> sqlx::PgConnection {
        use sqlx::ConnectOptions;
        let options = sqlx::postgres::PgConnectOptions::from_url(admin).expect("a URL");
        let mut connection = options.connect().await.expect("the server answers");
        run(&mut connection, format!("CREATE DATABASE {name}")).await;
        connection
    }

    async fn drop_database(mut connection: sqlx::PgConnection, name: &str) {
        run(&mut connection, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }

    async fn run(connection: &mut sqlx::PgConnection, sql: String) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.expect("a statement");
    }
}
