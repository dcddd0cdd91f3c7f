//! HTTP as it is: one request on one connection of its own, the answer's status, headers and body with nothing smoothed over,
//! events as they come.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{canary, wait::within};

/// A request that can be changed, sent, changed and sent again.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The path, and the query if there is one.
    pub path: String,
    /// The headers, in their order; `Host` and `Content-Length` are added when they are not among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Ask {
    /// A request without headers or body.
    ///
    /// # Panics
    /// When the method is none.
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        let method = method.parse().expect("a method");
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// A POST of JSON as MCP clients send it.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new("POST", path)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(body)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces a header.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<String>) -> Self {
        self.without(name).header(name, value)
    }

    /// Carries a key in the header that is meant for it.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.with("Authorization", format!("Bearer {key}"))
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The header of that name.
    pub fn given(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Sends it and waits for the head of the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(&self, to: SocketAddr) -> Reply {
        match self.try_send(to).await {
            Ok(reply) => reply,
            Err(error) => panic!("no answer to {} {}: {error}", self.method, self.path),
        }
    }

    /// Sends it and waits for the head of the answer, which may not come.
    ///
    /// # Errors
    /// With how the connection failed.
    pub async fn try_send(&self, to: SocketAddr) -> Result<Reply, String> {
        let answered = async {
            let stream = TcpStream::connect(to).await.map_err(|error| format!("cannot connect: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (mut sender, connection) = http1::Builder::new()
                .preserve_header_case(true)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            let connection = tokio::spawn(async move {
                // How it ended is seen where the body is read.
                let _ = connection.await;
            });
            let response = sender.send_request(self.request(to)).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            canary::expect_none(format!("{:?}", head.headers), "the head of an answer");
            let status = head.status.as_u16();
            Ok(Reply {
                status,
                headers: head.headers,
                body,
                connection: Connection { _sender: sender, task: connection },
            })
        };
        within(format!("the answer to {} {}", self.method, self.path), answered).await
    }

    pub(crate) fn request(&self, to: SocketAddr) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().expect("a path");
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("a header's name");
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
            request.headers_mut().append(name, value);
        }
        if !request.headers().contains_key(header::HOST) {
            let host = HeaderValue::try_from(to.to_string()).expect("an address");
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }
}

/// An answer whose body is still to be read. Dropped before, it closes the connection, as a client does that goes away.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    connection: Connection,
}

#[derive(Debug)]
struct Connection {
    _sender: http1::SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The media type.
    pub fn kind(&self) -> &str {
        self.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default()
    }

    /// The whole body.
    ///
    /// # Errors
    /// When it breaks off before its end.
    pub async fn bytes(mut self) -> Result<Bytes, String> {
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(frame) = self.body.frame().await {
                let frame = frame.map_err(|error| format!("broke off after {} bytes: {error}", whole.len()))?;
                whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
            }
            Ok(whole.freeze())
        };
        let whole = within("the body of an answer", read).await;
        canary::expect_none(whole.as_deref().unwrap_or_default(), "the body of an answer");
        whole
    }

    /// The whole body as text.
    ///
    /// # Panics
    /// When it breaks off or is no text.
    pub async fn text(self) -> String {
        let bytes = self.bytes().await.expect("a whole body");
        String::from_utf8(bytes.into()).expect("a body of text")
    }

    /// The whole body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("the body is no JSON ({error}): {text}"))
    }

    /// The body as events.
    ///
    /// # Panics
    /// When it is of another kind.
    pub fn events(self) -> Events {
        assert_eq!(self.kind(), "text/event-stream", "status {}", self.status);
        Events {
            body: self.body,
            _connection: self.connection,
            text: String::new(),
            over: false,
            ids: Vec::new(),
            retry_ms: None,
        }
    }

    /// The next piece of the body, as it comes; nothing after the last.
    ///
    /// # Errors
    /// When it breaks off before its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        let frame = within("a piece of the body", self.body.frame()).await;
        match frame.transpose().map_err(|error| error.to_string())? {
            Some(frame) => Ok(Some(frame.into_data().unwrap_or_default())),
            None => Ok(None),
        }
    }
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line that only shows that the stream lives.
    Comment(String),
    /// A message: the text of its data lines.
    Message(String),
}

impl Event {
    /// The message as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        match self {
            Self::Message(text) => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
            Self::Comment(text) => panic!("expected a message, found the comment {text:?}"),
        }
    }
}

/// The events of a stream, in their order, without those that only say where the stream is. Dropped before the end, it closes
/// the connection.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    _connection: Connection,
    text: String,
    over: bool,
    /// The ids that came so far, those of events without data among them.
    pub ids: Vec<String>,
    /// When to come back, in milliseconds, as it was said last.
    pub retry_ms: Option<u64>,
}

impl Events {
    /// The next event; nothing after the last.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub async fn next(&mut self) -> Result<Option<Event>, String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                canary::expect_none(&event, "an event");
                self.ids.extend(fields(&event, "id:").map(str::to_owned));
                self.retry_ms =
                    fields(&event, "retry:").last().map(|ms| ms.parse().expect("a number")).or(self.retry_ms);
                if fields(&event, "data:").eq([""]) {
                    continue;
                }
                return Ok(Some(parse(&event)));
            }
            if self.over {
                assert!(self.text.trim().is_empty(), "the stream ended within an event: {:?}", self.text);
                return Ok(None);
            }
            match within("an event", self.body.frame()).await {
                None => self.over = true,
                Some(frame) => {
                    let frame = frame.map_err(|error| error.to_string())?;
                    let data = frame.into_data().unwrap_or_default();
                    self.text.push_str(std::str::from_utf8(&data).expect("events are text and come whole"));
                }
            }
        }
    }

    /// The next message, whatever comments come before it.
    ///
    /// # Panics
    /// When the stream ends or breaks off before.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.next().await {
                Ok(Some(Event::Comment(_))) => {}
                Ok(Some(event)) => return event.json(),
                other => panic!("expected a message, found {other:?}"),
            }
        }
    }
}

/// The values of an event's lines of this name.
fn fields<'a>(event: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    event.lines().filter_map(move |line| line.strip_prefix(name)).map(|line| line.strip_prefix(' ').unwrap_or(line))
}

fn parse(event: &str) -> Event {
    let data: Vec<_> = fields(event, "data:").collect();
    if data.is_empty() {
        return Event::Comment(fields(event, ":").collect::<Vec<_>>().join("\n"));
    }
    Event::Message(data.join("\n"))
}
