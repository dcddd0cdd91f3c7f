//! Whole chains, or what began within a span of time, as lines, some at a time: whoever wants more asks for more, so that an export
//! never holds more than a few rows. Its lines are [`super::lines`]'s; where they go is the command line's and the admin API's.

use std::collections::VecDeque;

use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, CheckpointReason, Link},
};
use patchbay_store::{AuditHead, AuditRow, Store, StoreError};

use super::{lines::Line, span::Span};

/// Rows that are read at once.
const PAGE_ROWS: u32 = 500;

/// An export on its way: each chain up to where it was when the export began.
#[derive(Debug)]
pub(crate) struct Export {
    span: Span,
    heads: VecDeque<AuditHead>,
    part: Option<Part>,
    chains: usize,
}

/// What is written of a chain.
#[derive(Debug)]
struct Part {
    chain: ChainId,
    /// The first and the last record.
    first: u64,
    last: u64,
    /// The last row that was read.
    after: u64,
    before: Link,
    /// The last record that was written.
    written: Option<u64>,
    /// The place of the last checkpoint that was read.
    signed: u64,
}

impl Export {
    /// Begins an export. `tenant` as in [`patchbay_store::AuditLog::audit_heads`].
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn begin(
        store: &dyn Store,
        tenant: Option<Option<TenantId>>,
        span: Span,
    ) -> Result<Self, StoreError> {
        let mut heads = store.audit_heads(None, tenant).await?;
        heads.sort_unstable_by_key(|head| head.chain);
        Ok(Self { span, chains: heads.len(), heads: heads.into(), part: None })
    }

    /// How many chains there are.
    pub(crate) const fn chains(&self) -> usize {
        self.chains
    }

    /// The next lines, each with its end; `None` when there are no more.
    ///
    /// # Errors
    /// When the store does not answer, or a record is none.
    pub(crate) async fn next(&mut self, store: &dyn Store) -> anyhow::Result<Option<String>> {
        loop {
            let Some(part) = &mut self.part else {
                let Some(head) = self.heads.pop_front() else { return Ok(None) };
                self.part = Part::of(store, &head, &self.span).await?;
                continue;
            };
            let mut text = String::new();
            if part.after < part.last {
                part.rows(store, &mut text).await?;
            } else if !part.checkpoints(store, &mut text).await? {
                self.part = None;
            }
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }
}

impl Part {
    /// What is written of this chain; `None` when no record of it began within the span. Records stand in the order in which they
    /// ended, so what stands between the first and the last of them comes along.
    async fn of(store: &dyn Store, head: &AuditHead, span: &Span) -> Result<Option<Self>, StoreError> {
        let (chain, end) = (head.chain, head.last.seq);
        let of = |(first, last): (u64, u64)| Self {
            chain,
            first,
            last,
            // From the record before the first one on, whose hash is needed.
            after: first.saturating_sub(2),
            before: Link::START,
            written: None,
            signed: 0,
        };
        if span.is_all() {
            return Ok(Some(of((0, end))));
        }
        let (mut after, mut found) = (0, None);
        while after < end {
            let rows = store.audit_chain(chain, after, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { break };
            after = last.link.seq;
            for row in rows.iter().filter(|row| row.link.seq <= end && span.has(row.at_ms)) {
                let first = found.map_or(row.link.seq, |(first, _)| first);
                if span.until.is_none() {
                    return Ok(Some(of((first, end))));
                }
                found = Some((first, row.link.seq));
            }
        }
        Ok(found.map(of))
    }

    /// Writes the next records.
    async fn rows(&mut self, store: &dyn Store, text: &mut String) -> anyhow::Result<()> {
        let rows = store.audit_chain(self.chain, self.after, PAGE_ROWS).await?;
        self.after = rows.last().map_or(self.last, |end| end.link.seq);
        for row in rows.iter().take_while(|row| row.link.seq <= self.last) {
            if row.link.seq >= self.first {
                if self.written.is_none() {
                    push(text, &Line::begin(self.chain, &self.begin(store, row).await?));
                }
                push(text, &Line::record(row)?);
                self.written = Some(row.link.seq);
            }
            self.before = row.link;
        }
        Ok(())
    }

    /// Writes the next checkpoints. `false` when there are no more.
    async fn checkpoints(&mut self, store: &dyn Store, text: &mut String) -> Result<bool, StoreError> {
        let Some(end) = self.written else { return Ok(false) };
        let page = store.audit_checkpoint_list(self.chain, self.signed).await?;
        let Some(last) = page.last().map(|last| last.link.seq).filter(|last| *last > self.signed) else {
            return Ok(false);
        };
        self.signed = last;
        // What was signed behind the end says that records are missing, and they are: on purpose.
        let says =
            |checkpoint: &&Checkpoint| checkpoint.link.seq <= end || checkpoint.reason == CheckpointReason::Retention;
        page.iter().filter(says).for_each(|checkpoint| push(text, &Line::checkpoint(checkpoint)));
        Ok(true)
    }

    /// The place before the first record that is written. Where the records before it are not kept, a retention checkpoint
    /// knows it.
    async fn begin(&self, store: &dyn Store, row: &AuditRow) -> Result<Link, StoreError> {
        let Some(seq) = row.link.seq.checked_sub(1).filter(|seq| *seq != self.before.seq) else {
            return Ok(self.before);
        };
        let known = store.audit_checkpoint_list(self.chain, seq.saturating_sub(1)).await?;
        let places = known.iter().map(|checkpoint| checkpoint.link).take_while(|link| link.seq <= seq);
        Ok(places.filter(|link| link.seq == seq).last().unwrap_or(self.before))
    }
}

fn push(text: &mut String, line: &Line<'_>) {
    text.push_str(&line.text());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use patchbay_core::audit::{EventId, Facets, WriterId};

    use super::*;
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
        let mut export = Export::begin(&*store, None, Span { since, until }).await.unwrap();
        let mut text = String::new();
        while let Some(lines) = export.next(&*store).await.unwrap() {
            text.push_str(&lines);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
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

    #[tokio::test]
    async fn many_pages_make_one_file() {
        let signer = Signer::new([3; 32]).unwrap();
        let times: Vec<_> = (0..i64::from(2 * PAGE_ROWS + 7)).collect();
        let whole = exported(&signer, &times, None, None).await.unwrap();
        assert_eq!((whole.fault, whole.records, whole.checkpoints), (None, times.len() as u64, 1));
        let part = exported(&signer, &times, Some(600), Some(1002)).await.unwrap();
        assert_eq!((part.fault, part.begin, part.last), (None, 600, 1002));
    }
}
