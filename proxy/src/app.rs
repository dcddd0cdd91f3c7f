//! The composition root: everything that lives as long as the gateway, put together once. The one file that names the back
//! ends: SQLite or Postgres, limits in memory, the spool.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use anyhow::Context;
use patchbay_config::{GatewayConfig, StoreTarget};
use patchbay_core::seal::{Sealer, SealingKey};
use patchbay_limit::{Clock, MemoryLimiter};
use patchbay_store::{AuditRow, OpenOptions, Store, Vault};
use patchbay_token::{Fetch, TokenCache};
use secrecy::ExposeSecret;

use crate::{
    admission::Limits,
    audit::{Audit, Row, Sink, SpoolOptions},
    auth::KeyRing,
    dispatch::{calls::Calls, questions::Questions},
    edge::{origin::Allowed, session::Sessions, site::Sites},
    metrics::Metrics,
    outbound::Outbound,
    tenancy::Directory,
};

/// The most principals whose rates are remembered at once; those who have been quiet longest are forgotten first.
const LIMIT_KEYS_MAX: usize = 1 << 20;
/// The most tokens that are remembered as good, over all tenants.
const TOKENS_MAX: usize = 65_536;

/// All that requests and the work beside them share.
pub struct App {
    /// What the operator decided.
    pub config: GatewayConfig,
    /// The store. No request touches it.
    pub store: Arc<dyn Store>,
    /// The tenants.
    pub tenants: Directory,
    /// The keys.
    pub keys: KeyRing,
    /// The tokens that were found good.
    pub tokens: TokenCache,
    /// How documents of issuers are fetched.
    pub fetch: Arc<dyn Fetch>,
    /// The legacy sessions.
    pub sessions: Sessions,
    /// Makes and opens handles.
    pub sealer: Arc<Sealer>,
    /// What counts requests.
    pub limits: Limits,
    /// The trail.
    pub audit: Arc<Audit>,
    /// The numbers.
    pub metrics: Metrics,
    /// Hosts and origins that may ask.
    pub allowed: Allowed,
    /// The address under which clients reach the gateway.
    pub sites: Sites,
    /// The legacy calls that run.
    pub calls: Calls,
    /// The questions that wait for an answer.
    pub questions: Questions,
    state: AtomicU8,
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

impl App {
    /// Puts a gateway together.
    ///
    /// # Errors
    /// When the keys cannot be used, or this build cannot check a signature.
    pub fn new(config: GatewayConfig, store: Arc<dyn Store>, keys: &Keys, audit: Arc<Audit>) -> anyhow::Result<Self> {
        patchbay_token::self_check()?;
        let sealer = Arc::new(Sealer::new(vec![SealingKey { id: keys.id, secret: keys.handles }])?);
        let allowed = Allowed::new(&config.allowed_hosts, &config.allowed_origins);
        Ok(Self {
            sessions: Sessions::new(sealer.clone(), config.limits.session),
            store,
            tenants: Directory::default(),
            keys: KeyRing::default(),
            tokens: TokenCache::new(TOKENS_MAX),
            fetch: Arc::new(Outbound::new(&config)),
            sealer,
            limits: Limits { tenants: Arc::new(MemoryLimiter::new(LIMIT_KEYS_MAX)), clock: Clock::start() },
            audit,
            metrics: Metrics::new(),
            allowed,
            sites: Sites::new(&config),
            calls: Calls::default(),
            questions: Questions::default(),
            state: AtomicU8::new(STARTING),
            config,
        })
    }

    /// Whether it can serve, or a word on why not.
    ///
    /// # Errors
    /// With that word.
    pub fn ready(&self) -> Result<(), &'static str> {
        match self.state.load(Ordering::Acquire) {
            STARTING => Err("starting\n"),
            DRAINING => Err("draining\n"),
            _ => Ok(()),
        }
    }

