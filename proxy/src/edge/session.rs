//! Legacy sessions. An id is a sealed token that says all there is to know — revision, capabilities, expiry — and opens only for
//! the tenant, toolset and principal it was made for, on any replica and after any restart. Nothing is kept for an open
//! session; what is kept is the ids that were ended, until they expire by themselves. (What sessions asked for beside their calls is
//! in [`crate::hub`].) Beside that, [`seen`] remembers for admins which sessions this replica has met.

pub(crate) mod seen;

use std::{cell::RefCell, sync::Arc};

use dashmap::DashMap;
use patchbay_core::{
    TenantId,
    era::Version,
    seal::{Purpose, Sealer},
};

use self::seen::{Met, Seen};
use crate::{auth::Principal, caller::Capabilities, error::GatewayError, replica::home::Home, tenancy::Tenant};

/// The most ended sessions that are remembered until they would have expired; one more is not ended early.
const ENDED_MAX: usize = 1_000_000;
/// Length of what is sealed; where there are several replicas, the one that opened the session follows.
const PLAIN_BYTES: usize = 23;

/// The sessions of all tenants, as far as anything is kept of them.
pub struct Sessions {
    sealer: Arc<Sealer>,
    lifetime_s: u32,
    /// This process, where there may be others.
    home: Option<Home>,
    /// By whose they were: nobody ends another's.
    ended: DashMap<(TenantId, [u8; 32]), i64>,
    seen: Seen,
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Random; names the session where its token must not be.
    pub id: [u8; 16],
    /// The revision that was agreed on.
    pub version: Version,
    /// What the client can be asked.
    pub can: Capabilities,
    expires_s: u32,
    /// The process that opened it and has the children that are its own, where there may be several.
    home: Option<Home>,
}

impl Sessions {
    /// Sessions of this lifetime, opened by this process; `None` where there is no other.
    pub fn new(sealer: Arc<Sealer>, lifetime: std::time::Duration, home: Option<Home>) -> Self {
        let lifetime_s = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        Self { sealer, lifetime_s, home, ended: DashMap::new(), seen: Seen::default() }
    }

    /// Opens a session and gives its id for the `Mcp-Session-Id` header.
    pub fn begin(
        &self,
        tenant: &Tenant,
        principal: &Principal,
        version: Version,
        can: Capabilities,
        now_ms: i64,
    ) -> String {
        let expires_s = seconds(now_ms).saturating_add(self.lifetime_s);
        let mut plain = vec![0; PLAIN_BYTES];
        plain[0] = Version::ALL.iter().position(|known| *known == version).unwrap_or_default() as u8;
        plain[1..3].copy_from_slice(&can.bits().to_be_bytes());
        plain[3..7].copy_from_slice(&expires_s.to_be_bytes());
        let id = patchbay_core::random_bytes::<16>();
        plain[7..].copy_from_slice(&id);
        if let Some(home) = &self.home {
            home.write(&mut plain);
        }
        let met = || Met::new(tenant.id(), principal, version, expires_s, self.lifetime_s);
        self.seen.touch(id, seconds(now_ms), met);
        self.sealer.seal(Purpose::Session, &[&bound_to(tenant, principal)], &plain)
    }

    /// The session with this id.
    ///
    /// # Errors
    /// [`GatewayError::SessionGone`], in the same words for one that has ended, has expired, or is somebody else's.
    pub fn find(
        &self,
        token: &str,
        tenant: &Tenant,
        principal: &Principal,
        now_ms: i64,
    ) -> Result<Session, GatewayError> {
        let (bound, now_s) = (bound_to(tenant, principal), seconds(now_ms));
        let open = || Session::read(&self.sealer.open(Purpose::Session, &[&bound], token)?);
        let (session, is_touched) = opened(token, &bound, now_s, open).ok_or(GatewayError::SessionGone)?;
        let over = now_s >= session.expires_s;
        if over || (!self.ended.is_empty() && self.ended.contains_key(&(tenant.id(), session.tombstone()))) {
            return Err(GatewayError::SessionGone);
        }
        if !is_touched {
            let met = || Met::new(tenant.id(), principal, session.version, session.expires_s, self.lifetime_s);
            self.seen.touch(session.id, now_s, met);
        }
        Ok(session)
    }

    /// Whether another ended session can be remembered.
    pub fn has_room(&self) -> bool {
        self.ended.len() < ENDED_MAX
    }

