//! A table's own line, and its columns.

use tokio_postgres::{Error, Row};

use super::COLUMNS_MAX;
use crate::db::answer::{Column, Constraint};

/// The most values of an enum that are told; the query sees one more.
const VALUES_MAX: usize = 200;

/// `$1` the table's number, `$2` how many characters of a text. How it is parted, and into how many, or of what it is a
/// part; the latter says nothing of the other table but the bounds.
pub(in crate::db::postgres::catalog) const TABLE: &str = "\
SELECT pg_catalog.left(pg_catalog.obj_description(c.oid, 'pg_class'), $2), \
  CASE WHEN c.relkind = 'p' AND may.whole \
       THEN 'PARTITION BY ' || pg_catalog.left(pg_catalog.pg_get_partkeydef(c.oid), $2) || ', ' \
         || (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) || ' partitions' END, \
  CASE WHEN c.relispartition AND may.whole \
       THEN 'PARTITION ' || pg_catalog.left(pg_catalog.pg_get_expr(c.relpartbound, c.oid), $2) END, \
  pg_catalog.has_any_column_privilege(c.oid, 'INSERT') \
FROM pg_catalog.pg_class c \
CROSS JOIN LATERAL (SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AS whole OFFSET 0) may \
WHERE c.oid = $1 AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')";

/// `$1` the table's number, `$2` how many characters of a text. The default of a generated column is its expression.
pub(in crate::db::postgres::catalog) const COLUMNS: &str = "\
SELECT a.attname::pg_catalog.text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
  NOT (a.attnotnull OR t.typnotnull), \
  CASE WHEN may.whole OR NOT EXISTS ( \
    SELECT FROM pg_catalog.pg_depend x \
    WHERE x.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND x.objid = d.oid \
      AND x.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.refobjid = a.attrelid AND x.refobjsubid > 0 \
      AND NOT pg_catalog.has_column_privilege(a.attrelid, x.refobjsubid::smallint, 'SELECT')) \
  THEN pg_catalog.left(pg_catalog.pg_get_expr(d.adbin, d.adrelid), $2) END, \
  CASE WHEN b.oid IN (1042, 1043) AND m.typmod > 4 THEN m.typmod - 4 END, \
  CASE WHEN b.typtype = 'e' THEN ARRAY( \
    SELECT e.enumlabel::pg_catalog.text FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid \
    ORDER BY e.enumsortorder LIMIT 201) END, \
  CASE WHEN a.attgenerated <> '' THEN 'generated' WHEN a.attidentity <> '' THEN 'identity' END, \
  pg_catalog.left(pg_catalog.col_description(a.attrelid, a.attnum), $2) \
FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod) m \
CROSS JOIN LATERAL (SELECT pg_catalog.has_table_privilege(a.attrelid, 'SELECT') AS whole OFFSET 0) may \
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
  AND (may.whole OR pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')) \
ORDER BY a.attnum";

/// What there is to say of a table beside its parts.
pub(super) struct About {
    pub(super) comment: Option<String>,
    pub(super) partitioning: Vec<Constraint>,
    /// Whether the role may add rows.
    pub(super) insertable: bool,
}

impl About {
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        let partitioning: [Option<String>; 2] = [row.try_get(1)?, row.try_get(2)?];
        let told = |definition| Constraint { name: None, definition };
        Ok(Self {
            comment: row.try_get(0)?,
            partitioning: partitioning.into_iter().flatten().map(told).collect(),
            insertable: row.try_get(3)?,
        })
    }
}

pub(super) struct Columns {
    pub(super) columns: Vec<Column>,
    pub(super) truncated: bool,
}

pub(super) fn read(rows: &[Row]) -> Result<Columns, Error> {
    let mut truncated = rows.len() > COLUMNS_MAX;
    let mut columns = Vec::with_capacity(rows.len().min(COLUMNS_MAX));
    for row in rows.iter().take(COLUMNS_MAX) {
        let mut column = column(row)?;
        truncated |= column.values.len() > VALUES_MAX;
        column.values.truncate(VALUES_MAX);
        columns.push(column);
    }
    Ok(Columns { columns, truncated })
}

fn column(row: &Row) -> Result<Column, Error> {
    let length: Option<i32> = row.try_get(4)?;
    let made: Option<&str> = row.try_get(6)?;
    Ok(Column {
        name: row.try_get(0)?,
        declared: row.try_get(1)?,
        nullable: row.try_get(2)?,
        default: row.try_get(3)?,
        length_max: length.and_then(|length| u32::try_from(length).ok()),
        values: row.try_get::<_, Option<_>>(5)?.unwrap_or_default(),
        made: made.map(|made| if made == "generated" { "generated" } else { "identity" }),
        comment: row.try_get(7)?,
    })
}
