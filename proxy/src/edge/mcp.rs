//! The MCP endpoint: HTTP in, HTTP out. Decides the order of the checks of a request and turns every answer into a response; for
//! errors that is [`super::refusal`]'s. Which protocol was spoken is [`super::hear`]'s, what it asks for is [`crate::dispatch`]'s.

use std::{net::IpAddr, pin::pin, rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming as Body;
use patchbay_core::era::{Era, Version};
use tracing::warn;

use super::{
    body::{self, ReplyBody},
    forward::{
        self, Came,
        held::{self, Elsewhere},
        peer::Handed,
    },
    forwarded,
    hear::{self, Heard},
    metadata,
    origin::Allowed,
    rate_headers,
    refusal::Refusal,
    replay, reply,
    routes::{self, Endpoint, Place},
    stream, trace,
    watch::{Phase, Watched},
};
use crate::{
    admission::{self, told::Telling},
    app::App,
    audit::{self, Trail},
    auth::{self, Peer, site::Site},
    dispatch::{self, Cx},
    error::GatewayError,
    telemetry::{self, log},
    tenancy::Door,
};

/// The longest `Authorization` header, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 16 * 1024;

/// A response of this gateway.
pub(super) type Reply = Response<ReplyBody>;

/// Answers one request of the public listener.
pub(super) async fn route(app: Arc<App>, peer: Peer, request: Request<Body>, watched: &Rc<Watched>) -> Reply {
    let (parts, mut body) = request.into_parts();
    let handed = forward::peer::handed(&app, &parts.headers, audit::now_ms());
    // What another replica hands on came from where it says.
    let from = handed.and_then(|handed| handed.from).unwrap_or(peer);
    let (sender, peer) = (from.ip, forwarded::behind(from, &parts.headers, &app.config.trusted_proxies));
    let mut response = match knocked(&app, peer, handed, &parts).await {
        Ok(Place::Mcp(endpoint)) => {
            let came = Came { parts: &parts, from, is_handed: handed.is_some() };
            Visit { app: &app, sender, peer, endpoint, parts: &parts, came, watched }.answer(&mut body).await
        }
        Ok(Place::SignIn(document, rest)) => metadata::answer(&app, sender, &parts, document, rest),
        Ok(Place::Health) => routes::health(&app, &parts.method),
        Ok(Place::Nowhere) => routes::nowhere(),
        Err(turned_away) => turned_away,
    };
    if !body::rest(&mut body).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    with_cors(&app, parts.headers.get(header::ORIGIN), idle_after(response, watched))
}

/// Where the request wants to go, unless its address asks too often. Load balancers may ask for health as often as they like,
/// and what another replica hands on was counted there.
async fn knocked<'a>(
    app: &'a Arc<App>,
    peer: Peer,
    handed: Option<Handed>,
    parts: &'a Parts,
) -> Result<Place<'a>, Reply> {
    let place = routes::place(parts.uri.path(), app.sites.prefix());
    if place == Place::Health || handed.is_some_and(|handed| handed.from.is_some()) {
        return Ok(place);
    }
    let Err(error) = admission::door::knock(app, peer.ip).await else { return Ok(place) };
    let mut trail = Trail::open(&app.audit, peer.ip, None);
    admission::door::hush(app, peer.ip, &mut trail).await;
    let (ids, refusal) = (trail.log_ids(), Refusal::new(error, era_by_header(&parts.headers), None));
    Err(log::within(ids, pin!(reply::refused(app, refusal, &mut trail))).await)
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

/// What is for all pages says so itself.
fn with_cors(app: &App, origin: Option<&HeaderValue>, mut response: Reply) -> Reply {
    if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        app.allowed.cors(origin, response.headers_mut());
    }
    response
}

/// One request of a toolset's endpoint, its body not yet read.
struct Visit<'a> {
    app: &'a Arc<App>,
    /// The other end of the connection, which may be a proxy.
    sender: IpAddr,
    /// Who asks, behind the proxies that are believed.
    peer: Peer,
    endpoint: Endpoint<'a>,
    parts: &'a Parts,
    /// The request as another replica would get it.
    came: Came<'a>,
    watched: &'a Rc<Watched>,
}

