//! Reads the spool from its oldest record on. There is one reader, the drain's; it says itself up to where the records may go.

use std::sync::Arc;

use tracing::warn;

use super::{
    record::{Row, Stage, at_ms, peek},
    segment::{HEAD, Segment},
    spool::{Place, Spool},
};

/// Where reading is.
pub(super) struct Reader {
    place: Place,
    segment: Option<Arc<Segment>>,
}

/// What was read. A call that was sent on is only noted, since its second record mostly follows and says it all again.
pub(super) enum Entry {
    Sent(u128),
    Closed(Row),
}

impl Reader {
    /// Begins at the oldest record that was not drained.
    pub(super) fn new(spool: &Spool) -> Self {
        Self { place: spool.drained(), segment: None }
    }

    /// The place of the next record.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// The next record and its place; `None` when there is none yet. One that cannot be read is passed over, with a warning.
    pub(super) fn next(&mut self, spool: &Spool) -> Option<(Place, Entry)> {
        loop {
            if self.segment.is_none() {
                self.enter(spool)?;
            }
            let segment = self.segment.as_ref()?;
            while let Some((payload, next)) = segment.record(self.place.at) {
                let place = self.place;
                self.place.at = next;
                match read(payload) {
                    Some(entry) => return Some((place, entry)),
                    None => warn!("a record in the audit spool is not of this version and is passed over"),
                }
            }
            // It is over only if it was no longer written when its end was seen.
            if spool.is_written(segment) {
                return None;
            }
            if segment.record(self.place.at).is_none() {
                self.place = Place { seq: self.place.seq + 1, at: HEAD };
                self.segment = None;
            }
        }
    }

    fn enter(&mut self, spool: &Spool) -> Option<()> {
        let segment = spool.segment_from(self.place.seq)?;
        if segment.seq != self.place.seq {
            self.place = Place { seq: segment.seq, at: HEAD };
        }
        self.segment = Some(segment);
        Some(())
    }
}

fn read(payload: &[u8]) -> Option<Entry> {
    match peek(payload)? {
        (Stage::Sent, event) => Some(Entry::Sent(event)),
        (Stage::Closed, _) => Row::read(payload).map(Entry::Closed),
    }
}

/// The row of a record that was only noted, and that is not drained yet.
pub(super) fn row_at(spool: &Spool, place: Place) -> Option<Row> {
    let segment = spool.segment_from(place.seq).filter(|segment| segment.seq == place.seq)?;
    let (payload, _) = segment.record(place.at)?;
    Row::read(payload)
}

/// When the oldest record began that is not drained; `None` when there is none.
pub(super) fn oldest_ms(spool: &Spool) -> Option<i64> {
    let place = spool.drained();
    let segment = spool.segment_from(place.seq)?;
    let from = if segment.seq == place.seq { place.at } else { HEAD };
    if let Some((payload, _)) = segment.record(from) {
        return at_ms(payload);
    }
    let next = spool.segment_from(segment.seq + 1)?;
    next.record(HEAD).and_then(|(payload, _)| at_ms(payload))
}
