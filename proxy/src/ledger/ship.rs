//! Brings the audit to other places: one task for each configured sink, on one replica at a time (a lease in the store), chain by
//! chain in the order of the records, with a cursor for each. A batch counts as delivered when the sink has said so, and may
//! come twice. A sink that is away holds up nobody but itself.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Method, Request, header};
use patchbay_config::{SinkConfig, SinkKind};
use patchbay_core::{
    Slug, TenantId,
    audit::{ChainId, Checkpoint},
};
use patchbay_downstream::fetch::{FetchBounds, Fetcher};
use patchbay_store::{AuditRow, Store};
use secrecy::ExposeSecret;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{checkpoints, otlp, webhook};
use crate::{app::App, audit::now_ms, metrics::SinkStats, outbound};

/// Records of one delivery.
const BATCH_ROWS_MAX: u32 = 500;
/// Bytes of the records of one delivery; one record goes out however long it is.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How often the store is asked for news when there were none.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// For how long a replica takes the work on a sink; it is taken again in each round.
const LEASE: Duration = Duration::from_secs(60);
/// What one delivery may take.
const DELIVERY_TIME_MAX: Duration = Duration::from_secs(15);
/// What is read of a sink's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The pause after the first delivery that failed; it doubles.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the names of tenants are looked up for a sink that takes only some.
const NAMES_EVERY: Duration = Duration::from_secs(10);

/// Records of one chain on their way to a sink, with the checkpoints among them.
pub(super) struct Batch<'a> {
    pub(super) chain: ChainId,
    pub(super) rows: &'a [AuditRow],
    pub(super) checkpoints: &'a [Checkpoint],
}

/// What is posted.
pub(super) struct Post {
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
}

/// Why a delivery did not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undelivered {
    /// The sink was not reached, or gave no answer.
    #[error("{0}")]
    Unreached(String),
    /// The sink does not want it.
    #[error("it answered {0}")]
    Answered(u16),
}

impl Undelivered {
    /// Whether the sink looked at what it was sent and did not like that: too long, or not to be read. Another batch may do.
    const fn is_about_the_batch(&self) -> bool {
        matches!(self, Self::Answered(400 | 413 | 422))
    }
}

