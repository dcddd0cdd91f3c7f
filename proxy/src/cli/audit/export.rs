//! `audit export`: whole chains, or what began within a span of time, as lines.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use patchbay_core::audit::Action;
use patchbay_store::Store;

use super::{Between, Whose, note, output};
use crate::{cli::complain, ledger::export as ledger};

/// Write records as lines of JSON.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    between: Between,
    /// A new file for the lines. Without: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, store: &dyn Store) -> anyhow::Result<()> {
        let tenant = self.whose.tenant(store).await?;
        let mut export = ledger::Export::begin(store, tenant, self.between.span()).await?;
        let mut out = output(self.out.as_ref())?;
        let what = format!("exported {} chains of the audit", export.chains());
        note(store, tenant.flatten(), Action::AuditExport, &what).await?;
        while let Some(lines) = export.next(store).await? {
            out.write_all(lines.as_bytes()).context("the lines could not be written")?;
        }
        out.flush().context("the lines could not be written")?;
        let unchained = store.audit_unchained(tenant.flatten()).await?;
        if unchained > 0 {
            complain(&format!(
                "{unchained} records from before there were chains are not exported: `audit query` shows them"
            ));
        }
        complain(&format!("{} records of {} chains", export.records(), export.chains()));
        Ok(())
    }
}
