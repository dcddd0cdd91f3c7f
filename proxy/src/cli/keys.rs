//! `key create`, `key list`, `key revoke`.

use anyhow::Context;
use clap::Subcommand;
use jiff::{Span, Timestamp};
use patchbay_core::{
    Slug,
    model::{KeyRow, TenantRow},
};
use patchbay_store::Store;
use secrecy::ExposeSecret;

use super::{Desk, note, say};
use crate::{audit, auth::NewKey};

/// API keys.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key. It is shown once and kept nowhere.
    Create {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// What people call it.
        #[arg(long)]
        label: String,
        /// A toolset that it opens; give it several times for several. Without: all of the tenant.
        #[arg(long = "toolset", value_name = "TOOLSET")]
        toolsets: Vec<Slug>,
        /// After how many days it is refused.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: Option<u32>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List the keys of a tenant.
    List {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key from now on, on every replica within a second.
    Revoke {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The key's id, or its visible beginning (`pb_…`), as `key list` shows them.
        key: String,
    },
}

impl Key {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let store = desk.store().await?;
        let done = match self {
            Self::Create { tenant, label, toolsets, expires_days, json } => {
                create(&*store, &tenant, label, toolsets, expires_days, json).await
            }
            Self::List { tenant, json } => list(&*store, &tenant, json).await,
            Self::Revoke { tenant, key } => revoke(&*store, &tenant, &key).await,
        };
        store.close().await;
        done
    }
}

/// The tenant of that name, or a sentence that names those there are.
pub(super) async fn tenant(store: &dyn Store, slug: &Slug) -> anyhow::Result<TenantRow> {
    if let Some(row) = store.tenant_load(slug).await? {
        return Ok(row);
    }
    let known: Vec<_> = store.tenant_list().await?.into_iter().map(|tenant| tenant.slug.to_string()).collect();
    if known.is_empty() {
        anyhow::bail!("there is no tenant `{slug}`, and no other: make one with `patchbay apply -f FILE`");
    }
    anyhow::bail!("there is no tenant `{slug}`; there are: {}", known.join(", "))
}

async fn create(
    store: &dyn Store,
    slug: &Slug,
    label: String,
    toolsets: Vec<Slug>,
    expires_days: Option<u32>,
    json: bool,
) -> anyhow::Result<()> {
    let row = tenant(store, slug).await?;
    for wanted in &toolsets {
        if row.toolsets.iter().all(|(known, _)| known != wanted) {
            let known: Vec<_> = row.toolsets.iter().map(|(known, _)| known.as_str()).collect();
            anyhow::bail!("the tenant `{slug}` has no toolset `{wanted}`; it has: {}", known.join(", "));
        }
    }
    let now_ms = audit::now_ms();
    let expires_ms = expires_days.map(|days| now_ms + i64::from(days) * 24 * 3600 * 1000);
    let toolsets = (!toolsets.is_empty()).then_some(toolsets);
    let key = NewKey::generate(row.id, label, toolsets, now_ms, expires_ms);
    store.key_create(&key.row, &note(format!("made the key {} ({})", key.row.id, key.row.shown))).await?;
    let secret = key.secret.expose_secret();
    if json {
        say(&serde_json::json!({ "id": key.row.id, "key": secret, "tenant": slug, "label": key.row.label }).to_string());
    } else {
        say(&format!("{secret}\n\nThis is the only time that the key is shown. Paste it where your client wants it:"));
        say(&format!("  patchbay connect --tenant {slug}"));
    }
    Ok(())
}

async fn list(store: &dyn Store, slug: &Slug, json: bool) -> anyhow::Result<()> {
    let row = tenant(store, slug).await?;
    let keys = store.key_list(row.id).await?;
    let now_ms = audit::now_ms();
    if json {
        let shown: Vec<_> = keys.iter().map(|key| shown(key, now_ms)).collect();
        say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if keys.is_empty() {
        say(&format!(
            "the tenant {slug} has no keys: make one with `patchbay key create --tenant {slug} --label NAME`"
        ));
    }
    for key in &keys {
        let opens = key.toolsets.as_ref().map_or_else(
            || "all toolsets".to_owned(),
            |open| open.iter().map(Slug::as_str).collect::<Vec<_>>().join(", "),
        );
        say(&format!(
            "{}…  {}  {:8}  {}  made {}, last used {}  {}",
            key.shown,
            key.id,
            state(key, now_ms),
            key.label,
            time(Some(key.created_ms)),
            time(key.used_ms),
            opens,
        ));
    }
    Ok(())
}

fn shown(key: &KeyRow, now_ms: i64) -> serde_json::Value {
    serde_json::json!({
        "id": key.id, "label": key.label, "shown": key.shown, "toolsets": key.toolsets, "state": state(key, now_ms),
        "created": time(Some(key.created_ms)), "expires": key.expires_ms.map(|at| time(Some(at))),
        "revoked": key.revoked_ms.map(|at| time(Some(at))), "used": key.used_ms.map(|at| time(Some(at))),
    })
}

fn state(key: &KeyRow, now_ms: i64) -> &'static str {
    match key {
        KeyRow { revoked_ms: Some(_), .. } => "revoked",
        KeyRow { expires_ms: Some(at_ms), .. } if *at_ms <= now_ms => "expired",
        _ => "active",
    }
}

pub(super) fn time(at_ms: Option<i64>) -> String {
    let at = at_ms.and_then(|at_ms| Timestamp::UNIX_EPOCH.checked_add(Span::new().milliseconds(at_ms)).ok());
    at.map_or_else(|| "never".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

async fn revoke(store: &dyn Store, slug: &Slug, wanted: &str) -> anyhow::Result<()> {
    let row = tenant(store, slug).await?;
    let keys = store.key_list(row.id).await?;
    let named = |key: &&KeyRow| {
        key.id.to_string() == wanted || (wanted.len() >= 6 && key.shown.starts_with(wanted.trim_end_matches('…')))
    };
    let found: Vec<_> = keys.iter().filter(named).collect();
    let [key] = found[..] else {
        anyhow::bail!(
            "{} keys of {slug} are called `{wanted}`: give the id of one, from `patchbay key list`",
            found.len()
        );
    };
    let note = note(format!("revoked the key {} ({})", key.id, key.shown));
    let revoked = store.key_revoke(row.id, key.id, note.at_ms, &note).await.context("the key cannot be revoked")?;
    say(if revoked { "revoked" } else { "it was revoked before" });
    Ok(())
}
