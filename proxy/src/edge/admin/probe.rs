//! Asking a server before it is saved. What may be asked is what may be saved: the same document, the same fence, the same list of
//! commands, the same networks; no request names a program. Asking starts children, so those are for platform admins alone.

use std::sync::Arc;

use axum::{Json, extract::State};
use patchbay_config::tenant_from_json;
use patchbay_core::{
    ServerId, Slug,
    admin::Need,
    era::Era,
    model::{Secrets, ServerDoc, ServerRow, TenantRow, Transport},
};
use patchbay_downstream::{Hello, catalog::RawCatalog};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    desk::Desk,
    document::{fields, judge, part::Part, refuse_references, sealed},
    input::{Body, Members, NoQuery, Path, name},
    parts::named,
    problem::Problem,
    schema::ServerBody,
    who::Admin,
};
use crate::control::probe::{Busy, Probed, probe};

/// The name of a server that has none yet.
const UNNAMED: &str = "probe";
/// The most names of tools in an answer.
const TOOLS_SHOWN_MAX: usize = 1000;
/// The longest text of a server's own in an answer.
const TEXT_CHARS_MAX: usize = 200;

/// What a server said.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ProbeAnswer)]
pub(crate) struct Answer {
    /// Whether it can be used as it stands.
    reachable: bool,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The revision of MCP that it speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'static str>,
    /// `legacy` or `modern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    era: Option<&'static str>,
    /// The names of its tools, the first 1000.
    tools: Vec<String>,
    /// How much it offers.
    counts: Counts,
    /// What was odd about it.
    warnings: Vec<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// How much a server offers.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ProbeCounts)]
pub(crate) struct Counts {
    /// Tools.
    tools: usize,
    /// Prompts.
    prompts: usize,
    /// Resources.
    resources: usize,
    /// Resource templates.
    templates: usize,
}

/// Asks a server that is not saved: connects to it as it would be saved, reads what it offers, and closes the connection. With the
/// `name` of a server that is there, `${sealed}` stands for its secrets. Takes 15 seconds at the most.
#[utoipa::path(post, path = "/tenants/{tenant}/probe", operation_id = "probe_server", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name.")), request_body = ServerBody,
    responses((status = 200, description = "What it said, or why it said nothing.", body = Answer)))]
pub(super) async fn ask(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(mut body): Body<Members>,
) -> Result<Json<Answer>, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::Change(&tenant))?;
    let app = desk.live()?.clone();
    let server = named(&mut body, None)?.unwrap_or_else(|| UNNAMED.parse().expect("this word is a name"));
    let held = desk.tenant(&tenant).await?;
    let part = Part::Named("servers", &server);
    let json = json!({ "tenant": tenant, "servers": { server.as_str(): Value::Object(body) } });
    let doc = tenant_from_json(&json, "the server", &refuse_references);
    let mut doc = doc.map_err(|errors| part.refuse(fields(&errors), false))?;
    judge(&desk, &admin, &part, &doc, Some(&held))?;
    let wanted = doc.servers.remove(&server).ok_or_else(Problem::internal)?;
    if matches!(wanted.spec.transport, Transport::Stdio { .. }) {
        admin.may(Need::Platform)?;
    }
    let row = row(&server, wanted, &held);
    match probe(app, held.id, row).await {
        Ok(probed) => Ok(Json(told(probed))),
        Err(Busy) => Err(Problem::busy("as many servers are asked now as may be at once: try again")),
    }
}

/// The row that the server would have, with the secrets that it keeps.
fn row(name: &Slug, wanted: ServerDoc, held: &TenantRow) -> ServerRow {
    let kept = sealed::of_server(Some(held), name);
    let value = |(secret, value): (String, Option<_>)| {
        let value = value.or_else(|| kept?.0.get(&secret).cloned())?;
        Some((secret, value))
    };
    let secrets = Secrets(wanted.secrets.into_iter().filter_map(value).collect());
    ServerRow { id: ServerId::random(), slug: name.clone(), spec: wanted.spec, secrets }
}

fn told(Probed { hello, catalog, error }: Probed) -> Answer {
    let said = hello.map_or_else(Answer::default, |hello| introduced(&hello));
    let said = Answer { reachable: error.is_none(), error, ..said };
    match catalog {
        Some(catalog) => offered(&catalog, said),
        None => said,
    }
}

fn introduced(hello: &Hello) -> Answer {
    let info: Value = serde_json::from_str(&hello.server_info).unwrap_or_default();
    let text = |member: &str| Some(short(info.get(member)?.as_str()?));
    let era = match hello.era() {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    };
    Answer {
        name: text("name"),
        version: text("version"),
        revision: Some(hello.version.as_str()),
        era: Some(era),
        ..Answer::default()
    }
}

fn offered(catalog: &RawCatalog, answer: Answer) -> Answer {
    #[derive(Deserialize)]
    struct Tool {
        name: String,
    }
    let counts = Counts {
        tools: catalog.tools.len(),
        prompts: catalog.prompts.len(),
        resources: catalog.resources.len(),
        templates: catalog.templates.len(),
    };
    let tools = catalog.tools.iter().take(TOOLS_SHOWN_MAX).filter_map(|tool| serde_json::from_str::<Tool>(tool).ok());
    let tools = tools.map(|tool| short(&tool.name)).collect();
    let failed = catalog.failed.iter().map(|failed| format!("{}: {}", failed.list.method(), failed.why));
    let warnings = catalog.warnings.iter().cloned().chain(failed).collect();
    Answer { counts, tools, warnings, ..answer }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
