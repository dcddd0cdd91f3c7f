//! What becomes of a statement: names folded, quoted and qualified, functions and types under their schema, and nothing
//! else changed.

use std::collections::BTreeSet;

use patchbay_sql_policy::{
    Kind, Rule, TableName, Tables,
    invariants::{Shop, with_stack},
    judge,
};

#[track_caller]
fn becomes(sql: &'static str, expected: &str) {
    let written = with_stack(move || judge(sql, &Shop).map(|judged| judged.sql));
    assert_eq!(written.as_deref(), Ok(expected), "{sql}");
}

#[test]
fn tables_get_their_schema_and_columns_stay_as_they_are() {
    becomes("select ID from Orders", r#"SELECT "id" FROM "app"."orders""#);
    becomes("SELECT o.id FROM APP.orders o", r#"SELECT "o"."id" FROM "app"."orders" AS "o""#);
    becomes("SELECT app.orders.id FROM orders", r#"SELECT "app"."orders"."id" FROM "app"."orders""#);
    becomes(
        "SELECT orders.* FROM orders, products AS p (a)",
        r#"SELECT "orders".* FROM "app"."orders", "app"."products" AS "p" ("a")"#,
    );
    becomes("TABLE orders", r#"SELECT * FROM "app"."orders""#);
}

#[test]
fn names_of_with_are_left_alone_where_they_are_in_sight() {
    becomes(
        "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders, app.orders o",
        r#"WITH "orders" AS (SELECT * FROM "app"."orders") SELECT * FROM "orders", "app"."orders" AS "o""#,
    );
    becomes(
        "SELECT * FROM (WITH orders AS (SELECT 1) SELECT * FROM orders) x, orders",
        r#"SELECT * FROM (WITH "orders" AS (SELECT 1) SELECT * FROM "orders") AS "x", "app"."orders""#,
    );
    becomes(
        "WITH RECURSIVE a AS (SELECT * FROM orders), orders AS (SELECT 1) SELECT 1 FROM a",
        r#"WITH RECURSIVE "a" AS (SELECT * FROM "orders"), "orders" AS (SELECT 1) SELECT 1 FROM "a""#,
    );
    becomes(
        "WITH a AS (SELECT * FROM orders), orders AS (SELECT 1) SELECT (SELECT max(id) FROM orders) FROM a",
        r#"WITH "a" AS (SELECT * FROM "app"."orders"), "orders" AS (SELECT 1) SELECT (SELECT pg_catalog."max"("id") FROM "orders") FROM "a""#,
    );
}

#[test]
fn functions_get_pg_catalog_and_constructs_of_the_grammar_do_not() {
    becomes("SELECT Lower('A'), count(*)", r#"SELECT pg_catalog."lower"('A'), pg_catalog."count"(*)"#);
    becomes("SELECT COALESCE(1), Nullif(1, 2), row(1)", "SELECT COALESCE(1), NULLIF(1, 2), ROW(1)");
    becomes("SELECT current_timestamp, CURRENT_TIME(2)", "SELECT CURRENT_TIMESTAMP, CURRENT_TIME(2)");
    becomes("SELECT 1 FROM unnest(ARRAY[1]) u", r#"SELECT 1 FROM pg_catalog."unnest"(ARRAY[1]) AS "u""#);
    becomes("SELECT 1 FROM unnest(ARRAY[1], ARRAY[2]) u", r#"SELECT 1 FROM unnest(ARRAY[1], ARRAY[2]) AS "u""#);
}

#[test]
fn types_are_written_by_the_grammar_or_with_pg_catalog() {
    becomes("SELECT 1::INT::Text", r#"SELECT 1 :: integer :: pg_catalog."text""#);
    becomes("SELECT CAST(1 AS numeric(5,2)[])", "SELECT CAST(1 AS numeric(5, 2)[])");
    becomes("SELECT date '2024-01-01'", r#"SELECT CAST('2024-01-01' AS pg_catalog."date")"#);
    becomes("SELECT '1'::timestamptz(3)", "SELECT '1' :: timestamp(3) with time zone");
}

#[test]
fn literals_have_one_reading_whatever_the_settings_are() {
    becomes(r"SELECT 'a''b', 'a\b', E'a\\b\'', $x$it's$x$", r"SELECT 'a''b', E'a\\b', E'a\\b''', 'it''s'");
    becomes(r#"SELECT 1 "a""b""#, r#"SELECT 1 AS "a""b""#);
    becomes("SELECT 1. FROM orders", r#"SELECT 1. FROM "app"."orders""#);
    becomes(
        "SELECT sum(id) OVER (ORDER BY id ROWS '2' PRECEDING) FROM orders",
        r#"SELECT pg_catalog."sum"("id") OVER (ORDER BY "id" ROWS ('2') PRECEDING) FROM "app"."orders""#,
    );
    becomes("SELECT - -1, 2 - -3, @ -5", "SELECT - - 1, 2 - - 3, @ - 5");
}

#[test]
fn explain_keeps_only_its_harmless_options() {
    becomes("explain verbose select 1", "EXPLAIN (VERBOSE true) SELECT 1");
    becomes("EXPLAIN (format 'JSON', costs off) SELECT 1", "EXPLAIN (FORMAT json, COSTS false) SELECT 1");
    let kind = with_stack(|| judge("EXPLAIN SELECT 1", &Shop).map(|judged| judged.kind));
    assert_eq!(kind, Ok(Kind::Explain));
}

#[test]
fn the_tables_and_the_highest_parameter_are_told() {
    let sql = "SELECT $2, $7 FROM orders JOIN app.products ON $3";
    let judged = with_stack(move || judge(sql, &Shop)).expect("it is accepted");
    assert_eq!(judged.params, 7);
    let table = |name: &str| TableName { schema: "app".to_owned(), name: name.to_owned() };
    assert_eq!(judged.tables, BTreeSet::from([table("orders"), table("products")]));
}

/// Finds everything in upper case.
struct Shouting;

impl Tables for Shouting {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        let upper = |name: &str| name.to_uppercase();
        Some(TableName { schema: schema.map_or_else(|| "APP".to_owned(), upper), name: upper(name) })
    }
}

#[test]
fn a_table_that_goes_by_another_name_keeps_the_name_it_was_called() {
    let written = with_stack(|| judge("SELECT orders.id FROM orders", &Shouting).map(|judged| judged.sql));
    assert_eq!(written.as_deref(), Ok(r#"SELECT "orders"."id" FROM "APP"."ORDERS" AS "orders""#));
}

/// Finds a table by its short name only.
struct Forgetful;

impl Tables for Forgetful {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        schema.is_none().then(|| TableName { schema: "app".to_owned(), name: name.to_owned() })
    }
}

#[test]
fn a_table_that_is_not_found_again_is_refused() {
    let refusal = with_stack(|| judge("SELECT 1 FROM orders", &Forgetful)).map_err(|refusal| refusal.rule);
    assert_eq!(refusal, Err(Rule::Unfaithful));
}
