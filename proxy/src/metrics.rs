//! Every metric of the gateway: all names and all label sets are in this file and the folder beside it. What is counted on the
//! path of a request has its labels resolved beforehand and costs an atomic addition or two; what others keep count of
//! themselves is taken over when somebody asks.
//!
//! Labels are bounded: methods by the protocol, the rest by the configuration. Nothing that a client sends becomes a label.
//! What each metric means, and what to do about it, is in docs/metrics.md.

mod process;
mod registry;
mod resumptions;
mod servers;
mod shared;
mod tenants;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use patchbay_core::{audit::How, method::Method};
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use self::{
    process::Process,
    registry::{Registered, whole},
    resumptions::Resumptions,
    servers::Servers,
    shared::Shared,
    tenants::Tenants,
};
pub use self::{
    registry::{Described, Kind},
    servers::{CallEnd, CallMeter, SERVERS_MAX, ServerMeter},
    shared::{AuditStats, LimiterStats, SinkStats, SpanStats},
    tenants::{LIMITS_MAX, TENANTS_MAX, TenantMeter},
};
use crate::{error::Blame, worker::WorkerLoad};

/// Methods that have a label of their own; all others are `other`.
const METHODS: [&str; 20] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "subscriptions/listen",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "skills/list",
    "skills/get",
    "resources/directory/read",
    "notification",
    "other",
];

const fn method_index(method: &Method) -> usize {
    match method {
        Method::Initialize => 0,
        Method::Ping => 1,
        Method::Discover => 2,
        Method::ToolsList => 3,
        Method::ToolsCall => 4,
        Method::PromptsList => 5,
        Method::PromptsGet => 6,
        Method::ResourcesList => 7,
        Method::TemplatesList => 8,
        Method::ResourcesRead => 9,
        Method::Complete => 10,
        Method::Listen => 11,
        Method::TasksGet => 12,
        Method::TasksUpdate => 13,
        Method::TasksCancel => 14,
        Method::SkillsList => 15,
        Method::SkillsGet => 16,
        Method::DirectoryRead => 17,
        Method::Initialized | Method::Cancelled | Method::Progress | Method::RootsChanged => 18,
        _ => 19,
    }
}

/// What somebody signs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An API key.
    Key,
    /// An access token.
    Token,
    /// An admin key or an admin's token, at the admin API.
    Admin,
}

impl Credential {
    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Admin => "admin",
        }
    }
}

/// What became of a request that is for another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// That replica answered.
    Answered,
    /// What it is for is there no more.
    Gone,
    /// That replica cannot be reached.
    Unreachable,
    /// It was sent, and no answer came.
    Lost,
    /// Nobody knows how that replica is reached.
    NoAddress,
    /// Too many requests were being handed on.
    Crowded,
}

impl Forwarded {
    /// The word in labels.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Gone => "gone",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::NoAddress => "no_address",
            Self::Crowded => "crowded",
        }
    }
}

/// What became of the questions of a server, those of one result taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionEnd {
    /// The client was asked.
    Asked,
    /// They were not put to the client.
    Refused,
    /// An answer came with a state that does not count.
    Invalid,
    /// An answer came, and the call that asked was not there any more.
    Lost,
}

impl QuestionEnd {
    const ALL: [Self; 4] = [Self::Asked, Self::Refused, Self::Invalid, Self::Lost];

    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Lost => "lost",
        }
    }
}

const OUTCOMES: [How; 5] = [How::Answered, How::Refused, How::Cancelled, How::Broken, How::Failed];
const BLAMES: [Blame; 3] = [Blame::Caller, Blame::Gateway, Blame::Server];

