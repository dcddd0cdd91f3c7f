//! One tenant's task: holds the row and the last good catalogs, and turns every piece of news into a new snapshot. A snapshot
//! that cannot be built leaves the last good one in force.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use patchbay_core::{
    Generation, ServerId, Slug, TenantId,
    model::{ServerRow, TenantRow},
    snapshot::{self, BuildOptions, CatalogPart, TenantSnapshot},
};
use patchbay_downstream::Downstream;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};

use super::{
    builtins::Checks,
    copies::Copy,
    entrance::Entrance,
    inside::ServerInside,
    refresh,
    servers::{self, Opened},
    stored::Stored,
    updates,
};
use crate::{
    app::App,
    audit,
    hub::Hub,
    metrics::TenantMeter,
    tenancy::{Made, ServerHandle, Source, TenantState, Trouble},
    worker::Workers,
};

/// News that wait for the task.
const INBOX_MAX: usize = 64;
/// How long the store may take until it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long changes are gathered before the last good copy is written.
const COPY_AFTER: Duration = Duration::from_secs(1);
/// The pause after a copy could not be written.
const COPY_PAUSE: Duration = Duration::from_secs(60);
/// How long the calls of a server that is gone may go on.
const LINGER: Duration = Duration::from_secs(30);

/// What a tenant's task is told.
pub(crate) enum News {
    /// The row or the keys may have changed; the sender is told when the new state is in force.
    Reload(Option<oneshot::Sender<()>>),
    /// A server's catalog was read, or could not be.
    Catalog(refresh::Reading),
    /// The store is away, and this is what it said last; the sender is told when that is in force.
    Copy(Box<Copy>, oneshot::Sender<()>),
}

/// A server that is kept between snapshots.
struct Kept {
    row: ServerRow,
    handle: Arc<ServerHandle>,
    part: Option<Arc<Stored>>,
    /// Whether there is a connection at all; if not, it is tried again now and then.
    is_usable: bool,
    /// Whether it had its first word since the gateway started.
    heard: bool,
    /// Ends its refresher when it is let go.
    _refresher: DropGuard,
}

/// The tenant is there, and the store cannot give it.
struct Unreadable;

/// The task.
pub(super) struct TenantTask {
    app: Arc<App>,
    workers: Arc<Workers>,
    checks: Checks,
    slug: Slug,
    meter: Arc<TenantMeter>,
    row: Option<Arc<TenantRow>>,
    /// Where the row came from.
    source: Source,
    entrance: Entrance,
    /// Whether another reading is on its way, since the last one was not whole.
    is_retried: bool,
    servers: BTreeMap<ServerId, Kept>,
    children: servers::Children,
    settled: bool,
    /// When the store last said what is held here, in milliseconds since 1970.
    as_of_ms: Option<i64>,
    /// When the last good copy is to be written.
    copy_at: Option<Instant>,
    /// Whether the tenant was deleted.
    gone: Arc<AtomicBool>,
    inbox: mpsc::Receiver<News>,
    /// For the refreshers; weak, so that the task ends when `control` lets go of it.
    sender: mpsc::WeakSender<News>,
}

impl TenantTask {
    pub(super) fn new(app: Arc<App>, workers: Arc<Workers>, checks: Checks, slug: Slug) -> (mpsc::Sender<News>, Self) {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let children = servers::children(&app.config);
        let entrance = Entrance::closed(&app);
        let weak = sender.downgrade();
        let meter = app.metrics.tenant(slug.as_str());
        let task = Self {
            app,
            workers,
            checks,
            slug,
            meter,
            row: None,
            source: Source::Store,
            entrance,
            is_retried: false,
            servers: BTreeMap::new(),
            children,
            settled: false,
            as_of_ms: None,
            copy_at: None,
            gone: Arc::default(),
            inbox,
            sender: weak,
        };
        (sender, task)
    }

    /// To be told when the tenant is deleted, and not only let go of: then nothing of it is kept.
    pub(super) fn gone(&self) -> Arc<AtomicBool> {
        self.gone.clone()
    }

    /// Follows the news until nobody sends any.
    pub(super) async fn run(mut self) {
        while let Some(news) = self.next().await {
            match news {
                News::Reload(told) => {
                    self.reload().await;
                    if let Some(told) = told {
                        let _ = told.send(());
                    }
                }
                News::Catalog(reading) => self.catalog(reading).await,
                News::Copy(copy, told) => {
                    self.restore(*copy);
                    let _ = told.send(());
                }
            }
        }
        if self.copy_at.is_some() {
            self.write_copy().await;
        }
        let closing = self.servers.into_values().map(|kept| async move { kept.handle.downstream.close().await });
        futures_util::future::join_all(closing).await;
    }

