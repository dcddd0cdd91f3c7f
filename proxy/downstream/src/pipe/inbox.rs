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

/// Messages that wait for a slow caller; later ones are dropped, the response never.
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
    /// The connection itself: handshake, listening.
    Own,
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

impl Slot {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, stage: AtomicU8::new(QUEUED), inbox: Mutex::default() }
    }

    pub(super) fn is_call(&self) -> bool {
        self.kind == Kind::Call
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

    /// Adds a message before the response; gives it back when there is no room.
    pub(super) fn push(&self, early: Early) -> Result<(), Early> {
        let mut inbox = self.inbox();
        let bytes = early.bytes();
        let full = inbox.early.len() >= EARLY_MAX || inbox.early_bytes + bytes > EARLY_BYTES_MAX;
        if full || inbox.end.is_some() {
            return Err(early);
        }
        inbox.early_bytes += bytes;
        inbox.early.push_back(early);
        wake(inbox);
        Ok(())
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
