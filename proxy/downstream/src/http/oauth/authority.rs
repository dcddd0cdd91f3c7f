//! Who gives tokens for a server: found by the server's challenge and its metadata (RFC 9728), then by the authorization
//! server's metadata (RFC 8414, OpenID discovery), in the order that MCP lays down. What the operator said counts more than what
//! is found. Asking for tokens is `grant`'s.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::ACCEPT};
use patchbay_core::model::ServerOauth;
use serde::{Deserialize, de::DeserializeOwned};
use url::{Position, Url};

use super::{
    challenge::{Challenge, scopes},
    problem::{Problem, shown, words},
};
use crate::fetch::{FetchBounds, FetchFault, Fetcher};

/// The bounds of one document.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(5);
/// Authorization servers of one server that are looked at.
const AUTHORITIES_MAX: usize = 4;

pub(super) const BOUNDS: FetchBounds = FetchBounds { bytes_max: DOCUMENT_BYTES_MAX, timeout: DOCUMENT_PATIENCE };

/// Who gives tokens for a server, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) issuer: String,
    pub(super) token_endpoint: Url,
    /// Ways for a client to prove itself, when it says.
    pub(super) methods: Vec<String>,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
}

/// What is looked for: the server, how it is asked without a token, and what the operator said.
pub(super) struct Search<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) server: &'a Url,
    pub(super) probe: &'a Probe,
    pub(super) spec: &'a ServerOauth,
    /// The issuer that the client was shown to already.
    pub(super) known_issuer: Option<&'a str>,
}

/// A request that a server answers with its challenge.
pub(crate) struct Probe {
    pub(crate) headers: HeaderMap,
    pub(crate) message: Bytes,
}

/// Metadata of a protected resource.
#[derive(Debug, Default, Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Metadata of an authorization server.
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    grant_types_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

