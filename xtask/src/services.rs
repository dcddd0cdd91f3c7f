//! The private PostgreSQL and Redis of one test run, the programs that tests start themselves, and the variables that tell the
//! tests about them.

mod postgres;
mod prometheus;
mod redis;

use std::{ffi::OsString, fs, path::Path};

use anyhow::Result;

pub(crate) use self::postgres::Postgres;
use self::prometheus::Prometheus;
pub(crate) use self::redis::Redis;
use crate::workspace;

/// Variables for the processes that run tests.
pub(crate) type Environment = Vec<(&'static str, OsString)>;

/// The services; they stop when this is dropped.
pub(crate) struct Services {
    postgres: Postgres,
    redis: Redis,
    prometheus: Prometheus,
}

impl Services {
    /// Finds or installs all, and starts PostgreSQL and Redis on free ports with empty data.
    pub(crate) fn start() -> Result<Self> {
        let parent = workspace::target().join("e2e-services");
        let postgres = Postgres::start(&parent)?;
        let redis = Redis::start(&parent)?;
        let prometheus = Prometheus::find()?;
        println!("services: {} and {}", postgres.url(), redis.url());
        Ok(Self { postgres, redis, prometheus })
    }

    /// What the tests read.
    pub(crate) fn environment(&self) -> Environment {
        vec![
            ("PATCHBAY_TEST_POSTGRES_URL", self.postgres.url().into()),
            ("PATCHBAY_TEST_REDIS_URL", self.redis.url().into()),
            ("PATCHBAY_TEST_PROMETHEUS", self.prometheus.server.clone().into()),
            ("PATCHBAY_TEST_PROMTOOL", self.prometheus.promtool.clone().into()),
            ("PATCHBAY_TEST_REQUIRE_SERVICES", "1".into()),
        ]
    }
}

/// The end of a service's log, for an error message.
fn log_tail(file: &Path) -> String {
    process_tail(&fs::read(file).unwrap_or_default())
}

fn process_tail(log: &[u8]) -> String {
    crate::process::tail(&String::from_utf8_lossy(log)).to_owned()
}
