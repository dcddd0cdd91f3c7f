//! Reads the spool from its oldest record on. There is one reader, the drain's; it says itself up to where the records may go.

use std::sync::Arc;

use tracing::warn;

use super::{
    record::Row,
    segment::{HEAD, Segment},
    spool::{Place, Spool},
};

/// Where reading is.
pub(super) struct Reader {
    place: Place,
    segment: Option<Arc<Segment>>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Reader {
    /// Begins at the oldest record that was not drained.
    pub(super) fn new(spool: &Spool) -> Self {
        Self { place: spool.begin(), segment: None }
    }

    /// The place of the next record.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// The next record and its place; `None` when there is none yet. One that cannot be read is passed over, with a warning.
    pub(super) fn next(&mut self, spool: &Spool) -> Option<(Place, Row)> {
        loop {
            let segment = match &self.segment {
                Some(segment) => segment.clone(),
                None => self.enter(spool)?,
            };
            while let Some((payload, next)) = segment.record(self.place.at) {
                let place = self.place;
                self.place.at = next;
                match Row::read(payload) {
                    Some(row) => return Some((place, row)),
                    None => warn!("a record in the audit spool is not of this version and is passed over"),
                }
            }
            // It is over only if it was no longer written when its end was seen.
            if spool.is_written(&segment) {
                return None;
            }
            if segment.record(self.place.at).is_none() {
                self.place = Place { seq: self.place.seq + 1, at: HEAD };
                self.segment = None;
            }
        }
    }

    fn enter(&mut self, spool: &Spool) -> Option<Arc<Segment>> {
        let segment = spool.segment_from(self.place.seq)?;
        if segment.seq != self.place.seq {
            self.place = Place { seq: segment.seq, at: HEAD };
        }
        self.segment = Some(segment.clone());
        Some(segment)
    }
}
