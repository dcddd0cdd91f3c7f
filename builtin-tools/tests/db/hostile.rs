//! Statements that nobody should get through with (`corpus/sqlite_hostile.sql`). Each is refused with the code that fits, or bounded
//! where SQLite has to try it; afterwards the folder has the same files with the same bytes, and no answer has told where
//! they are or what is in a table that is not offered.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Shop, answer, corpus, is_error, query, text};

/// The codes of what a bound has ended.
const BOUNDS: &[&str] = &["TIMEOUT: ", "TOO_LARGE: ", "SQLITE_TOOBIG: "];
/// Waiting for the bounds is what takes longest.
const SLOWEST: Duration = Duration::from_secs(4);

async fn guarded_shop() -> (Shop, crate::Client) {
    let shop = Shop::new();
    shop.execute(
        "CREATE TABLE secrets (name TEXT, password TEXT);
         INSERT INTO secrets VALUES ('root', 'hunter2');
         CREATE INDEX secrets_by_name ON secrets (name);
         CREATE VIEW secret_view AS SELECT * FROM secrets;
         CREATE VIEW lent_view AS SELECT * FROM secrets;
         CREATE TABLE json_tree (password);
         INSERT INTO json_tree VALUES ('hunter2');
         CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);
         INSERT INTO counted VALUES (NULL);
         CREATE VIRTUAL TABLE search USING fts5(body);
         INSERT INTO search VALUES ('hunter2');
         ANALYZE;",
    );
    let tables = ["products", "orders", "order_items", "order_totals", "lent_view"];
    let client = shop.client(json!({ "tables": tables, "timeout_ms": 700 })).await;
    (shop, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_are_refused_or_bounded_and_leave_no_trace() {
    let (shop, client) = guarded_shop().await;
    let before = shop.files();
    let folder = shop.folder.path().to_str().unwrap();
    let cases = corpus::hostile();
    assert!(cases.len() >= 150);
    let mut wrong = Vec::new();
    for case in &cases {
        let started = Instant::now();
        let result = query(&client, case.sql).await;
        let (said, took) = (text(&result), started.elapsed());
        let is_right = match case.expect {
            "BOUNDED" if is_error(&result) => BOUNDS.iter().any(|code| said.starts_with(code)),
            "BOUNDED" => answer(&result)["truncated"] == true && said.len() < 1_200_000,
            code => is_error(&result) && result.structured_content.is_none() && said.starts_with(&format!("{code}: ")),
        };
        let tells = said.contains(folder) || said.contains("hunter2");
        if !is_right || tells || took > SLOWEST {
            wrong.push(format!("{} ({}, took {took:?})\n  {:.300}", case.name, case.expect, said));
        }
        assert_eq!(shop.files(), before, "after: {}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!is_error(&query(&client, "SELECT 1").await));
}

#[tokio::test]
async fn text_with_a_nul_in_it_is_refused() {
    let (_shop, client) = guarded_shop().await;
    for sql in ["SELECT 1 \u{0} DROP TABLE products", "\u{0}", "SELECT 'a\u{0}b'"] {
        assert!(text(&query(&client, sql).await).starts_with("INVALID_ARGUMENTS: The SQL text has a NUL"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_monstrous_shape_are_refused_and_not_fatal() {
    let (shop, client) = guarded_shop().await;
    let before = shop.files();
    let monsters = [
        format!("SELECT {}1", "1+".repeat(30_000)),
        format!("SELECT {}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("SELECT {}1", "NOT ".repeat(15_000)),
        format!("SELECT {}1", "- ".repeat(30_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000)),
        format!("SELECT 1{}", ";SELECT.1".repeat(7_000)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(4_000), ")".repeat(4_000)),
        format!("SELECT {}1", "1,".repeat(3_000)),
        format!("SELECT coalesce(1{})", ",1".repeat(2_000)),
        format!("SELECT * FROM orders{}", ", orders".repeat(100)),
        format!("SELECT 'a' LIKE '{}'", "%a".repeat(1_000)),
        format!("SELECT ?32766, {}1", "?,".repeat(400)),
        format!("SELECT '{}'", "x".repeat(70_000)),
        format!(
            "WITH {} SELECT 1 FROM c0",
            (0..3_000).map(|n| format!("c{n} AS (SELECT 1)")).collect::<Vec<_>>().join(",")
        ),
    ];
    for sql in monsters {
        let started = Instant::now();
        let result = query(&client, &sql).await;
        let begins: String = sql.chars().take(60).collect();
        assert!(is_error(&result) || answer(&result)["row_count"] == 1, "accepted: {begins}");
        assert!(started.elapsed() < Duration::from_secs(20), "took {:?}: {begins}", started.elapsed());
    }
    assert!(!is_error(&query(&client, "SELECT 1").await));
    assert_eq!(shop.files(), before);
}

#[tokio::test]
async fn refusals_give_a_code_and_a_hint() {
    let (_shop, client) = guarded_shop().await;
    for (sql, code, hint) in [
        ("DELETE FROM products", "NOT_ALLOWED", "SELECT"),
        ("SELECT * FROM secrets", "NOT_ALLOWED", "list_tables"),
        ("SELECT printf('x')", "NOT_ALLOWED", "functions"),
        ("SELECT colour FROM products", "SQLITE_ERROR: no such column: colour.", "describe_table"),
        ("SELECT * FROM nowhere", "SQLITE_ERROR: no such table: nowhere.", "list_tables"),
        ("SELEC 1", "SQLITE_ERROR: near \"SELEC\": syntax error.", "syntax"),
        ("SELECT 1; SELECT 2", "INVALID_ARGUMENTS", "one statement"),
        ("SELECT name FROM products WHERE name = \"Pepper mill\"", "SQLITE_ERROR", "single quotes"),
    ] {
        let result = query(&client, sql).await;
        assert!(text(&result).starts_with(code), "{sql}\n{}", text(&result));
        assert!(text(&result).contains(hint), "{sql}\n{}", text(&result));
    }
}
