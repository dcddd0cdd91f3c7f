//! What is counted before anybody knows who asks: requests of an address, and sign-ins of an address that failed. Each replica
//! counts for itself and in memory, also where tenants' limits are in Redis: a flood of strangers must not become traffic there.
//!
//! Such a flood is counted in the metrics; of the audit it gets a record for each address and minute at the most. Nor do those
//! who are refused one by one, since they show no credential or ask for what is not there, fill the audit that all share.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use patchbay_core::{
    TenantId,
    limits::{Gcra, LimitKey, Rate, WhenAway},
};
use patchbay_limit::{Ask, Charge, Clock, Decision, Limiter};

use super::told::{Policy, Told};
use crate::{app::App, audit::Trail, error::GatewayError};

/// Records of refusals at the door that the audit takes in a minute, over all addresses.
const RECORDS_PER_MINUTE_MAX: u32 = 60;
/// One for each address.
const RECORD: Rate = Rate { count: 1, period: Duration::from_secs(60), burst: 1 };
/// All of them.
const RECORDS: Rate =
    Rate { count: RECORDS_PER_MINUTE_MAX, period: Duration::from_secs(60), burst: RECORDS_PER_MINUTE_MAX };

/// Records of strangers' refusals that the audit takes in a minute from one address.
const STRANGERS_PER_MINUTE_MAX: u32 = 600;
/// And over all addresses.
const ALL_STRANGERS_PER_MINUTE_MAX: u32 = 6_000;

/// So many in a minute, and at once.
const fn per_minute(count: u32) -> Rate {
    Rate { count, period: Duration::from_secs(60), burst: count }
}

/// The limits of addresses. See the module.
pub struct Doors {
    limiter: Arc<dyn Limiter>,
    clock: Clock,
    requests: Option<Counted>,
    sign_ins: Option<Counted>,
    /// Keyed anew in each process, so that nobody can choose addresses whose counts meet.
    hash: RandomState,
}

/// One limit.
struct Counted {
    name: Arc<str>,
    rate: Rate,
    gcra: Gcra,
}

/// What a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Requests,
    SignIns,
    RecordsOfRequests,
    RecordsOfSignIns,
    Records,
    RecordsOfStrangers,
    RecordsOfAllStrangers,
}

/// By which limit somebody was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Requests,
    SignIns,
}

impl Doors {
    /// The limits by these numbers; what is absent is not counted. The limiter is for these alone, and in memory.
    pub fn new(limiter: Arc<dyn Limiter>, clock: Clock, requests: Option<Rate>, sign_ins: Option<Rate>) -> Self {
        let counted = |name: &str, rate: Rate| Counted { name: name.into(), rate, gcra: Gcra::new(rate) };
        Self {
            limiter,
            clock,
            requests: requests.map(|rate| counted("address", rate)),
            sign_ins: sign_ins.map(|rate| counted("sign_in", rate)),
            hash: RandomState::new(),
        }
    }

    const fn counted(&self, by: By) -> Option<&Counted> {
        match by {
            By::Requests => self.requests.as_ref(),
            By::SignIns => self.sign_ins.as_ref(),
        }
    }

    fn key(&self, what: What, address: IpAddr) -> LimitKey {
        let who = (what, of_one(address));
        LimitKey(u128::from(self.hash.hash_one(who)) << 64 | u128::from(self.hash.hash_one((who, who))))
    }

    /// Takes one, or says when there is one again.
    async fn take(&self, by: By, address: IpAddr) -> Result<(), Duration> {
        self.take_some(by, address, 1).await
    }

    /// Takes so many, or says when there are as many again.
    async fn take_some(&self, by: By, address: IpAddr, cost: u32) -> Result<(), Duration> {
        let Some(counted) = self.counted(by) else { return Ok(()) };
        let what = if by == By::Requests { What::Requests } else { What::SignIns };
        let charge = Charge { cost, ..charge(self.key(what, address), counted.gcra) };
        match self.limiter.take(&ask(&[charge]), self.clock.now_us()).decision().await {
            Decision::Allowed(_) => Ok(()),
            Decision::Denied(refused) => Err(refused.retry_after),
        }
    }

    /// Whether another sign-in may fail.
    async fn may_fail(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(counted) = &self.sign_ins else { return Ok(()) };
        let charges = [charge(self.key(What::SignIns, address), counted.gcra)];
        let standings = self.limiter.look(&ask(&charges), self.clock.now_us()).await;
        match standings.first() {
            Some(standing) if standing.remaining == 0 => {
                let all_but_one =
                    Duration::from_micros(counted.gcra.capacity_us.saturating_sub(counted.gcra.emission_us));
                Err(standing.reset_after.saturating_sub(all_but_one))
            }
            _ => Ok(()),
        }
    }

    /// Whether the audit gets a record of it.
    async fn is_recorded(&self, by: By, address: IpAddr) -> bool {
        let what = if by == By::Requests { What::RecordsOfRequests } else { What::RecordsOfSignIns };
        let charges = [
            charge(self.key(what, address), Gcra::new(RECORD)),
            charge(self.key(What::Records, NOBODY), Gcra::new(RECORDS)),
        ];
        self.limiter.take(&ask(&charges), self.clock.now_us()).decision().await.is_allowed()
    }
}

impl Doors {
    /// Whether the audit gets a record of a stranger's refusal.
    async fn is_stranger_recorded(&self, address: IpAddr) -> bool {
        let charges = [
            charge(self.key(What::RecordsOfStrangers, address), Gcra::new(per_minute(STRANGERS_PER_MINUTE_MAX))),
            charge(self.key(What::RecordsOfAllStrangers, NOBODY), Gcra::new(per_minute(ALL_STRANGERS_PER_MINUTE_MAX))),
        ];
        self.limiter.take(&ask(&charges), self.clock.now_us()).decision().await.is_allowed()
    }
}

