//! The calls of legacy sessions that run now, so that `notifications/cancelled` finds the one it means. The modern era needs
//! none of this: closing the stream is what cancels there.

use std::sync::{
    Arc,
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
pub struct TakenBack(Arc<(AtomicBool, Notify)>);

impl TakenBack {
    fn cancel(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_waiters();
    }

    /// Whether it was taken back.
    pub fn is_cancelled(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Waits until it is taken back.
    pub async fn cancelled(&self) {
        // Made before the look: it hears of everything that comes after.
        let told = self.0.1.notified();
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
    pub fn cancel(&self, session: [u8; 16], id: &[u8]) -> bool {
        let found = self.running.get(&(session, Bytes::copy_from_slice(id)));
        if let Some(token) = &found {
            token.cancel();
        }
        found.is_some()
    }

    /// Cancels all that run.
    pub(crate) fn cancel_all(&self) {
        self.running.iter().for_each(|token| token.cancel());
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
        assert!(calls.cancel([1; 16], b"1") && !calls.cancel([3; 16], b"1"));
        assert!(mine.token.is_cancelled() && !other.token.is_cancelled());
        drop((mine, other));
        assert!(calls.is_empty());
    }
}
