//! What Patchbay remembers: tenants with their servers, toolsets and issuers, API keys, revocations, last good catalogs, the
//! gateway's own tokens, ended sessions and what open ones asked for, the audit; admin keys and the requests of admins.
//!
//! Here are the traits, one per noun, and [`open`]; SQLite and Postgres stand behind them and pass the same suite. Only
//! `control`, the entrance's writers and the command line call the store, never the path of a request: what a request needs is
//! in memory, and [`Changes`] tells when it is out of date.
//!
//! Every change of a tenant adds one to its generation in the transaction that makes the change, and is told to all who
//! listen, in this process and in others, within a second.

mod admin;
mod announce;
mod audit;
mod error;
mod held;
mod late;
mod levels;
mod plan;
mod postgres;
mod reseal;
mod rows;
mod secrets;
mod sqlite;
mod target;
mod tokens;
mod vault;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use patchbay_core::{
    Generation, KeyId, RevocationId, ServerId, Slug, TenantId,
    admin::AdminKeyRow,
    issuer::RevocationRow,
    model::{KeyRow, TenantDoc, TenantRow},
};
use secrecy::SecretString;
use tokio::sync::broadcast;

pub use admin::ANSWER_BYTES_MAX;
pub use audit::{AUDIT_PAGE_MAX, AuditFilter, AuditHead, AuditLog, AuditRow, Note};
pub use error::StoreError;
pub use late::{LateStore, open_late};
pub use vault::Vault;

/// Opens the store at `url`, brings its tables up to date and starts to watch it for changes.
///
/// `sqlite://PATH` is a file, made with mode 0600 when it is not there (PATH is taken as it stands, without decoding);
/// `sqlite::memory:` lives as long as the handle; `postgres://user:password@host:port/database` is a Postgres database.
/// Several processes may do this at once.
///
/// # Errors
/// [`StoreError::Url`] when the URL, or what it names, cannot be right: trying again does not help.
/// [`StoreError::Unavailable`] when nobody answers: trying again may help. [`StoreError::Corrupt`] when the tables are not
/// ours, or those of a newer Patchbay that this one cannot work with any more.
pub async fn open(url: &str, vault: Vault, options: OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    match target::parse(url)? {
        target::Target::SqliteFile(path) => {
            Ok(Arc::new(sqlite::SqliteStore::open(Some(&path), vault, &options).await?))
        }
        target::Target::SqliteMemory => Ok(Arc::new(sqlite::SqliteStore::open(None, vault, &options).await?)),
        target::Target::Postgres(url) => Ok(Arc::new(postgres::PostgresStore::open(&url, vault, &options).await?)),
    }
}

/// The bounds of an opened store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Connections at the most. Postgres takes one more, for the notifications. SQLite has one writer, whatever stands
    /// here, and this many readers.
    pub connections_max: u32,
    /// How long an operation waits for a connection before it gives up.
    pub acquire_timeout: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { connections_max: 8, acquire_timeout: Duration::from_secs(5) }
    }
}

/// All that the store can do; used as `Arc<dyn Store>`.
#[async_trait]
pub trait Store:
    Tenants
    + ApiKeys
    + AdminKeys
    + AdminRequests
    + Reseal
    + Revocations
    + Catalogs
    + ServerTokens
    + Tombstones
    + SessionNotes
    + AuditLog
    + Changes
    + Cancels
    + Send
    + Sync
    + 'static
{
    /// Whether the store answers now.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stops watching and gives all connections back. What is asked of the store afterwards is refused.
    async fn close(&self);
}

/// Tenants, with their servers, toolsets, issuers and limits.
#[async_trait]
pub trait Tenants {
    /// All tenants, sorted by slug.
    async fn tenant_list(&self) -> Result<Vec<TenantSummary>, StoreError>;

    /// One tenant at one moment, its secrets opened; `None` when there is none of that name.
    ///
    /// Who wants the keys too reads them after the tenant: they are then as new as its generation, or newer, and in that
    /// case a change is on its way.
    async fn tenant_load(&self, slug: &Slug) -> Result<Option<TenantRow>, StoreError>;

    /// Makes a tenant be what `doc` says, in one transaction: all of it or nothing.
    ///
    /// A server keeps its id while its name stays; secrets that `doc` gives as `None` stay sealed as they are; a server whose
    /// transport changed loses its stored catalog and the gateway's token there. The token goes too when the secrets of the
    /// gateway's sign-in there changed. When nothing differs, nothing is written and the generation stays.
    ///
    /// With `expected`, the tenant must be at that generation; `Generation(0)` expects that there is none yet. `note` goes into
    /// the tenant's audit in the same transaction, when something changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the generation is another one, [`StoreError::NotFound`] when a secret is to be kept
    /// and there is none, [`StoreError::Sealed`] when one is to be kept that cannot be opened. (A secret that cannot be opened
    /// and that `doc` gives anew is replaced: that is the way out after a lost key.)
    async fn tenant_apply(
        &self,
        doc: &TenantDoc,
        expected: Option<Generation>,
        note: &Note,
    ) -> Result<Applied, StoreError>;

