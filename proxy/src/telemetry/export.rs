//! Brings spans to the collector: one task, one message at a time (OTLP over HTTP, protobuf), with bounds on everything. A collector
//! that is away, slow or unwilling costs spans, which are counted and said, and never a request.
//!
//! Only patchbay.yaml says where spans go; the variables `OTEL_…` are not read. The address is the operator's own, so it may be
//! in a private network and without TLS: the rules for the addresses of tenants' servers are not for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use patchbay_config::TracesConfig;
use patchbay_downstream::{
    fetch::{FetchBounds, FetchFault, Fetcher},
    http::NetPolicy,
};
use prost::Message;
use secrecy::ExposeSecret;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::{outbox::Outbox, span::text};

/// How long spans wait for others before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// How long one message to the collector may take, from the look-up of its host to its answer.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest answer of the collector that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How often a batch is sent before its spans are lost.
const ATTEMPTS_MAX: u32 = 3;
/// The pause before the second attempt; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause that a collector can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often it is said that spans are lost.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Why traces cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The URL is none that a request can be sent to.
    #[error(
        "traces.url: expected the http:// or https:// URL of an OpenTelemetry collector, such as http://collector:4318/v1/traces"
    )]
    Url,
    /// A header cannot be sent. The value is not shown.
    #[error("traces.headers.{0}: expected a header's name, and a value of printable characters without line breaks")]
    Header(String),
}

/// Sends what the outbox holds.
pub(super) struct Exporter {
    uri: Uri,
    headers: HeaderMap,
    fetcher: Fetcher,
    resource: Resource,
    outbox: Arc<Outbox>,
    stop: CancellationToken,
    troubled: Trouble,
}

/// Spans are being sent.
#[derive(Debug)]
#[must_use = "spans that wait are lost at the end of the process without `flush`"]
pub struct Exporting {
    task: JoinHandle<()>,
    stop: CancellationToken,
    outbox: Arc<Outbox>,
}

/// What was said of lost spans.
#[derive(Default)]
struct Trouble {
    said: Option<Instant>,
    lost: u64,
}

/// How one attempt ended.
enum Attempt {
    /// Taken, but for so many spans.
    Taken { refused: u64 },
    /// Not taken; after a pause it may be.
    Later(String, Option<Duration>),
    /// Never.
    Refused(String),
}

