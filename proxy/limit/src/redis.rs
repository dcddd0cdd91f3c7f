//! Rates and calls at once over all replicas, in Redis: one script, one round trip, Redis's own clock. While Redis is away each
//! limit falls back as it says. Why it is made like this: docs/decisions/0016-limits-in-redis.md.

mod away;
mod breaker;
mod connect;
mod denied;
mod keeper;
mod lane;
mod lease;
mod script;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use patchbay_core::{TenantId, limits::WhenAway};
use secrecy::SecretString;
use tokio::task::AbortHandle;

use self::{
    breaker::Breaker,
    connect::{Conn, Failure, Target},
    denied::Denied,
    lane::Lanes,
    lease::{Backlog, Member, Members},
    script::{Answer, Scripts},
};
use crate::{
    Ask, Charge, Clock, Decision, Granted, Limiter, MemoryLimiter, Mode, Permit, Place, RETRY_CROWDED, Refused,
    Standing, Take, Watcher,
};

pub(crate) use lease::Lease;

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, with a password if need be.
    pub url: SecretString,
    /// How long one round trip may take.
    pub timeout: Duration,
    /// What every key begins with.
    pub prefix: String,
    /// What tells this replica from others, for the local shares.
    pub replica: u64,
}

/// A URL that is none of Redis. Says nothing of its text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Redis URL cannot be read: expected redis://[user:password@]host:port/[database], or rediss://")]
pub struct RedisUrlError;

/// What a [`RedisLimiter`] has done so far, and what it holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisStats {
    /// How it counts.
    pub mode: Mode,
    /// Replicas that counted together when Redis was last heard of, this one among them.
    pub replicas: u32,
    /// Requests that Redis was asked about: one round trip for each, and another after Redis has forgotten the script.
    pub round_trips: u64,
    /// Requests that were refused without asking, since Redis had refused them until a time that has not come, or since so
    /// many calls run here alone.
    pub refused_here: u64,
    /// Requests that were decided without Redis, since it was away or did not answer in time.
    pub fallbacks: u64,
    /// Keys that are remembered as refused.
    pub denied_keys: usize,
    /// Places that wait to be given back.
    pub releases_waiting: usize,
    /// Places that found no room to wait, and come back when their time is up.
    pub releases_lost: u64,
    /// Threads with a connection of their own.
    pub lanes: usize,
}

/// See the module.
pub struct RedisLimiter {
    inner: Arc<Inner>,
    keeper: AbortHandle,
}

/// What requests, permits and the keeper share.
pub(crate) struct Inner {
    target: Target,
    timeout: Duration,
    replica: u64,
    scripts: Scripts,
    local: MemoryLimiter,
    clock: Clock,
    breaker: Breaker,
    lanes: Lanes,
    denied: Denied,
    members: Members,
    backlog: Backlog,
    replicas: AtomicU32,
    round_trips: AtomicU64,
    refused_here: AtomicU64,
    fallbacks: AtomicU64,
    /// When Redis granted what, by its clock.
    #[cfg(test)]
    granted: std::sync::Mutex<Vec<(u64, u32)>>,
}

/// An [`Ask`] that outlives the caller's.
pub(crate) struct Asked {
    tenant: TenantId,
    charges: Box<[Charge]>,
    places: Box<[Place]>,
    hold: Duration,
}

impl Asked {
    fn of(ask: &Ask<'_>) -> Self {
        Self { tenant: ask.tenant, charges: ask.charges.into(), places: ask.places.into(), hold: ask.hold }
    }

    fn ask(&self) -> Ask<'_> {
        Ask { tenant: self.tenant, charges: &self.charges, places: &self.places, hold: self.hold }
    }
}

impl RedisLimiter {
    /// A limiter that connects by itself, in the background and whenever it must. Needs a Tokio runtime.
    ///
    /// `local` counts while Redis is away. The watcher hears first how the first probe ended, and then of each change.
    ///
    /// # Errors
    /// When the URL cannot be read. Whether anybody answers there is found out later.
    pub fn start(options: RedisOptions, local: MemoryLimiter, watcher: Watcher) -> Result<Arc<Self>, RedisUrlError> {
        let RedisOptions { url, timeout, prefix, replica } = options;
        let inner = Arc::new(Inner {
            target: Target::parse(&url)?,
            timeout,
            replica,
            scripts: Scripts::new(prefix),
            local,
            clock: Clock::start(),
            breaker: Breaker::new(watcher),
            lanes: Lanes::new(),
            denied: Denied::new(),
            members: Members::new(),
            backlog: Backlog::new(),
            replicas: AtomicU32::new(1),
            round_trips: AtomicU64::new(0),
            refused_here: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            #[cfg(test)]
            granted: std::sync::Mutex::default(),
        });
        let keeper = tokio::spawn(keeper::run(inner.clone())).abort_handle();
        Ok(Arc::new(Self { inner, keeper }))
    }

    /// What it has done so far, and what it holds now.
    pub fn stats(&self) -> RedisStats {
        let Inner { replicas, round_trips, refused_here, fallbacks, .. } = &*self.inner;
        RedisStats {
            mode: self.mode(),
            replicas: replicas.load(Ordering::Relaxed),
            round_trips: round_trips.load(Ordering::Relaxed),
            refused_here: refused_here.load(Ordering::Relaxed),
            fallbacks: fallbacks.load(Ordering::Relaxed),
            denied_keys: self.inner.denied.len(),
            releases_waiting: self.inner.backlog.len(),
            releases_lost: self.inner.backlog.lost(),
            lanes: self.inner.lanes.count(),
        }
    }
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Drop for RedisLimiter {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Limiter for RedisLimiter {
    fn take(&self, ask: &Ask<'_>, now_us: u64) -> Take {
        if let Some(decision) = self.inner.at_once(ask, now_us) {
            return Take::Ready(decision);
        }
        match self.inner.lanes.here(&self.inner) {
            Some(conn) => Take::Pending(Box::pin(self.inner.clone().take(conn, Asked::of(ask), now_us))),
            None => Take::Ready(self.inner.without(ask, now_us)),
        }
    }

    fn look<'a>(&'a self, ask: &'a Ask<'a>, now_us: u64) -> Pin<Box<dyn Future<Output = Vec<Standing>> + Send + 'a>> {
        Box::pin(self.inner.look(ask, now_us))
    }

