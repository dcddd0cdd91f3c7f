//! The chains of a store, one after the other: as many as there is time for, and then on from there. What is looked
//! at in a chain is the parent's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, Link},
};
use patchbay_store::{AuditHead, Store};

use super::{Check, Fault, Verdict, retained};
use crate::ledger::checkpoints;

/// Where a verification goes on: in this chain, after this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The chain.
    pub chain: ChainId,
    /// The last record of it that was found good; the start of the chain when it was not begun.
    pub after: Link,
}

/// What was found in the time that there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What was found, chain by chain. The last chain is not looked at to its end when `next` stands in it.
    pub verdicts: Vec<Verdict>,
    /// Where to go on; `None` when all is looked at.
    pub next: Option<Place>,
}

/// What checkpoints are held against chains.
#[derive(Debug, Clone, Copy)]
struct Trust<'a> {
    publics: &'a [[u8; 32]],
    elsewhere: &'a [Checkpoint],
}

/// All at once, as tests look at it.
#[cfg(test)]
pub(crate) async fn store(
    store: &dyn Store,
    tenant: Option<Option<TenantId>>,
    publics: &[[u8; 32]],
    elsewhere: &[Checkpoint],
) -> anyhow::Result<Vec<Verdict>> {
    Ok(some(store, tenant, Trust { publics, elsewhere }, None, None).await?.verdicts)
}

/// Verifies the chains of a store from this place on, for as long as there is time; a little is done in any case. `tenant` as in
/// [`patchbay_store::AuditLog::audit_heads`]; `publics` are the keys of the checkpoints, any of which may have signed one;
/// `elsewhere` are checkpoints that were kept in another place, and count when they are signed.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn part(
    store: &dyn Store,
    tenant: Option<Option<TenantId>>,
    publics: &[[u8; 32]],
    elsewhere: &[Checkpoint],
    from: Option<Place>,
    until: Instant,
) -> anyhow::Result<Found> {
    some(store, tenant, Trust { publics, elsewhere }, from, Some(until)).await
}

async fn some(
    store: &dyn Store,
    tenant: Option<Option<TenantId>>,
    trust: Trust<'_>,
    from: Option<Place>,
    until: Option<Instant>,
) -> anyhow::Result<Found> {
    // Before the heads: a chain that begins meanwhile has both or none.
    let known = store.audit_chains(tenant).await?;
    let heads: BTreeMap<ChainId, AuditHead> =
        store.audit_heads(None, tenant).await?.into_iter().map(|head| (head.chain, head)).collect();
    let wanted = |chain: &ChainId| tenant.is_none_or(|tenant| chain.tenant == tenant);
    let named = trust.elsewhere.iter().map(|checkpoint| checkpoint.chain).filter(wanted);
    let mut chains: BTreeSet<ChainId> = heads.keys().copied().chain(named).chain(known).collect();
    if let Some(from) = from {
        chains = chains.split_off(&from.chain);
    }
    let mut verdicts = Vec::with_capacity(chains.len());
    for chain in chains {
        if !verdicts.is_empty() && until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Found { verdicts, next: Some(Place { chain, after: Link::START }) });
        }
        let after = from.filter(|from| from.chain == chain && from.after.seq > 0).map(|from| from.after);
        let (verdict, rest) = chain_of(store, chain, heads.get(&chain), trust, after, until).await?;
        verdicts.push(verdict);
        if let Some(after) = rest {
            return Ok(Found { verdicts, next: Some(Place { chain, after }) });
        }
    }
    Ok(Found { verdicts, next: None })
}

/// What was found of a chain, and where to go on when its end was not reached.
async fn chain_of(
    store: &dyn Store,
    chain: ChainId,
    head: Option<&AuditHead>,
    trust: Trust<'_>,
    after: Option<Link>,
    until: Option<Instant>,
) -> anyhow::Result<(Verdict, Option<Link>)> {
    let mut all = checkpoints(store, chain, 0).await?;
    loop {
        let own = all.len();
        all.extend(trust.elsewhere.iter().filter(|other| other.chain == chain).cloned());
        let mut check = Check::begin(chain, after, &all, trust.publics);
        check.head = head.map(|head| head.last);
        if !check.rows(store, u64::MAX, until).await? {
            let (verdict, place) = check.stop();
            return Ok((verdict, Some(place)));
        }
        let mut verdict = check.end();
        if verdict.fault.is_none() {
            verdict.fault = match head {
                None => Some(Fault::Headless),
                Some(head) if head.last.seq > verdict.last => {
                    Some(Fault::Short { last: verdict.last, head: head.last.seq })
                }
                Some(_) => None,
            };
        }
        if verdict.fault.is_none() {
            return Ok((verdict, None));
        }
        // The beginning may have been removed by its age while it was read; then there is a later anchor now.
        let anchor = |all: &[Checkpoint]| all.iter().filter_map(retained).map(|link| link.seq).max();
        let now = checkpoints(store, chain, 0).await?;
        if anchor(&now) <= anchor(&all[..own]) {
            return Ok((verdict, None));
        }
        all = now;
    }
}
