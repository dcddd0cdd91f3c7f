//! The analysis of columns from what ANALYZE left in `pg_stats`, which shows only columns that the role may read, and none
//! of a table with row security.

use patchbay_sql_policy::TableName;
use tokio_postgres::{Client, Error, Row, types::Type};

use super::{
    SAMPLE_CHARS_MAX, SAMPLES_MAX,
    columns::{Column, Wanted},
};
use crate::db::{answer::ColumnAnalysis, postgres::catalog::names::literal};

/// What the statistics say of the wanted columns; nothing when there are none.
pub(super) async fn load(
    client: &Client,
    table: &TableName,
    wanted: &Wanted,
    rows: Option<u64>,
) -> Result<Vec<ColumnAnalysis>, Error> {
    let names: Vec<&str> = wanted.columns.iter().map(|column| column.name.as_str()).collect();
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&table.schema, Type::TEXT), (&table.name, Type::TEXT), (&names, Type::TEXT_ARRAY)];
    let found = client.query_typed(&statement(&wanted.columns), &params).await?;
    let mut told = Vec::new();
    for column in &wanted.columns {
        let of_it = found.iter().find(|row| row.try_get::<_, &str>(0).is_ok_and(|name| name == column.name));
        if let Some(row) = of_it {
            told.push(analysis(row, column, rows)?);
        }
    }
    Ok(told)
}

/// What there is to say of numbers that come from statistics.
pub(super) fn notes(told: &[ColumnAnalysis], wanted: &Wanted) -> Vec<String> {
    let mut notes =
        vec!["The table is large: all numbers are the database's estimates of when it was analysed last.".to_owned()];
    let is_told = |column: &&Column| told.iter().any(|told| told.name == column.name);
    let left: Vec<_> = wanted.columns.iter().filter(|column| !is_told(column)).map(|c| c.name.as_str()).collect();
    if !left.is_empty() {
        notes.push(format!("It has none for these columns: {}.", left.join(", ")));
    }
    notes
}

/// `$1` the schema, `$2` the table, `$3` the columns. Statistics that include the parts of a table come first.
fn statement(columns: &[Column]) -> String {
    let chars = SAMPLE_CHARS_MAX + 1;
    let last = SAMPLES_MAX - 1;
    format!(
        "SELECT s.attname::pg_catalog.text, s.null_frac::double precision, s.n_distinct::double precision, {}, {}, \
         CASE WHEN s.most_common_vals IS NOT NULL THEN ARRAY( \
           SELECT pg_catalog.left(u.v, {chars}) \
           FROM pg_catalog.unnest(s.most_common_vals::pg_catalog.text::pg_catalog.text[]) WITH ORDINALITY AS u(v, n) \
           ORDER BY u.n LIMIT {SAMPLES_MAX}) \
         WHEN s.histogram_bounds IS NOT NULL THEN ARRAY( \
           SELECT DISTINCT pg_catalog.left(h.h[1 + k * (pg_catalog.cardinality(h.h) - 1) / {last}], {chars}) \
           FROM (SELECT s.histogram_bounds::pg_catalog.text::pg_catalog.text[] AS h) AS h, \
                pg_catalog.generate_series(0, {last}) AS k) \
         END \
         FROM pg_catalog.pg_stats s \
         WHERE s.schemaname::pg_catalog.text = $1 AND s.tablename::pg_catalog.text = $2 \
           AND s.attname::pg_catalog.text = ANY ($3) \
         ORDER BY s.inherited DESC",
        bound(columns, "ASC"),
        bound(columns, "DESC")
    )
}

/// SQL for the least or the greatest value that the statistics name; only values of the same type can be compared.
fn bound(columns: &[Column], direction: &str) -> String {
    let mut cases = String::new();
    let mut types: Vec<&str> = Vec::new();
    for column in columns.iter().filter(|column| column.ordered) {
        let Some(base) = column.base.as_deref().filter(|base| !types.contains(base)) else { continue };
        types.push(base);
        let same = columns.iter().filter(|other| other.ordered && other.base.as_deref() == Some(base));
        let names: Vec<_> = same.map(|column| literal(&column.name)).collect();
        let values = |from: &str| format!("COALESCE(s.{from}::pg_catalog.text::{base}[], '{{}}')");
        cases.push_str(&format!(
            "WHEN s.attname::pg_catalog.text IN ({}) THEN (SELECT pg_catalog.left(u.v::pg_catalog.text, {}) \
             FROM pg_catalog.unnest({} || {}) AS u(v) ORDER BY u.v {direction} LIMIT 1) ",
            names.join(", "),
            SAMPLE_CHARS_MAX + 1,
            values("most_common_vals"),
            values("histogram_bounds")
        ));
    }
    if cases.is_empty() { "NULL::pg_catalog.text".to_owned() } else { format!("CASE {cases}END") }
}

fn analysis(row: &Row, column: &Column, rows: Option<u64>) -> Result<ColumnAnalysis, Error> {
    let (nulls, distinct): (f64, f64) = (row.try_get(1)?, row.try_get(2)?);
    let (min, max): (Option<&str>, Option<&str>) = (row.try_get(3)?, row.try_get(4)?);
    let shown = |text: &str| column.shape.beginning(text, SAMPLE_CHARS_MAX);
    let samples: Option<Vec<&str>> = row.try_get(5)?;
    let samples = samples.unwrap_or_default().into_iter().map(shown).collect();
    Ok(ColumnAnalysis {
        name: column.name.clone(),
        declared: column.declared.clone(),
        null_share: Some((nulls * 10_000.0).round() / 10_000.0),
        distinct: distinct_of(distinct, rows),
        min: min.map(shown).unwrap_or_default(),
        max: max.map(shown).unwrap_or_default(),
        samples,
    })
}

/// `n_distinct` is a number of values or, below zero, their share of the rows; 0 is unknown.
fn distinct_of(n_distinct: f64, rows: Option<u64>) -> Option<u64> {
    match n_distinct {
        n if n > 0.0 => Some(n.round() as u64),
        n if n < 0.0 => rows.map(|rows| (-n * rows as f64).round() as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_is_a_number_or_a_share_of_the_rows() {
        assert_eq!(distinct_of(42.0, None), Some(42));
        assert_eq!(distinct_of(-1.0, Some(200_000)), Some(200_000));
        assert_eq!(distinct_of(-0.5, None), None);
        assert_eq!(distinct_of(0.0, Some(10)), None);
    }
}
