//! Changes of how limits are counted: the limiter says them from wherever it is and waits for nobody; a task beside the
//! requests writes them down. How it counts at this moment is asked of the limiter itself.

use std::sync::{Arc, Mutex, PoisonError};

use patchbay_core::audit::Action;
use patchbay_limit::{Mode, Watcher};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::app::App;

/// Changes that wait to be written down. There are two a second at the most, so more wait only while nothing is written; then
/// the newest are left out.
const CHANGES_MAX: usize = 64;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    mode: Mode,
    why: &'static str,
}

/// The changes that wait.
#[derive(Debug)]
pub struct ModeChanges {
    sender: mpsc::Sender<Change>,
    receiver: Mutex<Option<mpsc::Receiver<Change>>>,
}

impl Default for ModeChanges {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl ModeChanges {
    /// What tells of a change.
    pub fn watcher(&self) -> Watcher {
        let sender = self.sender.clone();
        Arc::new(move |mode, why| {
            if sender.try_send(Change { mode, why }).is_err() {
                warn!(mode = mode.as_str(), why, "a change of how limits are counted cannot be written down");
            }
        })
    }

    fn receiver(&self) -> Option<mpsc::Receiver<Change>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Writes changes down as they come. Ends only when it is dropped; there is one of it.
pub(crate) async fn follow(app: Arc<App>) {
    let Some(mut changes) = app.limits.modes.receiver() else { return };
    while let Some(Change { mode, why }) = changes.recv().await {
        note_mode_change(&app, mode, why);
    }
}

/// What becomes of a change: a line in the log and a record in the audit. The gauge is read from the limiter itself.
fn note_mode_change(app: &App, mode: Mode, why: &'static str) {
    app.audit.own_event(Action::LimitsMode, &format!("{}: {why}", mode.as_str()));
    match mode {
        Mode::Away => warn!(
            mode = mode.as_str(),
            why,
            "limits are not counted over all replicas now, since Redis does not answer: each falls back as it says"
        ),
        Mode::Shared | Mode::Memory => info!(mode = mode.as_str(), why, "limits are counted over all replicas"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_are_told_in_their_order_and_never_wait() {
        let changes = ModeChanges::default();
        let watcher = changes.watcher();
        watcher(Mode::Shared, "recovered");
        for _ in 0..2 * CHANGES_MAX {
            watcher(Mode::Away, "timeout");
        }
        let mut told = changes.receiver().unwrap();
        assert_eq!(told.recv().await, Some(Change { mode: Mode::Shared, why: "recovered" }));
        assert_eq!(told.len(), CHANGES_MAX - 1);
        assert!(changes.receiver().is_none(), "one reader");
    }
}
