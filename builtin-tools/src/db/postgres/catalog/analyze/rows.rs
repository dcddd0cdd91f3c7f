//! The analysis of columns by reading rows: one statement for some columns, each grouped by its values. Pure but for the
//! rows that come in: `analyze` runs the statements.

use tokio_postgres::{Error, Row};

use super::{SAMPLE_CHARS_MAX, SAMPLES_MAX, columns::Column};
use crate::db::{answer::ColumnAnalysis, postgres::catalog::names::quoted};

/// Which rows are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::db::postgres::catalog) enum Part {
    /// All.
    Whole,
    /// Those of some pages, chosen by chance, the same ones for every column.
    Sample { share: f64, rows_max: u64 },
    /// The first that come; a view has no pages to choose from.
    First { rows_max: u64 },
}

impl Part {
    pub(super) const fn basis(&self) -> &'static str {
        match self {
            Self::Whole => "rows",
            Self::Sample { .. } | Self::First { .. } => "sample",
        }
    }

    pub(super) const fn note(&self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Sample { .. } => {
                "The table is large and the database has no statistics for it: the numbers are of a sample, and counts of \
                 different values are estimates."
            }
            Self::First { .. } => {
                "The numbers are of the first rows that the database gave, and counts of different values are estimates."
            }
        }
    }

    /// About how many rows the table has when the part has so many; unknown where the part ended by its own bound.
    pub(super) fn extrapolated(&self, read: u64) -> Option<u64> {
        match self {
            Self::Sample { share, rows_max } if read < *rows_max => Some((read as f64 / share).round() as u64),
            _ => None,
        }
    }

    fn from(&self, table: &str, column: &str) -> String {
        match self {
            Self::Whole => table.to_owned(),
            Self::Sample { share, rows_max } => {
                let percent = share * 100.0;
                format!(
                    "(SELECT {column} FROM {table} TABLESAMPLE pg_catalog.system ({percent:.6}) REPEATABLE (1) \
                     LIMIT {rows_max}) AS part"
                )
            }
            Self::First { rows_max } => format!("(SELECT {column} FROM {table} LIMIT {rows_max}) AS part"),
        }
    }
}

/// The statement for some columns: a row for each, with its place, how many rows there are, how many NULLs, how many
/// different values and how many values that are there once, the least, the greatest, and samples.
pub(in crate::db::postgres::catalog) fn statement(table: &str, part: &Part, columns: &[Column]) -> String {
    let selects = columns.iter().enumerate().map(|(place, column)| {
        let name = quoted(&column.name);
        let from = part.from(table, &name);
        let body = if column.equality { grouped(&name, &from, column.ordered) } else { counted(&name, &from) };
        format!("SELECT {place} AS place, of.* FROM ({body}) AS of")
    });
    selects.collect::<Vec<_>>().join(" UNION ALL ") + " ORDER BY 1"
}

/// NULL is told by IS DISTINCT FROM: a row value that is made of NULLs is a value.
const THERE: &str = "v IS DISTINCT FROM NULL";

fn grouped(name: &str, from: &str, ordered: bool) -> String {
    let cut = cut("v");
    let least = |direction: &str| match ordered {
        true => format!("(SELECT {cut} FROM g WHERE {THERE} ORDER BY v {direction} LIMIT 1)"),
        false => "NULL::pg_catalog.text".to_owned(),
    };
    let by_value = if ordered { ", v" } else { "" };
    format!(
        "WITH g AS MATERIALIZED (SELECT {name} AS v, pg_catalog.count(*) AS n FROM {from} GROUP BY 1) \
         SELECT COALESCE(pg_catalog.sum(n), 0)::bigint, \
         COALESCE(pg_catalog.sum(n) FILTER (WHERE NOT ({THERE})), 0)::bigint, \
         pg_catalog.count(*) FILTER (WHERE {THERE}), pg_catalog.count(*) FILTER (WHERE {THERE} AND n = 1), \
         {}, {}, ARRAY(SELECT {cut} FROM g WHERE {THERE} ORDER BY n DESC{by_value} LIMIT {SAMPLES_MAX}) FROM g",
        least("ASC"),
        least("DESC")
    )
}

