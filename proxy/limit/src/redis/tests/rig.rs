//! A limiter on a server of the test's own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{super::*, server::Server};
use crate::conformance::Rig;

/// Long enough that a busy machine is not taken for a Redis that is away.
const PATIENT: Duration = Duration::from_secs(2);

pub(super) struct Shared {
    pub(super) limiter: Arc<RedisLimiter>,
    heard: Arc<Mutex<Vec<(Mode, &'static str)>>>,
    clock: Clock,
    prefix: String,
}

impl Shared {
    /// With counts of its own.
    pub(super) async fn start(server: &Server) -> Self {
        Self::impatient(server, PATIENT).await
    }

    /// The same, with this much patience for a round trip.
    pub(super) async fn impatient(server: &Server, timeout: Duration) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let shared = Self::begin(server, timeout, prefix);
        shared.settle().await;
        shared
    }

    /// Another replica.
    pub(super) async fn twin(&self, server: &Server) -> Self {
        let twin = Self::begin(server, self.limiter.inner.timeout, self.prefix.clone());
        twin.settle().await;
        twin
    }

    /// Begins, and waits for nothing.
    pub(super) fn begin(server: &Server, timeout: Duration, prefix: String) -> Self {
        static REPLICA: AtomicU64 = AtomicU64::new(0);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        let options = RedisOptions {
            url: server.url().into(),
            timeout,
            prefix: prefix.clone(),
            replica: REPLICA.fetch_add(1, Ordering::Relaxed),
        };
        let watcher: Watcher = Arc::new(move |mode, why| ear.lock().unwrap().push((mode, why)));
        let limiter = RedisLimiter::start(options, MemoryLimiter::new(10_000), watcher).unwrap();
        Self { limiter, heard, clock: Clock::start(), prefix }
    }

    /// Until it counts together with others, on this thread's own lane.
    async fn settle(&self) {
        self.until(|stats| stats.mode == Mode::Shared).await;
        assert!(self.limiter.inner.lanes.here(&self.limiter.inner).is_some());
        self.until(|stats| stats.lanes == 1).await;
    }

    pub(super) fn stats(&self) -> RedisStats {
        self.limiter.stats()
    }

    pub(super) fn heard(&self) -> Vec<(Mode, &'static str)> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until something is so; tells after how long.
    pub(super) async fn until(&self, is_so: impl Fn(&RedisStats) -> bool) -> Duration {
        let started = Instant::now();
        while !is_so(&self.stats()) {
            assert!(started.elapsed() < Duration::from_secs(30), "waited in vain: {:?}", self.stats());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        started.elapsed()
    }
}

impl Rig for Shared {
    fn limiter(&self) -> &dyn Limiter {
        &*self.limiter
    }

    fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
