//! What a request brings: path, query and body, refused as [`Problem`]s that say what was expected.

use axum::extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection};
use http::request::Parts;
use patchbay_core::Slug;
use serde::de::DeserializeOwned;

use super::problem::{FieldError, Problem};

/// The parameters in the path. What cannot be one is not there.
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

/// The body, as JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(read)| Self(read)).map_err(|_| Problem::not_found())
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(read)| Self(read)).map_err(|error| Problem::bad_request(error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(read)) => Ok(Self(read)),
            Err(JsonRejection::JsonDataError(error)) => {
                Err(Problem::invalid(vec![FieldError { pointer: String::new(), detail: error.body_text() }]))
            }
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}

/// The name in a path. What no name can be is not there.
///
/// # Errors
/// 404.
pub(crate) fn name(text: &str) -> Result<Slug, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}
