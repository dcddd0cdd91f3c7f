//! `audit export`: whole chains, or what began within a span of time, as lines.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use patchbay_core::audit::{Action, ChainId, Link};
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
        let (mut at, mut records, mut begun) = (Link::START, 0, false);
        let mut line = |line: &Line<'_>| writeln!(out, "{}", line.text()).context("the lines could not be written");
        while at.seq < head.last.seq {
            let rows = store.audit_chain(head.chain, at.seq, PAGE_ROWS).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let before = std::mem::replace(&mut at, row.link);
                if self.is_over(row, begun) || row.link.seq > head.last.seq {
                    at = head.last;
                    break;
                }
                if !begun && !self.is_wanted(row) {
                    continue;
                }
                if !begun {
                    begun = true;
                    line(&Line::begin(head.chain, &self.begin(store, head.chain, before, row).await?))?;
                }
                line(&Line::record(row)?)?;
                records += 1;
            }
        }
        if begun {
            for checkpoint in checkpoints(store, head.chain, 0).await? {
                line(&Line::checkpoint(&checkpoint))?;
            }
        }
        Ok(records)
    }

    /// Records stand in the order in which they ended, so a span takes all from the first that began within it.
    fn is_wanted(&self, row: &AuditRow) -> bool {
        self.span.since.is_none_or(|since| row.at_ms >= since.0)
    }

    fn is_over(&self, row: &AuditRow, begun: bool) -> bool {
        begun && self.span.until.is_some_and(|until| row.at_ms >= until.0)
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
