//! Exposed names: what a client calls a tool or a prompt. Made here, looked up in the snapshot, never split again.
//! Nothing here knows filters or renames; [`crate::snapshot`] calls it.
//!
//! A name is `{prefix}_{native}`, at most [`NAME_BYTES_MAX`] bytes of `[A-Za-z0-9_-]`. It is *plain* when nothing had to
//! change. Otherwise characters outside the set become `_`, the text is cut, and a hash of the server's name and the whole
//! native name follows, so that the result depends on this one tool alone. A prefix holds no `_` and is unique in its
//! tenant, so names of two servers never meet. Within one server a plain name always keeps itself; a hashed name that meets
//! it, or meets another hashed name, takes the next hash, in the order of the native names.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::{Slug, model::PrefixMode};

/// The longest exposed name with a prefix: IDEs put words of their own before it and stop at 60 to 64.
pub const NAME_BYTES_MAX: usize = 40;
/// The longest name that passes as it is where a toolset has no prefixes; what the protocol suggests at the most.
pub const VERBATIM_BYTES_MAX: usize = 128;
/// The longest prefix.
pub const PREFIX_BYTES_MAX: usize = 12;

const HASH_CHARS: usize = 6;
const PREFIX_HASH_CHARS: usize = 4;

/// Makes the names of one server in one toolset.
#[derive(Debug, Clone, Copy)]
pub struct Namer<'a> {
    /// Whether names carry the prefix.
    pub mode: PrefixMode,
    /// The prefix; see [`prefixes`].
    pub prefix: &'a str,
    /// The server's name, which goes into the hash.
    pub server: &'a str,
}

impl Namer<'_> {
    /// The exposed names of these native names, in the same order. `natives` is sorted and free of duplicates; `taken` holds
    /// the names that are given away already and gets the new ones.
    pub fn assign(&self, natives: &[&str], taken: &mut HashSet<String>) -> Vec<String> {
        let mut names: Vec<_> =
            natives.iter().map(|native| self.plain(native).filter(|name| taken.insert(name.clone()))).collect();
        for (name, native) in names.iter_mut().zip(natives) {
            if name.is_none() {
                *name = Some(first_free(taken, |round| self.hashed(native, round)));
            }
        }
        names.into_iter().flatten().collect()
    }

    /// The name without any change to the native one, when it may stand so.
    pub fn plain(&self, native: &str) -> Option<String> {
        let name = match self.mode {
            PrefixMode::Always => format!("{}_{native}", self.prefix),
            PrefixMode::Never => native.to_owned(),
        };
        is_legal(self.mode, &name).then_some(name)
    }

    fn hashed(&self, native: &str, round: u32) -> String {
        let whole = match self.mode {
            PrefixMode::Always => format!("{}_{native}", self.prefix),
            PrefixMode::Never => native.to_owned(),
        };
        let head: String =
            whole.chars().map(|c| if is_plain(c) { c } else { '_' }).take(NAME_BYTES_MAX - HASH_CHARS - 1).collect();
        format!("{head}_{}", hash(&[self.server, native], round, HASH_CHARS))
    }
}

/// Whether a client may see this name in a toolset of that kind.
pub fn is_legal(mode: PrefixMode, name: &str) -> bool {
    match mode {
        PrefixMode::Always => (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_plain),
        PrefixMode::Never => (1..=VERBATIM_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control),
    }
}

/// The words before the exposed names of a tenant's servers, in the same order, and what a person should know of them.
///
/// `servers` are names with the prefix that the operator chose. Two prefixes that differ only in case count as equal; the
/// later server then gets one with a hash, which its own name alone decides.
pub fn prefixes<'a>(servers: impl IntoIterator<Item = (&'a Slug, Option<&'a str>)>) -> (Vec<String>, Vec<String>) {
    let (mut taken, mut warnings) = (HashSet::new(), Vec::new());
    let chosen = servers.into_iter().map(|(slug, wish)| {
        let wanted = prefix_of(wish.filter(|wish| !wish.is_empty()).unwrap_or(slug.as_str()), PREFIX_BYTES_MAX);
        if taken.insert(wanted.to_ascii_lowercase()) {
            return wanted;
        }
        let head = prefix_of(&wanted, PREFIX_BYTES_MAX - PREFIX_HASH_CHARS - 1);
        let made = first_free(&mut taken, |round| {
            format!("{head}-{}", hash(&[slug.as_str()], round, PREFIX_HASH_CHARS)).to_ascii_lowercase()
        });
        warnings.push(format!(
            "the prefix `{wanted}` of server `{slug}` belongs to another server already, so its tools begin with `{made}_`; \
             set a `prefix` of its own for it"
        ));
        made
    });
    (chosen.collect(), warnings)
}

