//! What goes out, and the little that is kept back until it is known whether it does: slices of the chunk that is being looked
//! at, and the text between two members. Used by the machine in the parent module alone.

use std::borrow::Cow;

use bytes::Bytes;

/// What stands between the last member and the value to come: comma, space, key, colon. While it lies in one chunk it is only
/// a place in it; what lies before the chunk is kept here.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// The part that came with earlier chunks.
    pub(super) kept: Vec<u8>,
    /// Where it goes on in this chunk.
    pub(super) from: usize,
    /// Where the key begins and ends, with its quotes, counted from the lead's first byte.
    pub(super) key: (usize, usize),
    pub(super) comma: bool,
    pub(super) colon: bool,
}

impl Lead {
    /// How far the byte at this place of the chunk is from the lead's first.
    pub(super) const fn offset(&self, at: usize) -> usize {
        self.kept.len() + at - self.from
    }

    /// All of it up to this place of the chunk.
    pub(super) fn bytes<'a>(&'a self, chunk: &'a [u8], end: usize) -> Cow<'a, [u8]> {
        let here = &chunk[self.from..end];
        if self.kept.is_empty() { Cow::Borrowed(here) } else { Cow::Owned([&self.kept, here].concat()) }
    }

    /// Begins anew at this place.
    pub(super) fn restart(&mut self, at: usize) {
        self.kept.clear();
        *self = Self { kept: std::mem::take(&mut self.kept), from: at, ..Self::default() };
    }
}

/// Collects what goes out: slices of the chunk where nothing changes, own bytes where it does.
pub(super) struct Out<'a> {
    pub(super) chunk: &'a Bytes,
    pub(super) run: Option<(usize, usize)>,
    pub(super) pieces: &'a mut Vec<Bytes>,
}

impl Out<'_> {
    pub(super) fn copy(&mut self, start: usize, end: usize) {
        if start == end {
            return;
        }
        match &mut self.run {
            Some((_, run_end)) if *run_end == start => *run_end = end,
            _ => {
                self.flush();
                self.run = Some((start, end));
            }
        }
    }

    pub(super) fn insert(&mut self, bytes: Bytes) {
        self.flush();
        if !bytes.is_empty() {
            self.pieces.push(bytes);
        }
    }

    pub(super) fn flush(&mut self) {
        if let Some((start, end)) = self.run.take() {
            self.pieces.push(self.chunk.slice(start..end));
        }
    }
}
