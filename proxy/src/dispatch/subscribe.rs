//! `resources/subscribe` and `resources/unsubscribe` of legacy clients: remembered for the client, and told on its stream while it
//! has one. Without a stream nobody could be told, and no server is asked to watch anything.

use std::sync::Arc;

use patchbay_core::envelope::Request;

use super::{Answer, Cx};
use crate::{
    admission,
    audit::Trail,
    error::GatewayError,
    hub::{Hub, Unwatchable, resolve},
};

/// Subscribes the client to a resource, or takes that back.
pub(super) async fn change(
    cx: Cx,
    request: &Request,
    is_wanted: bool,
    trail: &mut Trail,
) -> Result<Answer, GatewayError> {
    cx.telling.tell(admission::request(&cx.app, &cx.tenant, &cx.principal).await?);
    let uri = request.params.string("uri").ok_or(GatewayError::InvalidParams(
        "resources/subscribe and resources/unsubscribe need params.uri, a string".into(),
    ))?;
    let (uri, tenant, client): (Arc<str>, _, _) = (uri.into(), cx.tenant.id(), cx.caller.share);
    if is_wanted {
        resolve(&cx.tenant, &uri).map_err(|why| match why {
            Unwatchable::Unknown => GatewayError::ResourceNotFound(uri.to_string()),
            why => GatewayError::InvalidParams(why.to_string().into()),
        })?;
        cx.app.hub.wishes.subscribe(tenant, client, &uri)?;
    } else {
        cx.app.hub.wishes.unsubscribe(tenant, client, &uri);
    }
    Hub::wish(&cx.app, tenant, client, &uri, is_wanted);
    Ok(super::at_once(super::empty_result(&request.id), trail))
}
