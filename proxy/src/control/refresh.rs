//! One server's refresher: reads its catalog at the start, when the server says that a list changed, and from time to time, and
//! tells the tenant's task. A server that does not answer is asked again at growing distances; nobody waits for it.

use std::{sync::Arc, time::Duration};

use patchbay_core::model::{ServerSpec, Transport};
use patchbay_downstream::{
    DownstreamError, Event, HealthState,
    catalog::{self, CatalogBounds, CatalogList, RawCatalog},
};
use tokio::{
    sync::{broadcast, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    inside::{Asked, Refreshed},
    stored::{STALE_MS_MAX, Stored},
    tenant::News,
};
use crate::{app::App, audit, tenancy::ServerHandle};

/// How long changes are gathered before a catalog is read again.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// How long one reading may take beyond a server's start.
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// The pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The most bytes of one server's lists.
const CATALOG_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The task of one server.
pub(super) struct Refresher {
    pub app: Arc<App>,
    pub server: Arc<ServerHandle>,
    /// Whether a catalog of an earlier run is in force already.
    pub has_part: bool,
    /// Whether asking it would start a process.
    pub is_child: bool,
    /// What its catalog is asked for with.
    pub declared: &'static str,
    pub news: mpsc::WeakSender<News>,
    /// Admins who want it asked now.
    pub rung: mpsc::Receiver<Asked>,
}

/// What a reading found.
pub(crate) struct Reading {
    /// The connection that was read.
    pub of: Arc<ServerHandle>,
    /// Whether the server answered.
    pub is_good: bool,
    /// When.
    pub at_ms: i64,
    /// Admins who wait for what comes of it.
    pub(super) asked: Vec<Asked>,
    outcome: Result<Box<RawCatalog>, DownstreamError>,
}

impl Reading {
    /// What an admin is told who asked for it.
    pub(super) fn told(&self, changed: bool) -> Refreshed {
        let why = self.outcome.as_ref().err().map(|error| self.of.inside.masked(&error.to_string()));
        Refreshed { changed, error: why }
    }

    /// The part that is in force after this reading, and whether a client would see a difference. What the server could not
    /// be asked keeps its last good part for a bounded time.
    pub(super) fn merged(self, before: Option<Arc<Stored>>) -> (Option<Arc<Stored>>, bool) {
        match self.outcome {
            Ok(raw) => {
                let next = read(*raw, before.as_deref(), self.at_ms);
                let changed = before.is_none_or(|before| next.differs(&before));
                (Some(Arc::new(next)), changed)
            }
            Err(_) => match before {
                Some(before) if self.at_ms - before.at_ms > STALE_MS_MAX => (None, true),
                Some(before) => {
                    let changed = !before.stale;
                    let part = if changed { Arc::new(Stored { stale: true, ..(*before).clone() }) } else { before };
                    (Some(part), changed)
                }
                None => (None, false),
            },
        }
    }
}

/// A reading as it is kept: a list that could not be read this time is the last good one.
fn read(raw: RawCatalog, before: Option<&Stored>, at_ms: i64) -> Stored {
    let failed = |list| raw.failed.iter().any(|failed| failed.list == list);
    let list = |items: Vec<String>, list, earlier: fn(&Stored) -> &Vec<String>| {
        if failed(list) { before.map(earlier).cloned().unwrap_or_default() } else { items }
    };
    Stored {
        tools: list(raw.tools, CatalogList::Tools, |stored| &stored.tools),
        prompts: list(raw.prompts, CatalogList::Prompts, |stored| &stored.prompts),
        resources: list(raw.resources, CatalogList::Resources, |stored| &stored.resources),
        templates: list(raw.templates, CatalogList::Templates, |stored| &stored.templates),
        skills: list(raw.skills, CatalogList::Skills, |stored| &stored.skills),
        stale: !raw.failed.is_empty(),
        hello: raw.hello,
        ttl_ms: raw.ttl_ms,
        at_ms,
    }
}

/// What a server is told that its callers can be asked, while its catalog is read: what the operator lets it ask, since some
/// servers have tools only for those who can be. A child is told nothing: the one that is asked belongs to no caller.
pub(super) const fn declared(spec: &ServerSpec) -> &'static str {
    if !matches!(spec.transport, Transport::Http { .. }) {
        return "{}";
    }
    match (spec.asks.elicitation, spec.asks.sampling, spec.asks.roots) {
        (false, false, false) => "{}",
        (true, false, false) => r#"{"elicitation":{"form":{},"url":{}}}"#,
        (false, true, false) => r#"{"sampling":{}}"#,
        (false, false, true) => r#"{"roots":{}}"#,
        (true, true, false) => r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#,
        (true, false, true) => r#"{"elicitation":{"form":{},"url":{}},"roots":{}}"#,
        (false, true, true) => r#"{"sampling":{},"roots":{}}"#,
        (true, true, true) => r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#,
    }
}

