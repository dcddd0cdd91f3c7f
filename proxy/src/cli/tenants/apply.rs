//! `apply`: makes tenants be what their files say. All files are read and checked before the first one is written; each tenant
//! is then written as a whole or not at all.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use patchbay_config::{GatewayConfig, tenant_from_yaml};
use patchbay_core::{Generation, model::TenantDoc};
use patchbay_store::Store;

use super::{Desk, Source, complain, put};

/// Make tenants be what files say.
#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    /// The tenant file, `-` for standard input; give it several times for several tenants.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Show what is different, and write nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only if the tenant is at this generation; 0 if there must be none yet.
    #[arg(long, value_name = "N")]
    pub(super) expect_generation: Option<u64>,
    /// Print one JSON object in one line for each file.
    #[arg(long)]
    pub(super) json: bool,
}

impl Apply {
    pub(in crate::cli) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let docs = self.read()?;
        let config = desk.config()?;
        let store = desk.store().await?;
        let done = self.write(&*store, &config, &docs).await;
        store.close().await;
        done
    }

    async fn write(&self, store: &dyn Store, config: &GatewayConfig, docs: &[TenantDoc]) -> anyhow::Result<()> {
        for doc in docs {
            let expected = self.expect_generation.map(Generation);
            let mut outcome = put(store, config, doc, expected, self.dry_run).await?;
            outcome.ask_builtins().await;
            outcome.tell(self.json);
        }
        Ok(())
    }

    /// The tenants of all files; what is wrong is told of all of them.
    pub(super) fn read(&self) -> anyhow::Result<Vec<TenantDoc>> {
        if self.files.len() > 1 && self.expect_generation.is_some() {
            anyhow::bail!("--expect-generation is about one tenant: give one file");
        }
        let (mut docs, mut problem) = (Vec::new(), None);
        for path in &self.files {
            let doc = Source::read(path).and_then(|source| Ok(source.with(tenant_from_yaml)?));
            match doc {
                Ok(doc) => docs.push(doc),
                Err(error) => {
                    if let Some(earlier) = problem.replace(error) {
                        complain(&format!("patchbay: {earlier:#}"));
                    }
                }
            }
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = docs.iter().find(|doc| !seen.insert(&doc.slug)) {
            anyhow::bail!("two of the files are about the tenant `{}`: give one for each tenant", twice.slug);
        }
        Ok(docs)
    }
}
