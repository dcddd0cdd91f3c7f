//! Takes secrets out of texts by their values, before the texts are shown to anybody: the standard error of children, what
//! servers answer in place of an answer. Made once for a server, of all its secrets.

use std::{borrow::Cow, fmt};

use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
const INSTEAD: &str = "[redacted]";
/// A shorter value is no secret worth the name, and replacing it would garble every line.
const SECRET_BYTES_MIN: usize = 4;
/// From how many bytes on a secret is also found in the middle of a word.
const IN_WORDS_BYTES_MIN: usize = 6;
/// From how many bytes on a word of a secret counts by itself: the token after `Bearer`, a line of a private key.
const WORD_BYTES_MIN: usize = 8;

/// See the module.
#[derive(Default)]
pub struct Mask {
    /// The longest first, so that none is found within another before that.
    needles: Vec<SecretString>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").field("needles", &self.needles.len()).finish()
    }
}

impl Mask {
    /// A mask for these secrets.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let mut needles: Vec<String> = Vec::new();
        for secret in secrets {
            needles.push(secret.to_owned());
            needles.push(secret.trim().to_owned());
            // As it stands in JSON, and in logs that quote.
            needles.push(patchbay_core::json::quote(secret).trim_matches('"').to_owned());
            let words = secret.split(|c: char| c.is_whitespace() || c.is_control());
            needles.extend(words.filter(|word| word.len() >= WORD_BYTES_MIN).map(str::to_owned));
        }
        needles.retain(|needle| needle.len() >= SECRET_BYTES_MIN);
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles: needles.into_iter().map(SecretString::from).collect() }
    }

    /// The text without the secrets.
    pub fn over<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for needle in self.needles.iter().map(ExposeSecret::expose_secret) {
            if text.contains(needle) {
                text = Cow::Owned(without(&text, needle));
            }
        }
        text
    }

    /// The text without what may be the beginning of a secret at its end, where it was cut.
    pub fn without_beginning<'t>(&self, text: &'t str) -> &'t str {
        let begun = |needle: &str| {
            let beginnings = needle.char_indices().map(|(at, _)| &needle[..at]).skip(1);
            beginnings.filter(|beginning| text.ends_with(*beginning)).map(str::len).max()
        };
        let bytes = self.needles.iter().filter_map(|needle| begun(needle.expose_secret())).max().unwrap_or(0);
        &text[..text.len() - bytes]
    }
}

fn without(text: &str, needle: &str) -> String {
    if needle.len() >= IN_WORDS_BYTES_MIN {
        return text.replace(needle, INSTEAD);
    }
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (found, _) in text.match_indices(needle) {
        let end = found + needle.len();
        let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let whole = !is_part(text[..found].chars().next_back()) && !is_part(text[end..].chars().next());
        out.push_str(&text[at..found]);
        out.push_str(if whole { INSTEAD } else { needle });
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_in_the_forms_that_it_is_written_in() {
        let mask =
            Mask::of(["s3cr3t-value", "Bearer abcdefgh-token", "with \"quotes\"", "-----BEGIN-----\nMIIEvQIBADAN\n"]);
        for text in [
            "xs3cr3t-valuex",
            "token abcdefgh-token refused",
            r#"{"a":"with \"quotes\""}"#,
            "with \"quotes\"",
            "key line MIIEvQIBADAN",
        ] {
            let shown = mask.over(text);
            assert!(shown.contains(INSTEAD), "{shown}");
            for secret in ["s3cr3t", "abcdefgh", "quotes", "MIIE"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        assert!(matches!(mask.over("nothing of it"), Cow::Borrowed("nothing of it")));
    }

    #[test]
    fn a_short_secret_is_found_as_a_word_and_leaves_longer_words_alone() {
        let mask = Mask::of(["info", "1", "s3cr"]);
        assert_eq!(mask.over("information 1: info, pin=s3cr;"), "information 1: [redacted], pin=[redacted];");
    }

    #[test]
    fn of_a_secret_that_was_cut_nothing_is_left() {
        let mask = Mask::of(["s3cr3t-value"]);
        assert_eq!(mask.without_beginning("abc s3cr3t-v"), "abc ");
        assert_eq!(mask.without_beginning("abc"), "abc");
    }

    #[test]
    fn its_debug_form_says_nothing() {
        assert_eq!(format!("{:?}", Mask::of(["s3cr3t-value"])), "Mask { needles: 1 }");
    }
}
