//! What is counted for each tenant: its requests, what its limits refused, which state is in force. A [`TenantMeter`] is held by
//! the tenant's task and by its state, and the samples go with the last of them.
//!
//! Labels are names of tenants and of limits, both from the configuration. Beyond [`TENANTS_MAX`] tenants, and
//! [`LIMITS_MAX`] limits of one, the rest is `_other`. What is refused before a tenant is known has none in its label.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

use patchbay_core::audit::How;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::{
    OUTCOMES, outcome_index,
    registry::{Registered, whole},
    servers::OTHER,
};

/// The most tenants that have samples of their own.
pub const TENANTS_MAX: usize = 2_000;
/// The most limits of a tenant that have samples of their own; names that the configuration once had are among them.
pub const LIMITS_MAX: usize = 64;

/// Refused, and would have been refused, by the limit's name.
type Limits = RwLock<HashMap<Box<str>, [IntCounter; 2]>>;

/// The metrics of all tenants.
pub(super) struct Tenants {
    requests: IntCounterVec,
    denied: IntCounterVec,
    would_deny: IntCounterVec,
    generation: IntGaugeVec,
    build_errors: IntGaugeVec,
    known: Mutex<BTreeMap<Box<str>, Known>>,
    /// Of all tenants beyond the bound.
    other: Arc<Limits>,
}

struct Known {
    meter: Weak<TenantMeter>,
    limits: Arc<Limits>,
}

/// Counts what one tenant does.
pub struct TenantMeter {
    all: Arc<Tenants>,
    tenant: Box<str>,
    is_other: bool,
    requests: Option<[IntCounter; OUTCOMES.len()]>,
    limits: Arc<Limits>,
}

impl Tenants {
    pub(super) fn new(all: &Registered<'_>) -> Arc<Self> {
        const OF: &[&str] = &["tenant"];
        Arc::new(Self {
            requests: all.counters(
                "patchbay_tenant_requests_total",
                "Requests of a tenant's callers, by how they ended.",
                &["tenant", "outcome"],
            ),
            denied: all.counters(
                "patchbay_limit_denied_total",
                "Requests that a limit refused; without a tenant those that were refused before one was known.",
                &["tenant", "limit"],
            ),
            would_deny: all.counters(
                "patchbay_limit_would_deny_total",
                "Requests that a limit would have refused, were it not on trial (dry_run).",
                &["tenant", "limit"],
            ),
            generation: all.gauges("patchbay_snapshot_generation", "The state in force.", OF),
            build_errors: all.gauges(
                "patchbay_snapshot_build_errors",
                "1 while the newest state cannot be built and an older one is in force.",
                OF,
            ),
            known: Mutex::default(),
            other: Arc::default(),
        })
    }

    /// The meter of a tenant: the same one for as long as somebody holds it.
    pub(super) fn meter(self: &Arc<Self>, tenant: &str) -> Arc<TenantMeter> {
        let mut known = self.known();
        if let Some(meter) = known.get(tenant).and_then(|known| known.meter.upgrade()) {
            return meter;
        }
        let is_full = |known: &BTreeMap<Box<str>, _>| !known.contains_key(tenant) && known.len() >= TENANTS_MAX;
        if is_full(&known) {
            self.forget_unheld(&mut known);
        }
        if is_full(&known) {
            // Their samples stay.
            return Arc::new(self.make(OTHER, true, Arc::clone(&self.other)));
        }
        let entry = known.entry(tenant.into());
        let entry = entry.or_insert_with(|| Known { meter: Weak::new(), limits: Arc::default() });
        let meter = Arc::new(self.make(tenant, false, Arc::clone(&entry.limits)));
        entry.meter = Arc::downgrade(&meter);
        meter
    }

    fn make(self: &Arc<Self>, tenant: &str, is_other: bool, limits: Arc<Limits>) -> TenantMeter {
        let requests = OUTCOMES.map(|how| self.requests.with_label_values(&[tenant, how.as_str()]));
        TenantMeter { all: Arc::clone(self), tenant: tenant.into(), is_other, requests: Some(requests), limits }
    }

    /// The meter of those whose tenant is not known yet.
    pub(super) fn nobody(self: &Arc<Self>) -> TenantMeter {
        let all = Arc::clone(self);
        TenantMeter { all, tenant: "".into(), is_other: false, requests: None, limits: Arc::default() }
    }

    /// Takes away the samples of tenants that are no more.
    pub(super) fn sweep(&self) {
        self.forget_unheld(&mut self.known());
    }

    fn forget_unheld(&self, known: &mut BTreeMap<Box<str>, Known>) {
        known.retain(|tenant, known| {
            let is_held = known.meter.strong_count() > 0;
            if !is_held {
                self.forget(tenant, &known.limits);
            }
            is_held
        });
    }

    fn forget(&self, tenant: &str, limits: &Limits) {
        // What never had a sample has none to be removed.
        for how in OUTCOMES {
            let _ = self.requests.remove_label_values(&[tenant, how.as_str()]);
        }
        let _ = self.generation.remove_label_values(&[tenant]);
        let _ = self.build_errors.remove_label_values(&[tenant]);
        for (limit, _) in limits.write().unwrap_or_else(PoisonError::into_inner).drain() {
            let _ = self.denied.remove_label_values(&[tenant, &*limit]);
            let _ = self.would_deny.remove_label_values(&[tenant, &*limit]);
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TenantMeter {
    /// A request was dealt with.
    pub fn request(&self, how: How) {
        if let Some(requests) = &self.requests {
            requests[outcome_index(how)].inc();
        }
    }

    /// A limit refused a request.
    pub fn denied(&self, limit: &str) {
        self.limit(limit, 0);
    }

    /// A limit on trial would have refused a request.
    pub fn would_deny(&self, limit: &str) {
        self.limit(limit, 1);
    }

    fn limit(&self, name: &str, which: usize) {
        if let Some(counters) = self.limits.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return counters[which].inc();
        }
        let mut limits = self.limits.write().unwrap_or_else(PoisonError::into_inner);
        let name = if limits.contains_key(name) || limits.len() < LIMITS_MAX { name } else { OTHER };
        let of = [&*self.tenant, name];
        let made = || [self.all.denied.with_label_values(&of), self.all.would_deny.with_label_values(&of)];
        limits.entry(name.into()).or_insert_with(made)[which].inc();
    }

    /// A state was put in force.
    pub fn published(&self, generation: u64) {
        if !self.is_other {
            self.all.generation.with_label_values(&[&*self.tenant]).set(whole(generation));
            self.all.build_errors.with_label_values(&[&*self.tenant]).set(0);
        }
    }

    /// The newest state cannot be built.
    pub fn build_failed(&self) {
        if !self.is_other {
            self.all.build_errors.with_label_values(&[&*self.tenant]).set(1);
        }
    }
}

#[cfg(test)]
mod tests;
