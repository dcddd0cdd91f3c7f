//! Records reach other places: signed, in order, all of them, also when the place was away; and a dead place holds up nobody.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use patchbay_e2e::{
    TestGateway,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

/// A place that takes what is posted, or answers 500.
#[derive(Clone, Default)]
struct Place {
    got: Arc<Mutex<Vec<(http::HeaderMap, Bytes)>>>,
    is_away: Arc<AtomicBool>,
}

impl Place {
    async fn open(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let place = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let place = place.clone();
                let serve = service_fn(move |request| place.clone().take(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
            }
        });
        address
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut response = Response::new(Full::default());
        if self.is_away.load(Ordering::SeqCst) {
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        } else {
            self.got.lock().unwrap().push((head.headers, body));
        }
        Ok(response)
    }

    /// The records that came as lines of JSON.
    fn records(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        let lines = got.iter().flat_map(|(_, body)| body.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_every_record_signed_and_in_order_also_after_it_was_away() {
    let (place, dead) = (Place::default(), Place::default());
    dead.is_away.store(true, Ordering::SeqCst);
    let (address, dead_address) = (place.open().await, dead.open().await);
    let sink = |address: SocketAddr| {
        json!({ "kind": "webhook", "url": format!("http://{address}/audit"), "secret": "webhook-secret-canary",
            "headers": { "Authorization": "Bearer sink-canary" } })
    };
    let gateway = TestGateway::setup()
        .set("audit", json!({ "sinks": { "siem": sink(address), "dead": sink(dead_address) } }))
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .start()
        .await;
    let client = gateway.modern("acme");
    client.call("one_echo", json!({})).await;
    let calls = || {
        place
            .records()
            .iter()
            .filter(|line| line["kind_of"] == "tool.call" && line["record"]["outcome"] == "answered")
            .count()
    };
    wait_until("the first call is there", || async { calls() == 1 }).await;
    place.is_away.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        client.call("one_echo", json!({})).await;
    }
    wait_until("it is noted that the place is away", || async {
        gateway.metrics().await.lines().any(|line| {
            line.contains("sink") && line.contains("siem") && line.contains("fail") && !line.ends_with(" 0")
        })
    })
    .await;
    place.is_away.store(false, Ordering::SeqCst);
    wait_until("all calls are there", || async { calls() == 11 }).await;

    let key = hmac::Key::new(hmac::HMAC_SHA256, b"webhook-secret-canary");
    for (head, body) in place.got.lock().unwrap().iter() {
        assert_eq!(head["authorization"], "Bearer sink-canary");
        let signature = head["patchbay-signature"].to_str().unwrap();
        let (time, hex) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).unwrap();
        let signed = [time.as_bytes(), b".", body].concat();
        let expected: String = hmac::sign(&key, &signed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
    // Each chain comes in the order of its numbers, and nothing twice here.
    let records = place.records();
    let chain = |line: &Value| (line["tenant"].to_string(), line["writer"].to_string());
    for of in records.iter().map(chain).collect::<BTreeSet<_>>() {
        let seqs: Vec<u64> = records
            .iter()
            .filter(|line| chain(line) == of && line["type"] == "record")
            .filter_map(|line| line["seq"].as_u64())
            .collect();
        assert!(seqs.iter().enumerate().all(|(at, seq)| *seq == at as u64 + 1), "{of:?}: {seqs:?}");
    }
    let written = gateway.written() + &gateway.metrics().await;
    assert!(!written.contains("canary"), "a secret of a sink is in the log or the metrics");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_records_as_opentelemetry_logs() {
    let place = Place::default();
    let address = place.open().await;
    let gateway = TestGateway::setup()
        .set("audit", json!({ "sinks": { "otel": { "kind": "otlp", "url": format!("http://{address}/v1/logs") } } }))
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .start()
        .await;
    gateway.modern("acme").call("one_echo", json!({})).await;
    let holds =
        |text: &str| place.got.lock().unwrap().iter().any(|(_, body)| String::from_utf8_lossy(body).contains(text));
    wait_until("the call is there", || async { holds("patchbay.audit.tool.call") && holds("one_echo") }).await;
    assert_eq!(place.got.lock().unwrap()[0].0["content-type"], "application/x-protobuf");
}
