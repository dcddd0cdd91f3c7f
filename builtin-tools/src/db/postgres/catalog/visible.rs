//! The tables that the role may read and the rules offer: read in one query, kept by the source for a while, and asked by
//! the judge of statements and by everything else in `catalog`.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
};

use futures_util::TryStreamExt;
use patchbay_sql_policy::{TableName, Tables};
use tokio_postgres::{Client, Error, Row, types::Type};

use super::{names, rules::TableRules};
use crate::db::error::QueryError;

/// The most tables of a source; those beyond, in the order of names, are not offered.
const TABLES_MAX: usize = 20_000;
/// The most tables that are looked at to find those that the rules offer.
const TABLES_READ_MAX: usize = 200_000;
/// The most columns whose names are kept by table.
const COLUMNS_MAX: i32 = 100;

/// `$1` the schemas, `$2` how many columns of a table, `$3` how many tables. A table is there when the role may read all
/// of it or some of its columns.
pub(super) const VISIBLE: &str = "\
SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text, \
       CASE WHEN c.relispartition THEN (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) END, \
       a.names, a.number \
FROM pg_catalog.pg_namespace n \
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
CROSS JOIN LATERAL (SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AS whole OFFSET 0) may \
CROSS JOIN LATERAL ( \
  SELECT (pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum))[1:$2] AS names, \
         pg_catalog.count(*)::integer AS number \
  FROM pg_catalog.pg_attribute a \
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    AND (may.whole OR pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')) \
) a \
WHERE n.nspname::pg_catalog.text = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND (may.whole OR a.number > 0) \
ORDER BY n.nspname, c.relname LIMIT $3";

/// What a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordinary table.
    Table,
    /// A table in partitions.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    Materialized,
    /// A table of another server.
    Foreign,
}

impl Kind {
    fn of(relkind: &str) -> Self {
        match relkind {
            "p" => Self::Partitioned,
            "v" => Self::View,
            "m" => Self::Materialized,
            "f" => Self::Foreign,
            _ => Self::Table,
        }
    }

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Partitioned => "partitioned table",
            Self::View => "view",
            Self::Materialized => "materialized view",
            Self::Foreign => "foreign table",
        }
    }

    /// Whether the database has rows of it on disk, and with them pages to sample and statistics.
    pub(crate) const fn has_pages(self) -> bool {
        matches!(self, Self::Table | Self::Partitioned | Self::Materialized)
    }
}

/// A table that is offered and may be read.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Its number in the catalog. It may be gone by the time it is used; whoever uses it looks again.
    pub(super) oid: u32,
    pub(crate) kind: Kind,
    /// The partitioned table that it is a part of.
    parent: Option<u32>,
    /// The columns that the role may read, the first ones of a wide table.
    pub(crate) columns: Vec<String>,
    /// How many columns the role may read.
    pub(super) columns_number: usize,
}

/// The tables that the role may read and the rules offer. A picture of one moment: PostgreSQL itself refuses what was
/// revoked since.
#[derive(Debug, Clone)]
pub(crate) struct Visible {
    rules: TableRules,
    tables: BTreeMap<TableName, Table>,
    by_oid: HashMap<u32, TableName>,
    /// Whether there are more tables than a source may have.
    pub(crate) truncated: bool,
}

/// Reads the catalog: one round trip, about 25 bytes by table and by column, so at most some megabytes for the 20,000
/// tables of a source.
pub(crate) async fn load(client: &Client, rules: &TableRules) -> Result<Visible, Error> {
    let schemas = rules.schemas();
    let tables_max = i64::try_from(TABLES_READ_MAX).unwrap_or(i64::MAX);
    let rows = client
        .query_typed_raw(
            VISIBLE,
            [
                (&schemas as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT_ARRAY),
                (&COLUMNS_MAX, Type::INT4),
                (&tables_max, Type::INT8),
            ],
        )
        .await?;
    let mut rows = pin!(rows);
    let (mut tables, mut by_oid, mut truncated) = (BTreeMap::new(), HashMap::new(), false);
    while let Some(row) = rows.try_next().await? {
        let name = TableName { schema: row.try_get(1)?, name: row.try_get(2)? };
        if !rules.offers(&name) {
            continue;
        }
        if tables.len() == TABLES_MAX {
            truncated = true;
            continue;
        }
        let table = table(&row)?;
        by_oid.insert(table.oid, name.clone());
        tables.insert(name, table);
    }
    Ok(Visible { rules: rules.clone(), tables, by_oid, truncated })
}

fn table(row: &Row) -> Result<Table, Error> {
    let relkind: &str = row.try_get(3)?;
    let number: i32 = row.try_get(6)?;
    Ok(Table {
        oid: row.try_get(0)?,
        kind: Kind::of(relkind),
        parent: row.try_get(4)?,
        columns: row.try_get::<_, Option<Vec<String>>>(5)?.unwrap_or_default(),
        columns_number: usize::try_from(number).unwrap_or_default(),
    })
}

impl Tables for Visible {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        let known = |schema: &str| {
            let table = TableName { schema: schema.to_owned(), name: name.to_owned() };
            self.tables.contains_key(&table).then_some(table)
        };
        match schema {
            Some(schema) => known(schema),
            None => self.rules.schemas().iter().find_map(|schema| known(schema)),
        }
    }
}

impl Visible {
    /// The table that a caller means by `text`: a name as [`super::list()`] gives it, with or without a schema, or as SQL
    /// writes it.
    pub(crate) fn find(&self, text: &str) -> Result<TableName, QueryError> {
        let mut readings = names::readings(text).into_iter();
        readings.find_map(|(schema, name)| self.resolve(schema.as_deref(), &name)).ok_or(QueryError::NoSuchTable)
    }

    /// The table of that name.
    pub(crate) fn table(&self, name: &TableName) -> Result<&Table, QueryError> {
        self.tables.get(name).ok_or(QueryError::NoSuchTable)
    }

    /// All of them, by schema and name.
    pub(crate) fn tables(&self) -> impl DoubleEndedIterator<Item = (&TableName, &Table)> + Clone {
        self.tables.iter()
    }

    /// The names that lists show.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tables().filter(|(_, table)| !self.is_part(table)).map(|(name, _)| self.shown(name)).collect()
    }

    /// The name under which lists and descriptions show the table: with its schema where the source has several.
    pub(crate) fn shown(&self, table: &TableName) -> String {
        if self.has_several_schemas() { format!("{}.{}", table.schema, table.name) } else { table.name.clone() }
    }

    /// What the operator wrote under `tables` and `inserts` and no table has for a name: misspelt, or without a grant.
    pub(crate) fn unmet(&self) -> Vec<&str> {
        self.rules.unmet(&self.tables.keys())
    }

    /// Whether the table is a part of a partitioned one that is offered too; lists name only the whole.
    pub(super) fn is_part(&self, table: &Table) -> bool {
        table.parent.is_some_and(|parent| self.by_oid.contains_key(&parent))
    }

    pub(super) fn rules(&self) -> &TableRules {
        &self.rules
    }

    pub(super) fn has_several_schemas(&self) -> bool {
        self.rules.schemas().len() > 1
    }

    pub(super) fn by_oid(&self, oid: u32) -> Option<&TableName> {
        self.by_oid.get(&oid)
    }
}
