//! A plan of PostgreSQL as it may be read: the steps and their costs, but of a table that the statement does not name — what
//! stands behind a view, for one — neither name nor conditions, and no value that the caller did not write.

use crate::db::answer::Plan;

/// The most lines of a plan that are shown.
const LINES_MAX: usize = 500;
const LINE_CHARS_MAX: usize = 1000;

/// The lines as PostgreSQL printed them, for the statement `sql`, which reads tables of these names.
pub(crate) fn plan(lines: Vec<String>, sql: &str, tables: &[&str]) -> Plan {
    let (rows_estimated, cost_estimated) = lines.first().map_or((None, None), |line| estimates(line));
    let truncated = lines.len() > LINES_MAX;
    let (mut shown, mut hiding) = (Vec::new(), false);
    for line in lines.into_iter().take(LINES_MAX) {
        match line.split_once("  (cost=") {
            Some((step, costs)) => {
                let known = is_known(step, sql, tables, hiding);
                hiding = !known;
                let step = if known { step } else { unnamed(step) };
                shown.push(format!("{step}  (cost={costs}"));
            }
            // Conditions follow their step.
            None if hiding && line.starts_with(' ') => {}
            None => shown.push(without_foreign_values(&line, sql).chars().take(LINE_CHARS_MAX).collect()),
        }
    }
    Plan { plan: shown, rows_estimated, cost_estimated, truncated }
}

/// The planner's guesses of rows and cost, from `(cost=0.15..35.50 rows=2550 width=4)`.
fn estimates(line: &str) -> (Option<u64>, Option<f64>) {
    let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
    let number = |rest: &str| rest.split([' ', ')']).next().map(str::to_owned);
    let rows = after(" rows=").and_then(number).and_then(|text| text.parse().ok());
    let cost = after("(cost=").and_then(|rest| rest.split_once("..")).and_then(|(_, rest)| number(rest));
    (rows, cost.and_then(|text| text.parse().ok()))
}

/// Whether the step is on nothing, or on something that the statement names. The index of a bitmap step belongs to the table
/// of the step above it.
fn is_known(step: &str, sql: &str, tables: &[&str], hiding: bool) -> bool {
    let Some((kind, target)) = step.split_once(" on ") else { return true };
    if kind.ends_with("Bitmap Index Scan") {
        return !hiding;
    }
    let name = match target.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => target.split(' ').next().unwrap_or_default(),
    };
    let is_table =
        ["Seq Scan", "Index Scan", "Index Only Scan", "Heap Scan", "Foreign Scan", "Sample Scan", "Tid Scan"]
            .iter()
            .any(|scan| kind.contains(scan));
    tables.contains(&name) || (!is_table && (name == "*VALUES*" || has_word(sql, name)))
}

fn has_word(sql: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    sql.to_lowercase().match_indices(&word.to_lowercase()).any(|(at, _)| {
        let (before, after) = (sql.get(..at), sql.get(at + word.len()..));
        !before.is_none_or(|text| text.ends_with(is_part)) && !after.is_none_or(|text| text.starts_with(is_part))
    })
}

/// The step without what it is on and by which index.
fn unnamed(step: &str) -> &str {
    let end = [" using ", " on "].iter().filter_map(|mark| step.find(mark)).min().unwrap_or(step.len());
    &step[..end]
}

/// The line with `'…'` for every literal that the statement does not have: the planner adds those of views and row security.
/// Numbers of conditions likewise.
fn without_foreign_values(line: &str, sql: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(|c: char| c == '\'' || c == '"' || c.is_alphanumeric() || c == '_' || c == '$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match rest.as_bytes()[0] {
            quote @ (b'\'' | b'"') => end_of_quoted(rest, quote),
            _ => rest.find(|c: char| !(c.is_alphanumeric() || "_.$".contains(c))).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        let is_value = token.starts_with(|c: char| c == '\'' || c.is_ascii_digit());
        out.push_str(if is_value && !sql.contains(token) { "'…'" } else { token });
        rest = after;
    }
    out + rest
}

