//! Garbage, and garbage in between of what is none: whatever comes, the judge answers, and what it accepts keeps the
//! invariants.

use patchbay_sql_policy::{
    corpus::{postgres_hostile, postgres_legitimate},
    invariants::{check, with_stack},
};
use proptest::prelude::*;

fn statements() -> impl Strategy<Value = &'static str> {
    let cases = [postgres_hostile(), postgres_legitimate()].concat();
    prop::sample::select(cases.into_iter().map(|case| case.sql).collect::<Vec<_>>())
}

fn tokens() -> impl Strategy<Value = String> {
    let words = "SELECT FROM WHERE WITH AS ( ) [ ] , . ; :: : * + - / = <> || -> ? $1 1 1.5 'a' E'\\'' $$ \" a orders app secret creds \
                 lower pg_sleep CASE WHEN THEN END NOT NULL IN BETWEEN AND OR JOIN ON USING UNION ALL VALUES TABLE LATERAL \
                 GROUP BY ORDER LIMIT OFFSET FETCH FOR UPDATE INTO DISTINCT OVER FILTER ARRAY ROW INTERVAL DATE CAST EXISTS \
                 INSERT DELETE EXPLAIN ANALYZE int text regclass COLLATE AT TIME ZONE OPERATOR ANY -- /* */";
    let words: Vec<&'static str> = words.split_whitespace().collect();
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        with_stack(move || check(text.as_bytes()));
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        with_stack(move || check(&bytes));
    }

    #[test]
    fn any_words_get_an_answer(text in tokens()) {
        with_stack(move || check(text.as_bytes()));
    }

    #[test]
    fn any_text_in_the_middle_of_a_statement_gets_an_answer(sql in statements(), text in ".{0,12}", at in any::<prop::sample::Index>()) {
        let places: Vec<usize> = sql.char_indices().map(|(place, _)| place).collect();
        let (before, after) = sql.split_at(places[at.index(places.len())]);
        let spliced = format!("{before}{text}{after}");
        with_stack(move || check(spliced.as_bytes()));
    }

    #[test]
    fn any_literal_comes_through_as_it_is(value in any::<String>()) {
        let value = value.replace('\0', "");
        let sql = format!("SELECT '{}'", value.replace('\'', "''"));
        let judged = with_stack(move || check(sql.as_bytes())).expect("a literal is accepted");
        let (quotes, escapes) = (value.replace('\'', "''"), value.contains('\\'));
        let expected = if escapes { format!("SELECT E'{}'", quotes.replace('\\', "\\\\")) } else { format!("SELECT '{quotes}'") };
        prop_assert_eq!(judged.sql, expected);
    }

    #[test]
    fn any_name_comes_through_as_it_is(name in "[^\0]{1,15}") {
        let sql = format!("SELECT 1 AS \"{}\"", name.replace('"', "\"\""));
        let judged = with_stack(move || check(sql.as_bytes())).expect("a name is accepted");
        prop_assert_eq!(judged.sql, format!("SELECT 1 AS \"{}\"", name.replace('"', "\"\"")));
    }
}
