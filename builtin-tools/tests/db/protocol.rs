//! The DB explorer over MCP, by rmcp's client, in both eras: lists, calls, resources, completion, prompt.

use patchbay_builtin_tools::{Builtin, Given, db};
use rmcp::{
    ServiceExt,
    model::{
        ArgumentInfo, CallToolRequestParams, CompleteRequestParams, GetPromptRequestParams, ReadResourceRequestParams,
        Reference, ResourceContents,
    },
    service::{ClientLifecycleMode, serve_client},
};
use serde_json::{Value, json};

use crate::{Client, Shop, answer, both_lifecycles, call, connect, is_error, query, text};

/// What is offered over a source that opens no table.
const TOOLS: [&str; 6] =
    ["analyze_table", "describe_table", "explain_query", "list_data_sources", "list_tables", "query_database"];

async fn read(client: &Client, uri: &str) -> Result<String, rmcp::ServiceError> {
    let result = client.read_resource(ReadResourceRequestParams::new(uri)).await?;
    match &result.contents[0] {
        ResourceContents::TextResourceContents { text, .. } => Ok(text.clone()),
        other => panic!("not a text: {other:?}"),
    }
}

#[tokio::test]
async fn lists_and_calls_work_in_both_eras() {
    let shop = Shop::new();
    for lifecycle in both_lifecycles() {
        let client = connect(shop.explorer(&json!({})), lifecycle).await;
        let tools = client.list_all_tools().await.unwrap();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, TOOLS);
        for tool in &tools {
            let hints = tool.annotations.as_ref().unwrap();
            assert_eq!((hints.read_only_hint, hints.open_world_hint), (Some(true), Some(false)));
            assert_eq!(tool.output_schema.as_ref().unwrap()["type"], "object");
            assert_eq!(tool.input_schema["type"], "object");
            assert!(tool.input_schema["properties"].is_object());
        }
        assert_eq!(answer(&query(&client, "SELECT count(*) FROM products").await)["rows"], json!([[24]]));
        let unknown = client.call_tool(CallToolRequestParams::new("drop_database")).await;
        assert!(unknown.unwrap_err().to_string().contains("Unknown tool: drop_database"));
    }
}

#[tokio::test]
async fn tables_are_listed_and_described() {
    let shop = Shop::new();
    shop.execute("CREATE VIEW broken AS SELECT * FROM nowhere");
    let client = shop.client(json!({})).await;
    let tables = call(&client, "list_tables", json!({})).await;
    let lines = answer(&tables)["tables"].as_array().unwrap();
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["broken", "order_items", "order_totals", "orders", "products"]);
    assert_eq!(lines[3]["rows"], 42);
    let detail = call(&client, "describe_table", json!({ "table": "ORDER_items" })).await;
    let detail = answer(&detail);
    assert_eq!((&detail["name"], &detail["kind"]), (&json!("order_items"), &json!("table")));
    let column = json!({ "name": "order_id", "type": "INTEGER", "nullable": false });
    assert_eq!((detail["columns"].as_array().unwrap().len(), &detail["columns"][0]), (4, &column));
    assert_eq!(detail["primary_key"], json!(["order_id", "product_id"]));
    let key = json!({ "columns": ["order_id"], "table": "orders", "to_columns": ["id"] });
    assert!(detail["foreign_keys"].as_array().unwrap().contains(&key), "{detail}");
    assert_eq!(detail["insertable"], false);
}

#[tokio::test]
async fn table_that_is_not_offered_shows_up_nowhere() {
    let shop = Shop::new();
    let client = shop.client(json!({ "tables": ["order_items"] })).await;
    let tables = call(&client, "list_tables", json!({})).await;
    assert_eq!(answer(&tables)["tables"].as_array().unwrap().len(), 1);
    let detail = call(&client, "describe_table", json!({ "table": "order_items" })).await;
    assert_eq!(answer(&detail)["foreign_keys"], json!([]));
    for table in ["orders", "nowhere", "sqlite_schema", "order_items'; --"] {
        let detail = call(&client, "describe_table", json!({ "table": table })).await;
        assert!(is_error(&detail));
        let same = "NO_SUCH_TABLE: There is no table or view of that name in this source. Call list_tables and use the \
                    names that it gives.";
        assert_eq!(text(&detail), same);
    }
    assert!(!read(&client, "db://shop/overview").await.unwrap().contains("products"));
    assert!(read(&client, "db://shop/tables/products/schema").await.is_err());
}

