//! How large a table is, as far as it can be known without reading much of it: small tables are counted, large ones are
//! guessed from their pages.

use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use super::{ROWS_MAX, TABLE_BYTES_MAX, rows::Part};
use crate::db::postgres::catalog::visible::Kind;

/// The most rows of a sample; it is made of this many pages at most.
const SAMPLE_ROWS_MAX: u64 = ROWS_MAX;
const SAMPLE_PAGES: f64 = 400.0;

/// `$1` the table's number. Rows are guessed as the planner does it: so many a page as when they were counted last.
pub(in crate::db::postgres::catalog) const EXTENT: &str = "\
WITH RECURSIVE parts(oid) AS ( \
  SELECT $1 UNION ALL SELECT i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.oid \
), sized AS ( \
  SELECT c.reltuples, c.relpages, \
         pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint AS pages \
  FROM parts JOIN pg_catalog.pg_class c ON c.oid = parts.oid AND c.relkind IN ('r', 'm') \
) \
SELECT pg_catalog.row_security_active($1::oid), COALESCE(pg_catalog.sum(pages), 0)::bigint, \
  CASE WHEN pg_catalog.bool_and(pages = 0 OR reltuples >= 0 AND relpages > 0) \
       THEN pg_catalog.sum(CASE WHEN relpages > 0 THEN reltuples * pages / relpages ELSE 0 END)::double precision END \
FROM sized";

/// What is known of a table's rows.
#[derive(Debug)]
pub(super) enum Extent {
    /// All of them may be read.
    Small { rows: u64 },
    /// They are too many, or too long.
    Large { rows: Option<u64>, pages: u64 },
}

/// SQL that counts the rows of a table, up to one more than are read, unless it takes more bytes than are read.
pub(in crate::db::postgres::catalog) fn counting(kind: Kind, oid: &str, from: &str) -> String {
    let guard = match kind.has_pages() {
        true => format!(
            "WHERE (WITH RECURSIVE parts(oid) AS (SELECT {oid}::oid UNION ALL \
             SELECT i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.oid) \
             SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_table_size(c.oid)), 0) <= {TABLE_BYTES_MAX} \
             FROM parts JOIN pg_catalog.pg_class c ON c.oid = parts.oid AND c.relkind IN ('r', 'm')) "
        ),
        false => String::new(),
    };
    // A table that is too large gives NULL and not 0: the count is asked for only if the guard lets it.
    let count = format!("SELECT pg_catalog.count(*) FROM (SELECT FROM {from} LIMIT {}) AS counted", ROWS_MAX + 1);
    format!("SELECT ({count}) AS rows FROM (SELECT) AS once {guard}")
}

pub(super) async fn look(client: &Client, oid: u32, kind: Kind, from: &str) -> Result<Extent, Error> {
    let counting = counting(kind, &oid.to_string(), from);
    let table = [(&oid as &(dyn ToSql + Sync), Type::OID)];
    let (extent, count) =
        tokio::try_join!(biased; client.query_typed_one(EXTENT, &table), client.query_typed_opt(&counting, &[]))?;
    let count: Option<i64> = count.map(|row| row.try_get(0)).transpose()?;
    match count.and_then(|count| u64::try_from(count).ok()) {
        Some(rows) if rows <= ROWS_MAX => Ok(Extent::Small { rows }),
        _ => {
            let (hidden, pages, rows): (bool, i64, Option<f64>) =
                (extent.try_get(0)?, extent.try_get(1)?, extent.try_get(2)?);
            // The database's guess counts rows that row security keeps from this role.
            let rows = rows.filter(|_| !hidden && kind.has_pages()).map(|rows| rows.round() as u64);
            Ok(Extent::Large { rows, pages: u64::try_from(pages).unwrap_or_default() })
        }
    }
}

impl Extent {
    /// How many rows there are, as far as it is known.
    pub(super) const fn rows(&self) -> Option<u64> {
        match self {
            Self::Small { rows } => Some(*rows),
            Self::Large { rows, .. } => *rows,
        }
    }

    /// Whether that is a guess.
    pub(super) const fn estimated(&self) -> bool {
        matches!(self, Self::Large { rows: Some(_), .. })
    }

    /// The part of a large table that is read.
    pub(super) fn part(&self, kind: Kind) -> Part {
        match self {
            Self::Large { pages, .. } if kind.has_pages() && *pages > 0 => {
                let share = (SAMPLE_PAGES / *pages as f64).min(1.0);
                Part::Sample { share, rows_max: SAMPLE_ROWS_MAX }
            }
            _ => Part::First { rows_max: SAMPLE_ROWS_MAX },
        }
    }
}
