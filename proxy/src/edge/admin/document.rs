//! A tenant's document, and how a request changes it: taken as JSON, edited, read by the rules of tenant files, held against the
//! [`super::fence`], written if nobody else was faster, and done again if somebody was. Every noun that is a part of a tenant
//! changes it by [`Edit`].

pub(super) mod merge;
pub(super) mod part;
pub(super) mod sealed;
pub(super) mod whole;

use std::time::Duration;

use patchbay_config::{ConfigErrors, tenant_from_json, tenant_to_json};
use patchbay_core::{
    ServerId, Slug,
    admin::Need,
    issuer::{IssuerDoc, IssuerRow},
    model::{Secrets, ServerDoc, ServerRow, TenantDoc, TenantRow},
};
use patchbay_store::{Applied, StoreError};
use serde_json::Value as Json;

use self::part::Part;
use super::{
    desk::Desk,
    fence,
    problem::{FieldError, Problem},
    who::{Admin, Pass},
};

/// How often a change is made anew because others were faster. Each time somebody else's change was written, so this many of them
/// in a row mean that the tenant is changed without a pause.
const CHANGE_TRIES_MAX: u32 = 32;
/// The longest pause between two of them, in milliseconds.
const CHANGE_PAUSE_MAX_MS: u64 = 100;

/// What messages of `patchbay-config` call what came in a request; no answer shows it.
const SOURCE: &str = "the document";

/// A tenant and what its file would say.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// As the store has it.
    pub(crate) row: TenantRow,
    /// As a file, secrets as `${sealed}`.
    pub(crate) json: Json,
}

impl Document {
    fn of(row: TenantRow) -> Self {
        Self { json: tenant_to_json(&row), row }
    }
}

impl Desk {
    /// The document of that tenant. Whoever asks has been let through before.
    ///
    /// # Errors
    /// As [`Desk::tenant`].
    pub(crate) async fn document(&self, tenant: &Slug) -> Result<Document, Problem> {
        Ok(Document::of(self.tenant(tenant).await?))
    }
}

/// A change of one part of a tenant by somebody who may change the tenant.
pub(crate) struct Edit<'a> {
    desk: &'a Desk,
    admin: &'a Admin,
    pass: Pass,
    tenant: &'a Slug,
    part: Part<'a>,
}

/// What became of a change.
pub(crate) struct Changed<T> {
    /// What was there before.
    pub(crate) held: TenantRow,
    /// What was asked for, as it was understood.
    pub(crate) doc: TenantDoc,
    /// What is there now.
    pub(crate) now: Document,
    /// What the edit told.
    pub(crate) told: T,
}

impl<'a> Edit<'a> {
    /// Begins a change of this part.
    ///
    /// # Errors
    /// As [`Admin::may`].
    pub(crate) fn begin(desk: &'a Desk, admin: &'a Admin, tenant: &'a Slug, part: Part<'a>) -> Result<Self, Problem> {
        let pass = admin.may(Need::Change(tenant))?;
        Ok(Self { desk, admin, pass, tenant, part })
    }

    /// Makes the change. `edit` says what the document shall be, and is asked again, with the newer document, when somebody else
    /// was faster; so it is the place for conditions. `what` is for the audit.
    ///
    /// # Errors
    /// What `edit` refuses; 422 with all fields that are wrong; 403 with those that this role may not set so; 409 when others
    /// do not let the change through, or another part of the tenant does not.
    pub(crate) async fn change<T>(
        &self,
        what: impl Into<String>,
        edit: impl Fn(&Document) -> Result<(Json, T), Problem>,
    ) -> Result<Changed<T>, Problem> {
        let note = self.pass.note(what);
        for tried in tries() {
            pause(tried).await;
            let document = self.desk.document(self.tenant).await?;
            let (wanted, told) = edit(&document)?;
            let held = document.row;
            let doc = tenant_from_json(&wanted, SOURCE, &refuse_references);
            let doc = doc.map_err(|errors| self.part.refuse(fields(&errors), false))?;
            judge(self.desk, self.admin, &self.part, &doc, Some(&held))?;
            match self.desk.store().tenant_apply(&doc, Some(held.generation), &note).await {
                Ok(applied) => {
                    let now = Document::of(applied_row(&doc, applied));
                    return Ok(Changed { held, doc, now, told });
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended())
    }
}

/// Refuses what a tenant may not be: secrets to be kept that are not there, and what is beyond the fence of who asks.
///
/// # Errors
/// 422 or 403, with all fields.
pub(super) fn judge(
    desk: &Desk,
    admin: &Admin,
    part: &Part<'_>,
    doc: &TenantDoc,
    held: Option<&TenantRow>,
) -> Result<(), Problem> {
    let mut errors = sealed::absent(doc, held);
    let mut is_of_role = false;
    if !admin.covers(Need::Platform) {
        for refusal in fence::refusals(desk.config(), doc, held) {
            is_of_role |= refusal.is_of_role;
            errors.push(refusal.field);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(part.refuse(errors, is_of_role)) }
}

/// The fields that are wrong, by their pointers in the document.
pub(super) fn fields(errors: &ConfigErrors) -> Vec<FieldError> {
    let field =
        |error: &patchbay_config::ConfigError| FieldError { pointer: error.pointer(), detail: error.message.clone() };
    errors.iter().map(field).collect()
}

/// References are for files on the machine of whoever writes them.
///
/// # Errors
/// Always.
pub(super) fn refuse_references(_: &patchbay_config::SecretRef) -> Result<String, String> {
    Err("expected the value itself: `${env:…}` and `${file:…}` are looked up by the command line and never by the gateway; write \
         `$${` where the two characters are meant"
        .to_owned())
}

/// Waits a little longer each time, and never as long as those who wait beside us.
pub(super) async fn pause(tried: u32) {
    if tried > 0 {
        let longest_ms = (2_u64 << tried.min(10)).min(CHANGE_PAUSE_MAX_MS);
        let random = u64::from(u16::from_ne_bytes(patchbay_core::random_bytes()));
        tokio::time::sleep(Duration::from_millis(longest_ms * random / u64::from(u16::MAX))).await;
    }
}

/// How often a change is tried.
pub(super) const fn tries() -> std::ops::Range<u32> {
    0..CHANGE_TRIES_MAX
}

/// What is told when others were always faster.
pub(super) fn contended() -> Problem {
    Problem::conflict("many change this tenant at once, and this change never came first: send it again")
}

/// The tenant that the store has after this document was applied. Secrets are never shown, so it has only their names.
pub(super) fn applied_row(doc: &TenantDoc, applied: Applied) -> TenantRow {
    let server = |(slug, server): (&Slug, &ServerDoc)| ServerRow {
        id: ServerId::from_bits(0),
        slug: slug.clone(),
        spec: server.spec.clone(),
        secrets: Secrets::default(),
    };
    let issuer = |(slug, issuer): (&Slug, &IssuerDoc)| IssuerRow {
        slug: slug.clone(),
        spec: issuer.spec.clone(),
        secrets: Secrets::default(),
    };
    TenantRow {
        id: applied.id,
        slug: doc.slug.clone(),
        title: doc.title.clone(),
        enabled: doc.enabled,
        generation: applied.generation,
        limits: doc.limits.clone(),
        audit: doc.audit.clone(),
        servers: doc.servers.iter().map(server).collect(),
        toolsets: doc.toolsets.iter().map(|(slug, spec)| (slug.clone(), spec.clone())).collect(),
        issuers: doc.issuers.iter().map(issuer).collect(),
    }
}
