//! What every type of PostgreSQL becomes, with the values that are easy to get wrong.

use super::*;

/// An expression, its type's name, and the cell.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("true", "boolean", json!(true)),
        ("NULL::bool", "boolean", json!(null)),
        ("'-32768'::int2", "smallint", json!(-32768)),
        ("'-2147483648'::int4", "integer", json!(-2_147_483_648_i64)),
        ("9007199254740991::int8", "bigint", json!(9_007_199_254_740_991_i64)),
        ("9223372036854775807::int8", "bigint", json!("9223372036854775807")),
        ("'-9223372036854775808'::int8", "bigint", json!("-9223372036854775808")),
        ("0.1::float4", "real", json!(0.1)),
        ("'-Infinity'::float4", "real", json!("-Infinity")),
        ("0.1::float8", "double precision", json!(0.1)),
        ("1e308::float8", "double precision", json!(1e308)),
        ("'NaN'::float8", "double precision", json!("NaN")),
        ("'Infinity'::float8", "double precision", json!("Infinity")),
        ("1.50::numeric", "numeric", json!("1.50")),
        (
            "1234567890123456789012345678901234567890.5::numeric",
            "numeric",
            json!("1234567890123456789012345678901234567890.5"),
        ),
        ("'NaN'::numeric", "numeric", json!("NaN")),
        ("'-Infinity'::numeric", "numeric", json!("-Infinity")),
        ("NULL::numeric", "numeric", json!(null)),
        ("'text'", "text", json!("text")),
        ("''::text", "text", json!("")),
        ("E'a\\n\"\\\\é漢🦀'::varchar(20)", "character varying", json!("a\n\"\\é漢🦀")),
        ("'ab'::char(4)", "character", json!("ab  ")),
        ("'x'::\"char\"", "\"char\"", json!("x")),
        ("'name'::name", "name", json!("name")),
        ("'\\xdeadBEEF'::bytea", "bytea", json!("\\xdeadbeef")),
        ("''::bytea", "bytea", json!("\\x")),
        ("NULL::bytea", "bytea", json!(null)),
        ("date '2024-02-29'", "date", json!("2024-02-29")),
        ("date '0044-03-15 BC'", "date", json!("0044-03-15 BC")),
        ("'infinity'::date", "date", json!("infinity")),
        ("time '23:59:59.999999'", "time without time zone", json!("23:59:59.999999")),
        ("timetz '12:00:00+05:30'", "time with time zone", json!("12:00:00+05:30")),
        ("timestamp '2024-01-02 03:04:05.678'", "timestamp without time zone", json!("2024-01-02 03:04:05.678")),
        ("timestamptz '2024-01-02 03:04:05+02'", "timestamp with time zone", json!("2024-01-02 01:04:05+00")),
        ("'-infinity'::timestamptz", "timestamp with time zone", json!("-infinity")),
        ("interval '1 year 2 mons -3 days 04:05:06.7'", "interval", json!("1 year 2 mons -3 days +04:05:06.7")),
        ("'7f6b1c2a-0000-4000-8000-0123456789ab'::uuid", "uuid", json!("7f6b1c2a-0000-4000-8000-0123456789ab")),
        ("'{\"a\": [1, {\"b\": null}]}'::json", "json", json!({"a": [1, {"b": null}]})),
        ("'{\"b\": 2.50, \"a\": \"é\"}'::jsonb", "jsonb", json!({"b": 2.5, "a": "é"})),
        ("'null'::jsonb", "jsonb", json!(null)),
        ("'12345678901234567890'::jsonb", "jsonb", json!("12345678901234567890")),
        ("'{\"n\": 9007199254740993}'::jsonb", "jsonb", json!("{\"n\": 9007199254740993}")),
        ("'{\"a\": 1, \"a\": 2}'::json", "json", json!("{\"a\": 1, \"a\": 2}")),
        ("'{}'::int[]", "integer[]", json!([])),
        ("ARRAY[1, NULL, 3]", "integer[]", json!([1, null, 3])),
        ("'[0:1]={1,2}'::int[]", "integer[]", json!([1, 2])),
        ("ARRAY[[1, 2], [3, 4]]::int8[]", "bigint[]", json!([[1, 2], [3, 4]])),
        ("ARRAY[9223372036854775807]", "bigint[]", json!(["9223372036854775807"])),
        (
            "ARRAY['a,b', 'c\"d', '{e}', 'f\\g', '', 'NULL', NULL, ' h ']",
            "text[]",
            json!(["a,b", "c\"d", "{e}", "f\\g", "", "NULL", null, " h "]),
        ),
        ("ARRAY[true, false, NULL]", "boolean[]", json!([true, false, null])),
        ("ARRAY[0.1, 'NaN']::float4[]", "real[]", json!([0.1, "NaN"])),
        ("ARRAY[1.50, 2]::numeric[]", "numeric[]", json!(["1.50", "2"])),
        ("ARRAY['2024-01-01']::date[]", "date[]", json!(["2024-01-01"])),
        (
            "ARRAY['{\"a\": 1}', 'null', '9007199254740993']::jsonb[]",
            "jsonb[]",
            json!([{"a": 1}, null, "9007199254740993"]),
        ),
        ("ARRAY['sad', NULL]::app.mood[]", "mood[]", json!(["sad", null])),
        ("NULL::text[]", "text[]", json!(null)),
        ("'1 2 3'::int2vector", "int2vector", json!("1 2 3")),
        ("ARRAY['(1,2),(3,4)']::box[]", "box[]", json!("{(3,4),(1,2)}")),
        ("ARRAY['(1,2)']::point[]", "point[]", json!(["(1,2)"])),
        ("'very sad'::app.mood", "mood", json!("very sad")),
        ("5::app.small", "integer", json!(5)),
        ("'ok'::app.word", "text", json!("ok")),
        ("ROW(1, 'a b', NULL)::app.pair", "pair", json!("(1,\"a b\",)")),
        ("ROW(NULL, NULL, NULL)::app.pair", "pair", json!("(,,)")),
        ("NULL::app.pair", "pair", json!(null)),
        ("ARRAY[ROW(1, 'a', 'ok')]::app.pair[]", "pair[]", json!(["(1,a,ok)"])),
        ("ROW(1, 'x')", "record", json!("(1,x)")),
        ("t", "t", json!("(7,x)")),
        ("int4range(1, 5)", "int4range", json!("[1,5)")),
        ("'empty'::daterange", "daterange", json!("empty")),
        ("'[\"2024-01-01 00:00\",)'::tstzrange", "tstzrange", json!("[\"2024-01-01 00:00:00+00\",)")),
        ("'{[1,3), [5,7)}'::int4multirange", "int4multirange", json!("{[1,3),[5,7)}")),
        ("'192.168.0.1/24'::inet", "inet", json!("192.168.0.1/24")),
        ("'10.0.0.0/8'::cidr", "cidr", json!("10.0.0.0/8")),
        ("'08:00:2b:01:02:03'::macaddr", "macaddr", json!("08:00:2b:01:02:03")),
        ("B'101'", "bit", json!("101")),
        ("B'1'::varbit", "bit varying", json!("1")),
        ("'(1,2)'::point", "point", json!("(1,2)")),
        ("'<(0,0),1>'::circle", "circle", json!("<(0,0),1>")),
        ("'((0,0),(1,1))'::path", "path", json!("((0,0),(1,1))")),
        ("to_tsvector('simple', 'a b')", "tsvector", json!("'a':1 'b':2")),
        ("'a & b'::tsquery", "tsquery", json!("'a' & 'b'")),
        ("'<a>b</a>'::xml", "xml", json!("<a>b</a>")),
        ("12::oid", "oid", json!("12")),
        ("'16/B374D848'::pg_lsn", "pg_lsn", json!("16/B374D848")),
        ("'a=>1'::app.hstore", "hstore", json!("\"a\"=>\"1\"")),
        ("'Mixed'::app.citext", "citext", json!("Mixed")),
        ("1234.5::numeric::money", "money", json!("$1,234.50")),
    ]
}