impl Search<'_> {
    /// Finds it. `challenge` is what the server said when it refused a request, if it did.
    pub(super) async fn run(&self, challenge: Option<Challenge>) -> Result<Authority, Problem> {
        let spec = self.spec;
        let is_settled = spec.issuer.is_some() && spec.resource.is_some() && !spec.scopes.is_empty();
        let (challenge, found) = if is_settled {
            (Challenge::default(), None)
        } else {
            let challenge = match challenge {
                Some(challenge) => challenge,
                None => self.challenge().await?.unwrap_or_default(),
            };
            let found = self.resource(&challenge).await?;
            (challenge, found)
        };
        let metadata = self.metadata(found.as_ref()).await?;
        let token_endpoint = Url::parse(&metadata.token_endpoint).map_err(|_| {
            Problem::lasting(format!("the token endpoint of {} is no URL", words(&metadata.issuer, &[])))
        })?;
        let named = found.as_ref().map(|found| found.resource.clone());
        let resource = spec.resource.clone().or(named).unwrap_or_else(|| canonical(self.server));
        let supported = found.map(|found| found.scopes_supported).unwrap_or_default();
        let scopes = [spec.scopes.clone(), challenge.scopes, scopes(&supported.join(" "))];
        let scopes = scopes.into_iter().find(|scopes| !scopes.is_empty()).unwrap_or_default();
        Ok(Authority {
            issuer: metadata.issuer,
            token_endpoint,
            methods: metadata.token_endpoint_auth_methods_supported,
            resource,
            // For clients that come back without their user, which this one has none of.
            scopes: scopes.into_iter().filter(|scope| scope != "offline_access").collect(),
        })
    }

    /// What the server says to a request without a token. A server that says nothing, or lets it pass, has no challenge.
    async fn challenge(&self) -> Result<Option<Challenge>, Problem> {
        let mut request = Request::post(self.server.as_str()).body(self.probe.message.clone());
        if let Ok(request) = &mut request {
            request.headers_mut().clone_from(&self.probe.headers);
        }
        let request = request.map_err(|_| Problem::lasting("the server's URL cannot be asked"))?;
        match self.fetcher.send(request, BOUNDS).await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => Ok(Challenge::of(answer.headers())),
            Ok(_) | Err(FetchFault::Unreachable(_) | FetchFault::TooLarge(_)) => Ok(None),
            Err(fault) => Err(Problem::fetching("the server", self.server, &fault)),
        }
    }

    /// The server's metadata: where its challenge says, else where RFC 9728 puts it.
    async fn resource(&self, challenge: &Challenge) -> Result<Option<Resource>, Problem> {
        let places = match &challenge.resource_metadata {
            Some(url) => vec![url.clone()],
            None => well_known(self.server, "oauth-protected-resource"),
        };
        for url in &places {
            let Some(found) = self.document::<Resource>("the server's metadata", url).await? else {
                continue;
            };
            if self.spec.resource.as_deref() != Some(&*found.resource) && !covers(&found.resource, self.server) {
                let text = format!(
                    "the server's metadata at {} is that of {}; expected the server's own URL as its resource. If the \
                     server is reached by another URL than users have for it, set oauth.resource",
                    shown(url),
                    words(&found.resource, &[]),
                );
                return Err(Problem::lasting(text));
            }
            return Ok(Some(found));
        }
        match &challenge.resource_metadata {
            Some(url) => Err(Problem::lasting(format!("there is no metadata of the server at {}", shown(url)))),
            None => Ok(None),
        }
    }

    /// The metadata of the authorization server that is to be asked.
    async fn metadata(&self, found: Option<&Resource>) -> Result<Metadata, Problem> {
        if let Some(issuer) = &self.spec.issuer {
            return self.metadata_of(issuer).await;
        }
        let named = found.map(|found| &*found.authorization_servers).unwrap_or_default();
        if named.is_empty() {
            let text = "the server's metadata names no authorization server; set oauth.issuer to the one that gives tokens \
                        for it";
            return Err(Problem::lasting(text));
        }
        if let Some(known) = self.known_issuer {
            // The client belongs to one authorization server. A server that names another one does not get to see it there.
            return match named.iter().find(|named| is_same(named, known)) {
                Some(issuer) => self.metadata_of(issuer).await,
                None => Err(Problem::lasting(format!(
                    "the server names another authorization server now ({}) than the one that knows the gateway's client \
                     ({known}); if that is right, set oauth.issuer to it",
                    words(&named.join(", "), &[]),
                ))),
            };
        }
        for issuer in named.iter().take(AUTHORITIES_MAX) {
            let metadata = self.metadata_of(issuer).await?;
            if metadata.grant_types_supported.as_ref().is_none_or(|grants| grants.iter().any(|g| g == super::GRANT)) {
                return Ok(metadata);
            }
        }
        let text = format!(
            "the authorization server {} gives no tokens to programs (client credentials): the server wants a user's own \
             sign-in, which this gateway cannot hand on",
            words(&named.join(", "), &[]),
        );
        Err(Problem::lasting(text))
    }

    async fn metadata_of(&self, issuer: &str) -> Result<Metadata, Problem> {
        let said = words(issuer, &[]);
        let url = Url::parse(issuer).map_err(|_| Problem::lasting(format!("the issuer {said} is no URL")))?;
        for place in metadata_places(&url) {
            let Some(metadata) = self.document::<Metadata>("the authorization server's metadata", &place).await? else {
                continue;
            };
            if !is_same(&metadata.issuer, issuer) {
                let text = format!(
                    "the metadata at {} is that of the issuer {}; expected {said}",
                    shown(&place),
                    words(&metadata.issuer, &[]),
                );
                return Err(Problem::lasting(text));
            }
            return Ok(metadata);
        }
        Err(Problem::lasting(format!("the authorization server {said} publishes no metadata that can be read")))
    }

    /// A document; `None` when it is not there, or is none.
    async fn document<T: DeserializeOwned>(&self, what: &str, url: &Url) -> Result<Option<T>, Problem> {
        let request = Request::get(url.as_str()).header(ACCEPT, HeaderValue::from_static("application/json"));
        let request = request.body(Bytes::new()).map_err(|_| Problem::lasting(format!("{what} has no usable URL")))?;
        let answer = self.fetcher.send(request, BOUNDS).await.map_err(|fault| Problem::fetching(what, url, &fault))?;
        match answer.status() {
            StatusCode::OK => Ok(serde_json::from_slice(answer.body()).ok()),
            status if is_trouble(status) => {
                Err(Problem::passing(format!("{what} at {} could not be had: HTTP {}", shown(url), status.as_u16())))
            }
            _ => Ok(None),
        }
    }
}

