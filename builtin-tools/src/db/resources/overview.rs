//! A whole source on one page: a line for each table, as many as fit. What does not fit is said, and how to get there.

use std::fmt::Write as _;

use crate::db::{
    answer::{TableLine, TableList},
    source::About,
    tools::volume,
};

/// The most columns that a line names.
const COLUMNS_MAX: usize = 40;
/// The most characters of a comment.
const COMMENT_CHARS_MAX: usize = 120;

/// The page, in about `bytes_max` bytes.
pub(crate) fn overview(about: &About, list: &TableList, bytes_max: usize) -> String {
    let rights = if about.inserts { "read-only, but for insert_record on some tables" } else { "read-only" };
    let mut text = format!("# Database `{}`\n\n{}, {rights}.\n\n", about.name, about.dialect.name());
    let mut shown = 0;
    for table in &list.tables {
        let line = line(table);
        if text.len() + line.len() > bytes_max {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    if list.tables.is_empty() {
        text.push_str("There are no tables or views here.\n");
    }
    let next = match list.tables.get(shown) {
        Some(_) => list.tables[..shown].last().map(|table| &table.name),
        None => list.next.as_ref(),
    };
    if let Some(next) = next {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\nThere are more tables than the {shown} that are listed here. Call list_tables with `after` = `{next}` to go \
             on, or with `contains` to look for a name.\n"
        );
    }
    text
}

fn line(table: &TableLine) -> String {
    let mut columns = table.columns.iter().take(COLUMNS_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if table.columns.len() > COLUMNS_MAX {
        let _ = write!(columns, " … and {} more", table.columns.len() - COLUMNS_MAX);
    }
    let comment = table.comment.as_deref().map(comment).unwrap_or_default();
    format!("- `{}` ({}): {columns}{comment}\n", table.name, size(table))
}

fn size(table: &TableLine) -> String {
    let rows = match table.rows {
        Some(rows) if table.rows_at_least => format!(", more than {rows} rows"),
        Some(rows) if table.rows_estimated => format!(", about {rows} rows"),
        Some(rows) => format!(", {rows} rows"),
        None => String::new(),
    };
    let bytes = table.bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.map(|bytes| format!(", {}", volume(bytes))).unwrap_or_default();
    format!("{}{rows}{bytes}", table.kind)
}

/// In one line, since each table has one.
fn comment(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(COMMENT_CHARS_MAX).collect();
    let cut = if short.len() < words.len() { "…" } else { "" };
    if short.is_empty() { short } else { format!(" — {short}{cut}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{
        fake::{about, line as table},
        source::Dialect,
    };

    #[test]
    fn page_of_a_large_source_is_bounded_and_says_how_to_go_on() {
        let tables: Vec<_> = (0..1000).map(|number| table(&format!("t{number:04}"), &["id", "name"])).collect();
        let list = TableList { tables, truncated: false, next: None };
        let text = overview(&about("shop", Dialect::Sqlite), &list, 4096);
        assert!(text.len() < 4096 + 300, "{}", text.len());
        let last = text.lines().filter(|line| line.starts_with("- ")).count() - 1;
        assert!(text.contains(&format!("`after` = `t{last:04}`")), "{text}");
    }

    #[test]
    fn page_of_a_list_that_was_cut_goes_on_where_the_list_does() {
        let list = TableList { tables: vec![table("a", &["id"])], truncated: true, next: Some("a".to_owned()) };
        assert!(overview(&about("shop", Dialect::Sqlite), &list, 4096).contains("`after` = `a`"));
    }

    #[test]
    fn comment_and_columns_stay_in_their_line() {
        let columns: Vec<_> = (0..100).map(|number| format!("c{number}")).collect();
        let mut wide = table("wide", &columns.iter().map(String::as_str).collect::<Vec<_>>());
        wide.comment = Some(format!("first\n\n# second {}", "x".repeat(500)));
        let text = line(&wide);
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("c39 … and 60 more — first # second x") && text.len() < 600, "{text}");
    }
}
