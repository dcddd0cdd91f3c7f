//! The answers of a source, the same for every database. `rows` has those of queries, with their bounds; `tables` what is
//! said of tables. They are structured contents of tools, so their doc comments are what a model reads.

mod rows;
mod tables;

pub(crate) use rows::{Collector, EXACT_INTEGER_MAX, QueryAnswer, integer_cell, json_bytes, real_cell, text_cell};
pub(crate) use tables::{
    Column, ColumnAnalysis, Constraint, ForeignKey, Index, Inserted, Plan, TableAnalysis, TableDetail, TableLine,
    TableList,
};
