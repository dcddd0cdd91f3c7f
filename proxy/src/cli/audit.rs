//! `audit query`, `audit export`, `audit verify`, `audit key` and `audit retain`. What is asked of the audit here is written into it.

mod export;
mod query;
mod verify;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use patchbay_core::{Slug, TenantId, audit::Action};
use patchbay_store::Store;
use serde::Deserialize;

use super::{
    Desk,
    api::{Answer, Api, Ask},
    note, say,
};
use crate::{
    app::Keys,
    audit::{Signer, now_ms},
    ledger::{
        keeping::{self, DAY_MS, Retained},
        span,
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
    /// With this span of time.
    fn ask(&self, ask: Ask) -> Ask {
        let moment = |at_ms: i64| Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX);
        ask.with("since", self.since.map(moment)).with("until", self.until.map(moment))
    }
}

impl Audit {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        match self {
            // An export is verified without a store, and without a configuration when the key is given.
            Self::Verify(verify) if verify.is_offline() => verify.run_offline(desk),
            Self::Retain { days } => retain_here(desk, days).await,
            asked => {
                let api = Api::open(desk).await?;
                let done = asked.ask(&api).await;
                api.close().await;
                done
            }
        }
    }

    async fn ask(self, api: &Api) -> anyhow::Result<()> {
        match self {
            Self::Query(query) => query.run(api).await,
            Self::Export(export) => export.run(api).await,
            Self::Verify(verify) => verify.run(api).await,
            Self::Key => public_keys(api).await,
            Self::Retain { .. } => Ok(()),
        }
    }
}

impl Whose {
    /// Where the API has this of these records.
    fn path(&self, what: &str) -> String {
        match &self.tenant {
            Some(tenant) => format!("/tenants/{tenant}/audit{what}"),
            None => format!("/audit{what}"),
        }
    }

    /// The rest of what says whose they are.
    fn ask(&self, ask: Ask) -> Ask {
        ask.with("tenant_id", self.tenant_id).with("no_tenant", self.no_tenant.then_some(true))
    }

    /// Asks for it; a tenant that is not there is named with those that are.
    async fn answer(&self, api: &Api, ask: Ask) -> anyhow::Result<Answer> {
        match &self.tenant {
            Some(tenant) => api.in_tenant(tenant, ask).await,
            None => Ok(api.ask(ask).await?),
        }
    }
}

async fn public_keys(api: &Api) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        public_key: String,
    }
    let Keys { keys } = api.ask(Ask::get("/audit/public-keys")).await?.read()?;
    keys.iter().for_each(|key| say(&key.public_key));
    Ok(())
}

fn signer(config: &patchbay_config::GatewayConfig) -> anyhow::Result<Signer> {
    Keys::of(config)?.signer().context("the audit's key cannot be made from the sealing key")
}

async fn retain_here(desk: &Desk, days: u32) -> anyhow::Result<()> {
    desk.is_here("audit retain")?;
    let signer = signer(&desk.config()?)?;
    let store = desk.store().await?;
    let done = retain(&*store, &signer, days).await;
    store.close().await;
    done
}

async fn retain(store: &dyn Store, signer: &Signer, days: u32) -> anyhow::Result<()> {
    let now_ms = now_ms();
    let Retained { removed, refused } =
        keeping::retain(store, signer, now_ms - i64::from(days) * DAY_MS, now_ms).await?;
    let what = format!("removed {removed} records older than {days} days");
    if removed > 0 {
        let note = note(what.as_str());
        let noted = store.audit_note(None, Action::AuditRetention, &note).await;
        noted.context("this could not be written into the audit")?;
    }
    say(&what);
    anyhow::ensure!(
        refused == 0,
        "{refused} chains are not what was written and keep their records: see `patchbay audit verify`"
    );
    Ok(())
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
