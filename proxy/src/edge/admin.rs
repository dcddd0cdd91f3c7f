//! The admin API: `/admin/v1` on a listener of its own. What a noun can do is in the file of that noun; what they share is in
//! [`desk`] (what a request works on), [`who`] (who asks and may they), [`problem`], [`tag`], [`page`] and [`input`].
//!
//! The command line speaks the same API: to a gateway elsewhere, or in process to [`routes`] over the local store, where no gateway
//! need run. So a handler must not count on a running gateway: what only one knows is behind [`desk::Desk::live`].

mod audit;
pub(crate) mod desk;
pub(crate) mod input;
mod keys;
pub(crate) mod page;
pub(crate) mod problem;
mod revocations;
pub(crate) mod tag;
mod tenants;
#[cfg(test)]
pub(crate) mod tests;
mod usage;
pub(crate) mod when;
pub(crate) mod who;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::{OpenApi, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{desk::Desk, problem::Problem};
use crate::app::App;

/// Where the API stands on its listener.
pub(crate) const ROOT: &str = "/admin/v1";
/// Bytes of a request's body.
const ADMIN_BODY_BYTES_MAX: usize = 4 << 20;

/// What stands above the operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(info(
    title = "Patchbay admin API",
    description = "Tenants and what belongs to them, and the gateway itself."
))]
struct Document;

/// Every operation, with what describes it.
fn operations() -> OpenApiRouter<Arc<Desk>> {
    let nouns = OpenApiRouter::new()
        .routes(routes!(audit::export::of_all))
        .routes(routes!(audit::export::of_tenant))
        .routes(routes!(audit::of_all))
        .routes(routes!(audit::of_tenant))
        .routes(routes!(audit::public_keys))
        .routes(routes!(audit::verify::of_all))
        .routes(routes!(audit::verify::of_tenant))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::show, keys::revoke))
        .routes(routes!(revocations::list, revocations::create))
        .routes(routes!(revocations::show, revocations::lift))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::show, tenants::delete))
        .routes(routes!(usage::standing));
    OpenApiRouter::with_openapi(Document::openapi()).nest(ROOT, nouns)
}

/// The operations over this desk. Whoever calls them puts a [`who::Admin`] into the request's extensions.
pub(crate) fn routes(desk: Arc<Desk>) -> Router {
    let (router, _) = operations().split_for_parts();
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX))
        .with_state(desk)
}

/// The OpenAPI document.
pub(crate) fn document() -> openapi::OpenApi {
    operations().into_openapi()
}

/// Serves admins until `stop`.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let desk = Arc::new(Desk::of_gateway(app));
    let router = routes(desk.clone()).layer(middleware::from_fn_with_state(desk, who::authenticate));
    let router = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
