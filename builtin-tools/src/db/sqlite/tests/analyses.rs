//! Analyses and plans: exact where tables are small, honest where they are not, and never past the fence or the deadline.

use serde_json::json;

use super::*;

async fn analyze(source: &SqliteSource, table: &str, columns: &[&str]) -> Result<Value, QueryError> {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let analysis = source.analyze_table(table, &columns, &cx()).await?;
    Ok(serde_json::to_value(analysis).unwrap())
}

fn column<'a>(analysis: &'a Value, name: &str) -> &'a Value {
    analysis["columns"].as_array().unwrap().iter().find(|column| column["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_columns_that_are_not_there_are_told() {
    let place = Place::shop();
    let source = place.source_of(Some(&["products", "order_totals"]), &[], 5_000);
    for (table, columns, said) in [
        ("orders", &[][..], "NO_SUCH_TABLE"),
        ("sqlite_schema", &[], "NO_SUCH_TABLE"),
        ("products", &["colour"], "no column `colour`"),
        ("products", &["id\") FROM orders --"], "no column"),
        // A view whose tables are not offered shows nothing.
        ("order_totals", &[], "NOT_ALLOWED"),
    ] {
        let refused = analyze(&source, table, columns).await.unwrap_err().to_text();
        assert!(refused.contains(said), "{table} {columns:?}\n{refused}");
    }
    let many: Vec<_> = std::iter::repeat_n("id", 101).collect();
    assert!(analyze(&source, "products", &many).await.unwrap_err().to_text().contains("at most 100"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_table_is_read_whole() {
    let place = Place::shop();
    let source = place.source();
    let analysis = analyze(&source, "orders", &[]).await.unwrap();
    assert_eq!((&analysis["rows"], &analysis["basis"]), (&json!(42), &json!("rows")));
    assert_eq!((&analysis["rows_estimated"], &analysis["rows_read"]), (&json!(false), &json!(42)));
    assert_eq!(analysis["note"], json!(null));
    let status = column(&analysis, "status");
    assert_eq!((&status["distinct"], &status["min"], &status["max"]), (&json!(4), &json!("new"), &json!("shipped")));
    assert_eq!((&status["null_share"], &status["samples"][0]), (&json!(0.0), &json!("shipped")));
    assert!((column(&analysis, "note")["null_share"].as_f64().unwrap() - 34.0 / 42.0).abs() < 1e-9);
    let narrow = analyze(&source, "main.Orders", &["CITY"]).await.unwrap();
    assert_eq!(narrow["columns"].as_array().unwrap().len(), 1);
    let view = analyze(&source, "order_totals", &["pieces"]).await.unwrap();
    assert_eq!((&view["rows"], &view["basis"]), (&json!(42), &json!("rows")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sort_of_value_and_table_is_analysed() {
    let place = Place::new(
        "CREATE TABLE mixed (a, b BLOB, rowid TEXT);
         INSERT INTO mixed VALUES (NULL, x'00ff', 'r'), (9007199254740993, NULL, 'r'), (1e999, zeroblob(500000), 's'),
                                  ('text', x'', NULL), (-1.5, x'00ff', '');
         INSERT INTO mixed VALUES ('long ' || hex(zeroblob(600000)), 1, 1);
         CREATE TABLE empty (a INTEGER PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE \"a \"\"b\"\" c\" (\"x \"\"y\" INT, oid, _rowid_, rowid);
         INSERT INTO \"a \"\"b\"\" c\" VALUES (1, 2, 3, 4);",
    );
    let source = place.source();
    let mixed = analyze(&source, "mixed", &[]).await.unwrap();
    let a = column(&mixed, "a");
    assert_eq!((&a["min"], &a["max"], &a["distinct"]), (&json!(-1.5), &json!("text"), &json!(5)));
    assert_eq!(column(&mixed, "b")["max"], "<blob of 2 bytes: 00ff>");
    assert!(mixed["note"].as_str().unwrap().starts_with("2 values of more than"), "{}", mixed["note"]);
    let empty = analyze(&source, "empty", &[]).await.unwrap();
    assert_eq!(
        (&empty["rows"], &empty["basis"], &empty["columns"][0]["samples"]),
        (&json!(0), &json!("rows"), &json!([]))
    );
    let odd = analyze(&source, "a \"b\" c", &[]).await.unwrap();
    assert_eq!((&odd["rows"], &column(&odd, "x \"y")["max"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_table_is_sampled_over_all_its_length_and_progress_is_told() {
    let place = Place::new(
        "CREATE TABLE big (id INTEGER PRIMARY KEY, third INT, half INT, rowid TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 120000)
         INSERT INTO big SELECT n * 7, n % 3, CASE WHEN n % 2 THEN n END, NULL FROM c;
         CREATE TABLE keyed (k INT PRIMARY KEY, v INT) WITHOUT ROWID;
         INSERT INTO keyed SELECT id, third FROM big;
         CREATE VIEW half_of AS SELECT id FROM big WHERE half IS NULL;",
    );
    let source = place.source();
    let told = Arc::new(Told::default());
    let progress: Arc<dyn Progress> = Arc::clone(&told) as _;
    let analysis = source.analyze_table("big", &[], &Cx::new(CancellationToken::new(), Some(progress))).await.unwrap();
    let analysis = serde_json::to_value(analysis).unwrap();
    assert_eq!((&analysis["rows"], &analysis["basis"]), (&json!(120_000), &json!("sample")));
    assert_eq!(analysis["rows_read"], 20_000);
    assert!(analysis["note"].as_str().unwrap().contains("sample"));
    assert_eq!(column(&analysis, "third")["distinct"], 3);
    assert_eq!(column(&analysis, "id")["distinct"], 120_000);
    assert!(column(&analysis, "id")["max"].as_i64().unwrap() > 120_000 * 7 * 9 / 10);
    let nulls = column(&analysis, "half")["null_share"].as_f64().unwrap();
    assert!((0.45..0.55).contains(&nulls), "{nulls}");
    {
        let told = told.0.lock().unwrap();
        assert!(!told.is_empty() && told.is_sorted_by_key(|(done, _)| *done), "{told:?}");
        assert!(told.iter().all(|(done, total)| done <= total), "{told:?}");
    }
    for name in ["keyed", "half_of"] {
        let analysis = analyze(&source, name, &[]).await.unwrap();
        assert_eq!((&analysis["basis"], &analysis["rows_read"]), (&json!("sample"), &json!(20_000)), "{name}");
        assert!(analysis["note"].as_str().unwrap().contains("first rows alone"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wide_table_is_analysed_in_parts_and_the_rest_of_the_schema_stays_usable() {
    let wide = (0..400).map(|n| format!("c{n} INT")).collect::<Vec<_>>().join(", ");
    let long = vec!["'x'"; 300].join(" || ");
    let place = Place::new(&format!(
        "CREATE TABLE wide ({wide}); INSERT INTO wide (c0, c399) VALUES (1, 2); CREATE VIEW long AS SELECT {long} AS x;"
    ));
    let source = place.source();
    let analysis = analyze(&source, "wide", &[]).await.unwrap();
    assert_eq!(analysis["columns"].as_array().unwrap().len(), 100);
    assert!(analysis["note"].as_str().unwrap().contains("first 100 of 400 columns"));
    let last = analyze(&source, "wide", &["c399"]).await.unwrap();
    assert_eq!(last["columns"][0]["max"], 2);
    for _ in 0..2 {
        assert_eq!(rows(&source, "SELECT c0, c399 FROM wide").await.unwrap(), [[json!(1), json!(2)]]);
        assert!(rows(&source, "SELECT * FROM wide").await.unwrap_err().to_text().contains("too many columns"));
        assert!(rows(&source, "SELECT * FROM long").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analysis_that_runs_out_of_time_tells_what_was_read() {
    let place = Place::new(
        "CREATE TABLE few (a);
         CREATE VIEW endless AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
             SELECT n FROM c WHERE n % 200000 = 0;
         CREATE VIEW silent AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0;",
    );
    let source = place.source_of(None, &[], 1_500);
    let analysis = analyze(&source, "endless", &[]).await.unwrap();
    assert_eq!((&analysis["basis"], &analysis["rows"]), (&json!("sample"), &json!(null)));
    assert!(analysis["rows_read"].as_u64().unwrap() > 0);
    assert!(analysis["note"].as_str().unwrap().contains("time for reading was over"), "{}", analysis["note"]);
    let silent = analyze(&source, "silent", &[]).await.unwrap();
    assert_eq!((&silent["rows_read"], &silent["columns"][0]["null_share"]), (&json!(0), &json!(null)));
    assert_eq!(rows(&source, "SELECT 1").await.unwrap(), [[json!(1)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_is_shown_and_passes_the_same_fence() {
    let place = Place::shop();
    let source = place.source_of(Some(&["products", "order_items"]), &[], 5_000);
    for (sql, said) in [
        ("DELETE FROM products", "NOT_ALLOWED"),
        ("SELECT * FROM orders", "NOT_ALLOWED"),
        ("SELECT load_extension('x')", "NOT_ALLOWED"),
        ("EXPLAIN SELECT 1", "Call explain_query"),
        ("QUERY PLAN SELECT 1", "syntax error"),
        ("SELECT 1; DELETE FROM products", "INVALID_ARGUMENTS"),
        ("PRAGMA table_list", "NOT_ALLOWED"),
        ("", "INVALID_ARGUMENTS"),
        ("EXPLAIN QUERY PLAN DELETE FROM products", "NOT_ALLOWED"),
    ] {
        let refused = source.explain_query(query(sql), &cx()).await.unwrap_err().to_text();
        assert!(refused.contains(said), "{sql}\n{refused}");
    }
    let join = "SELECT p.name FROM products p WHERE p.id IN (SELECT product_id FROM order_items WHERE quantity > ?1)";
    for sql in [join.to_owned(), format!("EXPLAIN QUERY PLAN {join}"), format!("-- why\n{join};")] {
        let plan = source.explain_query(query(&sql), &cx()).await.unwrap();
        assert!(plan.plan.iter().any(|line| line.contains("order_items")), "{:?}", plan.plan);
        assert!(plan.plan.iter().any(|line| line.starts_with("  ")), "{:?}", plan.plan);
    }
    let bound = Query { params: vec![json!(1)], ..query(join) };
    assert!(!source.explain_query(bound, &cx()).await.unwrap().plan.is_empty());
    let wrong = Query { params: vec![json!(1), json!(2)], ..query(join) };
    assert!(source.explain_query(wrong, &cx()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_legitimate_query_has_a_plan() {
    let place = Place::shop();
    place.execute(corpus::ODD_TABLES);
    let source = place.source();
    for case in corpus::legitimate() {
        let plan = source.explain_query(query(case.sql), &cx()).await;
        assert!(plan.is_ok(), "{}: {plan:?}", case.name);
    }
}
