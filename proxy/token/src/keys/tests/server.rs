//! An issuer on loopback, as far as its documents go: it answers what a test sets, notes what it was asked, and can be slow.
//! And a [`Fetch`] over plain connections that follows nothing, as the gateway's own. Tests of keys and of introspection use it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use url::Url;

use crate::{Fetch, FetchError, Fetched};

/// What is answered at a path.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
    gate: Option<Arc<Semaphore>>,
    hangs_up: bool,
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self::new(200, body.to_string())
    }

    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, head: String::new(), body: body.into(), gate: None, hangs_up: false }
    }

    /// The connection is closed without an answer.
    pub(crate) fn nothing() -> Self {
        Self { hangs_up: true, ..Self::new(0, "") }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// It is held back until the gate is closed, or has a permit for it.
    pub(crate) fn behind(mut self, gate: &Arc<Semaphore>) -> Self {
        self.gate = Some(gate.clone());
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The server. It runs as long as the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, replies: Arc::default(), heard: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().answer(stream));
            }
        });
        server
    }

    /// From now on this is answered at the path; nothing else is there but 404.
    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.path).collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.paths().iter().filter(|heard| *heard == path).count()
    }

    async fn answer(self, mut stream: TcpStream) {
        let Some(heard) = hear(&mut stream).await else { return };
        let reply = self.replies.lock().unwrap().get(&heard.path).cloned();
        self.heard.lock().unwrap().push(heard);
        let reply = reply.unwrap_or_else(|| Reply::new(404, "{}"));
        if let Some(gate) = &reply.gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        if reply.hangs_up {
            return;
        }
        let (length, head) = (reply.body.len(), &reply.head);
        let head = format!("HTTP/1.1 {} X\r\ncontent-length: {length}\r\n{head}\r\n", reply.status);
        // Who does not want all of it hangs up.
        let _ = stream.write_all(&[head.as_bytes(), &*reply.body].concat()).await;
        let _ = stream.shutdown().await;
    }
}

async fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8(bytes.clone()).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            let path = head.split(' ').nth(1)?.to_owned();
            return Some(Heard { path, head: head.to_owned(), body: body.to_owned() });
        }
    }
}

/// Fetches over plain connections.
pub(crate) struct Plain;

impl Fetch for Plain {
    fn get<'a>(&'a self, url: &'a Url, bytes_max: usize) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(exchange(url, format!("GET {} HTTP/1.1\r\naccept: application/json\r\n\r\n", target(url)), bytes_max))
    }

    fn post_form<'a>(
        &'a self,
        url: &'a Url,
        authorization: Option<&'a SecretString>,
        form: SecretString,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let form = form.expose_secret();
        let mut head = format!("POST {} HTTP/1.1\r\ncontent-length: {}\r\n", target(url), form.len());
        if let Some(authorization) = authorization {
            head.push_str(&format!("authorization: {}\r\n", authorization.expose_secret()));
        }
        Box::pin(exchange(url, format!("{head}\r\n{form}"), bytes_max))
    }
}

fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

async fn exchange(url: &Url, request: String, bytes_max: usize) -> Result<Fetched, FetchError> {
    let unreachable = |_: std::io::Error| FetchError::Unreachable("the connection broke".into());
    let address = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let mut stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.map_err(unreachable)? > 0 {
        if bytes.len() > bytes_max + 1024 {
            return Err(FetchError::TooLarge(bytes_max));
        }
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| FetchError::Unreachable("it hung up".into()))?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let max_age = head.lines().find_map(|line| line.strip_prefix("cache-control: max-age="));
    let max_age = max_age.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    Ok(Fetched { status, max_age, body: bytes[end + 4..].to_vec() })
}
