//! Access tokens and no others: an ID token of the same issuer and person says who signed in to some client, and opens nothing.

use serde_json::{Map, Value};

use crate::{
    Reason,
    explain::{Failed, list, shown},
};

/// The `typ` of access tokens where the operator says nothing else (RFC 9068).
const ACCESS: &str = "at+jwt";
/// The `typ` that any signed token may have. One that has no `typ` counts as this.
const ANY: &str = "jwt";

/// Claims that only ID tokens have.
const OF_ID_TOKENS: [&str; 3] = ["nonce", "at_hash", "c_hash"];
/// Claims by which providers tell their tokens apart, and values that no access token has.
const MARKED: [(&str, &[&str]); 2] = [("typ", &["ID", "Refresh", "Offline", "Logout"]), ("token_use", &["id"])];

/// Whether the token is an access token, by its `typ` and, where that says little, by its claims.
pub(crate) fn check(typ: Option<&str>, claims: &Map<String, Value>, accepted: &[String]) -> Result<(), Failed> {
    let typ = bare(typ.unwrap_or(ANY));
    let known = match accepted {
        [] => typ.eq_ignore_ascii_case(ACCESS),
        some => some.iter().any(|accepted| typ.eq_ignore_ascii_case(bare(accepted))),
    };
    if !known {
        let expected = if accepted.is_empty() { shown(ACCESS) } else { list(accepted.iter().map(String::as_str)) };
        let found = format!(
            "`typ` is {}; expected {expected}. If the issuer's access tokens have it, set token_types for the issuer",
            shown(typ)
        );
        return Err(Failed::new(Reason::Type, found));
    }
    if !typ.eq_ignore_ascii_case(ANY) {
        return Ok(());
    }
    let told = OF_ID_TOKENS.into_iter().find(|name| claims.contains_key(*name));
    let marked = |(name, values): (&'static str, &[&str])| {
        let value = claims.get(name)?.as_str()?;
        values.iter().any(|of_others| value.eq_ignore_ascii_case(of_others)).then_some(name)
    };
    match told.or_else(|| MARKED.into_iter().find_map(marked)) {
        None => Ok(()),
        Some(name) => {
            let found =
                format!("its claim `{name}` says that it is an ID token or a refresh token; expected an access token");
            Err(Failed::new(Reason::Type, found))
        }
    }
}

/// A media type without its `application/`.
fn bare(typ: &str) -> &str {
    const APPLICATION: &str = "application/";
    match typ.get(..APPLICATION.len()) {
        Some(head) if head.eq_ignore_ascii_case(APPLICATION) => &typ[APPLICATION.len()..],
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passes(typ: Option<&str>, claims: Value, accepted: &[&str]) -> bool {
        let Value::Object(claims) = claims else { unreachable!("an object") };
        let accepted: Vec<_> = accepted.iter().map(|typ| (*typ).to_owned()).collect();
        check(typ, &claims, &accepted).is_ok()
    }

    #[test]
    fn only_access_tokens_pass_unless_the_operator_lists_others() {
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert!(passes(Some(typ), json!({}), &[]), "{typ}");
        }
        for typ in [Some("JWT"), None, Some("at"), Some("at+jwt "), Some("text/at+jwt"), Some(""), Some("id+jwt")] {
            assert!(!passes(typ, json!({}), &[]), "{typ:?}");
        }
        assert!(!passes(Some("at+jwt"), json!({}), &["JWT"]) && passes(Some("at+jwt"), json!({}), &["JWT", "at+jwt"]));
        assert!(passes(Some("x-at"), json!({}), &["application/X-AT"]));
    }

    #[test]
    fn where_any_type_is_taken_id_tokens_are_known_by_their_claims() {
        assert!(passes(Some("jwt"), json!({ "typ": "Bearer" }), &["JWT"]) && passes(None, json!({}), &["JWT"]));
        for claims in [
            json!({ "nonce": "n" }),
            json!({ "at_hash": 1 }),
            json!({ "c_hash": "x" }),
            json!({ "typ": "ID" }),
            json!({ "typ": "Refresh" }),
            json!({ "token_use": "id" }),
        ] {
            assert!(!passes(Some("JWT"), claims.clone(), &["JWT"]), "{claims}");
        }
        assert!(passes(Some("at+jwt"), json!({ "nonce": "n" }), &[]), "the type says it better than a claim");
    }
}