/// Where what begins with a quote ends; a doubled quote inside of it is a quote.
fn end_of_quoted(text: &str, quote: u8) -> usize {
    let (bytes, mut index) = (text.as_bytes(), 1);
    while let Some(byte) = bytes.get(index) {
        index += 1;
        if *byte == quote {
            if bytes.get(index) != Some(&quote) {
                return index;
            }
            index += 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[&str], sql: &str, tables: &[&str]) -> Vec<String> {
        plan(lines.iter().map(|line| (*line).to_owned()).collect(), sql, tables).plan
    }

    #[test]
    fn what_stands_behind_a_view_is_not_named() {
        let lines = [
            "Hash Join  (cost=1.00..2.00 rows=3 width=4)",
            "  Hash Cond: (o.id = c.id)",
            "  ->  Index Scan using creds_pkey on creds c  (cost=0.15..8.17 rows=1 width=4)",
            "        Index Cond: (login = 'root'::text)",
            "  ->  Hash  (cost=1.00..1.00 rows=3 width=4)",
            "        ->  Bitmap Heap Scan on \"other table\"  (cost=0.15..8.17 rows=1 width=4)",
            "              Recheck Cond: (x = 5)",
            "              ->  Bitmap Index Scan on other_idx  (cost=0.15..8.17 rows=1 width=4)",
            "                    Index Cond: (x = 5)",
            "        ->  Seq Scan on orders o  (cost=1.00..1.00 rows=3 width=4)",
            "              Filter: (city = 'Bern'::text)",
        ];
        let shown = shown(&lines, "SELECT * FROM app.v JOIN app.orders AS o ON city = 'Bern'", &["v", "orders"]);
        assert_eq!(
            shown,
            [
                "Hash Join  (cost=1.00..2.00 rows=3 width=4)",
                "  Hash Cond: (o.id = c.id)",
                "  ->  Index Scan  (cost=0.15..8.17 rows=1 width=4)",
                "  ->  Hash  (cost=1.00..1.00 rows=3 width=4)",
                "        ->  Bitmap Heap Scan  (cost=0.15..8.17 rows=1 width=4)",
                "              ->  Bitmap Index Scan  (cost=0.15..8.17 rows=1 width=4)",
                "        ->  Seq Scan on orders o  (cost=1.00..1.00 rows=3 width=4)",
                "              Filter: (city = 'Bern'::text)",
            ]
        );
    }

    #[test]
    fn values_that_the_caller_did_not_write_are_left_out() {
        let sql = "SELECT * FROM app.orders WHERE city = 'O''Hare' AND id > 10 AND c1 = 2.5";
        let line =
            "  Filter: ((city = 'O''Hare'::text) AND (id > 10) AND (c1 = 2.5) AND (tenant = 77) AND (k = 'se''cret'))";
        let lines = ["Seq Scan on orders  (cost=0.00..1.00 rows=1 width=4)", line];
        assert_eq!(
            shown(&lines, sql, &["orders"])[1],
            "  Filter: ((city = 'O''Hare'::text) AND (id > 10) AND (c1 = 2.5) AND (tenant = '…') AND (k = '…'))"
        );
    }

    #[test]
    fn functions_and_ctes_of_the_caller_keep_their_names() {
        let sql = "WITH t AS (SELECT 1) SELECT * FROM t, pg_catalog.generate_series(1, 5) AS g";
        for step in ["CTE Scan on t", "Function Scan on generate_series g", "Values Scan on \"*VALUES*\"", "Result"] {
            let line = format!("{step}  (cost=0.00..1.00 rows=1 width=4)");
            assert_eq!(shown(&[&line], sql, &[]), [line]);
        }
        assert_eq!(shown(&["CTE Scan on hidden  (cost=0 rows=1)"], sql, &[]), ["CTE Scan  (cost=0 rows=1)"]);
    }

    #[test]
    fn guesses_are_read_from_the_first_line() {
        let lines = vec!["Limit  (cost=0.15..35.50 rows=2550 width=4)".to_owned()];
        let plan = plan(lines, "", &[]);
        assert_eq!((plan.rows_estimated, plan.cost_estimated), (Some(2550), Some(35.5)));
        assert_eq!(estimates("["), (None, None));
    }
}