#[tokio::test]
async fn resources_are_listed_read_and_completed() {
    let shop = Shop::new();
    for lifecycle in both_lifecycles() {
        let client = connect(shop.explorer(&json!({ "source": "store" })), lifecycle).await;
        let resources = client.list_all_resources().await.unwrap();
        let uris: Vec<_> = resources.iter().map(|resource| resource.uri.as_str()).collect();
        assert_eq!(uris, ["db://store/overview", "db://store/info", "db://store/examples"]);
        let overview = read(&client, "db://store/overview").await.unwrap();
        assert!(overview.contains("- `orders` (table, 42 rows): id, customer, city"), "{overview}");
        let templates = client.list_all_resource_templates().await.unwrap();
        assert_eq!(templates[0].uri_template, "db://store/tables/{table}/schema");
        let schema = read(&client, "db://store/tables/orders/schema").await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&schema).unwrap()["columns"][1]["name"], "customer");
        assert!(read(&client, "db://shop/overview").await.is_err());
        let reference = Reference::for_resource("db://store/tables/{table}/schema");
        let request = CompleteRequestParams::new(reference, ArgumentInfo::new("table", "ORD"));
        let values = client.complete(request).await.unwrap().completion.values;
        assert_eq!(values, ["order_items", "order_totals", "orders"]);
    }
}

#[tokio::test]
async fn prompt_carries_the_question_and_the_overview() {
    let shop = Shop::new();
    let client = shop.client(json!({})).await;
    let prompts = client.list_all_prompts().await.unwrap();
    let names: Vec<_> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["analyze_table", "data_analyst", "report_query"]);
    let arguments = json!({ "question": "Which city buys most?" }).as_object().unwrap().clone();
    let request = GetPromptRequestParams::new("data_analyst").with_arguments(arguments);
    let prompt = client.get_prompt(request).await.unwrap();
    let said = &prompt.messages[0].content.as_text().unwrap().text;
    assert!(said.contains("Which city buys most?") && said.contains("`products`"));
    assert!(client.get_prompt(GetPromptRequestParams::new("data_analyst")).await.is_err());
    assert!(client.get_prompt(GetPromptRequestParams::new("other")).await.is_err());
}

/// The statements of a page of examples, each with its parameters.
fn statements(page: &str) -> Vec<(String, Value)> {
    let parts = page.split("```sql\n").skip(1);
    let one = |part: &str| {
        let (sql, rest) = part.split_once("\n```").unwrap();
        let params = rest.split("## ").next().unwrap().split_once("`params`: `").map(|(_, params)| params);
        let params =
            params.map_or(json!([]), |params| serde_json::from_str(params.split('`').next().unwrap()).unwrap());
        (sql.to_owned(), params)
    };
    parts.map(one).collect()
}

#[tokio::test]
async fn every_example_can_be_run_as_it_is() {
    let shop = Shop::new();
    shop.execute("CREATE TABLE \"order\" (\"group\" TEXT, \"from\" INTEGER PRIMARY KEY, \"Sold At\" TIMESTAMP)");
    for options in [json!({}), json!({ "tables": ["order"] }), json!({ "tables": ["orders"] })] {
        let client = shop.client(options).await;
        let page = read(&client, "db://shop/examples").await.unwrap();
        let statements = statements(&page);
        assert!(statements.len() >= 4, "{page}");
        for (sql, params) in statements {
            let result = call(&client, "query_database", json!({ "sql": sql, "params": params })).await;
            assert!(!is_error(&result), "{sql}\n{}", text(&result));
        }
    }
}

