//! URIs of resources across the servers of one view: which stay as they are, which carry the server in them, and to which
//! server a URI leads. Values only; the relay and the lists ask, [`crate::snapshot`] builds. The matching of templates is in
//! [`template`].
//!
//! A URI that one server alone lists stays as it is. One that several list becomes `patchbay://{server}/{encoded}`, where
//! everything but letters, digits and `-._~` is percent-encoded. A template that several list becomes
//! `patchbay://{server}/!{template}`: its text is left alone, because a client fills it in, and what it fills in has to come
//! out again unchanged. `https:` URIs are never mapped, since a client may fetch them itself: the first server by name has
//! them. URIs of our own scheme that a server lists are always mapped, so that none can speak for another.
//!
//! URIs of skills are in [`skill`].

pub mod skill;
pub mod template;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use self::{
    skill::{SkillMap, Skills},
    template::Template,
};
use crate::{Slug, item::URI_BYTES_MAX};

/// The beginning of URIs that Patchbay makes.
pub const SCHEME: &str = "patchbay://";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longer than any URI that an item may have, fully encoded.
const EXPOSED_BYTES_MAX: usize = 4 * URI_BYTES_MAX;

/// The resources of one server, for [`UriMap::build`].
#[derive(Debug, Clone)]
pub struct Offer<'a> {
    /// The server's place in the snapshot.
    pub server: usize,
    /// The server's name.
    pub slug: &'a Slug,
    /// The URIs that it lists or links to.
    pub uris: Vec<&'a str>,
    /// The templates that it lists.
    pub templates: Vec<&'a str>,
    /// How its skills are shown.
    pub skills: Skills<'a>,
}

/// The URIs of one view. See the module's page for the forms.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UriMap {
    /// Who has a URI that stays as it is.
    owners: HashMap<Box<str>, usize>,
    /// Who has a template that stays as it is.
    template_owners: HashMap<Box<str>, usize>,
    /// The same templates, the one with the most literal characters first.
    templates: Vec<(Template, usize)>,
    servers: HashMap<Slug, usize>,
    mapped: HashMap<usize, Mapped>,
    skills: SkillMap,
}

/// What of one server is not exposed as it is.
#[derive(Debug, Clone, PartialEq)]
struct Mapped {
    slug: Slug,
    uris: HashSet<Box<str>>,
    templates: Vec<Template>,
    template_texts: HashSet<Box<str>>,
    /// What the URIs of its skills begin with.
    skills: Option<Box<str>>,
}

impl Mapped {
    fn new(slug: &Slug) -> Self {
        Self {
            slug: slug.clone(),
            uris: HashSet::new(),
            templates: Vec::new(),
            template_texts: HashSet::new(),
            skills: None,
        }
    }

    /// What clients call a URI, or a template, of a skill.
    fn skill(&self, native: &str) -> Option<String> {
        self.skills.as_deref().and_then(|prefix| skill::to_exposed(prefix, native))
    }
}

impl UriMap {
    /// Joins what the servers have; `offers` are sorted by the servers' names. Says what a person should know.
    pub fn build(offers: &[Offer<'_>]) -> (Self, Vec<String>) {
        let mut map = Self {
            servers: offers.iter().map(|offer| (offer.slug.clone(), offer.server)).collect(),
            ..Self::default()
        };
        for offer in offers {
            map.place_skills(offer);
        }
        let mut warnings = map.place(offers, Kind::Uri);
        warnings.extend(map.place(offers, Kind::Template));
        map.templates.sort_by(|(a, _), (b, _)| a.precedence(b));
        map.mapped.values_mut().for_each(|mapped| mapped.templates.sort_by(Template::precedence));
        (map, warnings)
    }

    fn place_skills(&mut self, offer: &Offer<'_>) {
        self.skills.add(offer.server, &offer.skills);
        if let Some(prefix) = offer.skills.prefix {
            let mapped = self.mapped.entry(offer.server).or_insert_with(|| Mapped::new(offer.slug));
            mapped.skills = Some(prefix.to_ascii_lowercase().into());
        }
    }

    fn place(&mut self, offers: &[Offer<'_>], kind: Kind) -> Vec<String> {
        let mut having: HashMap<&str, usize> = HashMap::new();
        for offer in offers {
            for text in kind.of(offer).iter().collect::<HashSet<_>>() {
                *having.entry(text).or_default() += 1;
            }
        }
        let mut warnings = Vec::new();
        for offer in offers {
            for &text in kind.of(offer) {
                let shared = having.get(text).is_some_and(|&count| count > 1);
                let skill = self.mapped.get(&offer.server).is_some_and(|mapped| mapped.skill(text).is_some());
                if skill || has_scheme(text, "patchbay:") || (shared && !has_scheme(text, "https:")) {
                    self.map_to_gateway(offer, kind, text);
                } else if !self.own(offer, kind, text) {
                    warnings.push(format!(
                        "the resource `{}` of server `{}` is left out: another server lists the same https: URI",
                        text.escape_debug().take(120).collect::<String>(),
                        offer.slug
                    ));
                }
            }
        }
        warnings
    }

    fn map_to_gateway(&mut self, offer: &Offer<'_>, kind: Kind, text: &str) {
        let mapped = self.mapped.entry(offer.server).or_insert_with(|| Mapped::new(offer.slug));
        match kind {
            Kind::Uri => {
                mapped.uris.insert(text.into());
            }
            Kind::Template => {
                if mapped.template_texts.insert(text.into()) && mapped.skill(text).is_none() {
                    mapped.templates.extend(Template::parse(text));
                }
            }
        }
    }

    /// Leaves a text as it is; false when it is another server's.
    fn own(&mut self, offer: &Offer<'_>, kind: Kind, text: &str) -> bool {
        let owners = match kind {
            Kind::Uri => &mut self.owners,
            Kind::Template => &mut self.template_owners,
        };
        if let Some(owner) = owners.get(text) {
            return *owner == offer.server;
        }
        owners.insert(text.into(), offer.server);
        if let (Kind::Template, Some(template)) = (kind, Template::parse(text)) {
            self.templates.push((template, offer.server));
        }
        true
    }

    /// The server that a client's URI leads to, and what that server calls it: a URI that is listed, then one that names its
    /// server, then one that a template makes. No server is asked.
    pub fn to_native<'a>(&self, exposed: &'a str) -> Option<(usize, Cow<'a, str>)> {
        if exposed.len() > EXPOSED_BYTES_MAX {
            return None;
        }
        if let Some(&server) = self.owners.get(exposed) {
            return Some((server, Cow::Borrowed(exposed)));
        }
        if exposed.starts_with(SCHEME) {
            let (slug, native) = split_gateway(exposed)?;
            return Some((*self.servers.get(slug)?, native));
        }
        if let Some(found) = self.skills.to_native(exposed) {
            return Some(found);
        }
        let found = self.templates.iter().find(|(template, _)| template.matches(exposed));
        found.map(|(_, server)| (*server, Cow::Borrowed(exposed)))
    }

    /// Like [`Self::to_native`] for the text of a template, as a completion names it.
    pub fn template_to_native<'a>(&self, exposed: &'a str) -> Option<(usize, Cow<'a, str>)> {
        if let Some(&server) = self.template_owners.get(exposed) {
            return Some((server, Cow::Borrowed(exposed)));
        }
        self.to_native(exposed)
    }

