//! What is said when a statement fails: the place and the sort of it, and never what stands in the rows.

use super::*;

const SECRET: &str = "hunter2-in-a-cell";

#[tokio::test]
async fn errors_name_no_value_of_a_row() {
    tell(async |place: Arc<Place>| {
        place
            .run(&format!(
                "CREATE TABLE app.t AS SELECT '{SECRET}'::text AS note, 0 AS zero, 987654321 AS number; \
                 CREATE TYPE app.mood AS ENUM ('sad'); \
                 CREATE FUNCTION app.fail(t text) RETURNS int LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'found %', t USING HINT = t, DETAIL = t; END $$"
            ))
            .await;
        let source = place.open();
        for (sql, code) in [
            ("SELECT note::int FROM app.t", "22P02"),
            ("SELECT note::date FROM app.t", "22007"),
            ("SELECT note::json FROM app.t", "22P02"),
            ("SELECT note::uuid FROM app.t", "22P02"),
            ("SELECT note::app.mood FROM app.t", "22P02"),
            ("SELECT note::inet FROM app.t", "22P02"),
            ("SELECT note::bit(3) FROM app.t", "22P02"),
            ("SELECT to_number(note, '9') FROM app.t", "22P02"),
            ("SELECT to_date(note, 'YYYY') FROM app.t", "22007"),
            ("SELECT number / zero FROM app.t", "22012"),
            ("SELECT (number * number)::int FROM app.t", "22003"),
            ("SELECT number::smallint FROM app.t", "22003"),
            ("SELECT app.fail(note) FROM app.t", "P0001"),
            ("SELECT note ~ ('(' || note) FROM app.t", "2201B"),
            ("SELECT (SELECT note FROM app.t UNION ALL SELECT note FROM app.t) FROM app.t", "21000"),
        ] {
            let told = refusal(&source, sql).await;
            assert!(told.starts_with(code), "{sql}: {told}");
            assert!(!told.contains("hunter2") && !told.contains("987654321"), "{sql}: {told}");
        }
    })
    .await;
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_where() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.orders (id int, city text, updated_at date)").await;
        place.run("CREATE TABLE app.closed (id int)").await;
        place.run(&format!("REVOKE ALL ON app.closed FROM {}", place.name)).await;
        let source = place.open();
        for (sql, expected) in [
            ("SELECT updatd_at FROM app.orders", "42703: There is no such column near `updatd_at`."),
            ("SELECT 'é' || o.\"City\" FROM app.orders o", "42703: There is no such column near `o.\"City\"`."),
            ("SELECT * FROM app.nothing", "42P01: There is no such table or view near `app.nothing`."),
            ("SELECT * FROM app.closed", "NOT_ALLOWED:"),
            ("SELECT lenght(city) FROM app.orders", "42883: There is no function"),
            ("SELECT id || 1 FROM app.orders", "42883: There is no function or operator"),
            ("SELECT city, count(*) FROM app.orders", "42803:"),
            (
                "SELECT id FROM app.orders a, app.orders b",
                "42702: The column's name fits more than one column near `id`.",
            ),
            ("SELECT 1 FROM app.orders, app.orders", "42712:"),
            ("SELECT id FROM app.orders WHERE city", "42804:"),
            ("SELECT 'x'::moood", "42704:"),
            ("SELEC 1", "42601: PostgreSQL does not understand the statement near `SELEC`."),
            ("SELECT 1 FROM", "42601:"),
            ("SELECT 1 LIMIT -1", "2201W:"),
            ("SELECT date '2024-02-30'", "22008: A date, time or interval is out of range near `'2024-02-30'`."),
            ("SELECT row_number() OVER () FROM app.orders WHERE row_number() OVER () = 1", "42P20:"),
            ("SELECT DISTINCT id FROM app.orders ORDER BY city", "42P10:"),
            ("SELECT id FROM app.orders UNION SELECT city FROM app.orders", "42804:"),
            ("SELECT id FROM app.orders UNION SELECT id, city FROM app.orders", "42601:"),
            ("SELECT * FROM app.orders FOR UPDATE", "NOT_ALLOWED:"),
        ] {
            let told = refusal(&source, sql).await;
            assert!(told.starts_with(expected), "{sql}: {told}");
        }
    })
    .await;
}

#[tokio::test]
async fn unexpected_error_has_a_number_for_the_operator() {
    tell(async |place: Arc<Place>| {
        place
            .run(
                "CREATE FUNCTION app.odd() RETURNS int LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'inner words' USING ERRCODE = 'XX001'; END $$",
            )
            .await;
        let told = refusal(&place.open(), "SELECT app.odd()").await;
        assert!(told.starts_with("XX001: The database could not run the statement (incident "), "{told}");
        assert!(!told.contains("inner words"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn values_that_do_not_fit_are_named_by_their_parameter() {
    tell(async |place: Arc<Place>| {
        let source = place.open();
        let told =
            async |sql: &str, params: Value| source.query(asked(sql, params), &cx()).await.unwrap_err().to_text();
        let text = told("SELECT $1::int + $2::int", json!([1, "two"])).await;
        assert!(
            text.starts_with("22P02: A value is not of the form that its type has (it is about parameter $2)."),
            "{text}"
        );
        let text = told("SELECT $1::int", json!([1, 2])).await;
        assert!(text.starts_with("INVALID_ARGUMENTS"), "{text}");
        let text = told("SELECT $1::text", json!(["a\0b"])).await;
        assert!(text.starts_with("INVALID_ARGUMENTS"), "{text}");
        let text = told("SELECT $2::int", json!([1, 2])).await;
        assert!(text.starts_with("42P18: The type of a parameter"), "{text}");
        let text = told("SELECT $1::int[]", json!([[1, "x"]])).await;
        assert!(text.starts_with("22P02") && text.contains("$1"), "{text}");
    })
    .await;
}