    /// The next piece of news; while there is none, writes the copy when it is time to.
    async fn next(&mut self) -> Option<News> {
        loop {
            let Some(at) = self.copy_at else { return self.inbox.recv().await };
            tokio::select! {
                news = self.inbox.recv() => return news,
                () = sleep_until(at) => self.write_copy().await,
            }
        }
    }

    async fn reload(&mut self) {
        self.is_retried = false;
        let as_of_ms = audit::now_ms();
        let read = self.read_row().await;
        let row = match &read {
            Ok(Some(row)) => row,
            Ok(None) => return,
            // What was revoked counts also while the rest cannot be read.
            Err(Unreadable) => match &self.row {
                Some(row) => row,
                None => return,
            },
        };
        let is_whole = self.entrance.read(&self.app, row).await;
        if !is_whole {
            self.reload_soon();
        }
        let Ok(Some(row)) = read else { return self.publish_entrance() };
        let mut stored = self.read_catalogs(&row).await;
        self.reconcile(&row, &mut stored);
        (self.row, self.source) = (Some(Arc::new(row)), Source::Store);
        let is_published = self.publish();
        self.settle();
        if is_whole {
            self.as_of_ms = Some(as_of_ms);
            if let Some(copies) = &self.app.copies {
                copies.heard(&self.slug);
            }
        }
        // A state of which no snapshot can be built is no good one.
        self.copy_at = self.copy_at.filter(|_| is_published);
        if is_whole && is_published {
            self.copy_soon();
        }
    }

    /// Puts in force what the store said last.
    fn restore(&mut self, copy: Copy) {
        let Copy { as_of_ms, row, keys, revoked, mut catalogs } = copy;
        if let Some(copies) = &self.app.copies {
            copies.took(&self.slug, as_of_ms);
        }
        self.entrance.restore(&self.app, &row, keys, revoked);
        self.reconcile(&row, &mut catalogs);
        (self.row, self.source) = (Some(Arc::new(row)), Source::Copy { as_of_ms });
        self.as_of_ms = Some(as_of_ms);
        self.publish();
        self.settle();
    }

    /// Has the last good copy written when some changes are together. What the store has not said whole makes none.
    fn copy_soon(&mut self) {
        if self.app.copies.is_some() && self.as_of_ms.is_some() {
            self.copy_at.get_or_insert_with(|| Instant::now() + COPY_AFTER);
        }
    }

    async fn write_copy(&mut self) {
        self.copy_at = None;
        let (Some(copies), Some(as_of_ms), Some(row)) = (&self.app.copies, self.as_of_ms, &self.row) else { return };
        if self.gone.load(Ordering::Acquire) {
            return;
        }
        let parts = self.servers.iter().filter_map(|(id, kept)| Some((*id, kept.part.as_deref()?))).collect();
        let written = copies.keep(as_of_ms, row, self.entrance.rows(), &parts).await;
        // It may have been deleted while it was written.
        if self.gone.load(Ordering::Acquire) {
            copies.forget(&self.slug);
        } else if let Err(error) = written {
            warn!(tenant = %self.slug, %error, "the last good copy of {} cannot be written; trying again", self.slug);
            self.copy_at = Some(Instant::now() + COPY_PAUSE);
        }
    }

    /// Has the tenant read once more after a pause.
    fn reload_soon(&mut self) {
        if !std::mem::replace(&mut self.is_retried, true) {
            let sender = self.sender.clone();
            tokio::spawn(async move {
                tokio::time::sleep(STORE_PAUSE).await;
                if let Some(sender) = sender.upgrade() {
                    let _ = sender.send(News::Reload(None)).await;
                }
            });
        }
    }