fn prefix_of(text: &str, bytes_max: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let cut: String = text.chars().map(plain).take(bytes_max).collect();
    let trimmed = cut.trim_end_matches('-');
    if trimmed.is_empty() { cut } else { trimmed.to_owned() }
}

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// The first of these names that is free; it is taken then. Each round that fails met a name of `taken`, and hashes of two
/// rounds do not repeat in practice, so there are hardly more rounds than names.
fn first_free(taken: &mut HashSet<String>, name_of: impl Fn(u32) -> String) -> String {
    (0..=u32::MAX).map(name_of).find(|name| taken.insert(name.clone())).expect("there are fewer names than rounds")
}

/// That many letters and digits (base 32) of the SHA-256 of the parts.
fn hash(parts: &[&str], round: u32, chars: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
        hasher.update([0]);
    }
    if round > 0 {
        hasher.update(round.to_le_bytes());
    }
    hasher.finalize()[..chars].iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DB: Namer<'_> = Namer { mode: PrefixMode::Always, prefix: "db", server: "db" };

    fn names(namer: Namer<'_>, natives: &[&str]) -> Vec<String> {
        namer.assign(natives, &mut HashSet::new())
    }

    #[test]
    fn a_plain_name_keeps_itself_and_a_changed_one_gets_a_hash() {
        let found = names(DB, &["get.user", "query", "query_with_a_name_that_is_far_too_long_for_ides"]);
        assert_eq!(found[1], "db_query");
        assert!(found[0].starts_with("db_get_user_") && found[0].len() == "db_get_user_".len() + HASH_CHARS);
        assert_eq!(found[2].len(), NAME_BYTES_MAX);
    }

    #[test]
    fn names_that_fold_to_the_same_text_stay_apart() {
        let found = names(DB, &["a b", "a.b", "a_b", "aéb"]);
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), 4);
        assert_eq!(found[2], "db_a_b");
    }

    #[test]
    fn a_decoy_with_the_name_of_a_hashed_one_keeps_itself_and_the_hashed_one_moves() {
        let before = names(DB, &["a.b"]);
        let decoy = before[0].strip_prefix("db_").expect("our prefix");
        let after = names(DB, &["a.b", decoy]);
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn the_hash_is_the_same_in_every_release() {
        assert_eq!(names(DB, &["get.user"]), ["db_get_user_b4qvif"]);
    }

    #[test]
    fn without_prefixes_names_pass_as_they_are() {
        let namer = Namer { mode: PrefixMode::Never, ..DB };
        let long = "x".repeat(VERBATIM_BYTES_MAX + 1);
        let found = names(namer, &["get.user/ü", "test_a_name_of_the_suite_with_42_characters", &long]);
        assert_eq!(found[..2], ["get.user/ü", "test_a_name_of_the_suite_with_42_characters"]);
        assert_eq!(found[2].len(), NAME_BYTES_MAX);
    }

    #[test]
    fn prefixes_are_short_and_unique_whatever_their_case() {
        let slugs: Vec<Slug> = ["db", "db2", "kubernetes-prod", "kubernetes-prod-2", "z"]
            .iter()
            .map(|slug| slug.parse().expect("a slug"))
            .collect();
        let wishes = [None, Some("DB"), None, None, Some("a_b c")];
        let (found, warnings) = prefixes(slugs.iter().zip(wishes));
        assert_eq!((&*found[0], &*found[2], &*found[4]), ("db", "kubernetes-p", "a-b-c"));
        assert!(found[1].starts_with("db-") && found[3].starts_with("kuberne-"), "{found:?}");
        assert!(found.iter().all(|prefix| prefix.len() <= PREFIX_BYTES_MAX));
        assert_eq!(warnings.len(), 2);
    }

    proptest! {
        #[test]
        fn any_names_become_legal_unique_ones(
            natives in prop::collection::btree_set(prop_oneof!["\\PC{1,60}", "[ab._]{1,4}", "[a-z_]{30,50}"], 1..40),
        ) {
            let natives: Vec<&str> = natives.iter().map(String::as_str).collect();
            for mode in [PrefixMode::Always, PrefixMode::Never] {
                let found = names(Namer { mode, ..DB }, &natives);
                prop_assert_eq!(found.len(), natives.len());
                prop_assert!(found.iter().all(|name| is_legal(mode, name)));
                prop_assert_eq!(found.iter().collect::<HashSet<_>>().len(), natives.len());
            }
        }

        #[test]
        fn a_name_does_not_depend_on_names_beside_it(natives in prop::collection::btree_set("\\PC{1,60}", 1..20)) {
            let natives: Vec<&str> = natives.iter().map(String::as_str).collect();
            let together = names(DB, &natives);
            for (native, name) in natives.iter().zip(together) {
                prop_assert_eq!(names(DB, &[native]), [name]);
            }
        }
    }
}
