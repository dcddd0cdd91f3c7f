//! Constraints of a table, and the foreign keys of others that point to it.

use tokio_postgres::{Error, Row};

use super::ENTRIES_MAX;
use crate::db::{
    answer::{Constraint, ForeignKey},
    postgres::catalog::visible::Visible,
};

/// `$1` the table's number, `$2` how many characters of a text, `$3` how many constraints. A constraint is there when the
/// role may read all columns that it speaks of, at both ends, and in the index that it has. Those that a partition has from
/// its whole are not repeated from the other end.
pub(in crate::db::postgres::catalog) const CONSTRAINTS: &str = "\
SELECT k.contype::pg_catalog.text, k.conname::pg_catalog.text, k.conrelid, k.confrelid, here.names, there.names, \
  CASE WHEN k.contype IN ('c', 'u', 'x') THEN pg_catalog.left(pg_catalog.pg_get_constraintdef(k.oid, true), $2) END \
FROM pg_catalog.pg_constraint k \
CROSS JOIN LATERAL (SELECT pg_catalog.has_table_privilege(k.conrelid, 'SELECT') AS whole OFFSET 0) may \
CROSS JOIN LATERAL ( \
  SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.place) AS names, \
         may.whole OR pg_catalog.bool_and(u.attnum <> 0 AND pg_catalog.has_column_privilege(k.conrelid, u.attnum, 'SELECT')) AS readable \
  FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u(attnum, place) \
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum \
) here \
CROSS JOIN LATERAL ( \
  SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.place) AS names, \
         COALESCE(pg_catalog.bool_and(pg_catalog.has_column_privilege(k.confrelid, a.attnum, 'SELECT')), true) AS readable \
  FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS u(attnum, place) \
  JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum \
) there \
WHERE (k.conrelid = $1 AND k.contype IN ('p', 'u', 'x', 'c', 'f') OR k.confrelid = $1 AND k.contype = 'f') \
  AND (k.conparentid = 0 OR k.conrelid = $1) AND here.readable AND there.readable \
  AND (may.whole OR k.contype NOT IN ('u', 'x') OR NOT EXISTS ( \
    SELECT FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::smallint[]) AS u(attnum) \
    WHERE i.indexrelid = k.conindid \
      AND (u.attnum = 0 OR i.indpred IS NOT NULL OR NOT pg_catalog.has_column_privilege(i.indrelid, u.attnum, 'SELECT')))) \
ORDER BY k.conrelid <> $1, k.conname, k.oid LIMIT $3";

/// What the constraints say, by their sort.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) primary_key: Vec<String>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) referenced_by: Vec<ForeignKey>,
    pub(super) constraints: Vec<Constraint>,
    /// How many were read; one more than are told when there are more.
    pub(super) read: usize,
}

/// Reads them; foreign keys between this table and one that is not offered are left out.
pub(super) fn read(rows: &[Row], visible: &Visible, oid: u32) -> Result<Keys, Error> {
    let mut keys = Keys { read: rows.len(), ..Keys::default() };
    for row in rows.iter().take(ENTRIES_MAX) {
        let (sort, from, to): (&str, u32, u32) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
        match sort {
            "p" => keys.primary_key = names(row, 4)?,
            "f" => {
                if from == oid {
                    keys.foreign_keys.extend(foreign_key(row, visible, to)?);
                }
                if to == oid {
                    keys.referenced_by.extend(foreign_key(row, visible, from)?);
                }
            }
            _ => {
                let (name, definition): (String, Option<String>) = (row.try_get(1)?, row.try_get(6)?);
                let constraint = definition.map(|definition| Constraint { name: Some(name), definition });
                keys.constraints.extend(constraint);
            }
        }
    }
    Ok(keys)
}

fn foreign_key(row: &Row, visible: &Visible, other: u32) -> Result<Option<ForeignKey>, Error> {
    let Some(other) = visible.by_oid(other) else { return Ok(None) };
    Ok(Some(ForeignKey { columns: names(row, 4)?, table: visible.shown(other), to_columns: names(row, 5)? }))
}

fn names(row: &Row, place: usize) -> Result<Vec<String>, Error> {
    Ok(row.try_get::<_, Option<_>>(place)?.unwrap_or_default())
}
