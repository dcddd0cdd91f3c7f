//! The way to the collector, and collectors that misbehave.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use patchbay_core::audit::Ending;
use prost::Message;

use super::{
    collector::{Answer, Collector},
    *,
};

const PATIENCE: Duration = Duration::from_secs(2);

fn at(collector: &Collector) -> Telemetry {
    Telemetry::new(&config(&format!("http://{}/v1/traces", collector.address))).unwrap()
}

fn record(telemetry: &Telemetry, count: usize) {
    for _ in 0..count {
        telemetry.begin(&Came::default(), &Method::Ping).end(&Ending::answered(200));
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let waited = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

#[tokio::test]
async fn spans_arrive_with_the_headers_and_the_name_of_the_gateway() {
    let collector = Collector::start(Vec::new()).await;
    let mut config = config(&format!("http://{}", collector.address));
    config.headers.insert("x-scope".to_owned(), "tenant-1".into());
    let telemetry = Telemetry::new(&config).unwrap();
    record(&telemetry, 3);
    let sending = telemetry.start().unwrap();
    assert!(telemetry.start().is_none(), "there is one task");
    until("the spans", || collector.spans().len() == 3).await;
    until("the count", || telemetry.stats().sent == 3).await;
    sending.flush(PATIENCE).await;
    let head = collector.heads()[0].to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\ncontent-type: application/x-protobuf\r\n") && head.contains("\r\nx-scope: tenant-1\r\n")
    );
    let said = format!("{:?}", collector.bodies()[0].resource_spans[0].resource);
    assert!(said.contains("service.name") && said.contains("service.instance.id"), "{said}");
    assert_eq!(telemetry.stats(), TelemetryStats { waiting: 0, sent: 3, failed: 0, dropped: 0 });
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end() {
    let collector = Collector::start(Vec::new()).await;
    let telemetry = at(&collector);
    let sending = telemetry.start().unwrap();
    record(&telemetry, outbox::BATCH_SPANS_MAX * 2 + 1);
    sending.flush(PATIENCE).await;
    assert_eq!(collector.spans().len(), outbox::BATCH_SPANS_MAX * 2 + 1);
    let largest = collector.bodies().iter().map(|body| body.resource_spans[0].scope_spans[0].spans.len()).max();
    assert_eq!(largest, Some(outbox::BATCH_SPANS_MAX));
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let busy = Answer::Say("503 Service Unavailable\r\nRetry-After: 0\r\n", Vec::new());
    let collector = Collector::start(vec![busy, Answer::Say("400 Bad Request\r\n", Vec::new())]).await;
    let telemetry = at(&collector);
    record(&telemetry, 1);
    let sending = telemetry.start().unwrap();
    until("the refusal", || telemetry.stats().failed == 1).await;
    assert_eq!(collector.heads().len(), 2, "once more after 503, and not after 400");
    record(&telemetry, 1);
    until("what came later", || telemetry.stats().sent == 1).await;
    sending.flush(PATIENCE).await;
}

#[tokio::test]
async fn spans_that_a_collector_took_for_naught_are_counted() {
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "full".to_owned() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let collector = Collector::start(vec![Answer::Say("200 OK\r\n", body)]).await;
    let telemetry = at(&collector);
    record(&telemetry, 5);
    telemetry.start().unwrap().flush(PATIENCE).await;
    assert_eq!((telemetry.stats().sent, telemetry.stats().failed), (3, 2));
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_time_at_the_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = Telemetry::new(&config(&format!("http://{address}/v1/traces"))).unwrap();
    record(&telemetry, 600);
    let began = Instant::now();
    telemetry.start().unwrap().flush(PATIENCE).await;
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(1));
    assert_eq!(telemetry.stats(), TelemetryStats { waiting: 0, sent: 0, failed: 600, dropped: 0 });
}

#[tokio::test]
async fn a_silent_collector_holds_nobody_up_at_the_end() {
    let collector = Collector::start(vec![Answer::Silence; 8]).await;
    let telemetry = at(&collector);
    let sending = telemetry.start().unwrap();
    record(&telemetry, outbox::BATCH_SPANS_MAX);
    until("the message", || collector.heads().len() == 1).await;
    record(&telemetry, outbox::SPANS_WAITING_MAX + 7);
    assert_eq!(telemetry.stats().dropped, 7, "nothing but the bound waits for it");
    let began = Instant::now();
    sending.flush(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let all = (outbox::BATCH_SPANS_MAX + outbox::SPANS_WAITING_MAX) as u64;
    assert_eq!(telemetry.stats(), TelemetryStats { waiting: 0, sent: 0, failed: all, dropped: 7 });
}

#[test]
fn a_url_or_header_that_cannot_be_used_is_said_without_its_value() {
    let refused = |config: &TracesConfig| match Telemetry::new(config) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was taken"),
    };
    assert!(refused(&config("ftp://collector/x")).starts_with("traces.url: expected"));
    let mut bad = config("http://collector:4318");
    bad.headers.insert("authorization".to_owned(), "Bearer canary\r\nx: y".into());
    let said = refused(&bad);
    assert!(said.starts_with("traces.headers.authorization: expected") && !said.contains("canary"), "{said}");
}

#[test]
fn nothing_is_connected_before_it_is_started() {
    let telemetry = recording();
    record(&telemetry, 2);
    assert_eq!(telemetry.stats(), TelemetryStats { waiting: 2, sent: 0, failed: 0, dropped: 0 });
}
