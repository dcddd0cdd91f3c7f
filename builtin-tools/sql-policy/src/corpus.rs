//! The corpora as data: statements that must be refused, that must be accepted, and that are legal reads which something
//! else has to stop. For the tests of this crate and of those that run statements on a real server; nothing else reads it.

/// A statement with what it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What it tries, or shows.
    pub name: &'static str,
    /// The statement, as a caller would send it.
    pub sql: &'static str,
}

/// Statements that must be refused.
pub fn postgres_hostile() -> Vec<Case> {
    cases(include_str!("../corpus/postgres/hostile.sql"))
}

/// Statements that must be accepted, and must mean what they meant.
pub fn postgres_legitimate() -> Vec<Case> {
    cases(include_str!("../corpus/postgres/legitimate.sql"))
}

/// Statements that only read, and that a deadline, a cap or a redacted error has to deal with.
pub fn postgres_runtime() -> Vec<Case> {
    cases(include_str!("../corpus/postgres/runtime.sql"))
}

/// Every case begins with a line `-- name: …` and reaches to the next one; before the first stands what the file is.
fn cases(text: &'static str) -> Vec<Case> {
    const MARK: &str = "-- name: ";
    let case = |part: &'static str| {
        let (name, sql) = part.split_once('\n')?;
        Some(Case { name: name.trim(), sql: sql.trim_end_matches('\n') })
    };
    text.split(MARK).skip(1).filter_map(case).collect()
}
