//! The list of tables, page by page. Which tables are on a page is known from `visible`; how large they are and what their
//! owners say of them is asked for a page at once.

use std::collections::HashMap;

use patchbay_sql_policy::TableName;
use tokio_postgres::{Client, Error, types::Type};

use super::{
    trouble,
    visible::{Table, Visible},
};
use crate::db::{
    answer::{TableLine, TableList},
    error::QueryError,
    source::{Bounds, ListFilter},
};

/// The most tables that one list names.
const TABLES_MAX: usize = 500;
/// The most characters of a comment in a list.
const COMMENT_CHARS_MAX: i32 = 300;
/// What a line takes beside its names and its comment, in bytes of JSON.
const LINE_BYTES: usize = 250;

/// `$1` the tables' numbers, `$2` how many characters of a comment. What the role may no longer read is not there. Sizes
/// are left out where somebody holds, or waits for, a lock that asking would wait for; sizes and rows of tables with row
/// security are nobody's business who may not see all rows.
pub(super) const SIZES: &str = "\
WITH RECURSIVE asked AS MATERIALIZED ( \
  SELECT c.oid, c.relkind, c.reltuples, pg_catalog.row_security_active(c.oid) AS hidden \
  FROM pg_catalog.pg_class c \
  WHERE c.oid = ANY ($1) AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT') \
), locked AS MATERIALIZED ( \
  SELECT l.relation FROM pg_catalog.pg_locks l \
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' \
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
), parts(root, oid) AS ( \
  SELECT asked.oid, i.inhrelid FROM asked JOIN pg_catalog.pg_inherits i ON i.inhparent = asked.oid \
  WHERE asked.relkind = 'p' \
  UNION ALL \
  SELECT parts.root, i.inhrelid FROM parts JOIN pg_catalog.pg_inherits i ON i.inhparent = parts.oid \
), summed AS MATERIALIZED ( \
  SELECT parts.root, pg_catalog.sum(pg_catalog.pg_total_relation_size(p.oid)) AS bytes, \
         CASE WHEN pg_catalog.bool_and(p.reltuples >= 0) THEN pg_catalog.sum(p.reltuples) ELSE -1 END AS tuples \
  FROM parts JOIN pg_catalog.pg_class p ON p.oid = parts.oid AND p.relkind IN ('r', 'm') \
  WHERE NOT EXISTS (SELECT FROM locked) \
  GROUP BY parts.root \
) \
SELECT a.oid, \
  CASE WHEN a.hidden THEN NULL \
       WHEN a.relkind = 'p' THEN s.bytes::bigint \
       WHEN a.relkind IN ('r', 'm') AND NOT EXISTS ( \
         SELECT FROM locked l WHERE l.relation = a.oid OR EXISTS ( \
           SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.oid AND i.indexrelid = l.relation)) \
       THEN pg_catalog.pg_total_relation_size(a.oid) END, \
  CASE WHEN a.hidden OR a.relkind = 'v' THEN NULL \
       WHEN a.relkind = 'p' AND s.root IS NOT NULL THEN NULLIF(s.tuples, -1)::bigint \
       ELSE NULLIF(a.reltuples, -1)::bigint END, \
  pg_catalog.left(pg_catalog.obj_description(a.oid, 'pg_class'), $2) \
FROM asked a LEFT JOIN summed s ON s.root = a.oid";

/// What the database knows of a table beside its names.
struct Size {
    bytes: Option<u64>,
    rows: Option<u64>,
    comment: Option<String>,
}

/// The tables that `filter` wants, by schema and name, as many as the bounds allow. Parts of partitioned tables are left
/// out where the whole is offered.
pub(crate) async fn list(
    client: &Client,
    visible: &Visible,
    filter: &ListFilter,
    bounds: &Bounds,
) -> Result<TableList, QueryError> {
    let mut wanted = wanted(visible, filter)?;
    let page: Vec<_> = wanted.by_ref().take(TABLES_MAX).collect();
    let mut sizes = sizes(client, &page).await.map_err(|error| trouble::of_ours(&error, "listing tables"))?;
    let (mut tables, mut bytes_left, mut cut) = (Vec::new(), bounds.bytes_max, None);
    for (name, table) in &page {
        // A table that went away since the catalog was read is not named.
        let Some(size) = sizes.remove(&table.oid) else { continue };
        let line = line(visible, name, table, size, bounds.bytes_max);
        let bytes = line_bytes(&line);
        if bytes > bytes_left && !tables.is_empty() {
            cut = tables.last().map(|line: &TableLine| line.name.clone());
            break;
        }
        bytes_left = bytes_left.saturating_sub(bytes);
        tables.push(line);
    }
    let more = || wanted.next().is_some().then(|| page.last().map(|(name, _)| visible.shown(name))).flatten();
    let next = cut.or_else(more);
    Ok(TableList { tables, truncated: next.is_some(), next })
}

