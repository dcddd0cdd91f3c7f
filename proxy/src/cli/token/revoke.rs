//! Revocations: made, listed, taken back. A gateway that runs hears of each through the store.

use anyhow::Context;
use patchbay_core::{
    RevocationId, Slug,
    issuer::{IssuerRow, RevocationRow, Revoked},
    model::TenantRow,
};
use patchbay_store::{Store, StoreError};
use serde_json::{Value, json};

use super::Revoke;
use crate::{
    audit,
    cli::{keys, note, say},
};

/// How long the revocation of one token is kept when nobody says so: the longest life that a token may have, and a little.
const TOKEN_DAYS: u32 = 2;
/// The longest subject, `jti` or reason.
const TEXT_BYTES_MAX: usize = 1024;

impl Revoke {
    pub(super) async fn run(self, store: &dyn Store) -> anyhow::Result<()> {
        let row = keys::tenant(store, &self.tenant).await?;
        let issuer = issuer(&row, self.issuer.as_ref())?.spec.issuer.clone();
        let texts = [&self.what.jti, &self.what.subject, &self.reason];
        if texts.into_iter().flatten().any(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
            anyhow::bail!("expected 1 to {TEXT_BYTES_MAX} bytes after --jti, --subject and --reason");
        }
        let now_ms = audit::now_ms();
        let (what, days) = match (self.what.jti, self.what.subject) {
            (Some(jti), _) => (Revoked::Token { issuer, jti }, Some(self.for_days.unwrap_or(TOKEN_DAYS))),
            (None, Some(subject)) if self.until_now => (Revoked::SubjectBefore { issuer, subject }, self.for_days),
            (None, Some(subject)) => (Revoked::Subject { issuer, subject }, self.for_days),
            (None, None) => anyhow::bail!("say what is revoked: --jti ID, or --subject SUBJECT"),
        };
        let revocation = RevocationRow {
            id: RevocationId::random(),
            tenant: row.id,
            what,
            reason: self.reason,
            created_ms: now_ms,
            expires_ms: days.map(|days| now_ms + i64::from(days) * 24 * 3600 * 1000),
        };
        let note = note(format!("revoked {} ({})", words(&revocation.what), revocation.id));
        match store.revocation_add(&revocation, &note).await {
            Ok(()) => {}
            Err(StoreError::Exists(_)) => {
                say("it is revoked already, and for as long");
                return Ok(());
            }
            Err(error) => return Err(error).context("it cannot be revoked"),
        }
        say(&format!("revoked; to take it back: patchbay token restore --tenant {} {}", row.slug, revocation.id));
        Ok(())
    }
}

/// The issuer of that name, or the only one.
fn issuer<'a>(row: &'a TenantRow, wanted: Option<&Slug>) -> anyhow::Result<&'a IssuerRow> {
    let names = || row.issuers.iter().map(|issuer| issuer.slug.as_str()).collect::<Vec<_>>().join(", ");
    match (wanted, &row.issuers[..]) {
        (_, []) => anyhow::bail!("the tenant `{}` has no issuers, so it takes no tokens", row.slug),
        (None, [only]) => Ok(only),
        (None, _) => {
            anyhow::bail!("the tenant `{}` has several issuers; say which with --issuer: {}", row.slug, names())
        }
        (Some(wanted), all) => all
            .iter()
            .find(|issuer| issuer.slug == *wanted)
            .with_context(|| format!("the tenant `{}` has no issuer `{wanted}`; it has: {}", row.slug, names())),
    }
}

pub(super) async fn list(store: &dyn Store, slug: &Slug, json: bool) -> anyhow::Result<()> {
    let row = keys::tenant(store, slug).await?;
    let revoked = store.revocation_list(row.id, audit::now_ms()).await?;
    if json {
        let shown: Vec<_> = revoked.iter().map(shown).collect();
        say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if revoked.is_empty() {
        say(&format!("nothing is revoked in {slug}"));
    }
    for revocation in &revoked {
        let why = revocation.reason.as_ref().map_or_else(String::new, |why| format!("  ({why})"));
        let until = revocation.expires_ms.map_or_else(|| "taken back".to_owned(), |at| keys::time(Some(at)));
        say(&format!(
            "{}  {}  since {}, until {until}{why}",
            revocation.id,
            words(&revocation.what),
            keys::time(Some(revocation.created_ms)),
        ));
    }
    Ok(())
}

pub(super) async fn restore(store: &dyn Store, slug: &Slug, id: RevocationId) -> anyhow::Result<()> {
    let row = keys::tenant(store, slug).await?;
    let note = note(format!("took back the revocation {id}"));
    if !store.revocation_lift(row.id, id, &note).await? {
        anyhow::bail!("{slug} has no revocation {id}: `patchbay token revoked --tenant {slug}` lists them");
    }
    say("taken back");
    Ok(())
}

fn words(what: &Revoked) -> String {
    match what {
        Revoked::Token { issuer, jti } => format!("the token {jti} of {issuer}"),
        Revoked::Subject { issuer, subject } => format!("all tokens of {subject} at {issuer}"),
        Revoked::SubjectBefore { issuer, subject } => format!("the older tokens of {subject} at {issuer}"),
    }
}

fn shown(revocation: &RevocationRow) -> Value {
    json!({
        "id": revocation.id, "what": revocation.what, "reason": revocation.reason,
        "created": keys::time(Some(revocation.created_ms)),
        "expires": revocation.expires_ms.map(|at| keys::time(Some(at))),
    })
}
