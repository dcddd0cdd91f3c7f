//! Where one request waits: what came before its response, then the response. Bounded, and never in the reader's way.
//! The reader fills it on its thread, the caller empties it on another.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::AcqRel},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::{DownstreamError, Question};

/// Messages that wait for a slow caller; of more, the oldest notification is dropped. Questions and the response never are.
const EARLY_MAX: usize = 256;
/// Bytes of such messages.
const EARLY_BYTES_MAX: usize = 1024 * 1024;

const QUEUED: u8 = 0;
const WRITTEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A caller.
    Call,
    /// The connection itself: handshake, subscriptions.
    Own,
    /// The connection itself, to listen for changes: ends when it is cancelled.
    Listening,
}

/// A message before the response.
pub(super) enum Early {
    Notification(Bytes),
    Question(Question),
}

impl Early {
    fn bytes(&self) -> usize {
        match self {
            Self::Notification(message) => message.len(),
            Self::Question(question) => question.message.len(),
        }
    }
}

/// What the caller finds.
pub(super) enum Item {
    Early(Early),
    End(Result<Bytes, DownstreamError>),
}

/// See the module.
pub(super) struct Slot {
    /// Of its request.
    pub(super) id: u64,
    kind: Kind,
    stage: AtomicU8,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    early: VecDeque<Early>,
    early_bytes: usize,
    end: Option<Result<Bytes, DownstreamError>>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Drops the oldest notification; false when there is none.
    fn drop_oldest(&mut self) -> bool {
        let oldest = self.early.iter().position(|early| matches!(early, Early::Notification(_)));
        let dropped = oldest.and_then(|at| self.early.remove(at));
        self.early_bytes -= dropped.as_ref().map_or(0, Early::bytes);
        dropped.is_some()
    }
}

impl Slot {
    pub(super) fn new(id: u64, kind: Kind) -> Self {
        Self { id, kind, stage: AtomicU8::new(QUEUED), inbox: Mutex::default() }
    }

    pub(super) fn is_call(&self) -> bool {
        self.kind == Kind::Call
    }

    /// Whether the peer is told when nobody waits any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.kind != Kind::Own
    }

    /// Marks that its line is about to be written; false when the caller has taken it back.
    pub(super) fn write(&self) -> bool {
        self.stage.compare_exchange(QUEUED, WRITTEN, AcqRel, std::sync::atomic::Ordering::Acquire).is_ok()
    }

    /// Takes it back; false when its line may have been written already.
    pub(super) fn withdraw(&self) -> bool {
        self.stage.compare_exchange(QUEUED, WITHDRAWN, AcqRel, std::sync::atomic::Ordering::Acquire).is_ok()
    }

    /// Whether its line may have been written.
    pub(super) fn is_written(&self) -> bool {
        self.stage.load(std::sync::atomic::Ordering::Acquire) == WRITTEN
    }

    /// Adds a message before the response, in the place of the oldest notifications when there is no room; gives how many those
    /// were. The message comes back when there is no room all the same.
    pub(super) fn push(&self, early: Early) -> Result<usize, Early> {
        let mut inbox = self.inbox();
        let bytes = early.bytes();
        if inbox.end.is_some() || bytes > EARLY_BYTES_MAX {
            return Err(early);
        }
        let mut dropped = 0;
        while inbox.early.len() >= EARLY_MAX || inbox.early_bytes + bytes > EARLY_BYTES_MAX {
            if !inbox.drop_oldest() {
                return Err(early);
            }
            dropped += 1;
        }
        inbox.early_bytes += bytes;
        inbox.early.push_back(early);
        wake(inbox);
        Ok(dropped)
    }

    /// Adds the end; the first one counts.
    pub(super) fn end(&self, end: Result<Bytes, DownstreamError>) {
        let mut inbox = self.inbox();
        inbox.end.get_or_insert(end);
        wake(inbox);
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Item> {
        let mut inbox = self.inbox();
        if let Some(early) = inbox.early.pop_front() {
            inbox.early_bytes -= early.bytes();
            return Poll::Ready(Item::Early(early));
        }
        if let Some(end) = inbox.end.take() {
            return Poll::Ready(Item::End(end));
        }
        match &mut inbox.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut inbox: MutexGuard<'_, Inbox>) {
    let waker = inbox.waker.take();
    drop(inbox);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(n: usize, bytes: usize) -> Early {
        let number = n.to_string();
        Early::Notification([&*number, &" ".repeat(bytes - number.len())].concat().into())
    }

    fn all_of(slot: &Slot) -> Vec<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let next = || match slot.poll(&mut cx) {
            Poll::Ready(Item::Early(Early::Notification(text))) => std::str::from_utf8(&text).ok()?.trim().parse().ok(),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn of_a_flood_of_notifications_the_newest_stay() {
        let slot = Slot::new(1, Kind::Call);
        for n in 0..100_000 {
            assert_eq!(slot.push(notification(n, 8)).ok(), Some(usize::from(n >= EARLY_MAX)));
        }
        assert_eq!(all_of(&slot), (100_000 - EARLY_MAX..100_000).collect::<Vec<_>>());
        let large = EARLY_BYTES_MAX / 4;
        for n in 0..6 {
            assert!(slot.push(notification(n, large)).is_ok());
        }
        assert_eq!(all_of(&slot), [2, 3, 4, 5]);
    }

    #[test]
    fn what_comes_after_the_response_or_is_larger_than_all_room_is_given_back() {
        let slot = Slot::new(1, Kind::Call);
        assert!(slot.push(notification(1, EARLY_BYTES_MAX + 1)).is_err());
        slot.end(Ok(Bytes::from_static(b"{}")));
        assert!(slot.push(notification(2, 8)).is_err());
        assert!(all_of(&slot).is_empty());
    }
}
