//! The calls of legacy sessions that run now, so that `notifications/cancelled` finds the one it means. The modern era needs
//! none of this: closing the stream is what cancels there.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Notify;

type Key = ([u8; 16], Bytes);

/// The running calls by session and request id.
#[derive(Debug, Default)]
pub struct Calls {
    running: Arc<DashMap<Key, TakenBack>>,
}

/// A call's place among the running ones; given back on drop.
#[derive(Debug)]
pub struct Running {
    running: Arc<DashMap<Key, TakenBack>>,
    key: Key,
    /// Told when the client takes the request back.
    pub token: TakenBack,
}

/// Whether the client has taken a request back. Cheaper than a cancellation token, since every legacy call makes one.
#[derive(Debug, Clone, Default)]
pub struct TakenBack(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_cancelled: AtomicBool,
    told: Notify,
    /// What the client gave as its reason.
    reason: OnceLock<Box<str>>,
}

impl TakenBack {
    fn cancel(&self, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.0.reason.get_or_init(|| reason.into());
        }
        self.0.is_cancelled.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// Whether it was taken back.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Acquire)
    }

    /// Why, when the client said so.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.get().map(|reason| &**reason)
    }

    /// Waits until it is taken back.
    pub async fn cancelled(&self) {
        // Made before the look: it hears of everything that comes after.
        let told = self.0.told.notified();
        if !self.is_cancelled() {
            told.await;
        }
    }
}

impl Calls {
    /// Enters a call. A second one with the same id, which the client should not have sent, takes the place of the first.
    pub fn enter(&self, session: [u8; 16], id: Bytes) -> Running {
        let key = (session, id);
        let token = TakenBack::default();
        self.running.insert(key.clone(), token.clone());
        Running { running: self.running.clone(), key, token }
    }

    /// Cancels the call with this id, when it still runs here; says whether it does.
    pub fn cancel(&self, session: [u8; 16], id: &[u8], reason: Option<&str>) -> bool {
        let found = self.running.get(&(session, Bytes::copy_from_slice(id)));
        if let Some(token) = &found {
            token.cancel(reason);
        }
        found.is_some()
    }

    /// Cancels all that run.
    pub(crate) fn cancel_all(&self) {
        self.running.iter().for_each(|token| token.cancel(None));
    }

    /// How many run of the sessions that `is_wanted` lets through.
    pub(crate) fn count(&self, is_wanted: impl Fn(&[u8; 16]) -> bool) -> usize {
        self.running.iter().filter(|call| is_wanted(&call.key().0)).count()
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.running.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_call_of_that_session_and_id_is_cancelled() {
        let calls = Calls::default();
        let mine = calls.enter([1; 16], Bytes::from_static(b"1"));
        let other = calls.enter([2; 16], Bytes::from_static(b"1"));
        assert!(!calls.cancel([1; 16], b"2", None) && !calls.cancel([3; 16], b"1", None));
        assert!(!mine.token.is_cancelled());
        assert!(calls.cancel([1; 16], b"1", Some("enough")));
        assert!(mine.token.is_cancelled() && !other.token.is_cancelled());
        assert_eq!((mine.token.reason(), other.token.reason()), (Some("enough"), None));
        drop((mine, other));
        assert!(calls.is_empty());
    }
}
