//! Why something of a server is shown in a toolset, or is not. Nothing of this is kept: it is found out anew by the same steps
//! that build the snapshot, when an admin asks.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    BuildError, BuildOptions, CatalogPart, SaidOfTools, Warnings,
    needs::Needs,
    offered::{Offered, OfferedTool},
    read_servers,
    view::{Shows, ViewBuilder},
};
use crate::{
    ServerId, Slug,
    access::ToolClass,
    audit::AuditPolicy,
    filter::{Refusal, Rules},
    model::TenantRow,
};

/// The longest name that is repeated of an item that cannot be read, in characters.
const NAME_CHARS_SHOWN: usize = 200;

/// The kinds of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource.
    Resource,
    /// A resource template.
    Template,
    /// A skill.
    Skill,
}

impl ItemKind {
    /// The word for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "resource template",
            Self::Skill => "skill",
        }
    }
}

/// Why something is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be read, or is not what its kind has to be.
    Invalid,
    /// The server lists its name twice.
    Duplicate,
    /// The server lists more than the gateway takes.
    TooMany,
    /// It runs only as a task.
    TaskOnly,
    /// Its arguments cannot be repeated in headers as it wants.
    HeaderArguments,
    /// It is no URI template that can be matched.
    Template,
    /// The rules of its server hide it.
    ServerRules,
    /// The rules of the toolset hide it.
    ToolsetRules,
    /// It is for pages only, and other servers are in the toolset.
    PageOnly,
    /// It is beyond the toolset's `tools_max`.
    ToolsMax,
    /// Another server has its URI.
    UriTaken,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::Duplicate,
        Self::TooMany,
        Self::TaskOnly,
        Self::HeaderArguments,
        Self::Template,
        Self::ServerRules,
        Self::ToolsetRules,
        Self::PageOnly,
        Self::ToolsMax,
        Self::UriTaken,
    ];

    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
            Self::TooMany => "too_many",
            Self::TaskOnly => "task_only",
            Self::HeaderArguments => "header_arguments",
            Self::Template => "template",
            Self::ServerRules => "server_rules",
            Self::ToolsetRules => "toolset_rules",
            Self::PageOnly => "page_only",
            Self::ToolsMax => "tools_max",
            Self::UriTaken => "uri_taken",
        }
    }
}

/// That something is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The sort of reason.
    pub reason: Reason,
    /// The reason, for people.
    pub detail: String,
}

/// One item of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What it is.
    pub kind: ItemKind,
    /// Its native name, URI or template.
    pub native: String,
    /// Why no toolset can have it.
    pub left_out: Option<LeftOut>,
    /// What becomes of it in the toolsets that have its server, by their names.
    pub places: Vec<Placed>,
}

/// What becomes of an item in a toolset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The toolset.
    pub toolset: Slug,
    /// The name that clients see, or why they see none.
    pub shown: Result<String, LeftOut>,
    /// Whether it writes, and the toolset shows what writes to some groups only.
    pub write_groups_only: bool,
}

/// What of one server the reading of its catalog leaves out.
#[derive(Debug)]
pub(super) struct Record {
    server: Slug,
    items: Vec<Explained>,
}

impl Record {
    pub(super) fn add(
        &mut self,
        server: &str,
        kind: ItemKind,
        name: &str,
        reason: Reason,
        why: &dyn std::fmt::Display,
    ) {
        if server == self.server.as_str() {
            let native = name.chars().take(NAME_CHARS_SHOWN).collect();
            let left_out = Some(LeftOut { reason, detail: why.to_string() });
            self.items.push(Explained { kind, native, left_out, places: Vec::new() });
        }
    }
}

/// All that a server offers, sorted by kind and native name, with what becomes of it: in one toolset, or in all. Empty for a
/// server that is switched off, was not heard yet, or is not there.
///
/// # Errors
/// When no snapshot can be built of this.
pub fn explain(
    row: &TenantRow,
    catalogs: &BTreeMap<ServerId, CatalogPart>,
    options: &BuildOptions,
    server: &Slug,
    toolset: Option<&Slug>,
) -> Result<Vec<Explained>, BuildError> {
    let record = Some(Record { server: server.clone(), items: Vec::new() });
    let mut warnings = Warnings { record, ..Warnings::default() };
    let audit = AuditPolicy::of(options.audit, &row.audit);
    let (_, said) = SaidOfTools::of(row, &audit, options)?;
    let servers = read_servers(row, catalogs, &said, options, &mut warnings)?;
    let Some(of) = servers.iter().find(|offered| offered.row.slug == *server) else { return Ok(Vec::new()) };
    let mut items = warnings.record.take().map(|record| record.items).unwrap_or_default();
    let begin = items.len();
    items.extend(good(of));
    for (name, spec) in row.toolsets.iter().filter(|(name, _)| toolset.is_none_or(|wanted| wanted == name)) {
        let shows = Shows::Everything;
        let builder = ViewBuilder { toolset: name, spec, servers: &servers, options, sieve: &said.sieve, shows };
        builder.place(of, &mut items[begin..])?;
    }
    items.sort_by(|a, b| (a.kind, &a.native).cmp(&(b.kind, &b.native)));
    Ok(items)
}

