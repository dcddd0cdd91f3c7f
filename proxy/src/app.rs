//! The composition root: everything that lives as long as the gateway, put together once. The one file that names the back
//! ends: SQLite or Postgres, limits in memory or in Redis, the spool. The secrets that all of it needs are derived in [`keys`].

mod keys;

use std::{
    collections::HashSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use patchbay_config::{GatewayConfig, StoreTarget};
use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, DigestKey, Link, WriterId},
    seal::Sealer,
};
use patchbay_limit::{Clock, Limiter, MemoryLimiter, RedisLimiter, RedisOptions};
use patchbay_store::{AuditRow, LateStore, OpenOptions, Store, StoreError};
use patchbay_token::{Fetch, TokenCache};
use secrecy::ExposeSecret;

use crate::{
    admission::{Limits, door::Doors, modes::ModeChanges},
    audit::{Audit, LinkedRow, Signer, Sink, SinkError, SpoolOptions, now_ms},
    auth::KeyRing,
    control::copies::Copies,
    dispatch::{calls::Calls, parked::Parked, questions::Questions, roots::Roots, state::claims::Claims},
    edge::{origin::Allowed, replay::Replays, session::Sessions, site::Sites},
    hub::Hub,
    metrics::{AuditStats, LimiterStats, Metrics, SpanStats},
    outbound::Outbound,
    replica::{Replica, home::QuestionIds},
    telemetry::Telemetry,
    tenancy::Directory,
    worker,
};

pub use keys::Keys;

/// The most principals whose rates are remembered at once; those who have been quiet longest are forgotten first.
const LIMIT_KEYS_MAX: usize = 1 << 20;
/// The most counts of addresses that are remembered at once; the same.
const ADDRESS_KEYS_MAX: usize = 1 << 17;
/// The same at the admin API.
const ADMIN_ADDRESS_KEYS_MAX: usize = 4096;
/// The most tokens that are remembered as good, over all tenants.
const TOKENS_MAX: usize = 65_536;