    /// What clients call a URI of this server, wherever it appears: in lists, results, links and updates.
    pub fn to_exposed<'a>(&self, server: usize, native: &'a str) -> Cow<'a, str> {
        let Some(mapped) = self.mapped.get(&server) else {
            return Cow::Borrowed(native);
        };
        if let Some(exposed) = mapped.skill(native) {
            return Cow::Owned(exposed);
        }
        if mapped.uris.contains(native) || has_scheme(native, "patchbay:") {
            let encoded = utf8_percent_encode(native, ENCODED);
            return Cow::Owned(format!("{SCHEME}{}/{encoded}", mapped.slug));
        }
        let owned = self.owners.get(native) == Some(&server);
        if !owned && mapped.templates.iter().any(|template| template.matches(native)) {
            return Cow::Owned(format!("{SCHEME}{}/!{native}", mapped.slug));
        }
        Cow::Borrowed(native)
    }

    /// What clients call a listed URI of this server; `None` when another server has it.
    pub fn listed<'a>(&self, server: usize, native: &'a str) -> Option<Cow<'a, str>> {
        let mapped = self.mapped.get(&server).is_some_and(|mapped| mapped.uris.contains(native));
        let has = mapped || self.owners.get(native) == Some(&server);
        has.then(|| self.to_exposed(server, native))
    }

    /// What clients call a listed skill of this server; `None` when another server has it too and the two cannot be told apart
    /// by a URI that is still one of a skill.
    pub fn listed_skill<'a>(&self, server: usize, native: &'a str) -> Option<Cow<'a, str>> {
        let listed =
            if skill::is_one(native) { Some(self.to_exposed(server, native)) } else { self.listed(server, native) };
        listed.filter(|exposed| exposed.ends_with("/SKILL.md"))
    }

    /// What clients call a listed template of this server; `None` when another server has it.
    pub fn listed_template<'a>(&self, server: usize, native: &'a str) -> Option<Cow<'a, str>> {
        match self.mapped.get(&server).filter(|mapped| mapped.template_texts.contains(native)) {
            Some(mapped) => {
                Some(Cow::Owned(mapped.skill(native).unwrap_or_else(|| format!("{SCHEME}{}/!{native}", mapped.slug))))
            }
            None => (self.template_owners.get(native) == Some(&server)).then_some(Cow::Borrowed(native)),
        }
    }

    /// Whether any URI of this server is exposed under another text, so that its results have to be searched for links.
    pub fn has_mapped(&self, server: usize) -> bool {
        self.mapped.contains_key(&server)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Uri,
    Template,
}

impl Kind {
    fn of<'o, 'a>(self, offer: &'o Offer<'a>) -> &'o [&'a str] {
        match self {
            Self::Uri => &offer.uris,
            Self::Template => &offer.templates,
        }
    }
}

/// Schemes are compared without regard to case (RFC 3986, 3.1).
fn has_scheme(uri: &str, scheme: &str) -> bool {
    uri.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn split_gateway(exposed: &str) -> Option<(&str, Cow<'_, str>)> {
    let (slug, rest) = exposed.strip_prefix(SCHEME)?.split_once('/')?;
    let native = match rest.strip_prefix('!') {
        Some(verbatim) => Cow::Borrowed(verbatim),
        None => percent_decode_str(rest).decode_utf8().ok()?,
    };
    let good = !native.is_empty() && native.len() <= URI_BYTES_MAX && !native.chars().any(char::is_control);
    good.then_some((slug, native))
}

#[cfg(test)]
mod tests;
