//! A tenant as this replica has it, for the nouns of the running gateway: its snapshot in force, its servers. What differs from
//! replica to replica says which one answers.

use std::sync::Arc;

use patchbay_core::{Slug, admin::Need};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    desk::Desk,
    input::name,
    page::Page,
    problem::Problem,
    who::{Admin, Pass},
};
use crate::{
    app::App,
    tenancy::{ServerHandle, TenantState},
};

/// See the module.
pub(super) struct Here<'d> {
    pub(super) app: &'d Arc<App>,
    pub(super) state: Arc<TenantState>,
}

/// A page of what one replica knows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Local<T> {
    /// The replica whose view this is.
    pub(crate) replica: String,
    /// The page.
    #[serde(flatten)]
    pub(crate) page: Page<T>,
}

impl<'d> Here<'d> {
    /// The tenant of that name for somebody who may see it.
    ///
    /// # Errors
    /// 404 and 403 as [`Admin::may`]; 503 without a gateway, and for a tenant that is not in force here yet.
    pub(super) async fn see(desk: &'d Desk, admin: &Admin, tenant: &str) -> Result<Self, Problem> {
        let tenant = name(tenant)?;
        admin.may(Need::See(&tenant))?;
        Self::of(desk, &tenant).await
    }

    /// The same for somebody who may change it.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn change(desk: &'d Desk, admin: &Admin, tenant: &str) -> Result<(Self, Pass), Problem> {
        let tenant = name(tenant)?;
        let pass = admin.may(Need::Change(&tenant))?;
        Ok((Self::of(desk, &tenant).await?, pass))
    }

    async fn of(desk: &'d Desk, tenant: &Slug) -> Result<Self, Problem> {
        let app = desk.live()?;
        if let Some(state) = app.tenants.state(tenant.as_str()) {
            return Ok(Self { app, state });
        }
        desk.tenant(tenant).await?;
        let why = match app.tenants.troubles(tenant.as_str()) {
            Some(trouble) => format!("the tenant cannot be put in force: {}", trouble.error),
            None => "the tenant is not in force here yet".to_owned(),
        };
        Err(Problem::away(why))
    }

    /// The connection to a server that is switched on.
    pub(super) fn server(&self, server: &Slug) -> Option<&Arc<ServerHandle>> {
        self.state.servers.iter().find(|handle| handle.slug == *server)
    }

    /// The same for a server in a path.
    ///
    /// # Errors
    /// 404 when there is none, 409 when it is switched off.
    pub(super) fn running(&self, server: &str) -> Result<&Arc<ServerHandle>, Problem> {
        let server = name(server)?;
        match self.server(&server) {
            Some(handle) => Ok(handle),
            None if self.has(&server) => Err(Problem::conflict("the server is switched off")),
            None => Err(Problem::not_found()),
        }
    }

    /// Whether the tenant has it, switched on or off.
    pub(super) fn has(&self, server: &Slug) -> bool {
        self.state.made.row.servers.iter().any(|row| row.slug == *server)
    }

    /// This replica's page.
    pub(super) fn local<T>(&self, page: Page<T>) -> Local<T> {
        Local { replica: self.app.replica.id.clone(), page }
    }
}

/// Whole seconds from then until now.
pub(super) fn age_s(at_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(at_ms) / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests;
