//! The audit read back: what records there are ([`query`]), chains as lines in files ([`export`], [`lines`]), whether chains are
//! whole ([`verify`]), their way to other places ([`ship`]), how long they are kept ([`keeping`]), and who signs for chains that no
//! gateway writes ([`signing`]). Writing it is [`crate::audit`]'s; no request of a client comes here.

pub(crate) mod export;
pub(crate) mod keeping;
pub(crate) mod lines;
mod otlp;
pub(crate) mod query;
pub(crate) mod ship;
mod signing;
pub(crate) mod span;
pub(crate) mod verify;
mod webhook;

use patchbay_core::audit::{ChainId, Checkpoint};
use patchbay_store::{Store, StoreError};

/// All checkpoints of a chain after this place.
pub(crate) async fn checkpoints(
    store: &dyn Store,
    chain: ChainId,
    after_seq: u64,
) -> Result<Vec<Checkpoint>, StoreError> {
    let (mut all, mut after) = (Vec::new(), after_seq);
    loop {
        let page = store.audit_checkpoint_list(chain, after).await?;
        let Some(last) = page.last().map(|checkpoint| checkpoint.link.seq).filter(|last| *last > after) else {
            return Ok(all);
        };
        all.extend(page);
        after = last;
    }
}

#[cfg(test)]
mod tests;
