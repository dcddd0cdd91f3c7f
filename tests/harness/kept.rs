//! One connection that is kept from request to request, as clients and proxies do, and that is not used again once an answer says
//! that it closes.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{http::Ask, wait::within};

/// A connection.
#[derive(Debug)]
pub struct Kept {
    to: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it says that the connection closes.
    pub closes: bool,
    /// The body.
    pub body: String,
}

impl Kept {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(to: SocketAddr) -> Result<Self, String> {
        let opened = async {
            let stream = TcpStream::connect(to).await.map_err(|error| format!("cannot connect: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            let task = tokio::spawn(async move {
                // How it ended is seen by whoever sends.
                let _ = connection.await;
            });
            Ok(Self { to, sender, task })
        };
        within("a connection", opened).await
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks before its end: the call is lost.
    pub async fn send(&mut self, ask: &Ask) -> Result<Answer, String> {
        let answered = async {
            let broken = |error: hyper::Error| format!("the connection broke: {error:?}");
            self.sender.ready().await.map_err(broken)?;
            let response = self.sender.send_request(ask.request(self.to)).await.map_err(broken)?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(broken)?.to_bytes();
            let closes = head.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Answer { status: head.status.as_u16(), closes, body })
        };
        within("an answer", answered).await
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}
