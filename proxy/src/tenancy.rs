//! Whose: a URL names a [`Door`], and a principal who may pass it gets the [`Tenant`], with the one snapshot that the whole
//! request will see. The directory is filled by `control` alone; requests only read it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use patchbay_core::{
    ServerId, Slug, TenantId,
    model::{Access, DEFAULT_TOOLSET},
    snapshot::{TenantSnapshot, View},
};
use patchbay_downstream::Downstream;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{auth::Principal, error::GatewayError};

/// All tenants, by the slug in their URLs.
#[derive(Default)]
pub struct Directory {
    cells: DashMap<Slug, Arc<TenantCell>>,
}

/// One tenant's place in the directory.
pub struct TenantCell {
    current: ArcSwap<TenantState>,
    /// Whether every server had its first word since the gateway started.
    settled: watch::Sender<bool>,
    since: Instant,
}

/// Whether something may have changed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// There was nothing to wait for.
    No,
    /// Look again.
    Yes,
}

/// What one generation of a tenant is: the plain snapshot, and the live connections that its server indices stand for.
pub struct TenantState {
    /// Names, routes and lists.
    pub snapshot: TenantSnapshot,
    /// The connections, in the order of `snapshot.servers`.
    pub servers: Vec<Arc<ServerHandle>>,
}

/// A server of one tenant with its live connection. Never shared between tenants.
pub struct ServerHandle {
    /// The row.
    pub id: ServerId,
    /// Its name.
    pub slug: Slug,
    /// The connection.
    pub downstream: Arc<dyn Downstream>,
}

/// What stands behind a URL before anybody has shown who they are: only the rules of entry.
pub struct Door {
    behind: Option<(Arc<TenantState>, Arc<View>)>,
}

/// The tenant that a principal has entered, at one generation.
#[derive(Clone)]
pub struct Tenant {
    state: Arc<TenantState>,
    view: Arc<View>,
}

impl Directory {
    /// The door that this URL names. There is one for each URL: what is not there is found out only behind it.
    pub fn door(&self, tenant: &str, toolset: Option<&str>) -> Door {
        let state = self.cells.get(tenant).map(|cell| cell.current.load_full());
        let behind = state.and_then(|state| {
            let view = state.snapshot.views.get(toolset.unwrap_or(DEFAULT_TOOLSET))?.clone();
            Some((state, view))
        });
        Door { behind }
    }

    /// Puts a new state in force; called by `control` alone.
    pub(crate) fn publish(&self, state: TenantState) {
        let slug = state.snapshot.slug.clone();
        let state = Arc::new(state);
        match self.cells.get(&slug) {
            Some(cell) => cell.current.store(state),
            None => {
                let cell = TenantCell {
                    current: ArcSwap::new(state),
                    settled: watch::Sender::new(false),
                    since: Instant::now(),
                };
                self.cells.insert(slug, Arc::new(cell));
            }
        }
    }

    /// Takes a tenant out; called by `control` alone.
    pub(crate) fn remove(&self, slug: &Slug) {
        self.cells.remove(slug);
    }

    /// Notes that every server of the tenant had its first word.
    pub(crate) fn settle(&self, slug: &Slug) {
        if let Some(cell) = self.cells.get(slug) {
            cell.settled.send_replace(true);
        }
    }

    /// The state in force.
    pub fn state(&self, slug: &str) -> Option<Arc<TenantState>> {
        self.cells.get(slug).map(|cell| cell.current.load_full())
    }

    /// The slugs of all tenants.
    pub fn slugs(&self) -> Vec<Slug> {
        self.cells.iter().map(|cell| cell.key().clone()).collect()
    }

    /// Waits until the tenant's servers had their first word, at most until the tenant has been here this long. Whoever comes
    /// later does not wait.
    pub async fn settled(&self, slug: &str, patience: Duration) -> Waited {
        let Some(cell) = self.cells.get(slug).map(|cell| cell.clone()) else { return Waited::No };
        if *cell.settled.borrow() {
            return Waited::No;
        }
        let mut settled = cell.settled.subscribe();
        let _ = timeout_at(cell.since + patience, settled.wait_for(|settled| *settled)).await;
        Waited::Yes
    }
}

impl Door {
    /// Which credentials this toolset takes; `None` where nothing is.
    pub fn access(&self) -> Option<Access> {
        self.behind.as_ref().map(|(_, view)| view.access)
    }

    /// Lets the principal in, or says 404 in the same words for "not yours" and "not there".
    ///
    /// # Errors
    /// [`GatewayError::NotFound`], and [`GatewayError::SwitchedOff`] for the tenant's own principals.
    pub fn enter(self, principal: &Principal) -> Result<Tenant, GatewayError> {
        let (state, view) = self.behind.ok_or(GatewayError::NotFound)?;
        if !principal.may_enter(state.snapshot.tenant, &view.toolset) {
            return Err(GatewayError::NotFound);
        }
        if !state.snapshot.enabled {
            return Err(GatewayError::SwitchedOff);
        }
        Ok(Tenant { state, view })
    }
}

impl Tenant {
    /// The row.
    pub fn id(&self) -> TenantId {
        self.state.snapshot.tenant
    }

    /// The snapshot that this request sees.
    pub fn snapshot(&self) -> &TenantSnapshot {
        &self.state.snapshot
    }

    /// The toolset that this request sees.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The live connection of a server by its index in the snapshot.
    pub fn server(&self, index: usize) -> &Arc<ServerHandle> {
        &self.state.servers[index]
    }

    /// The same tenant at the generation that is in force now.
    pub fn again(&self, directory: &Directory) -> Self {
        let slug = &self.state.snapshot.slug;
        let door = directory.door(slug.as_str(), Some(self.view.toolset.as_str()));
        match door.behind {
            Some((state, view)) if state.snapshot.tenant == self.id() => Self { state, view },
            _ => self.clone(),
        }
    }
}
