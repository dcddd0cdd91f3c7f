//! Calls that were taken back at one replica and run at another: the replica that was told and does not know the call tells all.
//! It goes through the store, beside the requests and in small bundles; what finds no place is lost, as a late note would be.

use std::{sync::Arc, time::Duration};

use patchbay_store::{CANCEL_ID_BYTES_MAX, Cancelled};
use tokio::sync::{Mutex, broadcast::error::RecvError, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::app::App;

/// Notes that wait until the store has been told.
const WAITING_MAX: usize = 1024;
/// Notes that the store is told at once.
const BUNDLE_MAX: usize = 64;
/// Between two of them, so that no flood of notes becomes one of the store.
const PAUSE: Duration = Duration::from_millis(20);

/// What this replica has to tell the others.
#[derive(Debug)]
pub(crate) struct Cancels {
    sender: mpsc::Sender<Cancelled>,
    inbox: Mutex<mpsc::Receiver<Cancelled>>,
}

impl Default for Cancels {
    fn default() -> Self {
        let (sender, inbox) = mpsc::channel(WAITING_MAX);
        Self { sender, inbox: Mutex::new(inbox) }
    }
}

impl Cancels {
    /// Notes that the call with this id of this session was taken back. Never waits.
    pub(crate) fn tell(&self, session: [u8; 16], id: &[u8]) {
        if id.len() <= CANCEL_ID_BYTES_MAX {
            let _ = self.sender.try_send(Cancelled { session, id: id.to_vec() });
        }
    }
}

/// Tells the other replicas, and hears what they tell, until `stop`.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tell(&app) => {}
        () = hear(&app) => {}
    }
}

async fn tell(app: &App) {
    let mut inbox = app.replica.cancels.inbox.lock().await;
    let mut bundle = Vec::with_capacity(BUNDLE_MAX);
    while inbox.recv_many(&mut bundle, BUNDLE_MAX).await > 0 {
        if let Err(error) = app.store.cancel_tell(&bundle).await {
            debug!(%error, "calls that were taken back could not be told to the other replicas");
        }
        bundle.clear();
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear(app: &App) {
    let mut told = app.store.cancels();
    loop {
        match told.recv().await {
            Ok(Cancelled { session, id }) => {
                app.calls.cancel(session, &id, None);
            }
            // Those are lost, and their calls go on.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