    /// Removes a tenant with all that belongs to it, apart from its audit, whose next record is `note`. `false` when there is
    /// none of that name. With `expected`, the tenant must be at that generation.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the generation is another one.
    async fn tenant_delete(&self, slug: &Slug, expected: Option<Generation>, note: &Note) -> Result<bool, StoreError>;
}

/// API keys. Making and revoking one is a change of the tenant, noted in its audit in the same transaction; using one is not.
#[async_trait]
pub trait ApiKeys {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant, [`StoreError::Exists`] when a key has this id or digest.
    async fn key_create(&self, key: &KeyRow, note: &Note) -> Result<(), StoreError>;

    /// All keys of a tenant, revoked and expired ones too, oldest first. Empty when there is no such tenant.
    async fn key_list(&self, tenant: TenantId) -> Result<Vec<KeyRow>, StoreError>;

    /// Refuses a key from now on. `false` when the tenant has no such key, or it was revoked before.
    async fn key_revoke(&self, tenant: TenantId, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, StoreError>;

    /// Adds a key in the place of a former one of its tenant, which is refused from `until_ms` on if not before; when that is not
    /// after the moment at which the new one is made, it is revoked. One change, of both or of none. `false` when the tenant has
    /// no such key, or it opens nothing at that moment.
    ///
    /// # Errors
    /// As [`Self::key_create`].
    async fn key_rotate(&self, former: KeyId, key: &KeyRow, until_ms: i64, note: &Note) -> Result<bool, StoreError>;

    /// Notes when keys were last used. The newest time wins; keys that are gone are passed over.
    async fn keys_touch(&self, used: &[(TenantId, KeyId, i64)]) -> Result<(), StoreError>;
}

/// Admin keys. Making and revoking one is noted in the audit in the same transaction. They are looked up in the store at each
/// request, so that a revoked one is refused on all replicas at once.
#[async_trait]
pub trait AdminKeys {
    /// Adds a key. One of a tenant goes with its tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when its tenant is not there, [`StoreError::Exists`] when a key has this id or digest.
    async fn admin_key_create(&self, key: &AdminKeyRow, note: &Note) -> Result<(), StoreError>;

    /// Adds the first key of all: only when there is none, revoked and expired ones too. `true` for the one who did it, over
    /// several processes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when its tenant is not there.
    async fn admin_key_bootstrap(&self, key: &AdminKeyRow, note: &Note) -> Result<bool, StoreError>;

    /// The key with this digest, whether it still opens anything or not.
    async fn admin_key_find(&self, digest: [u8; 32]) -> Result<Option<AdminKeyRow>, StoreError>;

    /// All keys, revoked and expired ones too, oldest first.
    async fn admin_key_list(&self) -> Result<Vec<AdminKeyRow>, StoreError>;

    /// Refuses a key from now on. `false` when there is no such key, or it was revoked before.
    async fn admin_key_revoke(&self, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, StoreError>;

    /// Adds a key in the place of a former one, which is refused from `until_ms` on if not before. `false` when the former one is
    /// not there, or opens nothing at the moment at which the new one is made.
    ///
    /// # Errors
    /// As [`Self::admin_key_create`].
    async fn admin_key_rotate(
        &self,
        former: KeyId,
        key: &AdminKeyRow,
        until_ms: i64,
        note: &Note,
    ) -> Result<bool, StoreError>;

    /// Notes when a key was last used; the newest time wins. What is less than a minute after the time that is noted is not
    /// written.
    async fn admin_key_touch(&self, key: KeyId, at_ms: i64) -> Result<(), StoreError>;
}

/// Requests of admins that must not be done twice (`Idempotency-Key`): reserved before they are done, answered after. Answers are
/// sealed at rest, since some show a new key.
#[async_trait]
pub trait AdminRequests {
    /// Reserves a request, or says what became of it. Those that have expired are forgotten. An answer that cannot be opened any
    /// more is [`Reserved::Begun`]: what it answered must not be done again.
    async fn request_reserve(&self, request: &Reservation) -> Result<Reserved, StoreError>;

