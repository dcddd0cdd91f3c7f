//! The requests that wait for their response, by their ids, and whether new ones may come. One lock holds both, so that no
//! request slips in while the connection ends.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{CallError, gone, inbox::Slot};
use crate::{DownstreamError, Fault};

/// See the module.
pub(super) struct Pending {
    slots: HashMap<u64, Arc<Slot>, BuildHasherDefault<CounterHasher>>,
    calls: usize,
    calls_max: usize,
    idle_since: Instant,
    closed: Option<Arc<str>>,
}

/// A request whose connection ended.
pub(super) struct Departed {
    slot: Arc<Slot>,
    why: Arc<str>,
}

impl Departed {
    /// Tells its caller.
    pub(super) fn tell(self) {
        let error = if self.slot.is_written() {
            DownstreamError::may_have_run(Fault::Closed, &*self.why)
        } else {
            gone(&self.why)
        };
        self.slot.end(Err(error));
    }
}

impl Pending {
    pub(super) fn new(calls_max: usize) -> Self {
        Self { slots: HashMap::default(), calls: 0, calls_max, idle_since: Instant::now(), closed: None }
    }

    pub(super) fn add(&mut self, id: u64, slot: Arc<Slot>) -> Result<(), CallError> {
        if let Some(why) = &self.closed {
            return Err(CallError::Gone(gone(why)));
        }
        if slot.is_call() {
            if self.calls >= self.calls_max {
                let text = format!("{} calls wait for this child already", self.calls);
                return Err(CallError::Failed(DownstreamError::not_sent(Fault::Busy, text)));
            }
            self.calls += 1;
        }
        self.slots.insert(id, slot);
        Ok(())
    }

    pub(super) fn get(&self, id: u64) -> Option<&Arc<Slot>> {
        self.slots.get(&id)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<Slot>> {
        let slot = self.slots.remove(&id)?;
        if slot.is_call() {
            self.calls -= 1;
            if self.calls == 0 {
                self.idle_since = Instant::now();
            }
        }
        Some(slot)
    }

    /// The only call that waits; `None` when there are more, or none.
    pub(super) fn only_call(&self) -> Option<&Arc<Slot>> {
        if self.calls == 1 { self.slots.values().find(|slot| slot.is_call()) } else { None }
    }

    /// The id of the only request that waits, when it is one of the connection itself: the handshake.
    pub(super) fn only_own(&self) -> Option<u64> {
        if self.calls > 0 || self.slots.len() != 1 {
            return None;
        }
        self.slots.keys().next().copied()
    }

    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    pub(super) fn idle_for(&self) -> Option<Duration> {
        (self.calls == 0).then(|| self.idle_since.elapsed())
    }

    pub(super) fn retire(&mut self) -> bool {
        if self.calls > 0 {
            return false;
        }
        self.closed.get_or_insert_with(|| "the server was stopped because nobody used it".into());
        true
    }

    pub(super) fn close(&mut self, why: &str) -> Vec<Departed> {
        let why = Arc::clone(self.closed.get_or_insert_with(|| why.into()));
        self.calls = 0;
        self.slots.drain().map(|(_, slot)| Departed { slot, why: Arc::clone(&why) }).collect()
    }
}

/// Ids are our own counter, so they need no defence against chosen keys; the multiplication spreads them.
#[derive(Default)]
pub(super) struct CounterHasher(u64);

impl Hasher for CounterHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
