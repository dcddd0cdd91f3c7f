//! The origin over Streamable HTTP: `POST /{era}/{catalog}`, plain JSON answers with a length, a session id where a session begins.

use std::{
    convert::Infallible,
    io::Write,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::answers::{Answer, Answers, Catalog, Era};

const BODY_BYTES_MAX: usize = 1 << 20;

struct Origin {
    answers: Answers,
    sessions: AtomicU64,
    /// Where the key set is, once tokens were made.
    folder: Option<PathBuf>,
}

/// Serves for as long as the process lives; the first line on standard output is the port.
pub(crate) fn serve(port: u16, folder: Option<PathBuf>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        let origin = Arc::new(Origin { answers: Answers::new(), sessions: AtomicU64::new(1), folder });
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream, Arc::clone(&origin)));
        }
    })
}

async fn connection(stream: TcpStream, origin: Arc<Origin>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let origin = Arc::clone(&origin);
        async move { Ok::<_, Infallible>(respond(&origin, request).await) }
    });
    // A client that goes away ends its connection with an error that interests nobody here.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(origin: &Origin, request: Request<Incoming>) -> Response<Pieces> {
    if request.uri().path() == "/jwks" {
        return key_set(origin);
    }
    let place = place(request.uri().path());
    let Some((era, catalog)) = place else {
        return bare(StatusCode::NOT_FOUND);
    };
    match *request.method() {
        Method::POST => {}
        Method::DELETE => return bare(StatusCode::NO_CONTENT),
        _ => return bare(StatusCode::METHOD_NOT_ALLOWED),
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return bare(StatusCode::BAD_REQUEST);
    };
    match origin.answers.answer(era, catalog, &body.to_bytes()) {
        None => bare(StatusCode::BAD_REQUEST),
        Some(Answer::None) => bare(StatusCode::ACCEPTED),
        Some(Answer::Events(events)) => {
            let mut response = Response::new(Pieces([events, Bytes::new()]));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response
        }
        Some(Answer::Message { head, tail, opens_session, refused }) => {
            let mut response = Response::new(Pieces([head, tail]));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if opens_session {
                let number = origin.sessions.fetch_add(1, Ordering::Relaxed);
                let id =
                    HeaderValue::from_str(&format!("{number:032x}")).expect("hexadecimal digits are a header value");
                response.headers_mut().insert("mcp-session-id", id);
            }
            if refused {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            response
        }
    }
}

/// Read anew each time: it is asked for once in ten minutes.
fn key_set(origin: &Origin) -> Response<Pieces> {
    let keys = origin.folder.as_ref().and_then(|folder| std::fs::read(folder.join("jwks.json")).ok());
    keys.map_or_else(|| bare(StatusCode::NOT_FOUND), |keys| Response::new(Pieces([keys.into(), Bytes::new()])))
}

/// `/{era}/{catalog}`, and whatever follows, so that one origin can be several servers.
fn place(path: &str) -> Option<(Era, Catalog)> {
    let mut parts = path.strip_prefix('/')?.split('/');
    Some((Era::named(parts.next()?)?, Catalog::named(parts.next()?)?))
}

fn bare(status: StatusCode) -> Response<Pieces> {
    let mut response = Response::new(Pieces([Bytes::new(), Bytes::new()]));
    *response.status_mut() = status;
    response
}

/// A body of two pieces whose length is known, so that nothing is copied together.
struct Pieces([Bytes; 2]);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.iter_mut().find(|piece| !piece.is_empty()).map(std::mem::take);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}
