//! Query examples in a source's dialect, made of its own tables where it has suitable ones, so that they can be run as they
//! are. What makes a table suitable is in `pick`, how names are written in `names`.

mod names;
mod pick;

use std::fmt::Write as _;

use crate::db::{
    answer::{TableDetail, TableList},
    error::QueryError,
    source::{About, Cx, Dialect, ListFilter, Source},
};
use names::{quoted, table};
use pick::{is_number, is_text, is_time};

/// The most tables that are looked at.
const TABLES_MAX: usize = 4;
/// The most columns of an example.
const COLUMNS_MAX: usize = 6;

/// One example.
struct Example {
    what: &'static str,
    sql: String,
    /// The value of its parameter, as JSON.
    param: Option<&'static str>,
}

/// The page.
pub(crate) async fn examples(source: &dyn Source, cx: &Cx) -> Result<String, QueryError> {
    let list = source.list_tables(ListFilter::default(), cx).await?;
    let mut details = Vec::new();
    for line in pick::largest(&list, TABLES_MAX) {
        // A table that cannot be described, as it may have gone since, is no example.
        details.extend(source.describe_table(&line.name, cx).await.ok());
    }
    Ok(page(source.about(), &list, &details))
}

fn page(about: &About, list: &TableList, details: &[TableDetail]) -> String {
    let (name, dialect) = (&about.name, about.dialect.name());
    let mut text = format!("# Query examples for `{name}` ({dialect})\n\nEach is one call of query_database.\n");
    let all = [
        details.first().map(rows),
        details.iter().find_map(counts),
        details.iter().find_map(|detail| months(detail, about.dialect)),
        details.iter().find_map(|detail| join(detail, list)),
        details.iter().find_map(totals),
        details.iter().find_map(|detail| search(detail, about.dialect)),
        details.iter().find_map(|detail| pages(detail, about.dialect)),
    ];
    let found: Vec<Example> = all.into_iter().flatten().collect();
    if found.is_empty() {
        text.push_str("\nThere is no table here to make examples of; list_tables shows what there is.\n");
    }
    for Example { what, sql, param } in found {
        // Writing to a String does not fail.
        let _ = write!(text, "\n## {what}\n\n```sql\n{sql}\n```\n");
        if let Some(param) = param {
            let _ = writeln!(text, "\n`params`: `[{param}]`");
        }
    }
    text
}

fn first_columns(detail: &TableDetail) -> String {
    let columns = detail.columns.iter().take(COLUMNS_MAX).map(|column| quoted(&column.name));
    columns.collect::<Vec<_>>().join(", ")
}

fn rows(detail: &TableDetail) -> Example {
    let (columns, from) = (first_columns(detail), table(detail));
    Example { what: "Some rows", sql: format!("SELECT {columns}\nFROM {from}\nLIMIT 5"), param: None }
}

fn counts(detail: &TableDetail) -> Option<Example> {
    let column = quoted(&pick::word(detail)?.name);
    let from = table(detail);
    let sql =
        format!("SELECT {column}, count(*) AS number\nFROM {from}\nGROUP BY {column}\nORDER BY number DESC\nLIMIT 10");
    Some(Example { what: "How often each value occurs", sql, param: None })
}

fn months(detail: &TableDetail, dialect: Dialect) -> Option<Example> {
    let column = quoted(&detail.columns.iter().find(|column| is_time(column, dialect))?.name);
    let from = table(detail);
    let month = match dialect {
        Dialect::Sqlite => format!("strftime('%Y-%m', {column})"),
        Dialect::Postgres => format!("date_trunc('month', {column})"),
    };
    let sql = format!("SELECT {month} AS month, count(*) AS number\nFROM {from}\nGROUP BY 1\nORDER BY 1");
    Some(Example { what: "By month", sql, param: None })
}

fn join(detail: &TableDetail, list: &TableList) -> Option<Example> {
    let (key, other) = detail.foreign_keys.iter().find_map(|key| {
        let other = list.tables.iter().find(|line| line.name == key.table)?;
        (key.columns.len() == key.to_columns.len()).then_some((key, other))
    })?;
    let on = key.columns.iter().zip(&key.to_columns).map(|(from, to)| format!("a.{} = b.{}", quoted(from), quoted(to)));
    let sql = format!(
        "SELECT a.{}, b.*\nFROM {} AS a\nJOIN {} AS b ON {}\nLIMIT 5",
        quoted(&key.columns[0]),
        table(detail),
        table(other),
        on.collect::<Vec<_>>().join(" AND ")
    );
    Some(Example { what: "Two tables along a foreign key", sql, param: None })
}

fn totals(detail: &TableDetail) -> Option<Example> {
    let is_key = |name: &String| {
        detail.primary_key.contains(name) || detail.foreign_keys.iter().any(|key| key.columns.contains(name))
    };
    let column = quoted(&detail.columns.iter().find(|column| is_number(column) && !is_key(&column.name))?.name);
    let from = table(detail);
    let sql = format!(
        "SELECT count(*) AS number, sum({column}) AS total, avg({column}) AS mean, max({column}) AS most\nFROM {from}"
    );
    Some(Example { what: "Totals", sql, param: None })
}

fn search(detail: &TableDetail, dialect: Dialect) -> Option<Example> {
    let column = quoted(&detail.columns.iter().find(|column| is_text(column))?.name);
    let (columns, from, param) = (first_columns(detail), table(detail), first_parameter(dialect));
    let sql = format!("SELECT {columns}\nFROM {from}\nWHERE lower({column}) LIKE {param}\nLIMIT 20");
    Some(Example { what: "Rows with a text in them, the text as a parameter", sql, param: Some("\"%a%\"") })
}

fn pages(detail: &TableDetail, dialect: Dialect) -> Option<Example> {
    let [key] = &*detail.primary_key else { return None };
    detail.columns.iter().find(|column| column.name == *key && is_number(column))?;
    let (columns, from, param, key) = (first_columns(detail), table(detail), first_parameter(dialect), quoted(key));
    let sql = format!("SELECT {columns}\nFROM {from}\nWHERE {key} > {param}\nORDER BY {key}\nLIMIT 50");
    Some(Example { what: "Page by page, each after the last key of the one before", sql, param: Some("0") })
}

const fn first_parameter(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "?1",
        Dialect::Postgres => "$1",
    }
}
