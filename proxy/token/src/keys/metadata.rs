//! The metadata of an issuer (RFC 8414, OpenID Connect Discovery): where it may be, in which order it is looked for there, and
//! what of it counts. How long it is remembered is [`remembered`](super::remembered)'s. `keys` asks.

use patchbay_core::issuer::IssuerSpec;
use serde_json::{Map, Value};
use url::Url;

use super::{Unavailable, remembered::Fresh, set::shown};
use crate::{Fetch, FetchError, Fetched};

/// The most bytes of a metadata document.
const METADATA_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a URL in it.
const URL_BYTES_MAX: usize = 2048;

/// What counts of a metadata document.
pub(super) struct Metadata {
    /// Where the keys are, or why that is not known.
    pub(super) jwks: Result<Url, Unavailable>,
    /// Where opaque tokens are looked up, or why that is not known.
    pub(super) introspection: Result<Url, Unavailable>,
}

/// Where one issuer's metadata may be, and what is wanted of it.
pub(super) struct Discovery {
    issuer: String,
    places: Result<Vec<Url>, Unavailable>,
    needs_jwks: bool,
    needs_introspection: bool,
}

impl Discovery {
    pub(super) fn new(spec: &IssuerSpec) -> Self {
        Self {
            issuer: spec.issuer.clone(),
            places: places(spec),
            needs_jwks: spec.jwks_url.is_none(),
            needs_introspection: spec.introspection.as_ref().is_some_and(|introspection| introspection.url.is_none()),
        }
    }

    /// The first document that is this issuer's and has all that is needed, or else the first that is this issuer's. Ends at
    /// the first place that nobody answers at, since all are on the same host.
    pub(super) async fn ask(&self, fetch: &dyn Fetch) -> Result<Fresh<Metadata>, Unavailable> {
        let mut found = None;
        let mut faults = Vec::new();
        for place in self.places.as_ref().map_err(Clone::clone)? {
            match fetch.get(place, METADATA_BYTES_MAX).await {
                Ok(fetched) => match self.read(place, &fetched) {
                    Ok(metadata) if self.is_served_by(&metadata.value) => return Ok(metadata),
                    Ok(metadata) => found = found.or(Some(metadata)),
                    Err(why) => faults.push(format!("{place}: {why}")),
                },
                Err(error @ FetchError::TooLarge(_)) => faults.push(format!("{place}: {error}")),
                Err(error @ (FetchError::Forbidden(_) | FetchError::Unreachable(_))) => {
                    faults.push(format!("{place}: {error}"));
                    break;
                }
            }
        }
        found.ok_or_else(|| Unavailable::new(format!("no metadata was found ({})", faults.join("; "))))
    }

    fn is_served_by(&self, metadata: &Metadata) -> bool {
        (metadata.jwks.is_ok() || !self.needs_jwks) && (metadata.introspection.is_ok() || !self.needs_introspection)
    }

    fn read(&self, place: &Url, fetched: &Fetched) -> Result<Fresh<Metadata>, String> {
        if fetched.status != 200 {
            return Err(format!("HTTP {} and not 200", fetched.status));
        }
        if fetched.body.len() > METADATA_BYTES_MAX {
            return Err(FetchError::TooLarge(METADATA_BYTES_MAX).to_string());
        }
        let document: Map<String, Value> =
            serde_json::from_slice(&fetched.body).map_err(|_| "it is no JSON object".to_owned())?;
        let issuer = document.get("issuer").and_then(Value::as_str).ok_or("it has no text `issuer`")?;
        if issuer != self.issuer {
            let (theirs, ours) = (shown(issuer), shown(&self.issuer));
            return Err(format!("it is of the issuer {theirs}, and exactly {ours} is configured"));
        }
        let (jwks, introspection) =
            (endpoint(place, &document, "jwks_uri"), endpoint(place, &document, "introspection_endpoint"));
        Ok(Fresh { value: Metadata { jwks, introspection }, max_age: fetched.max_age })
    }
}

/// The places of the metadata in the order in which they are asked.
fn places(spec: &IssuerSpec) -> Result<Vec<Url>, Unavailable> {
    if let Some(url) = &spec.metadata_url {
        let wrong =
            |error| Unavailable::new(format!("`metadata_url` must be an absolute URL, but it is none: {error}"));
        return Ok(vec![Url::parse(url).map_err(wrong)?]);
    }
    let issuer = Url::parse(&spec.issuer).ok().filter(|url| url.has_host());
    let issuer = issuer.ok_or_else(|| {
        Unavailable::new(
            "the issuer is no URL, so that its metadata cannot be found; give `metadata_url` or `jwks_url`",
        )
    })?;
    let path = issuer.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    let place = |path: String| {
        let mut place = issuer.clone();
        place.set_path(&path);
        place.set_query(None);
        place.set_fragment(None);
        place
    };
    Ok(paths.into_iter().map(place).collect())
}

/// An endpoint that the document names. It is not asked in the clear when the document came over TLS.
fn endpoint(place: &Url, document: &Map<String, Value>, member: &str) -> Result<Url, Unavailable> {
    let wrong = |what: &str| Unavailable::new(format!("the metadata at {place} {what} `{member}`"));
    let text = document.get(member).ok_or_else(|| wrong("has no"))?;
    let text = text.as_str().filter(|text| text.len() <= URL_BYTES_MAX);
    let url = text.and_then(|text| Url::parse(text).ok()).filter(|url| {
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && place.scheme() == "http");
        is_safe && url.has_host() && url.username().is_empty() && url.password().is_none()
    });
    url.ok_or_else(|| wrong("has something else than an absolute https URL as its"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoint_is_not_asked_in_the_clear_when_its_document_came_over_tls() {
        let document = json!({"jwks_uri": "http://i.test/jwks"}).as_object().unwrap().clone();
        let at = |place: &str| endpoint(&Url::parse(place).unwrap(), &document, "jwks_uri");
        assert!(at("https://i.test/m").unwrap_err().0.contains("absolute https URL"));
        assert_eq!(at("http://i.test/m").unwrap().as_str(), "http://i.test/jwks");
    }

    #[test]
    fn an_endpoint_is_not_longer_than_a_url_may_be() {
        let at = |bytes: usize| {
            let url = format!("https://i.test/{}", "a".repeat(bytes - 15));
            let document = json!({"jwks_uri": url}).as_object().unwrap().clone();
            endpoint(&Url::parse("https://i.test/").unwrap(), &document, "jwks_uri").is_ok()
        };
        assert!(at(URL_BYTES_MAX) && !at(URL_BYTES_MAX + 1));
    }
}
