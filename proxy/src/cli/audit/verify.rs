//! `audit verify`: of the store, or of an export without any gateway.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Whose, signer};
use crate::{
    cli::{
        Desk,
        api::{Api, Ask},
        complain, say,
    },
    ledger::{
        lines::{hex, unhex},
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
        self.tell(&verify::file(file, &publics)?.iter().map(Chain::of).collect::<Vec<_>>())
    }

    /// Has the store verified, in as many requests as it takes.
    pub(super) async fn run(self, api: &Api) -> anyhow::Result<()> {
        let checkpoints = self.checkpoints.as_deref().map(verify::checkpoints_of).transpose()?.unwrap_or_default();
        let keys = self.keys(Vec::new).iter().map(|key| hex(key)).collect::<Vec<_>>();
        let mut how = json!({ "checkpoints": checkpoints });
        if !keys.is_empty() {
            how["public_keys"] = json!(keys);
        }
        let (mut found, mut unchained) = (Vec::new(), 0);
        loop {
            let ask = self.whose.ask(Ask::post(self.whose.path("/verify"), &how));
            let part: Part = self.whose.answer(api, ask).await?.read()?;
            unchained += part.unchained;
            let next = part.next.clone();
            part.onto(&mut found);
            match next {
                // Each answer is farther than the one before, or this would have no end.
                Some(next) if how["cursor"] != json!(next) => how["cursor"] = json!(next),
                Some(_) => anyhow::bail!("the gateway does not come on with the verification: try it again later"),
                None => break,
            }
        }
        if unchained > 0 {
            complain(&format!(
                "{unchained} records are from before there were chains; nobody can say whether they were changed"
            ));
        }
        self.tell(&found)
    }

    /// The keys that were given, or else the gateway's own.
    fn keys(&self, own: impl FnOnce() -> Vec<[u8; 32]>) -> Vec<[u8; 32]> {
        if self.key.is_empty() { own() } else { self.key.iter().map(|key| key.0).collect() }
    }

    fn tell(&self, verdicts: &[Chain]) -> anyhow::Result<()> {
        if self.json {
            say(&serde_json::to_string_pretty(verdicts)?);
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

/// What was found of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Chain {
    tenant: Option<String>,
    writer: String,
    /// The number of the record before the first that was looked at.
    after: u64,
    /// Whether what came before it was removed because of its age, by the gateway's signed word.
    anchored: bool,
    records: u64,
    last: u64,
    checkpoints: usize,
    covered: u64,
    fault: Option<String>,
}

/// What the API found in one request.
#[derive(Debug, Deserialize)]
struct Part {
    next: Option<String>,
    unchained: u64,
    problems: Vec<Problem>,
    verdicts: Vec<Found>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Name {
    #[serde(default)]
    tenant: Option<String>,
    writer: String,
}

#[derive(Debug, Deserialize)]
struct Problem {
    chain: Name,
    what: String,
}

#[derive(Debug, Deserialize)]
struct Found {
    chain: Name,
    after: u64,
    anchored: bool,
    records: u64,
    last: u64,
    checkpoints: usize,
    covered: u64,
}

impl Part {
    /// Lays this part onto what was found before. Its first chain may be the last one, which goes on.
    fn onto(self, chains: &mut Vec<Chain>) {
        for Found { chain, after, anchored, records, last, checkpoints, covered } in self.verdicts {
            let fault = self.problems.iter().find(|problem| problem.chain == chain).map(|problem| problem.what.clone());
            let Name { tenant, writer } = chain;
            match chains.last_mut().filter(|known| known.tenant == tenant && known.writer == writer) {
                Some(known) => {
                    known.records += records;
                    known.last = last;
                    known.checkpoints += checkpoints;
                    known.covered = known.covered.max(covered);
                    known.fault = known.fault.take().or(fault);
                }
                None => {
                    chains.push(Chain { tenant, writer, after, anchored, records, last, checkpoints, covered, fault });
                }
            }
        }
    }
}

impl Chain {
    fn of(verdict: &Verdict) -> Self {
        let Verdict { chain, begin, is_anchored, records, last, checkpoints, covered, fault } = verdict;
        Self {
            tenant: chain.tenant.map(|tenant| tenant.to_string()),
            writer: format!("{:016x}", chain.writer.0),
            after: *begin,
            anchored: *is_anchored,
            records: *records,
            last: *last,
            checkpoints: *checkpoints,
            covered: *covered,
            fault: fault.as_ref().map(ToString::to_string),
        }
    }
}

fn shown(chain: &Chain) -> String {
    let tenant = chain.tenant.as_ref().map_or_else(|| "no tenant".to_owned(), |tenant| format!("tenant {tenant}"));
    let begin = match (chain.after, chain.anchored) {
        (0, _) => String::new(),
        (begin, true) => format!(", after {begin} that were removed by their age"),
        (begin, false) => format!(", after {begin} that are not here"),
    };
    let words = format!("{tenant}, writer {}: {} records{begin}", chain.writer, chain.records);
    match &chain.fault {
        Some(fault) => format!("FAIL  {words}: {fault}"),
        None => format!("ok    {words}, {} checkpoints, the last at {}", chain.checkpoints, chain.covered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_took_several_requests_is_told_as_one() {
        let verdict = |writer: &str, after: u64, last: u64| {
            json!({ "chain": { "tenant": "a", "writer": writer }, "after": after, "anchored": false, "records": last - after, "last": last,
                "checkpoints": 1, "covered": last })
        };
        let read = |verdicts: Vec<serde_json::Value>, problems: serde_json::Value| -> Part {
            let part = json!({ "next": null, "unchained": 0, "problems": problems, "verdicts": verdicts });
            serde_json::from_value(part).unwrap()
        };
        let mut chains = Vec::new();
        read(vec![verdict("01", 0, 3), verdict("02", 0, 5)], json!([])).onto(&mut chains);
        let fault = json!([{ "chain": { "tenant": "a", "writer": "02" }, "at": 8, "what": "record 8 is another" }]);
        read(vec![verdict("02", 5, 8), verdict("03", 0, 1)], fault).onto(&mut chains);
        let told: Vec<_> = chains.iter().map(shown).collect();
        assert_eq!(
            told,
            [
                "ok    tenant a, writer 01: 3 records, 1 checkpoints, the last at 3",
                "FAIL  tenant a, writer 02: 8 records: record 8 is another",
                "ok    tenant a, writer 03: 1 records, 1 checkpoints, the last at 1",
            ]
        );
    }
}
