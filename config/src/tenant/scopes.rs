//! What has to hold for OAuth's words in a tenant file: scopes, algorithms, client ids, addresses of issuers.
//!
//! Each check is a pure function that says what was expected; called by `issuer`, `toolset::access` and `server::oauth`.

use patchbay_core::issuer::Algorithm;

use super::{lower::Lower, schema::ScopeList};
use crate::{path::FieldPath, suggest::nearest};

/// Scopes in one list.
pub(crate) const SCOPES_MAX: usize = 64;

/// The longest scope.
pub(crate) const SCOPE_CHARS_MAX: usize = 200;

impl Lower<'_, '_> {
    /// The scopes of one list; how many there may be is said by the schema.
    pub(crate) fn scopes(&mut self, field: &FieldPath, list: ScopeList) -> Vec<String> {
        for (at, scope) in list.0.iter().enumerate() {
            self.held(&field.index(at), check_scope(scope));
        }
        list.0
    }

    /// Says what a check found.
    pub(crate) fn held(&mut self, field: &FieldPath, checked: Result<(), String>) {
        if let Err(why) = checked {
            self.report.meaning(field, why);
        }
    }

    /// The algorithm of that name.
    pub(crate) fn algorithm(&mut self, field: &FieldPath, name: &str) -> Option<Algorithm> {
        parse_algorithm(name).map_err(|why| self.report.meaning(field, why)).ok()
    }
}

/// A scope (RFC 6749 section 3.3) that can be asked for here.
pub(crate) fn check_scope(scope: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    if scope.is_empty() || scope.len() > SCOPE_CHARS_MAX || !scope.chars().all(token) {
        return Err(format!(
            "expected one scope: 1 to {SCOPE_CHARS_MAX} visible characters of ASCII, without spaces, `\"` and `\\`"
        ));
    }
    if scope == "offline_access" {
        return Err(
            "`offline_access` asks an issuer for refresh tokens, which open nothing here; leave it out".to_owned()
        );
    }
    Ok(())
}

fn parse_algorithm(name: &str) -> Result<Algorithm, String> {
    if let Some(known) = Algorithm::parse(name) {
        return Ok(known);
    }
    let names = Algorithm::USUAL.map(Algorithm::as_str);
    let why = if name.eq_ignore_ascii_case("none") {
        "`none` stands for no signature at all, so that anybody could write such a token; ".to_owned()
    } else if matches!(name.to_ascii_uppercase().as_str(), "HS256" | "HS384" | "HS512") {
        format!("`{name}` signs with a shared secret, so that whoever can check such a token could also write one; ")
    } else if let Some(near) = nearest(name, names) {
        format!("`{name}` is not the name of a known algorithm, did you mean `{near}`; ")
    } else {
        String::new()
    };
    Err(format!("{why}expected one of {}", names.join(", ")))
}

/// An issuer: it is compared as it is written, and addresses are made of it.
pub(crate) fn check_issuer(text: &str) -> Result<(), String> {
    match absolute(text) {
        Some(url) if url.query().is_none() => Ok(()),
        _ => Err("expected the issuer as its tokens write it in `iss`: an https address as in \
                  https://login.example.org/realms/acme, without user name, `?` and `#`"
            .to_owned()),
    }
}

/// An address that the gateway asks, or that it asks tokens for.
pub(crate) fn check_address(text: &str) -> Result<(), String> {
    let expected = "expected an https address as in https://login.example.org/keys, without user name and `#`";
    absolute(text).map(|_| ()).ok_or_else(|| expected.to_owned())
}

/// The URL, if it is one as it stands: what a parser would mend differs from what others compare.
fn absolute(text: &str) -> Option<url::Url> {
    let written = text.starts_with("https://") || text.starts_with("http://");
    let plain = written && text.chars().all(|c| c.is_ascii_graphic() && c != '\\' && c != '#');
    let url = url::Url::parse(text).ok().filter(|_| plain)?;
    (url.has_host() && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// A client id (RFC 6749 appendix A.1); it is shown to people.
pub(crate) fn check_client_id(text: &str) -> Result<(), String> {
    visible(text, "expected a client id: visible characters of ASCII")
}

/// An audience; it is compared as it is written.
pub(crate) fn check_audience(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err("expected an audience as tokens write it in `aud`: it is compared exactly, `*` stands for nothing"
            .to_owned());
    }
    visible(text, "expected an audience as tokens write it in `aud`: visible characters of ASCII")
}

/// A `typ` of tokens.
pub(crate) fn check_token_type(text: &str) -> Result<(), String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+/".contains(c);
    let good = !text.is_empty() && text.chars().all(part);
    good.then_some(()).ok_or_else(|| "expected the `typ` of access tokens, as in at+jwt or JWT".to_owned())
}

/// The name of a claim, or the path to it.
pub(crate) fn check_claim(text: &str) -> Result<(), String> {
    let good = !text.is_empty() && !text.contains(char::is_control);
    good.then_some(()).ok_or_else(|| "expected the name of a claim, as in sub or realm_access.roles".to_owned())
}

fn visible(text: &str, expected: &str) -> Result<(), String> {
    let good = !text.is_empty() && text.trim() == text && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    good.then_some(()).ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_word_of_visible_ascii() {
        for scope in ["", "a b", "a\"", "a\\", "ä", "a\t", "offline_access", &"x".repeat(201)] {
            assert!(check_scope(scope).is_err(), "{scope}");
        }
        for scope in ["mcp:tools", "read", "https://graph.example.org/.default", "a#b[c]", "openid", &"x".repeat(200)] {
            assert!(check_scope(scope).is_ok(), "{scope}");
        }
    }

    #[test]
    fn an_issuer_is_an_address_that_needs_no_mending() {
        for issuer in [
            "",
            "login.example.org",
            "ftp://login.example.org",
            "https://",
            "https:/login.example.org",
            "HTTPS://login.example.org",
            " https://login.example.org",
            "https://login.example.org/\n",
            "https://me@login.example.org",
            "https://me:pw@login.example.org",
            "https://login.example.org/?a=b",
            "https://login.example.org/#a",
            "https://login.example.org/#",
            "https://login.example.org\\x",
            "https://größe.example.org",
        ] {
            assert!(check_issuer(issuer).is_err(), "{issuer}");
        }
        for issuer in ["https://login.example.org", "https://login.example.org/", "http://127.0.0.1:8081/realms/a"] {
            assert!(check_issuer(issuer).is_ok(), "{issuer}");
        }
        assert!(check_address("https://login.example.org/keys?p=policy").is_ok());
        assert!(check_address("https://login.example.org/keys#x").is_err());
    }

    #[test]
    fn algorithms_that_anybody_could_sign_with_are_refused_with_the_reason() {
        assert_eq!(parse_algorithm("EdDSA"), Ok(Algorithm::EdDSA));
        for (name, why) in [
            ("none", "no signature at all"),
            ("NonE", "no signature at all"),
            ("HS256", "shared secret"),
            ("hs512", "shared secret"),
            ("rs256", "did you mean `RS256`"),
            ("ES512", "did you mean"),
            ("", "expected one of RS256, RS384"),
        ] {
            let said = parse_algorithm(name).unwrap_err();
            assert!(said.contains(why) && said.contains("expected one of RS256"), "{name}: {said}");
        }
    }
}
