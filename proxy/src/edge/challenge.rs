//! The `WWW-Authenticate` header of a refusal: how to sign in, what is wrong with the token, which scopes it needs (RFC 6750
//! section 3, RFC 9728 section 5.1). What is in it is `auth`'s to know; here it is only written, so that no byte breaks out.

use http::HeaderValue;

use crate::{auth::challenge::Challenge, error::GatewayError};

/// What is said of a token that is not good, whatever is wrong with it.
const BAD: &str = "the token does not count here; sign in again";
/// What is said of a token with too few scopes.
const SHORT: &str = "the operation needs more scopes than the token has";

/// The header that belongs to an error, if one does.
pub(super) fn header(error: &GatewayError) -> Option<HeaderValue> {
    let (challenge, fault) = match error {
        GatewayError::Unauthenticated(challenge) => (challenge.as_deref(), None),
        GatewayError::BadCredential(challenge, ..) => (challenge.as_deref(), Some(("invalid_token", BAD))),
        GatewayError::InsufficientScope(challenge) => (Some(&**challenge), Some(("insufficient_scope", SHORT))),
        _ => return None,
    };
    let value = match (challenge, fault) {
        (None, None) => return Some(HeaderValue::from_static("Bearer")),
        (None, Some((error, _))) => format!("Bearer error=\"{error}\""),
        (Some(challenge), fault) => written(challenge, fault),
    };
    HeaderValue::try_from(value).ok()
}

fn written(challenge: &Challenge, fault: Option<(&str, &str)>) -> String {
    let mut out = String::from("Bearer");
    if let Some((error, description)) = fault {
        add(&mut out, "error", error);
        add(&mut out, "error_description", description);
    }
    add(&mut out, "resource_metadata", &challenge.metadata_url);
    if !challenge.scopes.is_empty() {
        add(&mut out, "scope", &challenge.scopes.join(" "));
    }
    out
}

/// One parameter as a quoted string (RFC 9110 section 5.6.4). What may not stand in one is left out.
fn add(out: &mut String, name: &str, value: &str) {
    out.push_str(if out.contains('=') { ", " } else { " " });
    out.push_str(name);
    out.push_str("=\"");
    for char in value.chars().filter(|char| matches!(char, ' '..='~')) {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(scopes: &[&str]) -> Box<Challenge> {
        Box::new(Challenge {
            metadata_url: "https://h.example/.well-known/oauth-protected-resource/t/acme/mcp".into(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            hint: "Sign in at corp.".into(),
        })
    }

    fn shown(error: &GatewayError) -> String {
        header(error).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn each_refusal_has_the_header_that_clients_look_for() {
        let at = "resource_metadata=\"https://h.example/.well-known/oauth-protected-resource/t/acme/mcp\"";
        for (error, expected) in [
            (GatewayError::Unauthenticated(None), "Bearer".to_owned()),
            (GatewayError::BadCredential(None), "Bearer error=\"invalid_token\"".to_owned()),
            (
                GatewayError::Unauthenticated(Some(challenge(&["mcp:read", "openid"]))),
                format!("Bearer {at}, scope=\"mcp:read openid\""),
            ),
            (GatewayError::Unauthenticated(Some(challenge(&[]))), format!("Bearer {at}")),
            (
                GatewayError::BadCredential(Some(challenge(&["a"]))),
                format!("Bearer error=\"invalid_token\", error_description=\"{BAD}\", {at}, scope=\"a\""),
            ),
            (
                GatewayError::InsufficientScope(challenge(&["a", "b"])),
                format!("Bearer error=\"insufficient_scope\", error_description=\"{SHORT}\", {at}, scope=\"a b\""),
            ),
        ] {
            assert_eq!(shown(&error), expected);
        }
        assert!(header(&GatewayError::NotFound).is_none() && header(&GatewayError::SignInUnavailable).is_none());
    }

    #[test]
    fn no_byte_of_a_value_breaks_out_of_its_quotes() {
        let mut evil = challenge(&["a\", error=\"x", "b\\"]);
        evil.metadata_url = "https://h/\r\nSet-Cookie: a=b\u{e9}\0".into();
        assert_eq!(
            shown(&GatewayError::Unauthenticated(Some(evil))),
            r#"Bearer resource_metadata="https://h/Set-Cookie: a=b", scope="a\", error=\"x b\\""#
        );
        for text in [BAD, SHORT] {
            // Some clients cut the header at each comma, or look for a parameter by its name alone.
            assert!(!text.contains(['"', '\\', '=', ',']), "{text}");
        }
    }
}
