//! The gate of a source: no caller's statement before the role's rights were looked at and found to be those of a reader, and
//! the tables that may be read, remembered for a while. When it is asked to look again is decided here; how it looks is in
//! `catalog` and `probe`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::catalog::{self, Finding, TableRules, Visible};
use crate::db::error::QueryError;

/// How long the tables are remembered.
const TABLES_MAX: Duration = Duration::from_secs(30);
/// How long they are remembered when somebody asks for one that is not among them.
const TABLES_MIN: Duration = Duration::from_secs(1);
/// How long the role's rights are believed to be as they were.
const PROBE_MAX: Duration = Duration::from_secs(300);
/// How long a closed gate stays closed before somebody looks again.
const CLOSED_MAX: Duration = Duration::from_secs(10);

/// The gate of one source.
#[derive(Debug)]
pub(crate) struct Gate {
    /// For the operator's log.
    name: String,
    rules: TableRules,
    accepted: BTreeSet<String>,
    looks: bool,
    known: Mutex<Known>,
    /// Held by whoever is looking.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    tables: Option<(Arc<Visible>, Instant)>,
    probed: Option<Instant>,
    closed: Option<(Instant, String)>,
}

impl Gate {
    /// Closed until somebody looked. A gate that never `looks` at rights exists in tests.
    pub(crate) fn new(name: String, rules: TableRules, accepted: BTreeSet<String>, looks: bool) -> Self {
        Self { name, rules, accepted, looks, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// What is known well enough; nothing when it is time to look. With `again`, only what is quite new.
    pub(crate) fn known(&self, again: bool) -> Option<Result<Arc<Visible>, QueryError>> {
        let known = self.state();
        if known.closed.as_ref().is_some_and(|(at, _)| at.elapsed() < CLOSED_MAX) {
            return Some(Err(QueryError::Closed));
        }
        let age_max = if again { TABLES_MIN } else { TABLES_MAX };
        let is_probed = !self.looks || known.probed.is_some_and(|at| at.elapsed() < PROBE_MAX);
        let tables = known.tables.as_ref().filter(|(_, at)| is_probed && at.elapsed() < age_max);
        tables.map(|(tables, _)| Ok(Arc::clone(tables)))
    }

    /// For one to look at a time.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Looks, in an open transaction: at the rights when it is time for that, then at the tables.
    pub(crate) async fn look(&self, client: &tokio_postgres::Client) -> Result<Arc<Visible>, QueryError> {
        let is_due = self.state().probed.is_none_or(|at| at.elapsed() >= PROBE_MAX);
        if self.looks && is_due {
            let findings = catalog::probe(client, &self.rules).await.map_err(|error| super::error::of(&error, None))?;
            self.weigh(findings)?;
        }
        let tables = catalog::load(client, &self.rules).await.map_err(|error| super::error::of(&error, None))?;
        if tables.truncated {
            tracing::warn!(source.name = %self.name, "source {} has more tables than are offered; name fewer under `tables`", self.name);
        }
        let tables = Arc::new(tables);
        self.state().tables = Some((Arc::clone(&tables), Instant::now()));
        Ok(tables)
    }

    fn weigh(&self, findings: Vec<Finding>) -> Result<(), QueryError> {
        let open: Vec<String> = catalog::unaccepted(findings, &self.accepted)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.name, finding.sentence))
            .collect();
        let mut known = self.state();
        if open.is_empty() {
            *known = Known { tables: known.tables.take(), probed: Some(Instant::now()), closed: None };
            return Ok(());
        }
        let text = open.join(" ");
        tracing::warn!(source.name = %self.name, "source {} stays closed, since its role may do more than reading: {text}", self.name);
        *known = Known { tables: None, probed: None, closed: Some((Instant::now(), text)) };
        Err(QueryError::Closed)
    }

    /// Why it is closed, in words for the operator.
    pub(crate) fn closed(&self) -> Option<String> {
        self.state().closed.as_ref().map(|(_, text)| text.clone())
    }

    /// Forgets what is known, so that the next one looks.
    pub(crate) fn forget(&self) {
        *self.state() = Known::default();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
