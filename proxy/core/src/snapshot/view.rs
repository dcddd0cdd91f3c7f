//! One toolset: which items of which servers it shows, under which names. Reading items is [`super::offered`]'s, writing them
//! into lists is [`super::listing`]'s.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    BuildError, BuildOptions, Extensions, Features, PromptRoute, ToolRoute, View, Warnings,
    instructions::{self, Said},
    listing::Listing,
    needs::{Needs, ScopeList},
    offered::{Offered, OfferedTool},
};
use crate::{
    Slug,
    access::ToolClass,
    filter::{FilterError, Globs, Rules},
    item::{Prompt, Skill},
    limits::{RuleSet, Sieve},
    model::{Access, Overflow, PrefixMode, ToolsetSpec},
    names::{self, Namer},
    resources::{
        Offer, UriMap,
        skill::{self, Skills},
    },
};

/// From how many tools on a client is known to lose some or to refuse the list: Cursor, Windsurf, VS Code.
const CROWDED: [usize; 3] = [40, 100, 128];

/// Builds one view.
pub(super) struct ViewBuilder<'b, 'a> {
    pub(super) toolset: &'b Slug,
    pub(super) spec: &'b ToolsetSpec,
    pub(super) servers: &'b [Offered<'a>],
    pub(super) options: &'b BuildOptions,
    pub(super) sieve: &'b Sieve,
    pub(super) shows: Shows,
}

/// Which tools a view is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// All that the filters leave.
    Everything,
    /// Of those the ones that only read.
    Reading,
}

/// A tool that the view shows.
pub(super) struct Shown<'s, 'a> {
    pub(super) exposed: String,
    pub(super) server: &'s Offered<'a>,
    pub(super) tool: &'s OfferedTool<'a>,
    pub(super) description: Option<&'s str>,
    scopes: Option<ScopeList>,
}

/// A prompt that the view shows.
pub(super) struct ShownPrompt<'s, 'a> {
    pub(super) exposed: String,
    pub(super) server: &'s Offered<'a>,
    pub(super) prompt: &'s Prompt<'a>,
}

/// From a new name to the tool (`server/native`) that has it.
pub(super) type Renames<'s> = HashMap<&'s str, String>;

impl<'b, 'a> ViewBuilder<'b, 'a> {
    /// The view, and the one beside it for those who may not see the tools that write.
    pub(super) fn build(&self, warnings: &mut Warnings) -> Result<View, BuildError> {
        let mut view = self.one(warnings)?;
        if !self.spec.rules.write_groups.is_empty() {
            // Whatever there is to say of it was said of the larger view.
            let reading = Self { shows: Shows::Reading, ..*self }.one(&mut Warnings::default())?;
            view.read_only = Some(Arc::new(View { rules: view.rules.clone(), ..reading }));
        }
        Ok(view)
    }

    fn one(&self, warnings: &mut Warnings) -> Result<View, BuildError> {
        let servers = self.members(warnings);
        if self.spec.prefix == PrefixMode::Never && servers.len() > 1 {
            return Err(BuildError::PrefixNeeded { toolset: self.toolset.clone(), servers: servers.len() });
        }
        let rules = Rules::compile(&self.spec.tools).map_err(|source| self.filter_error(source))?;
        let renames = self.renames(&servers, &rules)?;
        let needs = Needs::compile(&self.spec.rules.scopes).map_err(|source| self.filter_error(source))?;
        let mut shown = self.tools(&servers, &rules, &renames, needs, warnings);
        let dropped = self.cap(&mut shown, warnings)?;
        let through = self.sieve.through(self.toolset);
        let prompts = self.prompts(&servers);
        let uris = self.uris(&servers, &shown, warnings);
        let instructions = instructions::compose(&Said {
            servers: &servers,
            prefixed: self.spec.prefix == PrefixMode::Always,
            shown: shown.len(),
            dropped: dropped.len(),
        });
        Ok(View {
            toolset: self.toolset.clone(),
            access: self.spec.access,
            rules: Arc::new(self.spec.rules.clone()),
            read_only: None,
            servers: servers.iter().map(|server| server.index).collect(),
            has: features(&servers, &shown),
            instructions,
            lists: Listing {
                servers: &servers,
                shown: &shown,
                prompts: &prompts,
                uris: &uris,
                is_public: self.spec.access == Access::Anonymous,
                options: self.options,
            }
            .write(),
            limits: self.sieve.for_toolset(self.toolset),
            server_limits: self.server_limits(),
            tools: shown.iter().map(|shown| tool_route(through, shown)).collect(),
            page_tools: page_tools(&shown),
            prompts: prompts.iter().map(prompt_route).collect(),
            uris,
            dropped,
        })
    }

