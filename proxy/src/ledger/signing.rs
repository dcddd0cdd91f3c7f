//! Signs how far chains have come that nobody signs for: those of the command line, which ends before it could, and those of
//! gateways that are gone and did not get to it. A chain is read again before, so that only what is whole is signed. One replica
//! does it at a time; chains of gateways that run are signed by these.

use std::{collections::HashMap, sync::Arc, time::Duration};

use patchbay_core::audit::{ChainId, Checkpoint, CheckpointReason, Link, WriterId};
use patchbay_store::Store;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::verify;
use crate::{
    app::App,
    audit::{Signer, is_signed_by_any, now_ms},
};

/// How often it is looked for such chains. One that has not grown since is signed: whoever writes it had the time to.
const EVERY: Duration = Duration::from_secs(120);
/// For how long a replica takes the work.
const LEASE: Duration = Duration::from_secs(300);

/// Where chains were when they were looked at last, and whether nothing is to be done about that.
pub(super) type Seen = HashMap<ChainId, (Link, bool)>;

/// Signs until `stop`.
pub(super) async fn run(app: &Arc<App>, stop: &CancellationToken) {
    let holder = u64::from_ne_bytes(patchbay_core::random_bytes()) & i64::MAX as u64;
    let mut seen = Seen::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let signed = tokio::select! {
            () = stop.cancelled() => return,
            signed = round(app, holder, &mut seen) => signed,
        };
        if let Err(error) = signed {
            warn!(%error, "the audit's chains that no gateway writes could not be signed; trying again");
        }
    }
}

async fn round(app: &App, holder: u64, seen: &mut Seen) -> anyhow::Result<()> {
    let now_ms = now_ms();
    if app.store.audit_lease("signing", holder, now_ms, now_ms + LEASE.as_millis() as i64).await? {
        sign(&*app.store, &app.signer, seen).await?;
    }
    Ok(())
}

/// Signs the ends of chains that are not signed, are whole, and do not grow by a gateway's hand.
pub(super) async fn sign(store: &dyn Store, signer: &Signer, seen: &mut Seen) -> anyhow::Result<()> {
    let heads = store.audit_heads(None, None).await?;
    let before = std::mem::replace(seen, Seen::with_capacity(heads.len()));
    for head in heads {
        let (chain, last) = (head.chain, head.last);
        let known = before.get(&chain).filter(|(link, _)| *link == last);
        let is_due = known.is_some() || chain.writer == WriterId::OPERATOR;
        let is_done = known.is_some_and(|(_, done)| *done);
        if is_due && !is_done {
            one(store, signer, chain, last).await?;
        }
        seen.insert(chain, (last, is_due));
    }
    Ok(())
}

async fn one(store: &dyn Store, signer: &Signer, chain: ChainId, last: Link) -> anyhow::Result<()> {
    let there = store.audit_checkpoint_list(chain, last.seq.saturating_sub(1)).await?;
    if there.iter().any(|checkpoint| checkpoint.link == last && is_signed_by_any(checkpoint, signer.publics())) {
        return Ok(());
    }
    if let Some(fault) = verify::until(store, chain, last, signer.publics()).await? {
        let tenant = chain.tenant.map_or_else(|| "none".to_owned(), |tenant| tenant.to_string());
        let writer = format!("{:016x}", chain.writer.0);
        warn!(tenant, writer, %fault, "a chain of the audit is not what was written: see `patchbay audit verify`");
        return Ok(());
    }
    let (reason, at_ms) = (CheckpointReason::Head, now_ms());
    let mut checkpoint = Checkpoint { chain, link: last, reason, at_ms, signature: [0; 64] };
    signer.sign(&mut checkpoint);
    Ok(store.audit_checkpoint_put(&[checkpoint]).await?)
}
