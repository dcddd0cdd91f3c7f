//! What one table looks like: four queries in one round trip. Every name in an answer is one that the role may read of a
//! table that the rules offer; an index, a default or a condition that speaks of another column is left out.

mod columns;
mod indexes;
mod keys;

use patchbay_sql_policy::TableName;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use super::{trouble, visible::Visible};
use crate::db::{answer::TableDetail, error::QueryError};

pub(super) use columns::{COLUMNS, TABLE};
pub(super) use indexes::INDEXES;
pub(super) use keys::CONSTRAINTS;

/// The most entries of each list.
const ENTRIES_MAX: usize = 200;
/// Columns are told to the last: PostgreSQL has at most 1,600.
const COLUMNS_MAX: usize = 1_600;
/// The most characters of a comment, a default, a condition or a definition.
const TEXT_CHARS_MAX: i32 = 1_000;

/// What the table or view looks like.
pub(crate) async fn describe(client: &Client, visible: &Visible, table: &TableName) -> Result<TableDetail, QueryError> {
    let oid = visible.table(table)?.oid;
    let found = parts(client, visible, oid).await;
    let (about, columns, keys, indexes) =
        found.map_err(|error| trouble::of_ours(&error, &format!("describing {}", visible.shown(table))))?;
    // It went away, or the grant did, since the catalog was read.
    let about = about.ok_or(QueryError::NoSuchTable)?;
    let full = |entries: usize| entries > ENTRIES_MAX;
    let truncated = columns.truncated || full(keys.read) || full(indexes.len());
    let mut constraints = keys.constraints;
    constraints.extend(about.partitioning);
    let mut indexes = indexes;
    indexes.truncate(ENTRIES_MAX);
    Ok(TableDetail {
        name: visible.shown(table),
        schema: Some(table.schema.clone()),
        kind: visible.table(table)?.kind.name(),
        comment: about.comment,
        columns: columns.columns,
        primary_key: keys.primary_key,
        foreign_keys: keys.foreign_keys,
        referenced_by: keys.referenced_by,
        indexes,
        constraints,
        insertable: about.insertable && visible.rules().opens(table),
        truncated,
    })
}

type Parts = (Option<columns::About>, columns::Columns, keys::Keys, Vec<crate::db::answer::Index>);

async fn parts(client: &Client, visible: &Visible, oid: u32) -> Result<Parts, Error> {
    let table: [(&(dyn ToSql + Sync), Type); 2] = [(&oid, Type::OID), (&TEXT_CHARS_MAX, Type::INT4)];
    let rows_max = i64::try_from(ENTRIES_MAX + 1).unwrap_or(i64::MAX);
    let listed: [(&(dyn ToSql + Sync), Type); 3] =
        [(&oid, Type::OID), (&TEXT_CHARS_MAX, Type::INT4), (&rows_max, Type::INT8)];
    let (about, columns, keys, indexes) = tokio::try_join!(
        biased;
        client.query_typed_opt(TABLE, &table),
        client.query_typed(COLUMNS, &table),
        client.query_typed(CONSTRAINTS, &listed),
        client.query_typed(INDEXES, &listed)
    )?;
    let columns = columns::read(&columns)?;
    let keys = keys::read(&keys, visible, oid)?;
    Ok((about.as_ref().map(columns::About::of).transpose()?, columns, keys, indexes::read(&indexes)?))
}
