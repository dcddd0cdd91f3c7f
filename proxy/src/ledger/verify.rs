//! Whether chains are whole: every record's hash, every number, every checkpoint, in the store or in a file of lines. Says which
//! record is the first that is wrong; what comes after it says nothing any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
};

use anyhow::Context;
use patchbay_core::TenantId;
use patchbay_core::audit::{ChainFault, ChainId, Chained, Checkpoint, CheckpointReason, Link, Verifier};
use patchbay_store::{AuditHead, AuditRow, Store};

use super::lines::{LINE_BYTES_MAX, Line, LineKind};
use crate::audit::is_signed_by_any;

/// The most chains and checkpoints that a file may hold.
const FILE_CHECKPOINTS_MAX: usize = 1_000_000;
/// Rows that are read of a chain at once.
const PAGE_ROWS: u32 = 2_000;

/// What was found of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The chain.
    pub chain: ChainId,
    /// The record before the first that was looked at.
    pub begin: u64,
    /// Whether what came before it was removed because of its age, by the gateway's signed word.
    pub is_anchored: bool,
    /// Records that were looked at.
    pub records: u64,
    /// The last of them.
    pub last: u64,
    /// Signed checkpoints that were held against it.
    pub checkpoints: usize,
    /// The last record that a signed checkpoint covers: what came after it could be cut off unseen.
    pub covered: u64,
    /// What is wrong.
    pub fault: Option<Fault>,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// With the chain.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// A checkpoint is not the gateway's.
    #[error("the checkpoint at record {seq} is not signed by a key that was given")]
    Forged {
        /// Where.
        seq: u64,
    },
    /// What records are found by is not what they say.
    #[error("record {seq} is found under another actor, server, name or outcome than it has")]
    Facets {
        /// Which.
        seq: u64,
    },
    /// The store does not say where the chain ends.
    #[error("the store has no head for the chain any more, so nobody can say where it ended")]
    Headless,
    /// The head has another hash than its record.
    #[error("the chain's head has another hash than record {seq}")]
    Head {
        /// Which.
        seq: u64,
    },
    /// There is no record at all, and there were some.
    #[error("the chain ends at record {last}, and its head is at {head}")]
    Short {
        /// The last that is there.
        last: u64,
        /// The last that the store says there is.
        head: u64,
    },
}

/// Verifies the chains of a store. `tenant` as in [`patchbay_store::AuditLog::audit_heads`]; `publics` are the keys of
/// the checkpoints, any of which may have signed one; `elsewhere` are checkpoints that were kept in another place, and count when they are signed.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn store(
    store: &dyn Store,
    tenant: Option<Option<TenantId>>,
    publics: &[[u8; 32]],
    elsewhere: &[Checkpoint],
) -> anyhow::Result<Vec<Verdict>> {
    // Before the heads: a chain that begins meanwhile has both or none.
    let known = store.audit_chains(tenant).await?;
    let heads: BTreeMap<ChainId, AuditHead> =
        store.audit_heads(None, tenant).await?.into_iter().map(|head| (head.chain, head)).collect();
    let wanted = |chain: &ChainId| tenant.is_none_or(|tenant| chain.tenant == tenant);
    let named = elsewhere.iter().map(|checkpoint| checkpoint.chain).filter(wanted);
    let chains: BTreeSet<ChainId> = heads.keys().copied().chain(named).chain(known).collect();
    let mut verdicts = Vec::with_capacity(chains.len());
    for chain in chains {
        let elsewhere: Vec<_> = elsewhere.iter().filter(|other| other.chain == chain).collect();
        verdicts.push(chain_of(store, chain, heads.get(&chain), &elsewhere, publics).await?);
    }
    Ok(verdicts)
}

async fn chain_of(
    store: &dyn Store,
    chain: ChainId,
    head: Option<&AuditHead>,
    elsewhere: &[&Checkpoint],
    publics: &[[u8; 32]],
) -> anyhow::Result<Verdict> {
    let mut checkpoints = super::checkpoints(store, chain, 0).await?;
    loop {
        let own = checkpoints.len();
        checkpoints.extend(elsewhere.iter().copied().cloned());
        let mut check = Check::begin(chain, None, &checkpoints, publics);
        check.head = head.map(|head| head.last);
        check.rows(store, u64::MAX).await?;
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
            return Ok(verdict);
        }
        // The beginning may have been removed by its age while it was read; then there is a later anchor now.
        let anchor = |all: &[Checkpoint]| all.iter().filter_map(retained).map(|link| link.seq).max();
        let now = super::checkpoints(store, chain, 0).await?;
        if anchor(&now) <= anchor(&checkpoints[..own]) {
            return Ok(verdict);
        }
        checkpoints = now;
    }
}

