//! Who it is and what they may, by the claims that the operator named: subject, name, groups, scopes.

use patchbay_core::{access::Scopes, issuer::IssuerSpec};
use serde_json::{Map, Value};

use super::claims::{TEXT_BYTES_MAX, is_plain, text};
use crate::{
    Reason,
    explain::{Failed, shown},
};

/// Groups that are looked at.
const GROUPS_MAX: usize = 1000;
/// Scopes that are looked at.
const SCOPES_MAX: usize = 1000;

/// Who, by the claim that never changes for a person.
pub(super) fn subject<'a>(claims: &'a Map<String, Value>, spec: &IssuerSpec) -> Result<&'a str, Failed> {
    let name = &spec.claims.subject;
    let missing = || format!("there is no claim {}; expected a text that says who it is", shown(name));
    text(claims, name, Reason::Subject)?.ok_or_else(|| Failed::new(Reason::Subject, missing()))
}

/// A text for people or for the audit: what is not plain is left out.
pub(super) fn label(claims: &Map<String, Value>, name: &str) -> Option<Box<str>> {
    claims.get(name)?.as_str().filter(|text| is_plain(text)).map(Box::from)
}

/// The client that got the token.
pub(super) fn client(claims: &Map<String, Value>) -> Option<Box<str>> {
    label(claims, "client_id").or_else(|| label(claims, "azp"))
}

/// The groups: a list of texts, or one text. What is no text or too long is left out, so it opens nothing.
pub(super) fn groups(claims: &Map<String, Value>, path: &str) -> Box<[Box<str>]> {
    let found = match at(claims, path) {
        Some(Value::String(one)) => std::slice::from_ref(one).iter().map(String::as_str).collect(),
        Some(Value::Array(several)) => several.iter().take(GROUPS_MAX).filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let sane = |group: &&str| !group.is_empty() && group.len() <= TEXT_BYTES_MAX;
    found.into_iter().filter(sane).map(Box::from).collect()
}

/// What stands at a path. A name that has dots in it, as URLs have, is found as well as the objects that a dotted path leads into.
fn at<'a>(members: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    members.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| at(members.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
    })
}

/// The scopes of `scope`, or of `scp` where there is no `scope`, with all that they imply. Each is a text with spaces between
/// the scopes, or a list of texts.
pub(super) fn scopes(claims: &Map<String, Value>, spec: &IssuerSpec) -> Result<Scopes, Failed> {
    let (name, value) = match (claims.get("scope"), claims.get("scp")) {
        (Some(scope), _) => ("scope", scope),
        (None, Some(scp)) => ("scp", scp),
        (None, None) => return Ok(Scopes::default()),
    };
    let texts = match value {
        Value::String(one) => Some(vec![one.as_str()]),
        Value::Array(several) => several.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let wrong = || format!("`{name}` is {}; expected a text, or a list of texts", shown(&value.to_string()));
    let texts = texts.ok_or_else(|| Failed::new(Reason::Claims, wrong()))?;
    let granted = texts.into_iter().flat_map(|text| text.split(' ')).filter(|scope| !scope.is_empty()).take(SCOPES_MAX);
    Ok(Scopes::granted(granted, &spec.scope_implies))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { unreachable!("an object") };
        members
    }

    fn spec() -> IssuerSpec {
        let spec = json!({ "issuer": "https://a.example", "scope_implies": { "write": ["read"] } });
        serde_json::from_value(spec).unwrap()
    }

    fn scopes_of(claims: Value) -> Option<Vec<String>> {
        scopes(&object(claims), &spec()).ok().map(|scopes| scopes.iter().map(str::to_owned).collect())
    }

    fn groups_of(claims: Value, path: &str) -> Vec<String> {
        groups(&object(claims), path).iter().map(|group| group.to_string()).collect()
    }

    #[test]
    fn scopes_come_as_texts_and_lists_under_two_names() {
        for claims in [
            json!({ "scope": "b write" }),
            json!({ "scope": " b  write " }),
            json!({ "scp": ["b", "write"] }),
            json!({ "scp": "b write" }),
            json!({ "scope": ["write", "b"], "scp": "other" }),
        ] {
            assert_eq!(scopes_of(claims.clone()).unwrap(), ["b", "read", "write"], "{claims}");
        }
        assert_eq!(scopes_of(json!({})).unwrap(), [""; 0]);
        for odd in [json!(1), json!(["a", 1]), json!({}), json!(true)] {
            assert_eq!(scopes_of(json!({ "scope": odd.clone() })), None, "{odd}");
        }
    }

    #[test]
    fn groups_are_found_by_paths_and_by_names_with_dots() {
        assert_eq!(groups_of(json!({ "groups": ["a", "b"] }), "groups"), ["a", "b"]);
        assert_eq!(groups_of(json!({ "groups": "a b" }), "groups"), ["a b"]);
        assert_eq!(groups_of(json!({ "realm_access": { "roles": ["r"] } }), "realm_access.roles"), ["r"]);
        assert_eq!(groups_of(json!({ "https://x.example/roles": ["r"] }), "https://x.example/roles"), ["r"]);
        assert_eq!(groups_of(json!({ "access": { "my.app": { "roles": ["r"] } } }), "access.my.app.roles"), ["r"]);
        for odd in [json!({}), json!({ "a": 1 }), json!({ "a": { "b": 1 } }), json!({ "a": { "b": { "c": "x" } } })] {
            assert_eq!(groups_of(odd.clone(), "a.b"), [""; 0], "{odd}");
        }
    }

    #[test]
    fn groups_beyond_the_bounds_open_nothing() {
        let many: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
        assert_eq!(groups_of(json!({ "groups": many }), "groups").len(), GROUPS_MAX);
        assert_eq!(groups_of(json!({ "groups": ["x".repeat(300), "", 7, "dev"] }), "groups"), ["dev"]);
    }

    #[test]
    fn a_subject_is_a_plain_text() {
        let named = |claims: Value| subject(&object(claims), &spec()).ok().map(str::to_owned);
        assert_eq!(named(json!({ "sub": "älice|7" })).unwrap(), "älice|7");
        for odd in [json!(""), json!(7), json!(null), json!("a\nb"), json!("a\0"), json!("x".repeat(257)), json!(["a"])]
        {
            assert_eq!(named(json!({ "sub": odd.clone() })), None, "{odd}");
        }
        assert_eq!(named(json!({ "oid": "a" })), None);
    }
}
