//! Which tables and columns make good examples, judged by names and types alone.

use crate::db::{
    answer::{Column, TableDetail, TableLine, TableList},
    source::Dialect,
};

/// Tables to show queries over, those with the most rows first.
pub(crate) fn largest(list: &TableList, most: usize) -> Vec<&TableLine> {
    let mut tables: Vec<_> = list.tables.iter().filter(|table| !table.columns.is_empty()).collect();
    tables.sort_by_key(|table| (!table.kind.contains("table"), std::cmp::Reverse(table.rows)));
    tables.truncate(most);
    tables
}

/// A column of few words, as far as one can tell: an enum, a status, a kind, else any short text that is not unique.
pub(crate) fn word(detail: &TableDetail) -> Option<&Column> {
    let is_unique = |column: &Column| {
        let alone = |names: &[Option<String>]| matches!(names, [Some(name)] if *name == column.name);
        detail.primary_key == [column.name.clone()]
            || detail.indexes.iter().any(|index| index.unique && alone(&index.columns))
    };
    let texts = || detail.columns.iter().filter(|column| is_text(column) && !is_unique(column));
    let telling = |column: &&Column| {
        let name = column.name.to_ascii_lowercase();
        !column.values.is_empty()
            || ["status", "state", "kind", "type", "category", "city", "country"].iter().any(|word| name.contains(word))
    };
    texts().find(telling).or_else(|| texts().find(|column| !looks_like_a_time(&column.name)))
}

pub(crate) fn is_text(column: &Column) -> bool {
    let declared = column.declared.to_ascii_lowercase();
    !declared.contains("[]") && ["char", "text", "clob"].iter().any(|word| declared.contains(word))
}

pub(crate) fn is_number(column: &Column) -> bool {
    let declared = column.declared.to_ascii_lowercase();
    let words = ["int", "numeric", "decimal", "real", "double", "float"];
    // An interval begins like an integer, and an int4range too.
    !["[]", "interval", "range", "point"].iter().any(|word| declared.contains(word))
        && words.iter().any(|word| declared.contains(word))
}

/// SQLite has no type for times; there a text is one if its name says so.
pub(crate) fn is_time(column: &Column, dialect: Dialect) -> bool {
    let declared = column.declared.to_ascii_lowercase();
    match dialect {
        Dialect::Postgres => {
            ["date", "timestamp"].iter().any(|word| declared.starts_with(word)) && !declared.contains("[]")
        }
        Dialect::Sqlite => {
            ["date", "timestamp"].iter().any(|word| declared.contains(word))
                || is_text(column) && looks_like_a_time(&column.name)
        }
    }
}

fn looks_like_a_time(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["_at", "_on", "_date", "_time", "_day"].iter().any(|end| name.ends_with(end)) || ["date", "day"].contains(&&*name)
}
