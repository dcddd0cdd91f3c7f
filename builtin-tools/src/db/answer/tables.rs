//! What is said of tables: lists, descriptions, analyses; and the two answers that are neither rows nor tables.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// Tables and views of a source.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableList {
    /// By schema and name.
    pub(crate) tables: Vec<TableLine>,
    /// Whether there are more than are named here.
    pub(crate) truncated: bool,
    /// Pass it as `after` to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A table or view in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableLine {
    /// The name that the other tools take; it has a schema in front where the source has several.
    pub(crate) name: String,
    /// The schema; absent where the database has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    /// `table`, `view`, `materialized view`, `partitioned table` or `foreign table`.
    pub(crate) kind: &'static str,
    /// The columns' names.
    pub(crate) columns: Vec<String>,
    /// How many rows it has; absent where nobody knows without counting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Whether `rows` is the database's estimate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rows_estimated: bool,
    /// Whether `rows` is where counting stopped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rows_at_least: bool,
    /// Bytes on disk, with its indexes; absent where the database does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// What its owner says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

/// What a table or view looks like.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableDetail {
    /// The name that the other tools take.
    pub(crate) name: String,
    /// The schema; absent where the database has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    /// `table`, `view`, `materialized view`, `partitioned table` or `foreign table`.
    pub(crate) kind: &'static str,
    /// What its owner says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// In order.
    pub(crate) columns: Vec<Column>,
    /// The columns of the primary key, in its order; empty without one.
    pub(crate) primary_key: Vec<String>,
    /// What points from here to other tables.
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// What points from other tables to here; `table` and `columns` are there, `to_columns` here.
    pub(crate) referenced_by: Vec<ForeignKey>,
    /// What makes looking up fast.
    pub(crate) indexes: Vec<Index>,
    /// What else the rows are held to: CHECK, UNIQUE, EXCLUDE.
    pub(crate) constraints: Vec<Constraint>,
    /// Whether `insert_record` may add rows.
    pub(crate) insertable: bool,
    /// Whether a list in here was cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) truncated: bool,
}

/// A column.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Column {
    /// The name.
    pub(crate) name: String,
    /// The type as it was declared.
    #[serde(rename = "type")]
    pub(crate) declared: String,
    /// Whether it may be NULL.
    pub(crate) nullable: bool,
    /// The default, as SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    /// The most characters of a text, where the type has such a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) length_max: Option<u32>,
    /// The values of an enum.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<String>,
    /// Whether the database makes the value: `generated` from other columns, or `identity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<&'static str>,
    /// What its owner says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

/// Columns that point to columns of another table.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ForeignKey {
    /// The columns that point.
    pub(crate) columns: Vec<String>,
    /// The table at the other end.
    pub(crate) table: String,
    /// The columns that are pointed to, in the same order; empty when they are the primary key.
    pub(crate) to_columns: Vec<String>,
}

/// An index.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Index {
    /// The name; absent where it is the database's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The columns, in order; an expression has no name.
    pub(crate) columns: Vec<Option<String>>,
    /// Whether no two rows have the same values there.
    pub(crate) unique: bool,
    /// How it works, as in `btree` or `gin`; absent where there is only one way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    /// The condition of rows that are in it, as SQL; absent when all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
}

/// A constraint.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Constraint {
    /// The name; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// As SQL.
    pub(crate) definition: String,
}

/// What is in a table.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TableAnalysis {
    /// The name that the other tools take.
    pub(crate) name: String,
    /// How many rows it has; absent where nobody knows without counting longer than a call may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Whether `rows` is the database's estimate.
    pub(crate) rows_estimated: bool,
    /// Where the columns' numbers come from: `rows` (all were read), `sample` (some were) or `statistics` (the database's own).
    pub(crate) basis: &'static str,
    /// How many rows were read for them, when they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_read: Option<u64>,
    /// By column, in order.
    pub(crate) columns: Vec<ColumnAnalysis>,
    /// What is missing and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// What is in a column.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ColumnAnalysis {
    /// The name.
    pub(crate) name: String,
    /// The type as it was declared.
    #[serde(rename = "type")]
    pub(crate) declared: String,
    /// The share of rows in which it is NULL, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) null_share: Option<f64>,
    /// About how many different values it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) distinct: Option<u64>,
    /// The least value.
    #[schemars(schema_with = "cell_schema")]
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) min: Value,
    /// The greatest value.
    #[schemars(schema_with = "cell_schema")]
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) max: Value,
    /// Some of its values, the most frequent first where that is known.
    #[schemars(schema_with = "cells_schema")]
    pub(crate) samples: Vec<Value>,
}

/// How the database would run a query.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Plan {
    /// The plan, as the database prints it, one step a line.
    pub(crate) plan: Vec<String>,
    /// The planner's guess of rows; absent where it makes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows_estimated: Option<u64>,
    /// The planner's guess of cost, in its own unit; absent where it makes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost_estimated: Option<f64>,
    /// Whether lines were left out.
    pub(crate) truncated: bool,
}

/// A row that was added.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Inserted {
    /// The table.
    pub(crate) table: String,
    /// The row as the database has it, by columns, with what it filled in itself.
    #[schemars(schema_with = "row_schema")]
    pub(crate) row: Map<String, Value>,
}

/// What a cell can be; without the word `any`, which some clients cannot read.
fn cell_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["null", "boolean", "number", "string", "array", "object"] })
}

fn cells_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": cell_schema(generator) })
}

fn row_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": cell_schema(generator) })
}
