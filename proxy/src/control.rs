//! Off the trunk: the one writer. Watches the store, keeps the servers' connections and catalogs, builds each tenant's snapshot
//! and publishes it. Requests only read what is published here.
//!
//! Each tenant has a task of its own ([`tenant`]), so that tenants do not wait for each other; each of its servers has one that
//! refreshes its catalog ([`refresh`]).

pub mod builtins;
pub(crate) mod copies;
pub(crate) mod doubts;
mod entrance;
pub(crate) mod inside;
mod notes;
pub(crate) mod probe;
pub mod refresh;
pub mod servers;
pub mod stored;
pub mod tenant;
pub mod unusable;
mod updates;
mod vault;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use patchbay_core::Slug;
use patchbay_store::{Change, TenantSummary, Tombstone};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::{
    builtins::Checks,
    copies::All,
    tenant::{News, TenantTask},
};
use crate::{app::App, audit, worker::Workers};

/// How often the last uses of keys go to the store.
const TOUCH_EVERY: Duration = Duration::from_secs(5);
/// How often the ended sessions are read at the most, however many end.
const TOMBSTONES_EVERY: Duration = Duration::from_millis(300);
/// How often it is written down, beside the last good copies, that the store still says the same.
const CONFIRM_EVERY: Duration = Duration::from_secs(60);
/// How soon it is, when a session has ended.
const CONFIRM_SOON: Duration = Duration::from_secs(5);
/// The pause before the store is asked again after it did not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long a tenant may take to close its servers.
const CLOSE_PATIENCE: Duration = Duration::from_secs(8);

/// Runs everything off the trunk until `stop`, and closes all servers then. `loaded` is told when all tenants are in force
/// for the first time.
pub async fn run(app: Arc<App>, workers: Arc<Workers>, loaded: oneshot::Sender<()>, stop: CancellationToken) {
    match &app.copies {
        Some(copies) => copies.sweep(),
        None => copies::discard(&app.config.data_dir),
    }
    let mut control = Control {
        app,
        workers,
        checks: Checks::new(),
        tenants: HashMap::new(),
        tasks: JoinSet::new(),
        tombstones_changed: false,
        ended: Vec::new(),
        confirm_at: Instant::now(),
    };
    let mut changes = control.app.store.changes();
    let is_from_copies = control.load_copies().await;
    if !is_from_copies {
        control.load_all(&stop).await;
        control.load_tombstones().await;
    }
    control.app.serving();
    let _ = loaded.send(());
    let noting = tokio::spawn(notes::follow(control.app.clone(), stop.clone()));
    let mut touch = tokio::time::interval(TOUCH_EVERY);
    touch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tombstones = tokio::time::interval(TOMBSTONES_EVERY);
    tombstones.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut touched_ms = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            change = changes.recv() => match change {
                Ok(change) => control.follow(change, &stop).await,
                Err(broadcast::error::RecvError::Lagged(_)) => control.follow(Change::Resync, &stop).await,
                Err(broadcast::error::RecvError::Closed) => break,
            },
            () = sleep_until(control.confirm_at), if control.app.copies.is_some() => control.confirm(&stop).await,
            _ = tombstones.tick(), if control.tombstones_changed => control.load_tombstones().await,
            _ = touch.tick() => touched_ms = control.touch_keys(touched_ms).await,
        }
    }
    control.close().await;
    let _ = noting.await;
}

struct Control {
    app: Arc<App>,
    workers: Arc<Workers>,
    checks: Checks,
    tenants: HashMap<Slug, Place>,
    tasks: JoinSet<()>,
    /// Whether sessions ended since the list of them was read.
    tombstones_changed: bool,
    /// The ended sessions as the store last listed them, where copies are kept.
    ended: Vec<Tombstone>,
    /// When it is written down next that the store says the same.
    confirm_at: Instant,
}

/// Where a tenant's task is reached.
struct Place {
    news: mpsc::Sender<News>,
    /// Tells the task that the tenant was deleted.
    gone: Arc<AtomicBool>,
}

impl Control {
    /// While the store has not come: puts the last good copies in force. `false` when the store is there, or there are none.
    async fn load_copies(&mut self) -> bool {
        let (Some(late), Some(copies)) = (&self.app.late, &self.app.copies) else { return false };
        if late.is_here() {
            return false;
        }
        let now_ms = audit::now_ms();
        let found = copies.found(now_ms).await;
        let tenants = found.copies.len();
        if tenants == 0 {
            warn!("the store does not answer, and there is no last good copy of any tenant: waiting for the store");
            return false;
        }
        let mut told = Vec::with_capacity(tenants);
        for copy in found.copies {
            let (sender, in_force) = oneshot::channel();
            let slug = copy.row.slug.clone();
            self.tell(&slug, News::Copy(Box::new(copy), sender)).await;
            told.push(in_force);
        }
        for in_force in told {
            let _ = in_force.await;
        }
        found.ended.iter().for_each(|ended| self.app.session_ended(ended.tenant, ended.digest, ended.expires_ms));
        let age_s = self.app.copies.as_ref().map_or(0, |copies| copies.age(now_ms).as_secs());
        error!(
            tenants,
            age_s,
            "the store does not answer: {tenants} tenants are served from their last good copies, of which the oldest is {age_s} s              old; what was changed or revoked since then is not known here"
        );
        true
    }

