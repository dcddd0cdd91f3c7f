//! Single documents from elsewhere: metadata and keys of issuers, tokens. Every request resolves, checks and pins its address as
//! calls to servers do, follows no redirect, keeps no connection and has bounds on time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use crate::http::NetPolicy;

/// Fetches documents.
#[derive(Debug, Clone)]
pub struct Fetcher {
    net: NetPolicy,
}

/// The bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchBounds {
    /// The largest body.
    pub bytes_max: usize,
    /// What resolving, connecting, sending and reading the whole answer may take together.
    pub timeout: Duration,
}

/// Why nothing was fetched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchFault {
    /// The address may not be asked, or is no URL that can be. One text for all refused addresses.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody answered, or not in time, or not in HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// The body is larger than the bound.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Fetcher {
    /// A fetcher that goes where servers may be.
    pub const fn new(net: NetPolicy) -> Self {
        Self { net }
    }

    /// Sends one request to the absolute URL that it names, and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`FetchFault`].
    pub async fn send(&self, request: Request<Bytes>, bounds: FetchBounds) -> Result<Response<Bytes>, FetchFault> {
        let _ = (&self.net, request, bounds);
        todo!()
    }
}
