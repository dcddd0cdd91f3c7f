//! The snapshot: everything that requests of one tenant are answered from, as plain immutable values. [`build`] makes it out
//! of a tenant's row and its servers' catalogs; `control` publishes it, `tenancy` pins one for each request. No handles, no
//! clock, no I/O.
//!
//! What a server says never makes a build fail: an odd item is left out alone and said in the warnings. Only what the operator
//! configured can be refused, as a [`BuildError`]; with [`Overflow::Refuse`](crate::model::Overflow) that includes a server
//! that lists too many tools.

mod classes;
mod explain;
mod instructions;
mod listing;
mod lists;
mod needs;
mod offered;
mod view;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use self::{
    explain::Record,
    offered::Offered,
    view::{Shows, ViewBuilder},
};
pub use self::{
    explain::{Explained, ItemKind, LeftOut, Placed, Reason, explain},
    lists::{List, Lists, Page, SERVER_INFO},
    needs::ScopeList,
};
use crate::{
    Generation, ServerId, Slug, TenantId,
    access::{AccessRules, ToolClass},
    audit::{AuditDefaults, AuditPolicy, AuditTools, ToolAudit},
    era::Era,
    filter::FilterError,
    json,
    limits::{GatewayLimits, LimitError, LimitPlan, Rate, RuleSet, Sieve},
    mirror::HeaderParams,
    model::{Access, Asks, Sharing, TenantRow, Transport},
    names,
    resources::UriMap,
};

/// How many warnings a snapshot keeps.
pub const WARNINGS_MAX: usize = 200;

/// What one server offers, as it was last heard. The items are raw JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPart {
    /// The era that the server speaks.
    pub era: Era,
    /// Its tools.
    pub tools: Vec<String>,
    /// Its prompts.
    pub prompts: Vec<String>,
    /// Its resources.
    pub resources: Vec<String>,
    /// Its resource templates.
    pub templates: Vec<String>,
    /// Its skills.
    #[serde(default)]
    pub skills: Vec<String>,
    /// Its capabilities, a JSON object.
    pub capabilities: String,
    /// What it says about itself.
    pub instructions: Option<String>,
    /// Whether the server could not be asked lately.
    pub stale: bool,
    /// Until when the lists may be taken as fresh, in milliseconds since 1970.
    pub fresh_until_ms: Option<i64>,
}

/// The bounds of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOptions {
    /// The limits that the operator sets for every tenant.
    pub limits: Arc<GatewayLimits>,
    /// What tenants' audits hold by default.
    pub audit: AuditDefaults,
    /// How many items one page of a list has.
    pub page_items_max: usize,
    /// From how many bytes on a page ends early.
    pub page_bytes_max: usize,
    /// How many items of one kind a server may add; those after that, in the order of their names, are left out.
    pub items_max: usize,
}

impl Default for BuildOptions {
    fn default() -> Self {
        let limits =
            GatewayLimits { principal: Rate::per_second(200, 400), principal_concurrency: 64, rules: Vec::new() };
        Self {
            limits: Arc::new(limits),
            audit: AuditDefaults::default(),
            page_items_max: 1_000,
            page_bytes_max: 4 * 1024 * 1024,
            items_max: 10_000,
        }
    }
}

/// Everything that requests of one tenant are answered from.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSnapshot {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name in URLs.
    pub slug: Slug,
    /// The number of the configuration that this was built from.
    pub generation: Generation,
    /// Whether it answers at all.
    pub enabled: bool,
    /// Its limits.
    pub limits: LimitPlan,
    /// What its audit holds.
    pub audit: Arc<AuditPolicy>,
    /// The servers that are switched on, sorted by name. Routes point into it.
    pub servers: Vec<ServerEntry>,
    /// The toolsets, by their names.
    pub views: HashMap<Slug, Arc<View>>,
    /// What a person should know: items left out, prefixes that met.
    pub warnings: Vec<String>,
}

/// What dispatch needs to know of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEntry {
    /// The row.
    pub id: ServerId,
    /// The name.
    pub slug: Slug,
    /// The word before its exposed names.
    pub prefix: String,
    /// How it is reached.
    pub kind: ServerKind,
    /// Who shares one child or session.
    pub sharing: Sharing,
    /// The era, when a catalog is known.
    pub era: Option<Era>,
    /// Seconds that one call may take.
    pub call_timeout_s: Option<u32>,
    /// Calls that may run at once.
    pub concurrency_max: Option<u32>,
    /// Whether it completes arguments, as far as is known.
    pub completions: bool,
    /// What it may ask the clients of its calls.
    pub asks: Asks,
    /// The extensions that it says it has, of those that Patchbay carries.
    pub extensions: Extensions,
}

/// Extensions of the protocol that Patchbay carries. What nobody has said is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Calls that go on as tasks.
    pub tasks: bool,
    /// Skills.
    pub skills: bool,
    /// Directories of skills that can be listed.
    pub directories: bool,
    /// Pages that are shown to the user.
    pub apps: bool,
}

