//! The API in process: the operations over the store, asked as whoever runs the program, without a listener, a gate or a credential.
//! The command line asks it so where no gateway is named. What is asked, and what is made of the answers, is [`crate::cli`]'s.

use std::{pin::Pin, sync::Arc};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{Request, Response};
use patchbay_config::GatewayConfig;
use patchbay_store::Store;
use tower::ServiceExt;

use super::{desk::Desk, routes, who::Admin};

/// The body of an answer, piece by piece. One that ends in an error is not whole.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

/// See the module.
pub(crate) struct Inside {
    router: Router,
}

impl Inside {
    /// The operations over this store.
    pub(crate) fn of_store(store: Arc<dyn Store>, config: GatewayConfig) -> Self {
        Self { router: routes(Arc::new(Desk::of_store(store, config))) }
    }

    /// Asks as the operator.
    pub(crate) async fn ask(&self, request: Request<Bytes>) -> Response<Pieces> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Admin::operator());
        let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        response.map(|body| Box::pin(body.into_data_stream().map_err(|error| error.to_string())) as Pieces)
    }
}
