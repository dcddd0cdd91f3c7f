//! Tokens where none are taken: at a toolset for keys, or where nothing is. One that is good for another tenant is told "not
//! found", as a key of another tenant is; anything else is no credential. Both places answer alike, so that neither tells
//! whether something is there. Nobody is let in here.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use patchbay_core::model::DEFAULT_TOOLSET;
use patchbay_token::Wanted;
use serde::Deserialize;

use super::site::{self, Site};
use crate::{app::App, error::GatewayError, metrics::Credential, tenancy::TenantState};

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Tenants that are asked whether a token is theirs.
const TENANTS_MAX: usize = 4;

/// How a token is refused where none are taken.
pub(super) async fn refuse(app: &App, token: &str, site: Option<&Site>, now_ms: i64) -> GatewayError {
    app.metrics.sign_in_refused(Credential::Token, "not_taken");
    if is_good_elsewhere(app, token, site, now_ms).await {
        GatewayError::NotFound
    } else {
        GatewayError::BadCredential(None)
    }
}

async fn is_good_elsewhere(app: &App, token: &str, site: Option<&Site>, now_ms: i64) -> bool {
    let Some(said) = Said::read(token) else { return false };
    for Candidate { state, resource } in candidates(app, &said, site) {
        let (tenant, wanted) = (state.snapshot.tenant, Wanted { resource: &resource });
        if app.tokens.find(tenant, &state.issuers, token, wanted, now_ms).is_some()
            || app.tokens.verify(tenant, &state.issuers, token, wanted, now_ms).await.is_ok()
        {
            return true;
        }
    }
    false
}

/// What a token says of itself, nothing of which is verified: good for finding out whom to ask, and for nothing else.
#[derive(Deserialize)]
struct Said {
    iss: String,
    #[serde(default)]
    aud: Audiences,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audiences {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Said {
    fn read(token: &str) -> Option<Self> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        let payload = URL_SAFE_NO_PAD.decode(payload).ok().filter(|_| parts.next().is_none())?;
        serde_json::from_slice(&payload).ok()
    }
}

/// A tenant that may know the token, and the address that the token would be for.
struct Candidate {
    state: Arc<TenantState>,
    resource: String,
}

/// Whom to ask: first the toolsets that the token names as its audience, then tenants with that issuer, which may have
/// audiences of their own.
fn candidates(app: &App, said: &Said, site: Option<&Site>) -> Vec<Candidate> {
    let mut found = Vec::new();
    let named = said.aud.as_slice().iter().take(TENANTS_MAX);
    for audience in named {
        found.extend(toolsets(audience).filter_map(|(tenant, toolset)| {
            let state = app.tenants.state(tenant).filter(|state| state.issuers.knows(&said.iss))?;
            let is_here = state.snapshot.views.get(toolset)?.access.takes_tokens()
                && site.is_none_or(|site| site.resource(tenant, toolset) == *audience);
            is_here.then(|| Candidate { state, resource: audience.clone() })
        }));
    }
    for state in app.tenants.of_issuer(&said.iss, TENANTS_MAX) {
        let resource = site::path(state.snapshot.slug.as_str(), DEFAULT_TOOLSET);
        found.push(Candidate { state, resource });
    }
    found.truncate(TENANTS_MAX);
    found
}

/// The toolsets that a URL may name by its end. Without the gateway's own address no more of it can be held against anything,
/// and no more is needed: nobody comes in by it.
fn toolsets(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut segments = url.strip_suffix("/mcp").unwrap_or_default().rsplit('/');
    let (last, second, third) = (segments.next(), segments.next(), segments.next());
    let default = last.filter(|_| second == Some("t")).map(|tenant| (tenant, DEFAULT_TOOLSET));
    let other = second.zip(last).filter(|_| third == Some("t"));
    default.into_iter().chain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_toolset_by_its_end_alone() {
        let named = |url| toolsets(url).collect::<Vec<_>>();
        assert_eq!(named("https://h/t/acme/mcp"), [("acme", "default")]);
        assert_eq!(named("https://h/gw/t/acme/dev/mcp"), [("acme", "dev")]);
        assert_eq!(named("https://h/t/t/x/mcp"), [("x", "default"), ("t", "x")]);
        for none in ["", "/mcp", "https://h/mcp", "https://h/t/acme", "https://h/t/acme/mcp/", "https://h/x/acme/mcp"] {
            assert_eq!(named(none), [], "{none}");
        }
    }

    #[test]
    fn only_what_is_shaped_like_a_token_says_something() {
        let token = |payload: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        let read =
            |payload: &str| Said::read(&token(payload)).map(|said| (said.iss.clone(), said.aud.as_slice().join(" ")));
        assert_eq!(read(r#"{"iss":"i","aud":"a"}"#), Some(("i".into(), "a".into())));
        assert_eq!(read(r#"{"aud":["a","b"],"iss":"i","x":1}"#), Some(("i".into(), "a b".into())));
        assert_eq!(read(r#"{"iss":"i"}"#), Some(("i".into(), String::new())));
        for odd in [r#"{"iss":1}"#, "{}", "[]", "", r#"{"iss":"i","iss":"j"}"#, r#"{"iss":"i","aud":7}"#] {
            assert_eq!(read(odd), None, "{odd}");
        }
        for odd in ["", "garbage", "a.b", "e30.e30.e30.e30", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert!(Said::read(odd).is_none(), "{odd}");
        }
    }
}
