//! The MCP endpoint: HTTP in, HTTP out. Decides the order of the checks of a request and turns every answer and every error
//! into a response. Which protocol was spoken is [`super::hear`]'s, what it asks for is [`crate::dispatch`]'s.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming as Body;
use patchbay_core::era::{Era, Version};
use tracing::{error, warn};

use super::{
    body::{self, ReplyBody},
    forwarded,
    hear::{self, Heard},
    origin::Allowed,
    reply,
    routes::{self, Place},
    serve::Peer,
    watch::{Phase, Watched},
};
use crate::{
    admission,
    app::App,
    audit::{self, Trail},
    auth,
    error::{Blame, Facts, GatewayError, error_body},
};

/// A response of this gateway.
pub(super) type Reply = Response<ReplyBody>;

/// A request that was not answered as asked, with what is known of how to say so.
pub(super) struct Refusal {
    pub error: GatewayError,
    pub era: Era,
    pub id: Option<Bytes>,
}

impl Refusal {
    pub(super) const fn new(error: GatewayError, era: Era, id: Option<Bytes>) -> Self {
        Self { error, era, id }
    }
}

/// Answers one request of the public listener.
pub(super) async fn route(app: Arc<App>, peer: Peer, request: Request<Body>, watched: &Rc<Watched>) -> Reply {
    let (parts, mut body) = request.into_parts();
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let peer = forwarded::behind(peer, &parts.headers, &app.config.trusted_proxies);
    let mut response = match routes::place(parts.uri.path()) {
        Place::Mcp { tenant, toolset } => {
            let (tenant, toolset) = (tenant.to_owned(), toolset.map(str::to_owned));
            mcp(&app, peer, &tenant, toolset.as_deref(), &parts, &mut body, watched).await
        }
        Place::Health => routes::health(&app, &parts.method),
        Place::Nowhere => plain(StatusCode::NOT_FOUND, "not found: the MCP endpoints are at /t/{tenant}/mcp\n"),
    };
    if !body::rest(&mut body).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    with_cors(&app, origin.as_ref(), idle_after(response, watched))
}

/// Notes that the connection waits for its next request: now, or when a response that is still coming has ended.
fn idle_after(response: Reply, watched: &Rc<Watched>) -> Reply {
    let (parts, body) = response.into_parts();
    let ReplyBody::Stream(stream) = body else {
        watched.enter(Phase::Idle);
        return Response::from_parts(parts, body);
    };
    let until = IdleWhenDropped(watched.clone());
    let stream = stream.inspect(move |_| _ = &until);
    Response::from_parts(parts, ReplyBody::Stream(stream.boxed_local()))
}

struct IdleWhenDropped(Rc<Watched>);

impl Drop for IdleWhenDropped {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

fn with_cors(app: &App, origin: Option<&HeaderValue>, mut response: Reply) -> Reply {
    if origin.is_some() && response.status() != StatusCode::FORBIDDEN {
        app.allowed.cors(origin, response.headers_mut());
    }
    response
}

async fn mcp(
    app: &Arc<App>,
    peer: Peer,
    tenant: &str,
    toolset: Option<&str>,
    parts: &Parts,
    body: &mut Body,
    watched: &Rc<Watched>,
) -> Reply {
    let mut trail =
        Trail::open(&app.audit, peer.ip, parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()));
    let outcome = checked(app, peer, tenant, toolset, parts, body, watched, &mut trail).await;
    outcome.unwrap_or_else(|refusal| refuse(app, &refusal, &mut trail))
}

/// The steps of every request, each with the proof of the one before.
#[expect(clippy::too_many_arguments, reason = "the parts of one request, handed on once")]
async fn checked(
    app: &Arc<App>,
    peer: Peer,
    tenant: &str,
    toolset: Option<&str>,
    parts: &Parts,
    body: &mut Body,
    watched: &Rc<Watched>,
    trail: &mut Trail,
) -> Result<Reply, Refusal> {
    let era = era_by_header(&parts.headers);
    let refused = |error| Refusal::new(error, era, None);
    app.allowed.check(&parts.headers).map_err(refused)?;
    if parts.method == Method::OPTIONS {
        return Ok(preflight(&parts.headers));
    }
    let now_ms = audit::now_ms();
    let door = app.tenants.door(tenant, toolset);
    let principal = auth::identify(app, &door, &parts.headers, peer.loopback, None, now_ms, trail).await;
    let principal = principal.map_err(refused)?;
    let tenant = door.enter(&principal, None).map_err(refused)?;
    trail.known(tenant.id(), &tenant.view().toolset, principal.actor());
    let listener = hear::Listener { app, tenant: &tenant, principal: &principal, headers: &parts.headers, now_ms };
    match parts.method {
        Method::POST => {}
        Method::DELETE => return end_session(&listener, trail).await.map_err(refused),
        _ => return Err(refused(GatewayError::MethodNotAllowed("POST and DELETE"))),
    }
    acceptable(&parts.headers).map_err(refused)?;
    let body = body::read(body, app.config.limits.body_bytes_max).await.map_err(refused)?;
    watched.enter(Phase::Serving);
    trail.bytes_in(body.len());
    match listener.hear(&body)? {
        Heard::Nothing => Ok(empty(StatusCode::ACCEPTED)),
        Heard::Opened { body, session } => {
            admission::request(app, &tenant, &principal).await.map_err(refused)?;
            trail.session_opened();
            app.metrics.sessions_opened.inc();
            let mut response = json(StatusCode::OK, ReplyBody::Whole(body));
            if let Ok(id) = HeaderValue::try_from(session) {
                response.headers_mut().insert(hear::SESSION_ID, id);
            }
            Ok(response)
        }
        Heard::Answered(body) => Ok(json(StatusCode::OK, ReplyBody::Whole(body))),
        Heard::Request { caller, request } => {
            let call = reply::Call::new(app, tenant, principal, caller, *request, trail.take());
            reply::answer(app, call).await
        }
        Heard::Batch { caller, messages } => Ok(reply::batch(app, &tenant, &principal, &caller, messages, trail).await),
        Heard::Question(question, outcome) => {
            question.answer(outcome).await;
            Ok(empty(StatusCode::ACCEPTED))
        }
    }
}