/// The extension by which calls go on as tasks.
pub const TASKS: &str = "io.modelcontextprotocol/tasks";
/// The extension by which servers show pages to the user.
pub const APPS: &str = "io.modelcontextprotocol/ui";
/// The extension by which servers offer skills.
pub const SKILLS: &str = "io.modelcontextprotocol/skills";

impl Extensions {
    /// What a server's `capabilities` say. Tasks are of the modern era alone, whatever an older server says.
    pub fn of(era: Era, capabilities: &str) -> Self {
        let has = |name| json::at_path(capabilities, &["extensions", name]).filter(|value| value.starts_with('{'));
        let skills = has(SKILLS);
        let directories = skills.and_then(|skills| json::at_path(skills, &["directoryRead"])) == Some("true");
        let tasks = era == Era::Modern && has(TASKS).is_some();
        Self { tasks, skills: skills.is_some(), directories, apps: has(APPS).is_some() }
    }

    /// What either has.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            tasks: self.tasks || other.tasks,
            skills: self.skills || other.skills,
            directories: self.directories || other.directories,
            apps: self.apps || other.apps,
        }
    }
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// In process.
    Builtin,
    /// A child process.
    Stdio,
    /// Streamable HTTP.
    Http,
}

/// One toolset, ready to be served.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its name.
    pub toolset: Slug,
    /// Which credentials it takes.
    pub access: Access,
    /// What tokens need here.
    pub rules: Arc<AccessRules>,
    /// The same toolset for those whose groups may not see the tools that write; absent where everybody may.
    pub read_only: Option<Arc<Self>>,
    /// The servers in it: places in [`TenantSnapshot::servers`], ascending.
    pub servers: Vec<usize>,
    /// Where a tool is, by its exposed name. A tool that is hidden is not here.
    pub tools: HashMap<Box<str>, ToolRoute>,
    /// The exposed names of the tools that pages may call, by their native names: a page knows no others. A native name that
    /// two tools of the view have is not here.
    pub page_tools: HashMap<Box<str>, Box<str>>,
    /// Where a prompt is, by its exposed name.
    pub prompts: HashMap<Box<str>, PromptRoute>,
    /// Where a resource is.
    pub uris: UriMap,
    /// What it can ever have, for the capabilities.
    pub has: Features,
    /// What is said to clients about it.
    pub instructions: Option<String>,
    /// The prepared lists.
    pub lists: Lists,
    /// The exposed names of the tools that `tools_max` leaves out, sorted.
    pub dropped: Vec<String>,
    /// The limits that requests meet which reach no server.
    pub limits: RuleSet,
    /// The limits that calls meet which are not of tools, by the server's place in [`TenantSnapshot::servers`].
    pub server_limits: Box<[RuleSet]>,
}

/// Where a tool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRoute {
    /// The server's place in [`TenantSnapshot::servers`].
    pub server: usize,
    /// What the server calls it.
    pub native: Arc<str>,
    /// The arguments that are repeated in headers, when there are any.
    pub headers: Option<Arc<HeaderParams>>,
    /// Whether the operator says that it may run twice.
    pub idempotent: bool,
    /// Whether it changes anything.
    pub class: ToolClass,
    /// All scopes that a token needs to call it; `None` when that is nothing.
    pub scopes: Option<ScopeList>,
    /// The limits that a call meets.
    pub limits: RuleSet,
    /// What a call takes from rates.
    pub cost: u32,
    /// What its records may show.
    pub audit: ToolAudit,
}

/// Where a prompt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptRoute {
    /// The server's place in [`TenantSnapshot::servers`].
    pub server: usize,
    /// What the server calls it.
    pub native: Arc<str>,
}

/// What a view can ever have. A server that was not heard yet may have everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Tools; always, since the configuration can bring some.
    pub tools: bool,
    /// Prompts.
    pub prompts: bool,
    /// Resources and templates.
    pub resources: bool,
    /// Completion of arguments.
    pub completions: bool,
    /// Extensions, of servers that were heard.
    pub extensions: Extensions,
}

/// A configuration that no snapshot can be built from; the last good one stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The limits make no sense.
    #[error(transparent)]
    Limits(#[from] LimitError),
    /// A glob cannot be read.
    #[error("the tool rules of {place}: {source}")]
    Filter {
        /// Which server or toolset.
        place: String,
        /// What is wrong.
        source: FilterError,
    },
    /// A toolset without prefixes has several servers.
    #[error(
        "the toolset `{toolset}` has prefixes off and {servers} servers: name one server in it, or switch prefixes on"
    )]
    PrefixNeeded {
        /// The toolset.
        toolset: Slug,
        /// How many servers it has.
        servers: usize,
    },
    /// Two tools are renamed to one name.
    #[error(
        "in the toolset `{toolset}` both `{first}` and `{second}` are renamed to `{name}`: rename one of them otherwise"
    )]
    RenameCollision {
        /// The toolset.
        toolset: Slug,
        /// The name.
        name: String,
        /// The first tool, as `server/native`.
        first: String,
        /// The second one.
        second: String,
    },
    /// A new name may not stand.
    #[error(
        "in the toolset `{toolset}` `{from}` is renamed to `{name}`: expected 1 to {} characters of A-Z, a-z, 0-9, '_' and '-'",
        names::NAME_BYTES_MAX
    )]
    RenameIllegal {
        /// The toolset.
        toolset: Slug,
        /// The tool, as `server/native`.
        from: String,
        /// The name.
        name: String,
    },
    /// More tools than the toolset takes, and it says to refuse.
    #[error(
        "the toolset `{toolset}` would show {count} tools and takes at most {max}: deny some, raise `tools_max`, or set \
         `overflow: drop`"
    )]
    TooManyTools {
        /// The toolset.
        toolset: Slug,
        /// How many there are.
        count: usize,
        /// How many it takes.
        max: u32,
    },
}

