//! `audit query`, `audit export`, `audit verify`, `audit key` and `audit retain`. What is asked of the audit here is written into it.

mod export;
mod query;
mod verify;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use patchbay_core::{
    Slug, TenantId,
    audit::{Action, Actor},
};
use patchbay_store::{Note, Store};

use super::{Desk, keys, say};
use crate::{
    app::Keys,
    audit::{Signer, now_ms},
    ledger::{
        keeping::{self, DAY_MS, Retained},
        lines::hex,
        span::{self, Span},
    },
};

/// The trail of who did what.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Show records, newest first.
    Query(query::Query),
    /// Write records as lines of JSON, chain by chain, for `audit verify` and for other programs.
    Export(export::Export),
    /// Say whether records were changed, removed or moved, in the store or in an export. The exit code is 0 when nothing was.
    Verify(verify::Verify),
    /// Print the public keys of the checkpoints, by which an export is verified without the gateway: the one that signs now, then
    /// those of former sealing keys.
    Key,
    /// Remove records older than so many days, now. A running gateway does it by itself where audit.retention_days is set.
    Retain {
        /// How many days are kept.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

/// Whose records.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Whose {
    /// Of this tenant. Without: of all, and of none.
    #[arg(long)]
    tenant: Option<Slug>,
    /// Of a tenant that was deleted, by the id that its records have.
    #[arg(long, value_name = "ID")]
    tenant_id: Option<TenantId>,
    /// Of no tenant: refused before anybody knew whose it was, and what the gateway did itself.
    #[arg(long)]
    no_tenant: bool,
}

/// Since when and until when.
#[derive(Debug, Args)]
struct Between {
    /// That began at this time or later: `2026-11-21T10:00:00Z`, or an age such as `90m`, `24h` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = span::moment)]
    since: Option<i64>,
    /// That began before this time.
    #[arg(long, value_name = "TIME", value_parser = span::moment)]
    until: Option<i64>,
}

impl Between {
    const fn span(&self) -> Span {
        Span { since: self.since, until: self.until }
    }
}

impl Audit {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        // An export is verified without a store, and without a configuration when the key is given.
        if let Self::Verify(verify) = &self
            && verify.is_offline()
        {
            return verify.run_offline(desk);
        }
        let config = desk.config()?;
        let signer = signer(&config)?;
        if matches!(self, Self::Key) {
            signer.publics().iter().for_each(|public| say(&hex(public)));
            return Ok(());
        }
        let store = desk.store().await?;
        let done = match self {
            Self::Query(query) => query.run(&*store).await,
            Self::Export(export) => export.run(&*store).await,
            Self::Verify(verify) => verify.run(&*store, &signer).await,
            Self::Retain { days } => retain(&*store, &signer, days).await,
            Self::Key => Ok(()),
        };
        store.close().await;
        done
    }
}

impl Whose {
    /// As the store asks for it.
    async fn tenant(&self, store: &dyn Store) -> anyhow::Result<Option<Option<TenantId>>> {
        Ok(match (&self.tenant, self.tenant_id) {
            (Some(slug), _) => Some(Some(keys::tenant(store, slug).await?.id)),
            (None, Some(id)) => Some(Some(id)),
            (None, None) => self.no_tenant.then_some(None),
        })
    }
}

fn signer(config: &patchbay_config::GatewayConfig) -> anyhow::Result<Signer> {
    Keys::of(config)?.signer().context("the audit's key cannot be made from the sealing key")
}

async fn retain(store: &dyn Store, signer: &Signer, days: u32) -> anyhow::Result<()> {
    let now_ms = now_ms();
    let Retained { removed, refused } =
        keeping::retain(store, signer, now_ms - i64::from(days) * DAY_MS, now_ms).await?;
    let what = format!("removed {removed} records older than {days} days");
    if removed > 0 {
        note(store, None, Action::AuditRetention, &what).await?;
    }
    say(&what);
    anyhow::ensure!(
        refused == 0,
        "{refused} chains are not what was written and keep their records: see `patchbay audit verify`"
    );
    Ok(())
}

/// Writes into the audit that somebody looked at it.
async fn note(store: &dyn Store, tenant: Option<TenantId>, action: Action, what: &str) -> anyhow::Result<()> {
    let note = Note { actor: Actor::Operator, what: what.to_owned(), at_ms: now_ms() };
    store.audit_note(tenant, action, &note).await.context("this could not be written into the audit, so it is not done")
}

/// A time for people.
fn shown_time(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| format!("{at:.3}"))
}

/// Where to write: a file that must not be there yet, or standard output.
fn output(path: Option<&PathBuf>) -> anyhow::Result<Box<dyn std::io::Write>> {
    use std::os::unix::fs::OpenOptionsExt;
    let Some(path) = path else { return Ok(Box::new(std::io::BufWriter::new(std::io::stdout()))) };
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("{} cannot be made: expected the path of a new file", path.display()))?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_below_each_other() {
        assert_eq!(shown_time(1_000), "1970-01-01T00:00:01.000Z");
        assert_eq!(shown_time(1_660), "1970-01-01T00:00:01.660Z");
    }
}
