//! `patchbay-tools` as a client starts it: a child process that speaks JSON lines on stdin and stdout, and says on stderr why
//! it does not start.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod child;
mod refusals;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use child::{Child, Shop};

/// A query that does not end by itself.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

#[test]
fn older_client_begins_lists_calls_and_leaves() {
    let shop = Shop::new();
    let mut child = Child::start(shop.command());
    let greeting = child.initialize();
    assert_eq!(greeting["result"]["serverInfo"]["name"], "patchbay-db");
    assert!(greeting["result"]["instructions"].as_str().unwrap().contains("SQLite database `shop`"));
    let tools = child.ask("tools/list", json!({}));
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 6);
    let answer =
        child.call("query_database", &json!({ "sql": "SELECT count(*) FROM orders WHERE id > ?1", "params": [0] }));
    assert_eq!(answer["result"]["structuredContent"]["rows"], json!([[42]]));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), answer["result"]["structuredContent"]);
    assert_eq!(child.leave(), Some(0));
}

#[test]
fn newer_client_discovers_and_says_who_it_is_with_each_request() {
    let shop = Shop::new();
    let mut child = Child::start(shop.command());
    child.is_modern = true;
    let found = child.ask("server/discover", json!({}));
    assert!(found["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{found}");
    let tools = child.ask("tools/list", json!({}));
    assert_eq!((&tools["result"]["ttlMs"], &tools["result"]["cacheScope"]), (&json!(300_000), &json!("private")));
    let answer = child.call("query_database", &json!({ "sql": "SELECT count(*) FROM products" }));
    assert_eq!(answer["result"]["structuredContent"]["rows"], json!([[24]]));
    assert_eq!(child.leave(), Some(0));
}

#[test]
fn cancelled_query_ends_and_is_not_answered() {
    let shop = Shop::new();
    for is_modern in [false, true] {
        let mut child = Child::start(shop.command().args(["--timeout-ms", "60000"]));
        child.is_modern = is_modern;
        if !is_modern {
            child.initialize();
        }
        // As many as may run at once: the next query is served only when they have ended.
        let endless: Vec<u64> = (0..4)
            .map(|_| child.send("tools/call", json!({ "name": "query_database", "arguments": { "sql": ENDLESS } })))
            .collect();
        for id in &endless {
            child.notify("notifications/cancelled", &json!({ "requestId": id }));
        }
        let begun = Instant::now();
        let answer = child.call("query_database", &json!({ "sql": "SELECT count(*) FROM orders" }));
        assert_eq!(answer["result"]["structuredContent"]["rows"], json!([[42]]), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(30), "the others still ran");
        assert_eq!(child.leave(), Some(0));
        let answered: Vec<_> = child.rest().iter().filter_map(|message| message["id"].as_u64()).collect();
        assert!(endless.iter().all(|id| !answered.contains(id)), "{answered:?}");
    }
}

#[test]
fn client_that_leaves_in_the_middle_of_a_query_ends_the_program() {
    let shop = Shop::new();
    let mut child = Child::start(shop.command().args(["--timeout-ms", "60000"]));
    child.initialize();
    child.send("tools/call", json!({ "name": "query_database", "arguments": { "sql": ENDLESS } }));
    let begun = Instant::now();
    assert_eq!(child.leave(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(30), "it stayed for {:?}", begun.elapsed());
}

#[test]
fn client_that_opens_and_closes_without_a_word_is_no_error() {
    let shop = Shop::new();
    let mut child = Child::start(shop.command());
    assert_eq!(child.leave(), Some(0));
    assert_eq!((child.rest(), child.said()), (Vec::new(), String::new()));
}

#[test]
fn options_bound_what_the_tools_give() {
    let shop = Shop::new();
    let options = ["--source", "store", "--tables", "orders,products", "--rows-max", "3", "--insert", "products"];
    let mut child = Child::start(shop.command().args(options));
    child.initialize();
    let sources = child.call("list_data_sources", &json!({}));
    let source = &sources["result"]["structuredContent"]["sources"][0];
    assert_eq!(
        (&source["name"], &source["rows_max"], &source["insertable"]),
        (&json!("store"), &json!(3), &json!(true))
    );
    let tables = child.call("list_tables", &json!({}));
    assert_eq!(tables["result"]["structuredContent"]["tables"].as_array().unwrap().len(), 2);
    let rows = child.call("query_database", &json!({ "sql": "SELECT id FROM orders" }));
    assert_eq!(rows["result"]["structuredContent"]["row_count"], 3);
    assert_eq!(child.ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len(), 7);
    assert_eq!(child.leave(), Some(0));
}

#[test]
fn database_is_taken_from_the_environment() {
    let shop = Shop::new();
    let mut command = child::program();
    command.arg("db").env("PATCHBAY_TOOLS_DATABASE", shop.database());
    let mut child = Child::start(&mut command);
    child.initialize();
    let answer = child.call("list_tables", &json!({}));
    assert_eq!(answer["result"]["isError"], false);
    assert_eq!(child.leave(), Some(0));
}

#[test]
fn weather_is_served_without_options() {
    let mut command = child::program();
    let mut child = Child::start(command.arg("weather"));
    child.initialize();
    let tools = child.ask("tools/list", json!({}));
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 3);
    assert_eq!(child.leave(), Some(0));
}

#[test]
fn sample_is_made_once_and_then_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    let make = || {
        let made = child::program().args(["sample", "--database"]).arg(&database).output().unwrap();
        assert!(made.status.success() && made.stdout.is_empty());
        String::from_utf8(made.stderr).unwrap()
    };
    assert!(make().contains("is made"));
    assert!(make().contains("left as it is"));
}
