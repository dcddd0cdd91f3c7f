//! What is kept of one stream: its last events, how far they were read, and what may be given up when there are too many. Values
//! and rules alone; who waits for what is [`super::stream`]'s.
//!
//! Events are numbered from 1 on and kept without gaps. What somebody who is there has not read is never given up: the call waits
//! instead. When nobody is there, the oldest messages go, and the response never does, unless too much is kept altogether.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use prometheus::IntCounter;

use super::purse::Purse;

/// Events that are kept of one stream.
const EVENTS_MAX: usize = 256;
/// Their bytes. The response may be longer.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Events that wait for a slow reader before the call itself waits.
const UNREAD_MAX: u64 = 32;

/// How a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the response, which is its last event.
    Answered,
    /// Without: the client took its request back.
    Silent,
}

/// Why a stream is not continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// There was no such event.
    Never,
    /// It has ended, and nothing comes after that event.
    Over,
    /// Its response is not kept any more.
    Lost,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Kept {
    events: VecDeque<Bytes>,
    /// The number of the first of them.
    first: u64,
    bytes: usize,
    /// The number that comes next for who is reading; nobody is when it is `None`.
    reading: Option<u64>,
    /// The first number that nobody has read.
    unseen: u64,
    end: Option<End>,
    lost: bool,
    purse: Arc<Purse>,
    /// Counts what was given up before anybody had read it.
    given_up: IntCounter,
}

impl Kept {
    /// Nothing yet, and somebody is there to read.
    pub(super) const fn new(purse: Arc<Purse>, given_up: IntCounter) -> Self {
        Self {
            events: VecDeque::new(),
            first: 1,
            bytes: 0,
            reading: Some(1),
            unseen: 1,
            end: None,
            lost: false,
            purse,
            given_up,
        }
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// How it has ended.
    pub(super) const fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether somebody is there to read.
    pub(super) const fn is_read(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether there is nothing to keep it for: all was read, or the response is lost.
    pub(super) fn is_done(&self) -> bool {
        self.lost || (self.end.is_some() && self.unseen == self.next())
    }

    /// Whether another message may be added now.
    pub(super) fn has_room(&self) -> bool {
        let Some(at) = self.reading else { return true };
        let unread = self.next() - at;
        unread == 0 || (unread < UNREAD_MAX && self.unread_bytes(at) < EVENT_BYTES_MAX)
    }

    fn unread_bytes(&self, at: u64) -> usize {
        let read = usize::try_from(at.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.events.iter().skip(read).map(Bytes::len).sum()
    }

    /// Adds a message.
    pub(super) fn push(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.purse.add(event.len());
        self.events.push_back(event);
        self.trim();
    }

    /// Adds the response, if there is one. Nothing is added any more.
    pub(super) fn finish(&mut self, response: Option<Bytes>) {
        self.end = Some(if response.is_some() { End::Answered } else { End::Silent });
        if let Some(event) = response {
            self.push(event);
        }
    }

    /// The next event for who is reading.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let at = self.reading?;
        let index = usize::try_from(at.checked_sub(self.first)?).ok()?;
        let event = self.events.get(index)?.clone();
        self.reading = Some(at + 1);
        self.unseen = self.unseen.max(at + 1);
        self.trim();
        Some(event)
    }

    /// Who was reading has left.
    pub(super) fn leave(&mut self) {
        self.reading = None;
        self.trim();
    }

    /// Somebody reads on after this number; says how many events are there for them already.
    pub(super) fn read_after(&mut self, number: u64) -> Result<u64, Missing> {
        let next = self.next();
        if number >= next {
            return Err(Missing::Never);
        }
        if self.lost {
            return Err(Missing::Lost);
        }
        if self.end.is_some() && number + 1 == next {
            return Err(Missing::Over);
        }
        let at = (number + 1).max(self.first);
        self.reading = Some(at);
        Ok(next - at)
    }

    /// Gives up the oldest events while there are too many, as far as that may be.
    fn trim(&mut self) {
        while let Some(oldest) = self.events.front() {
            let is_over = self.purse.is_over();
            if !is_over && self.events.len() <= EVENTS_MAX && self.bytes <= EVENT_BYTES_MAX {
                break;
            }
            let is_response = self.events.len() == 1 && self.end == Some(End::Answered);
            if self.reading.is_some_and(|at| at <= self.first) || (is_response && !is_over) {
                break;
            }
            let bytes = oldest.len();
            self.events.pop_front();
            self.lost |= is_response;
            if self.first >= self.unseen {
                self.given_up.inc();
            }
            self.first += 1;
            self.bytes -= bytes;
            self.purse.sub(bytes);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.purse.sub(self.bytes);
    }
}
