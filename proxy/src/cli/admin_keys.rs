//! `admin-key create`, `admin-key list`, `admin-key revoke`, `admin-key rotate`: keys of those who administer, over the admin API.

use clap::{Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use patchbay_core::Slug;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Desk,
    api::{Api, Ask},
    keys::{self, KeyMade, KeyTold, seconds},
    say,
};

/// Admin keys.
#[derive(Debug, Subcommand)]
pub(super) enum AdminKey {
    /// Make an admin key. It is shown once and kept nowhere.
    Create {
        /// What it may do.
        #[arg(long)]
        role: Role,
        /// The tenant that the role is about.
        #[arg(long, required_if_eq_any = [("role", "tenant_admin"), ("role", "tenant_viewer")])]
        tenant: Option<Slug>,
        /// What people call it.
        #[arg(long)]
        label: String,
        /// After how many days it is refused.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: Option<u32>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List the admin keys that you may manage.
    List {
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<Slug>,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Refuse an admin key from now on, on every replica at once.
    Revoke {
        /// The key's id, or its visible beginning (`pba_…`), as `admin-key list` shows them.
        key: String,
    },
    /// Make a key in the place of another, with the same label and role. It is shown once and kept nowhere.
    Rotate {
        /// The former key's id, or its visible beginning (`pba_…`), as `admin-key list` shows them.
        key: String,
        /// For how many seconds the former key still opens what it did. Without: it is refused from now on.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        overlap_s: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What an admin may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Role {
    /// Everything.
    PlatformAdmin,
    /// Everything that belongs to one tenant.
    TenantAdmin,
    /// To look at what belongs to one tenant.
    TenantViewer,
}

/// An admin key as the API tells of it.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(flatten)]
    key: KeyTold,
    role: String,
    #[serde(default)]
    tenant: Option<String>,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::PlatformAdmin => "platform_admin",
            Self::TenantAdmin => "tenant_admin",
            Self::TenantViewer => "tenant_viewer",
        }
    }
}

impl AdminKey {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let api = Api::open(desk).await?;
        let done = match self {
            Self::Create { role, tenant, label, expires_days, json } => {
                let expires = expires_days.map(in_days);
                let new = json!({ "label": label, "role": role.word(), "tenant": tenant, "expires": expires });
                make(&api, Ask::post("/admin-keys", &new), json).await
            }
            Self::List { tenant, json } => list(&api, tenant.as_ref(), json).await,
            Self::Revoke { key } => revoke(&api, &key).await,
            Self::Rotate { key, overlap_s, json } => rotate(&api, &key, overlap_s, json).await,
        };
        api.close().await;
        done
    }
}

fn in_days(days: u32) -> String {
    let at = Timestamp::now().checked_add(SignedDuration::from_hours(24 * i64::from(days)));
    at.unwrap_or(Timestamp::MAX).to_string()
}

/// Makes a key by this request and shows it.
async fn make(api: &Api, ask: Ask, json: bool) -> anyhow::Result<()> {
    let answer = api.ask(ask).await?;
    let (KeyMade { key, .. }, about) = (answer.read()?, answer.read::<Told>()?);
    if json {
        let mut shown = about.shown();
        shown["key"] = json!(key);
        say(&shown.to_string());
    } else {
        say(&format!("{key}\n\nThis is the only time that the key is shown. Whoever has it uses it so:"));
        say("  PATCHBAY_ADMIN_KEY=… patchbay --server URL tenant list");
    }
    Ok(())
}

async fn all(api: &Api, tenant: Option<&Slug>) -> anyhow::Result<Vec<Told>> {
    api.all(|| Ask::get("/admin-keys").with("tenant", tenant)).await
}

async fn list(api: &Api, tenant: Option<&Slug>, json: bool) -> anyhow::Result<()> {
    let keys = all(api, tenant).await?;
    if json {
        let shown: Vec<_> = keys.iter().map(Told::shown).collect();
        say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if keys.is_empty() {
        say("there are no admin keys: make one with `patchbay admin-key create --role ROLE --label NAME`");
    }
    for told in &keys {
        let of = told.tenant.as_ref().map_or_else(String::new, |tenant| format!(" of {tenant}"));
        say(&format!("{}  {}{of}", keys::line(&told.key, &told.key.label), told.role));
    }
    Ok(())
}

impl Told {
    fn shown(&self) -> Value {
        let Self { key, role, tenant } = self;
        let time = |at: &Option<String>| at.as_deref().map(seconds);
        json!({
            "id": key.id, "label": key.label, "shown": key.shown, "role": role, "tenant": tenant, "state": key.state,
            "created": seconds(&key.created), "expires": time(&key.expires), "revoked": time(&key.revoked),
            "used": time(&key.used),
        })
    }
}

/// The one key that is meant.
async fn meant(api: &Api, wanted: &str) -> anyhow::Result<KeyTold> {
    let keys: Vec<_> = all(api, None).await?.into_iter().map(|told| told.key).collect();
    let at = keys::only(&keys, wanted).map(|key| key.id.clone()).map_err(|count| {
        anyhow::anyhow!("{count} admin keys are called `{wanted}`: give the id of one, from `patchbay admin-key list`")
    })?;
    Ok(keys.into_iter().find(|key| key.id == at).expect("it was found among these"))
}

async fn revoke(api: &Api, wanted: &str) -> anyhow::Result<()> {
    let key = meant(api, wanted).await?;
    if key.state == "revoked" {
        say("it was revoked before");
        return Ok(());
    }
    api.ask(Ask::delete(format!("/admin-keys/{}", key.id))).await?;
    say("revoked");
    Ok(())
}

async fn rotate(api: &Api, wanted: &str, overlap_s: u32, json: bool) -> anyhow::Result<()> {
    let key = meant(api, wanted).await?;
    let ask = Ask::post(format!("/admin-keys/{}/rotate", key.id), &json!({ "overlap_s": overlap_s }));
    make(api, ask, json).await
}