/// Serves all configured sinks until `stop`.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) {
    let holder = u64::from_ne_bytes(patchbay_core::random_bytes());
    let mut tasks = JoinSet::new();
    for (name, config) in &app.config.audit.sinks {
        let sink = Sink {
            name: name.clone(),
            config: config.clone(),
            fetcher: Fetcher::new(outbound::operator_policy()),
            store: app.store.clone(),
            holder: holder & i64::MAX as u64,
            cursors: None,
            signed: HashMap::new(),
            names: HashMap::new(),
            named: None,
            stats: SinkStats::default(),
        };
        app.metrics.sink(name.as_str(), &sink.stats);
        tasks.spawn(sink.serve(app.clone(), stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

struct Sink {
    name: Slug,
    config: SinkConfig,
    fetcher: Fetcher,
    store: Arc<dyn Store>,
    holder: u64,
    /// How far it has come, as the store has it; read anew whenever the work was somebody else's.
    cursors: Option<HashMap<ChainId, u64>>,
    /// The last checkpoint of each chain that it has. They are signed later than the records are delivered.
    signed: HashMap<ChainId, u64>,
    /// Also of tenants that were deleted, whose last records may still be on their way.
    names: HashMap<TenantId, Slug>,
    named: Option<Instant>,
    stats: SinkStats,
}

/// What a round came to.
#[derive(Default)]
struct Round {
    /// Records that were delivered.
    delivered: u64,
    /// Records that wait.
    behind: u64,
    /// When the oldest record that waits began, in milliseconds since 1970, as far as that is known.
    oldest_ms: Option<i64>,
}

impl Round {
    /// Notes that records wait of which the first, or the one before it, began at this time.
    fn waits(&mut self, records: u64, at_ms: i64) {
        self.behind += records;
        self.oldest_ms = Some(self.oldest_ms.map_or(at_ms, |other| other.min(at_ms)));
    }
}

impl Sink {
    async fn serve(mut self, app: Arc<App>, stop: CancellationToken) {
        let mut pause = RETRY_PAUSE_MIN;
        let mut failing = false;
        loop {
            let mut round = Round::default();
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.round(&mut round) => done,
            };
            self.note(&round, done.as_ref().ok().copied());
            let rest = match done {
                Ok(is_ours) => {
                    if is_ours && failing {
                        info!(sink = %self.name, "the sink {} takes audit records again", self.name);
                        failing = false;
                    }
                    pause = RETRY_PAUSE_MIN;
                    match is_ours {
                        true if round.delivered > 0 => Duration::ZERO,
                        true => IDLE_PAUSE,
                        // Another replica does it, and says how far it is.
                        false => IDLE_PAUSE * 5,
                    }
                }
                Err(error) => {
                    if !failing {
                        warn!(sink = %self.name, %error, "the sink {} takes no audit records; they wait in the store", self.name);
                        failing = true;
                    }
                    self.stats.failures += 1;
                    self.cursors = None;
                    if round.delivered > 0 {
                        // It does not like one of the chains; the others need not wait for that.
                        pause = RETRY_PAUSE_MIN;
                    }
                    let now = pause;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                    now
                }
            };
            app.metrics.sink(self.name.as_str(), &self.stats);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(rest) => {}
            }
        }
    }

    /// Counts what a round came to. `is_ours` is `None` for one that failed: it knows more than the last one, or nothing.
    fn note(&mut self, round: &Round, is_ours: Option<bool>) {
        self.stats.sent += round.delivered;
        if is_ours == Some(false) {
            (self.stats.lag_records, self.stats.lag) = (0, Duration::ZERO);
        } else if is_ours.is_some() || round.oldest_ms.is_some() {
            self.stats.lag_records = round.behind;
            let waits_ms = round.oldest_ms.map_or(0, |at_ms| (now_ms() - at_ms).max(0));
            self.stats.lag = Duration::from_millis(waits_ms.unsigned_abs());
        }
    }

    /// One batch of each chain that has grown; `false` when another replica has the work. A chain whose batch the sink does not
    /// like holds up no other one.
    async fn round(&mut self, round: &mut Round) -> anyhow::Result<bool> {
        if !self.lease().await? {
            self.cursors = None;
            return Ok(false);
        }
        let mut disliked = None;
        for head in self.store.audit_heads(None, None).await? {
            if !self.wants(head.chain.tenant).await? {
                continue;
            }
            let at = self.cursor(head.chain).await?;
            if head.last.seq <= at {
                continue;
            }
            let rows = self.store.audit_chain(head.chain, at, BATCH_ROWS_MAX).await?;
            let Some(first) = rows.first() else {
                self.say_removed(head.chain, at, head.last.seq + 1);
                self.advance(head.chain, head.last.seq).await?;
                continue;
            };
            let first_ms = first.at_ms;
            self.say_removed(head.chain, at, first.link.seq);
            match self.chain(head.chain, at, &rows).await {
                Ok(taken) => {
                    round.delivered += taken as u64;
                    let (last, last_ms) = rows[..taken].last().map_or((at, first_ms), |row| (row.link.seq, row.at_ms));
                    if head.last.seq > last {
                        round.waits(head.last.seq - last, last_ms);
                    }
                }
                Err(error) => {
                    round.waits(head.last.seq - at, first_ms);
                    let goes_on = error.downcast_ref().is_some_and(Undelivered::is_about_the_batch);
                    if !goes_on {
                        return Err(error);
                    }
                    disliked.get_or_insert(error);
                }
            }
            // A round may take longer than a lease.
            if !self.lease().await? {
                self.cursors = None;
                return Ok(false);
            }
        }
        disliked.map_or(Ok(true), Err)
    }

    /// Delivers the first of these rows, and gives their number: all of them, or as many as the sink takes at once.
    async fn chain(&mut self, chain: ChainId, at: u64, rows: &[AuditRow]) -> anyhow::Result<usize> {
        // One that was delivered by another process is likely to have been signed since.
        let signed = *self.signed.entry(chain).or_insert(at.saturating_sub(1));
        let checkpoints = checkpoints(&*self.store, chain, signed).await?;
        let mut count = fitting(rows);
        loop {
            let rows = &rows[..count];
            let last = rows.last().map_or(at, |row| row.link.seq);
            let with: Vec<_> = checkpoints.iter().filter(|checkpoint| checkpoint.link.seq <= last).cloned().collect();
            match self.deliver(&Batch { chain, rows, checkpoints: &with }).await {
                Ok(()) => {
                    self.advance(chain, last).await?;
                    if let Some(newest) = with.last() {
                        self.signed.insert(chain, newest.link.seq);
                    }
                    return Ok(count);
                }
                Err(error) if error.is_about_the_batch() && count > 1 => count /= 2,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says which records were removed because of their age before the sink had taken them. (One that begins had none yet.)
    fn say_removed(&self, chain: ChainId, at: u64, next: u64) {
        let removed = next - at - 1;
        if at > 0 && removed > 0 {
            let tenant = chain.tenant.map_or_else(|| "none".to_owned(), |tenant| tenant.to_string());
            let writer = format!("{:016x}", chain.writer.0);
            warn!(
                sink = %self.name, tenant, writer, removed,
                "{removed} audit records were removed by their age before the sink {} had taken them", self.name
            );
        }
    }

    async fn lease(&self) -> anyhow::Result<bool> {
        let now_ms = now_ms();
        let until_ms = now_ms + LEASE.as_millis() as i64;
        Ok(self.store.audit_lease(&format!("sink:{}", self.name), self.holder, now_ms, until_ms).await?)
    }

    async fn cursor(&mut self, chain: ChainId) -> anyhow::Result<u64> {
        if self.cursors.is_none() {
            self.cursors = Some(self.store.audit_cursor_list(self.name.as_str()).await?.into_iter().collect());
        }
        Ok(self.cursors.as_ref().and_then(|cursors| cursors.get(&chain)).copied().unwrap_or(0))
    }

    async fn advance(&mut self, chain: ChainId, seq: u64) -> anyhow::Result<()> {
        self.store.audit_cursor_put(self.name.as_str(), &[(chain, seq)]).await?;
        if let Some(cursors) = &mut self.cursors {
            cursors.insert(chain, seq);
        }
        Ok(())
    }

    /// Whether records of this tenant go to this sink.
    async fn wants(&mut self, tenant: Option<TenantId>) -> anyhow::Result<bool> {
        if self.config.tenants.is_empty() {
            return Ok(true);
        }
        let Some(tenant) = tenant else { return Ok(false) };
        if self.named.is_none_or(|named| named.elapsed() > NAMES_EVERY) {
            let listed = self.store.tenant_list().await?;
            self.names.extend(listed.into_iter().map(|tenant| (tenant.id, tenant.slug)));
            self.named = Some(Instant::now());
        }
        Ok(self.names.get(&tenant).is_some_and(|slug| self.config.tenants.contains(slug)))
    }

    fn deliver(&self, batch: &Batch<'_>) -> impl Future<Output = Result<(), Undelivered>> + Send {
        let made = match self.config.kind {
            SinkKind::Webhook => {
                webhook::post(&self.name, batch, self.config.secret.as_ref().map(ExposeSecret::expose_secret), now_ms())
            }
            SinkKind::Otlp => otlp::post(batch),
        };
        let request = self.request(made);
        let (fetcher, kind, name) = (self.fetcher.clone(), self.config.kind, self.name.clone());
        async move {
            let bounds = FetchBounds { bytes_max: ANSWER_BYTES_MAX, timeout: DELIVERY_TIME_MAX };
            let answer = fetcher.send(request?, bounds).await;
            let answer = answer.map_err(|fault| Undelivered::Unreached(fault.to_string()))?;
            if !answer.status().is_success() {
                return Err(Undelivered::Answered(answer.status().as_u16()));
            }
            if kind == SinkKind::Otlp
                && let Some(rejected) = otlp::rejected(answer.body())
            {
                warn!(sink = %name, rejected, "the sink {name} did not want {rejected} audit records; they are not sent again");
            }
            Ok(())
        }
    }

    fn request(&self, post: Post) -> Result<Request<bytes::Bytes>, Undelivered> {
        let unusable = |what: &str| Undelivered::Unreached(format!("its {what} cannot be used in a request"));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.config.url.as_str())
            .body(bytes::Bytes::from(post.body))
            .map_err(|_| unusable("url"))?;
        let headers = request.headers_mut();
        for (name, value) in &self.config.headers {
            let name = HeaderName::try_from(name).map_err(|_| unusable("headers"))?;
            let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| unusable("headers"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(post.content_type));
        headers.extend(post.headers);
        Ok(request)
    }
}

/// How many of these rows go out at once.
fn fitting(rows: &[AuditRow]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&AuditRow| {
        bytes += row.json.len();
        bytes <= BATCH_BYTES_MAX
    };
    rows.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests;