fn wanted<'a>(
    visible: &'a Visible,
    filter: &ListFilter,
) -> Result<impl Iterator<Item = (&'a TableName, &'a Table)>, QueryError> {
    let schemas = visible.rules().schemas();
    if let Some(schema) = filter.schema.as_ref().filter(|schema| !schemas.contains(schema)) {
        let offered = schemas.join(", ");
        let schema: String = schema.chars().take(64).collect();
        return Err(QueryError::Arguments(format!("This source has no schema `{schema}`; it has: {offered}.")));
    }
    let after = filter.after.as_deref().map(|after| place_of(visible, after));
    let (schema, part) = (filter.schema.clone(), filter.contains.as_deref().map(str::to_lowercase));
    Ok(visible.tables().filter(move |(name, table)| {
        after.as_ref().is_none_or(|after| *name > after)
            && schema.as_ref().is_none_or(|schema| name.schema == *schema)
            && part.as_ref().is_none_or(|part| name.name.to_lowercase().contains(part))
            && !visible.is_part(table)
    }))
}

/// Where a page ended: a table that may be gone by now.
fn place_of(visible: &Visible, after: &str) -> TableName {
    if let Ok(table) = visible.find(after) {
        return table;
    }
    let schemas = visible.rules().schemas();
    let parted = after.match_indices('.').map(|(dot, _)| (&after[..dot], &after[dot + 1..]));
    let mut known = parted.filter(|(schema, _)| schemas.iter().any(|offered| offered == schema));
    match known.next().filter(|_| visible.has_several_schemas()) {
        Some((schema, name)) => TableName { schema: schema.to_owned(), name: name.to_owned() },
        None => TableName { schema: schemas[0].clone(), name: after.to_owned() },
    }
}

async fn sizes(client: &Client, page: &[(&TableName, &Table)]) -> Result<HashMap<u32, Size>, Error> {
    let oids: Vec<u32> = page.iter().map(|(_, table)| table.oid).collect();
    if oids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = client.query_typed(SIZES, &[(&oids, Type::OID_ARRAY), (&COMMENT_CHARS_MAX, Type::INT4)]).await?;
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    rows.iter()
        .map(|row| {
            let size = Size { bytes: number(row.try_get(1)?), rows: number(row.try_get(2)?), comment: row.try_get(3)? };
            Ok((row.try_get(0)?, size))
        })
        .collect()
}

fn line(visible: &Visible, name: &TableName, table: &Table, size: Size, bytes_max: usize) -> TableLine {
    let mut line = TableLine {
        name: visible.shown(name),
        schema: Some(name.schema.clone()),
        kind: table.kind.name(),
        columns: Vec::new(),
        rows: size.rows,
        rows_estimated: size.rows.is_some(),
        rows_at_least: false,
        bytes: size.bytes,
        comment: size.comment,
    };
    // Any one line fits into an answer: first its comment goes, then its last columns.
    if line_bytes(&line) > bytes_max {
        line.comment = None;
    }
    let mut room = bytes_max.saturating_sub(line_bytes(&line));
    for column in &table.columns {
        let bytes = text_bytes(column) + 1;
        if bytes > room {
            break;
        }
        room -= bytes;
        line.columns.push(column.clone());
    }
    let left_out = table.columns_number - line.columns.len();
    if left_out > 0 {
        line.columns.push(format!("… and {left_out} more; describe_table names them"));
    }
    line
}

fn line_bytes(line: &TableLine) -> usize {
    let texts = [Some(&line.name), line.schema.as_ref(), line.comment.as_ref()];
    let columns = line.columns.iter().map(|column| text_bytes(column) + 1).sum::<usize>();
    LINE_BYTES + columns + texts.into_iter().flatten().map(|text| text_bytes(text)).sum::<usize>()
}

/// Bytes of a text as JSON.
fn text_bytes(text: &str) -> usize {
    crate::db::answer::json_bytes(&serde_json::Value::from(text))
}
