//! The seats of one server: that of what belongs to no caller and of all who share one, and one for each caller, or set of
//! callers, who have a child or a connection of their own. How many there may be is bounded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Common, Seat};
use crate::{CallCx, DownstreamError, Fault, Health, HealthState, ShareKey};

/// Callers with equal keys share a child. A legacy child learns only once what callers can be asked, so those who can be asked
/// different things do not share one.
type SeatKey = (ShareKey, Arc<str>);

/// See the module.
pub(crate) struct Seats {
    common: Arc<Common>,
    tenant: Arc<Seat>,
    others: Mutex<HashMap<SeatKey, Arc<Seat>>>,
    others_max: usize,
}

impl Seats {
    /// Seats without children; so many callers may have one of their own.
    pub(crate) fn new(common: Arc<Common>, others_max: usize) -> Self {
        let tenant = Seat::new(Arc::clone(&common), true, "{}".into());
        Self { common, tenant, others: Mutex::default(), others_max }
    }

    /// The seat of what belongs to no caller, and of all callers who share one.
    pub(crate) fn tenant(&self) -> &Arc<Seat> {
        &self.tenant
    }

    /// The seat of this caller.
    pub(crate) fn of(&self, cx: &CallCx) -> Result<Arc<Seat>, DownstreamError> {
        if cx.share == ShareKey::Tenant {
            return Ok(Arc::clone(&self.tenant));
        }
        let key = (cx.share.clone(), Arc::clone(&cx.capabilities));
        let mut others = self.others();
        if let Some(seat) = others.get(&key) {
            return Ok(Arc::clone(seat));
        }
        if others.len() >= self.others_max {
            others.retain(|_, seat| !seat.is_vacant());
        }
        if others.len() >= self.others_max {
            let text = format!("{} callers have a child or a connection of their own already", others.len());
            return Err(DownstreamError::not_sent(Fault::Busy, text));
        }
        let seat = Seat::new(Arc::clone(&self.common), false, Arc::clone(&cx.capabilities));
        others.insert(key, Arc::clone(&seat));
        Ok(seat)
    }

    /// The roots of those who have this seat changed.
    pub(crate) fn roots_changed(&self, cx: CallCx) {
        let seat = self.others().get(&(cx.share, cx.capabilities)).map(Arc::clone);
        if let Some(seat) = seat {
            seat.roots_changed();
        }
    }

    /// How many have a child.
    pub(crate) fn up(&self) -> u32 {
        let up = self.others().values().chain([&self.tenant]).filter(|seat| seat.is_up()).count();
        u32::try_from(up).unwrap_or(u32::MAX)
    }

    /// Lets the next starts be now.
    pub(crate) fn hurry(&self) {
        self.others().values().chain([&self.tenant]).for_each(|seat| seat.hurry());
    }

    /// How all of them are.
    pub(crate) fn health(&self) -> Health {
        let mut health = Health::default();
        self.tenant.add_to(&mut health);
        self.others().values().for_each(|seat| seat.add_to(&mut health));
        if self.common.is_closed() {
            health.state = HealthState::Closed;
        }
        health
    }

    fn others(&self) -> MutexGuard<'_, HashMap<SeatKey, Arc<Seat>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