    fn mode(&self) -> Mode {
        if self.inner.breaker.is_shared() { Mode::Shared } else { Mode::Away }
    }
}

impl Inner {
    /// What needs no answer of Redis.
    fn at_once(&self, ask: &Ask<'_>, now_us: u64) -> Option<Decision> {
        if !ask.is_in_bounds() {
            return Some(Decision::Denied(Refused::MISTAKE));
        }
        if !self.breaker.is_shared() {
            return Some(self.without(ask, now_us));
        }
        if ask.charges.is_empty() && ask.places.is_empty() {
            let permit = self.local.running().permit();
            return Some(Decision::Allowed(Granted { tightest: None, would_deny: 0, permit }));
        }
        let (denied, crowded) = (self.denied.find(ask.charges, || self.clock.now_us()), self.crowded(ask));
        let refused = denied.into_iter().chain(crowded).max_by_key(|refused| refused.retry_after)?;
        self.refused_here.fetch_add(1, Ordering::Relaxed);
        Some(Decision::Denied(refused))
    }

    /// A cap that is reached by the calls of this replica alone.
    fn crowded(&self, ask: &Ask<'_>) -> Option<Refused> {
        let is_full = |place: &Place| !place.dry_run && self.local.running().running(place.key) >= place.max;
        let at = ask.charges.len() + ask.places.iter().position(is_full)?;
        Some(Refused { at, retry_after: RETRY_CROWDED, away: false })
    }

    /// Decides as the limits say for when Redis is away.
    fn without(&self, ask: &Ask<'_>, now_us: u64) -> Decision {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
        away::decide(&self.local, ask, self.replicas.load(Ordering::Relaxed), now_us)
    }

    async fn take(self: Arc<Self>, conn: Arc<Conn>, asked: Asked, now_us: u64) -> Decision {
        let lease = Lease::of(&self, asked.tenant, &asked.places);
        let member = lease.as_ref().map(|lease| lease.member());
        match self.ask(&conn, &asked, member).await {
            Ok(answer) => self.answered(answer, &asked, lease, now_us),
            Err(failure) => {
                self.breaker.failed(failure.reason());
                // It may have been taken all the same: what was is given back.
                drop(lease);
                self.without(&asked.ask(), now_us)
            }
        }
    }

    async fn ask(&self, conn: &Conn, asked: &Asked, member: Option<Member>) -> Result<Answer, Failure> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let mut answer = conn.ask(&self.scripts.take(asked, member), self.timeout).await;
        if answer.as_ref().is_err_and(Failure::is_forgotten) {
            self.round_trips.fetch_add(1, Ordering::Relaxed);
            answer = conn.ask(&self.scripts.take_and_load(asked, member), self.timeout).await;
        }
        Answer::read(&answer?).ok_or(Failure::Strange)
    }

    fn answered(&self, answer: Answer, asked: &Asked, mut lease: Option<Box<Lease>>, now_us: u64) -> Decision {
        self.breaker.succeeded();
        match answer.verdict {
            Ok(tightest) => {
                #[cfg(test)]
                self.note_granted(&answer, asked);
                if let Some(lease) = &mut lease {
                    lease.confirm();
                }
                let permit = self.warm(asked, answer.would_deny, now_us).with(lease);
                Decision::Allowed(Granted { tightest, would_deny: answer.would_deny, permit })
            }
            Err(refused) => {
                if let Some(lease) = lease {
                    lease.forget();
                }
                if let Some(charge) = asked.charges.get(refused.at) {
                    self.denied.note(charge, refused.retry_after, self.clock.now_us());
                }
                Decision::Denied(refused)
            }
        }
    }

    /// Counts here what Redis granted, so that this replica's share is right from the first moment without it.
    fn warm(&self, asked: &Asked, not_taken: u32, now_us: u64) -> Permit {
        let replicas = self.replicas.load(Ordering::Relaxed);
        for (at, charge) in asked.charges.iter().enumerate() {
            if charge.away == WhenAway::Local && not_taken >> at & 1 == 0 {
                self.local.note(&away::share_of_charge(charge, replicas), now_us);
            }
        }
        self.local.running().note(&asked.places)
    }

    async fn look(self: &Arc<Self>, ask: &Ask<'_>, now_us: u64) -> Vec<Standing> {
        if !ask.is_in_bounds() {
            return Vec::new();
        }
        if self.breaker.is_shared()
            && let Some(conn) = self.lanes.here(self)
            && let Ok(answer) = conn.ask(&self.scripts.look(&Asked::of(ask)), self.timeout).await
            && let Some(standings) = script::read_standings(&answer, ask.charges.len() + ask.places.len())
        {
            return standings;
        }
        away::standing(&self.local, ask, self.replicas.load(Ordering::Relaxed), now_us)
    }

    /// What nobody waits for may take longer.
    fn patience(&self) -> Duration {
        2 * self.timeout
    }

    #[cfg(test)]
    fn note_granted(&self, answer: &Answer, asked: &Asked) {
        let cost = asked.charges.first().map_or(0, |charge| charge.cost);
        self.granted.lock().unwrap().push((answer.now_us, cost));
    }
}

#[cfg(test)]
mod tests;
