//! What a model is told about arguments that do not fit.

use serde_json::json;

use super::*;
use crate::db::{
    fake::about,
    source::Dialect,
    tools::{all, find_in},
};

fn said(tool: &str, arguments: &Value) -> String {
    let (shop, log) = (about("shop", Dialect::Sqlite), about("log", Dialect::Postgres));
    let tools = all(&[&log, &shop]);
    let arguments = arguments.as_object().cloned();
    match read::<Value>(&find_in(&tools, tool).input_schema, arguments) {
        Ok(read) => panic!("it was read: {read}"),
        Err(error) => error.to_text(),
    }
}

#[test]
fn what_is_wrong_is_named_and_so_is_what_was_expected() {
    for (tool, arguments, wanted) in [
        ("query_database", json!({}), "`source` is missing; expected one of `log`, `shop`."),
        ("query_database", json!({ "source": "shop" }), "`sql` is missing; expected a text."),
        (
            "query_database",
            json!({ "source": "shop", "query": "SELECT 1" }),
            "no argument `query`; did you mean `sql`?",
        ),
        ("query_database", json!({ "source": "shop", "sql": ["SELECT 1"] }), "`sql` is a list; expected a text."),
        ("query_database", json!({ "source": "shop", "sql": null }), "`sql` is null; expected a text."),
        ("query_database", json!({ "source": "attic", "sql": "" }), "is `attic`; expected one of `log`, `shop`."),
        ("query_database", json!({ "source": "shop", "sql": "", "limit": 0 }), "`limit` is 0; expected 1 or more."),
        (
            "query_database",
            json!({ "source": "shop", "sql": "", "limit": 1.5 }),
            "is a number; expected a whole number.",
        ),
        (
            "analyze_table",
            json!({ "source": "shop", "table": "orders", "columns": ["id", 5] }),
            "entry 2 of the argument `columns` is a number; expected a text.",
        ),
        (
            "query_database",
            json!({ "source": "shop", "sql": "", "limit": true }),
            "is true or false; expected a whole number.",
        ),
        (
            "query_database",
            json!({ "source": "shop", "sql": "", "params": vec![0; 251] }),
            "`params` has 251 entries; expected 250 at most.",
        ),
        ("list_tables", json!({ "source": "shop", "zzzzzzzz": 1 }), "expected are: source, schema, contains, after."),
        ("list_data_sources", json!({ "zzzzzzzz": 1 }), "none is expected."),
    ] {
        let text = said(tool, &arguments);
        assert!(text.starts_with("INVALID_ARGUMENTS: ") && text.contains(wanted), "{wanted}\n{text}");
    }
}

#[test]
fn long_names_come_back_short() {
    let long = "x".repeat(100_000);
    assert!(said("list_tables", &json!({ "source": "shop", long.clone(): 1 })).len() < 400);
    assert!(said("list_tables", &json!({ "source": long })).len() < 400);
}

#[test]
fn null_is_an_argument_that_is_left_out_and_the_only_source_may_be_named() {
    let shop = about("shop", Dialect::Sqlite);
    let tools = all(&[&shop]);
    let arguments = json!({ "sql": "SELECT 1", "limit": null, "params": null, "source": "shop" });
    let read: OfQuery = read(&find_in(&tools, "query_database").input_schema, arguments.as_object().cloned()).unwrap();
    assert_eq!((read.source.as_deref(), read.limit, read.params.len()), (Some("shop"), None, 0));
}
