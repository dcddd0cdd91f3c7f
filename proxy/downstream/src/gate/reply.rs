//! A reply that keeps its call's place until its last byte was taken, and tells the breaker when it breaks off.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture};
use tokio::sync::OwnedSemaphorePermit;

use super::breaker::Breaker;
use crate::{Answer, ByteStream, DownstreamError, Message, MessageStream, Reply};

/// The reply with the place, given back at its end or when it is dropped.
pub(super) fn keep(reply: Reply, place: OwnedSemaphorePermit, breaker: &Arc<Breaker>) -> Reply {
    let hold = Hold { place: Some(place), breaker: Arc::clone(breaker) };
    match reply {
        Reply::One(answer) => Reply::One(hold.keep(answer)),
        Reply::Stream(inner) => Reply::Stream(Box::new(HeldStream { inner, hold: Some(hold) })),
    }
}

struct Hold {
    place: Option<OwnedSemaphorePermit>,
    breaker: Arc<Breaker>,
}

impl Hold {
    fn keep(self, answer: Answer) -> Answer {
        let rest = answer.rest.map(|inner| -> ByteStream { Box::pin(HeldBytes { inner, hold: self }) });
        Answer { rest, ..answer }
    }

    fn broke_off(&mut self, error: &DownstreamError) {
        self.place = None;
        self.breaker.failed(error, false);
    }
}

struct HeldBytes {
    inner: ByteStream,
    hold: Hold,
}

impl Stream for HeldBytes {
    type Item = Result<Bytes, DownstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item = this.inner.as_mut().poll_next(cx);
        match &item {
            Poll::Ready(None) => this.hold.place = None,
            Poll::Ready(Some(Err(error))) => this.hold.broke_off(error),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        item
    }
}

struct HeldStream {
    inner: Box<dyn MessageStream>,
    /// Goes over to the response's rest, when there is one.
    hold: Option<Hold>,
}

impl HeldStream {
    async fn message(&mut self) -> Result<Message, DownstreamError> {
        match self.inner.next().await {
            Ok(Message::Response(answer)) => Ok(Message::Response(match self.hold.take() {
                Some(hold) => hold.keep(answer),
                None => answer,
            })),
            Ok(other) => Ok(other),
            Err(error) => {
                if let Some(mut hold) = self.hold.take() {
                    hold.broke_off(&error);
                }
                Err(error)
            }
        }
    }
}

impl MessageStream for HeldStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        Box::pin(self.message())
    }

    fn extend(&mut self, by: Duration) {
        self.inner.extend(by);
    }
}
