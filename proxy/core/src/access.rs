//! Who may do what with a toolset, once it is known who calls: groups, scopes, and which tools only read. Pure rules; signing
//! in is the gateway's `auth`, and what a refusal looks like is its `edge`'s.
//!
//! Groups hide: what they keep from somebody looks as if it were not there. Scopes do not: what only a scope is missing for is
//! listed, and a call of it is told all scopes that it needs (MCP authorization, scope challenge handling).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What tokens need at a toolset. API keys are not asked: they open what they were made for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessRules {
    /// Groups of which a caller needs one to find the toolset at all; empty: everybody of the issuers.
    pub groups: Vec<String>,
    /// Groups of which a caller needs one to see the tools that write; empty: whoever is let in.
    pub write_groups: Vec<String>,
    /// The scopes.
    pub scopes: ScopeRules,
}

/// The scopes that tokens need. Each list is needed whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeRules {
    /// To come in.
    pub enter: Vec<String>,
    /// To call a tool that only reads, besides `enter`.
    pub read: Vec<String>,
    /// To call any other tool, besides `enter`.
    pub write: Vec<String>,
    /// To call tools by globs over `server/native`, besides the others; all globs that match count.
    pub tools: BTreeMap<String, Vec<String>>,
}

/// Whether a tool changes anything, as far as the operator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolClass {
    /// It only reads.
    Read,
    /// It may change something; also when nobody said anything of it.
    #[default]
    Write,
}

/// How the tools of a server are told apart. `readOnlyHint` is the server's own word and counts only where the operator
/// says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolClasses {
    /// Globs of native names of tools that only read.
    pub read: Vec<String>,
    /// Globs of native names of tools that may change something; stronger than `read` and than hints.
    pub write: Vec<String>,
    /// Whether a tool that neither list names is taken for what its `readOnlyHint` says. Absent: for servers that are part of
    /// the program, and for no others.
    pub trust_hints: Option<bool>,
}

/// The scopes of a token, with all that they imply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(BTreeSet<Box<str>>);

impl Scopes {
    /// The scopes that were granted, and what they imply by `implies` (from a scope to those that it contains), step by step.
    pub fn granted<'a>(granted: impl IntoIterator<Item = &'a str>, implies: &BTreeMap<String, Vec<String>>) -> Self {
        let mut all = BTreeSet::new();
        let mut open: Vec<&str> = granted.into_iter().collect();
        while let Some(scope) = open.pop() {
            if all.insert(Box::from(scope)) {
                open.extend(implies.get(scope).into_iter().flatten().map(String::as_str));
            }
        }
        Self(all)
    }

    /// Whether this scope is among them.
    pub fn has(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether all of these are among them.
    pub fn cover<'a>(&self, needed: impl IntoIterator<Item = &'a str>) -> bool {
        needed.into_iter().all(|scope| self.has(scope))
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }
}

/// Whether one of the wanted groups is among those of a caller; always, when none is wanted.
pub fn in_any(wanted: &[String], groups: &[Box<str>]) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| groups.iter().any(|group| **group == **wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_brings_what_it_implies_and_circles_end() {
        let implies = BTreeMap::from([
            ("admin".to_owned(), vec!["write".to_owned()]),
            ("write".to_owned(), vec!["read".to_owned(), "admin".to_owned()]),
        ]);
        let scopes = Scopes::granted(["write"], &implies);
        assert!(scopes.cover(["read", "write", "admin"]) && !scopes.has("other"));
        assert!(Scopes::granted([], &implies).cover([]) && !Scopes::default().has("read"));
    }

    #[test]
    fn no_wanted_group_means_everybody_and_names_are_compared_whole() {
        let groups = [Box::from("dev"), Box::from("ops")];
        assert!(in_any(&[], &[]) && in_any(&["ops".into()], &groups));
        assert!(!in_any(&["op".into(), "OPS".into()], &groups) && !in_any(&["ops".into()], &[]));
    }
}
