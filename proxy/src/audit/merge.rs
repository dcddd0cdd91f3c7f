//! Makes rows of records: a call leaves two, and when both are here in time, the first need not be kept. One that waits too long
//! for its second goes out as it is, "dispatched, outcome unknown", which is also what a killed gateway leaves behind.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    reader::{Entry, row_at},
    record::Row,
    spool::{Place, Spool},
};

/// How many calls may wait for their second record; over it the oldest go out.
const WAITING_MAX: usize = 10_000;

/// Records on their way to becoming rows.
pub(super) struct Merger {
    patience: Duration,
    /// Events that were sent on and have not ended.
    waiting: HashSet<u128, BuildHasherDefault<EventHasher>>,
    /// Where their records are, in order; those that have ended since are still in it.
    order: VecDeque<(Place, Instant, u128)>,
    rows: VecDeque<Row>,
    /// Records that became no row of their own since last asked.
    merged: u64,
}

impl Merger {
    pub(super) fn new(patience: Duration) -> Self {
        let (order, rows) = (VecDeque::new(), VecDeque::new());
        Self { patience, waiting: HashSet::default(), order, rows, merged: 0 }
    }

    pub(super) fn take(&mut self, place: Place, entry: Entry, now: Instant) {
        match entry {
            Entry::Sent(event) => {
                self.order.push_back((place, now, event));
                self.waiting.insert(event);
            }
            Entry::Closed(row) => {
                self.merged += u64::from(self.waiting.remove(&row.event));
                self.rows.push_back(row);
            }
        }
    }

    /// Lets go of those that have waited long enough: all of them when `all`.
    pub(super) fn ripen(&mut self, spool: &Spool, now: Instant, all: bool) {
        while let Some(&(place, since, event)) = self.order.front() {
            let ended = !self.waiting.contains(&event);
            let over = self.waiting.len() > WAITING_MAX;
            if !(ended || all || over || now.duration_since(since) >= self.patience) {
                break;
            }
            self.order.pop_front();
            if !ended {
                self.waiting.remove(&event);
                self.rows.extend(row_at(spool, place));
            }
        }
    }

    /// When the next one will have waited long enough.
    pub(super) fn next_ripe(&self) -> Option<Instant> {
        self.order.front().map(|(_, since, _)| *since + self.patience)
    }

    /// The place of the oldest record that waits. What came before it has become a row, or part of one.
    pub(super) fn oldest(&self) -> Option<Place> {
        self.order.front().map(|(place, ..)| *place)
    }

    pub(super) const fn rows(&mut self) -> &mut VecDeque<Row> {
        &mut self.rows
    }

    pub(super) fn take_merged(&mut self) -> u64 {
        std::mem::take(&mut self.merged)
    }
}

/// Spreads event ids: they are counted up by this gateway, so nobody can choose them.
#[derive(Default)]
struct EventHasher(u64);

impl Hasher for EventHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, event: u128) {
        let spread = ((event >> 64) as u64 ^ event as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}
