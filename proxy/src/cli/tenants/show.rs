//! `tenant list`, `tenant show` and `tenant delete`. Of secrets, only the names are shown.

use clap::Subcommand;
use patchbay_config::GatewayConfig;
use patchbay_core::{
    Slug,
    model::{Access, KeyRow, ServerRow, TenantRow, Transport},
};
use patchbay_store::{Store, TenantSummary};
use serde_json::{Value, json};

use super::{Desk, keys, note, say};
use crate::{
    audit,
    cli::connect::{base_of, url_of},
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

impl TenantCommand {
    pub(in crate::cli) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let config = desk.config()?;
        let store = desk.store().await?;
        let done = match self {
            Self::List { json } => list(&*store, json).await,
            Self::Show { tenant, json } => show(&*store, &config, &tenant, json).await,
            Self::Delete { tenant, yes } => delete(&*store, &tenant, yes).await,
        };
        store.close().await;
        done
    }
}

async fn list(store: &dyn Store, json: bool) -> anyhow::Result<()> {
    let tenants = store.tenant_list().await?;
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
        say(format!("{:20}  generation {:<6}{off}  {title}", tenant.slug.as_str(), tenant.generation.0).trim_end());
    }
    Ok(())
}

fn summary(tenant: &TenantSummary) -> Value {
    json!({
        "tenant": tenant.slug, "title": tenant.title, "enabled": tenant.enabled, "generation": tenant.generation,
    })
}

async fn show(store: &dyn Store, config: &GatewayConfig, slug: &Slug, json: bool) -> anyhow::Result<()> {
    let row = keys::tenant(store, slug).await?;
    let all = store.key_list(row.id).await?;
    let base = base_of(config, config.listen_mcp);
    let active = active(&all, audit::now_ms());
    say(&if json {
        serde_json::to_string_pretty(&object(&row, &base, active, all.len()))?
    } else {
        text(&row, &base, active, all.len())
    });
    Ok(())
}

fn active(all: &[KeyRow], now_ms: i64) -> usize {
    let opens = |key: &&KeyRow| key.revoked_ms.is_none() && key.expires_ms.is_none_or(|at_ms| at_ms > now_ms);
    all.iter().filter(opens).count()
}

pub(super) fn object(row: &TenantRow, base: &str, keys_active: usize, keys: usize) -> Value {
    let servers: Vec<_> = row
        .servers
        .iter()
        .map(|server| {
            let secrets: Vec<_> = server.secrets.0.keys().collect();
            json!({ "server": server.slug, "spec": server.spec, "secrets": secrets })
        })
        .collect();
    let toolsets: Vec<_> = row
        .toolsets
        .iter()
        .map(|(name, spec)| json!({ "toolset": name, "url": url_of(base, &row.slug, name), "spec": spec }))
        .collect();
    let issuers: Vec<_> = row
        .issuers
        .iter()
        .map(|issuer| {
            let secrets: Vec<_> = issuer.secrets.0.keys().collect();
            json!({ "issuer": issuer.slug, "spec": issuer.spec, "secrets": secrets })
        })
        .collect();
    json!({
        "tenant": row.slug, "title": row.title, "enabled": row.enabled, "generation": row.generation,
        "issuers": issuers, "servers": servers, "toolsets": toolsets, "limits": row.limits,
        "keys": { "active": keys_active, "all": keys },
    })
}

pub(super) fn text(row: &TenantRow, base: &str, keys_active: usize, keys: usize) -> String {
    let title = row.title.as_ref().map_or_else(String::new, |title| format!(" ({title})"));
    let off = if row.enabled { "" } else { ", switched off" };
    let mut lines = vec![format!("{}{title}, generation {}{off}", row.slug, row.generation), "servers:".to_owned()];
    lines.extend(row.servers.iter().map(|server| format!("  {}", server_line(server))));
    if row.servers.is_empty() {
        lines.push("  none".to_owned());
    }
    lines.push("toolsets:".to_owned());
    for (name, spec) in &row.toolsets {
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
        lines.push(format!("  {name}  {}  {access}  {servers}", url_of(base, &row.slug, name)));
    }
    if !row.issuers.is_empty() {
        lines.push("issuers:".to_owned());
        lines.extend(row.issuers.iter().map(|issuer| format!("  {}  {}", issuer.slug, issuer.spec.issuer)));
    }
    lines.push(format!("keys: {keys_active} active of {keys}"));
    lines.join("\n")
}

fn server_line(server: &ServerRow) -> String {
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
    let names: Vec<_> = server.secrets.0.keys().map(String::as_str).collect();
    let secrets = if names.is_empty() { String::new() } else { format!("  secrets: {}", names.join(", ")) };
    format!("{}  {how}{off}{secrets}", server.slug)
}

async fn delete(store: &dyn Store, slug: &Slug, yes: bool) -> anyhow::Result<()> {
    let tenants = store.tenant_list().await?;
    let Some(tenant) = tenants.iter().find(|tenant| tenant.slug == *slug) else {
        // Says it in the words of the other commands.
        return keys::tenant(store, slug).await.map(drop);
    };
    if !yes {
        let all = store.key_list(tenant.id).await?;
        anyhow::bail!(
            "this would delete {slug} for good, with its servers, their secrets and its keys ({} active): repeat it with --yes if that is \
             meant (`patchbay export --tenant {slug}` keeps the rest)",
            active(&all, audit::now_ms())
        );
    }
    let gone = store.tenant_delete(slug, None, &note(format!("deleted {slug}"))).await?;
    say(&if gone { format!("{slug} is deleted") } else { format!("{slug} was deleted by somebody else") });
    Ok(())
}