    /// Keeps the answer until the reservation expires. The first one stays.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when the answer is longer than [`ANSWER_BYTES_MAX`], [`StoreError::NotFound`] when the request is
    /// not reserved, or was answered before.
    async fn request_answer(&self, request: [u8; 32], answer: &[u8]) -> Result<(), StoreError>;

    /// Forgets a reservation whose request changed nothing. One that was answered stays.
    async fn request_release(&self, request: [u8; 32]) -> Result<(), StoreError>;
}

/// A request that must not be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The digest of who asks, what for, and their key for it.
    pub request: [u8; 32],
    /// The digest of the request's body.
    pub body: [u8; 32],
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// From when on it is forgotten.
    pub expires_ms: i64,
}

/// What became of a reserved request.
#[derive(Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It is new, and reserved now.
    New,
    /// Somebody does it now, or broke off in doing it.
    Begun,
    /// It was done, and this was the answer.
    Done(Vec<u8>),
    /// Another body came with the same key.
    Differs,
}

impl fmt::Debug for Reserved {
    /// Without the answer, which may show a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("New"),
            Self::Begun => f.write_str("Begun"),
            Self::Done(answer) => write!(f, "Done({} bytes)", answer.len()),
            Self::Differs => f.write_str("Differs"),
        }
    }
}

/// Changing the sealing key.
#[async_trait]
pub trait Reseal {
    /// Seals everything anew that was sealed with a former key. This is no change of any tenant. What cannot be opened stays as it
    /// is, and so does what somebody else writes meanwhile, with whichever key they have: once all replicas seal with the current
    /// key, another turn finds nothing left to do, and the former keys may go.
    ///
    /// # Errors
    /// Whatever it is, what was sealed anew stays so, and the next turn goes on.
    async fn reseal(&self) -> Result<Resealed, StoreError>;
}

/// What [`Reseal::reseal`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Sealed with the current key before.
    pub current: u64,
    /// Sealed anew now.
    pub resealed: u64,
    /// Those that no key opens.
    pub closed: u64,
}

/// What was issued and no longer opens anything: tokens by their `jti`, subjects. Adding and lifting one is a change of the
/// tenant, noted in its audit in the same transaction. Those that have expired are left out of lists, and deleted now and then.
#[async_trait]
pub trait Revocations {
    /// Adds a revocation. One of the same thing that reaches less far gives way to it: the later end counts, and of what is
    /// revoked up to a moment, the later moment.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant, [`StoreError::Exists`] when nothing more is revoked by it.
    async fn revocation_add(&self, row: &RevocationRow, note: &Note) -> Result<(), StoreError>;

    /// All revocations of a tenant that have not expired at `now_ms`, oldest first. Empty when there is no such tenant.
    async fn revocation_list(&self, tenant: TenantId, now_ms: i64) -> Result<Vec<RevocationRow>, StoreError>;

    /// Takes a revocation back. `false` when the tenant has no such one.
    async fn revocation_lift(&self, tenant: TenantId, id: RevocationId, note: &Note) -> Result<bool, StoreError>;
}

/// The tokens that the gateway got for itself at servers, sealed at rest. They go with their server.
#[async_trait]
pub trait ServerTokens {
    /// The token of a server, opened; `None` when there is none, or it cannot be opened any more.
    async fn server_token_load(&self, tenant: TenantId, server: ServerId) -> Result<Option<ServerToken>, StoreError>;

    /// Replaces the token of a server and ends the lease on it. This is no change of the tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the tenant has no such server.
    async fn server_token_save(
        &self,
        tenant: TenantId,
        server: ServerId,
        token: &ServerToken,
    ) -> Result<(), StoreError>;

    /// Forgets the token of a server, when it is still this one (by its `expires_ms` and text).
    async fn server_token_forget(
        &self,
        tenant: TenantId,
        server: ServerId,
        token: &ServerToken,
    ) -> Result<(), StoreError>;

    /// Takes the right to get a new token until `until_ms`. `true` for one holder at a time, over all replicas; the same
    /// holder may take it again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the tenant has no such server.
    async fn server_token_lease(
        &self,
        tenant: TenantId,
        server: ServerId,
        holder: u64,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<bool, StoreError>;
}

/// The last good catalog of each server, as bytes that only their writer understands. They go with their server.
#[async_trait]
pub trait Catalogs {
    /// Replaces the catalog of a server. This is no change of the tenant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the tenant has no such server.
    async fn catalog_put(&self, tenant: TenantId, server: ServerId, catalog: &[u8]) -> Result<(), StoreError>;

