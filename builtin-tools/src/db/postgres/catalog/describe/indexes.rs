//! The indexes of a table.

use tokio_postgres::{Error, Row};

use crate::db::answer::Index;

/// `$1` the table's number, `$2` how many characters of a text, `$3` how many indexes. An index is there when the role may
/// read all columns that its keys, its expressions and its condition speak of, and when it is ready to be used.
pub(in crate::db::postgres::catalog) const INDEXES: &str = "\
SELECT c.relname::pg_catalog.text, m.amname::pg_catalog.text, i.indisunique, \
  pg_catalog.left(pg_catalog.pg_get_expr(i.indpred, i.indrelid, true), $2), k.names \
FROM pg_catalog.pg_index i \
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
JOIN pg_catalog.pg_am m ON m.oid = c.relam \
CROSS JOIN LATERAL ( \
  SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY u.place) FILTER (WHERE u.place <= i.indnkeyatts) AS names, \
         pg_catalog.bool_and(u.attnum = 0 OR pg_catalog.has_column_privilege(i.indrelid, u.attnum, 'SELECT')) AS readable \
  FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS u(attnum, place) \
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum > 0 \
) k \
WHERE i.indrelid = $1 AND i.indisvalid AND k.readable AND NOT EXISTS ( \
  SELECT FROM pg_catalog.pg_depend d \
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid \
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0 \
    AND NOT pg_catalog.has_column_privilege(i.indrelid, d.refobjsubid::smallint, 'SELECT')) \
ORDER BY c.relname LIMIT $3";

pub(super) fn read(rows: &[Row]) -> Result<Vec<Index>, Error> {
    rows.iter().map(index).collect()
}

fn index(row: &Row) -> Result<Index, Error> {
    Ok(Index {
        name: Some(row.try_get(0)?),
        method: Some(row.try_get(1)?),
        unique: row.try_get(2)?,
        condition: row.try_get(3)?,
        columns: row.try_get(4)?,
    })
}
