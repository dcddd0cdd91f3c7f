//! Whether chains are whole: every record's hash, every number, every checkpoint, in the store or in a file of lines. Says which
//! record is the first that is wrong; what comes after it says nothing any more.

mod chains;

use std::{collections::BTreeMap, io::BufRead, time::Instant};

use anyhow::Context;
use patchbay_core::audit::{ChainFault, ChainId, Chained, Checkpoint, CheckpointReason, Link, Verifier};
use patchbay_store::{AuditRow, Store};

#[cfg(test)]
pub(crate) use chains::store;
pub(crate) use chains::{Found, Place, part};

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
    check.rows(store, place.seq, None).await?;
    let Verdict { last, fault, .. } = check.end();
    Ok(fault.or((last != place.seq).then_some(Fault::Short { last, head: place.seq })))
}

/// The place up to which a checkpoint says that the chain was removed.
fn retained(checkpoint: &Checkpoint) -> Option<Link> {
    Some(checkpoint).filter(|checkpoint| checkpoint.reason == CheckpointReason::Retention).map(|anchor| anchor.link)
}

impl Fault {
    /// The record that it is about, or the first that is missing; `None` for the chain as a whole.
    pub(crate) const fn seq(&self) -> Option<u64> {
        match self {
            Self::Chain(
                ChainFault::Changed { seq } | ChainFault::Misplaced { seq } | ChainFault::Checkpoint { seq },
            )
            | Self::Forged { seq }
            | Self::Facets { seq }
            | Self::Head { seq } => Some(*seq),
            Self::Chain(ChainFault::Missing { first, .. }) => Some(*first),
            Self::Short { last, .. } => Some(last.saturating_add(1)),
            Self::Headless => None,
        }
    }
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

/// Of the checkpoints of a file of lines those that say all that the others do, as they stand there: of each chain the last one,
/// since the hash at its place covers everything before it, and the last by which older records were removed.
///
/// # Errors
/// When the file cannot be read, or has lines of another kind.
pub(crate) fn checkpoints_of(path: &std::path::Path) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut found: BTreeMap<(ChainId, bool), (u64, serde_json::Value)> = BTreeMap::new();
    each_line(path, |line| {
        if line.kind == LineKind::Checkpoint {
            let checkpoint = line.as_checkpoint()?;
            let seq = checkpoint.link.seq;
            let place = found.entry((checkpoint.chain, retained(&checkpoint).is_some()));
            let last = place.or_insert((seq, serde_json::Value::Null));
            if seq >= last.0 {
                *last = (seq, serde_json::to_value(line)?);
            }
            anyhow::ensure!(
                found.len() <= FILE_CHECKPOINTS_MAX,
                "there are checkpoints of more than {FILE_CHECKPOINTS_MAX} chains"
            );
        }
        Ok(())
    })?;
    Ok(found.into_values().map(|(_, line)| line).collect())
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
    /// The place of the last record that was good.
    at: Link,
    /// The numbers of the checkpoints' records, in their order.
    signed: Vec<u64>,
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
        let signed = heads.iter().map(|link| link.seq).collect();
        Self { verifier: Some(Verifier::new(chain, start, heads)), head: None, at: start, signed, verdict }
    }

    /// Reads the chain from the store, up to this number. `false` when its time was over before; some of it is read in any case.
    async fn rows(&mut self, store: &dyn Store, last: u64, until: Option<Instant>) -> anyhow::Result<bool> {
        let mut at = self.verdict.begin;
        while self.verdict.fault.is_none() && at < last {
            let rows = store.audit_chain(self.verdict.chain, at, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { break };
            at = end.link.seq;
            rows.iter().take_while(|row| row.link.seq <= last).for_each(|row| self.row(row));
            let is_late = until.is_some_and(|until| Instant::now() >= until);
            if is_late && rows.len() == PAGE_ROWS as usize && self.verdict.fault.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
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
                self.at = record.link;
                if self.head.is_some_and(|head| head.seq == record.link.seq && head != record.link) {
                    self.verdict.fault = Some(Fault::Head { seq: record.link.seq });
                }
            }
            Err(fault) => self.verdict.fault = Some(fault.into()),
        }
    }

    /// Stops before the end: what was found so far, and where to go on.
    fn stop(mut self) -> (Verdict, Link) {
        let passed = self.signed.partition_point(|seq| *seq <= self.at.seq);
        self.verdict.checkpoints = passed;
        self.verdict.covered = self.signed[..passed].last().copied().unwrap_or(self.verdict.begin);
        (self.verdict, self.at)
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
