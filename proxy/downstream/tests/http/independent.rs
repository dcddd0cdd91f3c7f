//! The same against a server that somebody else wrote: rmcp's own Streamable HTTP service, in each era.

use std::{borrow::Cow, convert::Infallible};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ProgressNotificationParam,
        ProtocolVersion, ServerCapabilities, ServerConfig,
    },
    service::{NotificationContext, RequestContext},
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};

use crate::*;

#[derive(Clone)]
struct Echo {
    versions: Cow<'static, [ProtocolVersion]>,
}

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.versions.clone()
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let _ = context.peer.notify_tool_list_changed().await;
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(token) = context.meta.get_progress_token() {
            let _ = context.peer.notify_progress(ProgressNotificationParam::new(token, 1.0)).await;
        }
        let text = request.arguments.and_then(|arguments| arguments["text"].as_str().map(str::to_owned));
        Ok(CallToolResult::success(vec![ContentBlock::text(text.unwrap_or_default())]).into())
    }
}

async fn start(versions: Cow<'static, [ProtocolVersion]>) -> std::net::SocketAddr {
    let echo = Echo { versions };
    let config = StreamableHttpServerConfig::default();
    let service =
        StreamableHttpService::new(move || Ok(echo.clone()), Arc::new(LocalSessionManager::default()), config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _ = tcp.set_nodelay(true);
            let service = service.clone();
            let answer = service_fn(move |request| {
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.handle(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), answer));
        }
    });
    address
}

async fn last(reply: Result<Reply, DownstreamError>) -> (usize, Value) {
    let mut notifications = 0;
    match reply.expect("a reply") {
        Reply::One(answer) => (0, serde_json::from_slice(&whole(answer).await.unwrap()).unwrap()),
        Reply::Stream(mut stream) => loop {
            match stream.next().await.expect("a message") {
                Message::Notification(_) => notifications += 1,
                Message::Response(answer) => {
                    return (notifications, serde_json::from_slice(&answer.head).unwrap());
                }
                Message::Request(_) => panic!("nobody asks"),
            }
        },
    }
}

#[tokio::test]
async fn rmcp_is_understood_in_both_eras() {
    let legacy = Cow::Borrowed(ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25));
    let modern = Cow::Owned(vec![ProtocolVersion::V_2026_07_28]);
    for (versions, era) in [(legacy, Era::Legacy), (modern, Era::Modern)] {
        let http = HttpDownstream::new(options(start(versions).await)).unwrap();
        let mut events = http.events();
        assert_eq!(http.hello(soon()).await.expect("a hello").era(), era);
        for n in 0..5 {
            let text = n.to_string();
            let (_, plain) = last(http.call(cx(), echo(&text)).await).await;
            assert_eq!(plain["result"]["content"][0]["text"], text, "{plain}");
            let (notifications, noisy) = last(http.call(cx(), Outgoing { progress: true, ..echo(&text) }).await).await;
            assert_eq!((notifications, &noisy["result"]["content"][0]["text"]), (1, &json!(text)), "{noisy}");
        }
        if era == Era::Legacy {
            let heard = timeout(Duration::from_secs(10), events.recv()).await.expect("it is heard");
            assert_eq!(heard, Ok(Event::ListChanged(List::Tools)));
        }
        http.close().await;
    }
}