/// Statuses that say nothing of what was asked, only of how whoever answers is.
pub(super) fn is_trouble(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// The same text. Many write the root of a host once with a slash and once without, which is the same URL and leads to the same
/// metadata; nothing else is bent.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let bare = |text: &str| match text.strip_suffix('/') {
        Some(bare) if bare.matches('/').count() == 2 => bare.to_owned(),
        _ => text.to_owned(),
    };
    bare(one) == bare(other)
}

/// The server's URL as the name of a resource: without query, which may hold a key, and without a slash that means nothing.
fn canonical(server: &Url) -> String {
    let text = &server[..Position::AfterPath];
    text.strip_suffix('/').filter(|_| server.path() == "/").unwrap_or(text).to_owned()
}

/// Whether this resource is the server, or a part of its host that the server stands in.
fn covers(resource: &str, server: &Url) -> bool {
    let Ok(url) = Url::parse(resource) else {
        return false;
    };
    let path = url.path();
    let inside = server.path() == path
        || server.path().strip_prefix(path).is_some_and(|rest| path.ends_with('/') || rest.starts_with('/'));
    url.fragment().is_none() && url.origin() == server.origin() && inside
}

/// Where a document about this URL is: its path inserted, then at the root.
fn well_known(url: &Url, name: &str) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let mut places = vec![at(url, &format!("/.well-known/{name}{path}"))];
    if !path.is_empty() {
        places.push(at(url, &format!("/.well-known/{name}")));
    }
    places
}

/// Where an issuer's metadata may be, in order.
fn metadata_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![
        at(issuer, &format!("/.well-known/oauth-authorization-server{path}")),
        at(issuer, &format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        places.push(at(issuer, &format!("{path}/.well-known/openid-configuration")));
    }
    places
}

fn at(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn texts(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn metadata_is_looked_for_in_the_order_of_the_specification() {
        assert_eq!(
            texts(&metadata_places(&url("https://as.example/tenant/1"))),
            [
                "https://as.example/.well-known/oauth-authorization-server/tenant/1",
                "https://as.example/.well-known/openid-configuration/tenant/1",
                "https://as.example/tenant/1/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            texts(&metadata_places(&url("https://as.example/"))),
            [
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            texts(&well_known(&url("https://h.example:8443/a/mcp?key=x"), "oauth-protected-resource")),
            [
                "https://h.example:8443/.well-known/oauth-protected-resource/a/mcp",
                "https://h.example:8443/.well-known/oauth-protected-resource",
            ]
        );
    }

    #[test]
    fn a_resource_is_the_server_or_what_it_stands_in_and_nothing_else() {
        let server = url("https://h.example/a/mcp?x=1");
        for resource in ["https://h.example/a/mcp", "https://h.example/a", "https://h.example/a/", "https://h.example"]
        {
            assert!(covers(resource, &server), "{resource}");
        }
        for resource in [
            "https://h.example/a/m",
            "https://h.example/b",
            "http://h.example/a",
            "https://x.example/a",
            "a",
            "https://h.example/#a",
        ] {
            assert!(!covers(resource, &server), "{resource}");
        }
        assert_eq!(canonical(&server), "https://h.example/a/mcp");
        assert_eq!(canonical(&url("https://h.example")), "https://h.example");
    }

    #[test]
    fn issuers_are_compared_as_texts_but_for_the_slash_of_a_root() {
        assert!(is_same("https://as.example", "https://as.example/"));
        for (one, other) in [
            ("https://as.example/a", "https://as.example/a/"),
            ("https://as.example", "https://AS.example"),
            ("https://as.example", "https://as.example:443"),
            ("https://as.example", "https://as.example//"),
        ] {
            assert!(!is_same(one, other), "{one} and {other}");
        }
    }
}
