//! What somebody at a toolset with OAuth is told who has no token, a wrong one, or one with too few scopes. Writing it into a
//! header is the edge's (RFC 6750 section 3, RFC 9728 section 5.1).

/// How to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Where the toolset's resource metadata is.
    pub metadata_url: String,
    /// All scopes that are needed: to come in, or for the operation that was tried. Sorted, each once.
    pub scopes: Vec<String>,
    /// For people: where to sign in, and how to come to a client id; whole sentences.
    pub hint: String,
}
