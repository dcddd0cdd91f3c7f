//! Statements of every shape that makes a tree deep, at their bound and one beyond it, on the stack that the judge asks
//! for: what is within the bounds is judged without a crash, what is beyond is refused. Runs in debug builds, whose frames
//! are the biggest.

use std::time::{Duration, Instant};

use patchbay_sql_policy::{
    Refusal, Rule,
    invariants::{Shop, with_stack},
    judge,
};

/// A way of making a tree deeper by one.
struct Shape {
    name: &'static str,
    start: &'static str,
    open: &'static str,
    middle: &'static str,
    close: &'static str,
    end: &'static str,
    /// How often it fits.
    most: usize,
}

impl Shape {
    fn repeated(&self, times: usize) -> String {
        let (open, close) = (self.open.repeat(times), self.close.repeat(times));
        [self.start, &open, self.middle, &close, self.end].concat()
    }
}

const fn shape(name: &'static str, [start, open, middle, close, end]: [&'static str; 5], most: usize) -> Shape {
    Shape { name, start, open, middle, close, end, most }
}

/// What is open at a time, at most.
const NESTING: usize = 200;
const TOKENS: usize = 10_000;

const NESTED: &[Shape] = &[
    shape("parentheses", ["SELECT ", "(", "1", ")", ""], NESTING),
    shape("parentheses around a query", ["", "(", "SELECT 1", ")", ""], NESTING),
    shape("parentheses with sums", ["SELECT ", "1 + (", "1", ")", ""], NESTING),
    shape("NOT", ["SELECT ", "NOT ", "true", "", ""], NESTING),
    shape("minus", ["SELECT ", "- ", "1", "", ""], NESTING),
    shape("square roots", ["SELECT ", "|/ ", "1", "", ""], NESTING),
    shape("NOT and parentheses", ["SELECT ", "NOT (", "true", ")", ""], NESTING),
    shape("CASE", ["SELECT ", "CASE WHEN true THEN ", "1", " END", ""], NESTING),
    shape("CASE in the condition", ["SELECT ", "CASE WHEN ", "true", " THEN true END", ""], NESTING),
    shape("CASE in ELSE", ["SELECT ", "CASE 1 WHEN 2 THEN 3 ELSE ", "1", " END", ""], NESTING),
    shape("queries as values", ["SELECT ", "(SELECT ", "1", ")", ""], NESTING),
    shape("queries in FROM", ["SELECT * FROM ", "(SELECT * FROM ", "orders", ") AS x", ""], NESTING),
    shape("EXISTS", ["SELECT ", "EXISTS (SELECT 1 WHERE ", "true", ")", ""], NESTING),
    shape("IN of queries", ["SELECT ", "1 IN (SELECT ", "1", ")", ""], NESTING),
    shape("IN of lists", ["SELECT ", "1 IN (2, ", "1", ")", ""], NESTING),
    shape("ANY", ["SELECT ", "1 = ANY (SELECT ", "1", ")", ""], NESTING),
    shape("arrays", ["SELECT ARRAY", "[", "1", "]", ""], NESTING),
    shape("arrays by their word", ["SELECT ", "ARRAY[", "1", "]", ""], NESTING),
    shape("arrays of queries", ["SELECT ", "ARRAY(SELECT ", "1", ")", ""], NESTING),
    shape("elements", ["SELECT ", "tags[", "1", "]", " FROM products"], NESTING),
    shape("functions", ["SELECT ", "abs(", "1", ")", ""], NESTING),
    shape("functions with two arguments", ["SELECT ", "mod(5, ", "1", ")", ""], NESTING),
    shape("COALESCE", ["SELECT ", "coalesce(", "1", ")", ""], NESTING),
    shape("rows", ["SELECT ", "ROW(1, ", "1", ")", ""], NESTING),
    shape("CAST", ["SELECT ", "CAST(", "1", " AS int)", ""], NESTING),
    shape("ceil", ["SELECT ", "ceil(", "1", ")", ""], NESTING),
    shape("EXTRACT", ["SELECT ", "extract(year FROM ", "now()", ")", ""], NESTING - 1),
    shape("SUBSTRING", ["SELECT ", "substring(", "'a'", " FROM 1)", ""], NESTING),
    shape("TRIM", ["SELECT ", "trim(", "'a'", ")", ""], NESTING),
    shape("POSITION", ["SELECT ", "position('a' IN ", "'b'", "::text)", ""], NESTING),
    shape("filters", ["SELECT ", "count(*) FILTER (WHERE ", "true", ")", ""], NESTING),
    shape("windows", ["SELECT ", "count(*) OVER (ORDER BY ", "1", ")", ""], NESTING),
    shape("WITH", ["", "WITH a AS (", "SELECT 1", ") SELECT 1", ""], NESTING),
    shape("joins in parentheses", ["SELECT * FROM ", "(orders a CROSS JOIN ", "orders", ")", ""], NESTING),
    shape("joins that lean to the right", ["SELECT * FROM orders", " JOIN orders", "", " ON true", ""], NESTING),
    shape("lateral queries", ["SELECT 1 FROM ", "LATERAL (SELECT 1 FROM ", "orders", ") x", ""], NESTING),
    shape("BETWEEN", ["SELECT 1", " BETWEEN (1", "", ") AND 2", ""], NESTING),
    shape("VALUES", ["", "(VALUES (1)) UNION (", "SELECT 1", ")", ""], NESTING - 1),
];

