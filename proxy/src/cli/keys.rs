//! `key create`, `key list`, `key revoke`, `key rotate`: API keys of tenants, over the admin API.

use std::fmt::Write;

use clap::Subcommand;
use jiff::Timestamp;
use patchbay_core::{Slug, model::TenantRow};
use patchbay_store::Store;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Desk,
    api::{Api, Ask, Trouble},
    say,
};

/// The least of a key's visible beginning that names it.
const SHOWN_CHARS_MIN: usize = 6;

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
    /// Make a key in the place of another, with the same label and toolsets. It is shown once and kept nowhere.
    Rotate {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The former key's id, or its visible beginning (`pb_…`), as `key list` shows them.
        key: String,
        /// For how many seconds the former key still opens what it did. Without: it is refused from now on.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        overlap_s: u32,
        /// After how many days the new one is refused. Without: as long after now as the former one after it was made.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: Option<u32>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// A key as the API tells of it, of a tenant or of an admin.
#[derive(Debug, Deserialize)]
pub(super) struct KeyTold {
    pub(super) id: String,
    pub(super) label: String,
    /// Its beginning.
    pub(super) shown: String,
    #[serde(default)]
    toolsets: Option<Vec<String>>,
    pub(super) state: String,
    pub(super) created: String,
    #[serde(default)]
    pub(super) expires: Option<String>,
    #[serde(default)]
    pub(super) revoked: Option<String>,
    #[serde(default)]
    pub(super) used: Option<String>,
}

/// A key that was just made.
#[derive(Deserialize)]
pub(super) struct KeyMade {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) label: String,
}

impl Key {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let api = Api::open(desk).await?;
        let done = match self {
            Self::Create { tenant, label, toolsets, expires_days, json } => {
                let new = json!({ "label": label, "toolsets": named(&toolsets), "expires_days": expires_days });
                create(&api, &tenant, &toolsets, &new, json).await
            }
            Self::List { tenant, json } => list(&api, &tenant, json).await,
            Self::Revoke { tenant, key } => revoke(&api, &tenant, &key).await,
            Self::Rotate { tenant, key, overlap_s, expires_days, json } => {
                let how = json!({ "overlap_s": overlap_s, "expires_days": expires_days });
                rotate(&api, &tenant, &key, &how, json).await
            }
        };
        api.close().await;
        done
    }
}

fn named(toolsets: &[Slug]) -> Option<&[Slug]> {
    (!toolsets.is_empty()).then_some(toolsets)
}

/// The tenant of that name in the store, or a sentence that names those there are; for what works on the store itself.
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

async fn create(api: &Api, slug: &Slug, toolsets: &[Slug], new: &Value, json: bool) -> anyhow::Result<()> {
    let made = api.in_tenant(slug, Ask::post(format!("/tenants/{slug}/keys"), new)).await;
    match made {
        Ok(answer) => tell_made(&answer.read()?, slug, json),
        Err(error) => return Err(without_toolset(api, slug, toolsets, error).await),
    }
    Ok(())
}

/// Says it of a toolset that is not there, with those there are.
async fn without_toolset(api: &Api, slug: &Slug, wanted: &[Slug], error: anyhow::Error) -> anyhow::Error {
    let is_toolset = error.downcast_ref().is_some_and(|trouble: &Trouble| trouble.is_at("/toolsets"));
    let Ok(doc) = (if is_toolset { api.tenant_doc(slug).await } else { return error }) else { return error };
    let Some(wanted) = wanted.iter().find(|wanted| !doc.toolsets.contains_key(*wanted)) else { return error };
    let known: Vec<_> = doc.toolsets.keys().map(Slug::as_str).collect();
    anyhow::anyhow!("the tenant `{slug}` has no toolset `{wanted}`; it has: {}", known.join(", "))
}

fn tell_made(made: &KeyMade, slug: &Slug, json: bool) {
    let KeyMade { id, key, label } = made;
    if json {
        say(&json!({ "id": id, "key": key, "tenant": slug, "label": label }).to_string());
    } else {
        say(&format!("{key}\n\nThis is the only time that the key is shown. Paste it where your client wants it:"));
        say(&format!("  patchbay connect --tenant {slug}"));
    }
}

async fn all(api: &Api, slug: &Slug) -> anyhow::Result<Vec<KeyTold>> {
    api.all_in_tenant(slug, || Ask::get(format!("/tenants/{slug}/keys"))).await
}

async fn list(api: &Api, slug: &Slug, json: bool) -> anyhow::Result<()> {
    let keys = all(api, slug).await?;
    if json {
        let shown: Vec<_> = keys.iter().map(shown).collect();
        say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if keys.is_empty() {
        say(&format!(
            "the tenant {slug} has no keys: make one with `patchbay key create --tenant {slug} --label NAME`"
        ));
    }
    for key in &keys {
        let opens = key.toolsets.as_ref().map_or_else(|| "all toolsets".to_owned(), |open| open.join(", "));
        say(&format!("{}  {opens}", line(key, &key.label)));
    }
    Ok(())
}

/// A key in a line, with what people know it by.
pub(super) fn line(key: &KeyTold, label: &str) -> String {
    let mut line = format!("{}…  {}  {:8}  {label}  made {}", key.shown, key.id, key.state, seconds(&key.created));
    let _ = write!(line, ", last used {}", key.used.as_deref().map_or_else(|| "never".to_owned(), seconds));
    line
}

fn shown(key: &KeyTold) -> Value {
    let time = |at: &Option<String>| at.as_deref().map(seconds);
    json!({
        "id": key.id, "label": key.label, "shown": key.shown, "toolsets": key.toolsets, "state": key.state,
        "created": seconds(&key.created), "expires": time(&key.expires), "revoked": time(&key.revoked), "used": time(&key.used),
    })
}

/// A time of the API, to the second.
pub(super) fn seconds(at: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The one key that is meant.
pub(super) fn only<'a>(keys: &'a [KeyTold], wanted: &str) -> Result<&'a KeyTold, usize> {
    let named = |key: &&KeyTold| {
        key.id == wanted || (wanted.len() >= SHOWN_CHARS_MIN && key.shown.starts_with(wanted.trim_end_matches('…')))
    };
    let found: Vec<_> = keys.iter().filter(named).collect();
    match found[..] {
        [key] => Ok(key),
        _ => Err(found.len()),
    }
}

fn meant<'a>(keys: &'a [KeyTold], slug: &Slug, wanted: &str) -> anyhow::Result<&'a KeyTold> {
    only(keys, wanted).map_err(|count| {
        anyhow::anyhow!("{count} keys of {slug} are called `{wanted}`: give the id of one, from `patchbay key list`")
    })
}

async fn revoke(api: &Api, slug: &Slug, wanted: &str) -> anyhow::Result<()> {
    let keys = all(api, slug).await?;
    let key = meant(&keys, slug, wanted)?;
    if key.state == "revoked" {
        say("it was revoked before");
        return Ok(());
    }
    api.in_tenant(slug, Ask::delete(format!("/tenants/{slug}/keys/{}", key.id))).await?;
    say("revoked");
    Ok(())
}

async fn rotate(api: &Api, slug: &Slug, wanted: &str, how: &Value, json: bool) -> anyhow::Result<()> {
    let keys = all(api, slug).await?;
    let key = meant(&keys, slug, wanted)?;
    let made = api.in_tenant(slug, Ask::post(format!("/tenants/{slug}/keys/{}/rotate", key.id), how)).await?;
    tell_made(&made.read()?, slug, json);
    Ok(())
}
