//! Judges one SQL statement of a caller by its tree: whether it only reads, and only what it may. Pure: no database, no
//! clock, no I/O. The DB explorer calls it for its PostgreSQL sources; what runs there is the text that is written anew
//! from the judged tree, never the caller's bytes.
//!
//! The way of a statement: [`lex`] cuts it into tokens exactly as PostgreSQL would and refuses what is doubtful, [`caps`]
//! bounds it, [`parse`] has sqlparser make the tree of our tokens, [`walk`] goes over the tree with a list of what is
//! allowed and writes the text that may run. That text is then judged once more and must come out as itself.

mod caps;
mod lex;
mod parse;
mod walk;

mod dialect;
mod functions;
mod operators;
mod refusal;
mod scope;
mod types;

#[doc(hidden)]
pub mod corpus;
#[doc(hidden)]
pub mod invariants;

use std::collections::BTreeSet;

pub use refusal::{Refusal, Rule};

use crate::{caps::Caps, parse::Prepared, refusal::Verdict};

/// The stack that [`judge`] needs at most, in bytes; the parser recurses.
pub const STACK_BYTES: usize = 16 * 1024 * 1024;

/// A table or view by its full name, as the catalog has it: neither quoted nor folded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table or view.
    pub name: String,
}

/// Which tables a statement may read.
pub trait Tables {
    /// The table that a reference means, if it may be read. Both names come as PostgreSQL folds them (`Orders` as `orders`,
    /// `"Orders"` as `Orders`); `schema` is `None` for an unqualified reference, which is looked up in the source's schemas
    /// in their order. A table that was given must be found again under its full name.
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName>;
}

/// What kind of statement was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A query that gives rows.
    Query,
    /// EXPLAIN of a query, which runs nothing.
    Explain,
}

/// A statement that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The statement, written anew from the tree, tables qualified. This is what may run.
    pub sql: String,
    /// What it is.
    pub kind: Kind,
    /// The highest number of its parameters: `$3` means 3, none means 0.
    pub params: usize,
    /// The tables that it reads.
    pub tables: BTreeSet<TableName>,
}

/// Judges `sql`. Needs a stack of [`STACK_BYTES`].
///
/// # Errors
/// A sentence that says what was refused and what to write instead.
pub fn judge(sql: &str, tables: &dyn Tables) -> Result<Judged, Refusal> {
    let judged = once(sql, tables, &Caps::CALLER).map_err(|fault| fault.in_text(sql))?;
    let again = once(&judged.sql, tables, &Caps::RENDERED).map_err(|_| Refusal::from(Rule::Unfaithful))?;
    if again == judged { Ok(judged) } else { Err(Rule::Unfaithful.into()) }
}

/// One way from text to text.
fn once(sql: &str, tables: &dyn Tables, caps: &Caps) -> Verdict<Judged> {
    let Prepared { explain, tokens } = parse::prepare(lex::tokens(sql, caps)?)?;
    caps::check(&tokens, caps)?;
    let query = parse::query(tokens)?;
    walk::statement(explain, &query, tables)
}
