//! The corpora of PostgreSQL: everything hostile is refused in words that help, everything legitimate is accepted.

use std::collections::BTreeSet;

use patchbay_sql_policy::{
    Kind, Rule,
    corpus::{Case, postgres_hostile, postgres_legitimate, postgres_runtime},
    invariants::{Shop, check, with_stack},
    judge,
};

#[test]
fn every_hostile_statement_is_refused_with_a_sentence_and_a_hint() {
    with_stack(|| {
        for Case { name, sql } in postgres_hostile() {
            let Err(refusal) = judge(sql, &Shop) else { panic!("{name} was accepted: {sql}") };
            let sentence = refusal.to_string();
            assert!(sentence.ends_with('.') && sentence.len() < 400, "{name}: {sentence}");
            assert!(refusal.hint().ends_with('.') && refusal.code().starts_with("E_"), "{name}: {}", refusal.hint());
            let characters = sql.chars().count();
            assert!(
                refusal.position.is_none_or(|position| (1..=characters + 1).contains(&position)),
                "{name}: {refusal:?}"
            );
        }
    });
}

#[test]
fn hostile_statements_are_refused_for_what_they_are() {
    let rules = |prefix: &str, rule: fn(&Rule) -> bool| {
        let cases: Vec<Case> = postgres_hostile().into_iter().filter(|case| case.name.starts_with(prefix)).collect();
        assert!(!cases.is_empty(), "no case begins with {prefix}");
        for Case { name, sql } in cases {
            let refusal = judge(sql, &Shop).map(|judged| judged.sql).map_err(|refusal| refusal.rule);
            assert!(refusal.as_ref().is_err_and(rule), "{name}: {refusal:?}");
        }
    };
    with_stack(move || {
        rules("a second statement", |rule| *rule == Rule::Several);
        rules("sleep in ", |rule| matches!(rule, Rule::Function(name) if name == "pg_sleep") || is_unparsed(rule));
        rules("a table outside of the list", |rule| is_about_a_table(rule) || is_unreadable(rule));
        rules("a query of WITH", |rule| matches!(rule, Rule::Table(_) | Rule::Name(_)));
        rules("for ", |rule| matches!(rule, Rule::Clause(_)));
        rules("explain ", |rule| matches!(rule, Rule::Clause(_) | Rule::NotAQuery(_) | Rule::Table(_)));
        rules("delete in", |rule| matches!(rule, Rule::Clause(_)));
        rules("select into", |rule| matches!(rule, Rule::Clause("SELECT INTO")));
        rules("much memory", |rule| matches!(rule, Rule::Function(_) | Rule::Type(_)));
        rules("an operator of a user", |rule| matches!(rule, Rule::Operator(_)));
        rules("a cast to", |rule| matches!(rule, Rule::Type(_)));
        rules("a parameter ", |rule| matches!(rule, Rule::Parameter(_)));
    });
}

/// sqlparser knows neither ROWS FROM nor FETCH FIRST (…).
fn is_unparsed(rule: &Rule) -> bool {
    matches!(rule, Rule::Syntax(said) if said.contains("FROM") || said.contains("Expected: a value"))
}

fn is_about_a_table(rule: &Rule) -> bool {
    matches!(rule, Rule::Table(name) if name.to_lowercase().contains("creds") || name == "ONLY")
}

/// Unicode escapes, ONLY and the star behind a table are not read at all.
fn is_unreadable(rule: &Rule) -> bool {
    matches!(rule, Rule::Literal(_) | Rule::Syntax(_))
}

#[test]
fn every_legitimate_statement_is_accepted_and_comes_out_as_itself() {
    with_stack(|| {
        for Case { name, sql } in postgres_legitimate() {
            let judged = judge(sql, &Shop).unwrap_or_else(|refusal| panic!("{name}: {refusal} {:?}", refusal.position));
            assert_eq!(judged.kind == Kind::Explain, name.starts_with("explain"), "{name}");
            assert_eq!(check(sql.as_bytes()), Some(judged), "{name}");
        }
    });
}

#[test]
fn what_only_the_run_can_stop_is_accepted() {
    with_stack(|| {
        for Case { name, sql } in postgres_runtime() {
            assert!(check(sql.as_bytes()).is_some(), "{name}: {:?}", judge(sql, &Shop));
        }
    });
}

#[test]
fn the_corpora_are_big_enough_and_name_each_case_once() {
    for (cases, least) in [(postgres_hostile(), 180), (postgres_legitimate(), 80), (postgres_runtime(), 10)] {
        assert!(cases.len() >= least, "{} cases", cases.len());
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        let statements: BTreeSet<&str> = cases.iter().map(|case| case.sql).collect();
        assert_eq!(names.len(), cases.len(), "two cases share a name");
        assert_eq!(statements.len(), cases.len(), "two cases are the same");
    }
}
