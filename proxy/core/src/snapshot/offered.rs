//! One server's catalog, read once for all toolsets: its good items in the order of their names, with what the server's own
//! rules say of them. [`super::view`] picks from it.

use std::{collections::HashSet, sync::Arc};

use super::{
    BuildError, BuildOptions, CatalogPart, Extensions, ItemKind, Reason, SaidOfTools, ServerEntry, ServerKind,
    Warnings, classes::Classes, shown,
};
use crate::{
    access::ToolClass,
    audit::ToolAudit,
    era::Era,
    filter::Rules,
    item::{self, ItemFault, OutputSchema, Prompt, Resource, Skill, Tool},
    json,
    limits::Toll,
    mirror::HeaderParams,
    model::{ServerRow, Sharing, Transport},
    resources::template::Template,
};

/// What a server offers.
pub(super) struct Offered<'a> {
    /// Its place in the snapshot.
    pub(super) index: usize,
    pub(super) row: &'a ServerRow,
    pub(super) prefix: String,
    pub(super) part: Option<&'a CatalogPart>,
    pub(super) rules: Rules<'a>,
    pub(super) tools: Vec<OfferedTool<'a>>,
    pub(super) prompts: Vec<Prompt<'a>>,
    pub(super) resources: Vec<Resource<'a>>,
    pub(super) templates: Vec<Resource<'a>>,
    pub(super) skills: Vec<Skill<'a>>,
    pub(super) extensions: Extensions,
}

/// A tool of it.
pub(super) struct OfferedTool<'a> {
    pub(super) tool: Tool<'a>,
    pub(super) native: Arc<str>,
    pub(super) headers: Option<Arc<HeaderParams>>,
    pub(super) idempotent: bool,
    /// Whether the server's own rules offer it.
    pub(super) offered: bool,
    pub(super) class: ToolClass,
    pub(super) toll: Toll,
    pub(super) audit: ToolAudit,
}

impl<'a> Offered<'a> {
    pub(super) fn read(
        index: usize,
        row: &'a ServerRow,
        prefix: String,
        part: Option<&'a CatalogPart>,
        said: &SaidOfTools,
        options: &BuildOptions,
        warnings: &mut Warnings,
    ) -> Result<Self, BuildError> {
        let kind = ServerKind::of(&row.spec.transport);
        let fault = |source| BuildError::Filter { place: format!("server `{}`", row.slug), source };
        let rules = Rules::compile(&row.spec.tools).map_err(fault)?;
        let classes = Classes::compile(&row.spec.classes, kind).map_err(fault)?;
        let mut reader = Reader { server: row.slug.as_str(), items_max: options.items_max, warnings };
        let raw = |list: fn(&'a CatalogPart) -> &'a Vec<String>| part.map_or(&[][..], |part| list(part));
        let tools = reader.read(ItemKind::Tool, raw(|part| &part.tools), item::tool, |tool| &tool.name);
        let is_modern_http = kind == ServerKind::Http && part.is_some_and(|part| part.era == Era::Modern);
        let idempotent: HashSet<&str> = row.spec.idempotent_tools.iter().map(String::as_str).collect();
        let tools = tools.into_iter().filter_map(|tool| {
            let headers = reader.headers(&tool, is_modern_http)?;
            let qualified = format!("{}/{}", row.slug, tool.name);
            let toll = said.sieve.of_tool(&row.slug, &qualified);
            reader.weigh(&tool.name, &toll);
            Some(OfferedTool {
                toll,
                audit: said.audit.of(&qualified),
                native: (&*tool.name).into(),
                headers: (!headers.is_empty()).then(|| Arc::new(headers)),
                idempotent: idempotent.contains(&*tool.name),
                offered: rules.offers(&tool.name),
                class: classes.of(&tool),
                tool,
            })
        });
        Ok(Self {
            index,
            tools: tools.collect(),
            prompts: reader.read(ItemKind::Prompt, raw(|part| &part.prompts), item::prompt, |prompt| &prompt.name),
            resources: reader
                .read(ItemKind::Resource, raw(|part| &part.resources), item::resource, |resource| &resource.uri),
            templates: reader.templates(raw(|part| &part.templates)),
            skills: reader.read(ItemKind::Skill, raw(|part| &part.skills), item::skill, |skill| &skill.uri),
            extensions: part.map(|part| Extensions::of(part.era, &part.capabilities)).unwrap_or_default(),
            row,
            prefix,
            part,
            rules,
        })
    }

    /// Whether the server has it, or may turn out to: a server that was not heard yet may have everything.
    pub(super) fn has(&self, capability: &str) -> bool {
        self.part.is_none_or(|part| json::at_path(&part.capabilities, &[capability]).is_some_and(|raw| raw != "null"))
    }

    pub(super) fn entry(&self) -> ServerEntry {
        let spec = &self.row.spec;
        ServerEntry {
            id: self.row.id,
            slug: self.row.slug.clone(),
            prefix: self.prefix.clone(),
            kind: ServerKind::of(&spec.transport),
            sharing: match spec.transport {
                Transport::Builtin { .. } => Sharing::Shared,
                Transport::Stdio { sharing, .. } | Transport::Http { sharing, .. } => sharing,
            },
            era: self.part.map(|part| part.era),
            call_timeout_s: spec.call_timeout_s,
            concurrency_max: spec.concurrency_max,
            asks: spec.asks,
            completions: self.has("completions"),
            extensions: self.extensions,
        }
    }
}

/// Reads lists of raw items and says what it left out.
struct Reader<'r> {
    server: &'r str,
    items_max: usize,
    warnings: &'r mut Warnings,
}

