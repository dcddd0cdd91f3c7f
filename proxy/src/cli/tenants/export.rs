//! `export`: writes a tenant as the file that `apply` takes back unchanged. Secrets stay in the store.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use http::{HeaderValue, header};
use patchbay_core::Slug;

use super::{Desk, say};
use crate::cli::api::{Api, Ask};

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
        let api = Api::open(desk).await?;
        let done = self.write(&api).await;
        api.close().await;
        done
    }

    async fn write(&self, api: &Api) -> anyhow::Result<()> {
        let tenant = api.tenant(&self.tenant).await?;
        let ask = Ask::get(format!("/tenants/{}/document", self.tenant));
        let ask = ask.header(header::ACCEPT, HeaderValue::from_static("application/yaml"));
        let answer = api.in_tenant(&self.tenant, ask).await?;
        match self.output.as_deref().filter(|path| *path != Path::new("-")) {
            None => say(answer.text().trim_end()),
            Some(path) => {
                std::fs::write(path, answer.text()).with_context(|| format!("{} cannot be written", path.display()))?;
                say(&format!("{} has {} as it is at generation {}", path.display(), tenant.name, tenant.generation));
            }
        }
        Ok(())
    }
}