    /// The catalogs of a tenant's servers, sorted by the servers' ids.
    async fn catalog_list(&self, tenant: TenantId) -> Result<Vec<(ServerId, Vec<u8>)>, StoreError>;
}

/// What must not be used again until it expires by itself: ended session ids, used one-time states.
#[async_trait]
pub trait Tombstones {
    /// Buries a digest. `true` for the one who did it first, `false` for all later ones, also over several processes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant.
    async fn tombstone_put(&self, tenant: TenantId, digest: [u8; 32], expires_ms: i64) -> Result<bool, StoreError>;

    /// All that have not expired at `now_ms`, of all tenants. Those that have are deleted.
    async fn tombstone_list(&self, now_ms: i64) -> Result<Vec<Tombstone>, StoreError>;
}

/// What legacy sessions asked for beside their calls: a log level, resources to watch. Each thing is a note of its own, so that
/// replicas that write at once do not undo each other; the last word on a thing counts. This is no change of the tenant.
#[async_trait]
pub trait SessionNotes {
    /// Writes notes, all or nothing. Those of tenants that are gone are passed over.
    async fn session_notes_put(&self, notes: &[SessionNote]) -> Result<(), StoreError>;

    /// The notes that were written after this number, in the order of their numbers, at most so many. Nobody who goes on with
    /// the last number misses one.
    async fn session_notes_since(&self, after: i64, limit: u32) -> Result<Vec<(i64, SessionNote)>, StoreError>;

    /// All notes of a session, those that were taken back too, sorted by their names.
    async fn session_notes_of(&self, tenant: TenantId, session: [u8; 16]) -> Result<Vec<SessionNote>, StoreError>;

    /// Forgets what a session that has ended asked for.
    async fn session_notes_forget(&self, tenant: TenantId, session: [u8; 16]) -> Result<(), StoreError>;

    /// Deletes those that have expired at `now_ms`, and says how many.
    async fn session_notes_sweep(&self, now_ms: i64) -> Result<u64, StoreError>;
}

/// One thing that a legacy session asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionNote {
    /// Whose session it is.
    pub tenant: TenantId,
    /// The session.
    pub session: [u8; 16],
    /// What it is about; only its writer understands it.
    pub name: String,
    /// What is wanted; `None` when it was taken back.
    pub value: Option<String>,
    /// When the session is over in any case, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// News of changes, from whichever process they come.
pub trait Changes {
    /// What changes from now on. Subscribe first, read then, and nothing is missed.
    ///
    /// A receiver that lags behind has lost some of it; that is to be treated like [`Change::Resync`].
    fn changes(&self) -> broadcast::Receiver<Change>;
}

/// Calls that clients took back at a process that does not run them. Nothing of it is kept: who is not there does not hear it.
#[async_trait]
pub trait Cancels {
    /// Tells the other processes, and nobody where a store has one process.
    async fn cancel_tell(&self, calls: &[Cancelled]) -> Result<(), StoreError>;

    /// What other processes tell from now on. A receiver that lags behind has lost some of it.
    fn cancels(&self) -> broadcast::Receiver<Cancelled>;
}

/// A call that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The session of the call.
    pub session: [u8; 16],
    /// The id of its request, as it was written; at most [`CANCEL_ID_BYTES_MAX`] long.
    pub id: Vec<u8>,
}

/// The longest request id that is told to other processes; longer ones are left out.
pub const CANCEL_ID_BYTES_MAX: usize = 256;

/// A token that the gateway got for itself at a server.
#[derive(Debug, Clone)]
pub struct ServerToken {
    /// What its writer wrote, which only the writer understands.
    pub secret: SecretString,
    /// From when on it is of no use, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// A tenant in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSummary {
    /// The row.
    pub id: TenantId,
    /// The name in URLs.
    pub slug: Slug,
    /// A title for people.
    pub title: Option<String>,
    /// Whether it answers at all.
    pub enabled: bool,
    /// The number of its state.
    pub generation: Generation,
}

/// What [`Tenants::tenant_apply`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The row.
    pub id: TenantId,
    /// The number of the state that is now in force.
    pub generation: Generation,
    /// Whether anything was different before.
    pub changed: bool,
}

/// Something that must not be used again before it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// Whose it was.
    pub tenant: TenantId,
    /// The digest of what ended.
    pub digest: [u8; 32],
    /// From when on it would be refused anyhow, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// What others should look at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A tenant is new, or different.
    Tenant {
        /// Which.
        slug: Slug,
        /// The number of its new state. It grows over the life of a name, also when the tenant is deleted and made again.
        generation: Generation,
    },
    /// A tenant was deleted.
    TenantGone {
        /// Which.
        slug: Slug,
    },
    /// There are new tombstones.
    Tombstones,
    /// There are new notes of sessions.
    SessionNotes,
    /// The connection to the store was lost for a while: anything may have changed.
    Resync,
}
