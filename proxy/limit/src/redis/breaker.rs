//! Whether Redis is asked at all: closed after a probe that succeeded, opened by failures in a row. Tells the watcher of each
//! change, once.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use ::redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::Notify;

use crate::{Mode, Watcher};

/// Failures in a row after which Redis is not asked any more, until a probe succeeds.
const FAILURES_MAX: u32 = 5;

/// See the module.
pub(super) struct Breaker {
    is_shared: AtomicBool,
    failures: AtomicU32,
    watcher: Watcher,
    /// What the watcher was told last; locked while it is told, so that it hears of changes in their order.
    told: Mutex<Option<Mode>>,
    /// Wakes the keeper.
    pub(super) opened: Notify,
}

impl Breaker {
    /// Open: nobody has answered yet.
    pub(super) fn new(watcher: Watcher) -> Self {
        Self {
            is_shared: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            watcher,
            told: Mutex::new(None),
            opened: Notify::new(),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Acquire)
    }

    /// Whether the last request was not answered, so that what is said now may not be heard.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.is_shared() || self.failures.load(Ordering::Relaxed) != 0
    }

    /// A request was answered.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request was not.
    pub(super) fn failed(&self, why: &'static str) {
        if self.is_shared() && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX {
            self.open(why);
        }
    }

    /// A probe was not answered, or failures came in a row.
    pub(super) fn open(&self, why: &'static str) {
        self.become_mode(Mode::Away, why);
        self.opened.notify_one();
    }

    /// A probe succeeded.
    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.become_mode(Mode::Shared, "");
    }

    fn become_mode(&self, mode: Mode, why: &'static str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == Some(mode) {
            return;
        }
        let why = match (mode, *told) {
            (Mode::Shared, None) => "connected",
            (Mode::Shared, Some(_)) => "recovered",
            _ => why,
        };
        *told = Some(mode);
        self.is_shared.store(mode == Mode::Shared, Ordering::Release);
        (self.watcher)(mode, why);
    }
}

/// The word for a failure. Nothing of the error's text is kept: it may name hosts and users.
pub(super) fn reason(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "auth",
        ErrorKind::Server(ServerErrorKind::ReadOnly) => "read_only",
        ErrorKind::Server(ServerErrorKind::BusyLoading) => "loading",
        ErrorKind::Server(ServerErrorKind::MasterDown) => "master_down",
        ErrorKind::Server(ServerErrorKind::NoPerm) => "no_permission",
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ClusterDown) => "cluster",
        _ if error.is_connection_refusal() => "refused",
        _ if error.is_timeout() => "timeout",
        _ if error.is_io_error() => "broken",
        _ => by_code(error),
    }
}

fn by_code(error: &RedisError) -> &'static str {
    // Redis before 7 tells what stopped a script only in the text.
    let said = |word| error.code() == Some(word) || error.detail().is_some_and(|detail| detail.contains(word));
    let words = [
        ("OOM", "out_of_memory"),
        ("READONLY", "read_only"),
        ("NOAUTH", "auth"),
        ("WRONGPASS", "auth"),
        ("MISCONF", "disk"),
        ("NOREPLICAS", "no_replicas"),
        ("BUSY", "busy"),
    ];
    words.iter().find(|(code, _)| said(code)).map_or("error", |(_, word)| word)
}

#[cfg(test)]
mod tests;
