//! A transaction of ours on a leased connection: the fence around whatever runs there. It is begun together with the first
//! statement's preparation, in one round trip, and never ended by itself: making the connection clean rolls it back.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use tokio_postgres::{Client, Error, Statement};

use super::{
    clock::Clock,
    error::{self, Statement as Said},
    layers::Layers,
    pool::{Lease, Pool},
};
use crate::db::error::QueryError;

/// What the database's own time-out has more than the call: it is for the case that nobody is left to cancel.
const STATEMENT_SLACK: Duration = Duration::from_millis(500);
const WORDS: &str = "SET LOCAL search_path = pg_catalog; SET LOCAL standard_conforming_strings = on; \
    SET LOCAL lock_timeout = 1000; SET LOCAL idle_in_transaction_session_timeout = 5000; SET LOCAL work_mem = '16MB'; \
    SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Only read.
    Read,
    /// Add rows too; nothing stays without [`Session::commit`].
    Write,
}

/// How the sessions of a source begin.
#[derive(Debug)]
pub(crate) struct Beginning {
    read: String,
    write: String,
    count: bool,
}

/// The longest that a statement may take by the database's own clock.
pub(crate) fn statement_max(timeout: Duration) -> Duration {
    timeout + STATEMENT_SLACK
}

impl Beginning {
    /// For calls of at most `timeout`.
    pub(crate) fn new(timeout: Duration, layers: &Layers) -> Self {
        let millis = if layers.statement_timeout() { statement_max(timeout).as_millis() } else { 0 };
        let words = format!("{WORDS}; SET LOCAL statement_timeout = {millis}");
        let read = if layers.read_only() { "BEGIN READ ONLY" } else { "BEGIN READ WRITE" };
        Self { read: format!("{read}; {words}"), write: format!("BEGIN READ WRITE; {words}"), count: layers.count() }
    }

    fn text(&self, mode: Mode, watched: bool) -> String {
        let text = if mode == Mode::Read { &self.read } else { &self.write };
        // So that a statement ends also when this process does not live to cancel it.
        let watch = if watched { "; SET LOCAL client_connection_check_interval = 1000" } else { "" };
        format!("{text}{watch}")
    }
}

/// An open transaction.
pub(crate) struct Session {
    lease: Lease,
    bytes_max: usize,
}

impl Session {
    /// Begins one that may bring `bytes_max`, and prepares `sql` in it. A connection that died while it was idle is replaced
    /// once: nothing had run on it.
    pub(crate) async fn begin(
        pool: &Arc<Pool>,
        clock: &Clock,
        (beginning, mode): (&Beginning, Mode),
        bytes_max: usize,
        sql: Option<&str>,
    ) -> Result<(Self, Option<Result<Statement, Error>>), QueryError> {
        let bytes_max = if beginning.count { bytes_max } else { usize::MAX };
        let mut fresh = false;
        loop {
            let lease = pool.lease(clock, bytes_max, fresh).await?;
            let connection = lease.connection();
            let text = beginning.text(mode, connection.watches_us());
            let prepared = async {
                match sql {
                    Some(sql) => Some(connection.client().prepare(sql).await),
                    None => None,
                }
            };
            let (begun, prepared) = join(connection.client().batch_execute(&text), prepared).await;
            match begun {
                Ok(()) => return Ok((Self { lease, bytes_max }, prepared)),
                Err(error) if !lease.is_fresh() && is_lost(&error) => fresh = true,
                Err(error) => return Err(error::of(&error, None)),
            }
        }
    }

    /// The driver's handle.
    pub(crate) fn client(&self) -> &Client {
        self.lease.connection().client()
    }

    /// What an error of the driver is for the caller.
    pub(crate) fn error(&self, error: &Error, said: Option<Said<'_>>) -> QueryError {
        match self.lease.connection().count().exceeded() {
            true => QueryError::TooLarge(self.bytes_max),
            false => error::of(error, said),
        }
    }

    /// Makes what was written stay.
    pub(crate) async fn commit(&self) -> Result<(), QueryError> {
        self.client().batch_execute("COMMIT").await.map_err(|error| self.error(&error, None))
    }

    /// All is said; the connection is made clean and kept.
    pub(crate) fn done(self) {
        self.lease.done();
    }
}

/// Whether the connection is gone, and not the statement wrong. A server that is told to stop says so before it goes.
fn is_lost(error: &Error) -> bool {
    error.as_db_error().is_none_or(|told| told.code().code().starts_with("57P"))
}
