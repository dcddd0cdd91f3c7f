//! What admins may know of a server besides its connection, and how they have it asked for its lists now. Written by its refresher
//! and its tenant's task, read by the admin API; no request of a client comes by.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchbay_core::{model::ServerRow, snapshot::ServerKind};
use patchbay_downstream::{Mask, catalog::RawCatalog};
use secrecy::ExposeSecret;
use tokio::sync::{mpsc, oneshot};

use super::stored::Stored;

/// Admins who wait for one server to be asked.
const ASKED_MAX: usize = 16;
/// What a reading is remembered to have said, in lines.
const SAID_MAX: usize = 50;

/// Where the answer to one admin goes.
pub(crate) type Asked = oneshot::Sender<Refreshed>;

/// What came of asking a server for its lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// Whether a client would see a difference.
    pub(crate) changed: bool,
    /// Why it could not be asked, for operators.
    pub(crate) error: Option<String>,
}

/// See the module.
pub(crate) struct ServerInside {
    /// How it is reached.
    pub(crate) kind: ServerKind,
    /// Takes its secrets out of texts.
    mask: Mask,
    bell: mpsc::Sender<Asked>,
    state: Mutex<Known>,
}

/// What is known of it now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// What it offered when it was last heard.
    pub(crate) part: Option<Arc<Stored>>,
    /// How often in a row it could not be asked.
    pub(crate) failures: u32,
    /// The last time that it could not be asked.
    pub(crate) last_failure: Option<Failure>,
    /// When it is asked for its lists again.
    pub(crate) next_ms: Option<i64>,
    /// What the last good reading said of the lists: bounds that were met, lists that could not be read.
    pub(crate) said: Vec<String>,
}

/// That a server could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Why, for operators.
    pub(crate) why: String,
}

/// Nobody can be asked: the server is being let go, or too many ask already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAsked {
    /// Its refresher has ended.
    Gone,
    /// Others wait for it.
    Busy,
}

impl ServerInside {
    /// Of this server, and where its refresher hears of admins who ask.
    pub(crate) fn new(row: &ServerRow, part: Option<Arc<Stored>>) -> (Arc<Self>, mpsc::Receiver<Asked>) {
        let (bell, rung) = mpsc::channel(ASKED_MAX);
        let kind = ServerKind::of(&row.spec.transport);
        let mask = Mask::of(row.secrets.0.values().map(ExposeSecret::expose_secret));
        let state = Mutex::new(Known { part, ..Known::default() });
        (Arc::new(Self { kind, mask, bell, state }), rung)
    }

    /// A text for admins: without the server's secrets.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.mask.over(text).into_owned()
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Known {
        self.state().clone()
    }

    /// Has the server asked for its lists now; the answer comes when what it said is in force.
    pub(crate) fn ask(&self) -> Result<oneshot::Receiver<Refreshed>, NotAsked> {
        let (told, answer) = oneshot::channel();
        self.bell.try_send(told).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotAsked::Busy,
            mpsc::error::TrySendError::Closed(_) => NotAsked::Gone,
        })?;
        Ok(answer)
    }

    /// Notes what is in force of it.
    pub(super) fn offers(&self, part: Option<Arc<Stored>>) {
        self.state().part = part;
    }

    /// Notes when it is asked again.
    pub(super) fn asked_again(&self, at_ms: i64) {
        self.state().next_ms = Some(at_ms);
    }

    /// Notes that it was heard.
    pub(super) fn heard(&self, raw: &RawCatalog) {
        let failed = raw.failed.iter().map(|failed| format!("{}: {}", failed.list.method(), failed.why));
        let said = raw.warnings.iter().cloned().chain(failed).take(SAID_MAX);
        let said = said.map(|text| self.masked(&text)).collect();
        let mut state = self.state();
        state.failures = 0;
        state.said = said;
    }

    /// Notes that it could not be asked.
    pub(super) fn failed(&self, at_ms: i64, why: &str) {
        let failure = Failure { at_ms, why: self.masked(why) };
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.last_failure = Some(failure);
    }

    fn state(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
