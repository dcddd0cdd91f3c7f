//! What every request of an admin goes through before it reaches its operation, in this order: a place among those that run, the
//! names that it uses for us, the kind of its body, who sends it. And what every answer has: security headers and the request's id.
//! Refusals leave a record in the audit. Not here: what somebody may do ([`super::who`]), and doing it once ([`super::once`]).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body as _;
use patchbay_core::audit::{Actor, EventId};
use tokio::{sync::Semaphore, time::timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;
use url::Url;

use super::{ROOT, desk::Desk, once, problem::Problem, routes, who::Admin};
use crate::{
    app::App,
    audit::{self, Trail},
    auth::{
        Peer,
        admin::{Admins, Refused},
    },
    edge::{forwarded, origin::Allowed},
};

/// Requests that run at once.
const REQUESTS_AT_ONCE_MAX: usize = 64;
/// How long a request may take to its answer's head.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of a path that a record has.
const PATH_BYTES_SHOWN: usize = 100;
/// What everybody may read without a credential, below [`ROOT`]: what the API is like, and nothing of what is in it.
const OPEN: [&str; 3] = ["", "/", "/openapi.json"];
/// Kinds of bodies besides those whose name ends in `json`. None of them is sent by a page without being asked for first.
const YAML: [&str; 3] = ["application/yaml", "application/x-yaml", "text/yaml"];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What answers say of themselves, unless they say otherwise.
const DRESS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// See the module.
pub(crate) struct Gate {
    app: Arc<App>,
    admins: Admins,
    allowed: Allowed,
    places: Semaphore,
}

/// Why a request does not come through.
struct Refusal {
    problem: Problem,
    /// The word for the audit; without one there is no record.
    reason: Option<&'static str>,
    actor: Actor,
    /// Whether there were so many that not each has a record.
    is_crowded: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, reason: None, actor: Actor::Unknown, is_crowded: false }
    }
}

impl Refusal {
    fn for_reason(problem: Problem, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..problem.into() }
    }
}

/// All operations behind the gate.
pub(crate) fn guarded(gate: Arc<Gate>) -> Router {
    let desk = Arc::new(Desk::of_gateway(gate.app.clone()));
    // The outermost comes last. What is done once goes on by itself when its client goes away, so it catches its own panics.
    routes(desk.clone())
        .layer(middleware::from_fn_with_state(desk, once::once))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(middleware::from_fn_with_state(gate, admit))
}

/// The panic itself was told by the hook.
pub(super) fn panicked() -> Response {
    error!("a request of an admin panicked");
    Problem::internal().into_response()
}

impl Gate {
    /// The gate of a listener at this address.
    pub(crate) fn new(app: Arc<App>, listener: Option<SocketAddr>) -> Arc<Self> {
        let admins = Admins::new(&app.config.admin, app.fetch.clone());
        let allowed = allowed(&app, listener);
        Arc::new(Self { app, admins, allowed, places: Semaphore::new(REQUESTS_AT_ONCE_MAX) })
    }

    async fn pass(&self, mut request: Request, next: Next, address: IpAddr) -> Result<(Response, Option<Admin>), Refusal> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Problem::away("too many requests run at once: try again").into());
        };
        self.check_names(request.headers())?;
        check_kind(&request)?;
        let admin = if is_open(&request) { None } else { Some(self.sign_in(request.headers(), address).await?) };
        if let Some(admin) = &admin {
            request.extensions_mut().insert(admin.clone());
        }
        match timeout(REQUEST_TIME_MAX, next.run(request)).await {
            Ok(response) => Ok((response, admin)),
            Err(_) => Err(Problem::broken_off("this took too long: look whether it was done").into()),
        }
    }

    /// Holds Host and Origin against their lists (DNS rebinding, foreign pages).
    fn check_names(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.allowed.check_host(headers).is_err() {
            let told = "this Host is on no list: name it in admin.allowed_hosts or admin.public_url of patchbay.yaml";
            return Err(Refusal::for_reason(Problem::foreign(told), "foreign_host"));
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.allowed.is_page(origin) => {
                Err(Refusal::for_reason(Problem::foreign("no page but those of admin.public_url may ask"), "foreign_origin"))
            }
            _ => Ok(()),
        }
    }

    async fn sign_in(&self, headers: &HeaderMap, address: IpAddr) -> Result<Admin, Refusal> {
        match self.admins.identify(&self.app, headers, address, audit::now_ms()).await {
            Ok(known) => Ok(Admin::new(known.actor, known.grants)),
            Err(refused) => Err(told(refused)),
        }
    }

    /// Leaves a record of a refusal, unless there are too many.
    async fn write_down(&self, trail: &mut Trail, refusal: &Refusal, what: &str, address: IpAddr) {
        let Some(reason) = refusal.reason else { return };
        if self.app.limits.admins.is_refusal_recorded(address, refusal.is_crowded).await {
            trail.admin_refused(refusal.actor.clone(), what, refusal.problem.status(), reason);
        } else {
            self.app.metrics.strangers_unrecorded.inc();
        }
    }
}

