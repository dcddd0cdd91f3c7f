//! Statements that nobody should get through with. Each is refused, or bounded where SQLite has to try it; afterwards the
//! folder has the same files with the same bytes, and no answer has told where they are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Shop, answer, is_error, query, text};

/// Refused before anything runs.
const REFUSED: &[&str] = &[
    // Other files.
    "ATTACH DATABASE 'other.db' AS other",
    "ATTACH 'file:other.db?mode=rwc' AS other",
    "ATTACH ':memory:' AS m",
    "ATTACH '/etc/passwd' AS p",
    "DETACH DATABASE main",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "VACUUM main INTO '/tmp/patchbay-copy.db'",
    // Settings.
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode = WAL",
    "PRAGMA database_list",
    "PRAGMA table_info(products)",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA main.user_version = 7",
    "PRAGMA hard_heap_limit = 0",
    "EXPLAIN PRAGMA database_list",
    "SELECT * FROM pragma_database_list",
    "SELECT file FROM pragma_database_list()",
    "SELECT count(*) FROM pragma_database_list",
    "SELECT * FROM pragma_table_info('secrets')",
    "SELECT * FROM pragma_function_list",
    "SELECT * FROM pragma_compile_options",
    // Several statements.
    "SELECT 1; DROP TABLE products",
    "SELECT 1; SELECT 2",
    "SELECT 1;;; ATTACH 'other.db' AS o",
    "SELECT 1 /* ; */ ; /* x */ DELETE FROM products --",
    "SELECT ';'; DELETE FROM products",
    // Writes in every form.
    "INSERT INTO products (id) VALUES (99)",
    "INSERT INTO products SELECT * FROM products",
    "INSERT INTO products DEFAULT VALUES RETURNING *",
    "REPLACE INTO products (id) VALUES (1)",
    "UPDATE products SET price_cents = 0",
    "UPDATE products SET price_cents = 0 RETURNING id",
    "UPDATE OR REPLACE products SET id = 1",
    "DELETE FROM products",
    "DELETE FROM products WHERE id = 1 RETURNING *",
    "WITH x AS (SELECT 1) DELETE FROM products WHERE id IN x",
    "WITH x AS (SELECT 1) INSERT INTO products (id) SELECT * FROM x",
    "WITH x AS (DELETE FROM products RETURNING *) SELECT * FROM x",
    "EXPLAIN DELETE FROM products",
    "EXPLAIN QUERY PLAN UPDATE products SET id = 1",
    "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 1, 'x')",
    "UPDATE sqlite_schema SET sql = ''",
    // Structure, also temporary.
    "CREATE TABLE evil (x)",
    "CREATE TABLE evil AS SELECT * FROM products",
    "CREATE TEMP TABLE evil (x)",
    "CREATE TEMPORARY TABLE evil AS SELECT 1",
    "CREATE TABLE temp.evil (x)",
    "CREATE VIEW evil AS SELECT * FROM secrets",
    "CREATE TEMP VIEW evil AS SELECT * FROM secrets",
    "CREATE TRIGGER evil AFTER INSERT ON products BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER evil AFTER INSERT ON products BEGIN SELECT 1; END",
    "CREATE INDEX evil ON products (name)",
    "CREATE VIRTUAL TABLE evil USING fts5(x)",
    "CREATE VIRTUAL TABLE temp.evil USING dbstat",
    "DROP TABLE products",
    "DROP VIEW order_totals",
    "DROP INDEX orders_by_status",
    "ALTER TABLE products RENAME TO gone",
    "ALTER TABLE products ADD COLUMN evil",
    "ANALYZE",
    "REINDEX",
    "REINDEX products",
    // Transactions and locks.
    "BEGIN",
    "BEGIN IMMEDIATE",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT evil",
    "RELEASE evil",
    // Functions with reach, wherever an expression may stand.
    "SELECT load_extension('/tmp/evil.so')",
    "SELECT 1 ORDER BY load_extension('evil')",
    "SELECT 1 LIMIT load_extension('evil')",
    "SELECT count(*) FILTER (WHERE load_extension('evil')) FROM products",
    "SELECT sum(id) OVER (ORDER BY load_extension('evil')) FROM products",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('evil', 'x')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT sqlite_compileoption_get(1)",
    "SELECT last_insert_rowid()",
    // Much out of nothing.
    "SELECT zeroblob(2000000000)",
    "SELECT hex(zeroblob(900000000))",
    "SELECT randomblob(2000000000)",
    "SELECT printf('%.*c', 2000000000, 'x')",
    "SELECT format('%2000000000d', 1)",
    "SELECT length(printf('%.*c', 100000000, 'x'))",
    // Tables that are not offered: directly, quoted, behind every kind of query, counted, and behind borrowed names.
    "SELECT * FROM secrets",
    "SELECT password FROM SECRETS",
    "SELECT \"password\" FROM \"secrets\"",
    "SELECT [password] FROM [main].[secrets]",
    "SELECT count(*) FROM secrets",
    "SELECT count(*) FROM main.secrets",
    "SELECT 1 FROM secrets LIMIT 1",
    "SELECT products.id FROM products, secrets",
    "SELECT id FROM products WHERE EXISTS (SELECT 1 FROM secrets)",
    "SELECT id FROM products WHERE 'hunter2' IN secrets",
    "SELECT (SELECT password FROM secrets)",
    "SELECT id FROM products UNION SELECT password FROM secrets",
    "SELECT id FROM products ORDER BY (SELECT password FROM secrets)",
    "SELECT id FROM products LIMIT (SELECT length(password) FROM secrets)",
    "WITH products AS (SELECT password AS id FROM secrets) SELECT id FROM products",
    "WITH order_totals AS (SELECT password FROM secrets) SELECT * FROM order_totals",
    "WITH secrets AS (SELECT * FROM main.secrets) SELECT * FROM secrets",
    "WITH RECURSIVE c(x) AS (SELECT password FROM secrets UNION ALL SELECT x FROM c LIMIT 3) SELECT * FROM c",
    "SELECT rowid FROM secrets",
    "SELECT * FROM products NATURAL JOIN secrets",
    "SELECT secrets FROM secrets",
    "SELECT * FROM secret_view",
    "SELECT count(*) FROM secret_view",
    "SELECT * FROM lent_view",
    "SELECT name FROM sqlite_master",
    "SELECT sql FROM sqlite_schema",
    "SELECT count(*) FROM sqlite_schema",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM temp.sqlite_schema",
    "SELECT * FROM dbstat",
    "SELECT count(*) FROM dbstat",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM search",
    "SELECT * FROM search WHERE search MATCH 'x'",
    "SELECT * FROM search_content",
    // Not a statement at all.
    "",
    "   ",
    ";",
    "-- only a comment",
    "/* never closed",
    "SELECT 'never closed",
    "SELECT 1 \u{0} DROP TABLE products",
    "COPY products TO '/tmp/x'",
    ".dump",
    ".shell id",
];

