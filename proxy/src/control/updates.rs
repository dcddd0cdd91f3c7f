//! What one server says of its resources, on its way to the streams that wait for it. (That a list changed is [`super::refresh`]'s:
//! the list is read again first.)

use std::sync::Arc;

use patchbay_core::TenantId;
use patchbay_downstream::Event;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{app::App, tenancy::ServerHandle};

/// Follows a server until `stop`.
pub(super) async fn follow(app: Arc<App>, tenant: TenantId, server: Arc<ServerHandle>, stop: CancellationToken) {
    let mut events = server.downstream.events();
    let heard = async {
        loop {
            match events.recv().await {
                Ok(Event::ResourceUpdated(uri)) => app.hub.updated(tenant, server.id, &uri),
                Ok(Event::Reconnected) | Err(RecvError::Lagged(_)) => app.hub.all_updated(tenant, server.id),
                Ok(Event::ListChanged(_) | Event::HelloChanged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    };
    stop.run_until_cancelled(heard).await;
}