/// For types whose values cannot be told apart.
fn counted(name: &str, from: &str) -> String {
    let cut = cut("v");
    format!(
        "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT ({THERE})), NULL::bigint, NULL::bigint, \
         NULL::pg_catalog.text, NULL::pg_catalog.text, \
         ARRAY(SELECT {cut} FROM (SELECT {name} AS v FROM {from}) AS picked WHERE {THERE} LIMIT {SAMPLES_MAX}) \
         FROM (SELECT {name} AS v FROM {from}) AS counted"
    )
}

/// One character more than is shown, so that a cut is seen.
fn cut(value: &str) -> String {
    format!("pg_catalog.left({value}::pg_catalog.text, {})", SAMPLE_CHARS_MAX + 1)
}

/// What the statement said of its columns, and how many rows it read. `rows` is how many there are in all.
pub(super) fn read(
    found: &[Row],
    columns: &[Column],
    part: &Part,
    rows: Option<u64>,
) -> Result<(u64, Vec<ColumnAnalysis>), Error> {
    let mut read = 0;
    let mut analyses = Vec::new();
    for (row, column) in found.iter().zip(columns) {
        let counts: [Option<i64>; 4] = [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
        let [total, nulls, different, once] = counts.map(|count| count.and_then(|count| u64::try_from(count).ok()));
        let (total, nulls) = (total.unwrap_or_default(), nulls.unwrap_or_default());
        read = total;
        let (min, max): (Option<&str>, Option<&str>) = (row.try_get(5)?, row.try_get(6)?);
        let shown = |text: &str| column.shape.beginning(text, SAMPLE_CHARS_MAX);
        analyses.push(ColumnAnalysis {
            name: column.name.clone(),
            declared: column.declared.clone(),
            null_share: (total > 0).then(|| share(nulls, total)),
            distinct: different.map(|different| {
                let all = rows.or_else(|| part.extrapolated(total)).unwrap_or(total).max(total);
                distinct_of_all(
                    total - nulls,
                    different,
                    once.unwrap_or_default(),
                    all as f64 * (1.0 - share(nulls, total)),
                )
            }),
            min: min.map(shown).unwrap_or_default(),
            max: max.map(shown).unwrap_or_default(),
            samples: row.try_get::<_, Vec<&str>>(7)?.into_iter().map(shown).collect(),
        });
    }
    Ok((read, analyses))
}

/// To four digits: more say nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0 }
}

/// About how many different values `all` have, when `read` of them have `different` ones of which `once` were there once:
/// the estimate of Haas and Stokes that PostgreSQL's ANALYZE uses, exact where all were read.
fn distinct_of_all(read: u64, different: u64, once: u64, all: f64) -> u64 {
    let (n, d, f1) = (read as f64, different as f64, once as f64);
    if read == 0 || all <= n {
        return different;
    }
    let estimate = n * d / (n - f1 + f1 * n / all);
    estimate.clamp(d, all).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_values_are_exact_where_all_was_read_and_else_between_the_seen_and_all() {
        assert_eq!(distinct_of_all(100, 7, 1, 100.0), 7);
        assert_eq!(distinct_of_all(0, 0, 0, 1000.0), 0);
        assert_eq!(distinct_of_all(100, 100, 100, 10_000.0), 10_000, "all seen once: as many as rows");
        assert_eq!(distinct_of_all(100, 4, 0, 10_000.0), 4, "none seen once: no more than these");
        let some = distinct_of_all(1000, 300, 100, 100_000.0);
        assert!((300..400).contains(&some), "{some}");
    }

    #[test]
    fn statement_quotes_names_whatever_they_are() {
        let column = Column::known("a\" FROM pg_authid; --", "text", 25);
        let sql = statement("\"s\".\"t\"", &Part::Whole, &[column]);
        assert!(sql.contains(r#""a"" FROM pg_authid; --" AS v"#), "{sql}");
    }
}
