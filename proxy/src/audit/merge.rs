//! Makes rows of records: a call leaves two, and when both are here in time, the first need not be kept. One that waits too long
//! for its second goes out as it is, "dispatched, outcome unknown", which is also what a killed gateway leaves behind.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    record::{Row, Stage},
    spool::Place,
};

/// How many calls may wait for their second record; over it the oldest go out.
const WAITING_MAX: usize = 10_000;

/// Records on their way to becoming rows.
pub(super) struct Merger {
    patience: Duration,
    waiting: HashMap<u128, Row>,
    /// In the order of the records; those that have ended since are still in it.
    order: VecDeque<(Place, Instant, u128)>,
    rows: VecDeque<Row>,
    /// Records that became no row of their own since last asked.
    merged: u64,
}

impl Merger {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, waiting: HashMap::new(), order: VecDeque::new(), rows: VecDeque::new(), merged: 0 }
    }

    pub(super) fn take(&mut self, place: Place, row: Row, now: Instant) {
        match row.stage {
            Stage::Sent => {
                self.order.push_back((place, now, row.event));
                self.waiting.insert(row.event, row);
            }
            Stage::Closed => {
                self.merged += u64::from(self.waiting.remove(&row.event).is_some());
                self.rows.push_back(row);
            }
        }
    }

    /// Lets go of those that have waited long enough: all of them when `all`.
    pub(super) fn ripen(&mut self, now: Instant, all: bool) {
        while let Some(&(_, since, event)) = self.order.front() {
            let ended = !self.waiting.contains_key(&event);
            let over = self.waiting.len() > WAITING_MAX;
            if !(ended || all || over || now.duration_since(since) >= self.patience) {
                break;
            }
            self.order.pop_front();
            self.rows.extend(self.waiting.remove(&event));
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

    pub(super) fn rows(&mut self) -> &mut VecDeque<Row> {
        &mut self.rows
    }

    pub(super) fn take_merged(&mut self) -> u64 {
        std::mem::take(&mut self.merged)
    }
}