/// What somebody is told who is not let in.
fn told(refused: Refused) -> Refusal {
    match refused {
        Refused::Missing => Refusal::for_reason(Problem::unauthorized(), "unauthenticated"),
        Refused::Malformed => {
            let told = "expected one credential, as `Authorization: Bearer …`";
            Refusal::for_reason(Problem::bad_request(told), "malformed_credential")
        }
        Refused::Unknown(reason) => Refusal::for_reason(Problem::unauthorized(), reason),
        Refused::Roleless(actor, reason) => {
            let told = "you are known and have no role here: the operator gives roles to groups with admin.grants";
            Refusal { actor, ..Refusal::for_reason(Problem::forbidden(told), reason) }
        }
        Refused::Crowded(after) => {
            Refusal { is_crowded: true, ..Refusal::for_reason(Problem::limited(after), "sign_ins") }
        }
        Refused::Away(told) => Problem::away(told).into(),
    }
}

/// Takes a request through the gate.
async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let address = address(&gate.app, &request);
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let mut trail = Trail::open(&gate.app.audit, address, agent);
    let (id, what) = (trail.request_id(), what(&request));
    let mut response = match gate.pass(request, next, address).await {
        Ok((response, admin)) => {
            if let Some(admin) = admin.filter(Admin::was_refused) {
                let reason = if response.status() == http::StatusCode::FORBIDDEN { "role" } else { "not_found" };
                let problem = if reason == "role" { Problem::forbidden("") } else { Problem::not_found() };
                let refusal = Refusal { actor: admin.actor().clone(), ..Refusal::for_reason(problem, reason) };
                gate.write_down(&mut trail, &refusal, &what, address).await;
            }
            response
        }
        Err(refusal) => {
            gate.write_down(&mut trail, &refusal, &what, address).await;
            refusal.problem.into_response()
        }
    };
    dress(response.headers_mut(), id);
    response
}

/// Where a request comes from.
fn address(app: &App, request: &Request) -> IpAddr {
    let unknown = Peer { ip: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), loopback: false };
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(unknown);
    forwarded::behind(peer, request.headers(), &app.config.trusted_proxies).ip
}

/// What is asked for, for the audit.
fn what(request: &Request) -> String {
    let path = request.uri().path();
    let path = path.strip_prefix(ROOT).unwrap_or(path);
    format!("{} {}", request.method(), &path[..path.floor_char_boundary(PATH_BYTES_SHOWN)])
}

fn is_open(request: &Request) -> bool {
    let path = request.uri().path();
    let below = path.strip_prefix(ROOT).unwrap_or(if path == "/" { "/" } else { "?" });
    matches!(*request.method(), Method::GET | Method::HEAD) && OPEN.contains(&below)
}

/// Refuses bodies of kinds that nothing here reads, so that no page can send one without being asked for first.
fn check_kind(request: &Request) -> Result<(), Problem> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if is_json || YAML.contains(&&*kind) { Ok(()) } else { Err(Problem::media_type()) }
}

/// The hosts and the origin that count: loopback, the address of the listener where it is one, and what the operator names.
fn allowed(app: &App, listener: Option<SocketAddr>) -> Allowed {
    let admin = &app.config.admin;
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
    hosts.extend(listener.filter(|at| !at.ip().is_unspecified()).map(|at| at.to_string()));
    hosts.extend(admin.allowed_hosts.iter().cloned());
    let mut origins = Vec::new();
    if let Some(url) = &admin.public_url {
        hosts.extend(authority(url));
        origins.extend(authority(url).map(|authority| format!("{}://{authority}", url.scheme())));
    }
    Allowed::new(&hosts, &origins)
}

/// Host and, where it is not the usual one, port of a URL. Without a port all ports of the host pass, which its scheme decides.
fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn dress(headers: &mut HeaderMap, id: Option<EventId>) {
    for (name, value) in DRESS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Some(id) = id.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests;
