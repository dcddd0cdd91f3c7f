//! The explorer over sources without databases, by rmcp's client, in both eras.

use std::sync::{Arc, atomic::Ordering};

use rmcp::{
    ClientHandler, RoleClient, ServiceExt,
    model::{
        ArgumentInfo, CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, CompleteRequestParams,
        CompletionContext, CompletionInfo, GetPromptRequestParams, JsonObject, ProgressNotificationParam,
        ProtocolVersion, ReadResourceRequestParams, Reference, ResourceContents, ServerResult,
    },
    service::{
        ClientLifecycleMode, NotificationContext, PeerRequestOptions, RunningService, ServiceError,
        serve_client_with_lifecycle,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
};

use crate::db::{DbExplorer, fake::Fake, source::Dialect};

/// A client that keeps the progress that it is told.
struct Listener(mpsc::Sender<ProgressNotificationParam>);

impl ClientHandler for Listener {
    async fn on_progress(&self, step: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.send(step).await.unwrap();
    }
}

type Client = RunningService<RoleClient, Listener>;

async fn connect(
    sources: Vec<Fake>,
    lifecycle: ClientLifecycleMode,
) -> (Client, mpsc::Receiver<ProgressNotificationParam>) {
    let explorer = DbExplorer::new(sources.into_iter().map(|source| Arc::new(source) as _).collect());
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { explorer.serve(far).await.unwrap().waiting().await });
    let (sender, steps) = mpsc::channel(100);
    (serve_client_with_lifecycle(Listener(sender), near, lifecycle).await.unwrap(), steps)
}

async fn client(sources: Vec<Fake>) -> Client {
    connect(sources, ClientLifecycleMode::Initialize).await.0
}

fn both_lifecycles() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [ClientLifecycleMode::Initialize, ClientLifecycleMode::Discover { preferred_versions }]
}

fn shop() -> Fake {
    Fake::new("shop", Dialect::Sqlite)
}

fn two() -> Vec<Fake> {
    vec![Fake::new("log", Dialect::Postgres), shop()]
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    client.call_tool(request).await.unwrap()
}

fn text(result: &CallToolResult) -> &str {
    &result.content[0].as_text().unwrap().text
}

async fn complete(
    client: &Client,
    reference: Reference,
    argument: &str,
    value: &str,
) -> Result<CompletionInfo, ServiceError> {
    let request = CompleteRequestParams::new(reference, ArgumentInfo::new(argument, value));
    client.complete(request).await.map(|result| result.completion)
}

async fn prompt(client: &Client, name: &str, arguments: Value) -> Result<String, ServiceError> {
    let request = GetPromptRequestParams::new(name).with_arguments(arguments.as_object().unwrap().clone());
    let result = client.get_prompt(request).await?;
    Ok(result.messages[0].content.as_text().unwrap().text.clone())
}

async fn read(client: &Client, uri: &str) -> Result<String, ServiceError> {
    let result = client.read_resource(ReadResourceRequestParams::new(uri)).await?;
    match &result.contents[0] {
        ResourceContents::TextResourceContents { text, .. } => Ok(text.clone()),
        other => panic!("not a text: {other:?}"),
    }
}

/// The code and the message of an error of the protocol.
fn refusal<T: std::fmt::Debug>(answer: Result<T, ServiceError>) -> (i32, String) {
    match answer.unwrap_err() {
        ServiceError::McpError(error) => (error.code.0, error.message.into_owned()),
        other => panic!("not an error of the protocol: {other}"),
    }
}

