//! The whole document of a tenant: read, rehearsed, put. What `patchbay export` and `patchbay apply` do, they do here.

use std::sync::Arc;

use axum::{
    Json as Told,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use patchbay_config::{diff, tenant_from_yaml, tenant_to_json, tenant_to_yaml};
use patchbay_core::{
    Generation, Slug,
    admin::Need,
    model::{TenantDoc, TenantRow},
};
use patchbay_store::StoreError;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{SOURCE, applied_row, contended, fields, judge, part::Part, pause, refuse_references, tries};
use crate::{
    control::doubts::{self, About, Doubt, Seen},
    edge::admin::{
        desk::Desk,
        input::{NoQuery, Path, Query, Written, name, wants_yaml, yaml},
        parts::field,
        problem::Problem,
        schema::TenantDocument,
        tag::{Condition, Tag},
        who::Admin,
    },
};

/// How a document is put.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct How {
    /// Only say what would be different, and write nothing.
    #[serde(default)]
    dry_run: bool,
    /// Only if the tenant is at this generation; 0 if there must be none yet. Beside the conditions in headers.
    expect_generation: Option<u64>,
}

/// What became of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentOutcome)]
pub(crate) struct Outcome {
    /// Whether it is different from what was there.
    changed: bool,
    /// The number of the state that is in force now; 0 when there is none.
    generation: u64,
    /// What is different, line by line, for people: `+` comes, `-` goes, `~` changes. Without secrets.
    diff: String,
    /// What will not work as it stands, in whole sentences.
    warnings: Vec<String>,
    /// What each of the warnings is about, in their order.
    about: Vec<AboutWarning>,
}

/// What a warning is about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AboutWarning {
    /// The server, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The command that the operator's list does not have, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl AboutWarning {
    fn of(doubt: &Doubt) -> Self {
        Self { server: doubt.server().map(Slug::to_string), command: doubt.command.clone() }
    }
}

/// The tenant as a tenant file says it; secrets as `${sealed}`, which keeps what is stored when it is put back. `Accept:
/// application/yaml` gives YAML.
#[utoipa::path(get, path = "/tenants/{tenant}/document", operation_id = "show_tenant_document", tag = "tenants", params(("tenant" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It.", headers(("ETag" = String, description = "Its state.")),
        content((TenantDocument = "application/json"), (String = "application/yaml")))))]
pub(in crate::edge::admin) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let row = desk.tenant(&tenant).await?;
    let (json, text) = (tenant_to_json(&row), tenant_to_yaml(&row));
    let mut response = if wants_yaml(&headers) {
        ([Tag::of(&text).header()], yaml(text)).into_response()
    } else {
        ([Tag::of(&json).header()], Told(json)).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Makes the tenant be what the document says, in one step: JSON, or YAML as in tenant files. A server that the document does not
/// have goes. `If-None-Match: *` makes a new tenant (platform admins). With `dry_run` nothing is written, and no condition needed.
#[utoipa::path(put, path = "/tenants/{tenant}/document", operation_id = "put_tenant_document", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name."), How,
        ("If-Match" = Option<String>, Header, description = "The document's ETag, or `*`."),
        ("If-None-Match" = Option<String>, Header, description = "`*` for a tenant that is not there yet.")),
    request_body(content((TenantDocument = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 200, description = "What is different.", body = Outcome, headers(("ETag" = String, description = "The document's state now; not in a dry run."))),
        (status = 201, description = "The tenant is new.", body = Outcome, headers(("ETag" = String, description = "The document's state."), ("Location" = String, description = "The tenant.")))))]