impl Refresher {
    /// Works until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut events = self.server.downstream.events();
        let mut pause = PAUSE_MIN;
        let mut known = self.has_part;
        let mut asked = Vec::new();
        loop {
            let asleep = known && self.is_child && self.server.downstream.health().state == HealthState::Idle;
            let mut wait = self.app.config.limits.catalog_refresh;
            if !asked.is_empty() {
                self.server.downstream.hurry();
            }
            // A child that sleeps is not woken for its list; it is read when a call has woken it, or when an admin asks.
            if !asleep || !asked.is_empty() {
                let is_good = self.read(pause == PAUSE_MIN, std::mem::take(&mut asked)).await;
                if is_good {
                    (pause, known) = (PAUSE_MIN, true);
                } else {
                    wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            let wait = jittered(wait);
            self.server.inside.asked_again(audit::now_ms().saturating_add_unsigned(wait.as_millis() as u64));
            asked = self.pause(&mut events, wait).await;
        }
    }

    /// Reads once; `first` is the first reading, or the first after a good one.
    async fn read(&self, first: bool, asked: Vec<Asked>) -> bool {
        let limits = &self.app.config.limits;
        let start = if self.is_child { self.app.config.stdio.start_timeout } else { Duration::ZERO };
        let bounds = CatalogBounds {
            pages_max: limits.catalog_pages_max,
            items_max: limits.catalog_items_max,
            bytes_max: CATALOG_BYTES_MAX,
            deadline: Instant::now() + READ_PATIENCE + start,
            capabilities: self.declared,
        };
        let outcome = catalog::fetch(&*self.server.downstream, bounds).await;
        let is_good = outcome.is_ok();
        let (name, at_ms) = (self.server.slug.as_str(), audit::now_ms());
        match &outcome {
            Ok(raw) => self.server.inside.heard(raw),
            Err(error) => self.server.inside.failed(at_ms, &error.to_string()),
        }
        match &outcome {
            Ok(raw) => {
                raw.warnings.iter().for_each(|warning| warn!(server = name, "{warning}"));
                raw.failed
                    .iter()
                    .for_each(|failed| warn!(server = name, "{} of {name}: {}", failed.list.method(), failed.why));
            }
            Err(error) if first => {
                warn!(server = name, %error, "the server {name} cannot be asked what it offers: is it running, and is its address or command right? Trying again");
            }
            Err(error) => info!(server = name, %error, "the server {name} still cannot be asked what it offers"),
        }
        let reading = Reading { of: self.server.clone(), is_good, outcome: outcome.map(Box::new), at_ms, asked };
        if let Some(news) = self.news.upgrade() {
            let _ = news.send(News::Catalog(reading)).await;
        }
        is_good
    }

    /// Waits for the time, for the server to say that something changed, or for admins who ask: gives these.
    async fn pause(&mut self, events: &mut broadcast::Receiver<Event>, wait: Duration) -> Vec<Asked> {
        let woken = async {
            tokio::select! {
                biased;
                asked = self.rung.recv() => match asked {
                    Some(first) => return vec![first],
                    // Nobody can ask any more: the server is being let go.
                    None => std::future::pending().await,
                },
                () = changed(events, self.server.slug.as_str()) => {}
            }
            tokio::time::sleep(DEBOUNCE).await;
            Vec::new()
        };
        let mut asked = tokio::time::timeout(wait, woken).await.unwrap_or_default();
        while let Ok(more) = self.rung.try_recv() {
            asked.push(more);
        }
        // What was said until now is answered by the one reading that follows.
        while events.try_recv().is_ok() {}
        asked
    }
}

/// Waits until the server says that a list changed.
async fn changed(events: &mut broadcast::Receiver<Event>, server: &str) {
    loop {
        match events.recv().await {
            Ok(Event::ResourceUpdated(_)) => {}
            Ok(event) => return debug!(server, ?event, "a list changed"),
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The time, give or take a tenth, so that servers are not all asked at once.
fn jittered(wait: Duration) -> Duration {
    let random = u32::from(u16::from_ne_bytes(patchbay_core::random_bytes()));
    wait * 9 / 10 + wait * random / (5 * u32::from(u16::MAX))
}
