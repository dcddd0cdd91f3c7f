//! The other replica's answer on its way to the client, piece by piece: it is read as fast as the client takes it, and no faster.
//! When the client leaves, the other replica sees that; when the other replica falls silent, the answer ends.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, header};
use http_body::Body;
use hyper::body::Incoming;
use patchbay_config::LimitsConfig;
use tokio::time::{Instant, Sleep};

use super::{
    super::{body::Broken, watch},
    line::{Line, Place},
};

/// How long a stream of events may be silent beyond the signs of life that replicas send.
const SIGN_SLACK: Duration = Duration::from_secs(30);

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
enum Broke {
    #[error("the replica that answers was silent for too long")]
    Silent,
    #[error("this gateway stops")]
    Stopping,
}

/// How long this answer may be silent: a stream of events has signs of life, one JSON object may take as long as its call.
pub(super) fn quiet_max(headers: &HeaderMap, limits: &LimitsConfig) -> Duration {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("text/event-stream") { limits.keepalive + SIGN_SLACK } else { limits.call_timeout_max }
}

/// See the module.
pub(super) struct HandedOn {
    body: Incoming,
    /// Until the answer has ended.
    line: Option<Line>,
    silence: Pin<Box<Sleep>>,
    quiet_max: Duration,
    _place: Place,
}

impl HandedOn {
    pub(super) fn new(body: Incoming, line: Line, place: Place, quiet_max: Duration) -> Self {
        let silence = Box::pin(tokio::time::sleep(quiet_max));
        Self { body, line: Some(line), silence, quiet_max, _place: place }
    }

    /// Nothing more comes; the connection is closed.
    fn broken(&mut self, why: Broken) -> Poll<Option<Result<Bytes, Broken>>> {
        self.line = None;
        Poll::Ready(Some(Err(why)))
    }
}

impl Stream for HandedOn {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.line.is_none() {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let until = Instant::now() + self.quiet_max;
                    self.silence.as_mut().reset(until);
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return self.broken(Box::new(error)),
                Poll::Ready(None) => {
                    if let Some(line) = self.line.take() {
                        line.keep();
                    }
                    return Poll::Ready(None);
                }
                Poll::Pending if watch::is_breaking() => return self.broken(Box::new(Broke::Stopping)),
                Poll::Pending if self.silence.as_mut().poll(cx).is_ready() => {
                    return self.broken(Box::new(Broke::Silent));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
