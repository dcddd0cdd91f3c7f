//! `audit verify`: of the store, or of an export without any gateway.

use std::path::PathBuf;

use clap::Args;
use patchbay_store::Store;
use serde_json::json;

use super::{Whose, signer};
use crate::{
    audit::Signer,
    cli::{Desk, complain, say},
    ledger::{
        lines::unhex,
        verify::{self, Verdict},
    },
};

/// Say whether records were changed, removed or moved.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    whose: Whose,
    /// An export to verify instead of the store. It needs no store, and no configuration when --key is given.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tenant", "tenant_id", "no_tenant", "checkpoints"])]
    file: Option<PathBuf>,
    /// A public key of the checkpoints, as `audit key` prints it; may be given several times, since each sealing key that the
    /// gateway had signed with another. Without: the keys of this gateway.
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    key: Vec<PublicKey>,
    /// An earlier export whose checkpoints the store has to keep to as well: so even a whole chain that was removed is missed.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// An Ed25519 public key.
#[derive(Debug, Clone, Copy)]
struct PublicKey([u8; 32]);

fn public_key(text: &str) -> Result<PublicKey, String> {
    unhex(text.trim())
        .map(PublicKey)
        .ok_or_else(|| "expected 64 hexadecimal digits, as `patchbay audit key` prints them".to_owned())
}

impl Verify {
    /// Whether no store is needed.
    pub(super) const fn is_offline(&self) -> bool {
        self.file.is_some()
    }

    /// Verifies an export.
    pub(super) fn run_offline(&self, desk: &Desk) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let own = || desk.config().ok().and_then(|config| signer(&config).ok());
        let publics = self.keys(|| own().map_or_else(Vec::new, |signer| signer.publics().to_vec()));
        if publics.is_empty() {
            complain("no key is known, so checkpoints are not looked at: give --key (see `patchbay audit key`)");
        }
        self.tell(&verify::file(file, &publics)?)
    }

    /// Verifies the store.
    pub(super) async fn run(self, store: &dyn Store, own: &Signer) -> anyhow::Result<()> {
        let tenant = self.whose.tenant(store).await?;
        let publics = self.keys(|| own.publics().to_vec());
        let elsewhere = self.checkpoints.as_deref().map(verify::checkpoints_of).transpose()?.unwrap_or_default();
        let verdicts = verify::store(store, tenant, &publics, &elsewhere).await?;
        let unchained = store.audit_unchained(tenant.flatten()).await?;
        if unchained > 0 {
            complain(&format!(
                "{unchained} records are from before there were chains; nobody can say whether they were changed"
            ));
        }
        self.tell(&verdicts)
    }

    /// The keys that were given, or else the gateway's own.
    fn keys(&self, own: impl FnOnce() -> Vec<[u8; 32]>) -> Vec<[u8; 32]> {
        if self.key.is_empty() { own() } else { self.key.iter().map(|key| key.0).collect() }
    }

    fn tell(&self, verdicts: &[Verdict]) -> anyhow::Result<()> {
        if self.json {
            say(&serde_json::to_string_pretty(&verdicts.iter().map(as_json).collect::<Vec<_>>())?);
        } else {
            verdicts.iter().for_each(|verdict| say(&shown(verdict)));
        }
        let faults = verdicts.iter().filter(|verdict| verdict.fault.is_some()).count();
        anyhow::ensure!(faults == 0, "{faults} of {} chains are not what was written", verdicts.len());
        if !self.json {
            let records: u64 = verdicts.iter().map(|verdict| verdict.records).sum();
            say(&format!("{records} records of {} chains are as they were written", verdicts.len()));
        }
        Ok(())
    }
}

fn shown(verdict: &Verdict) -> String {
    let tenant = verdict.chain.tenant.map_or_else(|| "no tenant".to_owned(), |tenant| format!("tenant {tenant}"));
    let writer = verdict.chain.writer.0;
    let begin = match (verdict.begin, verdict.is_anchored) {
        (0, _) => String::new(),
        (begin, true) => format!(", after {begin} that were removed by their age"),
        (begin, false) => format!(", after {begin} that are not here"),
    };
    let chain = format!("{tenant}, writer {writer:016x}: {} records{begin}", verdict.records);
    match &verdict.fault {
        Some(fault) => format!("FAIL  {chain}: {fault}"),
        None => format!("ok    {chain}, {} checkpoints, the last at {}", verdict.checkpoints, verdict.covered),
    }
}

fn as_json(verdict: &Verdict) -> serde_json::Value {
    json!({
        "tenant": verdict.chain.tenant,
        "writer": format!("{:016x}", verdict.chain.writer.0),
        "after": verdict.begin,
        "anchored": verdict.is_anchored,
        "records": verdict.records,
        "last": verdict.last,
        "checkpoints": verdict.checkpoints,
        "covered": verdict.covered,
        "fault": verdict.fault.as_ref().map(ToString::to_string),
    })
}
