//! A collector of OpenTelemetry: takes OTLP over HTTP in protobuf as a real one does, keeps what came, and misbehaves when it is
//! told.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Any,
    trace::v1::{Span as Wire, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A running collector; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    spans: Vec<Span>,
    requests: usize,
    /// What is answered; `None` for nothing at all.
    status: Option<StatusCode>,
}

/// A span that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace, in hexadecimal as `traceparent` has it.
    pub trace: String,
    /// The span itself.
    pub id: String,
    /// Its parent; empty for a root.
    pub parent: String,
    /// What came with the trace.
    pub state: String,
    /// Its name.
    pub name: String,
    /// `server` or `client`.
    pub kind: &'static str,
    /// Its texts, by their names.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it names besides its parent.
    pub links: Vec<String>,
    /// Whether its status is that of an error.
    pub is_error: bool,
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
}

impl Span {
    /// An attribute; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    /// A collector that takes everything.
    ///
    /// # Panics
    /// When there is no port for it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let shared = Shared { status: Some(StatusCode::OK), ..Shared::default() };
        let collector =
            Self { address: listener.local_addr().expect("an address"), shared: Arc::new(Mutex::new(shared)) };
        let own = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                let answer = service_fn(move |request| own.clone().answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        collector
    }

    /// The section `traces` of a gateway that sends everything here.
    pub fn traces(&self) -> Value {
        json!({ "url": format!("http://{}/v1/traces", self.address), "sample": 1.0 })
    }

    /// From now on it answers this status, or nothing at all.
    pub fn answer_with(&self, status: Option<StatusCode>) {
        self.shared().status = status;
    }

    /// The spans that it took.
    pub fn spans(&self) -> Vec<Span> {
        self.shared().spans.clone()
    }

    /// The spans of a trace.
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.shared().requests
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_otlp = head.method == http::Method::POST
            && head.uri.path() == "/v1/traces"
            && head.headers.get("content-type").is_some_and(|kind| kind == "application/x-protobuf");
        let status = {
            let mut shared = self.shared();
            shared.requests += 1;
            shared.status
        };
        let Some(status) = status else { return std::future::pending().await };
        let message = ExportTraceServiceRequest::decode(body).ok().filter(|_| is_otlp);
        let status = match message {
            None => StatusCode::BAD_REQUEST,
            Some(message) if status.is_success() => {
                self.keep(message);
                status
            }
            Some(_) => status,
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok(response)
    }

    fn keep(&self, message: ExportTraceServiceRequest) {
        let scopes = message.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.shared().spans.extend(scopes.flat_map(|scope| scope.spans).map(span));
    }
}

fn span(wire: Wire) -> Span {
    let kind = match wire.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        _ => "another",
    };
    let text = |value: Option<Any>| match value {
        Some(Any::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    let attributes = wire.attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|any| any.value))));
    Span {
        trace: hex(&wire.trace_id),
        id: hex(&wire.span_id),
        parent: hex(&wire.parent_span_id),
        state: wire.trace_state,
        name: wire.name,
        kind,
        attributes: attributes.collect(),
        links: wire.links.iter().map(|link| hex(&link.span_id)).collect(),
        is_error: wire.status.is_some_and(|status| status.code == SpanStatus::Error as i32),
        took_ns: wire.end_time_unix_nano.saturating_sub(wire.start_time_unix_nano),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
