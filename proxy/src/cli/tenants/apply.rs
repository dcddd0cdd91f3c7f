//! `apply`: makes tenants be what their files say. All files are read and checked before the first one is sent; each tenant is then
//! written as a whole or not at all.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use super::{Desk, Document, If, complain, put};
use crate::cli::api::Api;

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
        let documents = self.read()?;
        let api = Api::open(desk).await?;
        let done = self.send(&api, &documents).await;
        api.close().await;
        done
    }

    async fn send(&self, api: &Api, documents: &[Document]) -> anyhow::Result<()> {
        let condition = self.expect_generation.map_or(If::Whatever, If::Generation);
        for document in documents {
            put(api, document, condition.clone(), self.dry_run).await?.tell(self.json);
        }
        Ok(())
    }

    /// The tenants of all files; what is wrong is told of all of them.
    fn read(&self) -> anyhow::Result<Vec<Document>> {
        if self.files.len() > 1 && self.expect_generation.is_some() {
            anyhow::bail!("--expect-generation is about one tenant: give one file");
        }
        let (mut documents, mut problem) = (Vec::new(), None);
        for path in &self.files {
            match Document::read(path) {
                Ok(document) => documents.push(document),
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
        if let Some(twice) = documents.iter().find(|document| !seen.insert(&document.tenant)) {
            anyhow::bail!("two of the files are about the tenant `{}`: give one for each tenant", twice.tenant);
        }
        Ok(documents)
    }
}