/// The metrics of one gateway. Two gateways in one process have one each.
pub struct Metrics {
    registry: Registry,
    described: Vec<Described>,
    scrape: Mutex<()>,
    process: Process,
    servers: Arc<Servers>,
    tenants: Arc<Tenants>,
    shared: Shared,
    /// Counts those whose tenant is not known.
    nobody: TenantMeter,
    requests: [[IntCounter; OUTCOMES.len()]; METHODS.len()],
    seconds: [Histogram; METHODS.len()],
    errors: [IntCounter; BLAMES.len()],
    signed_in: [IntCounter; 3],
    sign_ins_refused: [IntCounter; 3],
    sign_ins_unavailable: IntCounter,
    refusals: IntCounterVec,
    questions: [IntCounter; QuestionEnd::ALL.len()],
    parked: IntGauge,
    tokens: IntGauge,
    tenants_loaded: IntGauge,
    snapshot_age: Gauge,
    forwarded: IntCounterVec,
    servers_configured: IntGauge,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Legacy sessions that were opened.
    pub sessions_opened: IntCounter,
    /// Streams that are open towards clients.
    pub streams: IntGauge,
    /// What becomes of streams that broke.
    pub(crate) resumptions: Resumptions,
    /// Connections that are open from clients.
    pub connections: IntGauge,
    /// Refusals of strangers that left no record in the audit.
    pub strangers_unrecorded: IntCounter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Metrics {
    /// All metrics, at zero; of so many tools the calls are counted by name.
    pub fn new(tools_max: usize) -> Self {
        let registry = Registry::new();
        let all = Registered::new(&registry);
        let requests = all.counters(
            "patchbay_requests_total",
            "Messages from clients, by how they ended.",
            &["method", "outcome"],
        );
        let seconds =
            all.histograms("patchbay_request_seconds", "Time from a request's head to its last byte.", &["method"]);
        let errors =
            all.counters("patchbay_errors_total", "Errors, by who has to do something about them.", &["blame"]);
        let sign_ins = all.counters(
            "patchbay_sign_ins_total",
            "Credentials that were looked at, by how that ended. Tokens that are known are not looked at again.",
            &["credential", "outcome"],
        );
        let credentials = [Credential::Key, Credential::Token, Credential::Admin].map(Credential::as_str);
        let questions = all.counters(
            "patchbay_questions_total",
            "Questions of servers to clients across results and eras, by what became of them.",
            &["outcome"],
        );
        let tenants = Tenants::new(&all);
        let mut metrics = Self {
            scrape: Mutex::default(),
            process: Process::new(&all),
            servers: Servers::new(&all, tools_max),
            shared: Shared::new(&all),
            nobody: tenants.nobody(),
            tenants,
            requests: METHODS.map(|method| OUTCOMES.map(|how| requests.with_label_values(&[method, how.as_str()]))),
            seconds: METHODS.map(|method| seconds.with_label_values(&[method])),
            errors: BLAMES.map(|blame| errors.with_label_values(&[blame.as_str()])),
            signed_in: credentials.map(|credential| sign_ins.with_label_values(&[credential, "ok"])),
            sign_ins_refused: credentials.map(|credential| sign_ins.with_label_values(&[credential, "refused"])),
            sign_ins_unavailable: sign_ins.with_label_values(&[Credential::Token.as_str(), "unavailable"]),
            refusals: all.counters(
                "patchbay_sign_in_refusals_total",
                "Credentials that were refused, by the first check that failed.",
                &["reason"],
            ),
            questions: QuestionEnd::ALL.map(|end| questions.with_label_values(&[end.as_str()])),
            parked: all.gauge("patchbay_parked_calls", "Calls that wait for their clients to answer a server."),
            tokens: all.gauge("patchbay_tokens_remembered", "Tokens that are remembered as good."),
            tenants_loaded: all.gauge("patchbay_tenants", "Tenants that are in force."),
            snapshot_age: all.measure(
                "patchbay_snapshot_age_seconds",
                "Age of the oldest state that is in force by a copy from the disk; 0 when the store has been heard.",
            ),
            forwarded: all.counters(
                "patchbay_forwarded_total",
                "Requests that are for another replica, by what they are for and what became of them.",
                &["kind", "outcome"],
            ),
            servers_configured: all.gauge("patchbay_servers", "Servers of all tenants."),
            in_flight: all.gauge("patchbay_in_flight", "Requests that are being answered."),
            sessions_opened: all.counter("patchbay_sessions_opened_total", "Legacy sessions that were opened."),
            streams: all.gauge("patchbay_streams", "Streams that are open towards clients."),
            resumptions: Resumptions::new(&all),
            connections: all.gauge("patchbay_connections", "Connections that are open from clients."),
            strangers_unrecorded: all.counter(
                "patchbay_audit_strangers_unrecorded_total",
                "Refusals of strangers that left no audit record, since there were too many.",
            ),
            described: Vec::new(),
            registry: registry.clone(),
        };
        metrics.described = all.described();
        metrics
    }

    /// What there is, by name.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// What counts for a server: the same meter for as long as somebody holds it, and no sample after that.
    pub fn server(&self, tenant: &str, server: &str) -> Arc<ServerMeter> {
        self.servers.meter(tenant, server)
    }

    /// What counts for a tenant: the same meter for as long as somebody holds it, and no sample after that.
    pub fn tenant(&self, tenant: &str) -> Arc<TenantMeter> {
        self.tenants.meter(tenant)
    }

    /// A message was dealt with.
    pub fn request(&self, method: &Method, how: How, took: Duration) {
        let index = method_index(method);
        self.requests[index][outcome_index(how)].inc();
        self.seconds[index].observe(took.as_secs_f64());
    }

    /// An error was answered.
    pub fn error(&self, blame: Blame) {
        self.errors[match blame {
            Blame::Caller => 0,
            Blame::Gateway => 1,
            Blame::Server => 2,
        }]
        .inc();
    }

    /// A limit refused a request before its tenant was known; after that it is for [`TenantMeter::denied`].
    pub fn denied(&self, limit: &str) {
        self.nobody.denied(limit);
    }

    /// A credential was looked at and is good.
    pub fn signed_in(&self, with: Credential) {
        self.signed_in[with as usize].inc();
    }

    /// A credential was refused. The reason is a word of our own, so that there is a bounded number of them.
    pub fn sign_in_refused(&self, with: Credential, reason: &'static str) {
        self.sign_ins_refused[with as usize].inc();
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Nobody could say whether a token is good.
    pub fn sign_in_unavailable(&self) {
        self.sign_ins_unavailable.inc();
    }

    /// A turn to take over what others keep count of, until it is dropped: scrapes come one after the other.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.scrape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is for another replica. The kind is a word of our own.
    pub fn forwarded(&self, kind: &'static str, outcome: Forwarded) {
        self.forwarded.with_label_values(&[kind, outcome.as_str()]).inc();
    }

    /// Something became of a server's questions.
    pub fn question(&self, end: QuestionEnd) {
        self.questions[end as usize].inc();
    }

    /// How many calls wait for their clients; to be said before [`Self::render`].
    pub fn parked(&self, count: usize) {
        self.parked.set(whole(count as u64));
    }

    /// How many tokens are remembered; to be said before [`Self::render`].
    pub fn tokens(&self, count: usize) {
        self.tokens.set(whole(count as u64));
    }

    /// How many tenants and servers there are; to be said before [`Self::render`].
    pub fn population(&self, tenants: usize, servers: usize) {
        self.tenants_loaded.set(whole(tenants as u64));
        self.servers_configured.set(whole(servers as u64));
    }

    /// How old the oldest state is that is in force by a copy from the disk; to be said before [`Self::render`].
    pub fn snapshot_age(&self, age: Duration) {
        self.snapshot_age.set(age.as_secs_f64());
    }

    /// How the limiter counts; to be said before [`Self::render`], and whenever its mode changes.
    pub fn limiter(&self, stats: &LimiterStats) {
        self.shared.limiter(stats);
    }

    /// How the audit is; to be said before [`Self::render`].
    pub fn audit(&self, stats: &AuditStats) {
        self.shared.audit(stats);
    }

    /// What is to be told how long each answer waits until its audit record is safe on the disk.
    pub fn audit_synced(&self) -> impl Fn(Duration) + Send + Sync + use<> {
        self.shared.synced()
    }

    /// How the spans of traces fare; to be said before [`Self::render`] where traces are on.
    pub fn spans(&self, stats: &SpanStats) {
        self.shared.spans(stats);
    }

    /// How a sink of the audit is, by the name that the configuration gives it.
    pub fn sink(&self, name: &str, stats: &SinkStats) {
        self.shared.sink(name, stats);
    }

    /// What waits for the workers; to be said before [`Self::render`].
    pub fn workers(&self, loads: &[WorkerLoad]) {
        self.process.workers(loads);
    }

    /// All of them, in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.servers.sweep();
        self.tenants.sweep();
        self.process.look();
        let mut text = String::with_capacity(64 * 1024);
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .expect("metrics have samples of their own kind");
        text
    }
}

const fn outcome_index(how: How) -> usize {
    match how {
        How::Answered => 0,
        How::Refused => 1,
        How::Cancelled => 2,
        How::Broken => 3,
        How::Failed => 4,
    }
}

#[cfg(test)]
mod tests;
