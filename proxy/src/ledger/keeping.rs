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
    ledger::{signing, verify},
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
    tokio::join!(keep(&app, &stop), signing::run(&app, &stop));
}

async fn keep(app: &App, stop: &CancellationToken) {
    let holder = u64::from_ne_bytes(patchbay_core::random_bytes()) & i64::MAX as u64;
    loop {
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = round(app, holder) => done,
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
    let Retained { removed, .. } = retain(&*app.store, &app.signer, now_ms - i64::from(days) * DAY_MS, now_ms).await?;
    if removed > 0 {
        info!(removed, days, "audit records older than {days} days were removed");
        app.audit.own_event(
            patchbay_core::audit::Action::AuditRetention,
            &format!("{removed} records older than {days} days were removed"),
        );
    }
    Ok(())
}

/// What a removal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retained {
    /// Records that were removed.
    pub removed: u64,
    /// Chains that were left alone, because they are not what was written.
    pub refused: usize,
}

/// Removes what began before this moment, and leaves the gateway's signed word for where each chain begins now. That word is
/// only given for what is whole up to there: chains that were tampered with stay as they are, for somebody to look at.
///
/// # Errors
/// When the store does not do it; nothing is removed then.
pub(crate) async fn retain(
    store: &dyn Store,
    signer: &Signer,
    before_ms: i64,
    now_ms: i64,
) -> anyhow::Result<Retained> {
    let (mut anchors, mut refused) = (Vec::new(), 0);
    for (chain, link) in store.audit_expired(before_ms).await? {
        if let Some(fault) = verify::until(store, chain, link, signer.publics()).await? {
            let tenant = chain.tenant.map_or_else(|| "none".to_owned(), |tenant| tenant.to_string());
            warn!(
                tenant,
                writer = format_args!("{:016x}", chain.writer.0),
                %fault,
                "a chain of the audit is not what was written, so its old records are not removed: see `patchbay audit verify`"
            );
            refused += 1;
            continue;
        }
        let mut anchor =
            Checkpoint { chain, link, reason: CheckpointReason::Retention, at_ms: now_ms, signature: [0; 64] };
        signer.sign(&mut anchor);
        anchors.push(anchor);
    }
    // Also when no chain loses any: there are rows in no chain, and empty days.
    Ok(Retained { removed: store.audit_retain(before_ms, &anchors).await?, refused })
}
