//! Every metric of the gateway: all names and all label sets are in this file. What is counted on the path of a request has its
//! labels resolved beforehand and costs an atomic addition; labels that name tenants and servers are set off the path.
//!
//! Labels are bounded: methods by the protocol, the rest by the configuration. Nothing that a client sends becomes a label.

use std::time::Duration;

use patchbay_core::{audit::How, limits::Dimension, method::Method};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

use crate::{audit::Depth, error::Blame};

/// Upper bounds of the latency buckets, in seconds: what a hop costs, what servers take, what people wait.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Methods that have a label of their own; all others are `other`.
const METHODS: [&str; 14] = [
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
        Method::Initialized | Method::Cancelled | Method::Progress | Method::RootsChanged => 12,
        _ => 13,
    }
}

/// What somebody signs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An API key.
    Key,
    /// An access token.
    Token,
}

impl Credential {
    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
        }
    }
}

const OUTCOMES: [How; 5] = [How::Answered, How::Refused, How::Cancelled, How::Broken, How::Failed];
const BLAMES: [Blame; 3] = [Blame::Caller, Blame::Gateway, Blame::Server];

/// The metrics of one gateway. Two gateways in one process have one each.
pub struct Metrics {
    registry: Registry,
    requests: [[IntCounter; OUTCOMES.len()]; METHODS.len()],
    seconds: [Histogram; METHODS.len()],
    errors: [IntCounter; BLAMES.len()],
    denied: IntCounterVec,
    signed_in: [IntCounter; 2],
    sign_ins_refused: [IntCounter; 2],
    sign_ins_unavailable: IntCounter,
    refusals: IntCounterVec,
    tokens: IntGauge,
    server_up: IntGaugeVec,
    snapshot_generation: IntGaugeVec,
    snapshot_build_errors: IntGaugeVec,
    audit_spool_bytes: IntGauge,
    audit_lag_records: IntGauge,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Legacy sessions that were opened.
    pub sessions_opened: IntCounter,
    /// Streams that are open towards clients.
    pub streams: IntGauge,
    /// Connections that are open from clients.
    pub connections: IntGauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let all = Registered(&registry);
        let requests = all.counters(
            "patchbay_requests_total",
            "Messages from clients, by how they ended.",
            &["method", "outcome"],
        );
        let seconds =
            all.histograms("patchbay_request_seconds", "Time from a request's head to its last byte.", &["method"]);
        let errors =
            all.counters("patchbay_errors_total", "Errors, by who has to do something about them.", &["blame"]);
        let denied = all.counters("patchbay_limit_denied_total", "Requests that a limit refused.", &["limit"]);
        let sign_ins = all.counters(
            "patchbay_sign_ins_total",
            "Credentials that were looked at, by how that ended. Tokens that are known are not looked at again.",
            &["credential", "outcome"],
        );
        let credentials = [Credential::Key, Credential::Token].map(Credential::as_str);
        all.gauges("patchbay_build_info", "The version that runs.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Self {
            requests: METHODS.map(|method| OUTCOMES.map(|how| requests.with_label_values(&[method, how.as_str()]))),
            seconds: METHODS.map(|method| seconds.with_label_values(&[method])),
            errors: BLAMES.map(|blame| errors.with_label_values(&[blame.as_str()])),
            denied,
            signed_in: credentials.map(|credential| sign_ins.with_label_values(&[credential, "ok"])),
            sign_ins_refused: credentials.map(|credential| sign_ins.with_label_values(&[credential, "refused"])),
            sign_ins_unavailable: sign_ins.with_label_values(&[Credential::Token.as_str(), "unavailable"]),
            refusals: all.counters(
                "patchbay_sign_in_refusals_total",
                "Credentials that were refused, by the first check that failed.",
                &["reason"],
            ),
            tokens: all.gauge("patchbay_tokens_remembered", "Tokens that are remembered as good."),
            server_up: all.gauges("patchbay_server_up", "Whether a server answers.", &["tenant", "server"]),
            snapshot_generation: all.gauges("patchbay_snapshot_generation", "The state in force.", &["tenant"]),
            snapshot_build_errors: all.gauges(
                "patchbay_snapshot_build_errors",
                "1 while the newest state cannot be built and an older one is in force.",
                &["tenant"],
            ),
            audit_spool_bytes: all.gauge("patchbay_audit_spool_bytes", "Bytes of audit records on the local spool."),
            audit_lag_records: all
                .gauge("patchbay_audit_lag_records", "Audit records that the store does not have yet."),
            in_flight: all.gauge("patchbay_in_flight", "Requests that are being answered."),
            sessions_opened: all.counter("patchbay_sessions_opened_total", "Legacy sessions that were opened."),
            streams: all.gauge("patchbay_streams", "Streams that are open towards clients."),
            connections: all.gauge("patchbay_connections", "Connections that are open from clients."),
            registry,
        }
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

