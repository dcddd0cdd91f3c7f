//! What a PostgreSQL source says of its tables and of its own role. Nothing here connects, begins or ends a transaction:
//! the source hands in a client with a transaction open and `search_path` = `pg_catalog`. All SQL is ours, with values
//! bound, names quoted by `names::quoted`, and everything that it names qualified.
//!
//! What the rules do not list and what the role may not read shows up nowhere: neither as a foreign key's other end, nor in
//! the name of an index, a default, a condition or a comment.

mod analyze;
mod cells;
mod describe;
mod insert;
mod list;
mod names;
mod probe;
mod role;
mod rules;
mod statements;
mod trouble;
mod visible;

#[cfg(test)]
mod tests;

pub(crate) use analyze::analyze;
pub(crate) use describe::describe;
pub(crate) use insert::insert;
pub(crate) use list::list;
pub(super) use names::{literal, quoted};
pub(crate) use probe::{FINDINGS, Finding, probe, unaccepted};
pub use role::role_sql;
pub(crate) use rules::TableRules;
pub use statements::explorer_statements;
pub(crate) use visible::{Visible, load};
