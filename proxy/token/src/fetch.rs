//! What this crate asks of whoever has the network: one GET, one form POST. Resolving, checking and pinning addresses, TLS,
//! refusing redirects and holding the bounds are the implementation's (the transport towards servers has it).

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use url::Url;

/// Fetches documents of issuers.
pub trait Fetch: Send + Sync + 'static {
    /// A GET that takes JSON. Redirects are not followed: their status is given back.
    fn get<'a>(&'a self, url: &'a Url, bytes_max: usize) -> BoxFuture<'a, Result<Fetched, FetchError>>;

    /// A POST of `application/x-www-form-urlencoded`, with the value of an `Authorization` header when there is one.
    fn post_form<'a>(
        &'a self,
        url: &'a Url,
        authorization: Option<&'a SecretString>,
        form: SecretString,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>>;
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// `max-age` of its Cache-Control, when it has one.
    pub max_age: Option<Duration>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL leads where this gateway may not go, or is none that can be fetched. One text for all such addresses.
    #[error("the address may not be asked: {0}")]
    Forbidden(Arc<str>),
    /// Nobody answers, or not in time.
    #[error("no answer: {0}")]
    Unreachable(Arc<str>),
    /// More than the bound.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}