/// What leans to the left and is bounded by the number of tokens alone.
const CHAINED: &[Shape] = &[
    shape("sums", ["SELECT 1", " + 1", "", "", ""], (TOKENS - 2) / 2),
    shape("differences", ["SELECT 1", " - 1", "", "", ""], (TOKENS - 2) / 2),
    shape("concatenations", ["SELECT 'a'", " || 'a'", "", "", ""], (TOKENS - 2) / 2),
    shape("AND", ["SELECT true", " AND true", "", "", ""], (TOKENS - 2) / 2),
    shape("OR", ["SELECT true", " OR true", "", "", ""], (TOKENS - 2) / 2),
    shape("AND and OR", ["SELECT true", " AND true OR false", "", "", ""], (TOKENS - 2) / 4),
    shape("comparisons", ["SELECT 1 = 1", " AND 1 = 1", "", "", ""], (TOKENS - 4) / 4),
    shape("casts", ["SELECT 1", "::int", "", "", ""], (TOKENS - 2) / 2),
    shape("tests", ["SELECT true", " IS TRUE", "", "", ""], (TOKENS - 2) / 2),
    shape("AT TIME ZONE", ["SELECT now()", " AT TIME ZONE 'UTC'", "", "", ""], (TOKENS - 4) / 4),
    shape("COLLATE", ["SELECT 'a'", " || 'b' COLLATE \"C\"", "", "", ""], (TOKENS - 2) / 4),
    shape("JSON", ["SELECT attributes", " -> 'a'", "", "", " FROM products"], (TOKENS - 4) / 2),
    shape("LIKE", ["SELECT 'a'", " LIKE 'a'", "", "", ""], (TOKENS - 2) / 2),
    shape("IN", ["SELECT true", " IN (true)", "", "", ""], (TOKENS - 2) / 4),
    shape("BETWEEN after BETWEEN", ["SELECT 1", " BETWEEN 1 AND 2", "", "", ""], (TOKENS - 2) / 4),
    shape("IS DISTINCT FROM", ["SELECT 1", " IS DISTINCT FROM 1", "", "", ""], (TOKENS - 2) / 4),
    shape("UNION", ["SELECT 1", " UNION SELECT 1", "", "", ""], (TOKENS - 2) / 3),
    shape("UNION and INTERSECT", ["SELECT 1", " UNION SELECT 1 INTERSECT SELECT 2", "", "", ""], (TOKENS - 2) / 6),
    shape("joins", ["SELECT * FROM orders", " JOIN orders ON true", "", "", ""], (TOKENS - 4) / 4),
    shape("cross joins", ["SELECT * FROM orders", " CROSS JOIN orders", "", "", ""], (TOKENS - 4) / 3),
    shape("tables", ["SELECT * FROM orders", ", orders", "", "", ""], (TOKENS - 4) / 2),
    shape("columns", ["SELECT 1", ", 1", "", "", ""], (TOKENS - 2) / 2),
    shape("elements of elements", ["SELECT tags", "[1]", "", "", " FROM products"], (TOKENS - 4) / 3),
    shape("whens", ["SELECT CASE", " WHEN true THEN 1", "", "", " END"], (TOKENS - 3) / 4),
    shape("rows of VALUES", ["VALUES (1)", ", (1)", "", "", ""], (TOKENS - 4) / 4),
    shape("queries of WITH", ["WITH a AS (SELECT 1)", ", a AS (SELECT 1)", "", "", " SELECT 1"], (TOKENS - 9) / 7),
];