async fn end_session(listener: &hear::Listener<'_>, trail: &mut Trail) -> Result<Reply, GatewayError> {
    let session = listener.session()?;
    let app = listener.app;
    admission::request(app, listener.tenant, listener.principal).await?;
    if !app.sessions.has_room() {
        return Err(GatewayError::Overloaded("too many ended sessions are remembered; this one ends by itself"));
    }
    app.sessions.end(session.tombstone(), session.expires_ms());
    let tenant = listener.tenant.id();
    if let Err(error) = app.store.tombstone_put(tenant, session.tombstone(), session.expires_ms()).await {
        warn!(%error, "an ended session could not be told to the other replicas");
    }
    trail.session_ended();
    Ok(empty(StatusCode::OK))
}

/// The era by the header alone, for errors that come before the body was read.
fn era_by_header(headers: &HeaderMap) -> Era {
    let version = headers.get(hear::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    version.and_then(Version::parse).map_or(Era::Legacy, Version::era)
}

/// Content-Type and Accept, as the transport demands them of a POST.
fn acceptable(headers: &HeaderMap) -> Result<(), GatewayError> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let essence = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(GatewayError::UnsupportedMediaType);
    }
    let Some(accept) = text(header::ACCEPT) else { return Ok(()) };
    let takes =
        |kind: &str| {
            let family = kind.split('/').next().unwrap_or_default();
            accept.split(',').filter_map(|range| range.split(';').next()).map(str::trim).any(|range| {
                range.eq_ignore_ascii_case(kind) || range == "*/*" || range.strip_suffix("/*") == Some(family)
            })
        };
    if takes("application/json") && takes("text/event-stream") { Ok(()) } else { Err(GatewayError::NotAcceptable) }
}

fn preflight(headers: &HeaderMap) -> Reply {
    let mut response = empty(StatusCode::NO_CONTENT);
    Allowed::preflight(headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS), response.headers_mut());
    response
}

/// Turns an error into a response, closes the trail and logs the chain once.
pub(super) fn refuse(app: &App, refusal: &Refusal, trail: &mut Trail) -> Reply {
    let facts = refusal.error.facts(refusal.era);
    log(&refusal.error, &facts);
    app.metrics.error(facts.blame);
    trail.refuse(facts.status, facts.code, facts.label);
    let body = error_body(refusal.id.as_deref(), code_of(&facts), &facts.public, facts.data.as_deref());
    let status = StatusCode::from_u16(facts.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, ReplyBody::Whole(body.into()));
    add_headers(&refusal.error, &facts, response.headers_mut());
    response
}

/// What stands in the body of an answer that has no JSON-RPC code of its own.
const fn code_of(facts: &Facts) -> i32 {
    match facts.code {
        0 => -32600,
        code => code,
    }
}

fn add_headers(error: &GatewayError, facts: &Facts, headers: &mut HeaderMap) {
    let challenge = match error {
        GatewayError::Unauthenticated(_) => Some("Bearer"),
        GatewayError::BadCredential(_) => Some("Bearer error=\"invalid_token\""),
        _ => None,
    };
    if let Some(challenge) = challenge {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if matches!(error, GatewayError::MethodNotAllowed(_)) {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST, DELETE, OPTIONS"));
    }
    if let Some(after) = facts.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000) as u64));
    }
}

fn log(gateway_error: &GatewayError, facts: &Facts) {
    match facts.blame {
        Blame::Gateway if facts.status == 500 => error!(error = %gateway_error, "a request failed inside the gateway"),
        Blame::Gateway | Blame::Server => warn!(error = %gateway_error, "a request failed"),
        Blame::Caller => tracing::debug!(error = %gateway_error, "a request was refused"),
    }
}

/// A JSON response.
pub(super) fn json(status: StatusCode, body: ReplyBody) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut response = Response::new(ReplyBody::Empty);
    *response.status_mut() = status;
    response
}

/// A response of plain text, for people.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut response = Response::new(ReplyBody::Whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