/// What was read of a server, in the order of [`ViewBuilder::place`].
fn good(of: &Offered<'_>) -> Vec<Explained> {
    let item = |kind, native: &str| Explained { kind, native: native.to_owned(), left_out: None, places: Vec::new() };
    let tools = of.tools.iter().map(|tool| item(ItemKind::Tool, &tool.native));
    let prompts = of.prompts.iter().map(|prompt| item(ItemKind::Prompt, &prompt.name));
    let resources = of.resources.iter().map(|resource| item(ItemKind::Resource, &resource.uri));
    let templates = of.templates.iter().map(|template| item(ItemKind::Template, &template.uri));
    let skills = of.skills.iter().map(|skill| item(ItemKind::Skill, &skill.uri));
    tools.chain(prompts).chain(resources).chain(templates).chain(skills).collect()
}

impl ViewBuilder<'_, '_> {
    /// Says of each item of a server what becomes of it here. Nothing when the server is not in the toolset.
    fn place(&self, of: &Offered<'_>, items: &mut [Explained]) -> Result<(), BuildError> {
        let quiet = &mut Warnings::default();
        let servers = self.members(quiet);
        if !servers.iter().any(|server| server.index == of.index) {
            return Ok(());
        }
        let rules = Rules::compile(&self.spec.tools).map_err(|source| self.filter_error(source))?;
        let renames = self.renames(&servers, &rules)?;
        let needs = Needs::compile(&self.spec.rules.scopes).map_err(|source| self.filter_error(source))?;
        let mut shown = self.tools(&servers, &rules, &renames, needs, quiet);
        let own = |shown: &&super::view::Shown<'_, '_>| shown.server.index == of.index;
        let names: HashMap<String, String> =
            shown.iter().filter(own).map(|shown| (shown.tool.native.to_string(), shown.exposed.clone())).collect();
        let over: HashSet<String> = self.cap(&mut shown, quiet)?.into_iter().collect();
        let prompts = self.prompts(&servers);
        let uris = self.uris(&servers, &shown, quiet);
        let alone = servers.len() == 1;
        let tools = of.tools.iter().map(|tool| match names.get(&*tool.native) {
            Some(name) if over.contains(name) => Err(self.over_max()),
            Some(name) => Ok(name.clone()),
            None => Err(self.hidden(of, tool, &rules, alone)),
        });
        let own = prompts.iter().filter(|shown| shown.server.index == of.index);
        let exposed: HashMap<&str, &String> = own.map(|shown| (&*shown.prompt.name, &shown.exposed)).collect();
        let prompts = of.prompts.iter().map(|prompt| exposed.get(&*prompt.name).copied().cloned().ok_or_else(taken));
        let resources = of.resources.iter().map(|resource| uris.listed(of.index, &resource.uri));
        let templates = of.templates.iter().map(|template| uris.listed_template(of.index, &template.uri));
        let skills = of.skills.iter().map(|skill| uris.listed_skill(of.index, &skill.uri));
        let uris = resources.chain(templates).chain(skills).map(|uri| uri.map(Into::into).ok_or_else(taken));
        let places: Vec<Result<String, LeftOut>> = tools.chain(prompts).chain(uris).collect();
        let writes = of.tools.iter().map(|tool| tool.class != ToolClass::Read).chain(std::iter::repeat(false));
        for ((item, shown), writes) in items.iter_mut().zip(places).zip(writes) {
            let write_groups_only = writes && shown.is_ok() && !self.spec.rules.write_groups.is_empty();
            item.places.push(Placed { toolset: self.toolset.clone(), shown, write_groups_only });
        }
        Ok(())
    }

    fn over_max(&self) -> LeftOut {
        let max = self.spec.tools_max.unwrap_or(u32::MAX);
        let detail = format!("the toolset `{}` shows {max} tools at most (`tools_max`)", self.toolset);
        LeftOut { reason: Reason::ToolsMax, detail }
    }

    fn hidden(&self, of: &Offered<'_>, tool: &OfferedTool<'_>, rules: &Rules<'_>, alone: bool) -> LeftOut {
        let says = |of: &str, refusal| match refusal {
            Refusal::NotAllowed => format!("no glob in `tools.allow` of {of} matches it"),
            Refusal::Denied(glob) => format!("the glob `{glob}` in `tools.deny` of {of} matches it"),
        };
        let qualified = format!("{}/{}", of.row.slug, tool.native);
        if let Some(refusal) = of.rules.refusal(&tool.native) {
            return LeftOut { reason: Reason::ServerRules, detail: says("its server", refusal) };
        }
        if let Some(refusal) = rules.refusal(&qualified) {
            return LeftOut { reason: Reason::ToolsetRules, detail: says("the toolset", refusal) };
        }
        debug_assert!(tool.tool.app_only && !alone, "nothing else hides a tool");
        let detail = "it is for pages only, and other servers are in the toolset too".to_owned();
        LeftOut { reason: Reason::PageOnly, detail }
    }
}

fn taken() -> LeftOut {
    LeftOut { reason: Reason::UriTaken, detail: "another server lists the same URI".to_owned() }
}
