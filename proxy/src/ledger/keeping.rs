//! How long the audit is kept, and what its tables need for the days to come: looked after once an hour, by one replica at a
//! time. Also what `patchbay audit retain` does by hand.

use std::{sync::Arc, time::Duration};

use patchbay_core::audit::{Checkpoint, CheckpointReason};
use patchbay_store::Store;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::App,
    audit::{Signer, now_ms},
};

/// How often it is looked after.
const EVERY: Duration = Duration::from_secs(3600);
/// The pause after it did not work.
const RETRY: Duration = Duration::from_secs(60);
/// For how long a replica takes the work.
const LEASE: Duration = Duration::from_secs(600);
/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 24 * 3600 * 1000;

/// Looks after the audit until `stop`.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) {
    let holder = u64::from_ne_bytes(patchbay_core::random_bytes()) & i64::MAX as u64;
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = round(&app, holder) => done,
        };
        let pause = match done {
            Ok(()) => EVERY,
            Err(error) => {
                warn!(%error, "the tables of the audit could not be looked after; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn round(app: &App, holder: u64) -> anyhow::Result<()> {
    let now_ms = now_ms();
    app.store.audit_prepare(now_ms).await?;
    let Some(days) = app.config.audit.retention_days else { return Ok(()) };
    if !app.store.audit_lease("retention", holder, now_ms, now_ms + LEASE.as_millis() as i64).await? {
        return Ok(());
    }
    let removed = retain(&*app.store, &app.signer, now_ms - i64::from(days) * DAY_MS, now_ms).await?;
    if removed > 0 {
        info!(removed, days, "audit records older than {days} days were removed");
        app.audit.own_event(patchbay_core::audit::Action::AuditRetention, &format!("{removed} records older than {days} days were removed"));
    }
    Ok(())
}

/// Removes what began before this moment, and leaves the gateway's signed word for where each chain begins now.
///
/// # Errors
/// When the store does not do it; nothing is removed then.
pub(crate) async fn retain(store: &dyn Store, signer: &Signer, before_ms: i64, now_ms: i64) -> anyhow::Result<u64> {
    let expired = store.audit_expired(before_ms).await?;
    if expired.is_empty() {
        return Ok(0);
    }
    let anchors: Vec<_> = expired
        .into_iter()
        .map(|(chain, link)| {
            let mut anchor = Checkpoint { chain, link, reason: CheckpointReason::Retention, at_ms: now_ms, signature: [0; 64] };
            signer.sign(&mut anchor);
            anchor
        })
        .collect();
    Ok(store.audit_retain(before_ms, &anchors).await?)
}
