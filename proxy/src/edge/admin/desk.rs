//! What the requests of admins work on: the store and the configuration, and the gateway itself where one runs.

use std::sync::Arc;

use patchbay_config::GatewayConfig;
use patchbay_core::{Slug, model::TenantRow};
use patchbay_store::Store;

use super::problem::Problem;
use crate::app::App;

/// See the module.
pub(crate) struct Desk {
    place: Place,
}

enum Place {
    Gateway(Arc<App>),
    /// The command line, on the store alone.
    Store(Arc<dyn Store>, Box<GatewayConfig>),
}

impl Desk {
    /// The desk of a running gateway.
    pub(crate) fn of_gateway(app: Arc<App>) -> Self {
        Self { place: Place::Gateway(app) }
    }

    /// A desk at the store, without a gateway.
    pub(crate) fn of_store(store: Arc<dyn Store>, config: GatewayConfig) -> Self {
        Self { place: Place::Store(store, Box::new(config)) }
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        match &self.place {
            Place::Gateway(app) => &*app.store,
            Place::Store(store, _) => &**store,
        }
    }

    /// What the operator decided.
    pub(crate) fn config(&self) -> &GatewayConfig {
        match &self.place {
            Place::Gateway(app) => &app.config,
            Place::Store(_, config) => config,
        }
    }

    /// The gateway.
    ///
    /// # Errors
    /// 503 where none runs.
    pub(crate) fn live(&self) -> Result<&Arc<App>, Problem> {
        match &self.place {
            Place::Gateway(app) => Ok(app),
            Place::Store(..) => Err(Problem::needs_gateway()),
        }
    }

    /// The tenant of that name. Whoever asks has been let through before.
    ///
    /// # Errors
    /// 404 when there is none, 503 when the store does not answer.
    pub(crate) async fn tenant(&self, slug: &Slug) -> Result<TenantRow, Problem> {
        self.store().tenant_load(slug).await?.ok_or_else(Problem::not_found)
    }
}