    /// A limit refused a request.
    pub fn denied(&self, limit: &str) {
        self.denied.with_label_values(&[limit]).inc();
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

    /// How many tokens are remembered; to be said before [`Self::render`].
    pub fn tokens(&self, count: usize) {
        self.tokens.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether a server answers.
    pub fn server_up(&self, tenant: &str, server: &str, up: bool) {
        self.server_up.with_label_values(&[tenant, server]).set(i64::from(up));
    }

    /// A server is configured no more.
    pub fn server_gone(&self, tenant: &str, server: &str) {
        // That it had no sample yet is fine.
        let _ = self.server_up.remove_label_values(&[tenant, server]);
    }

    /// A tenant's state was put in force.
    pub fn snapshot_published(&self, tenant: &str, generation: u64) {
        let generation = i64::try_from(generation).unwrap_or(i64::MAX);
        self.snapshot_generation.with_label_values(&[tenant]).set(generation);
        self.snapshot_build_errors.with_label_values(&[tenant]).set(0);
    }

    /// A tenant's newest state cannot be built.
    pub fn snapshot_failed(&self, tenant: &str) {
        self.snapshot_build_errors.with_label_values(&[tenant]).set(1);
    }

    /// A tenant is no more. Its servers are gone one by one.
    pub fn tenant_gone(&self, tenant: &str) {
        // That it had no sample yet is fine.
        let _ = self.snapshot_generation.remove_label_values(&[tenant]);
        let _ = self.snapshot_build_errors.remove_label_values(&[tenant]);
    }

    /// What waits in the audit's spool; to be said before [`Self::render`].
    pub fn audit(&self, depth: Depth) {
        self.audit_spool_bytes.set(i64::try_from(depth.bytes).unwrap_or(i64::MAX));
        self.audit_lag_records.set(i64::try_from(depth.records).unwrap_or(i64::MAX));
    }

    /// All of them, in the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
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

/// Makes metrics and registers them.
struct Registered<'a>(&'a Registry);

impl Registered<'_> {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("names and labels in this file are well formed");
        self.0.register(Box::new(collector.clone())).expect("each name in this file stands once");
        collector
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_knows_is_no_label() {
        let metrics = Metrics::new();
        metrics.request(&Method::of("tools/call"), How::Answered, Duration::from_millis(3));
        metrics.request(&Method::of("attack/by_label_12345"), How::Refused, Duration::ZERO);
        let text = metrics.render();
        assert!(text.contains(r#"patchbay_requests_total{method="tools/call",outcome="answered"} 1"#), "{text}");
        assert!(text.contains(r#"patchbay_requests_total{method="other",outcome="refused"} 1"#), "{text}");
        assert!(text.contains(r#"patchbay_request_seconds_bucket{method="tools/call",le="0.005"} 1"#), "{text}");
        assert!(!text.contains("attack"));
    }

    #[test]
    fn every_known_method_counts_under_its_own_name() {
        for (index, name) in METHODS.iter().enumerate() {
            let found = method_index(&Method::of(name));
            assert_eq!(METHODS[found], if *name == "notification" { "other" } else { METHODS[index] });
        }
    }

    #[test]
    fn every_metric_is_there_from_the_start_or_with_its_first_tenant() {
        let metrics = Metrics::new();
        metrics.server_up("acme", "shop", true);
        metrics.snapshot_published("acme", 7);
        metrics.snapshot_failed("umbrella");
        metrics.denied("principal");
        metrics.error(Blame::Server);
        metrics.signed_in(Credential::Key);
        metrics.sign_in_refused(Credential::Token, "token_expired");
        metrics.sign_in_unavailable();
        metrics.tokens(3);
        metrics.audit(Depth { bytes: 9, records: 2, ..Depth::default() });
        metrics.in_flight.inc();
        let text = metrics.render();
        for line in [
            r#"patchbay_server_up{server="shop",tenant="acme"} 1"#,
            r#"patchbay_snapshot_generation{tenant="acme"} 7"#,
            r#"patchbay_snapshot_build_errors{tenant="acme"} 0"#,
            r#"patchbay_snapshot_build_errors{tenant="umbrella"} 1"#,
            r#"patchbay_limit_denied_total{limit="principal"} 1"#,
            r#"patchbay_errors_total{blame="server"} 1"#,
            r#"patchbay_sign_ins_total{credential="key",outcome="ok"} 1"#,
            r#"patchbay_sign_ins_total{credential="key",outcome="refused"} 0"#,
            r#"patchbay_sign_ins_total{credential="token",outcome="ok"} 0"#,
            r#"patchbay_sign_ins_total{credential="token",outcome="refused"} 1"#,
            r#"patchbay_sign_ins_total{credential="token",outcome="unavailable"} 1"#,
            r#"patchbay_sign_in_refusals_total{reason="token_expired"} 1"#,
            "patchbay_tokens_remembered 3",
            "patchbay_audit_spool_bytes 9",
            "patchbay_audit_lag_records 2",
            "patchbay_in_flight 1",
            "patchbay_sessions_opened_total 0",
            "patchbay_streams 0",
            "patchbay_connections 0",
            concat!(r#"patchbay_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn a_tenant_that_is_gone_leaves_no_sample() {
        let metrics = Metrics::new();
        metrics.server_up("acme", "shop", false);
        metrics.snapshot_published("acme", 1);
        metrics.server_gone("acme", "shop");
        metrics.server_gone("acme", "never-seen");
        metrics.tenant_gone("acme");
        assert!(!metrics.render().contains("acme"));
    }
}
