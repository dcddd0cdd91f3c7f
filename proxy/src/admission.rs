//! May it: holds a request against every limit that it meets, and gives a call its permit, which is given back on drop. Decides
//! nothing itself; the arithmetic and the plan are `patchbay-core`'s, the keeping of counts `patchbay-limit`'s.

use std::{sync::Arc, time::Duration};

use patchbay_core::limits::{LimitPlan, Met, PlannedAmount, RuleSet};
use patchbay_limit::{Ask, Charge, Clock, Decision, Limiter, Permit, Place};

use crate::{app::App, auth::Principal, dispatch::Cx, error::GatewayError, tenancy::Tenant};

/// What counts, and the clock that it counts by.
pub struct Limits {
    /// The limits of tenants.
    pub tenants: Arc<dyn Limiter>,
    /// The time.
    pub clock: Clock,
}

/// Takes one request that reaches no server from the limits that it meets.
///
/// # Errors
/// [`GatewayError::Limited`].
pub(crate) async fn request(app: &App, tenant: &Tenant, principal: &Principal) -> Result<(), GatewayError> {
    let met = met(tenant, principal);
    take(app, tenant, &met, tenant.view().limits, 1).await.map(drop)
}

/// Takes a call from the limits that it meets, and a place among the running calls.
///
/// # Errors
/// [`GatewayError::Limited`], also when too many calls run already.
pub(crate) async fn call(cx: &Cx, rules: RuleSet, cost: u32) -> Result<Permit, GatewayError> {
    let met = met(&cx.tenant, &cx.principal);
    take(&cx.app, &cx.tenant, &met, rules, cost).await
}

fn met<'a>(tenant: &'a Tenant, principal: &Principal) -> Met<'a> {
    Met {
        tenant: tenant.id(),
        principal: principal.digest(),
        key: None,
        toolset: &tenant.view().toolset,
        server: None,
        tool: None,
    }
}

async fn take(app: &App, tenant: &Tenant, met: &Met<'_>, rules: RuleSet, cost: u32) -> Result<Permit, GatewayError> {
    let plan: &LimitPlan = &tenant.snapshot().limits;
    let (mut charges, mut places, mut names) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for at in rules.places() {
        let rule = &plan.rules()[at];
        let Some(key) = plan.key(at, met) else { continue };
        match rule.amount {
            PlannedAmount::Rate(_, gcra) => {
                charges.push(Charge { key, gcra, cost, away: rule.away, dry_run: rule.dry_run });
                names.0.push(&rule.name);
            }
            PlannedAmount::Concurrent(max) => {
                places.push(Place { key, max, away: rule.away, dry_run: rule.dry_run });
                names.1.push(&rule.name);
            }
        }
    }
    let ask = Ask { tenant: tenant.id(), charges: &charges, places: &places, hold: Duration::from_secs(600) };
    match app.limits.tenants.take(&ask, app.limits.clock.now_us()).decision().await {
        Decision::Allowed(granted) => Ok(granted.permit),
        Decision::Denied(refused) => {
            let name = names.0.iter().chain(&names.1).nth(refused.at).map_or("", |name| &***name);
            Err(GatewayError::Limited { limit: name.into(), retry_after: refused.retry_after })
        }
    }
}
