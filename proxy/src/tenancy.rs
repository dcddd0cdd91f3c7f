//! Whose: a URL names a [`Door`], and a principal who may pass it gets the [`Tenant`], with the one snapshot that the whole
//! request will see. The directory is filled by `control` alone; requests only read it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use patchbay_core::{
    Generation, ServerId, Slug, TenantId,
    model::{Access, DEFAULT_TOOLSET, TenantRow},
    snapshot::{TenantSnapshot, View},
};
use patchbay_downstream::Downstream;
use patchbay_token::Issuers;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    auth::{Principal, challenge::Challenge, sign_in::SignIn, site::Site},
    control::inside::ServerInside,
    error::GatewayError,
    metrics::{ServerMeter, TenantMeter},
};

/// All tenants, by the slug in their URLs.
#[derive(Default)]
pub struct Directory {
    cells: DashMap<Slug, Arc<TenantCell>>,
    /// The tenants that an issuer signs in to, by its `iss`.
    by_issuer: DashMap<Box<str>, Vec<Slug>>,
    /// The tenants whose newest state could not be put in force, and why.
    troubled: DashMap<Slug, Arc<Trouble>>,
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
    /// Who signs people in, and what was revoked. May be newer than the snapshot.
    pub issuers: Arc<Issuers>,
    /// What those are told who have to sign in.
    pub sign_in: Arc<SignIn>,
    /// What is counted for it.
    pub meter: Arc<TenantMeter>,
    /// What it was made of; for admins, no request looks at it.
    pub(crate) made: Made,
}

/// What a snapshot was made of, and when.
#[derive(Clone)]
pub(crate) struct Made {
    /// The row.
    pub(crate) row: Arc<TenantRow>,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Where the row came from.
    pub(crate) source: Source,
}

/// Where a tenant's row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The store.
    Store,
    /// A copy on the disk, since the store did not answer.
    Copy {
        /// When the store last said so, in milliseconds since 1970.
        as_of_ms: i64,
    },
}

impl Source {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Copy { .. } => "copy",
        }
    }
}

/// That the newest state of a tenant could not be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Its number, when the row could be read.
    pub(crate) generation: Option<Generation>,
    /// Why, for operators.
    pub(crate) error: String,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// A server of one tenant with its live connection. Never shared between tenants.
