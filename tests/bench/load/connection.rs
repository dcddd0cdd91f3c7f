//! One keep-alive HTTP connection to an MCP server, with the session that began on it. Checks each answer cheaply.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::job::{Era, INITIALIZED, Target, Template};

/// How far from either end of an answer its id and kind are looked for before the whole is searched.
const EDGE: usize = 256;

/// A limit refused the request.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with 429: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// A connection.
pub(crate) struct Connection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    session: Option<HeaderValue>,
    last_id: u64,
    answer: Vec<u8>,
    bearers: Option<Bearers>,
}

/// Tokens that are shown once each; shared by all connections.
#[derive(Clone)]
struct Bearers {
    lines: Arc<[Box<str>]>,
    next: Arc<AtomicUsize>,
}

impl Bearers {
    /// The tokens of a file, which is read once.
    fn of(file: &Path) -> Result<Self> {
        static READ: OnceLock<Bearers> = OnceLock::new();
        if let Some(read) = READ.get() {
            return Ok(read.clone());
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let read = Self { lines: text.lines().map(Box::from).collect(), next: Arc::default() };
        Ok(READ.get_or_init(|| read).clone())
    }

    fn next(&self) -> Result<&str> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let line = self.lines.get(index);
        line.map(|line| &**line)
            .with_context(|| format!("all {} tokens were shown: make more of them", self.lines.len()))
    }
}

impl Connection {
    /// Connects, without a session.
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let stream =
            TcpStream::connect(&target.address).await.with_context(|| format!("connecting to {}", target.address))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("beginning HTTP")?;
        tokio::spawn(connection);
        let bearers = target.bearers.as_deref().map(Bearers::of).transpose()?;
        Ok(Self { target: target.clone(), sender, session: None, last_id: 0, answer: Vec::new(), bearers })
    }

    /// Begins a legacy session: `initialize`, then `notifications/initialized`.
    pub(crate) async fn begin_session(&mut self, initialize: &Template) -> Result<()> {
        self.session = None;
        self.ask(initialize).await.context("initialize")?;
        self.post("notifications/initialized", None, INITIALIZED.to_owned(), StatusCode::ACCEPTED).await?;
        Ok(())
    }

    /// Sends a request and gives its answer back, which is a result with the right id.
    pub(crate) async fn ask(&mut self, template: &Template) -> Result<&[u8]> {
        self.last_id += 1;
        let id = self.last_id;
        self.post(template.method, template.tool.as_deref(), template.with_id(id), StatusCode::OK).await?;
        check(&self.answer, id)?;
        Ok(&self.answer)
    }

    /// Opens a stream of changes, and gives its body once the response has begun. The connection is taken by it.
    pub(crate) async fn listen(&mut self) -> Result<Incoming> {
        let template = Template::listen();
        let response = self.send(template.method, None, template.with_id(1)).await?;
        let status = response.status();
        ensure!(status == StatusCode::OK, "{} was answered with {status}", template.method);
        Ok(response.into_body())
    }

    async fn send(&mut self, method: &str, tool: Option<&str>, body: String) -> Result<Response<Incoming>> {
        let mut request = Request::post(self.target.path.as_str()).body(Full::new(Bytes::from(body)))?;
        self.fill(request.headers_mut(), method, tool)?;
        self.sender.ready().await.context("the connection was closed")?;
        self.sender.send_request(request).await.with_context(|| format!("sending {method}"))
    }

    async fn post(&mut self, method: &str, tool: Option<&str>, body: String, expected: StatusCode) -> Result<()> {
        let response = self.send(method, tool, body).await?;
        let status = response.status();
        if let Some(session) = response.headers().get("mcp-session-id") {
            self.session = Some(session.clone());
        }
        self.answer.clear();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.with_context(|| format!("reading the answer to {method}"))?.into_data() {
                self.answer.extend_from_slice(&data);
            }
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            bail!(Refused(start_of(&self.answer)));
        }
        ensure!(status == expected, "{method} was answered with {status}: {}", start_of(&self.answer));
        Ok(())
    }

    fn fill(&self, headers: &mut HeaderMap, method: &str, tool: Option<&str>) -> Result<()> {
        let Target { address, bearer, era, .. } = &self.target;
        let bearer = self.bearers.as_ref().map_or(Ok(bearer.as_str()), Bearers::next)?;
        headers.insert(HOST, HeaderValue::from_str(address)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {bearer}"))?);
        let begins = method == "initialize";
        if !begins {
            headers.insert("mcp-protocol-version", HeaderValue::from_static(era.version()));
        }
        if *era == Era::Modern {
            headers.insert("mcp-method", HeaderValue::from_str(method)?);
            if let Some(tool) = tool {
                headers.insert("mcp-name", HeaderValue::from_str(tool)?);
            }
        }
        if let (Some(session), false) = (&self.session, begins) {
            headers.insert("mcp-session-id", session.clone());
        }
        Ok(())
    }
}

/// Fails unless the answer is a result, not an error of either kind, for this id.
pub(crate) fn check(answer: &[u8], id: u64) -> Result<()> {
    for wanted in [format!("\"id\":{id}"), "\"result\":".to_owned()] {
        let ends = [&answer[..answer.len().min(EDGE)], &answer[answer.len().saturating_sub(EDGE)..]];
        let found = ends.into_iter().chain([answer]).any(|part| holds(part, wanted.as_bytes()));
        ensure!(found, "the answer lacks {wanted}: {}", start_of(answer));
    }
    let tail = &answer[answer.len().saturating_sub(EDGE)..];
    if holds(tail, br#""isError":true"#) {
        bail!("the tool failed: {}", start_of(answer));
    }
    Ok(())
}

/// Whether `part` holds `wanted`, not followed by a digit.
fn holds(part: &[u8], wanted: &[u8]) -> bool {
    let ends = |at: usize| !part.get(at + wanted.len()).is_some_and(u8::is_ascii_digit);
    part.windows(wanted.len()).enumerate().any(|(at, window)| window == wanted && ends(at))
}

fn start_of(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned()
}