impl Exporter {
    pub(super) fn new(config: &TracesConfig, outbox: Arc<Outbox>) -> Result<Self, TelemetryError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let unfit = || TelemetryError::Header(name.clone());
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| unfit())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self {
            uri: endpoint(&config.url)?,
            headers,
            fetcher: Fetcher::new(anywhere()),
            resource: resource(),
            outbox,
            stop: CancellationToken::new(),
            troubled: Trouble::default(),
        })
    }

    pub(super) fn start(self) -> Exporting {
        let (stop, outbox) = (self.stop.clone(), self.outbox.clone());
        Exporting { task: tokio::spawn(self.run()), stop, outbox }
    }

    async fn run(mut self) {
        loop {
            let last = tokio::select! {
                biased;
                () = self.stop.cancelled() => true,
                () = self.outbox.full.notified() => false,
                () = sleep(GATHER) => false,
            };
            while let Some(batch) = self.outbox.take() {
                self.bring(batch).await;
            }
            self.say_lost(None);
            if last {
                return;
            }
        }
    }

    /// Sends one batch, and again while there is hope and nobody wants to stop.
    async fn bring(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = self.message(batch);
        let mut pause = PAUSE_MIN;
        for attempt in 1..=ATTEMPTS_MAX {
            let why = match self.attempt(body.clone()).await {
                Attempt::Taken { refused } => {
                    self.outbox.settle(count, refused);
                    let why = (refused > 0).then_some("the collector took only a part of them");
                    return self.said_after(why);
                }
                Attempt::Refused(why) => {
                    self.outbox.settle(count, count);
                    return self.say_lost(Some(&why));
                }
                Attempt::Later(why, wanted) => {
                    pause = wanted.unwrap_or(pause).min(PAUSE_MAX);
                    why
                }
            };
            if attempt == ATTEMPTS_MAX || self.stop.is_cancelled() {
                self.outbox.settle(count, count);
                return self.say_lost(Some(&why));
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause *= 2;
        }
    }

    async fn attempt(&self, body: Bytes) -> Attempt {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let bounds = FetchBounds { bytes_max: ANSWER_BYTES_MAX, timeout: EXPORT_TIME_MAX };
        let answer = match self.fetcher.send(request, bounds).await {
            Ok(answer) => answer,
            Err(error @ FetchFault::Unreachable(_)) => return Attempt::Later(error.to_string(), None),
            // It was taken, with a long story.
            Err(FetchFault::TooLarge(_)) => return Attempt::Taken { refused: 0 },
            Err(error) => return Attempt::Refused(error.to_string()),
        };
        let status = answer.status();
        let why = || format!("the collector answered {status}");
        match status {
            _ if status.is_success() => Attempt::Taken { refused: refused(answer.body()) },
            // The statuses after which OTLP allows another attempt.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Attempt::Later(why(), retry_after(answer.headers())),
            _ => Attempt::Refused(why()),
        }
    }

    fn message(&self, spans: Vec<Span>) -> Bytes {
        let scope = InstrumentationScope {
            name: "patchbay".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource_spans =
            vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    /// After a batch that arrived.
    fn said_after(&mut self, why: Option<&str>) {
        if why.is_none() && self.troubled.said.take().is_some() {
            info!("the collector takes traces again");
        }
        self.say_lost(why);
    }

    /// Says how many spans are lost, when there are more than were said, at most once a minute.
    fn say_lost(&mut self, why: Option<&str>) {
        let lost = self.outbox.stats().lost();
        let quiet = self.troubled.said.is_some_and(|said| said.elapsed() < SAY_EVERY);
        if lost <= self.troubled.lost || quiet {
            return;
        }
        let spans = lost - self.troubled.lost;
        let why = why.unwrap_or("more of them end than can be sent");
        warn!(spans, why, "{spans} spans did not reach the collector of traces: {why}");
        self.troubled = Trouble { said: Some(Instant::now()), lost };
    }
}

impl Exporting {
    /// Sends what waits, once, for at most so long; the rest is lost.
    pub async fn flush(mut self, patience: Duration) {
        self.stop.cancel();
        if timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let spans = self.outbox.give_up();
        if spans > 0 {
            warn!(spans, "{spans} spans did not reach the collector of traces before the end");
        }
    }
}

/// Where spans are posted: the URL as it is, or the usual path behind one that has none.
fn endpoint(url: &Url) -> Result<Uri, TelemetryError> {
    let mut url = url.clone();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(TelemetryError::Url);
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    url.set_fragment(None);
    url.as_str().parse().map_err(|_| TelemetryError::Url)
}

/// The operator's own address may be anywhere.
fn anywhere() -> NetPolicy {
    let all = [std::net::IpAddr::from([0_u8; 4]), std::net::IpAddr::from([0_u8; 16])];
    let nets = all.into_iter().filter_map(|address| ipnet::IpNet::new(address, 0).ok());
    NetPolicy { allow_private: nets.collect(), allow_plain_http: true }
}

fn resource() -> Resource {
    let instance = uuid::Builder::from_random_bytes(patchbay_core::random_bytes()).into_uuid();
    Resource {
        attributes: vec![
            text("service.name", "patchbay"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &instance.to_string()),
        ],
        ..Resource::default()
    }
}

/// How many spans the collector took for naught. An answer that cannot be read says none.
fn refused(body: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(body).ok().and_then(|answer| answer.partial_success);
    answer.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

/// Seconds alone; a date is a collector's way to be waited for as long as usual.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
