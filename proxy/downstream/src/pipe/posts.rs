//! Writes lines where each is a request of its own, many at once: a slow one holds nobody up, and what becomes of it is told to
//! its caller alone. What carries them is the [`Post`]'s.

use std::pin::pin;

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;

use super::{Frame, Pipe, route};
use crate::{DownstreamError, Fault};

/// Lines that are under way at once; more wait in the outbox.
const POSTS_MAX: usize = 320;

/// Carries lines to a peer.
pub(crate) trait Post: Send + Sync + 'static {
    /// Carries one. It ends within a bounded time.
    fn post(&self, line: Vec<u8>) -> BoxFuture<'static, Result<(), DownstreamError>>;
}

/// Writes until the input is to be closed.
pub(super) async fn post_all(pipe: &Pipe, outlet: &dyn Post, mut frames: mpsc::Receiver<Frame>) {
    let mut closed = pin!(pipe.input_closed.cancelled());
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = &mut closed => return,
            Some((id, posted)) = under_way.next(), if !under_way.is_empty() => settle(pipe, id, posted),
            frame = frames.recv(), if under_way.len() < POSTS_MAX => {
                let Some(frame) = frame else { return };
                if frame.slot.as_ref().is_some_and(|slot| !slot.write()) {
                    continue;
                }
                let id = frame.slot.map(|slot| slot.id);
                // Nothing may come before the end of the handshake.
                let is_first = id.is_none() && memchr::memmem::find(&frame.line, b"notifications/initialized").is_some();
                let posted = outlet.post(frame.line);
                if is_first {
                    settle(pipe, None, posted.await);
                } else {
                    under_way.push(async move { (id, posted.await) });
                }
            }
        }
    }
}

/// A request that did not get through has its answer.
fn settle(pipe: &Pipe, id: Option<u64>, posted: Result<(), DownstreamError>) {
    match (id, posted) {
        (_, Ok(())) => {}
        (Some(id), Err(error)) => {
            let is_lost = error.fault == Fault::SessionLost;
            let why = error.detail.clone();
            route::respond(pipe, id, Err(error));
            if is_lost {
                // Nobody else is to try it here.
                pipe.close(&why);
            }
        }
        (None, Err(error)) => {
            tracing::debug!(server.name = %pipe.wiring.name, %error, "a message did not reach the server");
        }
    }
}
