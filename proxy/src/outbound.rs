//! Documents of issuers, fetched by the transport's guarded client: [`patchbay_token`] knows what it wants, `patchbay-downstream`
//! knows where one may go. [`crate::app`] puts the two together.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use patchbay_config::GatewayConfig;
use patchbay_downstream::{
    fetch::{FetchBounds, FetchFault, Fetcher},
    http::NetPolicy,
};
use patchbay_token::{Fetch, FetchError, Fetched};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The longest that one document may take, from the look-up of its host to its last byte.
const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(10);

/// Where this gateway may go: to servers and to issuers alike.
pub(crate) fn net_policy(config: &GatewayConfig) -> NetPolicy {
    NetPolicy { allow_private: config.http.allow_private.clone(), allow_plain_http: config.http.allow_http }
}

/// Where the gateway goes at the operator's own word: collectors and webhooks, which may well be in a private network. No
/// tenant can write such a URL.
pub(crate) fn operator_policy() -> NetPolicy {
    let everywhere = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
    NetPolicy { allow_private: everywhere.to_vec(), allow_plain_http: true }
}

/// Fetches over the network.
#[derive(Debug)]
pub(crate) struct Outbound(Fetcher);

impl Outbound {
    /// Goes where this configuration allows.
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self(Fetcher::new(net_policy(config)))
    }

    async fn send(&self, request: Request<Bytes>, bytes_max: usize) -> Result<Fetched, FetchError> {
        let bounds = FetchBounds { bytes_max, timeout: DOCUMENT_TIME_MAX };
        let (head, body) = self.0.send(request, bounds).await.map_err(fault)?.into_parts();
        Ok(Fetched { status: head.status.as_u16(), max_age: max_age(&head.headers), body: body.into() })
    }
}

impl Fetch for Outbound {
    fn get<'a>(&'a self, url: &'a Url, bytes_max: usize) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move { self.send(request(Method::GET, url, Bytes::new())?, bytes_max).await })
    }

    fn post_form<'a>(
        &'a self,
        url: &'a Url,
        authorization: Option<&'a SecretString>,
        form: SecretString,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let mut request = request(Method::POST, url, Bytes::from(form.expose_secret().to_owned()))?;
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            if let Some(secret) = authorization {
                let unfit = |_| FetchError::Forbidden("the credential holds characters that no header can have".into());
                let mut value = HeaderValue::from_str(secret.expose_secret()).map_err(unfit)?;
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
            self.send(request, bytes_max).await
        })
    }
}

fn request(method: Method, url: &Url, body: Bytes) -> Result<Request<Bytes>, FetchError> {
    let request = Request::builder()
        .method(method)
        .uri(url.as_str())
        .header(header::ACCEPT, HeaderValue::from_static("application/json"))
        .body(body);
    request.map_err(|_| FetchError::Forbidden("the address is no URL that can be fetched".into()))
}

fn fault(fault: FetchFault) -> FetchError {
    match fault {
        FetchFault::Forbidden(why) => FetchError::Forbidden(Arc::from(why)),
        FetchFault::Unreachable(why) => FetchError::Unreachable(Arc::from(why)),
        FetchFault::TooLarge(bytes_max) => FetchError::TooLarge(bytes_max),
    }
}

/// `max-age` of the Cache-Control, unless it says that nothing may be kept.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut found = None;
    for directive in values.flat_map(|value| value.split(',')).map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") && found.is_none() {
            found = value.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_lives_as_long_as_its_cache_control_says() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static(value));
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(of(&["public, max-age=300"]), Some(300));
        assert_eq!(of(&["public", "Max-Age=\"60\""]), Some(60));
        assert_eq!(of(&["max-age=300, no-store"]), Some(0));
        assert_eq!(of(&["no-cache"]), Some(0));
        for nothing in [&["max-age=soon"][..], &["public"], &[]] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn an_address_with_odd_characters_is_no_request() {
        let url = Url::parse("https://login.example.org/keys?x=1").unwrap();
        let request = request(Method::GET, &url, Bytes::new()).unwrap();
        assert_eq!(
            (request.uri().to_string(), &request.headers()[header::ACCEPT]),
            (url.to_string(), &HeaderValue::from_static("application/json"))
        );
    }
}
