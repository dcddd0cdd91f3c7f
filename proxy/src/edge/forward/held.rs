//! Where a request belongs: to whichever replica it came, or to the one that has what it is for.

use patchbay_core::{
    envelope::{Incoming, Request},
    era::Era,
    json,
    method::Method,
    model::Sharing,
};

use super::{super::session::Session, Kind};
use crate::{app::App, auth::Principal, caller::Caller, dispatch, replica::home::Home, tenancy::Tenant};

/// A request that is for another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) struct Elsewhere {
    /// Which.
    pub(in crate::edge) home: Home,
    /// What it has there.
    pub(in crate::edge) kind: Kind,
}

impl Elsewhere {
    /// The answer to a question that waits there.
    pub(in crate::edge) const fn question(home: Home) -> Self {
        Self { home, kind: Kind::Question }
    }

    /// A stream that goes on there.
    pub(in crate::edge) const fn stream(home: Home) -> Self {
        Self { home, kind: Kind::Stream }
    }
}

/// Where the call is parked that a modern request brings answers for, when that is another process.
pub(in crate::edge) fn parked(
    app: &App,
    tenant: &Tenant,
    principal: &Principal,
    caller: &Caller,
    request: &Request,
) -> Option<Elsewhere> {
    if caller.era() == Era::Legacy {
        return None;
    }
    let home = dispatch::state::home(app, tenant.id(), principal.digest(), &request.params)?;
    Some(Elsewhere { home, kind: Kind::Parked })
}

/// Whether a request of this session needs a child that only the process has where the session began.
pub(in crate::edge) fn by_session(
    tenant: &Tenant,
    session: &Session,
    here: &Home,
    request: &Request,
) -> Option<Elsewhere> {
    let home = session.elsewhere(here)?;
    (has_own(tenant) && is_for_own(tenant, request)).then(|| Elsewhere { home: home.clone(), kind: Kind::Session })
}

/// The same of a batch: where one of its messages goes, all go.
pub(in crate::edge) fn batch_by_session(
    tenant: &Tenant,
    session: &Session,
    here: &Home,
    messages: &[Incoming],
) -> Option<Elsewhere> {
    messages.iter().find_map(|message| match message {
        Incoming::Request(request) => by_session(tenant, session, here, request),
        Incoming::Notification(_) | Incoming::Response(_) => None,
    })
}

/// Whether the tenant has servers that keep something for each session.
fn has_own(tenant: &Tenant) -> bool {
    tenant.snapshot().servers.iter().any(|server| server.sharing == Sharing::Session)
}

/// Whether the request goes to one of them. What is not known here is left to the replica that knows the session.
fn is_for_own(tenant: &Tenant, request: &Request) -> bool {
    let (view, params) = (tenant.view(), &request.params);
    let prompt = |name: &str| view.prompts.get(name).map(|route| route.server);
    let resource = |uri: &str| {
        let native = view.uris.to_native(uri);
        native.or_else(|| view.uris.template_to_native(uri)).map(|(server, _)| server)
    };
    let found = match request.method {
        Method::ToolsCall => params.string("name").map(|name| view.tools.get(&*name).map(|route| route.server)),
        Method::PromptsGet => params.string("name").map(|name| prompt(&name)),
        Method::ResourcesRead => params.string("uri").map(|uri| resource(&uri)),
        Method::Complete => params.raw("ref").and_then(|reference| {
            let of = |name: &str| json::at_path(reference, &[name]).and_then(json::unquote);
            of("name").map(|name| prompt(&name)).or_else(|| of("uri").map(|uri| resource(&uri)))
        }),
        _ => return false,
    };
    match found {
        // It is refused here as well as anywhere.
        None => false,
        Some(None) => true,
        Some(Some(server)) => tenant.snapshot().servers[server].sharing == Sharing::Session,
    }
}
