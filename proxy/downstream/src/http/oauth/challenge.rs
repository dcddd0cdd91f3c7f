//! What a server says when it wants a token, another one, or one with more scopes: the `Bearer` challenge of
//! `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750, RFC 9728). Read like a list of challenges, not by looking for words,
//! since other schemes and quoted texts may stand beside it.

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use url::Url;

/// Scopes of one challenge that are read.
const CHALLENGE_SCOPES_MAX: usize = 64;
/// Longest header that is read.
const CHALLENGE_BYTES_MAX: usize = 8 * 1024;

/// A `Bearer` challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// `error`, when it is one of RFC 6750.
    pub(crate) error: Option<ChallengeError>,
    /// `scope`: all that the operation needs.
    pub(crate) scopes: Vec<String>,
    /// Where the server's metadata is.
    pub(crate) resource_metadata: Option<Url>,
}

/// Why a token did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChallengeError {
    InvalidToken,
    InsufficientScope,
    Other,
}

impl Challenge {
    /// The first `Bearer` challenge of a response.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        texts.filter(|text| text.len() <= CHALLENGE_BYTES_MAX).find_map(Self::in_header)
    }

    fn in_header(text: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut reader = Reader { rest: text };
        while let Some(item) = reader.next() {
            match (item, &mut found) {
                (Item::Scheme(scheme), None) if scheme.eq_ignore_ascii_case("bearer") => found = Some(Self::default()),
                (Item::Scheme(_), Some(_)) => break,
                (Item::Param(name, value), Some(challenge)) => challenge.take(name, &value),
                _ => {}
            }
        }
        found
    }

    fn take(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("error") && self.error.is_none() {
            self.error = Some(match value {
                "invalid_token" => ChallengeError::InvalidToken,
                "insufficient_scope" => ChallengeError::InsufficientScope,
                _ => ChallengeError::Other,
            });
        } else if name.eq_ignore_ascii_case("scope") && self.scopes.is_empty() {
            self.scopes = scopes(value);
        } else if name.eq_ignore_ascii_case("resource_metadata") && self.resource_metadata.is_none() {
            self.resource_metadata = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        }
    }
}

/// The scopes in a text of them: those that can be scopes (RFC 6749 section 3.3), as many as may be.
pub(crate) fn scopes(text: &str) -> Vec<String> {
    let is_scope = |word: &&str| word.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\');
    let mut scopes: Vec<String> =
        text.split_ascii_whitespace().filter(is_scope).take(CHALLENGE_SCOPES_MAX).map(str::to_owned).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// A piece of the header.
enum Item<'a> {
    Scheme(&'a str),
    Param(&'a str, String),
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            let word = self.word();
            if word.is_empty() {
                // Nothing that a challenge begins with, like the end of a token68: on to the next byte.
                let mut rest = self.rest.chars();
                rest.next()?;
                self.rest = rest.as_str();
                continue;
            }
            let after = self.rest.trim_start_matches([' ', '\t']);
            let Some(value) = after.strip_prefix('=') else {
                return Some(Item::Scheme(word));
            };
            self.rest = value.trim_start_matches([' ', '\t']);
            return Some(Item::Param(word, self.value()));
        }
    }

    fn word(&mut self) -> &'a str {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn value(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self.bare();
        };
        let mut value = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => value.extend(chars.next()),
                c => value.push(c),
            }
        }
        self.rest = chars.as_str();
        value
    }

    /// A value without quotes. Some servers write URLs so, which the grammar forbids.
    fn bare(&mut self) -> String {
        let end = self.rest.find([' ', '\t', ',']).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn challenge(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).expect("a header"));
        }
        Challenge::of(&headers)
    }

    #[test]
    fn a_challenge_is_found_among_others_and_its_texts_are_not_mistaken_for_members() {
        let found = challenge(&[
            "Negotiate abc==, Basic realm=\"scope=no, Bearer scope=no\"",
            "Digest realm=x, bearer error_description=\"say \\\"scope=all\\\", error=x\" , \
             error = \"insufficient_scope\",scope=\"b a  b\", resource_metadata=\"https://h.example/p?q=1\", Basic scope=other",
        ]);
        let expected = Challenge {
            error: Some(ChallengeError::InsufficientScope),
            scopes: vec!["a".into(), "b".into()],
            resource_metadata: Url::parse("https://h.example/p?q=1").ok(),
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn a_bare_challenge_is_one_and_other_schemes_are_none() {
        assert_eq!(challenge(&["Bearer"]), Some(Challenge::default()));
        assert_eq!(challenge(&["Basic realm=\"x\"", "bearerish a=b"]), None);
        assert_eq!(challenge(&[&format!("Bearer scope=\"{}\"", "x".repeat(CHALLENGE_BYTES_MAX))]), None);
    }

    #[test]
    fn what_is_no_url_or_no_scope_is_left_out() {
        let found =
            challenge(&["Bearer resource_metadata=\"file:///etc/passwd\", scope=\"ok b\\\\ad \", error=\"huh\""]);
        let found = found.expect("a challenge");
        assert_eq!((found.resource_metadata, found.scopes), (None, vec!["ok".to_owned()]));
        assert_eq!(found.error, Some(ChallengeError::Other));
        let found = challenge(&["Bearer resource_metadata=https://h.example/prm, error=invalid_token"]).expect("one");
        assert_eq!(found.resource_metadata, Url::parse("https://h.example/prm").ok());
        assert_eq!(found.error, Some(ChallengeError::InvalidToken));
        let many: String = (0..200).map(|n| format!("s{n} ")).collect();
        assert_eq!(scopes(&many).len(), CHALLENGE_SCOPES_MAX);
    }
}
