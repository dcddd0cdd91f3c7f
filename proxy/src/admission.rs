//! May it: holds a request against every limit that it meets, and gives a call its permit, which is given back on drop. Decides
//! nothing itself; the arithmetic and the plan are `patchbay-core`'s, the keeping of counts `patchbay-limit`'s. Called by
//! `dispatch` and the edge; what is counted before anybody knows who asks is in [`door`].

pub mod door;
pub(crate) mod look;
pub mod modes;
pub mod told;

use std::{sync::Arc, time::Duration};

use patchbay_core::{
    ServerId,
    limits::{Gcra, LimitKey, LimitPlan, Met, Planned, PlannedAmount, RULES_MAX, RuleSet, WhenAway},
};
use patchbay_limit::{
    Ask, CHARGES_MAX, Charge, Clock, Decision, Granted, Limiter, PLACES_MAX, Permit, Place, Refused, Take,
};

use self::{door::Doors, modes::ModeChanges, told::Told};
use crate::{app::App, auth::Principal, dispatch::Cx, error::GatewayError, metrics::LimiterStats, tenancy::Tenant};

/// How long beyond its timeout a call keeps its places when nobody gives them back, since its gateway died.
const HOLD_GRACE: Duration = Duration::from_secs(30);

/// What counts, and the clock that it counts by.
pub struct Limits {
    /// The limits of tenants.
    pub tenants: Arc<dyn Limiter>,
    /// What is counted before anybody knows who asks.
    pub doors: Doors,
    /// The same at the admin API, where failed sign-ins are counted apart.
    pub admins: Doors,
    /// The time.
    pub clock: Clock,
    /// Whether answers tell how their limits stand.
    pub headers: bool,
    /// What the limiter says of itself.
    pub stats: Box<dyn Fn() -> LimiterStats + Send + Sync>,
    /// Its changes of mode that nobody has written down yet.
    pub modes: ModeChanges,
}

/// What a call is counted by, besides who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Toll<'a> {
    /// The limits that it meets.
    pub(crate) rules: RuleSet,
    /// What it takes from rates.
    pub(crate) cost: u32,
    /// To which server it goes.
    pub(crate) server: ServerId,
    /// Which tool is called, by its native name.
    pub(crate) tool: Option<&'a str>,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// Takes one request that reaches no server from the limits that it meets, and says how they stand when answers tell that.
///
/// # Errors
/// [`GatewayError::Limited`], or [`GatewayError::LimitsAway`].
pub(crate) async fn request(app: &App, tenant: &Tenant, principal: &Principal) -> Result<Option<Told>, GatewayError> {
    let met = met(tenant, principal, None, None);
    let (_, told) = take(app, tenant, &met, tenant.view().limits, 1, Duration::ZERO).await?;
    Ok(told)
}

/// Counts a message that is refused before it was known what it would meet, as a request that reaches no server: it costs the
/// gateway as much, and leaves a record. Gives what its sender is told.
pub(crate) async fn refused(app: &App, tenant: &Tenant, principal: &Principal, error: GatewayError) -> GatewayError {
    request(app, tenant, principal).await.err().unwrap_or(error)
}

/// Takes a call from the limits that it meets, and a place among the running calls.
///
/// # Errors
/// [`GatewayError::Limited`], also when too many calls run already; or [`GatewayError::LimitsAway`].
pub(crate) async fn call(cx: &Cx, toll: Toll<'_>) -> Result<Permit, GatewayError> {
    let met = met(&cx.tenant, &cx.principal, Some(toll.server), toll.tool);
    let hold = toll.timeout.saturating_add(HOLD_GRACE);
    let (permit, told) = take(&cx.app, &cx.tenant, &met, toll.rules, toll.cost, hold).await?;
    cx.telling.tell(told);
    Ok(permit)
}

fn met<'a>(tenant: &'a Tenant, principal: &Principal, server: Option<ServerId>, tool: Option<&'a str>) -> Met<'a> {
    Met {
        tenant: tenant.id(),
        principal: principal.digest(),
        key: principal.key(),
        toolset: &tenant.view().toolset,
        server,
        tool,
    }
}

async fn take(
    app: &App,
    tenant: &Tenant,
    met: &Met<'_>,
    rules: RuleSet,
    cost: u32,
    hold: Duration,
) -> Result<(Permit, Option<Told>), GatewayError> {
    let (limits, plan) = (&app.limits, &tenant.snapshot().limits);
    // What is asked for is gone before the answer is waited for, so that the future of a request stays small.
    let (take, asked) = ask(limits, plan, met, rules, cost, hold)?;
    match take.decision().await {
        Decision::Allowed(granted) => Ok(asked.granted(app, tenant, granted)),
        Decision::Denied(refused) => Err(asked.denied(app, tenant, &refused)),
    }
}

