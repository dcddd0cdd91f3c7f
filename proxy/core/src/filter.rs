//! Globs over tool names: which tools a server or a toolset offers, and under which words. Compiled when a snapshot is built,
//! asked once for each tool; a call never comes here, it looks its name up.

use globset::{GlobBuilder, GlobMatcher};

use crate::model::ToolRules;

/// How many globs one list may hold.
pub const GLOBS_MAX: usize = 1_000;
/// How long one glob may be.
pub const GLOB_BYTES_MAX: usize = 512;

/// A glob that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It makes no sense.
    #[error("the glob `{pattern}` cannot be read: {reason}")]
    Pattern {
        /// The glob as it is written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There are too many.
    #[error("a list of globs holds {0}, expected at most {GLOBS_MAX}: join some with `*` or `{{a,b}}`")]
    TooMany(usize),
}

/// A list of globs. They match case-sensitively over the whole name, and `*` matches every character, `/` included: a rule
/// that hides `files/*` hides `files/a/b`.
#[derive(Debug, Clone, Default)]
pub struct Globs(Vec<GlobMatcher>);

/// Why a tool is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// No glob allows it.
    NotAllowed,
    /// This glob denies it.
    Denied(&'a str),
}

impl Globs {
    /// Reads the globs.
    pub fn compile(patterns: &[String]) -> Result<Self, FilterError> {
        if patterns.len() > GLOBS_MAX {
            return Err(FilterError::TooMany(patterns.len()));
        }
        patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>().map(Self)
    }

    /// The place of the first glob that matches.
    pub fn first(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|glob| glob.is_match(name))
    }

    /// The places of all globs that match.
    pub fn all(&self, name: &str) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(move |(_, glob)| glob.is_match(name)).map(|(at, _)| at)
    }

    /// Whether any glob matches.
    pub fn matches(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Whether there is no glob.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn compile(pattern: &str) -> Result<GlobMatcher, FilterError> {
    let fault = |reason: String| FilterError::Pattern { pattern: pattern.chars().take(80).collect(), reason };
    if pattern.len() > GLOB_BYTES_MAX {
        return Err(fault(format!("expected at most {GLOB_BYTES_MAX} bytes")));
    }
    let glob = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| fault(error.kind().to_string()))
}

/// The rules of one server (over native names) or one toolset (over `server/native`).
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    rules: &'a ToolRules,
    allow: Globs,
    deny: Globs,
}

impl<'a> Rules<'a> {
    /// Reads the globs of the rules.
    pub fn compile(rules: &'a ToolRules) -> Result<Self, FilterError> {
        Ok(Self { rules, allow: Globs::compile(&rules.allow)?, deny: Globs::compile(&rules.deny)? })
    }

    /// Whether a tool of that name is offered. What is denied is not, whatever is allowed.
    pub fn offers(&self, name: &str) -> bool {
        (self.allow.is_empty() || self.allow.matches(name)) && !self.deny.matches(name)
    }

    /// Why a tool of that name is not offered; `None` for one that is.
    pub fn refusal(&self, name: &str) -> Option<Refusal<'a>> {
        if let Some(at) = self.deny.first(name) {
            return Some(Refusal::Denied(&self.rules.deny[at]));
        }
        (!self.allow.is_empty() && !self.allow.matches(name)).then_some(Refusal::NotAllowed)
    }

    /// The whole exposed name that replaces it.
    pub fn renamed(&self, name: &str) -> Option<&'a str> {
        self.rules.rename.get(name).map(String::as_str)
    }

    /// The description that replaces the server's.
    pub fn described(&self, name: &str) -> Option<&'a str> {
        self.rules.describe.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> ToolRules {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        ToolRules { allow: owned(allow), deny: owned(deny), ..ToolRules::default() }
    }

    #[test]
    fn deny_is_stronger_than_allow_and_nothing_allowed_means_all() {
        let rules = rules(&["get_*", "drop_table"], &["*_table"]);
        let compiled = Rules::compile(&rules).expect("good globs");
        assert!(compiled.offers("get_user"));
        assert!(!compiled.offers("get_table") && !compiled.offers("drop_table") && !compiled.offers("set_user"));
        assert!(Rules::compile(&ToolRules::default()).expect("no globs").offers("anything"));
    }

    #[test]
    fn case_counts_and_the_whole_name_has_to_match() {
        let rules = rules(&[], &["get"]);
        let compiled = Rules::compile(&rules).expect("good globs");
        assert!(compiled.offers("Get") && compiled.offers("get_user") && !compiled.offers("get"));
    }

    #[test]
    fn a_star_hides_names_with_slashes_dots_and_odd_ends_too() {
        let rules = rules(&[], &["files/*"]);
        let compiled = Rules::compile(&rules).expect("good globs");
        for name in ["files/a", "files/a/b", "files/", "files/..", "files/a.", "files/.x", "files/ü"] {
            assert!(!compiled.offers(name), "{name} got through");
        }
        assert!(compiled.offers("file/a"));
    }

    #[test]
    fn a_broken_glob_is_named() {
        let broken = Globs::compile(&["ok".into(), "a[".into()]).expect_err("an open class");
        assert!(broken.to_string().contains("`a[`"), "{broken}");
        assert!(Globs::compile(&["x".repeat(GLOB_BYTES_MAX + 1)]).is_err());
        assert!(Globs::compile(&vec!["x".into(); GLOBS_MAX + 1]).is_err());
    }

    #[test]
    fn renames_and_descriptions_are_found_by_the_exact_name() {
        let rules = ToolRules {
            rename: [("a".into(), "b".into())].into(),
            describe: [("a".into(), "text".into())].into(),
            ..ToolRules::default()
        };
        let compiled = Rules::compile(&rules).expect("no globs");
        assert_eq!((compiled.renamed("a"), compiled.described("a")), (Some("b"), Some("text")));
        assert_eq!((compiled.renamed("A"), compiled.described("aa")), (None, None));
    }
}
