//! A scripted MCP server on a real socket: it keeps what it was asked, and answers as a test says. Handshakes of either era
//! are answered here, so that a test only scripts what it is about.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    time::timeout,
};

pub(crate) type Reply = Response<BoxBody<Bytes, Infallible>>;
type Script = Arc<dyn Fn(Seen) -> BoxFuture<'static, Reply> + Send + Sync>;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) http: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) raw: Bytes,
}

impl Seen {
    /// The JSON-RPC method, or the HTTP method when there is no message.
    pub(crate) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or(self.http.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> u64 {
        self.body["id"].as_u64().unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    changed: Notify,
    pub(crate) connections: AtomicUsize,
    pub(crate) open: AtomicUsize,
}

impl Log {
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn methods(&self) -> Vec<String> {
        self.all().iter().map(|seen| seen.method().to_owned()).collect()
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.all().iter().filter(|seen| seen.method() == method).count()
    }

    /// Waits for the first request that fits.
    pub(crate) async fn wait_for(&self, fits: impl Fn(&Seen) -> bool) -> Seen {
        let found = async {
            loop {
                let changed = self.changed.notified();
                if let Some(seen) = self.all().into_iter().find(&fits) {
                    return seen;
                }
                changed.await;
            }
        };
        timeout(Duration::from_secs(10), found).await.expect("the server sees the request")
    }

    pub(crate) async fn wait_for_open(&self, count: usize) {
        let reached = async {
            while self.open.load(Ordering::SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(10), reached).await.expect("the number of open connections");
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Log>,
}

impl Server {
    /// Answers every request by the script.
    pub(crate) async fn start<F>(script: F) -> Self
    where
        F: Fn(Seen) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        tokio::spawn(serve(listener, Arc::new(script), log.clone()));
        Self { address, log }
    }

    /// A modern server; the script answers everything but `server/discover`.
    pub(crate) async fn modern<F>(script: F) -> Self
    where
        F: Fn(Seen) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
    {
        Self::start(move |seen| match seen.method() {
            "server/discover" => ready(result(&seen, discovered())),
            "initialize" => ready(rpc_error(400, Some(seen.id()), -32022, "only 2026-07-28")),
            _ => script(seen),
        })
        .await
    }

    /// A legacy server with sessions `s1`, `s2`, …; the script answers what is asked in them.
    pub(crate) async fn legacy<F>(script: F) -> (Self, Sessions)
    where
        F: Fn(Seen) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
    {
        let sessions = Sessions::default();
        let known = sessions.clone();
        let server = Self::start(move |seen| {
            if seen.method() == "initialize" {
                let mut reply = result(&seen, initialized("2025-11-25"));
                reply.headers_mut().insert("mcp-session-id", known.open().parse().unwrap());
                return ready(reply);
            }
            match seen.header("mcp-session-id") {
                None => {
                    return ready(rpc_error(400, None, -32000, "Bad Request: Server not initialized"));
                }
                Some(id) if !known.has(id) => {
                    return ready(rpc_error(404, None, -32001, "Session not found"));
                }
                Some(_) => {}
            }
            match seen.method() {
                "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => ready(result(&seen, json!({}))),
                "notifications/roots/list_changed" => ready(empty(202)),
                "DELETE" => ready(empty(200)),
                "GET" if !known.streams.load(Ordering::SeqCst) => ready(empty(405)),
                "notifications/initialized" | "notifications/cancelled" => ready(empty(202)),
                _ => script(seen),
            }
        })
        .await;
        (server, sessions)
    }
}

/// The sessions of a legacy server.
#[derive(Clone, Default)]
pub(crate) struct Sessions {
    open: Arc<Mutex<Vec<String>>>,
    opened: Arc<AtomicUsize>,
    /// Whether it offers GET streams.
    pub(crate) streams: Arc<AtomicBool>,
}

impl Sessions {
    fn open(&self) -> String {
        let id = format!("s{}", self.opened.fetch_add(1, Ordering::SeqCst) + 1);
        self.open.lock().unwrap().push(id.clone());
        id
    }

    fn has(&self, id: &str) -> bool {
        self.open.lock().unwrap().iter().any(|open| open == id)
    }

    /// As after a restart.
    pub(crate) fn forget_all(&self) {
        self.open.lock().unwrap().clear();
    }
}

async fn serve(listener: TcpListener, script: Script, log: Arc<Log>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let _ = tcp.set_nodelay(true);
        log.connections.fetch_add(1, Ordering::SeqCst);
        log.open.fetch_add(1, Ordering::SeqCst);
        let (script, log) = (script.clone(), log.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| take(request, script.clone(), log.clone()));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
            log.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn take(request: Request<Incoming>, script: Script, log: Arc<Log>) -> Result<Reply, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let seen = Seen {
        http: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        raw: body,
    };
    log.seen.lock().unwrap().push(seen.clone());
    log.changed.notify_waiters();
    Ok(script(seen).await)
}

pub(crate) fn ready(reply: Reply) -> BoxFuture<'static, Reply> {
    async { reply }.boxed()
}

pub(crate) fn empty(status: u16) -> Reply {
    bytes(status, "text/plain", "")
}

pub(crate) fn bytes(status: u16, kind: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()).boxed());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    reply.headers_mut().insert("content-type", kind.parse().unwrap());
    reply
}

#[expect(clippy::needless_pass_by_value, reason = "json! reads better without a reference")]
pub(crate) fn result(seen: &Seen, result: Value) -> Reply {
    bytes(200, "application/json", json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}).to_string())
}

pub(crate) fn rpc_error(status: u16, id: Option<u64>, code: i64, message: &str) -> Reply {
    let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    bytes(status, "application/json", body.to_string())
}

pub(crate) fn discovered() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "1"}},
    })
}

pub(crate) fn initialized(version: &str) -> Value {
    let capabilities = json!({"tools": {}, "resources": {"subscribe": true}, "logging": {}});
    json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": {"name": "legacy", "version": "1"}})
}

/// A stream of events that the test feeds; it ends when the feed is dropped.
#[derive(Clone)]
pub(crate) struct Feed(mpsc::Sender<Bytes>);

impl Feed {
    pub(crate) fn raw(&self, text: impl Into<Bytes>) {
        let _ = self.0.try_send(text.into());
    }

    pub(crate) fn event(&self, message: &Value) {
        self.raw(format!("event: message\ndata: {message}\n\n"));
    }

    /// Whether the client has closed the stream.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(crate) fn numbered(&self, id: &str, message: &Value) {
        self.raw(format!("id: {id}\ndata: {message}\n\n"));
    }

    /// Waits until the client closed the stream.
    pub(crate) async fn closed(&self) {
        timeout(Duration::from_secs(10), self.0.closed()).await.expect("the client closes the stream");
    }
}

pub(crate) fn events() -> (Feed, Reply) {
    let (feed, fed) = mpsc::channel(64);
    let frames = futures_util::stream::unfold(fed, |mut fed| async move {
        let bytes: Bytes = fed.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(bytes)), fed))
    });
    let mut reply = Response::new(BodyExt::boxed(StreamBody::new(frames.map(|frame| frame)).map_err(|never| never)));
    reply.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    (Feed(feed), reply)
}