    /// The row; asked for until the store answers. `None` when the tenant is gone.
    async fn read_row(&self) -> Result<Option<TenantRow>, Unreadable> {
        loop {
            match self.app.store.tenant_load(&self.slug).await {
                Ok(row) => return Ok(row),
                Err(error @ patchbay_store::StoreError::Unavailable { .. }) => {
                    warn!(tenant = %self.slug, %error, "the store does not answer; the last snapshot stays in force");
                    if self.inbox.is_closed() {
                        return Ok(None);
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                Err(error) => {
                    error!(tenant = %self.slug, %error, "the tenant {} cannot be loaded", self.slug);
                    self.trouble(None, error.to_string());
                    return Err(Unreadable);
                }
            }
        }
    }

    async fn read_catalogs(&self, row: &TenantRow) -> BTreeMap<ServerId, Stored> {
        if row.servers.iter().all(|server| self.servers.contains_key(&server.id)) {
            return BTreeMap::new();
        }
        let listed = self.app.store.catalog_list(row.id).await.unwrap_or_else(|error| {
            warn!(tenant = %self.slug, %error, "the stored catalogs of {} cannot be read", self.slug);
            Vec::new()
        });
        listed.into_iter().filter_map(|(id, bytes)| Some((id, Stored::read(&bytes)?))).collect()
    }

    /// Keeps what is the same, opens what is new, lets go of what is gone or different.
    fn reconcile(&mut self, row: &TenantRow, stored: &mut BTreeMap<ServerId, Stored>) {
        let mut before = std::mem::take(&mut self.servers);
        for server in row.servers.iter().filter(|server| server.spec.enabled) {
            let kept = match before.remove(&server.id) {
                Some(kept) if same_connection(&kept.row, server) => Kept { row: server.clone(), ..kept },
                other => {
                    if let Some(old) = other {
                        let_go(&old);
                    }
                    self.open(row.id, server, stored.remove(&server.id).map(Arc::new))
                }
            };
            self.servers.insert(server.id, kept);
        }
        for gone in before.values() {
            let_go(gone);
        }
    }

    fn open(&self, tenant: TenantId, server: &ServerRow, part: Option<Arc<Stored>>) -> Kept {
        let opened = self.connect(tenant, server, part.as_deref());
        if let Some(why) = &opened.problem {
            let (tenant, name) = (&self.slug, &server.slug);
            warn!(%tenant, server = %name, "the server {name} of {tenant} cannot be used: {why}");
        }
        self.keep(tenant, server, part, opened)
    }

    fn connect(&self, tenant: TenantId, server: &ServerRow, part: Option<&Stored>) -> Opened {
        let hello = part.map(|part| part.hello.clone());
        let place = servers::Place {
            app: &self.app,
            tenant,
            runtime: self.workers.handle(),
            children: &self.children,
            is_stored: true,
        };
        servers::open(&place, server, hello)
    }

    fn keep(&self, tenant: TenantId, server: &ServerRow, part: Option<Arc<Stored>>, opened: Opened) -> Kept {
        let Opened { downstream, problem, builtin } = opened;
        let is_usable = problem.is_none();
        let meter = self.app.metrics.server(self.slug.as_str(), server.slug.as_str());
        if let Some(part) = &part {
            meter.catalog_of(part.at_ms);
        }
        let (inside, rung) = ServerInside::new(server, part.clone());
        let handle = Arc::new(ServerHandle { id: server.id, slug: server.slug.clone(), downstream, meter, inside });
        let stop = CancellationToken::new();
        let refresher = refresh::Refresher {
            app: self.app.clone(),
            server: handle.clone(),
            has_part: part.is_some(),
            is_child: matches!(server.spec.transport, patchbay_core::model::Transport::Stdio { .. }),
            declared: refresh::declared(&server.spec),
            news: self.sender.clone(),
            rung,
        };
        tokio::spawn(refresher.run(stop.clone()));
        tokio::spawn(updates::follow(self.app.clone(), tenant, handle.clone(), stop.clone()));
        if let Some((asked, runtime)) = builtin {
            let check = self.checks.clone().run(self.slug.to_string(), server.slug.to_string(), asked);
            runtime.spawn(stop.clone().run_until_cancelled_owned(check));
        }
        Kept { row: server.clone(), handle, is_usable, heard: part.is_some(), part, _refresher: stop.drop_guard() }
    }

    async fn catalog(&mut self, mut reading: refresh::Reading) {
        let server = reading.of.id;
        let Some(kept) = self.servers.get_mut(&server) else { return };
        // A reading of a connection that was let go meanwhile says nothing of the new one.
        if !Arc::ptr_eq(&kept.handle, &reading.of) {
            return;
        }
        kept.heard = true;
        kept.handle.meter.heard(reading.is_good, reading.at_ms);
        let asked = std::mem::take(&mut reading.asked);
        let mut told = reading.told(false);
        if kept.is_usable {
            let is_good = reading.is_good;
            let (next, changed) = reading.merged(kept.part.take());
            kept.part = next;
            kept.handle.inside.offers(kept.part.clone());
            if changed {
                self.store_catalog(server, is_good).await;
                if self.publish() {
                    self.copy_soon();
                }
            }
            told.changed = changed;
        } else {
            self.try_again(server);
        }
        self.settle();
        for admin in asked {
            // They may have gone.
            let _ = admin.send(told.clone());
        }
    }

    /// Keeps the catalog for the next start, when it was just read.
    async fn store_catalog(&self, server: ServerId, is_good: bool) {
        let part = self.servers.get(&server).and_then(|kept| kept.part.as_ref());
        if let (Some(part), Some(row), true) = (part, &self.row, is_good) {
            let bytes = part.write();
            if let Err(error) = self.app.store.catalog_put(row.id, server, &bytes).await {
                warn!(tenant = %self.slug, %error, "a catalog cannot be stored; after a restart it is read anew");
            }
        }
    }

    /// Opens a server anew that could not be used: its command may have been installed or trusted meanwhile.
    fn try_again(&mut self, id: ServerId) {
        let (Some(kept), Some(row)) = (self.servers.get(&id), &self.row) else { return };
        let (tenant, server) = (row.id, kept.row.clone());
        let opened = self.connect(tenant, &server, kept.part.as_deref());
        if opened.problem.is_none() {
            let part = self.servers.remove(&id).and_then(|kept| kept.part);
            let kept = Kept { heard: true, ..self.keep(tenant, &server, part, opened) };
            self.servers.insert(id, kept);
            self.publish();
        }
    }

    /// Builds and publishes. What cannot be built leaves the last good snapshot in force, with who may enter now; gives whether
    /// it could.
    fn publish(&self) -> bool {
        let Some(row) = &self.row else { return false };
        let options = options(&self.app);
        let parts: BTreeMap<ServerId, CatalogPart> =
            self.servers.iter().filter_map(|(id, kept)| Some((*id, kept.part.as_ref()?.part()))).collect();
        let snapshot = match snapshot::build(row, &parts, &options) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                error!(tenant = %self.slug, %error, "no snapshot can be built for {}: the last good one stays in force", self.slug);
                self.trouble(Some(row.generation), error.to_string());
                self.publish_entrance();
                return false;
            }
        };
        for warning in &snapshot.warnings {
            warn!(tenant = %self.slug, "{warning}");
        }
        let handles =
            snapshot.servers.iter().filter_map(|entry| self.servers.get(&entry.id)).map(|kept| kept.handle.clone());
        let servers: Vec<_> = handles.collect();
        if servers.len() != snapshot.servers.len() {
            error!(tenant = %self.slug, "the snapshot names a server that is not kept; it is not published");
            return false;
        }
        self.meter.published(snapshot.generation.0);
        let (tools, generation) =
            (snapshot.views.values().map(|view| view.tools.len()).max().unwrap_or(0), snapshot.generation);
        info!(tenant = %self.slug, %generation, tools, "published the snapshot of {}", self.slug);
        let made = Made { row: row.clone(), at_ms: audit::now_ms(), source: self.source };
        self.put_in_force(snapshot, servers, made);
        self.app.tenants.trouble(&self.slug, None);
        true
    }

