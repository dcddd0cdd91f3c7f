//! A built-in server: an rmcp handler in the same process, with callers on other threads.

#[path = "support/world.rs"]
mod world;

use std::{sync::Arc, time::Duration};

use patchbay_core::era::Era;
use patchbay_downstream::{
    CallCx, Delivery, Downstream, Fault, HealthState, Message, Reply, ShareKey,
    builtin::BuiltinDownstream,
    catalog::{CatalogBounds, fetch},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde_json::json;
use tokio::{sync::Notify, time::Instant};
use world::{control, cx, eventually, finish, result, soon, tool};

#[derive(Clone, Default)]
struct Tools {
    cancelled: Arc<Notify>,
    reached: Arc<Notify>,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({"type": "object"}).as_object().cloned().unwrap_or_default();
        Ok(ListToolsResult::with_all_items(vec![Tool::new("echo", "says it again", schema)]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let said = request.arguments.unwrap_or_default();
        match &*request.name {
            "panic" => panic!("as asked"),
            "never" => {
                context.ct.cancelled().await;
                self.cancelled.notify_one();
            }
            "forever" => {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
            "progress" => {
                let token = context.meta.get_progress_token().expect("the caller wants progress");
                context.peer.notify_progress(ProgressNotificationParam::new(token, 1.0)).await.expect("sent");
            }
            _ => {}
        }
        let text = serde_json::Value::Object(said).to_string();
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

fn server() -> (Arc<BuiltinDownstream>, Tools) {
    let tools = Tools::default();
    let handler = tools.clone();
    (BuiltinDownstream::of("tools", move || handler.clone(), control()), tools)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_get_their_own_answers() {
    let (server, _) = server();
    let calls = (0..100).map(|n| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { (n, world::call(&*server, "echo", &json!({"n": n})).await) })
    });
    for outcome in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
        let (n, answer) = outcome.expect("joined");
        assert_eq!(answer.expect("answered")["content"][0]["text"], json!({"n": n}).to_string());
    }
    assert_eq!(server.health().state, HealthState::Up);
    server.close().await;
    assert_eq!(server.health().state, HealthState::Closed);
}

#[tokio::test]
async fn its_catalog_is_read_like_any_other() {
    let (server, _) = server();
    let bounds = CatalogBounds { pages_max: 5, items_max: 10, bytes_max: 10_000, deadline: soon(), capabilities: "{}" };
    let catalog = fetch(&*server, bounds).await.expect("a catalog");
    assert_eq!((catalog.hello.era(), catalog.tools.len()), (Era::Legacy, 1));
    assert!(catalog.warnings.is_empty() && catalog.failed.is_empty());
    server.close().await;
}

#[tokio::test]
async fn progress_and_cancelling_reach_the_other_side() {
    let (server, tools) = server();
    let mut request = tool("progress", &json!({}));
    request.progress = true;
    let Ok(Reply::Stream(mut stream)) = server.call(cx(ShareKey::Tenant, "{}"), request).await else {
        panic!("no stream")
    };
    assert!(matches!(stream.next().await, Ok(Message::Notification(_))));
    assert!(matches!(stream.next().await, Ok(Message::Response(_))));

    let brief = CallCx { deadline: Instant::now() + Duration::from_millis(100), ..cx(ShareKey::Tenant, "{}") };
    let error = server.call(brief, tool("never", &json!({}))).await.expect_err("it never answers");
    assert_eq!((error.fault, error.delivery), (Fault::Timeout, Delivery::MayHaveRun));
    tools.cancelled.notified().await;
    server.close().await;
}

#[tokio::test]
async fn a_tool_that_panics_does_not_take_the_server_with_it() {
    let (server, _) = server();
    let brief = CallCx { deadline: Instant::now() + Duration::from_millis(500), ..cx(ShareKey::Tenant, "{}") };
    assert!(server.call(brief, tool("panic", &json!({}))).await.is_err());
    let reply = server.call(cx(ShareKey::Tenant, "{}"), tool("echo", &json!({"a": 1}))).await.expect("a reply");
    assert!(result(&finish(reply).await.expect("answered"))["content"].is_array());
    eventually("nothing is left running", || server.health().in_flight == 0).await;
    server.close().await;
}

#[tokio::test]
async fn a_server_whose_task_ends_is_opened_anew() {
    let handler = Tools::default();
    let opened = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let inner = BuiltinDownstream::new(
        "brittle",
        move |channel| {
            use rmcp::ServiceExt;

            let handler = handler.clone();
            let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            Box::pin(async move {
                let reached = Arc::clone(&handler.reached);
                let Ok(running) = handler.serve(channel).await else { return };
                if first {
                    reached.notified().await;
                } else {
                    drop(running.waiting().await);
                }
            })
        },
        control(),
    );
    let error = inner.call(cx(ShareKey::Tenant, "{}"), tool("forever", &json!({}))).await.expect_err("it broke off");
    assert_eq!((error.fault, error.delivery), (Fault::Closed, Delivery::MayHaveRun));
    world::call(&*inner, "echo", &json!({})).await.expect("a new one answers");
    assert_eq!(opened.load(std::sync::atomic::Ordering::SeqCst), 2);
    inner.close().await;
}
