//! What a refused caller is told: the rule, the thing and the place.

use patchbay_sql_policy::{
    Refusal, Rule,
    invariants::{Shop, with_stack},
    judge,
};

#[track_caller]
fn refused(sql: &str) -> Refusal {
    let owned = sql.to_owned();
    with_stack(move || judge(&owned, &Shop)).expect_err(sql)
}

#[test]
fn the_place_is_counted_in_characters_as_postgresql_does() {
    assert_eq!(refused("SELECT pg_sleep(1)").position, Some(8));
    assert_eq!(refused("SELECT 'äöü€😀', pg_sleep(1)").position, Some(17));
    assert_eq!(refused("SELECT 1\n; SELECT 2").position, Some(12));
    assert_eq!(refused("/* ü */ SELECT * FROM x").position, Some(23));
    assert_eq!(refused("SELECT 1 +").position, None);
    assert_eq!(refused("SELECT (1").position, None);
}

#[test]
fn the_thing_that_is_refused_is_named_as_it_was_written() {
    assert_eq!(refused("SELECT PG_Sleep(1)").rule, Rule::Function("PG_Sleep".to_owned()));
    assert_eq!(refused("SELECT pg_catalog.pg_sleep(1)").rule, Rule::Function("pg_catalog.pg_sleep".to_owned()));
    assert_eq!(refused("SELECT 1 FROM Secret.Creds").rule, Rule::Table("Secret.Creds".to_owned()));
    assert_eq!(refused("SELECT 1::regproc").rule, Rule::Type("regproc".to_owned()));
    assert_eq!(refused("SELECT 1 <=> 2").rule, Rule::Operator("<=>".to_owned()));
    assert_eq!(refused("DROP TABLE orders").rule, Rule::NotAQuery("DROP".to_owned()));
}

#[test]
fn long_and_odd_names_are_cut_and_cleaned_for_the_sentence() {
    let long = refused(&format!("SELECT {}()", "f".repeat(63)));
    assert_eq!(long.rule, Rule::Function("f".repeat(63)));
    let longer = refused(&format!("SELECT a{0}.b{0}()", "f".repeat(60))).to_string();
    assert!(longer.contains('…') && longer.chars().count() < 140, "{longer}");
    let odd = refused("SELECT \"a\nb\u{1b}[31m\"()").to_string();
    assert!(!odd.contains('\n') && !odd.contains('\u{1b}'), "{odd}");
}

#[test]
fn every_rule_has_a_sentence_a_hint_and_a_code() {
    for sql in [
        "",
        "SELECT",
        "SELECT 1; SELECT 2",
        "SELECT 1 FOR UPDATE",
        "SELECT $0",
        "SELECT N'a'",
        "SELECT 1 === 1",
        "SELECT a.b.c.d",
        "SELECT 'a' COLLATE a.b",
        "SELECT \u{a0}1",
        "SELECT \0",
        "SELECT '\0'",
        "SELECT \u{1}",
    ] {
        let refusal = refused(sql);
        assert!(refusal.to_string().ends_with('.') && refusal.hint().ends_with('.'), "{sql}: {refusal}");
        assert!(refusal.code().starts_with("E_") && refusal.code() == refusal.rule.code(), "{sql}");
    }
}

#[test]
fn a_parameter_of_another_driver_is_recognised() {
    for sql in ["SELECT 1 WHERE 1 = ?", "SELECT 1 LIMIT :n", "SELECT 1 WHERE 1 = :n", "SELECT 1 WHERE 1 = %s"] {
        assert!(matches!(refused(sql).rule, Rule::Parameter(_)), "{sql}");
    }
    assert!(with_stack(|| judge("SELECT '{}'::jsonb ? 'a'", &Shop)).is_ok());
}