/// For the admin API, which has counts of its own.
impl Doors {
    /// Whether a credential that nobody knows yet may be looked at: when it may not, after which time.
    pub(crate) async fn may_fail_again(&self, address: IpAddr) -> Result<(), Duration> {
        self.may_fail(address).await
    }

    /// Counts a credential that opens nothing; when there were too many, after which time there may be another.
    pub(crate) async fn fail(&self, address: IpAddr) -> Result<(), Duration> {
        self.take(By::SignIns, address).await
    }

    /// Whether the audit gets a record of a refusal: of those after too many failures, one for each address and minute.
    pub(crate) async fn is_refusal_recorded(&self, address: IpAddr, is_crowded: bool) -> bool {
        if is_crowded { self.is_recorded(By::SignIns, address).await } else { self.is_stranger_recorded(address).await }
    }
}

/// Stands where no address matters.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// What counts as one: an address, and of IPv6 the network that one customer gets.
const fn of_one(address: IpAddr) -> (bool, u64) {
    match address.to_canonical() {
        IpAddr::V4(address) => (false, address.to_bits() as u64),
        IpAddr::V6(address) => (true, (address.to_bits() >> 64) as u64),
    }
}

const fn charge(key: LimitKey, gcra: Gcra) -> Charge {
    Charge { key, gcra, cost: 1, away: WhenAway::Local, dry_run: false }
}

/// Nobody's tenant is asked for anything.
const fn ask(charges: &[Charge]) -> Ask<'_> {
    Ask { tenant: TenantId::from_bits(0), charges, places: &[], hold: Duration::ZERO }
}

/// Counts a request of an address.
///
/// # Errors
/// [`GatewayError::Limited`]; [`hush`] has to be asked then.
pub(crate) async fn knock(app: &App, address: IpAddr) -> Result<(), GatewayError> {
    let doors = &app.limits.doors;
    doors.take(By::Requests, address).await.map_err(|after| turned_away(app, By::Requests, after))
}

/// Counts the further messages of a batch, of which [`knock`] has counted the first: each can leave a record, also when a limit
/// of its tenant refuses it. A batch of more than ever fit takes all but that one.
///
/// # Errors
/// [`GatewayError::Limited`].
pub(crate) async fn knock_further(app: &App, address: IpAddr, messages: usize) -> Result<(), GatewayError> {
    let doors = &app.limits.doors;
    let Some(Counted { gcra, .. }) = doors.counted(By::Requests) else { return Ok(()) };
    let most = (gcra.capacity_us / gcra.emission_us.max(1)).saturating_sub(1);
    let cost = u32::try_from(most.min(messages.saturating_sub(1) as u64)).unwrap_or(u32::MAX);
    let taken = doors.take_some(By::Requests, address, cost).await;
    taken.map_err(|after| turned_away(app, By::Requests, after))
}

/// Takes the trail of somebody who was turned away by [`knock`] out of the audit, but for the first in each minute.
pub(crate) async fn hush(app: &App, address: IpAddr, trail: &mut Trail) {
    if !app.limits.doors.is_recorded(By::Requests, address).await {
        drop(trail.take());
    }
}

/// Takes the trail of somebody unknown who is refused out of the audit, where there are more of them than it takes. Credentials
/// that fail are not for here: their number is bounded, and each has its record.
pub(crate) async fn hush_stranger(app: &App, address: IpAddr, trail: &mut Trail) {
    if trail.is_known() || trail.request_id().is_none() || app.limits.doors.is_stranger_recorded(address).await {
        return;
    }
    drop(trail.take());
    app.metrics.strangers_unrecorded.inc();
}

/// Refuses a credential that nobody knows yet unheard, when too many of that address have failed.
///
/// # Errors
/// [`GatewayError::Limited`], the same for each kind of credential and at each door.
pub(crate) async fn before_judging(app: &App, address: IpAddr, trail: &mut Trail) -> Result<(), GatewayError> {
    let Err(after) = app.limits.doors.may_fail(address).await else { return Ok(()) };
    Err(crowded(app, address, after, trail).await)
}

/// Counts a credential that opens nothing, and gives what its holder is told: what they would be, until there were too many.
pub(crate) async fn failed(app: &App, address: IpAddr, error: GatewayError, trail: &mut Trail) -> GatewayError {
    match app.limits.doors.take(By::SignIns, address).await {
        Ok(()) => error,
        Err(after) => crowded(app, address, after, trail).await,
    }
}

async fn crowded(app: &App, address: IpAddr, after: Duration, trail: &mut Trail) -> GatewayError {
    if !app.limits.doors.is_recorded(By::SignIns, address).await {
        drop(trail.take());
    }
    turned_away(app, By::SignIns, after)
}

fn turned_away(app: &App, by: By, retry_after: Duration) -> GatewayError {
    let Some(counted) = app.limits.doors.counted(by) else {
        return GatewayError::Internal("a limit refused that there is not".to_owned());
    };
    app.metrics.denied(&counted.name);
    let limit = counted.name.clone();
    let policy = Policy::Rate { count: counted.rate.count, period: counted.rate.period };
    let told = Told { limit: limit.clone(), policy, left: 0, after: retry_after };
    GatewayError::Limited { limit, retry_after, told: app.limits.headers.then(|| Box::new(told)) }
}
