//! `token explain`, `token revoke`, `token revoked` and `token restore`. A token is read from a file or from standard input, never
//! from the command line, where others on the machine could read it; nothing here prints any of it.

mod explain;
mod revoke;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use patchbay_core::{RevocationId, Slug, model::DEFAULT_TOOLSET};

use super::{Desk, api::Api};

/// Access tokens of a tenant's issuers.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Say why a token is accepted or refused at a toolset, check by check. The exit code is 0 for a token that would be let in.
    Explain(Explain),
    /// Refuse a token, or all that somebody has, from now on: on every replica within five seconds.
    Revoke(Revoke),
    /// List what is revoked.
    Revoked {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Take a revocation back.
    Restore {
        /// Whose.
        #[arg(long)]
        tenant: Slug,
        /// The revocation's id, as `token revoked` shows it.
        id: RevocationId,
    },
}

/// Say why a token is accepted or refused at a toolset.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Whose toolset.
    #[arg(long)]
    tenant: Slug,
    /// The toolset.
    #[arg(long, default_value = DEFAULT_TOOLSET)]
    toolset: Slug,
    /// The file with the token. Without: standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The URL that clients use for the toolset. Without: public_url and the toolset's path.
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Refuse a token, or all that somebody has.
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// Whose.
    #[arg(long)]
    tenant: Slug,
    /// The name of the issuer in the tenant; not needed when it has only one.
    #[arg(long, value_name = "NAME")]
    issuer: Option<Slug>,
    #[command(flatten)]
    what: What,
    /// With --subject: only what was issued until now, so that signing in again helps.
    #[arg(long, requires = "subject")]
    until_now: bool,
    /// After how many days it is forgotten. Without: a day for a token, which cannot live longer; never for a subject.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    for_days: Option<u32>,
    /// Why, for those who read the list later.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What is revoked.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One token, by its `jti`.
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// All tokens of somebody, by the subject that the issuer gives them.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
}

impl Token {
    pub(super) async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        if let Self::Explain(explain) = self {
            desk.is_here("token explain")?;
            let store = desk.store().await?;
            let done = explain.run(&*store, &desk.config()?).await;
            store.close().await;
            return done;
        }
        let api = Api::open(desk).await?;
        let done = match self {
            Self::Explain(_) => Ok(()),
            Self::Revoke(revoke) => revoke.run(&api).await,
            Self::Revoked { tenant, json } => revoke::list(&api, &tenant, json).await,
            Self::Restore { tenant, id } => revoke::restore(&api, &tenant, id).await,
        };
        api.close().await;
        done
    }
}