impl Visit<'_> {
    async fn answer(self, body: &mut Body) -> Reply {
        let client = self.parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let mut trail = Trail::open(&self.app.audit, self.peer.ip, client);
        let ids = trail.log_ids();
        // Pinned where it is made, as all that is long.
        let answered = pin!(async {
            match self.checked(body, &mut trail).await {
                Ok(reply) => reply,
                Err(refusal) => {
                    if !matches!(refusal.error, GatewayError::BadCredential(_)) {
                        admission::door::hush_stranger(self.app, self.peer.ip, &mut trail).await;
                    }
                    reply::refused(self.app, refusal, &mut trail).await
                }
            }
        });
        log::within(ids, answered).await
    }

    /// The steps of every request, each with the proof of the one before.
    async fn checked(&self, body: &mut Body, trail: &mut Trail) -> Result<Reply, Refusal> {
        let Self { app, parts, .. } = self;
        let headers = &parts.headers;
        let era = era_by_header(headers);
        let refused = |error| Refusal::new(error, era, None);
        app.allowed.check(headers).map_err(refused)?;
        if parts.method == Method::OPTIONS {
            return Ok(preflight(headers));
        }
        small_enough(headers).map_err(refused)?;
        let now_ms = audit::now_ms();
        let door = app.tenants.door(self.endpoint.tenant, self.endpoint.toolset);
        let site = self.site(&door);
        let here = site.as_deref();
        let identified = auth::identify(app, &door, headers, self.peer, here, now_ms, trail).await;
        let principal = identified.map_err(refused)?;
        let tenant = door.enter(&principal, here).map_err(refused)?;
        trail.known(tenant.id(), &tenant.view().toolset, principal.actor());
        trail.policy(&tenant.snapshot().audit, tenant.snapshot().generation);
        let listener = hear::Listener { app, tenant: &tenant, principal: &principal, headers, now_ms };
        match parts.method {
            Method::POST => {}
            Method::DELETE => return end_session(&listener, trail).await.map_err(refused),
            Method::GET => {
                self.watched.enter(Phase::Serving);
                // A stream of changes has ids of another kind.
                if era == Era::Legacy && replay::is_meant(headers) {
                    return continue_stream(&listener, self.came).await.map_err(refused);
                }
                return stream::legacy(&listener, trail).await.map_err(refused);
            }
            _ => return Err(refused(GatewayError::MethodNotAllowed("GET, POST and DELETE"))),
        }
        acceptable(headers).map_err(refused)?;
        let body = body::read(body, app.config.limits.body_bytes_max).await.map_err(refused)?;
        self.watched.enter(Phase::Serving);
        trail.bytes_in(body.len());
        let heard = match listener.hear(&body) {
            Ok(heard) => heard,
            Err(Refusal { error, era, id }) => {
                let error = admission::refused(app, &tenant, &principal, error).await;
                return Err(Refusal::new(error, era, id));
            }
        };
        let app = Arc::clone(app);
        let http = telemetry::of_headers(headers);
        match heard {
            Heard::Nothing => Ok(empty(StatusCode::ACCEPTED)),
            Heard::Opened { body: answer, session } => {
                trace::opening(&app, &tenant, http.as_ref(), &body, trail);
                let told = admission::request(&app, &tenant, &principal).await.map_err(refused)?;
                trail.session_opened();
                trail.kept().await.map_err(|_| refused(dispatch::OUTCOME_NOT_KEPT))?;
                app.metrics.sessions_opened.inc();
                let mut response = json(StatusCode::OK, ReplyBody::Whole(answer));
                if let Ok(id) = HeaderValue::try_from(session) {
                    response.headers_mut().insert(hear::SESSION_ID, id);
                }
                rate_headers::add(told.as_ref(), response.headers_mut());
                Ok(response)
            }
            Heard::Answered(body) => Ok(json(StatusCode::OK, ReplyBody::Whole(body))),
            Heard::Request { caller, request } => {
                if let Some(elsewhere) = held::parked(&app, &tenant, &principal, &caller, &request)
                    && let Ok(reply) = Box::pin(forward::hand_on(&app, self.came, &elsewhere, body)).await
                {
                    drop(trail.take());
                    return Ok(reply);
                }
                let telling = Telling::begin(&app.limits);
                let cx = Cx { app, tenant, principal, caller, site, telling: telling.clone() };
                let mut reply =
                    reply::answer(self.app, reply::Call::new(cx, *request, http.as_ref(), trail.take())).await?;
                rate_headers::add(telling.told().as_ref(), reply.headers_mut());
                Ok(reply)
            }
            Heard::Batch { caller, messages } => {
                admission::door::knock_further(&app, self.peer.ip, messages.len()).await.map_err(refused)?;
                let telling = Telling::begin(&app.limits);
                let cx = Cx { app, tenant, principal, caller, site, telling };
                let mut reply = reply::batch(&cx, messages, http.as_ref(), trail).await;
                rate_headers::add(cx.telling.told().as_ref(), reply.headers_mut());
                Ok(reply)
            }
            // Boxed, here and above: what is seldom done takes no room in what is done always.
            Heard::Elsewhere(elsewhere) => {
                let handed = Box::pin(forward::hand_on(&app, self.came, &elsewhere, body)).await;
                let reply = handed.or_else(|failed| elsewhere.instead(failed)).map_err(refused)?;
                // The other replica has written what there is to write.
                drop(trail.take());
                Ok(reply)
            }
            Heard::Question(question, outcome) => {
                question.answer(outcome).await;
                Ok(empty(StatusCode::ACCEPTED))
            }
        }
    }

    /// The gateway's address, at doors that need it: those of tokens.
    fn site(&self, door: &Door) -> Option<Arc<Site>> {
        door.access().filter(|access| access.takes_tokens())?;
        let site = self.app.sites.of(self.sender, &self.parts.headers);
        if site.is_none() {
            self.app.sites.note_missing();
        }
        site
    }
}

