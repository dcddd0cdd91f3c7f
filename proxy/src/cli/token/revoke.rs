//! Revocations: made, listed, taken back, over the admin API. A gateway that runs hears of each through the store.

use patchbay_core::{RevocationId, Slug, issuer::Revoked};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Revoke;
use crate::cli::{
    api::{Api, Ask, Trouble},
    keys::seconds,
    say,
};

/// A revocation as the API tells of it.
#[derive(Debug, Deserialize)]
struct Told {
    id: RevocationId,
    kind: String,
    iss: String,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    created: String,
    #[serde(default)]
    expires: Option<String>,
}

impl Revoke {
    pub(super) async fn run(self, api: &Api) -> anyhow::Result<()> {
        let Self { tenant, issuer, what, until_now, for_days, reason } = self;
        let new = json!({
            "issuer": issuer, "jti": what.jti, "subject": what.subject, "until_now": until_now, "reason": reason, "for_days": for_days,
        });
        let made = api.in_tenant(&tenant, Ask::post(format!("/tenants/{tenant}/revocations"), &new)).await;
        let answer = match made {
            Ok(answer) => answer,
            Err(error) => return Err(without_issuer(api, &tenant, issuer.as_ref(), error).await),
        };
        if answer.status == 200 {
            say("it is revoked already, and for as long");
            return Ok(());
        }
        let Told { id, .. } = answer.read()?;
        say(&format!("revoked; to take it back: patchbay token restore --tenant {tenant} {id}"));
        Ok(())
    }
}

/// Says it of an issuer that is not there or not named, with those there are.
async fn without_issuer(api: &Api, tenant: &Slug, wanted: Option<&Slug>, error: anyhow::Error) -> anyhow::Error {
    let is_issuer = error.downcast_ref().is_some_and(|trouble: &Trouble| trouble.is_at("/issuer"));
    let Ok(doc) = (if is_issuer { api.tenant_doc(tenant).await } else { return error }) else { return error };
    let names = doc.issuers.keys().map(Slug::as_str).collect::<Vec<_>>().join(", ");
    match wanted {
        _ if doc.issuers.is_empty() => anyhow::anyhow!("the tenant `{tenant}` has no issuers, so it takes no tokens"),
        Some(wanted) if !doc.issuers.contains_key(wanted) => {
            anyhow::anyhow!("the tenant `{tenant}` has no issuer `{wanted}`; it has: {names}")
        }
        None => anyhow::anyhow!("the tenant `{tenant}` has several issuers; say which with --issuer: {names}"),
        Some(_) => error,
    }
}

pub(super) async fn list(api: &Api, slug: &Slug, json: bool) -> anyhow::Result<()> {
    let revoked: Vec<Told> = api.all_in_tenant(slug, || Ask::get(format!("/tenants/{slug}/revocations"))).await?;
    if json {
        let shown: Vec<_> = revoked.iter().map(Told::shown).collect();
        say(&serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    if revoked.is_empty() {
        say(&format!("nothing is revoked in {slug}"));
    }
    for told in &revoked {
        let why = told.reason.as_ref().map_or_else(String::new, |why| format!("  ({why})"));
        let until = told.expires.as_deref().map_or_else(|| "taken back".to_owned(), seconds);
        say(&format!("{}  {}  since {}, until {until}{why}", told.id, told.words(), seconds(&told.created)));
    }
    Ok(())
}

pub(super) async fn restore(api: &Api, slug: &Slug, id: RevocationId) -> anyhow::Result<()> {
    match api.in_tenant(slug, Ask::delete(format!("/tenants/{slug}/revocations/{id}"))).await {
        Ok(_) => say("taken back"),
        Err(error) if error.downcast_ref().is_some_and(|trouble: &Trouble| trouble.is(404)) => {
            anyhow::bail!("{slug} has no revocation {id}: `patchbay token revoked --tenant {slug}` lists them")
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

impl Told {
    /// What is revoked, as the store has it.
    fn what(&self) -> Option<Revoked> {
        let (issuer, subject) = (self.iss.clone(), self.subject.clone());
        Some(match &*self.kind {
            "token" => Revoked::Token { issuer, jti: self.jti.clone()? },
            "subject" => Revoked::Subject { issuer, subject: subject? },
            "subject_before" => Revoked::SubjectBefore { issuer, subject: subject? },
            _ => return None,
        })
    }

    fn words(&self) -> String {
        match self.what() {
            Some(Revoked::Token { issuer, jti }) => format!("the token {jti} of {issuer}"),
            Some(Revoked::Subject { issuer, subject }) => format!("all tokens of {subject} at {issuer}"),
            Some(Revoked::SubjectBefore { issuer, subject }) => format!("the older tokens of {subject} at {issuer}"),
            None => format!("{} of {}", self.kind, self.iss),
        }
    }

    fn shown(&self) -> Value {
        json!({
            "id": self.id, "what": self.what(), "reason": self.reason, "created": seconds(&self.created),
            "expires": self.expires.as_deref().map(seconds),
        })
    }
}