/// Builds the snapshot of a tenant. A server without a part is absent from the lists; the order of servers and items makes no
/// difference.
pub fn build(
    row: &TenantRow,
    catalogs: &BTreeMap<ServerId, CatalogPart>,
    options: &BuildOptions,
) -> Result<TenantSnapshot, BuildError> {
    let mut warnings = Warnings::default();
    let audit = Arc::new(AuditPolicy::of(options.audit, &row.audit));
    let (limits, said_of_tools) = SaidOfTools::of(row, &audit, options)?;
    let servers = read_servers(row, catalogs, &said_of_tools, options, &mut warnings)?;
    let mut views = HashMap::new();
    for (toolset, spec) in &row.toolsets {
        let builder = ViewBuilder {
            toolset,
            spec,
            servers: &servers,
            options,
            sieve: &said_of_tools.sieve,
            shows: Shows::Everything,
        };
        let view = builder.build(&mut warnings)?;
        views.insert(toolset.clone(), Arc::new(view));
    }
    Ok(TenantSnapshot {
        tenant: row.id,
        slug: row.slug.clone(),
        generation: row.generation,
        enabled: row.enabled,
        limits,
        audit,
        servers: servers.iter().map(Offered::entry).collect(),
        views,
        warnings: warnings.finish(),
    })
}

/// What the tenant says of tools whatever the toolset: asked once for each tool.
struct SaidOfTools {
    sieve: Sieve,
    audit: AuditTools,
}

impl SaidOfTools {
    fn of(row: &TenantRow, audit: &AuditPolicy, options: &BuildOptions) -> Result<(LimitPlan, Self), BuildError> {
        let (limits, sieve) = LimitPlan::build(&options.limits, &row.limits)?;
        let audit = AuditTools::compile(audit)
            .map_err(|source| BuildError::Filter { place: "the audit".to_owned(), source })?;
        Ok((limits, Self { sieve, audit }))
    }
}

/// What the servers offer that are switched on, by their names.
fn read_servers<'a>(
    row: &'a TenantRow,
    catalogs: &'a BTreeMap<ServerId, CatalogPart>,
    said: &SaidOfTools,
    options: &BuildOptions,
    warnings: &mut Warnings,
) -> Result<Vec<Offered<'a>>, BuildError> {
    let mut rows: Vec<_> = row.servers.iter().collect();
    rows.sort_by(|a, b| a.slug.cmp(&b.slug));
    // Servers that are switched off keep their prefixes, so that nobody's names change when they come back.
    let wishes = rows.iter().map(|server| (&server.slug, server.spec.prefix.as_deref()));
    let (prefixes, told) = names::prefixes(wishes);
    warnings.extend(told);
    let enabled = rows.iter().zip(prefixes).filter(|(server, _)| server.spec.enabled);
    let read = enabled.enumerate().map(|(index, (server, prefix))| {
        Offered::read(index, server, prefix, catalogs.get(&server.id), said, options, warnings)
    });
    read.collect()
}

impl ServerKind {
    /// The kind of a transport.
    pub const fn of(transport: &Transport) -> Self {
        match transport {
            Transport::Builtin { .. } => Self::Builtin,
            Transport::Stdio { .. } => Self::Stdio,
            Transport::Http { .. } => Self::Http,
        }
    }
}

/// Sentences for people, not more than [`WARNINGS_MAX`].
#[derive(Debug, Default)]
struct Warnings {
    said: Vec<String>,
    unsaid: usize,
    /// What of one server is left out, where somebody wants to know.
    record: Option<Record>,
}

impl Warnings {
    fn say(&mut self, text: impl FnOnce() -> String) {
        if self.said.len() < WARNINGS_MAX {
            self.said.push(text());
        } else {
            self.unsaid += 1;
        }
    }

    fn extend(&mut self, texts: Vec<String>) {
        texts.into_iter().for_each(|text| self.say(|| text));
    }

    fn finish(mut self) -> Vec<String> {
        if self.unsaid > 0 {
            self.said.push(format!("{} more warnings are not shown", self.unsaid));
        }
        self.said
    }
}

/// A server's text, short and without characters that could play tricks in a log.
fn shown(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

#[cfg(test)]
mod tests;