/// A credential that is too long is refused before anybody looks at it.
fn small_enough(headers: &HeaderMap) -> Result<(), GatewayError> {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    if credentials.any(|value| value.len() > AUTHORIZATION_BYTES_MAX) {
        return Err(GatewayError::CredentialTooLarge(AUTHORIZATION_BYTES_MAX));
    }
    Ok(())
}

async fn end_session(listener: &hear::Listener<'_>, trail: &mut Trail) -> Result<Reply, GatewayError> {
    let session = listener.session()?;
    let app = listener.app;
    let told = admission::request(app, listener.tenant, listener.principal).await?;
    if !app.sessions.has_room() {
        return Err(GatewayError::Overloaded("too many ended sessions are remembered; this one ends by itself"));
    }
    let tenant = listener.tenant.id();
    app.session_ended(tenant, session.tombstone(), session.expires_ms());
    app.hub.wishes.erase(tenant, session.id);
    if let Err(error) = app.store.tombstone_put(tenant, session.tombstone(), session.expires_ms()).await {
        warn!(%error, "an ended session could not be told to the other replicas");
    }
    trail.session_ended();
    trail.kept().await.map_err(|_| dispatch::OUTCOME_NOT_KEPT)?;
    let mut reply = empty(StatusCode::OK);
    rate_headers::add(told.as_ref(), reply.headers_mut());
    Ok(reply)
}

/// A GET that continues a stream which broke off. Leaves no record: the call has its own.
async fn continue_stream(listener: &hear::Listener<'_>, came: Came<'_>) -> Result<Reply, GatewayError> {
    let last = listener.header(&replay::LAST_EVENT_ID)?.ok_or(GatewayError::SessionGone)?;
    let session = listener.session()?;
    let owner = replay::Owner::new(listener.tenant, listener.principal, session.id, session.version);
    let app = listener.app;
    if let Some(home) = replay::elsewhere(app, &owner, last)
        && let Ok(reply) = Box::pin(forward::hand_on(app, came, &Elsewhere::stream(home), Bytes::new())).await
    {
        return Ok(reply);
    }
    let told = admission::request(app, listener.tenant, listener.principal).await?;
    let mut reply = replay::resume(app, &owner, last)?;
    rate_headers::add(told.as_ref(), reply.headers_mut());
    Ok(reply)
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