    /// Writes down that the store still says the same, when it does.
    async fn confirm(&mut self, stop: &CancellationToken) {
        self.confirm_at = Instant::now() + CONFIRM_EVERY;
        let Some(copies) = self.app.copies.clone() else { return };
        let as_of_ms = audit::now_ms();
        let listed = tokio::select! {
            () = stop.cancelled() => return,
            listed = self.app.store.tenant_list() => listed,
        };
        let Ok(listed) = listed else { return };
        let tenants = listed.into_iter().map(|tenant| (tenant.slug, tenant.generation)).collect();
        let mut all = All { as_of_ms, tenants, ended: self.ended.clone() };
        if let Err(error) = copies.keep_all(&mut all).await {
            warn!(%error, "it cannot be written down that the last good copies are good still");
        }
    }

    /// Loads every tenant that the store has, and lets go of those that it no longer has. Tries until the store answers.
    async fn load_all(&mut self, stop: &CancellationToken) {
        let listed = loop {
            match self.app.store.tenant_list().await {
                Ok(listed) => break listed,
                Err(error) => {
                    warn!(%error, "the store does not answer; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(STORE_PAUSE) => {}
                    }
                }
            }
        };
        let gone: Vec<_> =
            self.tenants.keys().filter(|slug| listed.iter().all(|tenant| tenant.slug != **slug)).cloned().collect();
        for slug in gone {
            self.forget(&slug);
        }
        if let Some(copies) = &self.app.copies {
            copies.forget_others(listed.iter().map(|TenantSummary { slug, .. }| slug.clone()));
        }
        let mut first = Vec::new();
        for tenant in listed {
            let (told, in_force) = oneshot::channel();
            self.tell(&tenant.slug, News::Reload(Some(told))).await;
            first.push(in_force);
        }
        for in_force in first {
            let _ = in_force.await;
        }
    }

    async fn tell(&mut self, slug: &Slug, news: News) {
        let place = self.tenants.entry(slug.clone()).or_insert_with(|| {
            let (news, task) =
                TenantTask::new(self.app.clone(), self.workers.clone(), self.checks.clone(), slug.clone());
            let gone = task.gone();
            self.tasks.spawn(task.run());
            Place { news, gone }
        });
        if place.news.send(news).await.is_err() {
            error!(tenant = %slug, "the task of the tenant {slug} has ended; it is begun anew at its next change");
            self.tenants.remove(slug);
        }
    }

    fn forget(&mut self, slug: &Slug) {
        if let Some(place) = self.tenants.remove(slug) {
            place.gone.store(true, Ordering::Release);
        }
        if let Some(copies) = &self.app.copies {
            copies.forget(slug);
        }
        if let Some(state) = self.app.tenants.state(slug.as_str()) {
            self.app.keys.replace(state.snapshot.tenant, &[]);
            self.app.hub.gone(state.snapshot.tenant);
        }
        self.app.tenants.remove(slug);
        info!(tenant = %slug, "the tenant {slug} is gone");
    }

    async fn follow(&mut self, change: Change, stop: &CancellationToken) {
        match change {
            Change::Tenant { slug, .. } => self.tell(&slug, News::Reload(None)).await,
            Change::TenantGone { slug } => self.forget(&slug),
            Change::Tombstones => self.tombstones_changed = true,
            // They have a follower of their own.
            Change::SessionNotes => {}
            Change::Resync => {
                self.load_all(stop).await;
                self.load_tombstones().await;
            }
        }
    }

    async fn load_tombstones(&mut self) {
        self.tombstones_changed = false;
        let now_ms = audit::now_ms();
        self.app.sessions.sweep(now_ms);
        match self.app.store.tombstone_list(now_ms).await {
            Ok(listed) => {
                listed.iter().for_each(|ended| self.app.session_ended(ended.tenant, ended.digest, ended.expires_ms));
                if self.app.copies.is_some() {
                    self.ended = listed;
                    self.confirm_at = self.confirm_at.min(Instant::now() + CONFIRM_SOON);
                }
            }
            Err(error) => warn!(%error, "the ended sessions cannot be read from the store"),
        }
    }

    async fn touch_keys(&self, since_ms: i64) -> i64 {
        let used = self.app.keys.used_since(since_ms);
        let Some(newest) = used.iter().map(|(_, _, at_ms)| *at_ms).max() else { return since_ms };
        match self.app.store.keys_touch(&used).await {
            Ok(()) => newest,
            Err(error) => {
                warn!(%error, "the last uses of keys cannot be written; they are kept for the next time");
                since_ms
            }
        }
    }

    async fn close(mut self) {
        self.touch_keys(0).await;
        self.tenants.clear();
        let closed = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
            warn!("some servers did not close in time and are left to the operating system");
        }
    }
}

#[cfg(test)]
mod tests;
