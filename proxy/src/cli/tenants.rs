//! `apply`, `export`, `import` and `tenant`: tenants as files and in the store. Here is what these commands share; what a file
//! may say is decided in `patchbay-config`, and what is written at once in `patchbay-store`.

mod apply;
mod export;
mod import;
mod show;

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use anyhow::Context;
use patchbay_builtin_tools::ToolServer;
use patchbay_config::{Environment, GatewayConfig, diff};
use patchbay_core::{
    Generation, Slug,
    issuer::{IssuerDoc, IssuerRow},
    model::{ServerDoc, ServerRow, TenantDoc, TenantRow},
};
use patchbay_store::{Applied, Store, StoreError};

use super::{Desk, complain, keys, note, say};
use crate::control::doubts::{About, Doubt, Seen, ask, look};

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
    /// The built-in servers, which can be asked for more doubts.
    builtins: Vec<(Slug, ToolServer)>,
}

/// Makes the tenant be what `doc` says, or, in a dry run, only says what would be different.
async fn put(
    store: &dyn Store,
    config: &GatewayConfig,
    doc: &TenantDoc,
    expected: Option<Generation>,
    dry_run: bool,
) -> anyhow::Result<Outcome> {
    let (held, sealed) = match store.tenant_load(&doc.slug).await {
        Ok(row) => (row, None),
        // To give such secrets anew is the way out, so this must not stand in it.
        Err(StoreError::Sealed(why)) if !dry_run => (None, Some(why)),
        Err(error) => return Err(error.into()),
    };
    let Seen { mut doubts, builtins } = look(config, doc, held.as_ref());
    let diff = match sealed {
        None => diff(held.as_ref(), doc),
        Some(why) => {
            let text = format!("what is different cannot be shown: {why}");
            doubts.push(Doubt::new(About::Tenant, text));
            String::new()
        }
    };
    let (generation, changed) = if dry_run {
        rehearse(held.as_ref(), doc, expected, &diff)?
    } else {
        let note = note(format!("made {} be as a file says", doc.slug));
        let Applied { generation, changed, .. } = store.tenant_apply(doc, expected, &note).await?;
        (generation, changed)
    };
    Ok(Outcome { tenant: doc.slug.clone(), generation, changed, dry_run, diff, doubts, builtins })
}

/// What [`put`] would do, with the errors that it would give.
fn rehearse(
    held: Option<&TenantRow>,
    doc: &TenantDoc,
    expected: Option<Generation>,
    diff: &str,
) -> anyhow::Result<(Generation, bool)> {
    let found = held.map_or(Generation(0), |row| row.generation);
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(StoreError::Conflict { expected, found }.into());
    }
    if let Some((server, secret)) = absent_secret(held, doc) {
        anyhow::bail!(
            "the server `{server}` is to keep its secret `{secret}`, but the store has none: give its value in the file, or \
             `${{env:NAME}}` or `${{file:PATH}}` for it"
        );
    }
    let changed = diff.lines().last().map(str::trim) != Some("nothing changes");
    Ok((found, changed))
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

/// The tenant as the store has it, its secrets left where they are.
fn kept_as_it_is(row: &TenantRow) -> TenantDoc {
    let keep = |server: &ServerRow| ServerDoc {
        spec: server.spec.clone(),
        secrets: server.secrets.0.keys().map(|name| (name.clone(), None)).collect(),
    };
    let keep_issuer = |issuer: &IssuerRow| IssuerDoc {
        spec: issuer.spec.clone(),
        secrets: issuer.secrets.0.keys().map(|name| (name.clone(), None)).collect(),
    };
    TenantDoc {
        slug: row.slug.clone(),
        title: row.title.clone(),
        enabled: row.enabled,
        servers: row.servers.iter().map(|server| (server.slug.clone(), keep(server))).collect(),
        toolsets: row.toolsets.iter().cloned().collect(),
        issuers: row.issuers.iter().map(|issuer| (issuer.slug.clone(), keep_issuer(issuer))).collect(),
        limits: row.limits.clone(),
        audit: row.audit.clone(),
    }
}

/// What will not work in tenants that the store has, each as a sentence; for `check`.
pub(super) async fn warnings(config: &GatewayConfig, rows: &[TenantRow]) -> Vec<String> {
    let (mut texts, mut builtins) = (Vec::new(), Vec::new());
    for row in rows {
        let seen = look(config, &kept_as_it_is(row), Some(row));
        texts.extend(seen.doubts.into_iter().map(|doubt| format!("{}: {}", row.slug, doubt.text)));
        builtins.extend(seen.builtins.into_iter().map(|(name, server)| ((&row.slug, name), server)));
    }
    texts.extend(ask(builtins).await.into_iter().map(|(tenant, doubt)| format!("{tenant}: {}", doubt.text)));
    texts
}

impl Outcome {
    /// Asks the built-in servers whether they can be used, within a bounded time.
    async fn ask_builtins(&mut self) {
        let asked = std::mem::take(&mut self.builtins).into_iter().map(|(name, server)| (((), name), server));
        self.doubts.extend(ask(asked.collect()).await.into_iter().map(|((), doubt)| doubt));
    }

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
