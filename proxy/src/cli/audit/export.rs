//! `audit export`: whole chains, or what began within a span of time, as lines.

use std::{collections::BTreeSet, io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use super::{Between, Whose, output};
use crate::{
    cli::{
        api::{Api, Ask},
        complain,
    },
    ledger::lines::LINE_BYTES_MAX,
};

/// The header that says how many records are from before there were chains.
const UNCHAINED: &str = "patchbay-unchained-records";

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
    pub(super) async fn run(self, api: &Api) -> anyhow::Result<()> {
        let ask = self.between.ask(self.whose.ask(Ask::get(self.whose.path("/export"))));
        let mut flow = match &self.whose.tenant {
            Some(tenant) => api.flow_in_tenant(tenant, ask).await?,
            None => api.flow(ask).await?,
        };
        let mut out = output(self.out.as_ref())?;
        let mut tally = Tally::default();
        while let Some(piece) = flow.next().await? {
            tally.take(&piece)?;
            out.write_all(&piece).context("the lines could not be written")?;
        }
        out.flush().context("the lines could not be written")?;
        let unchained = flow.headers.get(UNCHAINED).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(unchained @ 1_u64..) = unchained {
            complain(&format!(
                "{unchained} records from before there were chains are not exported: `audit query` shows them"
            ));
        }
        complain(&format!("{} records of {} chains", tally.records, tally.chains.len()));
        Ok(())
    }
}

/// What has been written so far.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    chains: BTreeSet<(Option<String>, String)>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    tenant: Option<String>,
    writer: String,
}

impl Tally {
    fn take(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        self.rest.extend_from_slice(piece);
        let lines = std::mem::take(&mut self.rest);
        let end = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in lines[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let head: Head = serde_json::from_slice(line).context("what came is no line of an export")?;
            self.records += u64::from(head.kind == "record");
            self.chains.insert((head.tenant, head.writer));
        }
        self.rest = lines[end..].to_vec();
        anyhow::ensure!(self.rest.len() <= LINE_BYTES_MAX, "a line came that is longer than one of an export");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_however_they_come() {
        let lines = "{\"type\":\"begin\",\"tenant\":null,\"writer\":\"07\"}\n{\"type\":\"record\",\"tenant\":null,\"writer\":\"07\"}\n\
                     {\"type\":\"record\",\"tenant\":\"0a\",\"writer\":\"07\"}\n";
        for size in [1, 7, lines.len()] {
            let mut tally = Tally::default();
            lines.as_bytes().chunks(size).for_each(|piece| tally.take(piece).unwrap());
            assert_eq!((tally.records, tally.chains.len(), tally.rest.len()), (2, 2, 0), "{size}");
        }
        assert!(Tally::default().take(b"<html>\n").is_err());
        assert!(Tally::default().take(&vec![b'x'; LINE_BYTES_MAX + 1]).is_err());
    }
}