/// Chains that bend to the right, or that no PostgreSQL knows: whatever becomes of them, it is an answer.
const BENT: &[Shape] = &[
    shape("types of many dimensions", ["SELECT 1::int", "[]", "", "", ""], (TOKENS - 4) / 2),
    shape("fields", ["SELECT a", ".a", "", "", ""], (TOKENS - 2) / 2),
    shape("comparisons with NOT", ["SELECT true", " = NOT true", "", "", ""], (TOKENS - 2) / 3),
    shape("sums with minus", ["SELECT 1", " * - 1", "", "", ""], (TOKENS - 2) / 3),
    shape("intervals", ["SELECT ", "INTERVAL ", "'1'", "", ""], TOKENS - 2),
    shape("joins without ON", ["SELECT * FROM orders", " JOIN orders", "", "", ""], (TOKENS - 4) / 2),
    shape("natural joins", ["SELECT * FROM orders", " NATURAL JOIN orders", "", "", ""], (TOKENS - 4) / 3),
    shape("explains", ["", "EXPLAIN ", "SELECT 1", "", ""], TOKENS - 2),
    shape("inserts", ["WITH a AS (SELECT 1)", " INSERT INTO a", "", "", ""], (TOKENS - 7) / 3),
    shape("inserts in WITH", ["WITH a AS (", "INSERT INTO a ", "SELECT 1", "", ") SELECT 1"], TOKENS / 3),
    shape("updates", ["WITH a AS (SELECT 1)", " UPDATE a SET b = 1 FROM", "", "", ""], (TOKENS - 7) / 7),
    shape("selects", ["", "SELECT ", "1", "", ""], TOKENS - 1),
    shape("cases", ["SELECT ", "CASE ", "1", "", ""], TOKENS - 2),
    shape("open parentheses", ["SELECT ", "(", "1", "", ""], TOKENS - 2),
    shape("open parentheses in FROM", ["SELECT * FROM ", "(", "orders", "", ""], TOKENS - 4),
    shape("open brackets", ["SELECT ARRAY", "[", "1", "", ""], TOKENS - 3),
    shape("position without IN", ["SELECT ", "position(", "1", ")", ""], NESTING),
    shape("ceil with too much", ["SELECT ", "ceil(", "1", ", 2, 3)", ""], NESTING),
    shape("extract without FROM", ["SELECT ", "extract(", "1", ")", ""], NESTING),
    shape("substring of nothing", ["SELECT ", "substring(", "", ")", ""], NESTING),
    shape("IN after IN", ["SELECT ", "1 IN (", "1", "", ""], NESTING),
    shape("IN with parentheses", ["SELECT ", "1 IN ((", "1", "))", ""], NESTING / 2),
    shape("IN with queries that break off", ["SELECT ", "1 IN (SELECT 1 WHERE ", "", ")", ""], NESTING),
    shape("tables that break off", ["SELECT * FROM ", "(SELECT * FROM (orders) JOIN ", "", ")", ""], NESTING / 2),
    shape("current times", ["SELECT ", "current_time(", "1", ")", ""], NESTING),
    shape("minus and case", ["SELECT ", "case - ", "c", "", ""], NESTING),
    shape("dates", ["SELECT ", "date ", "'a'", "", ""], TOKENS - 2),
    shape("windows in windows", ["SELECT ", "sum(1) OVER (ORDER BY sum(1) OVER (", "", "))", ""], NESTING / 4),
];

fn judged(sql: String) -> (Result<usize, Refusal>, Duration) {
    with_stack(move || {
        let began = Instant::now();
        let judged = judge(&sql, &Shop).map(|judged| judged.sql.len());
        (judged, began.elapsed())
    })
}

#[test]
fn what_nests_is_judged_up_to_the_bound_and_refused_one_beyond() {
    for shape in NESTED {
        let (at, _) = judged(shape.repeated(shape.most));
        assert!(at.is_ok(), "{} {} times: {at:?}", shape.name, shape.most);
        let (beyond, _) = judged(shape.repeated(shape.most + 1));
        assert_eq!(beyond.map_err(|refusal| refusal.rule), Err(Rule::TooDeep), "{} once more", shape.name);
    }
}

#[test]
fn what_chains_is_judged_up_to_the_number_of_tokens_and_refused_beyond_it() {
    for shape in CHAINED {
        let sql = shape.repeated(shape.most);
        let fits = sql.len() <= 64 * 1024;
        let (at, _) = judged(sql);
        assert!(at.is_ok() || !fits, "{} {} times: {at:?}", shape.name, shape.most);
        let (beyond, _) = judged(shape.repeated(shape.most + 1));
        let rule = beyond.map_err(|refusal| refusal.rule);
        assert!(matches!(rule, Err(Rule::TooManyTokens(_) | Rule::TooLong(_))), "{} once more: {rule:?}", shape.name);
    }
}

#[test]
fn what_bends_to_the_right_or_breaks_off_gets_an_answer_soon() {
    for shape in BENT {
        for times in [2, 10, 40, shape.most / 2, shape.most] {
            let (_, took) = judged(shape.repeated(times));
            // Loose, for debug builds on busy machines; what would be exponential takes longer than the universe.
            assert!(took < Duration::from_secs(20), "{} {times} times: {took:?}", shape.name);
        }
    }
}

#[test]
fn too_much_text_is_refused_before_it_is_read() {
    let comment = format!("/*{}*/ SELECT 1", " ".repeat(64 * 1024));
    assert_eq!(judged(comment).0.map_err(|refusal| refusal.rule), Err(Rule::TooLong(64 * 1024)));
    let just = format!("SELECT '{}'", "x".repeat(64 * 1024 - 9));
    assert!(judged(just).0.is_ok());
}
