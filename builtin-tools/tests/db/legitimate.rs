//! Queries that people and models write (`corpus/sqlite_legitimate.sql`), many of which filters that look for words refuse. All of
//! them are answered, with the rows that SQLite gives where nobody stands in between.

use rusqlite::{Connection, types::ValueRef};
use serde_json::{Value, json};

use crate::{Shop, answer, call, corpus, is_error, query, text};

const OFFERED: &[&str] =
    &["products", "orders", "order_items", "order_totals", "group", "odd; \"name\" --", "mixed", "made"];

/// The rows as SQLite gives them without a fence, as cells.
fn plainly(conn: &Connection, sql: &str) -> Value {
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..columns).map(|index| row.get_ref(index).map(cell)).collect::<Result<Value, _>>())
        .unwrap();
    rows.collect::<Result<Value, _>>().unwrap()
}

fn cell(value: ValueRef<'_>) -> Value {
    const EXACT: i64 = (1 << 53) - 1;
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) if (-EXACT..=EXACT).contains(&number) => number.into(),
        ValueRef::Integer(number) => number.to_string().into(),
        ValueRef::Real(number) if number.is_finite() => number.into(),
        ValueRef::Real(number) => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).unwrap().into(),
        ValueRef::Blob(bytes) => {
            let hex = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect::<String>();
            let more = if bytes.len() > 64 { "…" } else { "" };
            format!("<blob of {} bytes: {hex}{more}>", bytes.len()).into()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legitimate_queries_give_the_rows_of_sqlite_and_leave_no_trace() {
    let shop = Shop::new();
    shop.execute(corpus::ODD_TABLES);
    let before = shop.files();
    let plain = Connection::open(shop.database()).unwrap();
    let open = shop.client(json!({})).await;
    let listed = shop.client(json!({ "tables": OFFERED })).await;
    let cases = corpus::legitimate();
    assert!(cases.len() >= 60);
    let mut wrong = Vec::new();
    for case in &cases {
        let expected = plainly(&plain, case.sql);
        for client in [&open, &listed] {
            let result = query(client, case.sql).await;
            if is_error(&result) {
                wrong.push(format!("{}: {}", case.name, text(&result)));
            } else if answer(&result)["rows"] != expected {
                wrong.push(format!("{}: {}\n  and plainly {expected}", case.name, answer(&result)["rows"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(shop.files(), before);
}

#[tokio::test]
async fn mistake_in_a_legitimate_query_is_told_and_not_refused() {
    let shop = Shop::new();
    let client = shop.client(json!({})).await;
    for (sql, said) in [
        ("SELECT name FROM products WHERE name GLOB 'T*' ESCAPE '\\'", "SQLITE_ERROR: wrong number of arguments"),
        ("SELECT nmae FROM products", "SQLITE_ERROR: no such column: nmae."),
        ("SELECT to_char(1)", "SQLITE_ERROR: no such function: to_char. Use SQLite's functions"),
        ("SELECT id, FROM products", "syntax error"),
        ("SELECT id FROM products o JOIN orders o ON 1", "ambiguous column name"),
    ] {
        let result = query(&client, sql).await;
        assert!(is_error(&result) && text(&result).contains(said), "{sql}\n{}", text(&result));
    }
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
            "types": [],
            "rows": [[1, "Walnut desk organiser", 34.9, null], [2, "Linen notebook A5", 12.9, null]],
            "row_count": 2,
            "truncated": false
        })
    );
    assert_eq!(serde_json::from_str::<serde_json::Value>(text(&result)).unwrap(), *answer(&result));
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
    let row = json!(["x'; DROP TABLE products --", "9007199254740993", 0.5, 1, "real", 0]);
    assert_eq!(answer(&result)["rows"][0], row);
    for (arguments, said) in [
        (json!({ "sql": "SELECT ?1" }), "1 parameters, and `params` has 0"),
        (json!({ "sql": "SELECT ?1", "params": [1, 2] }), "1 parameters, and `params` has 2"),
        (json!({ "sql": "SELECT ?1", "params": [{}] }), "entry 1 of the argument `params` is an object"),
        (
            json!({ "sql": "SELECT ?1", "params": [18_446_744_073_709_551_615_u64] }),
            "Value 1 of `params` is a whole number beyond",
        ),
        (json!({ "sql": "SELECT 1", "params": "x" }), "`params` is a text; expected a list"),
        (json!({ "sql": "SELECT 1", "database": "/etc/passwd" }), "no argument `database`"),
        (json!({}), "`sql` is missing"),
        (json!({ "sql": "SELECT 1", "limit": 0 }), "`limit` is 0"),
    ] {
        let result = call(&client, "query_database", arguments).await;
        assert!(is_error(&result));
        assert!(text(&result).contains(said), "{}", text(&result));
    }
}