pub struct ServerHandle {
    /// The row.
    pub id: ServerId,
    /// Its name.
    pub slug: Slug,
    /// The connection.
    pub downstream: Arc<dyn Downstream>,
    /// What is counted for it.
    pub meter: Arc<ServerMeter>,
    /// What admins may know of it besides.
    pub(crate) inside: Arc<ServerInside>,
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
        let before = match self.cells.get(&slug) {
            Some(cell) => Some(cell.current.swap(state.clone())),
            None => {
                let cell = TenantCell {
                    current: ArcSwap::new(state.clone()),
                    settled: watch::Sender::new(false),
                    since: Instant::now(),
                };
                self.cells.insert(slug.clone(), Arc::new(cell));
                None
            }
        };
        self.note_issuers(&slug, before.as_deref(), Some(&state));
    }

    /// Takes a tenant out; called by `control` alone.
    pub(crate) fn remove(&self, slug: &Slug) {
        let before = self.cells.remove(slug).map(|(_, cell)| cell.current.load_full());
        self.note_issuers(slug, before.as_deref(), None);
        self.troubled.remove(slug);
    }

    /// Notes why the newest state of a tenant is not in force, or that it is; called by `control` alone.
    pub(crate) fn trouble(&self, slug: &Slug, trouble: Option<Trouble>) {
        match trouble {
            Some(trouble) => drop(self.troubled.insert(slug.clone(), Arc::new(trouble))),
            None => drop(self.troubled.remove(slug)),
        }
    }

    /// Why the newest state of a tenant is not in force.
    pub(crate) fn troubles(&self, slug: &str) -> Option<Arc<Trouble>> {
        self.troubled.get(slug).map(|trouble| trouble.clone())
    }

    fn note_issuers(&self, slug: &Slug, before: Option<&TenantState>, after: Option<&TenantState>) {
        let of = |state: Option<&TenantState>| -> BTreeSet<Box<str>> {
            state
                .into_iter()
                .flat_map(|state| state.sign_in.issuers())
                .map(|spec| spec.issuer.as_str().into())
                .collect()
        };
        let (before, after) = (of(before), of(after));
        for gone in before.difference(&after) {
            if let Some(mut tenants) = self.by_issuer.get_mut(gone) {
                tenants.retain(|known| known != slug);
            }
            self.by_issuer.remove_if(gone, |_, tenants| tenants.is_empty());
        }
        for new in after.difference(&before) {
            self.by_issuer.entry(new.clone()).or_default().push(slug.clone());
        }
    }

    /// Some of the tenants that this issuer signs in to.
    pub(crate) fn of_issuer(&self, iss: &str, tenants_max: usize) -> Vec<Arc<TenantState>> {
        let slugs: Vec<Slug> = self
            .by_issuer
            .get(iss)
            .map(|tenants| tenants.iter().take(tenants_max).cloned().collect())
            .unwrap_or_default();
        slugs.iter().filter_map(|slug| self.state(slug.as_str())).collect()
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

    /// The states in force of all tenants.
    pub(crate) fn states(&self) -> Vec<Arc<TenantState>> {
        self.cells.iter().map(|cell| cell.current.load_full()).collect()
    }

    /// The slugs of all tenants.
    pub fn slugs(&self) -> Vec<Slug> {
        self.cells.iter().map(|cell| cell.key().clone()).collect()
    }

    /// Waits until the tenant's servers had their first word, at most until the tenant has been here this long. Whoever comes
    /// later does not wait, and has nothing to look at again.
    pub async fn settled(&self, slug: &str, patience: Duration) -> Waited {
        let Some(cell) = self.cells.get(slug).map(|cell| cell.clone()) else { return Waited::No };
        if *cell.settled.borrow() {
            // Who came in just before the last word has still the state before it.
            return if cell.since.elapsed() < patience { Waited::Yes } else { Waited::No };
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

    /// What signing in is about: the issuers, and the rules of the toolset.
    pub(crate) fn behind(&self) -> Option<(&TenantState, &View)> {
        self.behind.as_ref().map(|(state, view)| (&**state, &**view))
    }

    /// How to sign in here. `None` where no token is taken or nobody could get one, so that such a door looks like any other,
    /// and where nobody knows the address that a token would have to be for.
    pub(crate) fn challenge(&self, site: Option<&Site>) -> Option<Box<Challenge>> {
        let (state, view) = self.behind()?;
        let takes_tokens = view.access.takes_tokens() && state.snapshot.enabled && !state.sign_in.is_empty();
        let site = site.filter(|_| takes_tokens)?;
        Some(state.sign_in.challenge(&state.snapshot.slug, view, site))
    }

    /// Lets the principal in, or says 404 in the same words for "not yours" and "not there".
    ///
    /// # Errors
    /// [`GatewayError::NotFound`]; for the tenant's own principals [`GatewayError::SwitchedOff`], and
    /// [`GatewayError::InsufficientScope`] for tokens that are good and are not for this.
    pub fn enter(self, principal: &Principal, site: Option<&Site>) -> Result<Tenant, GatewayError> {
        let (state, view) = self.behind.ok_or(GatewayError::NotFound)?;
        if !principal.may_enter(state.snapshot.tenant, &view) {
            return Err(GatewayError::NotFound);
        }
        if !state.snapshot.enabled {
            return Err(GatewayError::SwitchedOff);
        }
        let tenant = Tenant { view: principal.sees(&view), state };
        tenant.admits(principal, &tenant.view.rules.scopes.enter, site)?;
        Ok(tenant)
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

    /// A number that changes whenever what was found out of tokens has to be found out again.
    pub(crate) fn epoch(&self) -> u64 {
        self.state.issuers.epoch()
    }

    /// What is counted for the tenant.
    pub fn meter(&self) -> &Arc<TenantMeter> {
        &self.state.meter
    }

    /// The toolset that this request sees.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The live connection of a server by its index in the snapshot.
    pub fn server(&self, index: usize) -> &Arc<ServerHandle> {
        &self.state.servers[index]
    }

    /// Whether the principal's token has all these scopes, and those that its issuer's tokens always need. Who has no token
    /// needs none.
    ///
    /// # Errors
    /// [`GatewayError::InsufficientScope`] that names all of them, not only those that are missing.
    pub(crate) fn admits(
        &self,
        principal: &Principal,
        needed: &[impl AsRef<str>],
        site: Option<&Site>,
    ) -> Result<(), GatewayError> {
        let Some(token) = principal.token() else { return Ok(()) };
        let sign_in = &self.state.sign_in;
        let always = sign_in.scopes_of(&token.who.issuer).iter().map(String::as_str);
        let all = needed.iter().map(AsRef::as_ref).chain(always);
        if token.scopes.cover(all.clone()) {
            return Ok(());
        }
        // No token is taken without a site, so this is never seen.
        let site = site.ok_or(GatewayError::BadCredential(None))?;
        let challenge = sign_in.naming(&self.state.snapshot.slug, &self.view, site, all);
        Err(GatewayError::InsufficientScope(challenge))
    }

    /// The same tenant at the generation that is in force now, as the same principal sees it.
    pub fn again(&self, directory: &Directory, principal: &Principal) -> Self {
        let slug = &self.state.snapshot.slug;
        let door = directory.door(slug.as_str(), Some(self.view.toolset.as_str()));
        match door.behind {
            Some((state, view)) if principal.may_enter(self.id(), &view) && state.snapshot.tenant == self.id() => {
                Self { view: principal.sees(&view), state }
            }
            _ => self.clone(),
        }
    }
}
