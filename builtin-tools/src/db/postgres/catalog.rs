//! What a PostgreSQL database says of its tables, as far as the role and the options let them be seen.

use std::collections::BTreeMap;

use globset::{Glob, GlobSet, GlobSetBuilder};
use patchbay_sql_policy::{TableName, Tables};
use serde_json::{Map, Value};
use tokio_postgres::{Client, Error};

use super::clock::Clock;
use crate::{
    OptionsError,
    db::{
        answer::{Column, Inserted, TableAnalysis, TableDetail, TableLine, TableList},
        error::QueryError,
        source::{Bounds, Cx, ListFilter},
    },
};

/// Which tables may be read.
#[derive(Debug)]
pub(crate) struct TableRules {
    schemas: Vec<String>,
    tables: Option<GlobSet>,
}

impl TableRules {
    pub(crate) fn new(schemas: &[String], tables: Option<&[String]>, _: &[String]) -> Result<Self, OptionsError> {
        let set = |globs: &[String]| {
            let mut builder = GlobSetBuilder::new();
            for glob in globs {
                builder.add(Glob::new(glob)?);
            }
            builder.build()
        };
        let wrong = |error: globset::Error| OptionsError::Meaning("tables".into(), error.to_string());
        Ok(Self { schemas: schemas.to_vec(), tables: tables.map(set).transpose().map_err(wrong)? })
    }
}

/// The tables that may be read.
#[derive(Debug)]
pub(crate) struct Visible {
    schemas: Vec<String>,
    tables: BTreeMap<TableName, Vec<String>>,
}

impl Tables for Visible {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        let schemas: Vec<&str> =
            schema.map_or_else(|| self.schemas.iter().map(String::as_str).collect(), |one| vec![one]);
        let full = |schema: &&str| TableName { schema: (*schema).to_owned(), name: name.to_owned() };
        schemas.iter().map(full).find(|table| self.tables.contains_key(table))
    }
}

impl Visible {
    /// The names as `list` gives them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tables.keys().map(|table| self.shown(table)).collect()
    }

    fn shown(&self, table: &TableName) -> String {
        if self.schemas.len() > 1 { format!("{}.{}", table.schema, table.name) } else { table.name.clone() }
    }
}

/// What the role may do although it should not.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) sentence: String,
}

pub(crate) async fn probe(client: &Client, _: &TableRules) -> Result<Vec<Finding>, Error> {
    let row = client.query_one("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER", &[]).await?;
    let sentence = "The role is a superuser; make one of its own for this source.".to_owned();
    Ok(if row.try_get(0)? { vec![Finding { name: "superuser", sentence }] } else { Vec::new() })
}

pub(crate) async fn load(client: &Client, rules: &TableRules) -> Result<Visible, Error> {
    let sql = "SELECT n.nspname::text, c.relname::text, pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
        WHERE c.relkind IN ('r','p','v','m','f') AND n.nspname = ANY ($1) \
        AND pg_catalog.has_table_privilege(c.oid, 'SELECT') GROUP BY 1, 2";
    let rows = client.query(sql, &[&rules.schemas]).await?;
    let mut tables = BTreeMap::new();
    for row in rows {
        let name = TableName { schema: row.try_get(0)?, name: row.try_get(1)? };
        if rules.tables.as_ref().is_none_or(|set| set.is_match(&name.name)) {
            tables.insert(name, row.try_get(2)?);
        }
    }
    Ok(Visible { schemas: rules.schemas.clone(), tables })
}

pub(crate) async fn list(_: &Client, visible: &Visible, _: &ListFilter, _: &Bounds) -> Result<TableList, QueryError> {
    let line = |(table, columns): (&TableName, &Vec<String>)| TableLine {
        name: visible.shown(table),
        schema: Some(table.schema.clone()),
        kind: "table",
        columns: columns.clone(),
        rows: None,
        rows_estimated: false,
        rows_at_least: false,
        bytes: None,
        comment: None,
    };
    Ok(TableList { tables: visible.tables.iter().map(line).collect(), truncated: false, next: None })
}

pub(crate) async fn describe(
    _: &Client,
    visible: &Visible,
    table: &TableName,
    insertable: bool,
) -> Result<TableDetail, QueryError> {
    let columns = visible.tables.get(table).ok_or(QueryError::NoSuchTable)?;
    let column = |name: &String| Column {
        name: name.clone(),
        declared: String::new(),
        nullable: true,
        default: None,
        length_max: None,
        values: Vec::new(),
        made: None,
        comment: None,
    };
    Ok(TableDetail {
        name: visible.shown(table),
        schema: Some(table.schema.clone()),
        kind: "table",
        comment: None,
        columns: columns.iter().map(column).collect(),
        primary_key: Vec::new(),
        foreign_keys: Vec::new(),
        referenced_by: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        insertable,
        truncated: false,
    })
}

pub(crate) async fn analyze(
    _: &Client,
    _: &Visible,
    _: &TableName,
    _: &[String],
    _: &Cx,
    _: &Clock,
) -> Result<TableAnalysis, QueryError> {
    Err(QueryError::Unavailable)
}

pub(crate) async fn insert(
    _: &Client,
    _: &Visible,
    _: &TableName,
    _: &Map<String, Value>,
) -> Result<Inserted, QueryError> {
    Err(QueryError::NotInsertable)
}