#[tokio::test]
async fn every_type_has_its_cell() {
    tell(async |place: Arc<Place>| {
        let extensions = ["hstore", "citext"];
        for extension in extensions {
            let sql = format!("SELECT count(*) FROM pg_available_extensions WHERE name = '{extension}'");
            if place.ask::<i64>(&sql).await == 1 {
                place.run(&format!("CREATE EXTENSION {extension} SCHEMA app")).await;
            }
        }
        place
            .run(
                "CREATE TYPE app.mood AS ENUM ('sad', 'very sad'); CREATE DOMAIN app.small AS int; \
                 CREATE DOMAIN app.word AS text; CREATE TYPE app.pair AS (a int, b text, c text); \
                 CREATE TABLE app.t AS SELECT 7 AS id, 'x' AS note",
            )
            .await;
        let (source, mut missing) = (place.open(), 0);
        for (expression, kind, expected) in cases() {
            let extension = extensions.iter().find(|name| expression.ends_with(&format!("app.{name}")));
            if let Some(name) = extension {
                let sql = format!("SELECT count(*) FROM pg_extension WHERE extname = '{name}'");
                if place.ask::<i64>(&sql).await == 0 {
                    missing += 1;
                    continue;
                }
            }
            let sql = format!("SELECT {expression} FROM app.t");
            let answer = query(&source, &sql).await.unwrap_or_else(|error| panic!("{sql}: {}", error.to_text()));
            let kind_there = if expression == "1234.5::numeric::money" { &answer.types[0] } else { kind };
            assert_eq!((kind_there, &answer.rows[0][0]), (kind, &expected), "{sql}");
            assert!(!answer.truncated, "{sql}");
        }
        assert!(missing <= extensions.len());
    })
    .await;
}

#[tokio::test]
async fn minus_zero_keeps_its_sign() {
    tell(async |place: Arc<Place>| {
        let rows = rows(&place.open(), "SELECT '-0'::float8, '-0'::float4").await;
        assert_eq!(rows.to_string(), "[[-0.0,-0.0]]");
    })
    .await;
}

#[tokio::test]
async fn cells_do_not_depend_on_the_servers_settings() {
    tell(async |place: Arc<Place>| {
        let name = &place.name;
        place
            .run(&format!(
                "ALTER ROLE {name} SET DateStyle = 'German'; ALTER ROLE {name} SET TimeZone = 'Asia/Tokyo'; \
                 ALTER ROLE {name} SET bytea_output = 'escape'; ALTER ROLE {name} SET IntervalStyle = 'sql_standard'; \
                 ALTER ROLE {name} SET extra_float_digits = 0; ALTER ROLE {name} SET standard_conforming_strings = off; \
                 ALTER ROLE {name} SET search_path = app; ALTER DATABASE {name} SET statement_timeout = '1h'"
            ))
            .await;
        let source = place.open();
        let sql = "SELECT date '2024-02-29', timestamptz '2024-01-01 00:00+00', '\\x00'::bytea, interval '1 day', \
                   0.1::float8::text, 'a\\b', current_setting('search_path'), current_setting('work_mem')";
        let expected =
            json!([["2024-02-29", "2024-01-01 00:00:00+00", "\\x00", "1 day", "0.1", "a\\b", "pg_catalog", "16MB"]]);
        assert_eq!(rows(&source, sql).await, expected);
        assert_eq!(rows(&source, sql).await, expected, "after it was made clean");
    })
    .await;
}