#[tokio::test]
async fn examples_of_an_empty_source_say_that_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("empty.db");
    rusqlite::Connection::open(&database).unwrap().execute_batch("PRAGMA user_version = 1").unwrap();
    let explorer = db(&Given::of(json!({ "database": database }))).unwrap();
    let client = connect(explorer, ClientLifecycleMode::Initialize).await;
    assert!(read(&client, "db://empty/examples").await.unwrap().contains("no table"));
    assert!(read(&client, "db://empty/overview").await.unwrap().contains("no tables"));
}

#[tokio::test]
async fn overview_of_a_thousand_tables_is_bounded_and_all_of_them_can_be_reached() {
    let shop = Shop::new();
    let columns: String = (0..60).map(|number| format!(", column_number_{number:02} INTEGER")).collect();
    let tables = (0..1000).map(|number| format!("CREATE TABLE table_{number:04} (id INTEGER{columns});"));
    shop.execute(&format!("BEGIN; {} COMMIT;", tables.collect::<String>()));
    let client = shop.client(json!({ "timeout_ms": 60000 })).await;
    let overview = read(&client, "db://shop/overview").await.unwrap();
    assert!(overview.len() < 66 * 1024, "{} bytes", overview.len());
    assert!(overview.contains("There are more tables"), "{overview}");
    let arguments = json!({ "question": "What is here?" }).as_object().unwrap().clone();
    let request = GetPromptRequestParams::new("data_analyst").with_arguments(arguments);
    let prompt = client.get_prompt(request).await.unwrap();
    assert!(prompt.messages[0].content.as_text().unwrap().text.len() < 18 * 1024);
    // The page says where list_tables goes on, and from there all are reached.
    let said = overview.split("`after` = `").nth(1).unwrap().split('`').next().unwrap().to_owned();
    let shown = overview.lines().filter(|line| line.starts_with("- ")).count();
    let (mut found, mut after) = (shown, Value::from(said));
    while !after.is_null() {
        let list = call(&client, "list_tables", json!({ "after": after })).await;
        found += answer(&list)["tables"].as_array().unwrap().len();
        after = answer(&list)["next"].clone();
    }
    assert_eq!(found, 1004);
}

#[tokio::test]
async fn sources_stand_side_by_side_and_are_named_by_calls() {
    let (shop, attic) = (Shop::new(), Shop::new());
    attic.execute("CREATE TABLE boxes (id INTEGER PRIMARY KEY); INSERT INTO boxes VALUES (7)");
    let sources = json!({
        "shop": { "database": shop.database() },
        "attic": { "database": attic.database(), "tables": ["boxes"], "rows_max": 10 },
    });
    for lifecycle in both_lifecycles() {
        let client = connect(db(&Given::of(json!({ "sources": sources }))).unwrap(), lifecycle).await;
        let listed = call(&client, "list_data_sources", json!({})).await;
        let listed = &answer(&listed)["sources"];
        assert_eq!((&listed[0]["name"], &listed[0]["rows_max"]), (&json!("attic"), &json!(10)));
        assert_eq!((&listed[1]["name"], &listed[1]["dialect"]), (&json!("shop"), &json!("SQLite")));
        let sql = "SELECT id FROM boxes";
        let found = call(&client, "query_database", json!({ "source": "attic", "sql": sql })).await;
        assert_eq!(answer(&found)["rows"], json!([[7]]));
        assert!(is_error(&call(&client, "query_database", json!({ "source": "shop", "sql": sql })).await));
        for uri in listed.as_array().unwrap().iter().flat_map(|source| source["resources"].as_array().unwrap()) {
            let uri = uri.as_str().unwrap().replace("{table}", "boxes");
            let there = !uri.starts_with("db://shop/tables/");
            assert_eq!(read(&client, &uri).await.is_ok(), there, "{uri}");
        }
    }
}

#[tokio::test]
async fn one_server_of_the_table_serves_any_number_of_clients() {
    let shop = Shop::new();
    let server = Builtin::find("db").unwrap().build(&Given::of(json!({ "database": shop.database() }))).unwrap();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let handler = server.handler();
        tokio::spawn(async move { handler.serve(far).await.unwrap().waiting().await });
        let client = serve_client((), near).await.unwrap();
        assert_eq!(client.list_all_tools().await.unwrap().len(), TOOLS.len());
    }
}
