//! Queries that people and models write, many of which filters that look for words refuse. All of them are answered.

use serde_json::json;

use crate::{Shop, answer, call, query};

const ACCEPTED: &[&str] = &[
    "SELECT * FROM products",
    "select name from PRODUCTS where ID = 1",
    "SELECT updated_at, created_at FROM orders",
    "SELECT note FROM orders WHERE note = 'drop shipping'",
    "SELECT 'DELETE FROM products; DROP TABLE orders' AS text",
    "SELECT count(*) AS \"delete\" FROM orders",
    "SELECT 1 AS \"update\", 2 AS [insert], 3 AS `drop`",
    "SELECT 1;",
    "SELECT 1 ;  -- with a comment; and a semicolon",
    "/* first */ SELECT /* in /* between */ 1 /* last */",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT count(*) FROM orders",
    "SELECT count(*) FROM main.orders",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)",
    "WITH c AS (SELECT 1) SELECT count(*) FROM c",
    "WITH c AS (SELECT id FROM products), d AS (SELECT id FROM c) SELECT c.id FROM c, d LIMIT 3",
    "WITH products AS (SELECT 7 AS id) SELECT id FROM products",
    "WITH RECURSIVE days(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM days WHERE n < 31) SELECT count(*), sum(n) FROM days",
    "WITH RECURSIVE fib(a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM fib LIMIT 20) SELECT a FROM fib",
    "SELECT status, count(*) FILTER (WHERE note IS NOT NULL) FROM orders GROUP BY status HAVING count(*) > 1",
    "SELECT name, rank() OVER (PARTITION BY category ORDER BY price_cents DESC) FROM products",
    "SELECT id, lag(price_cents) OVER w, ntile(4) OVER w FROM products WINDOW w AS (ORDER BY id ROWS 2 PRECEDING)",
    "SELECT customer, total_cents FROM order_totals ORDER BY total_cents DESC LIMIT 5 OFFSET 2",
    "SELECT count(*) FROM order_totals",
    "SELECT o.id, p.name FROM orders o JOIN order_items i ON i.order_id = o.id LEFT JOIN products p ON p.id = i.product_id",
    "SELECT * FROM orders NATURAL JOIN order_totals LIMIT 1",
    "SELECT id FROM products UNION SELECT id FROM orders EXCEPT SELECT 1 INTERSECT SELECT 2",
    "SELECT id FROM products WHERE id IN (SELECT product_id FROM order_items WHERE quantity > 2)",
    "SELECT (SELECT max(price_cents) FROM products), (SELECT min(price_cents) FROM products)",
    "SELECT name FROM products WHERE name LIKE '%pan%' OR name GLOB 'T*' ESCAPE '\\'",
    "SELECT upper(name) || ' ' || substr(sku, 1, 3), length(name), instr(name, 'e'), replace(name, 'a', 'b') FROM products",
    "SELECT strftime('%Y-%m', created_at) AS month, count(*) FROM orders GROUP BY 1 ORDER BY 1",
    "SELECT date('2026-01-31', '+1 month'), julianday('2026-01-01'), unixepoch('2026-01-01'), current_date",
    "SELECT json_object('id', id, 'name', name) FROM products",
    "SELECT json_group_array(name) FROM products",
    "SELECT '{\"a\":[1,2]}' -> '$.a', '{\"a\":[1,2]}' ->> '$.a[0]', json_extract('{\"a\":1}', '$.a')",
    "SELECT key, value FROM json_each('{\"a\":1,\"b\":2}')",
    "SELECT count(*) FROM json_tree('[1,[2,3]]')",
    "SELECT p.id, j.value FROM products p, json_each(json_array(p.id, p.stock)) j",
    "SELECT CAST('12' AS INTEGER), CAST(3 AS TEXT), typeof(1.5), round(2.567, 1), abs(-3), 7 % 3, 1 << 4",
    "SELECT CASE WHEN stock = 0 THEN 'none' ELSE 'some' END, coalesce(NULL, 1), iif(1, 'a', 'b'), nullif(1, 1) FROM products",
    "SELECT group_concat(name, ', ') FROM products GROUP BY category",
    "SELECT DISTINCT category COLLATE NOCASE FROM products ORDER BY 1 DESC NULLS LAST",
    "SELECT hex('abc'), quote('it''s'), char(65, 66), unicode('A'), x'0a0b'",
    "SELECT rowid, * FROM products LIMIT 1",
    "SELECT sum(quantity * price_cents) / 100.0, avg(quantity), total(quantity), min(quantity), max(quantity) FROM order_items",
    "EXPLAIN QUERY PLAN SELECT * FROM orders WHERE status = 'new'",
    "EXPLAIN SELECT 1",
    "SELECT * FROM (SELECT * FROM (SELECT id FROM products))",
    "SELECT (id, stock) = (1, 37) FROM products LIMIT 1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legitimate_queries_are_answered_and_leave_no_trace() {
    let shop = Shop::new();
    let before = shop.files();
    let client = shop.client(json!({})).await;
    let listed = shop.client(json!({ "tables": ["products", "orders", "order_items", "order_totals"] })).await;
    for sql in ACCEPTED {
        if sql.contains("ESCAPE") {
            // GLOB takes no ESCAPE; the line stands for a mistake that is told and not for a refusal.
            assert!(crate::text(&query(&client, sql).await).starts_with("SQLITE_ERROR"));
            continue;
        }
        answer(&query(&client, sql).await);
        answer(&query(&listed, sql).await);
    }
    assert_eq!(shop.files(), before);
}