    /// The servers of the view, by name. One that is switched off is silently absent.
    pub(super) fn members(&self, warnings: &mut Warnings) -> Vec<&'b Offered<'a>> {
        let Some(wanted) = &self.spec.servers else {
            return self.servers.iter().collect();
        };
        for slug in wanted.iter().filter(|slug| !self.servers.iter().any(|server| server.row.slug == **slug)) {
            let toolset = self.toolset;
            warnings
                .say(|| format!("the toolset `{toolset}` names server `{slug}`, which is not there or switched off"));
        }
        let wanted: HashSet<_> = wanted.iter().collect();
        self.servers.iter().filter(|server| wanted.contains(&server.row.slug)).collect()
    }

    /// By the places of all servers, whether they are in the view or not.
    fn server_limits(&self) -> Box<[RuleSet]> {
        self.servers.iter().map(|server| self.sieve.for_server(self.toolset, &server.row.slug)).collect()
    }

    pub(super) fn filter_error(&self, source: FilterError) -> BuildError {
        BuildError::Filter { place: format!("toolset `{}`", self.toolset), source }
    }

    /// The renames that are in force, from the configuration alone: whether the server lists the tool just now makes no
    /// difference, so that a catalog can neither break a build nor move another tool's name. The toolset's word is stronger
    /// than the server's; what the filters hide has no name.
    pub(super) fn renames<'s>(
        &'s self,
        servers: &[&'s Offered<'a>],
        rules: &Rules<'s>,
    ) -> Result<Renames<'s>, BuildError> {
        let mut names = Renames::new();
        for server in servers {
            let slug = &server.row.slug;
            let own = server.row.spec.tools.rename.keys().map(String::as_str);
            let ours =
                self.spec.tools.rename.keys().filter_map(|key| key.strip_prefix(slug.as_str())?.strip_prefix('/'));
            let mut natives: Vec<&str> = own.chain(ours).collect();
            natives.sort_unstable();
            natives.dedup();
            for native in natives {
                let from = format!("{slug}/{native}");
                let name = rules.renamed(&from).or_else(|| server.rules.renamed(native));
                let Some(name) = name.filter(|_| server.rules.offers(native) && rules.offers(&from)) else {
                    continue;
                };
                if !names::is_legal(self.spec.prefix, name) {
                    return Err(BuildError::RenameIllegal {
                        toolset: self.toolset.clone(),
                        from,
                        name: name.to_owned(),
                    });
                }
                if let Some(first) = names.insert(name, from.clone()) {
                    let toolset = self.toolset.clone();
                    return Err(BuildError::RenameCollision { toolset, name: name.to_owned(), first, second: from });
                }
            }
        }
        Ok(names)
    }

    fn namer<'s>(&self, server: &'s Offered<'a>) -> Namer<'s> {
        Namer { mode: self.spec.prefix, prefix: &server.prefix, server: server.row.slug.as_str() }
    }

    /// The tools that the view shows, sorted by their exposed names. Names are given before anything is hidden, so that hiding
    /// one tool never renames another.
    pub(super) fn tools<'s>(
        &'s self,
        servers: &[&'s Offered<'a>],
        rules: &Rules<'s>,
        renames: &Renames<'s>,
        mut needs: Needs<'_>,
        warnings: &mut Warnings,
    ) -> Vec<Shown<'s, 'a>> {
        let mut taken: HashSet<String> = renames.keys().map(ToString::to_string).collect();
        let renamed: HashMap<&str, &str> = renames.iter().map(|(name, from)| (from.as_str(), *name)).collect();
        let mut shown = Vec::new();
        for server in servers {
            let natives: Vec<&str> = server.tools.iter().map(|tool| &*tool.native).collect();
            let names = self.namer(server).assign(&natives, &mut taken);
            for (tool, name) in server.tools.iter().zip(names) {
                let qualified = format!("{}/{}", server.row.slug, tool.native);
                let is_offered = tool.offered && rules.offers(&qualified) && self.is_for(tool.class);
                if !is_offered || self.hides_page_tool(server, tool, servers, warnings) {
                    continue;
                }
                shown.push(Shown {
                    exposed: renamed.get(qualified.as_str()).map_or(name, ToString::to_string),
                    server,
                    tool,
                    description: rules.described(&qualified).or_else(|| server.rules.described(&tool.native)),
                    scopes: needs.of(tool.class, &qualified),
                });
            }
        }
        shown.sort_by(|a, b| a.exposed.cmp(&b.exposed));
        shown
    }

    fn is_for(&self, class: ToolClass) -> bool {
        self.shows == Shows::Everything || class == ToolClass::Read
    }

    /// A tool for an app's page is shown only where its server stands alone: a client takes the whole gateway for one server,
    /// so a page of another server could call it.
    fn hides_page_tool(
        &self,
        server: &Offered<'_>,
        tool: &OfferedTool<'_>,
        servers: &[&Offered<'_>],
        warnings: &mut Warnings,
    ) -> bool {
        let hides = tool.tool.app_only && servers.len() > 1;
        if hides {
            let (toolset, slug, name) = (self.toolset, &server.row.slug, super::shown(&tool.native));
            warnings.say(|| {
                format!("tool `{name}` of server `{slug}` is for pages only; the toolset `{toolset}` with several servers hides it")
            });
        }
        hides
    }

    /// Holds `tools_max`, and gives the names of what is left out.
    pub(super) fn cap(
        &self,
        shown: &mut Vec<Shown<'_, '_>>,
        warnings: &mut Warnings,
    ) -> Result<Vec<String>, BuildError> {
        let keep_first = Globs::compile(&self.spec.keep_first).map_err(|source| self.filter_error(source))?;
        let (toolset, count) = (self.toolset, shown.len());
        let max = self.spec.tools_max.map_or(usize::MAX, |max| max as usize);
        if count <= max {
            if let Some(crowd) = CROWDED.into_iter().rfind(|crowd| count > *crowd) {
                warnings.say(|| {
                    format!("the toolset `{toolset}` shows {count} tools; some clients take no more than {crowd}")
                });
            }
            return Ok(Vec::new());
        }
        if let (Overflow::Refuse, Some(max)) = (self.spec.overflow, self.spec.tools_max) {
            return Err(BuildError::TooManyTools { toolset: toolset.clone(), count, max });
        }
        shown.sort_by_cached_key(|shown| {
            let place = keep_first.first(&format!("{}/{}", shown.server.row.slug, shown.tool.native));
            (place.unwrap_or(usize::MAX), shown.exposed.clone())
        });
        let mut dropped: Vec<String> = shown.drain(max..).map(|shown| shown.exposed).collect();
        dropped.sort_unstable();
        shown.sort_by(|a, b| a.exposed.cmp(&b.exposed));
        warnings.say(|| {
            format!("the toolset `{toolset}` has {count} tools and shows {max}; {} are left out", dropped.len())
        });
        Ok(dropped)
    }

    pub(super) fn prompts<'s>(&self, servers: &[&'s Offered<'a>]) -> Vec<ShownPrompt<'s, 'a>> {
        let mut taken = HashSet::new();
        let mut found = Vec::new();
        for &server in servers {
            let natives: Vec<&str> = server.prompts.iter().map(|prompt| &*prompt.name).collect();
            let names = self.namer(server).assign(&natives, &mut taken);
            let shown = names.into_iter().zip(&server.prompts);
            found.extend(shown.map(|(exposed, prompt)| ShownPrompt { exposed, server, prompt }));
        }
        found.sort_by(|a, b| a.exposed.cmp(&b.exposed));
        found
    }

    /// The URIs of the view: what is listed, and the pages that shown tools link to, which servers need not list.
    pub(super) fn uris(&self, servers: &[&Offered<'_>], shown: &[Shown<'_, '_>], warnings: &mut Warnings) -> UriMap {
        let mut pages: HashMap<usize, Vec<&str>> = HashMap::new();
        for shown in shown {
            pages.entry(shown.server.index).or_default().extend(shown.tool.tool.ui_uris.iter().map(String::as_str));
        }
        let offers: Vec<_> = servers
            .iter()
            .map(|server| Offer {
                server: server.index,
                slug: &server.row.slug,
                uris: (server.resources.iter().map(|resource| &*resource.uri))
                    .chain(pages.remove(&server.index).unwrap_or_default())
                    .chain(server.skills.iter().flat_map(other_uris))
                    .collect(),
                templates: server.templates.iter().map(|template| &*template.uri).collect(),
                skills: self.skills(server),
            })
            .collect();
        let (map, said) = UriMap::build(&offers);
        warnings.extend(said);
        map
    }

    /// How the skills of a server are shown: with its prefix, unless the view has none.
    fn skills<'s>(&self, server: &'s Offered<'a>) -> Skills<'s> {
        let mut uris = server.resources.iter().chain(&server.templates).map(|resource| &resource.uri);
        let there = server.extensions.skills || uris.any(|uri| skill::is_one(uri));
        Skills { there, prefix: (there && self.spec.prefix == PrefixMode::Always).then_some(&server.prefix) }
    }
}

