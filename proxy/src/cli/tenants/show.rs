//! `tenant list`, `tenant show` and `tenant delete`. Of secrets, only the names are shown.

use clap::Subcommand;
use patchbay_core::{
    Slug,
    model::{Access, ServerDoc, TenantDoc, Transport},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Desk, say};
use crate::cli::{
    api::{Api, Ask, Tenant},
    connect::url_of,
};

/// Tenants.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TenantCommand {
    /// List all tenants.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show the servers, toolsets and keys of a tenant.
    Show {
        /// The tenant.
        tenant: Slug,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Delete a tenant with its servers, toolsets and keys. Its audit stays.
    Delete {
        /// The tenant.
        tenant: Slug,
        /// Yes, for good.
        #[arg(long)]
        yes: bool,
    },
}

/// What is told of a tenant beside its document.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) generation: u64,
    /// Where clients reach the gateway.
    pub(super) base: String,
    pub(super) keys_active: usize,
    pub(super) keys: usize,
}

impl TenantCommand {
    pub(in crate::cli) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let api = Api::open(desk).await?;
        let done = match self {
            Self::List { json } => list(&api, json).await,
            Self::Show { tenant, json } => show(&api, &tenant, json).await,
            Self::Delete { tenant, yes } => delete(&api, &tenant, yes).await,
        };
        api.close().await;
        done
    }
}

async fn list(api: &Api, json: bool) -> anyhow::Result<()> {
    let tenants: Vec<Tenant> = api.all(|| Ask::get("/tenants")).await?;
    if json {
        let shown: Vec<_> = tenants.iter().map(summary).collect();
        say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if tenants.is_empty() {
        say("there are no tenants: make one with `patchbay apply -f FILE` or `patchbay import FILE --tenant NAME`");
    }
    for tenant in &tenants {
        let off = if tenant.enabled { "" } else { "  switched off" };
        let title = tenant.title.as_deref().unwrap_or_default();
        say(format!("{:20}  generation {:<6}{off}  {title}", tenant.name.as_str(), tenant.generation).trim_end());
    }
    Ok(())
}

fn summary(tenant: &Tenant) -> Value {
    json!({
        "tenant": tenant.name, "title": tenant.title, "enabled": tenant.enabled, "generation": tenant.generation,
    })
}

async fn show(api: &Api, slug: &Slug, json: bool) -> anyhow::Result<()> {
    let generation = api.tenant(slug).await?.generation;
    let doc = api.tenant_doc(slug).await?;
    let (keys_active, keys) = count(api, slug).await?;
    let beside = Beside { generation, base: api.base().await?, keys_active, keys };
    say(&if json { serde_json::to_string_pretty(&object(&doc, &beside))? } else { text(&doc, &beside) });
    Ok(())
}

/// How many keys open something, and how many there are.
async fn count(api: &Api, slug: &Slug) -> anyhow::Result<(usize, usize)> {
    #[derive(Deserialize)]
    struct Key {
        state: String,
    }
    let keys: Vec<Key> = api.all_in_tenant(slug, || Ask::get(format!("/tenants/{slug}/keys"))).await?;
    Ok((keys.iter().filter(|key| key.state == "active").count(), keys.len()))
}

pub(super) fn object(doc: &TenantDoc, beside: &Beside) -> Value {
    let servers: Vec<_> = doc
        .servers
        .iter()
        .map(|(name, server)| {
            let secrets: Vec<_> = server.secrets.keys().collect();
            json!({ "server": name, "spec": server.spec, "secrets": secrets })
        })
        .collect();
    let toolsets: Vec<_> = doc
        .toolsets
        .iter()
        .map(|(name, spec)| json!({ "toolset": name, "url": url_of(&beside.base, &doc.slug, name), "spec": spec }))
        .collect();
    let issuers: Vec<_> = doc
        .issuers
        .iter()
        .map(|(name, issuer)| {
            let secrets: Vec<_> = issuer.secrets.keys().collect();
            json!({ "issuer": name, "spec": issuer.spec, "secrets": secrets })
        })
        .collect();
    json!({
        "tenant": doc.slug, "title": doc.title, "enabled": doc.enabled, "generation": beside.generation,
        "issuers": issuers, "servers": servers, "toolsets": toolsets, "limits": doc.limits,
        "keys": { "active": beside.keys_active, "all": beside.keys },
    })
}

pub(super) fn text(doc: &TenantDoc, beside: &Beside) -> String {
    let Beside { generation, base, keys_active, keys } = beside;
    let title = doc.title.as_ref().map_or_else(String::new, |title| format!(" ({title})"));
    let off = if doc.enabled { "" } else { ", switched off" };
    let mut lines = vec![format!("{}{title}, generation {generation}{off}", doc.slug), "servers:".to_owned()];
    lines.extend(doc.servers.iter().map(|(name, server)| format!("  {}", server_line(name, server))));
    if doc.servers.is_empty() {
        lines.push("  none".to_owned());
    }
    lines.push("toolsets:".to_owned());
    for (name, spec) in &doc.toolsets {
        let servers = spec.servers.as_ref().map_or_else(
            || "all servers".to_owned(),
            |names| names.iter().map(Slug::as_str).collect::<Vec<_>>().join(", "),
        );
        let access = match spec.access {
            Access::Key => "with a key",
            Access::Oauth => "with a token",
            Access::Both => "with a key or a token",
            Access::Anonymous => "open to everybody",
        };
        lines.push(format!("  {name}  {}  {access}  {servers}", url_of(base, &doc.slug, name)));
    }
    if !doc.issuers.is_empty() {
        lines.push("issuers:".to_owned());
        lines.extend(doc.issuers.iter().map(|(name, issuer)| format!("  {name}  {}", issuer.spec.issuer)));
    }
    lines.push(format!("keys: {keys_active} active of {keys}"));
    lines.join("\n")
}

fn server_line(name: &Slug, server: &ServerDoc) -> String {
    let how = match &server.spec.transport {
        Transport::Builtin { name, .. } => format!("builtin  {name}"),
        Transport::Stdio { command, args, .. } => {
            let words: Vec<_> = std::iter::once(command).chain(args).map(String::as_str).collect();
            format!("stdio  {}", words.join(" "))
        }
        Transport::Http { url, oauth: None, .. } => format!("http  {url}"),
        Transport::Http { url, oauth: Some(oauth), .. } => format!("http  {url}  as {}", oauth.client_id),
    };
    let off = if server.spec.enabled { "" } else { "  switched off" };
    let names: Vec<_> = server.secrets.keys().map(String::as_str).collect();
    let secrets = if names.is_empty() { String::new() } else { format!("  secrets: {}", names.join(", ")) };
    format!("{name}  {how}{off}{secrets}")
}

async fn delete(api: &Api, slug: &Slug, yes: bool) -> anyhow::Result<()> {
    api.tenant(slug).await?;
    if !yes {
        let (active, _) = count(api, slug).await?;
        anyhow::bail!(
            "this would delete {slug} for good, with its servers, their secrets and its keys ({active} active): repeat it with --yes if \
             that is meant (`patchbay export --tenant {slug}` keeps the rest)"
        );
    }
    match api.ask(Ask::delete(format!("/tenants/{slug}"))).await {
        Ok(_) => say(&format!("{slug} is deleted")),
        Err(trouble) if trouble.is(404) => say(&format!("{slug} was deleted by somebody else")),
        Err(trouble) => return Err(trouble.into()),
    }
    Ok(())
}
