//! `audit export`: whole chains, or what began within a span of time, as lines.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use patchbay_core::audit::{Action, ChainId, Checkpoint, CheckpointReason, Link};
use patchbay_store::{AuditHead, AuditRow, Store};

use super::{Span, Whose, note, output};
use crate::{
    cli::complain,
    ledger::{checkpoints, lines::Line},
};

/// Rows that are read at once.
const PAGE_ROWS: u32 = 2_000;

/// Write records as lines of JSON.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    span: Span,
    /// A new file for the lines. Without: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, store: &dyn Store) -> anyhow::Result<()> {
        let tenant = self.whose.tenant(store).await?;
        let mut heads = store.audit_heads(None, tenant).await?;
        heads.sort_unstable_by_key(|head| head.chain);
        let mut out = output(self.out.as_ref())?;
        let what = format!("exported {} chains of the audit", heads.len());
        note(store, tenant.flatten(), Action::AuditExport, &what).await?;
        let mut records = 0;
        for head in &heads {
            records += self.chain(store, head, &mut *out).await?;
        }
        out.flush().context("the lines could not be written")?;
        let unchained = store.audit_unchained(tenant.flatten()).await?;
        if unchained > 0 {
            complain(&format!(
                "{unchained} records from before there were chains are not exported: `audit query` shows them"
            ));
        }
        complain(&format!("{records} records of {} chains", heads.len()));
        Ok(())
    }

    /// Writes one chain up to where it was when the export began.
    async fn chain(&self, store: &dyn Store, head: &AuditHead, out: &mut dyn Write) -> anyhow::Result<u64> {
        let Some((first, last)) = self.part(store, head).await? else { return Ok(0) };
        let mut line = |line: &Line<'_>| writeln!(out, "{}", line.text()).context("the lines could not be written");
        // From the record before the first one on, whose hash is needed.
        let (mut after, mut before, mut written, mut records) = (first.saturating_sub(2), Link::START, None, 0);
        while after < last {
            let rows = store.audit_chain(head.chain, after, PAGE_ROWS).await?;
            let Some(end) = rows.last() else { break };
            after = end.link.seq;
            for row in rows.iter().take_while(|row| row.link.seq <= last) {
                if row.link.seq >= first {
                    if written.is_none() {
                        line(&Line::begin(head.chain, &self.begin(store, head.chain, before, row).await?))?;
                    }
                    line(&Line::record(row)?)?;
                    written = Some(row.link.seq);
                    records += 1;
                }
                before = row.link;
            }
        }
        if let Some(end) = written {
            // What was signed behind the end says that records are missing, and they are: on purpose.
            let says = |checkpoint: &Checkpoint| {
                checkpoint.link.seq <= end || checkpoint.reason == CheckpointReason::Retention
            };
            for checkpoint in checkpoints(store, head.chain, 0).await?.iter().filter(|checkpoint| says(checkpoint)) {
                line(&Line::checkpoint(checkpoint))?;
            }
        }
        Ok(records)
    }

    /// The first and the last record to write; `None` when none began within the span. Records stand in the order in which they
    /// ended, so what stands between the two comes along.
    async fn part(&self, store: &dyn Store, head: &AuditHead) -> anyhow::Result<Option<(u64, u64)>> {
        let end = head.last.seq;
        if self.span.since.is_none() && self.span.until.is_none() {
            return Ok(Some((0, end)));
        }
        let (mut after, mut part) = (0, None);
        while after < end {
            let rows = store.audit_chain(head.chain, after, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { break };
            after = last.link.seq;
            for row in rows.iter().filter(|row| row.link.seq <= end && self.is_wanted(row)) {
                let first = part.map_or(row.link.seq, |(first, _)| first);
                if self.span.until.is_none() {
                    return Ok(Some((first, end)));
                }
                part = Some((first, row.link.seq));
            }
        }
        Ok(part)
    }

    fn is_wanted(&self, row: &AuditRow) -> bool {
        let Span { since, until } = &self.span;
        since.is_none_or(|since| row.at_ms >= since.0) && until.is_none_or(|until| row.at_ms < until.0)
    }

    /// The place before the first record that is written. Where the records before it are not kept, a retention checkpoint
    /// knows it.
    async fn begin(&self, store: &dyn Store, chain: ChainId, before: Link, row: &AuditRow) -> anyhow::Result<Link> {
        if before.seq + 1 == row.link.seq {
            return Ok(before);
        }
        let known = checkpoints(store, chain, 0).await?.into_iter().map(|checkpoint| checkpoint.link);
        Ok(known.rev().find(|link| link.seq + 1 == row.link.seq).unwrap_or(before))
    }
}

#[cfg(test)]
mod tests {
    use patchbay_core::audit::{EventId, Facets, WriterId};

    use super::{
        super::{Moment, Span, Whose},
        *,
    };
    use crate::{
        audit::Signer,
        ledger::verify::{self, Verdict},
    };

    const CHAIN: ChainId = ChainId { tenant: None, writer: WriterId(7) };

    /// A store with one chain of records that began at these times, signed at its end.
    async fn store(signer: &Signer, times: &[i64]) -> std::sync::Arc<dyn Store> {
        let vault = patchbay_store::Vault::new(1, [7; 32]);
        let store = patchbay_store::open("sqlite::memory:", vault, Default::default()).await.unwrap();
        let mut at = Link::START;
        let rows: Vec<_> = times
            .iter()
            .zip(1..)
            .map(|(&at_ms, count)| {
                let (event_id, json) = (EventId::compose(at_ms, count, 1).bits(), "{}".to_owned());
                at = at.next(CHAIN, event_id, at_ms, "list", &json);
                let (kind, facets) = ("list".to_owned(), Facets::default());
                AuditRow { event_id, chain: CHAIN, link: at, at_ms, kind, facets, json }
            })
            .collect();
        store.audit_append(&rows).await.unwrap();
        let reason = CheckpointReason::Head;
        let mut checkpoint = Checkpoint { chain: CHAIN, link: at, reason, at_ms: 0, signature: [0; 64] };
        signer.sign(&mut checkpoint);
        store.audit_checkpoint_put(&[checkpoint]).await.unwrap();
        store
    }

    async fn exported(signer: &Signer, times: &[i64], since: Option<i64>, until: Option<i64>) -> Option<Verdict> {
        let store = store(signer, times).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        let whose = Whose { tenant: None, tenant_id: None, no_tenant: false };
        let span = Span { since: since.map(Moment), until: until.map(Moment) };
        let export = Export { whose, span, out: None };
        let head = store.audit_heads(None, None).await.unwrap().remove(0);
        export.chain(&*store, &head, &mut file.as_file()).await.unwrap();
        verify::file(file.path(), signer.publics()).unwrap().pop()
    }

    #[tokio::test]
    async fn a_span_has_all_that_began_within_it_and_its_file_is_good() {
        let signer = Signer::new([3; 32]).unwrap();
        // The sixth began before the fourth and the fifth, and ended after them.
        let times = [10, 20, 30, 60, 70, 40, 80];
        for (since, until, begin, last) in [
            (None, None, 0, 7),
            (Some(20), None, 1, 7),
            (None, Some(50), 0, 6),
            (Some(20), Some(50), 1, 6),
            (Some(30), Some(40), 2, 3),
        ] {
            let verdict = exported(&signer, &times, since, until).await.unwrap();
            assert_eq!((verdict.fault, verdict.begin, verdict.last), (None, begin, last), "{since:?} {until:?}");
        }
        assert_eq!(exported(&signer, &times, Some(42), Some(50)).await, None, "nothing began then");
    }
}