/// What is wrong with a chain up to this place, before the gateway signs that what came until there was removed: whoever wrote
/// into the store could else have it sign that records of today were old ones.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn until(
    store: &dyn Store,
    chain: ChainId,
    place: Link,
    publics: &[[u8; 32]],
) -> anyhow::Result<Option<Fault>> {
    let mut checkpoints = super::checkpoints(store, chain, 0).await?;
    checkpoints.retain(|checkpoint| is_signed_by_any(checkpoint, publics));
    if checkpoints.iter().filter_map(retained).any(|anchor| anchor.seq >= place.seq) {
        return Ok(None);
    }
    checkpoints.retain(|checkpoint| checkpoint.link.seq <= place.seq);
    let mut check = Check::begin(chain, None, &checkpoints, publics);
    check.head = Some(place);
    check.rows(store, place.seq).await?;
    let Verdict { last, fault, .. } = check.end();
    Ok(fault.or((last != place.seq).then_some(Fault::Short { last, head: place.seq })))
}

/// The place up to which a checkpoint says that the chain was removed.
fn retained(checkpoint: &Checkpoint) -> Option<Link> {
    Some(checkpoint).filter(|checkpoint| checkpoint.reason == CheckpointReason::Retention).map(|anchor| anchor.link)
}

/// Verifies a file of lines; it is read twice. Without any public key, signatures are not looked at and checkpoints do not count.
///
/// # Errors
/// When the file cannot be read, or has lines of another kind.
pub(crate) fn file(path: &std::path::Path, publics: &[[u8; 32]]) -> anyhow::Result<Vec<Verdict>> {
    let mut begins = BTreeMap::new();
    let mut checkpoints: BTreeMap<ChainId, Vec<Checkpoint>> = BTreeMap::new();
    let mut count = 0;
    each_line(path, |line| {
        match line.kind {
            LineKind::Record => return Ok(()),
            LineKind::Begin => drop(begins.entry(line.chain()?).or_insert(line.link()?)),
            LineKind::Checkpoint => checkpoints.entry(line.chain()?).or_default().push(line.as_checkpoint()?),
        }
        count += 1;
        anyhow::ensure!(
            count <= FILE_CHECKPOINTS_MAX,
            "there are more than {FILE_CHECKPOINTS_MAX} chains and checkpoints: verify parts of it"
        );
        Ok(())
    })?;
    let mut checks: BTreeMap<ChainId, Check> = BTreeMap::new();
    let begin = |chain: ChainId| {
        let own = checkpoints.get(&chain).map_or(&[][..], |own| own).iter();
        let own: Vec<_> = own.filter(|_| !publics.is_empty()).cloned().collect();
        Check::begin(chain, begins.get(&chain).copied(), &own, publics)
    };
    for chain in begins.keys().chain(checkpoints.keys()) {
        checks.entry(*chain).or_insert_with(|| begin(*chain));
    }
    each_line(path, |line| {
        if line.kind == LineKind::Record {
            let chain = line.chain()?;
            checks.entry(chain).or_insert_with(|| begin(chain)).record(&line.chained()?);
        }
        Ok(())
    })?;
    Ok(checks.into_values().map(Check::end).collect())
}

/// The checkpoints of a file of lines.
///
/// # Errors
/// When the file cannot be read, or has lines of another kind.
pub(crate) fn checkpoints_of(path: &std::path::Path) -> anyhow::Result<Vec<Checkpoint>> {
    let mut found = Vec::new();
    each_line(path, |line| {
        if line.kind == LineKind::Checkpoint {
            found.push(line.as_checkpoint()?);
            anyhow::ensure!(
                found.len() <= FILE_CHECKPOINTS_MAX,
                "there are more than {FILE_CHECKPOINTS_MAX} checkpoints"
            );
        }
        Ok(())
    })?;
    Ok(found)
}

