//! Queries that are fine: their shape, their order, their parameters, their plans.

use super::*;

#[tokio::test]
async fn order_of_the_query_is_the_order_of_the_answer() {
    tell(async |place: Arc<Place>| {
        place
            .run("CREATE TABLE app.t AS SELECT g AS id, (g * 7919) % 10007 AS mixed FROM generate_series(1, 5000) g")
            .await;
        let source = place.source(&[Layer::Judge], json!({ "rows_max": 5000 }));
        for sql in [
            "SELECT mixed FROM app.t ORDER BY mixed DESC",
            "SELECT mixed::numeric FROM app.t ORDER BY mixed DESC",
            "SELECT a.mixed FROM app.t a JOIN app.t b ON a.id = b.id ORDER BY 1 DESC",
            "SELECT DISTINCT mixed FROM app.t ORDER BY 1 DESC LIMIT 4000",
        ] {
            let answer = query(&source, sql).await.unwrap();
            let cells: Vec<i64> = answer
                .rows
                .iter()
                .map(|row| row[0].as_i64().unwrap_or_else(|| row[0].as_str().unwrap().parse().unwrap()))
                .collect();
            assert!(cells.len() >= 4000 && cells.is_sorted_by(|a, b| a >= b), "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn odd_queries_are_queries() {
    tell(async |place: Arc<Place>| {
        place
            .run("CREATE TABLE app.\"Odd \"\"name\" (\"from\" int, \"a b\" int, \"é\" int, c1 int, q int, i int)")
            .await;
        place.run("INSERT INTO app.\"Odd \"\"name\" VALUES (1, 2, 3, 4, 5, 6)").await;
        let source = place.open();
        for (sql, columns, expected) in [
            (
                "SELECT * FROM app.\"Odd \"\"name\" -- the end",
                json!(["from", "a b", "é", "c1", "q", "i"]),
                json!([[1, 2, 3, 4, 5, 6]]),
            ),
            ("SELECT 1, 2, 1 AS x, 2 AS x", json!(["?column?", "?column?", "x", "x"]), json!([[1, 2, 1, 2]])),
            ("SELECT FROM app.\"Odd \"\"name\"", json!([]), json!([[]])),
            ("VALUES (1, 'a'), (2, NULL)", json!(["column1", "column2"]), json!([[1, "a"], [2, null]])),
            ("TABLE app.\"Odd \"\"name\"", json!(["from", "a b", "é", "c1", "q", "i"]), json!([[1, 2, 3, 4, 5, 6]])),
            ("SELECT 1 AS a UNION ALL SELECT 2 ORDER BY 1 DESC", json!(["a"]), json!([[2], [1]])),
            (
                "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n FROM t",
                json!(["n"]),
                json!([[1], [2], [3]]),
            ),
            (
                "SELECT q.q, i.i, c1 FROM app.\"Odd \"\"name\" q, LATERAL (SELECT q.i) i",
                json!(["q", "i", "c1"]),
                json!([[5, 6, 4]]),
            ),
            ("(SELECT 1) /* a /* nested */ comment */", json!(["?column?"]), json!([[1]])),
            ("SELECT 1 WHERE false", json!(["?column?"]), json!([])),
        ] {
            let answer = query(&source, sql).await.unwrap_or_else(|error| panic!("{sql}: {}", error.to_text()));
            assert_eq!((json!(answer.columns), json!(answer.rows)), (columns, expected), "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn expression_is_worked_out_once() {
    tell(async |place: Arc<Place>| {
        // It says how often it was called; with its text and the test for NULL it could be twice.
        place
            .run(
                "CREATE FUNCTION app.counted() RETURNS numeric STABLE LANGUAGE plpgsql AS $$ BEGIN \
                 RETURN set_config('app.n', (coalesce(nullif(current_setting('app.n', true), ''), '0')::int + 1)::text, true); \
                 END $$",
            )
            .await;
        let source = place.open();
        assert_eq!(rows(&source, "SELECT app.counted()").await, json!([["1"]]));
        assert_eq!(rows(&source, "SELECT app.counted() FROM (VALUES (1), (2)) AS v").await, json!([["1"], ["2"]]));
    })
    .await;
}

#[tokio::test]
async fn parameters_take_what_json_has() {
    tell(async |place: Arc<Place>| {
        let source = place.open();
        for (sql, params, expected) in [
            ("SELECT $1", json!(["a'; DROP TABLE x; --"]), json!([["a'; DROP TABLE x; --"]])),
            ("SELECT $1::int + 1, $2::text, $3::bool", json!([41, "é\"\\", true]), json!([[42, "é\"\\", true]])),
            ("SELECT $1::int, $2::text", json!([null, null]), json!([[null, null]])),
            ("SELECT $1::text, $2::numeric", json!([5, 1.5]), json!([["5", "1.5"]])),
            ("SELECT $1::jsonb, $2::jsonb", json!([{"a": [1, null]}, [1, "x"]]), json!([[{"a": [1, null]}, [1, "x"]]])),
            (
                "SELECT $1::int[], $2::text[]",
                json!([[1, null, 3], ["a\"b", "NULL", "{}", ""]]),
                json!([[[1, null, 3], ["a\"b", "NULL", "{}", ""]]]),
            ),
            ("SELECT $1::int[]", json!([[[1, 2], [3, 4]]]), json!([[[[1, 2], [3, 4]]]])),
            ("SELECT 3 = ANY ($1)", json!([[1, 2, 3]]), json!([[true]])),
            (
                "SELECT $1::date + $2::int, $3::timestamptz",
                json!(["2024-02-28", 2, "2024-01-01T00:00:00+02:00"]),
                json!([["2024-03-01", "2023-12-31 22:00:00+00"]]),
            ),
            ("SELECT $1::bigint", json!([9_007_199_254_740_993_i64]), json!([["9007199254740993"]])),
            (
                "SELECT $1::numeric",
                json!(["12345678901234567890.123456789"]),
                json!([["12345678901234567890.123456789"]]),
            ),
        ] {
            let answer = source.query(asked(sql, params), &cx()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{sql}: {}", error.to_text()));
            assert_eq!(json!(answer.rows), expected, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn plan_is_shown_and_nothing_is_run() {
    tell(async |place: Arc<Place>| {
        place
            .run(
                "CREATE TABLE app.base AS SELECT g AS id, 'tenant-key-7' AS owner FROM generate_series(1, 100) g; \
                 CREATE VIEW app.mine AS SELECT id FROM app.base WHERE owner = 'tenant-key-7'; ANALYZE app.base",
            )
            .await;
        let source = place.open();
        let explained = async |sql: &str, params: Value| source.explain_query(asked(sql, params), &cx()).await.unwrap();
        let plan = explained("SELECT id FROM app.mine WHERE id > 5 AND id <> 77", json!([])).await;
        let text = plan.plan.join("\n");
        assert!(text.contains("Seq Scan") && !text.contains("tenant-key-7") && !text.contains("base"), "{text}");
        assert!(plan.rows_estimated.is_some() && plan.cost_estimated.is_some() && !plan.truncated);
        explained("EXPLAIN (COSTS OFF) SELECT pg_sleep(600)", json!([])).await;
        explained("SELECT $1::int", json!([1])).await;
        let rows = rows(&source, "EXPLAIN VERBOSE SELECT id FROM app.mine").await.to_string();
        assert!(rows.contains("Seq Scan") && !rows.contains("tenant-key-7") && !rows.contains("base"), "{rows}");
        let told = source.explain_query(asked("SELECT nothing", json!([])), &cx()).await.unwrap_err().to_text();
        assert!(told.starts_with("42703: There is no such column near `nothing`"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn tables_are_those_of_the_role_and_are_seen_soon_after_they_are_made() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.seen (id int); CREATE TABLE public.unlisted (id int)").await;
        let source = place.open();
        let names = source.table_names("", &cx()).await.unwrap();
        assert_eq!(names, ["seen"]);
        assert_eq!(source.describe_table("app.seen", &cx()).await.unwrap().name, "seen");
        assert!(matches!(source.describe_table("public.unlisted", &cx()).await, Err(QueryError::NoSuchTable)));
        place.run("CREATE TABLE app.later (id int)").await;
        wait_until("it is seen", async || source.describe_table("later", &cx()).await.is_ok()).await;
        source.check().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn table_that_the_judge_misses_is_looked_for_again_and_others_stay_closed() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.seen AS SELECT 1 AS id; CREATE TABLE public.unlisted AS SELECT 1 AS id").await;
        let source = place.source(&[], json!({}));
        assert_eq!(rows(&source, "SELECT id FROM seen").await, json!([[1]]));
        let told = refusal(&source, "SELECT id FROM later").await;
        assert!(told.starts_with("NOT_ALLOWED"), "{told}");
        place.run("CREATE TABLE app.later AS SELECT 2 AS id").await;
        // Sooner than what is known grows old.
        wait_until("it is read", async || query(&source, "SELECT id FROM later").await.is_ok()).await;
        for sql in ["SELECT id FROM public.unlisted", "SELECT rolname FROM pg_catalog.pg_roles", "SELECT pg_sleep(1)"] {
            let told = refusal(&source, sql).await;
            assert!(told.starts_with("NOT_ALLOWED"), "{sql}: {told}");
        }
    })
    .await;
}

#[tokio::test]
async fn source_without_a_table_is_told_to_the_operator() {
    tell(async |place: Arc<Place>| {
        let told = place.open().check().await.unwrap_err();
        assert!(told.contains("GRANT SELECT"), "{told}");
    })
    .await;
}
