//! Single documents from elsewhere: metadata and keys of issuers, tokens. Every request resolves, checks and pins its address as
//! calls to servers do, follows no redirect, keeps no connection and has bounds on time and size. What the documents mean is
//! the askers': `http::oauth` here, and whoever the gateway hands a fetcher to.

use std::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::{
    HeaderValue, Request, Response,
    header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HOST, TRANSFER_ENCODING, USER_AGENT},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::{Position, Url};

use crate::http::{
    NetPolicy,
    connect::{ConnectError, Target},
    endpoint,
};

/// The largest head of an answer.
const FETCH_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Fetches documents.
#[derive(Debug, Clone)]
pub struct Fetcher {
    net: NetPolicy,
}

/// The bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchBounds {
    /// The largest body.
    pub bytes_max: usize,
    /// What resolving, connecting, sending and reading the whole answer may take together.
    pub timeout: Duration,
}

/// Why nothing was fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchFault {
    /// The address may not be asked, or is no URL that can be. One text for all refused addresses.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody answered, or not in time, or not in HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// The body is larger than the bound.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Fetcher {
    /// A fetcher that goes where servers may be.
    pub const fn new(net: NetPolicy) -> Self {
        Self { net }
    }

    /// Sends one request to the absolute URL that it names, and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`FetchFault`].
    pub async fn send(&self, request: Request<Bytes>, bounds: FetchBounds) -> Result<Response<Bytes>, FetchFault> {
        let (target, request) = self.prepare(request, bounds.timeout)?;
        let late = |_| unreachable(format!("the answer was not there within {} ms", bounds.timeout.as_millis()));
        timeout(bounds.timeout, exchange(&target, request, bounds.bytes_max)).await.map_err(late)?
    }

    /// Where the request goes, and the request as it is sent.
    fn prepare(
        &self,
        request: Request<Bytes>,
        connect_timeout: Duration,
    ) -> Result<(Target, Request<Full<Bytes>>), FetchFault> {
        let forbidden = |error: &dyn fmt::Display| FetchFault::Forbidden(error.to_string());
        let no_url = || FetchFault::Forbidden("expected an absolute URL".to_owned());
        let (mut head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string()).map_err(|_| no_url())?;
        let (host, port, tls_name) = endpoint(&url, &self.net).map_err(|error| forbidden(&error))?;
        head.uri = url[Position::BeforePath..Position::AfterQuery].parse().map_err(|_| no_url())?;
        let named = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).map_err(|_| no_url())?;
        head.headers.remove(TRANSFER_ENCODING);
        head.headers.insert(HOST, named);
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        head.headers.insert(USER_AGENT, HeaderValue::from_static(concat!("patchbay/", env!("CARGO_PKG_VERSION"))));
        let target = Target { host, port, tls_name, net: self.net.clone(), connect_timeout };
        Ok((target, Request::from_parts(head, Full::new(body))))
    }
}

async fn exchange(
    target: &Target,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Response<Bytes>, FetchFault> {
    let stream = target.connect().await.map_err(|error| match error {
        ConnectError::Forbidden => FetchFault::Forbidden(error.to_string()),
        other => unreachable(other.to_string()),
    })?;
    let mut builder = Builder::new();
    builder.max_buf_size(FETCH_HEAD_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answered = Box::pin(answer(sender, request, bytes_max));
    // Whoever waits drives the connection: dropping the fetch closes the socket at once.
    match select(answered, Box::pin(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answered)) => answered.await,
    }
}

async fn answer(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Response<Bytes>, FetchFault> {
    let (head, body) = sender.send_request(request).await.map_err(|error| broken(&error))?.into_parts();
    if head.headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unreachable("the answer is compressed, which was not asked for".to_owned()));
    }
    Ok(Response::from_parts(head, gather(body, bytes_max).await?))
}

/// Reads the body, counting before anything is kept.
async fn gather(mut body: Incoming, bytes_max: usize) -> Result<Bytes, FetchFault> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(FetchFault::TooLarge(bytes_max));
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| broken(&error))?.into_data() else {
            continue;
        };
        if all.len() + piece.len() > bytes_max {
            return Err(FetchFault::TooLarge(bytes_max));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

const fn unreachable(why: String) -> FetchFault {
    FetchFault::Unreachable(why)
}

fn broken(error: &hyper::Error) -> FetchFault {
    unreachable(format!("the exchange broke off: {error}"))
}
