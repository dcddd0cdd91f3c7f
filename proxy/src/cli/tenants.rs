//! `apply`, `export`, `import` and `tenant`: tenants as files and in the store. Here is what these commands share; what a file
//! may say is decided in `patchbay-config`, and what is written at once in `patchbay-store`.

mod apply;
mod doubts;
mod export;
mod import;
mod show;

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use anyhow::Context;
use patchbay_config::{Environment, GatewayConfig, diff};
use patchbay_core::{
    Generation, Slug,
    model::{TenantDoc, TenantRow},
};
use patchbay_store::{Applied, Store, StoreError};

use super::{Desk, complain, keys, note, say};
use doubts::{Doubt, doubts};

pub(super) use apply::Apply;
pub(super) use export::Export;
pub(super) use import::Import;
pub(super) use show::TenantCommand;

/// More than this is read of no file; `patchbay-config` refuses what is larger than its own, smaller bound.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// A file as it was given on the command line.
struct Source {
    /// What messages call it.
    name: String,
    text: String,
    /// Where the paths in it start.
    folder: PathBuf,
}

impl Source {
    /// Reads the file at `path`; `-` is standard input.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let mut text = String::new();
        let read = if is_stdin {
            stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)
        } else {
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        };
        read.with_context(|| format!("{name} cannot be read"))?;
        let folder = if is_stdin { None } else { path.parent() };
        Ok(Self { name, text, folder: folder.unwrap_or(Path::new("")).to_owned() })
    }

    /// Hands the file over together with what looks up the variables and files that it refers to.
    fn with<T>(&self, parse: impl FnOnce(&str, &str, &patchbay_config::Resolve<'_>) -> T) -> T {
        let env = Environment::of_process();
        parse(&self.text, &self.name, &patchbay_config::resolver(&env, &self.folder))
    }
}

/// What became of a tenant.
#[derive(Debug)]
struct Outcome {
    tenant: Slug,
    /// Where the tenant is now; 0 when there is none.
    generation: Generation,
    changed: bool,
    dry_run: bool,
    /// What is different, for people; without secrets.
    diff: String,
    /// What will not work as it stands.
    doubts: Vec<Doubt>,
}

/// Makes the tenant be what `doc` says, or, in a dry run, only says what would be different.
async fn put(
    store: &dyn Store,
    config: &GatewayConfig,
    doc: &TenantDoc,
    expected: Option<Generation>,
    dry_run: bool,
) -> anyhow::Result<Outcome> {
    let mut doubts = doubts(config, doc);
    let (generation, changed, diff) = if dry_run {
        rehearse(store, doc, expected).await?
    } else {
        let diff = match store.tenant_load(&doc.slug).await {
            Ok(row) => diff(row.as_ref(), doc),
            // To give such secrets anew is the way out, so this must not stand in it.
            Err(StoreError::Sealed(why)) => {
                let text = format!("what is different cannot be shown: {why}");
                doubts.push(Doubt { server: None, command: None, text });
                String::new()
            }
            Err(error) => return Err(error.into()),
        };
        let Applied { id, generation, changed } = store.tenant_apply(doc, expected).await?;
        if changed {
            note(store, id, &format!("{} is at generation {generation}", doc.slug)).await;
        }
        (generation, changed, diff)
    };
    Ok(Outcome { tenant: doc.slug.clone(), generation, changed, dry_run, diff, doubts })
}

/// What [`put`] would do, with the errors that it would give.
async fn rehearse(
    store: &dyn Store,
    doc: &TenantDoc,
    expected: Option<Generation>,
) -> anyhow::Result<(Generation, bool, String)> {
    let row = store.tenant_load(&doc.slug).await?;
    let found = row.as_ref().map_or(Generation(0), |row| row.generation);
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(StoreError::Conflict { expected, found }.into());
    }
    if let Some((server, secret)) = absent_secret(row.as_ref(), doc) {
        anyhow::bail!(
            "the server `{server}` is to keep its secret `{secret}`, but the store has none: give its value in the file, or \
             `${{env:NAME}}` or `${{file:PATH}}` for it"
        );
    }
    let diff = diff(row.as_ref(), doc);
    let changed = diff.lines().last().map(str::trim) != Some("nothing changes");
    Ok((found, changed, diff))
}

/// A secret that is to stay as it is and is not there.
fn absent_secret<'a>(row: Option<&TenantRow>, doc: &'a TenantDoc) -> Option<(&'a Slug, &'a str)> {
    let held = |server: &Slug, name: &str| {
        let mut servers = row.into_iter().flat_map(|row| &row.servers);
        servers.any(|held| held.slug == *server && held.secrets.0.contains_key(name))
    };
    doc.servers.iter().find_map(|(server, of_file)| {
        let mut kept = of_file.secrets.iter().filter(|(_, value)| value.is_none());
        kept.find(|(name, _)| !held(server, name)).map(|(name, _)| (server, name.as_str()))
    })
}

impl Outcome {
    /// Prints the outcome: for people, or as one line of JSON.
    fn tell(&self, json: bool) {
        for doubt in &self.doubts {
            complain(&format!("warning: {}: {}", self.tenant, doubt.text));
        }
        if json {
            return say(&self.json().to_string());
        }
        if self.changed && !self.diff.is_empty() {
            say(self.diff.trim_end());
        }
        say(&self.sentence());
    }

    fn json(&self) -> serde_json::Value {
        let warnings: Vec<_> = self.doubts.iter().map(|doubt| &doubt.text).collect();
        serde_json::json!({
            "tenant": self.tenant, "generation": self.generation, "changed": self.changed, "dry_run": self.dry_run,
            "diff": self.diff, "warnings": warnings,
        })
    }

    fn sentence(&self) -> String {
        let Self { tenant, generation, .. } = self;
        match (self.dry_run, self.changed) {
            (false, true) => format!("{tenant} is at generation {generation}"),
            (true, true) if generation.0 == 0 => format!("{tenant} would be new; nothing was written"),
            (true, true) => format!("{tenant} stays at generation {generation}; nothing was written"),
            (_, false) => format!("{tenant} is at generation {generation}: nothing to change"),
        }
    }
}

#[cfg(test)]
mod tests;
