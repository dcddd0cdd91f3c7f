//! `apply`, `export`, `import` and `tenant`: tenants as files and as they are. Here is what these commands share; what a file may
//! say is decided in `patchbay-config`, and what becomes of it by the admin API.

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
use http::{HeaderValue, header};
use patchbay_config::{Environment, GatewayConfig};
use patchbay_core::{
    Slug,
    issuer::{IssuerDoc, IssuerRow},
    model::{ServerDoc, ServerRow, TenantDoc, TenantRow},
};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    Desk,
    api::{Api, Ask, Trouble},
    complain, say,
};
use crate::control::doubts::{ask, look};

pub(super) use apply::Apply;
pub(super) use export::Export;
pub(super) use import::Import;
pub(super) use show::TenantCommand;

/// More than this is read of no file; `patchbay-config` refuses what is larger than its own, smaller bound.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// How often a document is put, when somebody makes or deletes the tenant between two of these.
const PUT_TRIES_MAX: usize = 4;

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

/// A tenant's document on its way: its references are replaced, so it holds secrets.
pub(super) struct Document {
    /// What messages call it.
    pub(super) name: String,
    pub(super) tenant: Slug,
    pub(super) json: Json,
}

impl Document {
    /// The tenant file at `path`, checked by the rules for one.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let source = Source::read(path)?;
        let json = source.with(patchbay_config::tenant_document)?;
        Self::of(source.name, json)
    }

    fn of(name: String, json: Json) -> anyhow::Result<Self> {
        let tenant = json["tenant"].as_str().unwrap_or_default().parse()?;
        Ok(Self { name, tenant, json })
    }
}

/// What becomes of a tenant's document, as the API tells it.
#[derive(Debug, Deserialize)]
struct Told {
    changed: bool,
    /// Where the tenant is now; 0 when there is none.
    generation: u64,
    /// What is different, for people; without secrets.
    diff: String,
    /// What will not work as it stands.
    warnings: Vec<String>,
    /// What each of these is about.
    #[serde(default)]
    about: Vec<About>,
}

/// What a warning is about.
#[derive(Debug, Default, Deserialize)]
struct About {
    server: Option<String>,
    /// A command that is not on the operator's list.
    command: Option<String>,
}

/// What became of a tenant.
#[derive(Debug)]
struct Outcome {
    tenant: Slug,
    dry_run: bool,
    told: Told,
}

/// What has to be there, so that a document is put.
#[derive(Debug, Clone)]
enum If {
    /// Whatever is there.
    Whatever,
    /// The tenant at this generation; 0 for none.
    Generation(u64),
    /// The document in this state.
    State(HeaderValue),
    /// Nothing.
    Nothing,
}

/// Makes the tenant be what the document says, or, in a dry run, only says what would be different.
async fn put(api: &Api, document: &Document, condition: If, dry_run: bool) -> anyhow::Result<Outcome> {
    let Document { name, tenant, json } = document;
    let any = || (header::IF_MATCH, HeaderValue::from_static("*"));
    let none = || (header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    let generation = if let If::Generation(generation) = condition { Some(generation) } else { None };
    let conditions = match condition {
        If::Whatever | If::Generation(_) if dry_run => vec![None],
        // The tenant may come and go meanwhile.
        If::Whatever => {
            [any, none].into_iter().cycle().take(PUT_TRIES_MAX).map(|condition| Some(condition())).collect()
        }
        If::Generation(0) | If::Nothing => vec![Some(none())],
        If::Generation(_) => vec![Some(any())],
        If::State(state) => vec![Some((header::IF_MATCH, state))],
    };
    let last = conditions.len().saturating_sub(1);
    for (tried, condition) in conditions.into_iter().enumerate() {
        let ask = Ask::put(format!("/tenants/{tenant}/document"), json);
        let ask = ask.with("dry_run", dry_run.then_some(true)).with("expect_generation", generation);
        let ask = match condition {
            Some((name, value)) => ask.header(name, value),
            None => ask,
        };
        match api.in_tenant(tenant, ask).await {
            Ok(answer) => return Ok(Outcome { tenant: tenant.clone(), dry_run, told: answer.read()? }),
            Err(error) if is(&error, 412) && tried < last => {}
            Err(error) if of_fields(&error) => return Err(error.context(name.clone())),
            Err(error) => return Err(error),
        }
    }
    anyhow::bail!("{tenant} comes and goes: repeat this")
}

/// Whether the API said no with this status.
fn is(error: &anyhow::Error, status: u16) -> bool {
    error.downcast_ref().is_some_and(|trouble: &Trouble| trouble.is(status))
}

/// Whether fields of what was sent are wrong.
fn of_fields(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref().and_then(|trouble: &Trouble| trouble.refusal());
    refusal.is_some_and(|refusal| !refusal.errors.is_empty())
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
    /// Prints the outcome: for people, or as one line of JSON.
    fn tell(&self, json: bool) {
        for warning in &self.told.warnings {
            complain(&format!("warning: {}: {warning}", self.tenant));
        }
        if json {
            return say(&self.json().to_string());
        }
        if self.told.changed && !self.told.diff.is_empty() {
            say(self.told.diff.trim_end());
        }
        say(&self.sentence());
    }

    fn json(&self) -> Json {
        let Told { changed, generation, diff, warnings, .. } = &self.told;
        serde_json::json!({
            "tenant": self.tenant, "generation": generation, "changed": changed, "dry_run": self.dry_run, "diff": diff,
            "warnings": warnings,
        })
    }

    fn sentence(&self) -> String {
        let Self { tenant, told: Told { generation, changed, .. }, dry_run } = self;
        match (dry_run, changed) {
            (false, true) => format!("{tenant} is at generation {generation}"),
            (true, true) if *generation == 0 => format!("{tenant} would be new; nothing was written"),
            (true, true) => format!("{tenant} stays at generation {generation}; nothing was written"),
            (_, false) => format!("{tenant} is at generation {generation}: nothing to change"),
        }
    }
}

#[cfg(test)]
mod tests;
