//! Opens the stream of one connection and reads where messages go. The endpoint has to be at the stream's own origin: a server
//! names a path, and never where else the gateway connects to.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::{inbound::Inbound, outbound::Outbound};
use crate::{
    Delivery, DownstreamError, Fault,
    http::{
        client::Client,
        heads::Kind,
        patience::{Closing, Patience},
        refusal::read_refusal,
        reply::identity,
    },
    pipe::Outlet,
    seat::{Body, Launched, Launcher, Seat},
};

/// What opening the stream may take, until the endpoint is named.
const OPEN_PATIENCE: Duration = Duration::from_secs(15);
/// The longest address of an endpoint.
const ENDPOINT_BYTES_MAX: usize = 4 * 1024;

/// Opens streams of one server.
pub(super) struct StreamLauncher {
    client: Arc<Client>,
    url: Url,
    event_bytes_max: usize,
}

impl StreamLauncher {
    pub(super) fn new(client: Arc<Client>, url: Url, event_bytes_max: usize) -> Self {
        Self { client, url, event_bytes_max }
    }

    async fn open(&self) -> Result<Launched, DownstreamError> {
        let patience = Patience { deadline: Instant::now() + OPEN_PATIENCE, closing: Closing::default() };
        let response = self.client.bare(Method::GET, self.headers(), &patience).await?;
        if response.status() != StatusCode::OK {
            return Err(read_refusal(&self.client, response, &patience).await?.error());
        }
        identity(response.headers())?;
        if Kind::of(response.headers()) != Kind::Sse {
            return Err(protocol("expected a stream of events at its URL; is it a server of the HTTP+SSE transport?"));
        }
        let mut inbound = Inbound::new(response.into_body(), self.event_bytes_max);
        let named = patience.within(inbound.endpoint()).await.map_err(|cut| cut.not_sent())?;
        let named = named.ok_or_else(|| protocol("its stream ended before it had named an endpoint"))?;
        let endpoint = endpoint(&self.url, &named).map_err(protocol)?;
        let lost = CancellationToken::new();
        let outbound = Outbound { client: Arc::clone(&self.client), endpoint, lost: lost.clone() };
        Ok(Launched {
            reader: Box::new(inbound),
            outlet: Outlet::Posts(Box::new(outbound)),
            body: Box::new(Stream { lost }),
        })
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = self.client.heads.opening();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.remove(CONTENT_TYPE);
        headers
    }
}

impl Launcher for StreamLauncher {
    fn launch<'a>(&'a self, _seat: &'a Arc<Seat>) -> BoxFuture<'a, Result<Launched, DownstreamError>> {
        Box::pin(async {
            // Nothing was asked of the server before its stream is open.
            self.open().await.map_err(|error| DownstreamError { delivery: Delivery::NotSent, ..error })
        })
    }
}

/// Where messages go, by what the server said.
fn endpoint(stream: &Url, named: &[u8]) -> Result<Uri, &'static str> {
    let named = std::str::from_utf8(named).ok().filter(|named| named.len() <= ENDPOINT_BYTES_MAX);
    let url = named.and_then(|named| stream.join(named.trim()).ok());
    let url = url.ok_or("the endpoint that it named is no address")?;
    if url.origin() != stream.origin() {
        return Err(
            "the endpoint that it named is not at its own origin; expected the scheme, host and port of its URL",
        );
    }
    let path = &url[Position::BeforePath..Position::AfterQuery];
    path.parse().map_err(|_| "the endpoint that it named has no path of HTTP")
}

fn protocol(detail: &str) -> DownstreamError {
    DownstreamError::not_sent(Fault::Protocol, detail)
}

/// An open stream: what there is of it beside its two ways.
struct Stream {
    lost: CancellationToken,
}

impl Body for Stream {
    fn exited(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            self.lost.cancelled().await;
            "the server does not know its stream any more".to_owned()
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_path_of_the_same_origin_and_nothing_else() {
        let stream = Url::parse("https://tools.example:8443/mcp/sse?key=x").expect("a URL");
        let found = |named: &str| endpoint(&stream, named.as_bytes()).map(|uri| uri.to_string()).ok();
        assert_eq!(found("/messages?sessionId=7").as_deref(), Some("/messages?sessionId=7"));
        assert_eq!(found("messages").as_deref(), Some("/mcp/messages"));
        assert_eq!(found("?s=7").as_deref(), Some("/mcp/sse?s=7"));
        assert_eq!(found("https://tools.example:8443/m#x").as_deref(), Some("/m"));
        for foreign in [
            "http://tools.example:8443/m",
            "https://tools.example/m",
            "https://evil.example/m",
            "//evil.example:8443/m",
            "https://tools.example:8443@evil.example/m",
            "file:///etc/passwd",
            "http://",
        ] {
            assert_eq!(found(foreign), None, "{foreign}");
        }
        assert_eq!(found(&"x".repeat(ENDPOINT_BYTES_MAX + 1)), None);
        assert!(endpoint(&stream, b"/\xff").is_err());
    }
}