/// All that requests and the work beside them share.
pub struct App {
    /// What the operator decided.
    pub config: GatewayConfig,
    /// The store. No request touches it.
    pub store: Arc<dyn Store>,
    /// The same, when the gateway was started before it came.
    pub(crate) late: Option<Arc<LateStore>>,
    /// What a start without the store is made from; `None` where there is none.
    pub(crate) copies: Option<Arc<Copies>>,
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
    /// Signs how far the trail's chains have come.
    pub signer: Arc<Signer>,
    /// By which the audit tells equal arguments.
    pub digests: DigestKey,
    /// The numbers.
    pub metrics: Metrics,
    /// What records spans, when traces are on.
    pub telemetry: Option<Telemetry>,
    /// Hosts and origins that may ask.
    pub allowed: Allowed,
    /// The address under which clients reach the gateway.
    pub sites: Sites,
    /// The legacy calls that run.
    pub calls: Calls,
    /// The questions that wait for an answer.
    pub questions: Questions,
    /// Who waits for changes.
    pub(crate) hub: Hub,
    /// The sessions whose roots changed of late.
    pub roots: Roots,
    /// The streams that clients can come back to.
    pub(crate) replays: Replays,
    /// The calls that wait for modern clients to answer what their servers asked.
    pub(crate) parked: Parked,
    /// The answers that were given, each of which counts once.
    pub(crate) claims: Claims,
    /// How busy the workers are, once there are some.
    pub(crate) workers: OnceLock<worker::Gauges>,
    /// Which process this is.
    pub(crate) replica: Replica,
    state: AtomicU8,
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

impl App {
    /// Puts a gateway together. Where limits are in Redis, it needs a Tokio runtime that lives as long.
    ///
    /// # Errors
    /// When the keys cannot be used, this build cannot check a signature, the URL of Redis cannot be read, or traces cannot be
    /// sent as configured.
    pub fn new(config: GatewayConfig, store: Arc<dyn Store>, keys: &Keys, audit: Arc<Audit>) -> anyhow::Result<Self> {
        patchbay_token::self_check()?;
        let sealer = Arc::new(keys.sealer()?);
        let limits = limits(&config)?;
        let copies = config.start_without.filter(|_| has_shared_store(&config));
        let copies = copies.map(|age_max| Arc::new(Copies::new(&config.data_dir, sealer.clone(), age_max)));
        let metrics = Metrics::new(config.metrics_tools_max);
        audit.tell_waits(metrics.audit_synced());
        let replica = Replica::here(config.replica_url.as_deref(), has_shared_store(&config));
        let questions = Questions::new(QuestionIds::new(sealer.clone(), replica.home.clone()));
        let allowed = Allowed::new(&config.allowed_hosts, &config.allowed_origins);
        Ok(Self {
            sessions: Sessions::new(sealer.clone(), config.limits.session, replica.noted().cloned()),
            store,
            late: None,
            copies,
            tenants: Directory::default(),
            keys: KeyRing::default(),
            tokens: TokenCache::new(TOKENS_MAX),
            fetch: Arc::new(Outbound::new(&config)),
            sealer,
            limits,
            audit,
            digests: keys.digests(),
            signer: Arc::new(keys.signer()?),
            metrics,
            telemetry: config.traces.as_ref().map(Telemetry::new).transpose()?,
            allowed,
            sites: Sites::new(&config),
            calls: Calls::default(),
            questions,
            hub: Hub::default(),
            roots: Roots::default(),
            replays: Replays::default(),
            parked: Parked::default(),
            claims: Claims::default(),
            workers: OnceLock::new(),
            replica,
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

    /// Whether no new work is wanted.
    pub(crate) fn is_draining(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DRAINING
    }

    /// Notes that no new work is wanted.
    pub(crate) fn draining(&self) {
        self.state.store(DRAINING, Ordering::Release);
    }

    /// A legacy session has ended, here or at another replica: its id opens nothing, its stream ends.
    pub(crate) fn session_ended(&self, tenant: TenantId, tombstone: [u8; 32], expires_ms: i64) {
        if self.sessions.end(tenant, tombstone, expires_ms) {
            let mut id = [0; 16];
            id.copy_from_slice(&tombstone[..16]);
            self.hub.end_client(tenant, id);
        }
    }

    /// The numbers, as Prometheus reads them.
    pub fn render_metrics(&self) -> String {
        let _turn = self.metrics.turn();
        let depth = self.audit.depth();
        self.metrics.audit(&AuditStats {
            lag_records: depth.records,
            lag: Duration::from_millis(depth.lag_ms),
            store_failures: depth.failures,
            checkpoints: depth.checkpoints,
            spool_bytes: depth.bytes,
            spool_ratio: depth.occupancy,
            is_stunted: depth.stunted,
            records: self.audit.records(),
            gaps: self.audit.gaps(),
        });
        let spans = self.telemetry.as_ref().map(Telemetry::stats);
        self.metrics.spans(&spans.map_or_else(SpanStats::default, |spans| SpanStats {
            waiting: spans.waiting,
            sent: spans.sent,
            failed: spans.failed,
            dropped: spans.dropped,
        }));
        self.metrics.limiter(&(self.limits.stats)());
        self.metrics.tokens(self.tokens.count());
        self.metrics.resumptions.keeps(self.replays.bytes());
        self.metrics.parked(self.parked.len());
        let age = self.copies.as_ref().map_or(Duration::ZERO, |copies| copies.age(now_ms()));
        self.metrics.snapshot_age(age);
        self.metrics.workers(&self.workers.get().map(worker::Gauges::loads).unwrap_or_default());
        self.look_at_servers();
        self.metrics.render()
    }

    /// Takes over how busy every server is.
    fn look_at_servers(&self) {
        let (now_ms, mut tenants, mut servers) = (now_ms(), 0, 0);
        for state in self.tenants.states() {
            tenants += 1;
            servers += state.servers.len();
            for server in &state.servers {
                server.meter.load(&server.downstream.load(), now_ms);
            }
        }
        self.metrics.population(tenants, servers);
    }
}

/// What counts: tenants' limits over all replicas where there is a Redis, everything else in this process.
fn limits(config: &GatewayConfig) -> anyhow::Result<Limits> {
    let (clock, modes) = (Clock::start(), ModeChanges::default());
    let local = MemoryLimiter::new(LIMIT_KEYS_MAX);
    let (tenants, stats): (Arc<dyn Limiter>, Box<dyn Fn() -> LimiterStats + Send + Sync>) = match &config.redis {
        None => (Arc::new(local), Box::new(|| LimiterStats::ALONE)),
        Some(redis) => {
            let options = RedisOptions {
                url: redis.url.clone(),
                timeout: redis.timeout,
                prefix: redis.prefix.clone(),
                replica: u64::from_ne_bytes(patchbay_core::random_bytes()),
            };
            let limiter = RedisLimiter::start(options, local, modes.watcher()).context("redis.url")?;
            let counted = limiter.clone();
            let stats = move || {
                let stats = counted.stats();
                LimiterStats {
                    mode: stats.mode,
                    replicas: stats.replicas,
                    round_trips: stats.round_trips,
                    refused_locally: stats.refused_here,
                    fallbacks: stats.fallbacks,
                }
            };
            (limiter, Box::new(stats))
        }
    };
    let doors = Arc::new(MemoryLimiter::new(ADDRESS_KEYS_MAX));
    let doors = Doors::new(doors, clock, config.limits.address, config.limits.failed_sign_ins);
    let admins = Arc::new(MemoryLimiter::new(ADMIN_ADDRESS_KEYS_MAX));
    let admins = Doors::new(admins, clock, None, config.limits.failed_sign_ins);
    Ok(Limits { tenants, doors, admins, clock, headers: config.limits.headers, stats, modes })
}

/// How long a gateway waits for its store before it starts without it.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// What is said when there is no store.
const NO_STORE: &str = "the store cannot be opened";

/// The word for the kind of store.
pub(crate) const fn store_kind(config: &GatewayConfig) -> &'static str {
    match config.store {
        StoreTarget::Sqlite(_) => "sqlite",
        StoreTarget::Postgres(_) => "postgres",
    }
}

/// Whether replicas may share the store, so that it can be away while this gateway is there.
fn has_shared_store(config: &GatewayConfig) -> bool {
    matches!(config.store, StoreTarget::Postgres(_))
}

/// Opens the configured store.
///
/// # Errors
/// With a sentence that says what to do.
pub async fn open_store(config: &GatewayConfig, keys: &Keys) -> anyhow::Result<Arc<dyn Store>> {
    let url = store_url(config)?;
    patchbay_store::open(&url, keys.vault(), OpenOptions::default()).await.context(NO_STORE)
}

/// Opens the configured store for a gateway: one that replicas share may come later, and is then given a second time.
///
/// # Errors
/// As [`open_store`], apart from a shared store that does not answer.
pub(crate) async fn open_store_or_wait(
    config: &GatewayConfig,
    keys: &Keys,
) -> anyhow::Result<(Arc<dyn Store>, Option<Arc<LateStore>>)> {
    if !has_shared_store(config) {
        return Ok((open_store(config, keys).await?, None));
    }
    let late =
        patchbay_store::open_late(&store_url(config)?, keys.vault(), OpenOptions::default()).context(NO_STORE)?;
    match late.arrived(STORE_PATIENCE).await.context(NO_STORE)? {
        Some(store) => Ok((store, None)),
        None => Ok((late.clone(), Some(late))),
    }
}

fn store_url(config: &GatewayConfig) -> anyhow::Result<String> {
    Ok(match &config.store {
        StoreTarget::Sqlite(path) => {
            if let Some(folder) = path.parent() {
                crate::files::make_private_folder(folder)?;
            }
            format!("sqlite://{}", path.display())
        }
        StoreTarget::Postgres(url) => url.expose_secret().to_owned(),
    })
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

/// Where the audit goes from the spool.
pub struct StoreSink(pub Arc<dyn Store>);

impl Sink for StoreSink {
    async fn append(&self, rows: &[LinkedRow]) -> Result<u64, SinkError> {
        let rows: Vec<_> = rows.iter().map(chained).collect();
        self.0.audit_append(&rows).await.map_err(refused)
    }

    async fn known(&self, ids: &[u128]) -> Result<HashSet<u128>, SinkError> {
        self.0.audit_known(ids).await.map_err(refused)
    }

    async fn heads(&self, writer: WriterId) -> Result<Vec<(ChainId, Link)>, SinkError> {
        let heads = self.0.audit_heads(Some(writer), None).await.map_err(refused)?;
        Ok(heads.into_iter().map(|head| (head.chain, head.last)).collect())
    }

    async fn checkpoint(&self, checkpoints: &[Checkpoint]) -> Result<(), SinkError> {
        self.0.audit_checkpoint_put(checkpoints).await.map_err(refused)
    }
}

/// A record in its chain, as the store keeps it.
fn chained(linked: &LinkedRow) -> AuditRow {
    AuditRow {
        event_id: linked.row.id(),
        chain: linked.chain,
        link: linked.link,
        at_ms: linked.row.at_ms,
        kind: linked.row.kind.to_owned(),
        facets: linked.facets.clone(),
        json: linked.row.json.clone(),
    }
}

fn refused(error: StoreError) -> SinkError {
    match error {
        StoreError::Chain(why) => SinkError::Forked(why),
        other => SinkError::Away(other.to_string()),
    }
}
