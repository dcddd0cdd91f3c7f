//! The columns of a table that an analysis is about: which the role may read, which are wanted, and what their types allow.

use tokio_postgres::{Client, Error, Row, types::Type};

use super::COLUMNS_MAX;
use crate::db::{error::QueryError, postgres::catalog::cells::Shape};

/// The most names that an error lists.
const NAMES_MAX: usize = 40;

/// `$1` the table's number. A type has equality or order when its base type, or the elements of its arrays, have a default
/// operator class of hash or btree, which is what GROUP BY and ORDER BY look for.
pub(in crate::db::postgres::catalog) const COLUMNS: &str = "\
SELECT a.attname::pg_catalog.text, pg_catalog.format_type(a.atttypid, a.atttypmod), b.oid, \
  CASE WHEN b.oid <> e.oid THEN e.oid END, \
  has.ordered OR e.typtype = 'e' OR EXISTS ( \
    SELECT FROM pg_catalog.pg_opclass o WHERE o.opcdefault AND o.opcmethod = 405 AND o.opcintype = e.oid), \
  has.ordered AND b.typcategory IN ('N', 'S', 'D', 'T', 'E', 'I'), \
  CASE WHEN b.typtype = 'e' OR b.typnamespace = 'pg_catalog'::pg_catalog.regnamespace \
       THEN pg_catalog.format_type(b.oid, -1) END \
FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN b.typcategory = 'A' AND b.typlen = -1 AND b.typelem <> 0 THEN b.typelem ELSE b.oid END \
CROSS JOIN LATERAL (SELECT e.typtype IN ('e', 'r', 'm') OR EXISTS ( \
  SELECT FROM pg_catalog.pg_opclass o WHERE o.opcdefault AND o.opcmethod = 403 AND (o.opcintype = e.oid OR EXISTS ( \
    SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = e.oid AND k.casttarget = o.opcintype \
      AND k.castmethod = 'b' AND k.castcontext = 'i'))) AS ordered OFFSET 0) has \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
  AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT') \
ORDER BY a.attnum";

/// A column.
#[derive(Debug, Clone)]
pub(in crate::db::postgres::catalog) struct Column {
    pub(super) name: String,
    pub(super) declared: String,
    pub(super) shape: Shape,
    /// Whether values can be told apart.
    pub(super) equality: bool,
    /// Whether there is a least and a greatest value that say something.
    pub(super) ordered: bool,
    /// The type's name in SQL, where it is PostgreSQL's own or an enum.
    pub(super) base: Option<String>,
}

impl Column {
    /// One of a table that is known beforehand.
    pub(in crate::db::postgres::catalog) fn known(name: &str, declared: &str, base: u32) -> Self {
        let shape = Shape::of(base, None);
        Self { name: name.into(), declared: declared.into(), shape, equality: true, ordered: true, base: None }
    }

    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            name: row.try_get(0)?,
            declared: row.try_get(1)?,
            shape: Shape::of(row.try_get(2)?, row.try_get(3)?),
            equality: row.try_get(4)?,
            ordered: row.try_get(5)?,
            base: row.try_get(6)?,
        })
    }
}

/// The columns of a table that the role may read.
pub(super) struct Columns(Vec<Column>);

/// Those that are analysed, and what there is to say of the choice.
pub(super) struct Wanted {
    pub(super) columns: Vec<Column>,
    pub(super) notes: Vec<String>,
}

pub(super) async fn load(client: &Client, oid: u32) -> Result<Columns, Error> {
    let rows = client.query_typed(COLUMNS, &[(&oid, Type::OID)]).await?;
    Ok(Columns(rows.iter().map(Column::of).collect::<Result<_, _>>()?))
}

impl Columns {
    /// Those of the names, or all; in the table's order, and not more than one analysis takes.
    pub(super) fn choose(self, names: &[String]) -> Result<Wanted, QueryError> {
        if let Some(unknown) = names.iter().find(|name| !self.0.iter().any(|column| column.name == **name)) {
            let there: Vec<_> = self.0.iter().take(NAMES_MAX).map(|column| column.name.as_str()).collect();
            let unknown: String = unknown.chars().take(64).collect();
            let more = if self.0.len() > NAMES_MAX { " and more" } else { "" };
            let text = format!("The table has no column `{unknown}`; it has: {}{more}.", there.join(", "));
            return Err(QueryError::Arguments(text));
        }
        let mut columns = self.0;
        columns.retain(|column| names.is_empty() || names.contains(&column.name));
        let mut notes = Vec::new();
        if columns.len() > COLUMNS_MAX {
            let left = columns.len() - COLUMNS_MAX;
            notes.push(format!(
                "These are the first {COLUMNS_MAX} columns; pass the names of the other {left} as `columns`."
            ));
            columns.truncate(COLUMNS_MAX);
        }
        Ok(Wanted { columns, notes })
    }
}