    /// Notes that all tenants are loaded.
    pub(crate) fn serving(&self) {
        let _ = self.state.compare_exchange(STARTING, SERVING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Notes that no new work is wanted.
    pub(crate) fn draining(&self) {
        self.state.store(DRAINING, Ordering::Release);
    }

    /// The numbers, as Prometheus reads them.
    pub fn render_metrics(&self) -> String {
        self.metrics.audit(self.audit.depth());
        self.metrics.tokens(self.tokens.count());
        self.metrics.render()
    }
}

/// The secrets of the gateway itself, derived from the operator's sealing key.
pub struct Keys {
    id: u8,
    handles: [u8; 32],
    vault: [u8; 32],
    audit: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of this configuration: from the operator's sealing key, or from the one in the data folder, which is made on
    /// the first start of an embedded gateway.
    ///
    /// # Errors
    /// When the key is too short, the file cannot be read or written, or a Postgres store is configured without a key.
    pub fn of(config: &GatewayConfig) -> anyhow::Result<Self> {
        if let Some(key) = &config.sealing_key {
            return Self::derive(key.value.expose_secret()).with_context(|| format!("sealing_key ({})", key.source));
        }
        if matches!(config.store, StoreTarget::Postgres(_)) {
            anyhow::bail!(
                "a Postgres store needs a sealing key that all replicas share: set sealing_key in patchbay.yaml to env:NAME or \
                 file:PATH, with at least 32 random characters behind it (for example from `openssl rand -hex 32`)"
            );
        }
        let path = config.data_dir.join("sealing.key");
        let text = crate::files::read_or_make_secret(&path)?;
        Self::derive(&text).with_context(|| format!("the sealing key in {}", path.display()))
    }

    fn derive(text: &str) -> anyhow::Result<Self> {
        use sha2::{Digest, Sha256};
        let text = text.trim();
        if text.len() < 32 {
            anyhow::bail!("the key has {} characters; it needs at least 32, and they must be random", text.len());
        }
        let of = |purpose: &str| -> [u8; 32] {
            Sha256::new()
                .chain_update(b"patchbay ")
                .chain_update(purpose)
                .chain_update(b"\n")
                .chain_update(text)
                .finalize()
                .into()
        };
        Ok(Self { id: of("key id")[0], handles: of("handles"), vault: of("vault"), audit: of("audit checkpoints") })
    }

    /// The key for secrets at rest.
    pub fn vault(&self) -> Vault {
        Vault::new(self.id, self.vault)
    }

    /// The seed of the key that signs the audit's checkpoints.
    pub const fn audit_seed(&self) -> [u8; 32] {
        self.audit
    }
}

/// Opens the configured store.
///
/// # Errors
/// With a sentence that says what to do.
pub async fn open_store(config: &GatewayConfig, keys: &Keys) -> anyhow::Result<Arc<dyn Store>> {
    let url = match &config.store {
        StoreTarget::Sqlite(path) => {
            if let Some(folder) = path.parent() {
                crate::files::make_private_folder(folder)?;
            }
            format!("sqlite://{}", path.display())
        }
        StoreTarget::Postgres(url) => url.expose_secret().to_owned(),
    };
    patchbay_store::open(&url, keys.vault(), OpenOptions::default()).await.context("the store cannot be opened")
}

/// The folder of the audit's spool inside the data folder.
const SPOOL_FOLDER: &str = "audit-spool";
/// How many segments the spool is cut into; one is written while others are drained.
const SPOOL_SEGMENTS: usize = 8;

/// Opens the audit over the spool in the data folder.
///
/// # Errors
/// When the folder cannot be used, or another gateway uses it.
pub fn open_audit(config: &GatewayConfig) -> anyhow::Result<Arc<Audit>> {
    let segment_bytes = usize::try_from(config.audit.spool_bytes_max)? / SPOOL_SEGMENTS;
    let options = SpoolOptions { segment_bytes, segments_max: SPOOL_SEGMENTS };
    Audit::open(&config.data_dir.join(SPOOL_FOLDER), options).context("the audit's spool cannot be opened")
}

/// A record as the store keeps it.
pub fn stored(row: &Row) -> AuditRow {
    AuditRow {
        event_id: row.id(),
        chain: patchbay_core::audit::ChainId { tenant: row.tenant, writer: patchbay_core::audit::WriterId::OPERATOR },
        link: patchbay_core::audit::Link::START,
        facets: patchbay_core::audit::Facets::of(&row.json),
        at_ms: row.at_ms,
        kind: row.kind.to_owned(),
        json: row.json.clone(),
    }
}

/// Where the audit goes from the spool.
pub struct StoreSink(pub Arc<dyn Store>);

impl Sink for StoreSink {
    async fn append(&self, rows: &[Row]) -> Result<(), String> {
        let rows: Vec<_> = rows.iter().map(stored).collect();
        self.0.audit_append(&rows).await.map(drop).map_err(|error| error.to_string())
    }
}
