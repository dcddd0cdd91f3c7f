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
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
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
    /// What the audit has of it, if it has anything.
    record: Option<Record>,
}

/// A refusal as the audit has it.
struct Record {
    actor: Actor,
    status: u16,
    reason: &'static str,
    /// Whether there were so many that not each has a record.
    is_crowded: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, record: None }
    }
}

impl Refusal {
    fn of(problem: Problem, actor: Actor, reason: &'static str) -> Self {
        let record = Record { actor, status: problem.status(), reason, is_crowded: false };
        Self { problem, record: Some(record) }
    }

    /// One of which nobody knows who it is.
    fn of_stranger(problem: Problem, reason: &'static str) -> Self {
        Self::of(problem, Actor::Unknown, reason)
    }
}

/// All operations behind the gate.
pub(crate) fn guarded(gate: Arc<Gate>) -> Router {
    let desk = Arc::new(Desk::of_gateway(gate.app.clone()));
    behind(gate, desk.clone(), routes(desk))
}

fn behind(gate: Arc<Gate>, desk: Arc<Desk>, router: Router) -> Router {
    // The outermost comes last. What is done once goes on by itself when its client goes away, so it catches its own panics.
    router
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

    async fn pass(
        &self,
        mut request: Request,
        next: Next,
        address: IpAddr,
    ) -> Result<(Response, Option<Admin>), Refusal> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Problem::away("too many requests run at once: try again").into());
        };
        self.check_names(request.headers()).map_err(|refused| *refused)?;
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
    fn check_names(&self, headers: &HeaderMap) -> Result<(), Box<Refusal>> {
        if self.allowed.check_host(headers).is_err() {
            let told = "this Host is on no list: name it in admin.allowed_hosts or admin.public_url of patchbay.yaml";
            return Err(Box::new(Refusal::of_stranger(Problem::foreign(told), "foreign_host")));
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.allowed.is_page(origin) => Err(Box::new(Refusal::of_stranger(
                Problem::foreign("no page but those of admin.public_url may ask"),
                "foreign_origin",
            ))),
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
    async fn write_down(self: Arc<Self>, mut trail: Trail, refused: Record, what: String, address: IpAddr) {
        if self.app.limits.admins.is_refusal_recorded(address, refused.is_crowded).await {
            trail.admin_refused(refused.actor, &what, refused.status, refused.reason);
        } else {
            self.app.metrics.strangers_unrecorded.inc();
        }
    }
}

/// What somebody is told who is not let in.
fn told(refused: Refused) -> Refusal {
    match refused {
        Refused::Missing => Refusal::of_stranger(Problem::unauthorized(), "unauthenticated"),
        Refused::Malformed => {
            let told = "expected one credential, as `Authorization: Bearer …`";
            Refusal::of_stranger(Problem::bad_request(told), "malformed_credential")
        }
        Refused::Unknown(reason) => Refusal::of_stranger(Problem::unauthorized(), reason),
        Refused::Roleless(actor, reason) => {
            let told = "you are known and have no role here: the operator gives roles to groups with admin.grants";
            Refusal::of(Problem::forbidden(told), actor, reason)
        }
        Refused::Crowded(after) => {
            let problem = Problem::limited(after);
            let (actor, status) = (Actor::Unknown, problem.status());
            Refusal { record: Some(Record { actor, status, reason: "sign_ins", is_crowded: true }), problem }
        }
        Refused::Away(told) => Problem::away(told).into(),
    }
}

/// Takes a request through the gate.
async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let address = address(&gate.app, &request);
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let trail = Trail::open(&gate.app.audit, address, agent);
    let (id, what) = (trail.request_id(), what(&request));
    let (mut response, record) = match gate.pass(request, next, address).await {
        Ok((response, admin)) => {
            let record = admin.filter(Admin::was_refused).map(|admin| refused(&admin, response.status()));
            (response, record)
        }
        Err(Refusal { problem, record }) => (problem.into_response(), record),
    };
    if let Some(record) = record {
        gate.write_down(trail, record, what, address).await;
    }
    dress(response.headers_mut(), id);
    response
}

/// What the audit has of an admin who wanted what is not theirs.
fn refused(admin: &Admin, status: StatusCode) -> Record {
    let reason = if status == StatusCode::FORBIDDEN { "role" } else { "not_found" };
    Record { actor: admin.actor().clone(), status: status.as_u16(), reason, is_crowded: false }
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
    if is_json || YAML.contains(&&*kind) {
        return Ok(());
    }
    let expected = "send the body as JSON or YAML, with its Content-Type: application/json or application/yaml";
    Err(Problem::unsupported(expected))
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