/// SQLite begins these, and a bound ends them; none may answer with more than its bounds.
const BOMBS: &[&str] = &[
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT max(x) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c ORDER BY -x",
    "WITH RECURSIVE c(x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM c) SELECT length(x) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM c) SELECT x FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT group_concat(x) FROM c",
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT json_group_array(x) FROM c",
    "SELECT count(*) FROM order_items a, order_items b, order_items c, order_items d, order_items e, order_items f",
    "SELECT * FROM orders a, orders b, orders c, orders d ORDER BY a.note, b.note, c.note, d.note",
    "WITH big(t) AS (SELECT replace(hex(replace(hex('aaaaaaaaaaaaaaaa'), '6', 'xxxxxxxx')), '7', 'yyyyyyyyyyyyyyyy')), \
     c(n, t) AS (SELECT 1, t FROM big UNION SELECT n + 1, t || n FROM c) SELECT count(*) FROM c",
    "SELECT replace(replace(replace(replace('aaaaaaaaaaaaaaaa', 'a', 'bbbbbbbbbbbbbbbb'), 'b', 'cccccccccccccccccccc'), \
     'c', 'dddddddddddddddddddd'), 'd', 'eeeeeeeeeeeeeeeeeeeee')",
    "SELECT (SELECT count(*) FROM orders a, orders b, orders c, orders d) FROM orders x, orders y, orders z",
];

async fn guarded_shop() -> (Shop, crate::Client) {
    let shop = Shop::new();
    shop.execute(
        "CREATE TABLE secrets (name TEXT, password TEXT);
         INSERT INTO secrets VALUES ('root', 'hunter2');
         CREATE VIEW secret_view AS SELECT * FROM secrets;
         CREATE VIEW lent_view AS SELECT * FROM secrets;
         CREATE VIRTUAL TABLE search USING fts5(body);
         INSERT INTO search VALUES ('hunter2');",
    );
    let tables = ["products", "orders", "order_items", "order_totals", "lent_view"];
    let client = shop.client(json!({ "tables": tables, "timeout_ms": 700 })).await;
    (shop, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_are_refused_and_leave_no_trace() {
    let (shop, client) = guarded_shop().await;
    let before = shop.files();
    let folder = shop.folder.path().to_str().unwrap();
    assert!(REFUSED.len() >= 100);
    for sql in REFUSED {
        let result = query(&client, sql).await;
        assert!(is_error(&result), "accepted: {sql}\n{}", text(&result));
        assert!(result.structured_content.is_none(), "{sql}");
        assert!(!text(&result).contains(folder), "told where the files are: {sql}\n{}", text(&result));
        assert!(!text(&result).contains("hunter2"), "{sql}\n{}", text(&result));
    }
    assert_eq!(shop.files(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_end_by_a_bound_and_the_source_answers_afterwards() {
    let (shop, client) = guarded_shop().await;
    let before = shop.files();
    for sql in BOMBS {
        let started = Instant::now();
        let result = query(&client, sql).await;
        assert!(started.elapsed() < Duration::from_secs(4), "took {:?}: {sql}", started.elapsed());
        if is_error(&result) {
            let said = text(&result);
            let known = ["SQLITE_INTERRUPT", "SQLITE_NOMEM", "SQLITE_TOOBIG"].iter().any(|code| said.starts_with(code));
            assert!(known, "{sql}\n{said}");
        } else {
            assert_eq!(answer(&result)["truncated"], true, "{sql}");
            assert!(text(&result).len() < 1_200_000, "{sql}");
        }
        assert!(!is_error(&query(&client, "SELECT 1").await), "the source is gone after: {sql}");
    }
    assert_eq!(shop.files(), before);
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
        assert!(started.elapsed() < Duration::from_secs(4), "took {:?}: {begins}", started.elapsed());
    }
    assert!(!is_error(&query(&client, "SELECT 1").await));
    assert_eq!(shop.files(), before);
}

#[tokio::test]
async fn refusals_give_a_code_and_a_hint() {
    let (_shop, client) = guarded_shop().await;
    for (sql, code, hint) in [
        ("DELETE FROM products", "SQLITE_AUTH", "SELECT"),
        ("SELECT * FROM secrets", "SQLITE_AUTH", "list_tables"),
        ("SELECT printf('x')", "SQLITE_AUTH", "functions"),
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
