//! Judges one SQL statement of a caller by its tree: whether it only reads, and only what it may. Pure: no database, no
//! clock, no I/O. The DB explorer calls it for its PostgreSQL sources; what runs there is the text that is rendered from
//! the judged tree, never the caller's bytes.

use std::collections::BTreeSet;

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
    /// The table that a reference means, if it may be read. Names are folded as PostgreSQL does it; `schema` is `None` for an
    /// unqualified reference, which is looked up in the source's schemas in their order.
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
    /// The statement, rendered from the tree, tables qualified. This is what may run.
    pub sql: String,
    /// What it is.
    pub kind: Kind,
    /// The highest number of its parameters: `$3` means 3, none means 0.
    pub params: usize,
    /// The tables that it reads.
    pub tables: BTreeSet<TableName>,
}

/// Why a statement may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused")]
pub struct Refusal;

/// Judges `sql`. Needs a stack of [`STACK_BYTES`].
///
/// # Errors
/// A sentence that says what was refused and what to write instead.
pub fn judge(sql: &str, tables: &dyn Tables) -> Result<Judged, Refusal> {
    let _ = (sql, tables);
    Err(Refusal)
}