/// Asks the limiter, without an allocation of ours.
fn ask(
    limits: &Limits,
    plan: &LimitPlan,
    met: &Met<'_>,
    rules: RuleSet,
    cost: u32,
    hold: Duration,
) -> Result<(Take, Asked), GatewayError> {
    let (mut charges, mut places, mut asked) = ([NO_CHARGE; CHARGES_MAX], [NO_PLACE; PLACES_MAX], Asked::default());
    for at in rules.places() {
        let Some((rule, key)) = plan.rules().get(at).zip(plan.key(at, met)) else { continue };
        let (away, dry_run) = (rule.away, rule.dry_run);
        let fits = match rule.amount {
            PlannedAmount::Rate(_, gcra) => {
                put(&mut charges, asked.charges.add(at), Charge { key, gcra, cost, away, dry_run })
            }
            PlannedAmount::Concurrent(max) => put(&mut places, asked.places.add(at), Place { key, max, away, dry_run }),
        };
        if !fits {
            return Err(GatewayError::Internal("a request meets more limits than are counted at once".to_owned()));
        }
    }
    let (charges, places) = (&charges[..asked.charges.count], &places[..asked.places.count]);
    let ask = Ask { tenant: met.tenant, charges, places, hold };
    Ok((limits.tenants.take(&ask, limits.clock.now_us()), asked))
}

/// What stands where nothing is asked for.
const NO_CHARGE: Charge = Charge {
    key: LimitKey(0),
    gcra: Gcra { emission_us: 1, capacity_us: 0 },
    cost: 0,
    away: WhenAway::Local,
    dry_run: true,
};
/// The same among the places.
const NO_PLACE: Place = Place { key: LimitKey(0), max: 0, away: WhenAway::Local, dry_run: true };

/// Puts a thing where it belongs, if there is room.
fn put<T>(room: &mut [T], at: usize, thing: T) -> bool {
    let found = room.get_mut(at);
    let fits = found.is_some();
    if let Some(place) = found {
        *place = thing;
    }
    fits
}

/// Which rules of the plan were asked about, in the order of the request.
#[derive(Debug, Default)]
struct Asked {
    charges: Rules,
    places: Rules,
}

/// Rules by their places in the plan; a set has a bit for each, so there are never more.
#[derive(Debug, Default)]
struct Rules {
    at: [u8; RULES_MAX],
    count: usize,
}

impl Rules {
    /// Adds a rule and gives its place here.
    fn add(&mut self, rule: usize) -> usize {
        let at = self.count;
        if let Some(place) = self.at.get_mut(at) {
            *place = rule as u8;
            self.count += 1;
        }
        at
    }

    fn get(&self, at: usize) -> Option<usize> {
        self.at[..self.count].get(at).map(|rule| usize::from(*rule))
    }
}

impl Asked {
    /// The rule that stands at a place of the request: charges first, then places.
    fn rule<'a>(&self, plan: &'a LimitPlan, at: usize) -> Option<&'a Planned> {
        let rule = match at.checked_sub(self.charges.count) {
            None => self.charges.get(at),
            Some(place) => self.places.get(place),
        };
        plan.rules().get(rule?)
    }

    fn granted(&self, app: &App, tenant: &Tenant, granted: Granted) -> (Permit, Option<Told>) {
        let plan = &tenant.snapshot().limits;
        for at in RuleSet(granted.would_deny).places() {
            if let Some(rule) = self.rule(plan, at) {
                tenant.meter().would_deny(&rule.name);
            }
        }
        let tightest = granted.tightest.filter(|_| app.limits.headers);
        let told = tightest.and_then(|standing| Some(Told::left(self.rule(plan, standing.at)?, &standing)));
        (granted.permit, told)
    }

    fn denied(&self, app: &App, tenant: &Tenant, refused: &Refused) -> GatewayError {
        let Some(rule) = self.rule(&tenant.snapshot().limits, refused.at) else {
            return GatewayError::Internal("a limit refused that was not asked".to_owned());
        };
        tenant.meter().denied(&rule.name);
        let (limit, retry_after) = (rule.name.clone(), refused.retry_after);
        if refused.away {
            return GatewayError::LimitsAway { limit };
        }
        let told = app.limits.headers.then(|| Box::new(Told::over(rule, retry_after)));
        GatewayError::Limited { limit, retry_after, told }
    }
}

#[cfg(test)]
mod tests;