fn each_line(path: &std::path::Path, mut take: impl FnMut(&Line<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut reader = std::io::BufReader::new(file);
    let (mut text, mut number) = (String::new(), 0u64);
    loop {
        number += 1;
        text.clear();
        let read = std::io::Read::take(&mut reader, LINE_BYTES_MAX as u64 + 1).read_line(&mut text);
        let read = read.with_context(|| format!("line {number} of {} is no text", path.display()))?;
        if read == 0 {
            return Ok(());
        }
        anyhow::ensure!(read <= LINE_BYTES_MAX, "line {number} of {} is longer than any of an export", path.display());
        if text.trim().is_empty() {
            continue;
        }
        let line = Line::read(text.trim_end());
        line.map_err(anyhow::Error::from)
            .and_then(|line| take(&line))
            .with_context(|| format!("line {number} of {}", path.display()))?;
    }
}

/// The check of one chain on its way.
struct Check {
    verifier: Option<Verifier>,
    /// A place that one of the records has to have.
    head: Option<Link>,
    verdict: Verdict,
}

impl Check {
    /// Begins at the last signed retention checkpoint, or at `begin` where a file says so, whichever comes later.
    fn begin(chain: ChainId, begin: Option<Link>, checkpoints: &[Checkpoint], publics: &[[u8; 32]]) -> Self {
        let forged = checkpoints.iter().find(|checkpoint| !is_signed_by_any(checkpoint, publics));
        let anchor = checkpoints.iter().filter_map(retained).max_by_key(|link| link.seq);
        let is_anchored = anchor.is_some_and(|anchor| begin.is_none_or(|begin| begin.seq <= anchor.seq));
        let start = if is_anchored { anchor } else { begin }.unwrap_or(Link::START);
        let mut heads: Vec<Link> = checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.reason == CheckpointReason::Head && checkpoint.link.seq > start.seq)
            .map(|checkpoint| checkpoint.link)
            .collect();
        heads.sort_unstable_by_key(|link| link.seq);
        let verdict = Verdict {
            chain,
            begin: start.seq,
            is_anchored,
            records: 0,
            last: start.seq,
            checkpoints: heads.len(),
            covered: heads.last().map_or(start.seq, |link| link.seq),
            fault: forged.map(|checkpoint| Fault::Forged { seq: checkpoint.link.seq }),
        };
        Self { verifier: Some(Verifier::new(chain, start, heads)), head: None, verdict }
    }

    /// Reads the chain from the store, up to this number.
    async fn rows(&mut self, store: &dyn Store, last: u64) -> anyhow::Result<()> {
        let mut at = self.verdict.begin;
        while self.verdict.fault.is_none() && at < last {
            let rows = store.audit_chain(self.verdict.chain, at, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { break };
            at = end.link.seq;
            rows.iter().take_while(|row| row.link.seq <= last).for_each(|row| self.row(row));
        }
        Ok(())
    }

    fn row(&mut self, row: &AuditRow) {
        let chained =
            Chained { link: row.link, event_id: row.event_id, at_ms: row.at_ms, kind: &row.kind, json: &row.json };
        self.record(&chained);
        if self.verdict.fault.is_none() && !row.is_found_as_said() {
            self.verdict.fault = Some(Fault::Facets { seq: row.link.seq });
        }
    }

    fn record(&mut self, record: &Chained<'_>) {
        // What lies before the anchor was to be removed, and may be there still.
        let is_old = self.verdict.is_anchored && record.link.seq <= self.verdict.begin;
        let (None, Some(verifier), false) = (&self.verdict.fault, &mut self.verifier, is_old) else { return };
        match verifier.record(record) {
            Ok(()) => {
                self.verdict.records += 1;
                self.verdict.last = record.link.seq;
                if self.head.is_some_and(|head| head.seq == record.link.seq && head != record.link) {
                    self.verdict.fault = Some(Fault::Head { seq: record.link.seq });
                }
            }
            Err(fault) => self.verdict.fault = Some(fault.into()),
        }
    }

    fn end(mut self) -> Verdict {
        if let (None, Some(verifier)) = (&self.verdict.fault, self.verifier.take())
            && let Err(fault) = verifier.end()
        {
            self.verdict.fault = Some(fault.into());
        }
        self.verdict
    }
}