impl Reader<'_> {
    /// The good items, sorted by their names, each name once: of two items with one name the lesser text stays, whichever the
    /// server sent first.
    fn read<'a, T>(
        &mut self,
        kind: ItemKind,
        list: &'a [String],
        read: impl Fn(&'a str) -> Result<T, ItemFault>,
        name: impl Fn(&T) -> &str,
    ) -> Vec<T> {
        let mut found = Vec::with_capacity(list.len());
        let mut faults = Vec::new();
        for raw in list {
            match read(raw) {
                Ok(item) => found.push((raw.as_str(), item)),
                Err(fault) => faults.push(fault),
            }
        }
        faults.sort_by(|a, b| (&a.name, a.reason.to_string()).cmp(&(&b.name, b.reason.to_string())));
        for fault in faults {
            let name = fault.name.as_deref().unwrap_or("(no name)");
            self.left_out(kind, name, Reason::Invalid, &fault.reason);
        }
        found.sort_by(|(a_raw, a), (b_raw, b)| (name(a), a_raw).cmp(&(name(b), b_raw)));
        found.dedup_by(|(_, later), (_, earlier)| {
            let same = name(later) == name(earlier);
            if same {
                self.left_out(kind, name(later), Reason::Duplicate, &"the server lists it twice");
            }
            same
        });
        if found.len() > self.items_max {
            let (server, max, over) = (self.server, self.items_max, found.len() - self.items_max);
            let noun = kind.noun();
            self.warnings.say(|| format!("server `{server}` lists {over} {noun}s more than {max}; they are left out"));
            for (_, item) in &found[max..] {
                self.record(
                    kind,
                    name(item),
                    Reason::TooMany,
                    &format_args!("the server lists more than {max} {noun}s"),
                );
            }
            found.truncate(self.items_max);
        }
        found.into_iter().map(|(_, item)| item).collect()
    }

    fn templates<'a>(&mut self, list: &'a [String]) -> Vec<Resource<'a>> {
        let mut found = self.read(ItemKind::Template, list, item::template, |template| &template.uri);
        found.retain(|template| {
            let good = Template::parse(&template.uri).is_some();
            if !good {
                self.left_out(
                    ItemKind::Template,
                    &template.uri,
                    Reason::Template,
                    &"it is no URI template that can be matched",
                );
            }
            good
        });
        found
    }

    /// The mirrored arguments of a tool; `None` when the tool has to be hidden.
    fn headers(&mut self, tool: &Tool<'_>, is_modern_http: bool) -> Option<HeaderParams> {
        if tool.needs_task {
            self.left_out(
                ItemKind::Tool,
                &tool.name,
                Reason::TaskOnly,
                &"it runs only as a task, which is not offered",
            );
            return None;
        }
        if tool.output == OutputSchema::Nobody {
            let (server, name) = (self.server, shown(&tool.name));
            self.warnings.say(|| {
                format!("tool `{name}` of server `{server}` is shown without its outputSchema, which is no object")
            });
        }
        match HeaderParams::of(tool.schema) {
            Ok(headers) => Some(headers),
            Err(error) if is_modern_http => {
                self.left_out(ItemKind::Tool, &tool.name, Reason::HeaderArguments, &error);
                None
            }
            Err(error) => {
                let (server, name) = (self.server, shown(&tool.name));
                self.warnings.say(|| format!("modern clients do not show tool `{name}` of server `{server}`: {error}"));
                Some(HeaderParams::default())
            }
        }
    }

    /// Says of a tool that weighs more than a limit lets through. What the words of the configuration alone tell was refused
    /// before; what it takes tools to find must not break a build.
    fn weigh(&mut self, name: &str, toll: &Toll) {
        if let Some((weight, limit)) = &toll.too_heavy {
            let (server, name, burst) = (self.server, shown(name), toll.cost);
            self.warnings.say(|| {
                format!(
                    "tool `{name}` of server `{server}` weighs {weight}, more than the burst of the limit `{limit}`; a call \
                     takes all of the burst, which is {burst}"
                )
            });
        }
    }

    fn left_out(&mut self, kind: ItemKind, name: &str, reason: Reason, why: &dyn std::fmt::Display) {
        let (server, noun) = (self.server, kind.noun());
        self.warnings.say(|| format!("{noun} `{}` of server `{server}` is left out: {why}", shown(name)));
        self.record(kind, name, reason, why);
    }

    fn record(&mut self, kind: ItemKind, name: &str, reason: Reason, why: &dyn std::fmt::Display) {
        if let Some(record) = &mut self.warnings.record {
            record.add(self.server, kind, name, reason, why);
        }
    }
}
