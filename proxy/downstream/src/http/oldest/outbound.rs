//! Messages to a server of HTTP+SSE: each is a POST to the endpoint that the stream named. The answer to a request comes over the
//! stream; here the server only says that it took it.

use std::sync::{Arc, atomic::AtomicBool};

use futures_util::future::BoxFuture;
use http::{Method, Uri};
use patchbay_core::era::Era;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    DownstreamError, Fault,
    http::{
        client::{Client, Draft, Lane},
        patience::{Closing, Patience},
        refusal::{Verdict, read_refusal},
    },
    pipe::Post,
};

/// How long the server may take to take a message.
const POST_PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone)]
pub(super) struct Outbound {
    pub(super) client: Arc<Client>,
    pub(super) endpoint: Uri,
    /// Cancelled when the server says that it does not know the stream any more.
    pub(super) lost: CancellationToken,
}

impl Post for Outbound {
    fn post(&self, line: Vec<u8>) -> BoxFuture<'static, Result<(), DownstreamError>> {
        let this = self.clone();
        Box::pin(async move { this.send(line).await })
    }
}

impl Outbound {
    async fn send(&self, line: Vec<u8>) -> Result<(), DownstreamError> {
        let patience = Patience { deadline: Instant::now() + POST_PATIENCE, closing: Closing::default() };
        let draft = Draft {
            method: Method::POST,
            uri: &self.endpoint,
            headers: self.client.heads.opening(),
            message: line.into(),
            // How many there may be is bounded by the connection.
            lane: Lane::Control,
            patience: &patience,
            sent: &AtomicBool::new(false),
        };
        let response = self.client.send(draft).await?;
        if response.status().is_success() {
            response.into_body().finish_aside();
            return Ok(());
        }
        let refusal = read_refusal(&self.client, response, &patience).await?;
        if refusal.verdict(0, Era::Legacy, true) == Verdict::SessionLost {
            self.lost.cancel();
            return Err(DownstreamError::not_sent(Fault::SessionLost, "the server does not know the stream any more"));
        }
        Err(refusal.error())
    }
}
