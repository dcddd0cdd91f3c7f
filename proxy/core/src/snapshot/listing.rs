//! What a view shows, written into its lists. Which items those are, and under which names, was decided by [`super::view`];
//! [`super::lists`] cuts the pages.

use std::borrow::Cow;

use super::{
    BuildOptions,
    lists::{Entry, List, Lists, list},
    offered::Offered,
    view::{Shown, ShownPrompt},
};
use crate::{
    item::{Edits, Link, OutputSchema, Resource, render, render_skill},
    resources::UriMap,
};

/// What goes into the lists.
pub(super) struct Listing<'l, 's, 'a> {
    pub(super) servers: &'l [&'s Offered<'a>],
    /// Sorted by their exposed names.
    pub(super) shown: &'l [Shown<'s, 'a>],
    /// Sorted by their exposed names.
    pub(super) prompts: &'l [ShownPrompt<'s, 'a>],
    pub(super) uris: &'l UriMap,
    pub(super) is_public: bool,
    pub(super) options: &'l BuildOptions,
}

impl Listing<'_, '_, '_> {
    pub(super) fn write(&self) -> Lists {
        let tools = self.shown.iter().map(|shown| tool_entry(shown, self.uris));
        let prompts = self.prompts.iter().map(|shown| plain_entry(shown.prompt.raw, "name", &shown.exposed));
        let parts = || self.servers.iter().map(|server| server.part);
        let fresh_until = parts().map(|part| part.and_then(|part| part.fresh_until_ms));
        Lists {
            tools: self.list("tools", tools),
            prompts: self.list("prompts", prompts),
            resources: self.list("resources", self.resources(ResourceKind::Resource)),
            templates: self.list("resourceTemplates", self.resources(ResourceKind::Template)),
            skills: self.list("skills", self.skills()),
            fresh_until_ms: fresh_until.collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().min()),
            stale: parts().any(|part| part.is_none_or(|part| part.stale)),
        }
    }

    fn list(&self, name: &str, mut entries: impl Iterator<Item = Entry>) -> List {
        list(name, &mut entries, self.is_public, self.options)
    }

    fn resources(&self, kind: ResourceKind) -> impl Iterator<Item = Entry> {
        let mut found = Vec::new();
        for server in self.servers {
            found.extend(
                kind.of(server)
                    .iter()
                    .filter_map(|resource| Some((kind.exposed(self.uris, server.index, &resource.uri)?, resource.raw))),
            );
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.into_iter().map(move |(exposed, raw)| plain_entry(raw, kind.member(), &exposed))
    }

    fn skills(&self) -> impl Iterator<Item = Entry> {
        let mut found = Vec::new();
        for server in self.servers {
            let link = |uri: &str| exposed(self.uris, server.index, uri);
            for skill in &server.skills {
                let Some(uri) = self.uris.listed_skill(server.index, &skill.uri) else { continue };
                let mut modern = String::with_capacity(skill.raw.len() + 64);
                render_skill(skill.raw, &link, &mut modern);
                found.push((uri.into_owned(), Entry { modern, legacy: None }));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found.into_iter().map(|(_, entry)| entry)
    }
}

/// What clients call a URI, where that is something else.
fn exposed(uris: &UriMap, server: usize, native: &str) -> Option<String> {
    match uris.to_exposed(server, native) {
        Cow::Owned(exposed) => Some(exposed),
        Cow::Borrowed(_) => None,
    }
}

#[derive(Clone, Copy)]
enum ResourceKind {
    Resource,
    Template,
}

impl ResourceKind {
    const fn member(self) -> &'static str {
        match self {
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    fn of<'s, 'a>(self, server: &'s Offered<'a>) -> &'s [Resource<'a>] {
        match self {
            Self::Resource => &server.resources,
            Self::Template => &server.templates,
        }
    }

    fn exposed(self, uris: &UriMap, server: usize, native: &str) -> Option<String> {
        match self {
            Self::Resource => uris.listed(server, native),
            Self::Template => uris.listed_template(server, native),
        }
        .map(Cow::into_owned)
    }
}

fn tool_entry(shown: &Shown<'_, '_>, uris: &UriMap) -> Entry {
    let (tool, server) = (&shown.tool.tool, shown.server.index);
    let link = |uri: &str| exposed(uris, server, uri);
    let relinks = !tool.ui_uris.is_empty() && uris.has_mapped(server);
    let write = |drop_output| {
        let mut text = String::with_capacity(tool.raw.len() + 64);
        let edits = Edits {
            name: ("name", &shown.exposed),
            description: shown.description,
            drop_output,
            link: relinks.then_some(&link as &Link<'_>),
        };
        render(tool.raw, &edits, &mut text);
        text
    };
    Entry {
        modern: write(tool.output == OutputSchema::Nobody),
        legacy: (tool.output == OutputSchema::ModernOnly).then(|| write(true)),
    }
}

fn plain_entry(raw: &str, member: &'static str, exposed: &str) -> Entry {
    let mut modern = String::with_capacity(raw.len() + 64);
    render(raw, &Edits { name: (member, exposed), description: None, drop_output: false, link: None }, &mut modern);
    Entry { modern, legacy: None }
}
