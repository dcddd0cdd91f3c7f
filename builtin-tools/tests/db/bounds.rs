//! What bounds an answer: rows, bytes, cells, time; and how the options that set them are refused.

use std::time::{Duration, Instant};

use patchbay_builtin_tools::{Builtin, Given, OffLimits, OptionsError, db};
use rmcp::ServiceExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{Shop, answer, call, is_error, query, text};

const ENDLESS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_query_ends_by_its_deadline() {
    let shop = Shop::new();
    let client = shop.client(json!({ "timeout_ms": 300 })).await;
    let started = Instant::now();
    let result = query(&client, ENDLESS).await;
    assert!(is_error(&result));
    assert_eq!(
        text(&result),
        "TIMEOUT: The query did not finish within 300 ms. Filter earlier, join fewer rows, aggregate, or end a \
         recursive query with a LIMIT."
    );
    assert!(started.elapsed() >= Duration::from_millis(300) && started.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_inside_one_long_call_of_a_function_is_left_behind_and_others_are_answered() {
    let shop = Shop::new();
    let client = shop.client(json!({ "timeout_ms": 200 })).await;
    // A needle that almost fits at every place of a haystack near the longest value: seconds in one uninterruptible call.
    let halves = "WITH RECURSIVE c(t) AS (SELECT 'aaaaaaaa' UNION ALL SELECT t || t FROM c WHERE length(t) < 400000) \
                  SELECT instr(t, substr(t, 1, length(t) / 2) || 'b') FROM (SELECT max(t) AS t FROM c)";
    let started = Instant::now();
    let result = query(&client, halves).await;
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    if is_error(&result) {
        assert!(text(&result).starts_with("TIMEOUT"), "{}", text(&result));
    }
    assert!(!is_error(&query(&client, "SELECT 1").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_query_frees_its_place_at_once() {
    let shop = Shop::new();
    let explorer = shop.explorer(&json!({ "timeout_ms": 60_000 }));
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { explorer.serve(far).await.unwrap().waiting().await });
    let (read, mut write) = tokio::io::split(near);
    let mut lines = BufReader::new(read).lines();
    // Lines of our own: rmcp's client sends each message from a task of its own, so that a cancellation can overtake the
    // request that it is about, and is then about nothing.
    let client = json!({ "name": "test", "version": "1" });
    let version = "2025-11-25";
    let initialize = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
    let mut script = vec![
        json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": initialize }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
    ];
    let call = |id: u32, sql: &str| {
        let params = json!({ "name": "query_database", "arguments": { "sql": sql } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    // Four run at once; if a cancelled one kept its place, the last would wait a minute.
    for id in 1..=5 {
        script.push(call(id, ENDLESS));
        script.push(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } }));
    }
    script.push(call(6, "SELECT 1"));
    let started = Instant::now();
    for message in script {
        write.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }
    let last = loop {
        let answer: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        if answer["id"] == 6 {
            break answer;
        }
    };
    assert_eq!(last["result"]["structuredContent"]["rows"], json!([[1]]), "{last}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn answer_of_too_many_rows_says_so() {
    let shop = Shop::new();
    let client = shop.client(json!({ "rows_max": 10 })).await;
    let result = query(&client, "SELECT id FROM products").await;
    let whole = answer(&result);
    assert_eq!((&whole["row_count"], &whole["truncated"]), (&json!(10), &json!(true)));
    assert!(whole["note"].as_str().unwrap().contains("more than these 10 rows"));
    let exact = query(&client, "SELECT id FROM products LIMIT 10").await;
    assert_eq!(answer(&exact)["truncated"], false);
    let fewer = call(&client, "query_database", json!({ "sql": "SELECT id FROM products", "limit": 3 })).await;
    assert_eq!(answer(&fewer)["row_count"], 3);
    let no_more = call(&client, "query_database", json!({ "sql": "SELECT id FROM products", "limit": 10_000 })).await;
    assert_eq!(answer(&no_more)["row_count"], 10);
}

#[tokio::test]
async fn answer_of_too_many_bytes_ends_or_is_cut_and_says_so() {
    let shop = Shop::new();
    let client = shop.client(json!({ "bytes_max": 4096, "rows_max": 10_000 })).await;
    let long = "WITH RECURSIVE c(t) AS (SELECT 'ab\"' UNION ALL SELECT t || t FROM c WHERE length(t) < 100000)";
    for sql in [
        "SELECT a.*, b.* FROM products a, products b".to_owned(),
        format!("{long} SELECT t FROM c"),
        format!("{long} SELECT max(t), max(t), max(t) FROM c"),
        format!("{long} SELECT replace(max(t), '\"', char(1)) FROM c"),
        format!("{long} SELECT CAST(max(t) AS BLOB) FROM c, products a, products b GROUP BY a.id, b.id"),
    ] {
        let result = query(&client, &sql).await;
        let rows = answer(&result)["rows"].to_string();
        assert!(rows.len() <= 4096 + 2, "{} bytes: {sql}", rows.len());
        assert_eq!(answer(&result)["truncated"], true, "{sql}");
        assert!(answer(&result)["note"].is_string(), "{sql}");
    }
}

#[test]
fn wrong_options_are_refused_in_words() {
    let shop = Shop::new();
    let path = shop.database();
    let said = |options: Value| db(&Given::of(options)).unwrap_err().to_string();
    assert!(said(json!({})).contains("missing field `database`"));
    assert!(said(json!(null)).contains("Expected an object with: database"));
    assert!(said(json!({ "database": path, "row_max": 1 })).contains("unknown field `row_max`"));
    assert!(said(json!({ "database": path, "rows_max": 0 })).contains("`rows_max` is 0"));
    assert!(said(json!({ "database": path, "timeout_ms": 3_600_000 })).contains("from 10 to 60000"));
    assert!(said(json!({ "database": path, "tables": ["products", "nowhere"] })).contains("\"nowhere\""));
    assert!(said(json!({ "database": path, "tables": ["sqlite_schema"] })).contains("no table or view"));
    assert!(said(json!({ "database": path, "source": "../x" })).contains("`source`"));
    assert!(said(json!({ "database": "file:shop.db?mode=rwc" })).contains("cannot be opened"));
    assert!(said(json!({ "database": ":memory:" })).contains("cannot be opened"));
    assert!(said(json!({ "database": shop.folder.path() })).contains("not a regular file"));
    std::fs::write(shop.folder.path().join("text.db"), "this is no database, and long enough to look at".repeat(50))
        .unwrap();
    assert!(said(json!({ "database": shop.folder.path().join("text.db") })).contains("not a database"));
    assert_eq!(shop.files().len(), 2);
}

#[cfg(unix)]
#[test]
fn file_of_the_gateway_is_no_source_under_any_name() {
    let shop = Shop::new();
    let (database, link) = (shop.database(), shop.folder.path().join("link.db"));
    std::os::unix::fs::symlink(&database, &link).unwrap();
    let hard = shop.folder.path().join("hard.db");
    std::fs::hard_link(&database, &hard).unwrap();
    let kind = Builtin::find("db").unwrap();
    let off_limits = OffLimits { files: vec![database.clone()], databases: Vec::new() };
    for name in [&database, &link, &hard] {
        let refused = kind.build(&Given { off_limits: off_limits.clone(), ..Given::of(json!({ "database": name })) });
        assert!(matches!(refused, Err(OptionsError::OffLimits)), "{name:?}");
    }
    assert!(kind.build(&Given::of(json!({ "database": link }))).is_ok());
}

#[tokio::test]
async fn source_that_went_away_is_an_error_without_its_path() {
    let shop = Shop::new();
    let client = shop.client(json!({})).await;
    std::fs::remove_file(shop.database()).unwrap();
    let result = query(&client, "SELECT 1").await;
    assert!(is_error(&result));
    assert!(text(&result).starts_with("UNAVAILABLE"), "{}", text(&result));
    assert!(!text(&result).contains("shop.db"));
    assert!(shop.files().is_empty());
}
