//! `session list` and `session end`: legacy sessions of a tenant. Which there are, only a running gateway knows.

use clap::Subcommand;
use patchbay_core::Slug;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Desk,
    api::{Api, Ask, segment},
    keys::seconds,
    say,
};

/// Legacy sessions.
#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List the open sessions that the replica which answers has met. Modern clients have none.
    List {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// Only those of this principal: the id of an API key, or a person as ISSUER:SUBJECT.
        #[arg(long, value_name = "KEY_ID|ISSUER:SUBJECT")]
        principal: Option<String>,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// End a session on all replicas. Its client opens another.
    End {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The session's id, as `session list` shows it.
        id: String,
    },
}

#[derive(Debug, Deserialize)]
struct Told {
    id: String,
    principal: Who,
    revision: String,
    began: String,
    last_used: String,
}

#[derive(Debug, Deserialize)]
struct Who {
    kind: String,
    key: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
}

impl Session {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        if let Self::List { .. } = &self {
            desk.needs_gateway("which sessions there are")?;
        }
        let api = Api::open(desk).await?;
        let done = match self {
            Self::List { tenant, principal, json } => list(&api, &tenant, principal.as_deref(), json).await,
            Self::End { tenant, id } => end(&api, &tenant, &id).await,
        };
        api.close().await;
        done
    }
}

async fn list(api: &Api, tenant: &Slug, principal: Option<&str>, json: bool) -> anyhow::Result<()> {
    let ask = || Ask::get(format!("/tenants/{tenant}/sessions")).with("principal", principal);
    let sessions: Vec<Value> = api.all_in_tenant(tenant, ask).await?;
    if json {
        say(&serde_json::to_string_pretty(&sessions)?);
        return Ok(());
    }
    if sessions.is_empty() {
        say(&format!("this replica has met no open session of {tenant}"));
    }
    for session in sessions {
        let Told { id, principal, revision, began, last_used } = serde_json::from_value(session)?;
        let who = principal.words();
        say(&format!("{id}  {revision}  {who}  opened {}, last used {}", seconds(&began), seconds(&last_used)));
    }
    Ok(())
}

impl Who {
    fn words(&self) -> String {
        match (&self.key, &self.issuer, &self.subject) {
            (Some(key), ..) => format!("key {key}"),
            (None, Some(issuer), Some(subject)) => format!("{issuer}:{}", subject.escape_debug()),
            _ => self.kind.clone(),
        }
    }
}

async fn end(api: &Api, tenant: &Slug, id: &str) -> anyhow::Result<()> {
    let ask = Ask::delete(format!("/tenants/{tenant}/sessions/{}", segment(id)));
    match api.in_tenant(tenant, ask).await {
        Ok(_) => say("ended: it opens nothing any more"),
        Err(error) if error.downcast_ref().is_some_and(|trouble: &super::api::Trouble| trouble.is(404)) => {
            anyhow::bail!(
                "`{id}` is no id of a session: expected 32 hexadecimal digits, as `patchbay session list` shows them"
            )
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