#[tokio::test]
async fn source_has_to_be_named_where_there_are_several_and_has_to_exist() {
    let client = client(two()).await;
    for tool in client.list_all_tools().await.unwrap() {
        let source = tool.input_schema["properties"].get("source");
        assert_eq!(source.is_some(), tool.name != "list_data_sources", "{}", tool.name);
    }
    let unnamed = call(&client, "list_tables", json!({})).await;
    assert!(text(&unnamed).starts_with("INVALID_ARGUMENTS: The argument `source` is missing"), "{}", text(&unnamed));
    let unknown = call(&client, "list_tables", json!({ "source": "attic" })).await;
    assert!(text(&unknown).contains("expected one of `log`, `shop`"), "{}", text(&unknown));
    let named = call(&client, "list_tables", json!({ "source": "log" })).await;
    assert_eq!(named.structured_content.as_ref().unwrap()["tables"][0]["name"], "orders");
    assert_eq!(serde_json::from_str::<Value>(text(&named)).unwrap(), named.structured_content.unwrap());
}

#[tokio::test]
async fn the_only_source_is_not_asked_for_and_a_wrong_one_is_refused() {
    let client = client(vec![shop()]).await;
    assert!(
        client
            .list_all_tools()
            .await
            .unwrap()
            .iter()
            .all(|tool| tool.input_schema["properties"].get("source").is_none())
    );
    assert_eq!(call(&client, "list_tables", json!({ "source": "shop" })).await.is_error, Some(false));
    let wrong = call(&client, "list_tables", json!({ "source": "attic" })).await;
    assert!(
        text(&wrong).starts_with("NO_SUCH_SOURCE: There is no source `attic`; there are: shop."),
        "{}",
        text(&wrong)
    );
}

#[tokio::test]
async fn every_tool_reaches_its_source_and_answers_as_its_schema_says() {
    let mut open = shop();
    open.about.inserts = true;
    let client = client(vec![Fake::new("log", Dialect::Postgres), open]).await;
    let tools = client.list_all_tools().await.unwrap();
    for (tool, arguments, member) in [
        ("analyze_table", json!({ "source": "shop", "table": "orders", "columns": ["id"] }), "basis"),
        ("describe_table", json!({ "source": "shop", "table": "orders" }), "columns"),
        ("explain_query", json!({ "source": "shop", "sql": "SELECT ?1", "params": [1] }), "plan"),
        ("insert_record", json!({ "source": "shop", "table": "orders", "values": { "id": 7 } }), "row"),
        ("list_data_sources", json!({}), "sources"),
        ("list_tables", json!({ "source": "shop", "contains": "ord" }), "tables"),
        ("query_database", json!({ "source": "shop", "sql": "SELECT 1" }), "rows"),
    ] {
        let result = call(&client, tool, arguments).await;
        assert_eq!(result.is_error, Some(false), "{tool}: {}", text(&result));
        let answer = result.structured_content.unwrap();
        assert!(answer.get(member).is_some(), "{tool}: {answer}");
        let schema = tools.iter().find(|found| found.name == tool).unwrap().output_schema.clone().unwrap();
        for required in schema["required"].as_array().unwrap() {
            assert!(answer.get(required.as_str().unwrap()).is_some(), "{tool}: no {required} in {answer}");
        }
    }
    assert_eq!(tools.len(), 7);
}

#[tokio::test]
async fn insert_that_no_source_opens_is_a_tool_that_there_is_not() {
    let client = client(two()).await;
    assert!(client.list_all_tools().await.unwrap().iter().all(|tool| tool.name != "insert_record"));
    let request = CallToolRequestParams::new("insert_record").with_arguments(JsonObject::new());
    assert_eq!(refusal(client.call_tool(request).await), (-32602, "Unknown tool: insert_record".to_owned()));
}

#[tokio::test]
async fn source_that_is_closed_for_rows_refuses_them_beside_one_that_is_open() {
    let mut open = shop();
    open.about.inserts = true;
    let client = client(vec![Fake::new("log", Dialect::Postgres), open]).await;
    let refused = call(&client, "insert_record", json!({ "source": "log", "table": "orders", "values": {} })).await;
    assert!(text(&refused).contains("expected one of `shop`"), "{}", text(&refused));
    let tools = client.list_all_tools().await.unwrap();
    for tool in tools {
        let hints = tool.annotations.unwrap();
        let hints = (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint);
        let reads = tool.name != "insert_record";
        assert_eq!(hints, (Some(reads), Some(false), Some(reads), Some(false)), "{}", tool.name);
    }
}

