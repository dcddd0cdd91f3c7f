//! The listener of operators: is it alive, is it ready, how is it, and how somebody's limits stand. Loopback unless configured
//! otherwise; what tenants have is not behind it.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::IntoResponse,
    routing::get,
};
use http::header;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admission::look::{self, LookError, Question},
    app::App,
};

/// Serves operators until `stop`.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health", get(ready))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/limits", get(limits))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found: try /livez, /readyz, /metrics or /limits\n") })
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .with_state(app);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    match app.ready() {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.render_metrics())
}

/// How somebody's limits stand; without a tenant, how limits are counted. Takes nothing.
async fn limits(State(app): State<Arc<App>>, uri: Uri) -> impl IntoResponse {
    let (status, body) = match question(uri.query().unwrap_or_default()) {
        Ok(None) => (StatusCode::OK, serde_json::json!({ "mode": app.limits.tenants.mode().as_str() })),
        Ok(Some(question)) => match look::look(&app, &question).await {
            Ok(report) => (StatusCode::OK, serde_json::json!(report)),
            Err(error @ LookError::Principal(_)) => {
                (StatusCode::BAD_REQUEST, serde_json::json!({ "error": error.to_string() }))
            }
            Err(error) => (StatusCode::NOT_FOUND, serde_json::json!({ "error": error.to_string() })),
        },
        Err(error) => (StatusCode::BAD_REQUEST, serde_json::json!({ "error": error })),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n"))
}

/// What is asked; `None` without a tenant.
fn question(query: &str) -> Result<Option<Question>, String> {
    let (mut question, mut tenant) = (Question::default(), None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "tenant" => &mut tenant,
            "toolset" => &mut question.toolset,
            "principal" => &mut question.principal,
            "server" => &mut question.server,
            "tool" => &mut question.tool,
            other => {
                let other: String = other.chars().take(NAME_CHARS_SHOWN).collect();
                return Err(format!(
                    "`{other}` is not asked here: expected tenant, toolset, principal, server or tool"
                ));
            }
        };
        *place = Some(value.into_owned());
    }
    if tenant.is_none() && question != Question::default() {
        return Err("expected tenant=NAME, whose limits are asked for".to_owned());
    }
    Ok(tenant.map(|tenant| Question { tenant, ..question }))
}

/// What is repeated of a name that nobody knows.
const NAME_CHARS_SHOWN: usize = 40;
