//! Which requests meet which rules of a plan, and what calls of tools take: asked while a snapshot is built, once for each tool
//! and once for each toolset, and gone afterwards. Only `snapshot` asks.

use std::sync::Arc;

use super::{Amount, Applies, Dimension, LimitError, LimitPlan, LimitRule, RuleSet};
use crate::{
    Slug,
    filter::{FilterError, Globs},
};

/// Which requests meet which rules.
#[derive(Debug)]
pub struct Sieve {
    rules: Vec<Mesh>,
    weights: Weights,
}

/// Who meets one rule.
#[derive(Debug)]
struct Mesh {
    reach: Reach,
    applies: Applies,
    tools: Globs,
    name: Arc<str>,
    cost_max: Option<u32>,
}

/// Which kind of request can meet a rule at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// All of them.
    Requests,
    /// Those that go to a server.
    Calls,
    /// Those of tools.
    Tools,
}

/// What calls of tools take, by globs; the first that matches counts.
#[derive(Debug)]
struct Weights {
    globs: Globs,
    weights: Vec<u32>,
}

/// What is known of a tool whatever the toolset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toll {
    /// The rules that a call meets, unless its toolset is none of theirs.
    pub met: RuleSet,
    /// What a call takes from rates.
    pub cost: u32,
    /// Where the tool weighs more than a limit ever lets through: the weight, and the limit. It costs all of that then.
    pub too_heavy: Option<(u32, Arc<str>)>,
}

impl Sieve {
    /// Reads the globs of the rules, which stand as in the plan, and those of the weights.
    pub(super) fn compile(
        plan: &LimitPlan,
        rules: Vec<LimitRule>,
        weights: &[(String, u32)],
    ) -> Result<Self, LimitError> {
        let meshes = rules.into_iter().zip(plan.rules()).map(|(rule, planned)| {
            let fault = |source| LimitError::Glob { limit: planned.name.clone(), source };
            Ok(Mesh {
                reach: Reach::of(&rule),
                tools: Globs::compile(&rule.applies.tools).map_err(fault)?,
                applies: rule.applies,
                name: planned.name.clone(),
                cost_max: planned.cost_max(),
            })
        });
        let sieve = Self {
            rules: meshes.collect::<Result<_, LimitError>>()?,
            weights: Weights::compile(weights)
                .map_err(|source| LimitError::Glob { limit: "weights".into(), source })?,
        };
        weights.iter().try_for_each(|(glob, weight)| sieve.check_weight(glob, *weight))?;
        Ok(sieve)
    }

    /// What a request meets that goes to no server (lists, sessions).
    pub fn for_toolset(&self, toolset: &Slug) -> RuleSet {
        self.filter(|mesh| mesh.reach == Reach::Requests && mesh.has_toolset(toolset))
    }

    /// What a call meets that is not of a tool (prompts, resources, completion).
    pub fn for_server(&self, toolset: &Slug, server: &Slug) -> RuleSet {
        self.filter(|mesh| mesh.reach <= Reach::Calls && mesh.has_toolset(toolset) && mesh.has_server(server))
    }

    /// What a call of a tool (`server/native`) of this server meets and takes, as far as the toolset does not matter.
    pub fn of_tool(&self, server: &Slug, qualified: &str) -> Toll {
        let met = self.filter(|mesh| mesh.has_server(server) && mesh.has_tool(qualified));
        let weight = self.weights.of(qualified);
        let tightest = met.places().filter_map(|place| Some((self.rules[place].cost_max?, &self.rules[place].name)));
        match tightest.min_by_key(|(most, _)| *most) {
            Some((most, limit)) if weight > most => Toll { met, cost: most, too_heavy: Some((weight, limit.clone())) },
            _ => Toll { met, cost: weight, too_heavy: None },
        }
    }

    /// The rules that count what comes through this toolset: of a tool's [`Toll::met`], only these are met there.
    pub fn through(&self, toolset: &Slug) -> RuleSet {
        self.filter(|mesh| mesh.has_toolset(toolset))
    }

    fn filter(&self, holds: impl Fn(&Mesh) -> bool) -> RuleSet {
        RuleSet::of(self.rules.len(), |place| holds(&self.rules[place]))
    }

    /// Refuses a weight that some tool of the glob could never pay. Where two globs only might meet, it is left to the tools
    /// that there are ([`Toll::too_heavy`]).
    fn check_weight(&self, glob: &str, weight: u32) -> Result<(), LimitError> {
        let meets = |mesh: &Mesh| (mesh.cost_max.is_some_and(|most| weight > most)) && mesh.surely_meets(glob);
        match self.rules.iter().find(|mesh| meets(mesh)) {
            Some(mesh) => Err(LimitError::TooHeavy {
                tool: glob.to_owned(),
                weight,
                limit: mesh.name.clone(),
                burst: mesh.cost_max.unwrap_or(0),
            }),
            None => Ok(()),
        }
    }
}

impl Reach {
    fn of(rule: &LimitRule) -> Self {
        let by = |dimension| rule.by.contains(&dimension);
        if by(Dimension::Tool) || !rule.applies.tools.is_empty() {
            Self::Tools
        } else if by(Dimension::Server)
            || !rule.applies.servers.is_empty()
            || matches!(rule.amount, Amount::Concurrent(_))
        {
            Self::Calls
        } else {
            Self::Requests
        }
    }
}

impl Mesh {
    fn has_toolset(&self, toolset: &Slug) -> bool {
        self.applies.toolsets.is_empty() || self.applies.toolsets.contains(toolset)
    }

    fn has_server(&self, server: &Slug) -> bool {
        self.applies.servers.is_empty() || self.applies.servers.contains(server)
    }

    fn has_tool(&self, qualified: &str) -> bool {
        self.tools.is_empty() || self.tools.matches(qualified)
    }

    /// Whether tools of this glob meet the rule, as far as the words alone tell.
    fn surely_meets(&self, glob: &str) -> bool {
        let server = glob.split_once('/').map(|(server, _)| server).filter(|server| is_plain(server));
        let is_server = server.is_none_or(|server| {
            self.applies.servers.is_empty() || self.applies.servers.iter().any(|slug| slug.as_str() == server)
        });
        let is_tool = self.tools.is_empty()
            || self.applies.tools.iter().any(|tool| tool == glob)
            || is_plain(glob) && self.tools.matches(glob);
        is_server && is_tool
    }
}

/// Whether the glob stands for itself alone.
fn is_plain(glob: &str) -> bool {
    !glob.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

impl Weights {
    fn compile(weights: &[(String, u32)]) -> Result<Self, FilterError> {
        let globs: Vec<String> = weights.iter().map(|(glob, _)| glob.clone()).collect();
        Ok(Self { globs: Globs::compile(&globs)?, weights: weights.iter().map(|(_, weight)| *weight).collect() })
    }

    fn of(&self, qualified: &str) -> u32 {
        self.globs.first(qualified).map_or(1, |at| self.weights[at])
    }
}
