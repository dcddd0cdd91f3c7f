//! What an operator is told of a token: every check, and what it found. Never the token.

/// All checks of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The checks in their order. After one that makes the rest pointless there are no more.
    pub checks: Vec<Check>,
}

impl Explanation {
    /// Whether the token is good.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, as in `signature`.
    pub what: &'static str,
    /// Whether it was as it must be.
    pub passed: bool,
    /// What was found and, if it did not pass, what was expected and what to do. Claims may be named; never the token.
    pub found: String,
}
