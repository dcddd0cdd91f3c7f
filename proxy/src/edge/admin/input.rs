//! What a request brings: path, query and body, refused as [`Problem`]s that say what was expected.
//!
//! Unknown parameters of a query are refused: each operation has one struct for its query, with `deny_unknown_fields`, in which a
//! list writes `limit` and `cursor` out ([`PageQuery::of`](super::page::PageQuery::of)); an operation without parameters
//! takes [`NoQuery`].

use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    response::IntoResponse,
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use patchbay_core::Slug;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::problem::{FieldError, Problem};

/// The media types of YAML.
const YAML: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

/// The parameters in the path. What cannot be one is not there.
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

/// A query without parameters.
pub(crate) struct NoQuery;

/// The body, as JSON.
pub(crate) struct Body<T>(pub(crate) T);

/// The body of which each member is looked at later: a JSON object.
pub(crate) type Members = Map<String, Json>;

/// The body as it was written: JSON or YAML.
pub(crate) struct Written(pub(crate) String);

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

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Problem::bad_request("expected nothing after `?`: this takes no parameters there")),
        }
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
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::unsupported("expected JSON: application/json"))
            }
            Err(error) => Err(unreadable(error.status(), error.body_text())),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Written {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = media_type(request.headers());
        if kind != "application/json" && !YAML.contains(&kind.as_str()) {
            return Err(Problem::unsupported("expected JSON or YAML: application/json or application/yaml"));
        }
        let read = String::from_request(request, state).await;
        read.map(Self).map_err(|error| unreadable(error.status(), error.body_text()))
    }
}

fn unreadable(status: StatusCode, why: String) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE { Problem::too_large() } else { Problem::bad_request(why) }
}

/// The media type of the body, in lower case and without its parameters.
fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether the client would rather have YAML than JSON.
pub(crate) fn wants_yaml(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|list| list.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    kinds
        .find(|kind| kind == "application/json" || YAML.contains(&kind.as_str()))
        .is_some_and(|kind| kind != "application/json")
}

/// A text as YAML.
pub(crate) fn yaml(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], text)
}

/// The name in a path. What no name can be is not there.
///
/// # Errors
/// 404.
pub(crate) fn name(text: &str) -> Result<Slug, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}