/// The URIs of a skill that do not tell by their scheme what they are: they are like those of any resource.
fn other_uris<'s>(of: &'s Skill<'_>) -> impl Iterator<Item = &'s str> {
    let all = std::iter::once(&of.uri).chain(&of.files);
    all.map(|uri| &**uri).filter(|uri| !skill::is_one(uri))
}

/// See [`View::page_tools`].
fn page_tools(shown: &[Shown<'_, '_>]) -> HashMap<Box<str>, Box<str>> {
    let mut having: HashMap<&str, usize> = HashMap::new();
    for shown in shown {
        *having.entry(&shown.tool.native).or_default() += 1;
    }
    let alone = |shown: &&Shown<'_, '_>| shown.tool.tool.for_pages && having.get(&*shown.tool.native) == Some(&1);
    shown.iter().filter(alone).map(|shown| ((*shown.tool.native).into(), shown.exposed.as_str().into())).collect()
}

fn tool_route(through: RuleSet, shown: &Shown<'_, '_>) -> (Box<str>, ToolRoute) {
    let route = ToolRoute {
        limits: shown.tool.toll.met.and(through),
        cost: shown.tool.toll.cost,
        audit: shown.tool.audit.clone(),
        server: shown.server.index,
        native: shown.tool.native.clone(),
        headers: shown.tool.headers.clone(),
        idempotent: shown.tool.idempotent,
        class: shown.tool.class,
        scopes: shown.scopes.clone(),
    };
    (shown.exposed.as_str().into(), route)
}

fn prompt_route(shown: &ShownPrompt<'_, '_>) -> (Box<str>, PromptRoute) {
    let native = (*shown.prompt.name).into();
    (shown.exposed.as_str().into(), PromptRoute { server: shown.server.index, native })
}

fn features(servers: &[&Offered<'_>], shown: &[Shown<'_, '_>]) -> Features {
    let said = servers.iter().fold(Extensions::default(), |said, server| said.or(server.extensions));
    let pages = shown.iter().any(|shown| !shown.tool.tool.ui_uris.is_empty());
    let any = |capability| servers.iter().any(|server| server.has(capability));
    Features {
        tools: true,
        prompts: any("prompts") || servers.iter().any(|server| !server.prompts.is_empty()),
        resources: any("resources")
            || said.skills
            || servers.iter().any(|server| !server.resources.is_empty() || !server.templates.is_empty()),
        completions: any("completions"),
        extensions: Extensions { apps: said.apps || pages, ..said },
    }
}
