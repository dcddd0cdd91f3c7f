//! The providers of a test: a small HTTP/1.1 server that answers by a script and remembers what it was asked. It writes bytes
//! itself, so that it can break off, stall and say what is not so.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The parameters of the query, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&format!("http://stand-in{}", self.target)).unwrap();
        url.query_pairs().find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Whole(Vec<u8>),
    /// The first bytes of more that were promised, then the end of the connection.
    BreaksOff(Vec<u8>),
    /// The first bytes of more that were promised, then silence.
    Stalls(Vec<u8>),
    /// More than anybody wants, without a length.
    Endless,
    /// Silence instead of an answer.
    Silence,
    /// The answer, once the test lets it go.
    Held(Vec<u8>, Arc<Notify>),
    /// The end of the connection instead of an answer.
    Closes,
    /// Bytes that are no HTTP.
    Raw(Vec<u8>),
}

impl Reply {
    pub(crate) fn json(document: &Value) -> Self {
        Self::of(200, "application/geo+json", document.to_string().as_bytes())
    }

    pub(crate) fn of(status: u16, kind: &str, body: &[u8]) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], body: Body::Whole(body.to_vec()) }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::of(status, "text/plain", b"")
    }

    pub(crate) fn problem(status: u16, document: &Value) -> Self {
        Self::of(status, "application/problem+json", document.to_string().as_bytes())
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn bare(body: Body) -> Self {
        Self { status: 200, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    pub(crate) fn breaks_off(document: &Value) -> Self {
        let bytes = document.to_string().into_bytes();
        Self::bare(Body::BreaksOff(bytes[..bytes.len() / 2].to_vec()))
    }

    pub(crate) fn stalls(document: &Value) -> Self {
        Self::bare(Body::Stalls(document.to_string().into_bytes()[..20].to_vec()))
    }

    pub(crate) fn endless() -> Self {
        Self::bare(Body::Endless)
    }

    pub(crate) fn silence() -> Self {
        Self::bare(Body::Silence)
    }

    pub(crate) fn held(document: &Value, until: &Arc<Notify>) -> Self {
        Self::bare(Body::Held(document.to_string().into_bytes(), until.clone()))
    }

    pub(crate) fn closes() -> Self {
        Self::bare(Body::Closes)
    }

    pub(crate) fn raw(bytes: &[u8]) -> Self {
        Self::bare(Body::Raw(bytes.to_vec()))
    }
}

/// The server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct StandIn {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    /// By the beginning of the path, longest first; the last reply stays.
    script: Mutex<Vec<(String, VecDeque<Reply>)>>,
    /// Connections whose client went away before it had an answer.
    deserted: AtomicUsize,
}

impl StandIn {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(State::default()));
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on answers so to paths that begin with `path`: one reply after the other, and the last one for ever.
    pub(crate) fn answers(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut script = self.state.script.lock().unwrap();
        script.retain(|(known, _)| known != path);
        script.push((path.to_owned(), replies.into_iter().collect()));
        script.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    pub(crate) fn deserted(&self) -> usize {
        self.state.deserted.load(Ordering::SeqCst)
    }
}

impl State {
    fn reply(&self, seen: &Seen) -> Reply {
        let mut script = self.script.lock().unwrap();
        let found = script.iter_mut().find(|(path, _)| seen.target.starts_with(path.as_str()));
        match found {
            Some((_, replies)) if replies.len() > 1 => replies.pop_front().unwrap(),
            Some((_, replies)) if replies.len() == 1 => replies[0].clone(),
            _ => Reply::of(418, "text/plain", b"nobody scripted this"),
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    while let Some(seen) = head(&mut stream).await? {
        let reply = state.reply(&seen);
        state.seen.lock().unwrap().push(seen);
        if !answer(&mut stream, reply, &state).await? {
            return Ok(());
        }
    }
    Ok(())
}

async fn head(stream: &mut TcpStream) -> io::Result<Option<Seen>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.lines();
    let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Some(Seen { target, headers: lines.filter_map(pair).collect(), at: Instant::now() }))
}

/// Says whether the connection may go on.
async fn answer(stream: &mut TcpStream, reply: Reply, state: &State) -> io::Result<bool> {
    let Reply { status, headers, body } = reply;
    let mut head = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Body::Held(_, until) = &body {
        until.notified().await;
    }
    match body {
        Body::Whole(bytes) | Body::Held(bytes, _) => {
            head.push_str(&format!("content-length: {}\r\n\r\n", bytes.len()));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
            return Ok(true);
        }
        Body::BreaksOff(bytes) => {
            head.push_str(&format!("content-length: {}\r\n\r\n", bytes.len() * 2));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Body::Stalls(bytes) => {
            head.push_str("content-length: 100000\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
            deserted(stream, state).await;
        }
        Body::Endless => {
            head.push_str("connection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            // Ends when the client has enough and closes.
            while stream.write_all(&[b' '; 16 * 1024]).await.is_ok() {}
            state.deserted.fetch_add(1, Ordering::SeqCst);
        }
        Body::Silence => deserted(stream, state).await,
        Body::Closes => {}
        Body::Raw(bytes) => stream.write_all(&bytes).await?,
    }
    Ok(false)
}

/// Waits until the client is gone.
async fn deserted(stream: &mut TcpStream, state: &State) {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    state.deserted.fetch_add(1, Ordering::SeqCst);
}