#[tokio::test]
async fn answers_are_right() {
    let shop = Shop::new();
    let client = shop.client(json!({})).await;
    let result =
        query(&client, "SELECT id, name, price_cents / 100.0 AS price, NULL AS none FROM products WHERE id < 3").await;
    assert_eq!(
        *answer(&result),
        json!({
            "columns": ["id", "name", "price", "none"],
            "rows": [[1, "Walnut desk organiser", 34.9, null], [2, "Linen notebook A5", 12.9, null]],
            "row_count": 2,
            "truncated": false
        })
    );
    assert_eq!(serde_json::from_str::<serde_json::Value>(crate::text(&result)).unwrap(), *answer(&result));
}

#[tokio::test]
async fn parameters_are_bound_as_values_and_never_as_text() {
    let shop = Shop::new();
    let client = shop.client(json!({})).await;
    let arguments = json!({
        "sql": "SELECT ?1, ?2, ?3, ?4, typeof(?3), (SELECT count(*) FROM products WHERE name = ?1)",
        "params": ["x'; DROP TABLE products --", 9007199254740993_i64, 0.5, true]
    });
    let result = call(&client, "query_database", arguments).await;
    let row = json!(["x'; DROP TABLE products --", 9007199254740993_i64, 0.5, 1, "real", 0]);
    assert_eq!(answer(&result)["rows"][0], row);
    for (arguments, said) in [
        (json!({ "sql": "SELECT ?1" }), "1 parameters, and `params` has 0"),
        (json!({ "sql": "SELECT ?1", "params": [1, 2] }), "1 parameters, and `params` has 2"),
        (json!({ "sql": "SELECT ?1", "params": [{}] }), "no text, number, boolean or null"),
        (json!({ "sql": "SELECT 1", "params": "x" }), "arguments cannot be read"),
        (json!({ "sql": "SELECT 1", "database": "/etc/passwd" }), "unknown field"),
        (json!({}), "missing field `sql`"),
        (json!({ "sql": "SELECT 1", "limit": 0 }), "`limit` is 0"),
    ] {
        let result = call(&client, "query_database", arguments).await;
        assert!(crate::is_error(&result));
        assert!(crate::text(&result).contains(said), "{}", crate::text(&result));
    }
}