pub(in crate::edge::admin) async fn put(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(how): Query<How>,
    condition: Condition,
    Written(text): Written,
) -> Result<Response, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Change(&tenant))?;
    let note = pass.note(format!("made {tenant} be as a document says"));
    let asked = Put { desk: &desk, admin: &admin, tenant: &tenant, condition: &condition, how: &how };
    for tried in tries() {
        pause(tried).await;
        let held = asked.held().await?;
        asked.hold(&held)?;
        let doc = asked.read(&text)?;
        // Which secrets a closed tenant has is known to the store alone.
        if !matches!(held, Held::Closed(_)) {
            judge(&desk, &admin, &Part::Whole, &doc, held.row())?;
        }
        if how.dry_run {
            let outcome = asked.outcome(&doc, &held, None).await;
            return Ok(Told(outcome).into_response());
        }
        match desk.store().tenant_apply(&doc, held.generation(), &note).await {
            Ok(applied) => {
                let now = tenant_to_json(&applied_row(&doc, applied));
                let outcome = asked.outcome(&doc, &held, Some((applied.generation, applied.changed))).await;
                return Ok(asked.told(&held, &Tag::of(&now), outcome));
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(contended())
}

/// A document that is to be put.
struct Put<'a> {
    desk: &'a Desk,
    admin: &'a Admin,
    tenant: &'a Slug,
    condition: &'a Condition,
    how: &'a How,
}

/// What is there.
enum Held {
    Row(Box<TenantRow>),
    Nothing,
    /// A tenant of whose secrets one cannot be opened, and why. To give such secrets anew is the way out.
    Closed(String),
}

impl Held {
    fn row(&self) -> Option<&TenantRow> {
        match self {
            Self::Row(row) => Some(row),
            Self::Nothing | Self::Closed(_) => None,
        }
    }

    /// Where the store has to be for the change; anywhere when that cannot be known.
    fn generation(&self) -> Option<Generation> {
        match self {
            Self::Row(row) => Some(row.generation),
            Self::Nothing => Some(Generation(0)),
            Self::Closed(_) => None,
        }
    }
}

impl Put<'_> {
    async fn held(&self) -> Result<Held, Problem> {
        match self.desk.store().tenant_load(self.tenant).await {
            Ok(Some(row)) => Ok(Held::Row(Box::new(row))),
            Ok(None) => Ok(Held::Nothing),
            // What such a tenant is cannot be seen, so whoever replaces it must mean it, and must not be held against it.
            Err(StoreError::Sealed(why)) if self.condition.is_any() && self.admin.covers(Need::Platform) => {
                Ok(Held::Closed(why))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the request may change what is there: its role and its conditions.
    fn hold(&self, held: &Held) -> Result<(), Problem> {
        if matches!(held, Held::Nothing) {
            self.admin.may(Need::Platform)?;
        }
        if let (Some(wanted), Some(Generation(found))) = (self.how.expect_generation, held.generation())
            && wanted != found
        {
            return Err(Problem::other_generation(self.tenant, found, wanted));
        }
        if self.how.dry_run && self.condition.is_absent() {
            return Ok(());
        }
        match held {
            Held::Row(row) => {
                self.condition.change_one(&[&Tag::of(&tenant_to_json(row)), &Tag::of(&tenant_to_yaml(row))])
            }
            Held::Nothing => self.condition.put(None),
            Held::Closed(_) => Ok(()),
        }
    }

    fn read(&self, text: &str) -> Result<TenantDoc, Problem> {
        let doc =
            tenant_from_yaml(text, SOURCE, &refuse_references).map_err(|errors| Problem::invalid(fields(&errors)))?;
        if doc.slug == *self.tenant {
            return Ok(doc);
        }
        Err(field("/tenant", format!("expected `{}`, as in the path; a tenant keeps its name", self.tenant)))
    }

    /// Says what is different and what will not work; asks built-in servers for the latter, within a bounded time.
    async fn outcome(&self, doc: &TenantDoc, held: &Held, applied: Option<(Generation, bool)>) -> Outcome {
        let Seen { doubts, builtins } = doubts::look(self.desk.config(), doc, held.row());
        let mut doubts = doubts;
        let diff = match held {
            Held::Closed(why) => {
                doubts.push(Doubt::new(About::Tenant, format!("what is different cannot be shown: {why}")));
                String::new()
            }
            held => diff(held.row(), doc),
        };
        let (generation, changed) = applied.unwrap_or_else(|| {
            let changed = diff.lines().last().map(str::trim) != Some("nothing changes");
            (held.row().map_or(Generation(0), |row| row.generation), changed)
        });
        let asked = builtins.into_iter().map(|(name, server)| (((), name), server)).collect();
        doubts.extend(doubts::ask(asked).await.into_iter().map(|((), doubt)| doubt));
        let about = doubts.iter().map(AboutWarning::of).collect();
        let warnings = doubts.into_iter().map(|doubt| doubt.text).collect();
        Outcome { changed, generation: generation.0, diff, warnings, about }
    }

    fn told(&self, held: &Held, tag: &Tag, outcome: Outcome) -> Response {
        let is_new = matches!(held, Held::Nothing);
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = (status, [tag.header()], Told(outcome)).into_response();
        if is_new {
            response.headers_mut().insert(header::LOCATION, crate::edge::admin::tenants::location(self.tenant));
        }
        response
    }
}