#[tokio::test]
async fn cancelled_call_is_cancelled_in_the_source() {
    for lifecycle in both_lifecycles() {
        let fake = shop();
        let (begun, cancelled) = (Arc::clone(&fake.begun), Arc::clone(&fake.cancelled));
        let (client, _steps) = connect(vec![fake], lifecycle).await;
        let arguments = json!({ "sql": "SELECT forever" }).as_object().unwrap().clone();
        let params = CallToolRequestParams::new("query_database").with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
        begun.notified().await;
        handle.cancel(Some("the person looked away".to_owned())).await.unwrap();
        while cancelled.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // The connection goes on.
        assert_eq!(call(&client, "query_database", json!({ "sql": "SELECT 1" })).await.is_error, Some(false));
    }
}

#[tokio::test]
async fn progress_grows_and_ends_with_the_answer() {
    for lifecycle in both_lifecycles() {
        let mut fake = shop();
        // A source that repeats itself and goes back is not passed on so.
        fake.steps = vec![(0, 4), (1, 4), (1, 4), (0, 4), (3, 4), (4, 4)];
        let left_behind = Arc::clone(&fake.left_behind);
        let (client, mut steps) = connect(vec![fake], lifecycle).await;
        let arguments = json!({ "table": "orders" }).as_object().unwrap().clone();
        let params = CallToolRequestParams::new("analyze_table").with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
        let token = handle.progress_token.clone();
        let ServerResult::CallToolResult(result) = handle.await_response().await.unwrap() else { panic!("no result") };
        assert_eq!(result.is_error, Some(false));
        let mut told = Vec::new();
        for _ in 0..4 {
            let step = steps.recv().await.unwrap();
            assert_eq!((&step.progress_token, step.total), (&token, Some(4.0)));
            told.push(step.progress);
        }
        // rmcp's client handles each notification in a task of its own, so they may change places on its side.
        told.sort_by(f64::total_cmp);
        assert_eq!(told, [0.0, 1.0, 3.0, 4.0]);
        // What goes on after the answer is not told.
        let cx = left_behind.lock().unwrap().take().unwrap();
        cx.progress(5, 5, "late".to_owned()).await;
        call(&client, "query_database", json!({ "sql": "SELECT 1" })).await;
        assert!(steps.try_recv().is_err());
    }
}

/// Sends one line to a fresh explorer and reads its answer line by line.
struct Wire {
    lines: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
    write: WriteHalf<DuplexStream>,
}

impl Wire {
    fn to(fake: Fake) -> Self {
        let explorer = DbExplorer::new(vec![Arc::new(fake)]);
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { explorer.serve(far).await.unwrap().waiting().await });
        let (read, write) = tokio::io::split(near);
        Self { lines: BufReader::new(read).lines(), write }
    }

    async fn send(&mut self, message: Value) {
        self.write.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }

    async fn call(&mut self, tool: &str, arguments: Value, mut meta: Value) {
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "wire", "version": "1" });
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        self.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
    }
}

