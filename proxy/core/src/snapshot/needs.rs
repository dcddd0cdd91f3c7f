//! Which scopes a token needs for a tool: all of them, put together when a view is built, so that a call looks at one list and
//! a refusal names everything at once. Only [`super::view`] asks.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    access::{ScopeRules, ToolClass},
    filter::{FilterError, Globs},
};

/// All scopes that a token needs for something: sorted, each once, at least one.
pub type ScopeList = Arc<[Box<str>]>;

/// The scope rules of one toolset. Tools with the same needs share one list.
pub(super) struct Needs<'a> {
    rules: &'a ScopeRules,
    globs: Globs,
    by_glob: Vec<&'a [String]>,
    made: HashMap<(ToolClass, Vec<usize>), Option<ScopeList>>,
}

impl<'a> Needs<'a> {
    pub(super) fn compile(rules: &'a ScopeRules) -> Result<Self, FilterError> {
        let globs: Vec<String> = rules.tools.keys().cloned().collect();
        Ok(Self {
            rules,
            globs: Globs::compile(&globs)?,
            by_glob: rules.tools.values().map(Vec::as_slice).collect(),
            made: HashMap::new(),
        })
    }

    /// What the tool `server/native` of this class needs; `None` when that is nothing.
    pub(super) fn of(&mut self, class: ToolClass, qualified: &str) -> Option<ScopeList> {
        let matching: Vec<usize> = self.globs.all(qualified).collect();
        let (rules, by_glob) = (self.rules, &self.by_glob);
        self.made
            .entry((class, matching))
            .or_insert_with_key(|(class, matching)| {
                let of_class = match class {
                    ToolClass::Read => &rules.read,
                    ToolClass::Write => &rules.write,
                };
                let named = matching.iter().flat_map(|at| by_glob[*at]);
                let all: BTreeSet<&str> = rules.enter.iter().chain(of_class).chain(named).map(String::as_str).collect();
                (!all.is_empty()).then(|| all.into_iter().map(Box::from).collect())
            })
            .clone()
    }
}
