//! What is asked for: the one match on the method. Lists are answered from the snapshot; what goes to a server goes through
//! [`call`] and comes back through [`relay`].

pub mod call;
pub mod calls;
pub mod discover;
pub mod extensions;
pub mod links;
pub mod list;
mod listen;
pub mod messages;
pub(crate) mod parked;
pub mod questions;
pub mod relay;
pub mod roots;
mod rounds;
pub mod skills;
pub(crate) mod state;
mod subscribe;
mod talk;
pub mod tasks;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use patchbay_core::{envelope::Request, era::Era, method::Method};

use crate::{
    admission::{self, told::Telling},
    app::App,
    audit::Trail,
    auth::{Principal, site::Site},
    caller::Caller,
    error::GatewayError,
    hub::listening::Listening,
    tenancy::{Tenant, Waited},
};

/// What a request brings along: who asks, where, and what the client speaks. Holding one is the proof of having been let in.
#[derive(Clone)]
pub struct Cx {
    /// The gateway.
    pub app: Arc<App>,
    /// Whose.
    pub tenant: Tenant,
    /// Who.
    pub principal: Principal,
    /// With what.
    pub caller: Caller,
    /// Where the gateway is for them; known at doors that take tokens.
    pub site: Option<Arc<Site>>,
    /// Where admission leaves word of how their limits stand.
    pub telling: Telling,
}

/// The answer to a request: a whole JSON-RPC response message in the client's words, or how it comes.
pub enum Answer {
    /// All of it.
    Whole(Bytes),
    /// All of it: the server's error that the client has not declared a capability, which HTTP says in its status too
    /// (2026-07-28, transports).
    Lacking(Bytes),
    /// All of it, in pieces.
    Pieces(Vec<Bytes>),
    /// It is long and still coming.
    Streaming(relay::Streaming),
    /// Other messages come before it.
    Messages(messages::Messages),
    /// Changes, as they come, until the stream ends.
    Listening(Box<Listening>),
    /// The client took the request back: there is none.
    Cancelled,
}

/// Answers one request. The trail is closed here, by the answer's end, or by the edge when this is an error.
///
/// # Errors
/// Everything of the error table that is found out behind the door.
pub async fn run(cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    let (app, tenant, principal) = (cx.app.clone(), cx.tenant.clone(), cx.principal.clone());
    // Lists are counted before anything else is looked at.
    let counts_first = matches!(
        request.method,
        Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::TemplatesList
            | Method::SkillsList
            | Method::Listen
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
    );
    match route(cx, request, trail).await {
        Err(error) if !counts_first && is_uncounted(&error) => {
            Err(admission::refused(&app, &tenant, &principal, error).await)
        }
        outcome => outcome,
    }
}

/// Whether a request that is no list fails like this before it was held against its limits.
const fn is_uncounted(error: &GatewayError) -> bool {
    !matches!(
        error,
        GatewayError::Limited { .. }
            | GatewayError::LimitsAway { .. }
            | GatewayError::Overloaded(_)
            | GatewayError::AuditFull
            | GatewayError::Server { .. }
            | GatewayError::Internal(_)
    )
}

/// The one match on the method.
async fn route(cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    let era = cx.caller.era();
    let method = &request.method;
    let foreign = match era {
        Era::Modern => method.is_legacy_only(),
        Era::Legacy => method.is_modern_only(),
    };
    if foreign {
        return Err(GatewayError::MethodNotFound(method.as_str().to_owned()));
    }
    trail.method(method);
    trail.rpc(&request.id);
    match method {
        Method::Ping => Ok(at_once(empty_result(&request.id), trail)),
        Method::Discover => Ok(at_once(discover::discovered(&cx.tenant, &request.id), trail)),
        Method::ToolsList => list::list(cx, &request, list::Kind::Tools, trail).await,
        Method::PromptsList => list::list(cx, &request, list::Kind::Prompts, trail).await,
        Method::ResourcesList => list::list(cx, &request, list::Kind::Resources, trail).await,
        Method::TemplatesList => list::list(cx, &request, list::Kind::Templates, trail).await,
        Method::ToolsCall => call::tool(cx, request, trail).await,
        Method::PromptsGet => call::prompt(cx, request, trail).await,
        Method::ResourcesRead => call::resource(cx, request, trail).await,
        Method::Complete => call::complete(cx, request, trail).await,
        Method::Listen => listen::listen(cx, &request, trail).await,
        Method::ResourcesSubscribe => subscribe::change(cx, &request, true, trail).await,
        Method::ResourcesUnsubscribe => subscribe::change(cx, &request, false, trail).await,
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => tasks::about(cx, request, trail).await,
        Method::SkillsList => skills::list(cx, &request, trail).await,
        Method::SkillsGet => skills::get(cx, request, trail).await,
        Method::DirectoryRead => skills::directory(cx, request, trail).await,
        _ => Err(GatewayError::MethodNotFound(method.as_str().to_owned())),
    }
}

/// An answer that is there at once. Nothing of it stays but its span.
fn at_once(answer: Bytes, trail: &mut Trail) -> Answer {
    trail.answered(answer.len());
    Answer::Whole(answer)
}
/// What is answered when the audit has no room.
pub(crate) const NO_ROOM: GatewayError = GatewayError::Overloaded("the audit trail cannot take another record");
/// What is answered to a call that did not go out, since its record is not on the disk.
const NOT_KEPT: GatewayError = GatewayError::Overloaded("its audit record cannot be kept; it was not carried out");
/// What is answered in the place of an answer whose record is not on the disk.
pub(crate) const OUTCOME_NOT_KEPT: GatewayError = GatewayError::Overloaded(
    "the audit record of its outcome cannot be kept; it may have been carried out, so check before trying again",
);

/// How long after a tenant came requests wait for its servers' first word.
const FIRST_WORD_PATIENCE: Duration = Duration::from_secs(8);

/// Lets a tenant's servers speak that has only just come, and looks at it again then. At once on any later request.
async fn first_word(cx: &mut Cx) {
    let slug = cx.tenant.snapshot().slug.clone();
    if cx.app.tenants.settled(slug.as_str(), FIRST_WORD_PATIENCE).await == Waited::Yes {
        cx.tenant = cx.tenant.again(&cx.app.tenants, &cx.principal);
    }
}

/// A response with an empty result.
pub fn empty_result(id: &[u8]) -> Bytes {
    [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"result\":{}}"].concat().into()
}

#[cfg(test)]
mod tests;