#[tokio::test]
async fn progress_is_on_the_wire_in_order_and_before_the_answer() {
    let mut fake = shop();
    fake.steps = (0..40).map(|done| (done, 40)).collect();
    let mut wire = Wire::to(fake);
    wire.call("analyze_table", json!({ "table": "orders" }), json!({ "progressToken": "p" })).await;
    let mut last = -1.0;
    loop {
        let message = wire.receive().await;
        if message["id"] == 1 {
            assert_eq!(message["result"]["isError"], false, "{message}");
            break;
        }
        assert_eq!(
            (&message["method"], &message["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!("p"))
        );
        let progress = message["params"]["progress"].as_f64().unwrap();
        assert!(progress > last, "{progress} after {last}");
        last = progress;
    }
    assert!(last >= 0.0, "nothing was told");
}

#[tokio::test]
async fn nobody_is_told_progress_who_gave_no_token() {
    let mut fake = shop();
    fake.steps = vec![(1, 2), (2, 2)];
    let mut wire = Wire::to(fake);
    wire.call("analyze_table", json!({ "table": "orders" }), json!({})).await;
    assert_eq!(wire.receive().await["id"], 1);
}

#[tokio::test]
async fn client_that_does_not_read_holds_up_no_work() {
    let mut fake = shop();
    fake.steps = (0..10_000).map(|done| (done, 10_000)).collect();
    let ended = Arc::clone(&fake.ended);
    let explorer = DbExplorer::new(vec![Arc::new(fake)]);
    // Room for less than one notification.
    let (near, far) = tokio::io::duplex(64);
    tokio::spawn(async move { explorer.serve(far).await.unwrap().waiting().await });
    let (read, write) = tokio::io::split(near);
    let mut wire = Wire { lines: BufReader::new(read).lines(), write };
    wire.call("analyze_table", json!({ "table": "orders" }), json!({ "progressToken": 7 })).await;
    ended.notified().await;
}

#[tokio::test]
async fn resources_are_listed_for_each_source_and_each_can_be_read() {
    for lifecycle in both_lifecycles() {
        let (client, _steps) = connect(two(), lifecycle).await;
        let resources = client.list_all_resources().await.unwrap();
        let uris: Vec<_> = resources.iter().map(|resource| resource.uri.as_str()).collect();
        let expected = [
            "db://log/overview",
            "db://log/info",
            "db://log/examples",
            "db://shop/overview",
            "db://shop/info",
            "db://shop/examples",
        ];
        assert_eq!(uris, expected);
        for uri in uris {
            assert!(!read(&client, uri).await.unwrap().is_empty(), "{uri}");
        }
        let templates = client.list_all_resource_templates().await.unwrap();
        let templates: Vec<_> = templates.iter().map(|template| template.uri_template.as_str()).collect();
        assert_eq!(templates, ["db://log/tables/{table}/schema", "db://shop/tables/{table}/schema"]);
        assert!(read(&client, "db://log/tables/orders/schema").await.unwrap().contains("\"orders\""));
        for uri in ["db://attic/overview", "db://shop/tables/nowhere/schema", "db://shop", "file:///etc/passwd"] {
            let (_, message) = refusal(read(&client, uri).await);
            assert_eq!(message, format!("There is no resource {uri}."));
        }
    }
}

#[tokio::test]
async fn info_says_what_a_source_is_and_allows() {
    let client = client(two()).await;
    let info: Value = serde_json::from_str(&read(&client, "db://log/info").await.unwrap()).unwrap();
    assert_eq!((&info["name"], &info["dialect"]), (&json!("log"), &json!("PostgreSQL")));
    assert_eq!((&info["rows_max"], &info["timeout_ms"]), (&json!(200), &json!(5000)));
    assert_eq!(info["allowed"]["inserts"], "none");
    assert_eq!(info["explorer"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn completion_is_bounded_and_says_how_many_there_are() {
    let mut fake = shop();
    fake.tables = (0..250).map(|number| format!("t{number:03}")).collect();
    let client = client(vec![fake]).await;
    let template = || Reference::for_resource("db://shop/tables/{table}/schema");
    let completion = complete(&client, template(), "table", "t").await.unwrap();
    assert_eq!((completion.values.len(), completion.total, completion.has_more), (100, Some(250), Some(true)));
    let completion = complete(&client, template(), "table", "t24").await.unwrap();
    assert_eq!((completion.values.len(), completion.total, completion.has_more), (10, Some(10), Some(false)));
    assert!(complete(&client, template(), "table", "x").await.unwrap().values.is_empty());
    let (code, message) = refusal(complete(&client, template(), "column", "").await);
    assert!(code == -32602 && message.contains("expected one of: table"), "{message}");
    let unknown = Reference::for_resource("db://attic/tables/{table}/schema");
    assert_eq!(refusal(complete(&client, unknown, "table", "").await).0, -32602);
}

#[tokio::test]
async fn arguments_of_prompts_are_completed() {
    let client = client(two()).await;
    let report = complete(&client, Reference::for_prompt("report_query"), "report_type", "d").await.unwrap();
    assert_eq!(report.values, ["daily_trend", "data_quality"]);
    let source = complete(&client, Reference::for_prompt("report_query"), "source", "L").await.unwrap();
    assert_eq!(source.values, ["log"]);
    let question = complete(&client, Reference::for_prompt("data_analyst"), "question", "Wh").await.unwrap();
    assert!(question.values.is_empty());
    // A table can be in any source, until the source is known.
    let reference = || Reference::for_prompt("analyze_table");
    assert!(complete(&client, reference(), "table", "ord").await.unwrap().values.is_empty());
    let context = CompletionContext::with_arguments([("source".to_owned(), "log".to_owned())].into());
    let request = CompleteRequestParams::new(reference(), ArgumentInfo::new("table", "ord")).with_context(context);
    assert_eq!(client.complete(request).await.unwrap().completion.values, ["orders"]);
    assert_eq!(refusal(complete(&client, Reference::for_prompt("poem"), "question", "").await).0, -32602);
}

#[tokio::test]
async fn prompts_say_what_is_wrong_with_their_arguments() {
    let client = client(two()).await;
    for (name, arguments, wanted) in [
        ("poem", json!({}), "Unknown prompt: poem. There are: analyze_table, data_analyst, report_query."),
        ("data_analyst", json!({}), "needs the argument `question`"),
        ("data_analyst", json!({ "question": "  " }), "needs the argument `question`"),
        ("data_analyst", json!({ "question": 5 }), "`question` of the prompt is not a text"),
        ("data_analyst", json!({ "question": "x".repeat(8001) }), "8000 characters at most"),
        (
            "data_analyst",
            json!({ "question": "x", "sources": "log" }),
            "no argument `sources`; it takes: question, source. Did you mean `source`?",
        ),
        (
            "data_analyst",
            json!({ "question": "x", "source": "attic" }),
            "There is no source `attic`; there are: log, shop.",
        ),
        ("analyze_table", json!({ "table": "orders" }), "needs the argument `source`"),
        ("analyze_table", json!({ "table": "nowhere", "source": "log" }), "There is no table or view of that name"),
        (
            "report_query",
            json!({ "report_type": "poem" }),
            "Unknown report type: poem. There are: breakdown, daily_trend",
        ),
    ] {
        let (code, message) = refusal(prompt(&client, name, arguments).await);
        assert!(code == -32602 && message.contains(wanted), "{wanted}\n{code} {message}");
    }
}

#[tokio::test]
async fn prompts_carry_what_they_were_given_and_what_is_there() {
    let client = client(two()).await;
    let said = prompt(&client, "data_analyst", json!({ "question": "Who buys most?", "source": "log" })).await.unwrap();
    assert!(said.contains("Who buys most?") && said.contains("- `orders`"), "{said}");
    let said = prompt(&client, "data_analyst", json!({ "question": "Who buys most?" })).await.unwrap();
    assert!(said.contains("- `log`: PostgreSQL") && said.contains("- `shop`: SQLite"), "{said}");
    let arguments = json!({ "table": "orders", "focus": "prices", "source": "shop" });
    let said = prompt(&client, "analyze_table", arguments).await.unwrap();
    assert!(said.contains("`orders`") && said.contains("prices") && said.contains("\"primary_key\""), "{said}");
    let said = prompt(&client, "report_query", json!({ "report_type": "top_n", "source": "log" })).await.unwrap();
    assert!(said.contains("top ten") && said.contains("date_trunc") && !said.contains("strftime"), "{said}");
}