    /// Notes that a session has ended, here or at another replica; says whether that is new.
    pub(crate) fn end(&self, tenant: TenantId, tombstone: [u8; 32], expires_ms: i64) -> bool {
        self.seen.forget(tenant, tombstone);
        self.ended.insert((tenant, tombstone), expires_ms).is_none()
    }

    /// The sessions of a tenant that this replica has met and that are open, as far as it knows.
    pub(crate) fn seen(&self, tenant: TenantId, now_ms: i64) -> Vec<([u8; 16], Met)> {
        self.seen.of(tenant, seconds(now_ms))
    }

    /// What ends the session with this id, which may have been opened on any replica up to now, and when that can be forgotten.
    pub(crate) fn tombstone_of(&self, id: [u8; 16], now_ms: i64) -> ([u8; 32], i64) {
        let longest = now_ms.saturating_add(i64::from(self.lifetime_s).saturating_mul(1000));
        (tombstone(id), self.seen.expires_ms(id).unwrap_or(longest))
    }

    /// Forgets the ended sessions that have expired by now.
    pub fn sweep(&self, now_ms: i64) {
        self.ended.retain(|_, expires_ms| *expires_ms > now_ms);
        self.seen.sweep(seconds(now_ms));
    }
}

impl Session {
    fn read(plain: &[u8]) -> Option<Self> {
        let (plain, home) = plain.split_first_chunk::<PLAIN_BYTES>()?;
        let home = if home.is_empty() { None } else { Some(Home::read(home)?) };
        Some(Self {
            home,
            version: *Version::ALL.get(usize::from(plain[0]))?,
            can: Capabilities::of_bits(u16::from_be_bytes(plain[1..3].try_into().ok()?)),
            expires_s: u32::from_be_bytes(plain[3..7].try_into().ok()?),
            id: plain[7..].try_into().ok()?,
        })
    }

    /// The process that opened it and has its children, when that is known and is not this one.
    pub(crate) fn elsewhere(&self, here: &Home) -> Option<&Home> {
        self.home.as_ref().filter(|home| home.id() != here.id())
    }

    /// What is told to the other replicas when the session ends.
    pub fn tombstone(&self) -> [u8; 32] {
        tombstone(self.id)
    }

    /// When it ends by itself, in milliseconds since 1970.
    pub const fn expires_ms(&self) -> i64 {
        self.expires_s as i64 * 1000
    }
}

/// Ids that each worker remembers to have opened; a place is taken over by the next id that falls on it.
const OPENED_MAX: usize = 512;

/// An id that was opened before: to open it again costs more than to compare it.
struct Opened {
    token: Box<str>,
    bound: [u8; 32],
    session: Session,
    /// The second in which it was last asked for.
    asked_s: u32,
}

/// The session of an id, opened at most once while it is remembered, and whether it was asked for in this second before. What
/// does not open is not remembered.
fn opened(
    token: &str,
    bound: &[u8; 32],
    now_s: u32,
    open: impl FnOnce() -> Option<Session>,
) -> Option<(Session, bool)> {
    thread_local!(static OPENED: RefCell<Vec<Option<Opened>>> = RefCell::new((0..OPENED_MAX).map(|_| None).collect()));
    // The last characters are those of the seal: as good as random.
    let place = token.bytes().rev().take(8).fold(0_usize, |sum, byte| sum.wrapping_mul(131).wrapping_add(byte.into()));
    let place = place % OPENED_MAX;
    let known = OPENED.with_borrow_mut(|all| {
        let known = all[place].as_mut().filter(|known| *known.token == *token && known.bound == *bound)?;
        Some((known.session.clone(), std::mem::replace(&mut known.asked_s, now_s) == now_s))
    });
    known.or_else(|| {
        let session = open()?;
        let known = Opened { token: token.into(), bound: *bound, session: session.clone(), asked_s: now_s };
        OPENED.with_borrow_mut(|all| all[place] = Some(known));
        Some((session, false))
    })
}

/// What ends the session with this id.
pub(crate) fn tombstone(id: [u8; 16]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(&id);
    digest
}

/// What a session id is bound to, besides the sealing key.
fn bound_to(tenant: &Tenant, principal: &Principal) -> [u8; 32] {
    bind(tenant.id(), principal.digest())
}

fn bind(tenant: TenantId, principal: [u8; 16]) -> [u8; 32] {
    let mut bound = [0; 32];
    bound[..16].copy_from_slice(&tenant.bits().to_be_bytes());
    bound[16..].copy_from_slice(&principal);
    bound
}

fn seconds(now_ms: i64) -> u32 {
    u32::try_from(now_ms / 1000).unwrap_or(u32::MAX)
}
