//! URIs of skills (the Skills extension). Each server's `skill://{path}` is `skill://{prefix}/{path}` to clients, file for
//! file, so that relative links inside of a skill still lead where they led; where a toolset has no prefixes they stay as they
//! are. Values only; [`super::UriMap`] asks.
//!
//! What is odd, and what could be read as something else once the prefix is off, becomes `skill://{prefix}/!{uri}`, with the
//! whole URI behind the mark. Nothing is percent-encoded: a text leads to one URI of one server, and back to the same text.

use std::{borrow::Cow, collections::HashMap};

use super::has_scheme;
use crate::item::URI_BYTES_MAX;

const SCHEME: &str = "skill://";
/// The longest URI of a skill that is looked at: longer than any that a server may list, with its prefix.
const SKILL_URI_BYTES_MAX: usize = 5 * 1024;

/// How the skills of one server are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skills<'a> {
    /// Whether it has any.
    pub there: bool,
    /// What their URIs begin with; `None` where they stay as they are, which is for a view of one server.
    pub prefix: Option<&'a str>,
}

/// Whose the URIs of skills are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SkillMap {
    prefixes: HashMap<Box<str>, usize>,
    /// The one server whose URIs stay as they are.
    plain: Option<usize>,
}

impl SkillMap {
    pub(super) fn add(&mut self, server: usize, skills: &Skills<'_>) {
        match skills.prefix {
            Some(prefix) => {
                self.prefixes.insert(prefix.to_ascii_lowercase().into(), server);
            }
            None if skills.there => self.plain = self.plain.or(Some(server)),
            None => {}
        }
    }

    /// The server that a client's URI leads to, and what that server calls it.
    pub(super) fn to_native<'a>(&self, exposed: &'a str) -> Option<(usize, Cow<'a, str>)> {
        if exposed.len() > SKILL_URI_BYTES_MAX || exposed.chars().any(char::is_control) {
            return None;
        }
        let rest = exposed.strip_prefix(SCHEME)?;
        if let Some(server) = self.plain {
            return Some((server, Cow::Borrowed(exposed)));
        }
        let (prefix, path) = rest.split_once('/')?;
        let server = *self.prefixes.get(prefix)?;
        let native = match path.strip_prefix('!') {
            Some(whole) => Cow::Borrowed(whole),
            None => Cow::Owned(format!("{SCHEME}{path}")),
        };
        // Only what `to_exposed` makes: no URI has two names.
        let good = native.len() <= URI_BYTES_MAX && to_exposed(prefix, &native).as_deref() == Some(exposed);
        good.then_some((server, native))
    }
}

/// Whether a URI, or a template, is one of a skill by its scheme.
pub fn is_one(uri: &str) -> bool {
    has_scheme(uri, "skill:")
}

/// What clients call a URI, or a template, of a skill of the server with this prefix; `None` for what is none.
pub(super) fn to_exposed(prefix: &str, native: &str) -> Option<String> {
    if !is_one(native) {
        return None;
    }
    Some(match native.strip_prefix(SCHEME) {
        Some(path) if !path.is_empty() && !path.starts_with('!') => format!("{SCHEME}{prefix}/{path}"),
        _ => format!("{SCHEME}{prefix}/!{native}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map() -> SkillMap {
        let mut map = SkillMap::default();
        map.add(3, &Skills { there: true, prefix: Some("Git") });
        map.add(4, &Skills { there: true, prefix: Some("crm") });
        map
    }

    #[test]
    fn a_skill_keeps_its_folders_behind_the_prefix_of_its_server() {
        let exposed = to_exposed("git", "skill://acme/billing/SKILL.md").expect("a skill");
        assert_eq!(exposed, "skill://git/acme/billing/SKILL.md");
        assert_eq!(map().to_native(&exposed), Some((3, "skill://acme/billing/SKILL.md".into())));
        assert_eq!(
            map().to_native("skill://git/acme/billing/%2e%2e/x"),
            Some((3, "skill://acme/billing/%2e%2e/x".into()))
        );
        assert_eq!(to_exposed("git", "file:///SKILL.md"), None);
    }

    #[test]
    fn hostile_uris_lead_to_their_own_server_or_nowhere() {
        for native in
            ["skill://!skill://crm/x", "skill://", "skill:x", "SKILL://crm/a", "skill:///abs", "skill://crm/a"]
        {
            let exposed = to_exposed("git", native).expect("a skill");
            assert_eq!(map().to_native(&exposed), Some((3, native.into())), "{exposed}");
        }
        for exposed in [
            "skill://git",
            "skill://git/",
            "skill://GIT/a",
            "skill://not/a",
            "skill://git/!skill://a",
            "skill://git/!file:///etc/passwd",
            "skill://git/!",
            "skill://git/a\nb",
            "skill://git:80/a",
            "skill://x@git/a",
            "Skill://git/a",
        ] {
            assert_eq!(map().to_native(exposed), None, "{exposed}");
        }
        let long = format!("skill://git/{}", "x".repeat(SKILL_URI_BYTES_MAX));
        assert_eq!(map().to_native(&long), None);
    }

    #[test]
    fn without_a_prefix_uris_stay_as_they_are() {
        let mut map = SkillMap::default();
        map.add(0, &Skills { there: true, prefix: None });
        assert_eq!(map.to_native("skill://acme/SKILL.md"), Some((0, "skill://acme/SKILL.md".into())));
        assert_eq!(map.to_native("file:///SKILL.md"), None);
    }

    proptest! {
        #[test]
        fn every_skill_has_one_name_that_leads_back(path in "[!/a-z%é:@?#.]{0,24}", scheme in "skill://|skill:|SKILL://|Skill:/") {
            let native = format!("{scheme}{path}");
            let exposed = to_exposed("git", &native).expect("a skill");
            prop_assert_eq!(map().to_native(&exposed), Some((3, Cow::Owned(native))));
        }

        #[test]
        fn no_text_makes_it_panic_or_leads_to_two_names(text in "(skill://(git|crm|x)?/?!?)?\\PC{0,40}") {
            if let Some((server, native)) = map().to_native(&text) {
                let prefix = if server == 3 { "git" } else { "crm" };
                prop_assert_eq!(to_exposed(prefix, &native), Some(text.clone()));
            }
        }
    }
}
