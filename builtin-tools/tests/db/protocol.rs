//! The DB explorer over MCP, by rmcp's client, in both eras: lists, calls, resources, completion, prompt.

use patchbay_builtin_tools::{BUILTINS, Builtin, Given};
use rmcp::model::{
    ArgumentInfo, CallToolRequestParams, CompleteRequestParams, GetPromptRequestParams, ReadResourceRequestParams,
    Reference, ResourceContents,
};
use rmcp::{ServiceExt, service::serve_client};
use serde_json::{Value, json};

use crate::{Client, Shop, answer, both_lifecycles, call, connect, is_error, query, text};

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
        assert_eq!(names, ["describe_table", "list_tables", "query_database"]);
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
    assert_eq!(
        *answer(&detail),
        json!({
            "name": "order_items",
            "kind": "table",
            "columns": [
                { "name": "order_id", "type": "INTEGER", "nullable": false, "primary_key": 1 },
                { "name": "product_id", "type": "INTEGER", "nullable": false, "primary_key": 2 },
                { "name": "quantity", "type": "INTEGER", "nullable": false },
                { "name": "price_cents", "type": "INTEGER", "nullable": false }
            ],
            "foreign_keys": [
                { "column": "product_id", "table": "products", "to": "id" },
                { "column": "order_id", "table": "orders", "to": "id" }
            ],
            "indexes": [
                { "columns": ["product_id"], "unique": false },
                { "columns": ["order_id", "product_id"], "unique": true }
            ]
        })
    );
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
        let same = "SQLITE_ERROR: There is no table or view of that name in this source. Call list_tables and use the \
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
        assert_eq!(resources[0].uri, "db://store/overview");
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
    assert_eq!(client.list_all_prompts().await.unwrap()[0].name, "data_analyst");
    let arguments = json!({ "question": "Which city buys most?" }).as_object().unwrap().clone();
    let request = GetPromptRequestParams::new("data_analyst").with_arguments(arguments);
    let prompt = client.get_prompt(request).await.unwrap();
    let said = &prompt.messages[0].content.as_text().unwrap().text;
    assert!(said.contains("Which city buys most?") && said.contains("`products`"));
    assert!(client.get_prompt(GetPromptRequestParams::new("data_analyst")).await.is_err());
    assert!(client.get_prompt(GetPromptRequestParams::new("other")).await.is_err());
}

#[tokio::test]
async fn every_built_in_kind_is_built_and_served_from_the_table() {
    let shop = Shop::new();
    assert_eq!(BUILTINS.iter().map(|builtin| builtin.name).collect::<Vec<_>>(), ["db"]);
    let server = Builtin::find("db").unwrap().build(&Given::of(json!({ "database": shop.database() }))).unwrap();
    for _ in 0..2 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let handler = server.handler();
        tokio::spawn(async move { handler.serve(far).await.unwrap().waiting().await });
        let client = serve_client((), near).await.unwrap();
        assert_eq!(client.list_all_tools().await.unwrap().len(), 3);
    }
}
