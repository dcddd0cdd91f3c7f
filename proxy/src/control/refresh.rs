//! One server's refresher: reads its catalog at the start, when the server says that a list changed, and from time to time, and
//! tells the tenant's task. A server that does not answer is asked again at growing distances; nobody waits for it.

use std::{sync::Arc, time::Duration};

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
    pub news: mpsc::WeakSender<News>,
}

/// What a reading found.
pub(crate) struct Reading {
    /// The connection that was read.
    pub of: Arc<ServerHandle>,
    /// Whether the server answered.
    pub is_good: bool,
    /// When.
    pub at_ms: i64,
    outcome: Result<Box<RawCatalog>, DownstreamError>,
}

impl Reading {
    /// The part that is in force after this reading, and whether a client would see a difference. What the server could not
    /// be asked keeps its last good part for a bounded time.
    pub(super) fn merged(self, before: Option<Stored>) -> (Option<Stored>, bool) {
        match self.outcome {
            Ok(raw) => {
                let next = read(*raw, before.as_ref(), self.at_ms);
                let changed = before.is_none_or(|before| next.differs(&before));
                (Some(next), changed)
            }
            Err(_) => match before {
                Some(before) if self.at_ms - before.at_ms > STALE_MS_MAX => (None, true),
                Some(before) => {
                    let changed = !before.stale;
                    (Some(Stored { stale: true, ..before }), changed)
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
        stale: !raw.failed.is_empty(),
        hello: raw.hello,
        ttl_ms: raw.ttl_ms,
        at_ms,
    }
}

impl Refresher {
    /// Works until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let mut events = self.server.downstream.events();
        let mut pause = PAUSE_MIN;
        let mut known = self.has_part;
        loop {
            let asleep = known && self.is_child && self.server.downstream.health().state == HealthState::Idle;
            let mut wait = self.app.config.limits.catalog_refresh;
            // A child that sleeps is not woken for its list; it is read when a call has woken it.
            if !asleep {
                let is_good = self.read(pause == PAUSE_MIN).await;
                if is_good {
                    (pause, known) = (PAUSE_MIN, true);
                } else {
                    wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            self.pause(&mut events, jittered(wait)).await;
        }
    }

    /// Reads once; `first` is the first reading, or the first after a good one.
    async fn read(&self, first: bool) -> bool {
        let limits = &self.app.config.limits;
        let start = if self.is_child { self.app.config.stdio.start_timeout } else { Duration::ZERO };
        let bounds = CatalogBounds {
            pages_max: limits.catalog_pages_max,
            items_max: limits.catalog_items_max,
            bytes_max: CATALOG_BYTES_MAX,
            deadline: Instant::now() + READ_PATIENCE + start,
        };
        let outcome = catalog::fetch(&*self.server.downstream, bounds).await;
        let is_good = outcome.is_ok();
        let name = self.server.slug.as_str();
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
        let reading =
            Reading { of: self.server.clone(), is_good, outcome: outcome.map(Box::new), at_ms: audit::now_ms() };
        if let Some(news) = self.news.upgrade() {
            let _ = news.send(News::Catalog(reading)).await;
        }
        is_good
    }

    /// Waits for the time, or for the server to say that something changed.
    async fn pause(&self, events: &mut broadcast::Receiver<Event>, wait: Duration) {
        let woken = async {
            loop {
                match events.recv().await {
                    Ok(Event::ResourceUpdated(_)) => {}
                    Ok(event) => {
                        debug!(server = self.server.slug.as_str(), ?event, "a list changed");
                        return;
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        if tokio::time::timeout(wait, woken).await.is_ok() {
            tokio::time::sleep(DEBOUNCE).await;
            // What was said while gathering is answered by the one reading that follows.
            while events.try_recv().is_ok() {}
        }
    }
}

/// The time, give or take a tenth, so that servers are not all asked at once.
fn jittered(wait: Duration) -> Duration {
    let random = u32::from(u16::from_ne_bytes(patchbay_core::random_bytes()));
    wait * 9 / 10 + wait * random / (5 * u32::from(u16::MAX))
}
