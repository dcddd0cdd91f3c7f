//! `export`: writes a tenant as the file that `apply` takes back unchanged. Secrets stay in the store.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use patchbay_config::tenant_to_yaml;
use patchbay_core::Slug;

use super::{Desk, keys, say};

/// Write a tenant as a file, without its secrets.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The tenant.
    #[arg(long)]
    pub(super) tenant: Slug,
    /// The file to write; without it, or with `-`, standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

impl Export {
    pub(in crate::cli) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let store = desk.store().await?;
        let row = keys::tenant(&*store, &self.tenant).await;
        store.close().await;
        let row = row?;
        let text = tenant_to_yaml(&row);
        match self.output.as_deref().filter(|path| *path != Path::new("-")) {
            None => say(text.trim_end()),
            Some(path) => {
                std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
                say(&format!("{} has {} as it is at generation {}", path.display(), row.slug, row.generation));
            }
        }
        Ok(())
    }
}
