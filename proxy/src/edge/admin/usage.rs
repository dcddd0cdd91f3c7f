//! How limits stand, for admins: [`crate::admission::look`], which looks and takes nothing. Only a running gateway knows it. What
//! the limits are is part of the tenant.

use std::sync::Arc;

use axum::{Json, extract::State};
use patchbay_core::admin::Need;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    input::{Path, Query, name},
    problem::Problem,
    who::Admin,
};
use crate::admission::look::{self, Amount, LookError, Question, Report, Row};

/// Whose limits, and where.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    /// The id of an API key, or a person as `issuer:subject`, by the issuer's name in the tenant.
    principal: Option<String>,
    /// The toolset; absent for the default one.
    toolset: Option<String>,
    /// A server, for limits that are counted by servers.
    server: Option<String>,
    /// A tool as `server/native`, for limits that are counted by tools.
    tool: Option<String>,
}

/// How somebody's limits stand.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Standing {
    /// The tenant.
    tenant: String,
    /// The toolset.
    toolset: String,
    /// Whose counts these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    /// How limits are counted now: `memory`, `shared` over all gateways, or `away` while they should be shared and cannot.
    mode: String,
    /// The limits that requests through this toolset can meet, in their order.
    limits: Vec<LimitStanding>,
}

/// How one limit stands: one that lets through `count` in `per_s`, or `concurrent` at once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitStanding {
    /// Its name.
    name: String,
    /// What it is counted by; nothing means by the tenant.
    by: Vec<String>,
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    /// In how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_s: Option<u64>,
    /// How many at once after a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    /// How many calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent: Option<u32>,
    /// What is left; absent where something has to be named for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u32>,
    /// In how many milliseconds all of it is there again.
    #[serde(skip_serializing_if = "Option::is_none")]
    full_in_ms: Option<u64>,
    /// What has to be named in the request, so that `left` is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<String>,
    /// What becomes of it while nobody counts for all gateways.
    away: String,
    /// Whether it refuses nobody.
    dry_run: bool,
}

/// How somebody's limits stand now. This takes nothing.
#[utoipa::path(get, path = "/tenants/{tenant}/limits/standing", operation_id = "show_limits_standing", tag = "limits",
    params(("tenant" = String, Path, description = "The tenant's name."), Whose),
    responses((status = 200, description = "How they stand.", body = Standing)))]
pub(super) async fn standing(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(whose): Query<Whose>,
) -> Result<Json<Standing>, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let app = desk.live()?;
    let Whose { principal, toolset, server, tool } = whose;
    let question = Question { tenant: tenant.to_string(), toolset, principal, server, tool };
    match look::look(app, &question).await {
        Ok(report) => Ok(Json(Standing::of(report))),
        Err(LookError::Tenant(_)) => {
            desk.tenant(&tenant).await?;
            Err(Problem::away("the gateway does not serve this tenant now: it is switched off, or was made just now"))
        }
        Err(error) => Err(Problem::bad_request(error.to_string())),
    }
}

impl Standing {
    fn of(report: Report) -> Self {
        let Report { tenant, toolset, principal, mode, limits } = report;
        Self { tenant, toolset, principal, mode, limits: limits.into_iter().map(LimitStanding::of).collect() }
    }
}

impl LimitStanding {
    fn of(row: Row) -> Self {
        let Row { name, by, amount, left, full_in_ms, needs, away, dry_run } = row;
        let (count, per_s, burst, concurrent) = match amount {
            Amount::Rate { count, per_s, burst } => (Some(count), Some(per_s), Some(burst), None),
            Amount::Concurrent { concurrent } => (None, None, None, Some(concurrent)),
        };
        let by = by.iter().map(word).collect();
        let needs = needs.as_ref().map(word);
        let away = word(&away);
        Self { name, by, count, per_s, burst, concurrent, left, full_in_ms, needs, away, dry_run }
    }
}

/// The word for one of the few that there are, as files write it.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{Kit, admin_of, viewer_of};

    #[tokio::test]
    async fn how_limits_stand_is_for_those_of_the_tenant_and_only_a_gateway_knows_it() {
        let alone = Kit::new().await;
        let path = "/tenants/acme/limits/standing";
        assert_eq!(alone.ask(&viewer_of("acme"), "GET", path, &[], json!(null)).await.status, 503);

        let kit = Kit::live(|_| ()).await;
        kit.house.as_ref().unwrap().open("acme", |_, _| ());
        assert_eq!(kit.ask(&admin_of("other"), "GET", path, &[], json!(null)).await.status, 404);
        let told = kit.get(&viewer_of("acme"), path).await.json;
        assert_eq!(
            (&told["tenant"], &told["toolset"], &told["mode"]),
            (&json!("acme"), &json!("default"), &json!("memory"))
        );
        assert!(told["limits"][0]["needs"].is_string() && told["limits"][0]["left"].is_null(), "{told}");
        for (query, status) in
            [("toolset=none", 400), ("principal=nobody", 400), ("nonsense=1", 400), ("server=shop", 200)]
        {
            let answer = kit.ask(&viewer_of("acme"), "GET", &format!("{path}?{query}"), &[], json!(null)).await;
            assert_eq!(answer.status, status, "{query}: {answer:?}");
        }
        let gone = kit.ask(&viewer_of("gone"), "GET", "/tenants/gone/limits/standing", &[], json!(null)).await;
        assert_eq!(gone.status, 404);
    }
}
