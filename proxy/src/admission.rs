//! May it: holds a request against every limit that it meets, and gives a call its permit, which is given back on drop. Decides
//! nothing itself; the arithmetic is `patchbay-core`'s, the keeping of counts `patchbay-limit`'s.

use patchbay_core::limits::{Decision, Dimension, LimitSpec, Rate};
use patchbay_limit::{Charge, Clock, ConcurrencyLimiter, ConcurrencyPermit, Concurrent, RateLimiter};

use crate::{app::App, auth::Principal, dispatch::Cx, error::GatewayError, tenancy::Tenant};

/// What counts, and the clock that it counts by.
pub struct Limits {
    /// Rates.
    pub rates: Box<dyn RateLimiter>,
    /// Calls at once.
    pub running: ConcurrencyLimiter,
    /// The time.
    pub clock: Clock,
}

/// Takes one request from the principal's rate.
///
/// # Errors
/// [`GatewayError::Limited`].
pub(crate) async fn request(app: &App, tenant: &Tenant, principal: &Principal) -> Result<(), GatewayError> {
    let of_tenant = &tenant.snapshot().limits;
    let default = &app.config.limits;
    let rate = Rate::per_second(
        of_tenant.principal_per_second.unwrap_or(default.principal_per_second),
        of_tenant.principal_burst.unwrap_or(default.principal_burst),
    );
    let key = principal.limit_key(tenant.id());
    let charge = Charge { key, spec: LimitSpec::new(Dimension::Principal, rate), cost: 1 };
    let limits = &app.limits;
    match limits.rates.take(&[charge], limits.clock.now_us()).decision().await {
        Decision::Allowed { .. } => Ok(()),
        Decision::Denied { limit, retry_after } => {
            app.metrics.denied(limit);
            Err(GatewayError::Limited { limit: limit.as_str(), retry_after })
        }
    }
}

/// Takes one request from the principal's rate, and a place among its running calls.
///
/// # Errors
/// [`GatewayError::Limited`], also when too many calls of the principal run already.
pub(crate) async fn call(cx: &Cx) -> Result<ConcurrencyPermit, GatewayError> {
    request(&cx.app, &cx.tenant, &cx.principal).await?;
    let max = cx.tenant.snapshot().limits.principal_concurrency;
    let cap = Concurrent {
        key: cx.principal.limit_key(cx.tenant.id()),
        dimension: Dimension::Principal,
        max: max.unwrap_or(cx.app.config.limits.principal_concurrency),
    };
    cx.app.limits.running.enter(&[cap]).map_err(|crowded| {
        cx.app.metrics.crowded(crowded.0);
        GatewayError::Limited { limit: CONCURRENCY, retry_after: RETRY_CROWDED }
    })
}

/// The name of the cap on calls at once.
const CONCURRENCY: &str = "principal_concurrency";
/// When it makes sense to come again after too many calls at once.
const RETRY_CROWDED: std::time::Duration = std::time::Duration::from_millis(200);