    /// Notes that the newest state cannot be put in force.
    fn trouble(&self, generation: Option<Generation>, error: String) {
        self.meter.build_failed();
        self.app.tenants.trouble(&self.slug, Some(Trouble { generation, error, at_ms: audit::now_ms() }));
    }

    /// Puts who may enter in force over the snapshot that is.
    fn publish_entrance(&self) {
        if let Some(state) = self.app.tenants.state(self.slug.as_str()) {
            self.put_in_force(state.snapshot.clone(), state.servers.clone(), state.made.clone());
        }
    }

    fn put_in_force(&self, snapshot: TenantSnapshot, servers: Vec<Arc<ServerHandle>>, made: Made) {
        // A tenant that was let go meanwhile must not come back.
        if !self.inbox.is_closed() {
            let (issuers, sign_in) = (self.entrance.issuers.clone(), self.entrance.sign_in.clone());
            let (meter, tenant) = (self.meter.clone(), snapshot.tenant);
            self.app.tenants.publish(TenantState { snapshot, servers, issuers, sign_in, meter, made });
            Hub::published(&self.app, tenant, &self.slug);
        }
    }

    fn settle(&mut self) {
        if !self.settled && self.servers.values().all(|kept| kept.heard) {
            self.settled = true;
            self.app.tenants.settle(&self.slug);
        }
    }
}

/// The bounds within which snapshots are built.
pub(crate) fn options(app: &App) -> BuildOptions {
    let limits = &app.config.limits;
    BuildOptions {
        limits: limits.tenants.clone(),
        audit: app.config.audit.defaults,
        page_items_max: limits.page_size,
        items_max: limits.catalog_items_max,
        ..BuildOptions::default()
    }
}

/// Whether the connection to a server can stay as it is.
fn same_connection(before: &ServerRow, after: &ServerRow) -> bool {
    let secrets = |row: &ServerRow| -> Vec<(String, String)> {
        let all = row.secrets.0.keys();
        all.map(|name| (name.clone(), row.secrets.reveal(name).unwrap_or_default().to_owned())).collect()
    };
    before.spec.transport == after.spec.transport
        && before.spec.concurrency_max == after.spec.concurrency_max
        && secrets(before) == secrets(after)
}

/// Closes a connection when its calls are over.
fn let_go(kept: &Kept) {
    let downstream: Arc<dyn Downstream> = kept.handle.downstream.clone();
    tokio::spawn(async move {
        let quiet = async {
            while downstream.health().in_flight > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let _ = tokio::time::timeout(LINGER, quiet).await;
        downstream.close().await;
    });
}
