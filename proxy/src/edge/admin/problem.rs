//! What an admin is told when a request fails: problem details (RFC 9457) that name the fields. All texts are for people who may
//! change what they are about; nothing internal and no secret is in them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use patchbay_config::ConfigErrors;
use patchbay_store::StoreError;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::ADMIN_BODY_BYTES_MAX;

/// Problem details (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What sort of problem it is: `about:blank`, or a name under `urn:patchbay:problem:`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The sort of problem in words, always the same for a type.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time, and what to do.
    detail: String,
    /// What is wrong with the fields of the request's body, all at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// After how many seconds it may be tried again.
    #[serde(skip)]
    retry_after_s: Option<u32>,
    /// Whether it is certain that nothing was changed, although the status does not say so.
    #[serde(skip)]
    is_unchanged: bool,
}

/// Stands in the extensions of an answer with a status of 500 and above, when it is certain that nothing was changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unchanged;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field in the request's body, as a JSON pointer (RFC 6901).
    pub(crate) pointer: String,
    /// What was expected.
    pub(crate) detail: String,
}

/// A sort of problem: its status, its type and its title.
type Sort = (StatusCode, &'static str, &'static str);

const BAD_REQUEST: Sort = (StatusCode::BAD_REQUEST, "about:blank", "Bad Request");
const UNAUTHORIZED: Sort = (StatusCode::UNAUTHORIZED, "about:blank", "Unauthorized");
const FORBIDDEN: Sort = (StatusCode::FORBIDDEN, "urn:patchbay:problem:role", "Not allowed in this role");
const NOT_FOUND: Sort = (StatusCode::NOT_FOUND, "about:blank", "Not Found");
const FOREIGN: Sort = (StatusCode::FORBIDDEN, "urn:patchbay:problem:foreign", "Not from here");
const METHOD: Sort = (StatusCode::METHOD_NOT_ALLOWED, "about:blank", "Method Not Allowed");
const CONFLICT: Sort = (StatusCode::CONFLICT, "about:blank", "Conflict");
const STALE: Sort = (StatusCode::PRECONDITION_FAILED, "urn:patchbay:problem:stale", "Changed meanwhile");
const UNCONDITIONAL: Sort =
    (StatusCode::PRECONDITION_REQUIRED, "urn:patchbay:problem:unconditional", "A condition is needed");
const INVALID: Sort = (StatusCode::UNPROCESSABLE_ENTITY, "urn:patchbay:problem:invalid", "The document is not valid");
const TOO_LARGE: Sort = (StatusCode::PAYLOAD_TOO_LARGE, "about:blank", "Content Too Large");
const UNSUPPORTED: Sort = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "about:blank", "Unsupported Media Type");
const REUSED: Sort =
    (StatusCode::UNPROCESSABLE_ENTITY, "urn:patchbay:problem:reused", "The key was used for something else");
const BUSY: Sort = (StatusCode::TOO_MANY_REQUESTS, "about:blank", "Too Many Requests");
const INTERNAL: Sort = (StatusCode::INTERNAL_SERVER_ERROR, "about:blank", "Internal Server Error");
const AWAY: Sort = (StatusCode::SERVICE_UNAVAILABLE, "urn:patchbay:problem:away", "Not possible now");

impl Problem {
    fn new((status, kind, title): Sort, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail,
            errors: Vec::new(),
            retry_after_s: None,
            is_unchanged: false,
        }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(BAD_REQUEST, detail)
    }

    /// Nobody knows who asks. The same words for every credential that does not count.
    pub(crate) fn unauthorized() -> Self {
        Self::new(UNAUTHORIZED, "send an admin key or an access token: `Authorization: Bearer …`")
    }

    /// Somebody who may see it and may not do this.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(FORBIDDEN, detail)
    }

    /// A request by a name, or from a page, that is not on the lists.
    pub(crate) fn foreign(detail: impl Into<String>) -> Self {
        Self::new(FOREIGN, detail)
    }

    /// What is not there, or not there for whoever asks: the same words.
    pub(crate) fn not_found() -> Self {
        Self::new(NOT_FOUND, "there is nothing here, or nothing that you may see")
    }

    /// A path that has no such method.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(METHOD, "this path has other methods; the Allow header names them")
    }

    /// What is there already, or runs already.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(CONFLICT, detail)
    }

    /// Another state than the one that the request names.
    pub(crate) fn stale() -> Self {
        Self::new(
            STALE,
            "it is not in the state that the request expects: read it again and make the change to what it is now",
        )
    }

    /// A tenant at another generation than the request expects.
    pub(crate) fn other_generation(tenant: &patchbay_core::Slug, found: u64, expected: u64) -> Self {
        let detail = match found {
            0 => format!("there is no tenant {tenant}, so it is not at generation {expected}"),
            found => format!(
                "{tenant} is at generation {found}, not at {expected}: read it again, and make the change to what it is now"
            ),
        };
        Self::new(STALE, detail)
    }

    /// A change without a condition.
    pub(crate) fn unconditional(detail: impl Into<String>) -> Self {
        Self::new(UNCONDITIONAL, detail)
    }

    /// A body whose fields are wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one field is not as expected".to_owned(),
            count => format!("{count} fields are not as expected"),
        };
        Self { errors, ..Self::new(INVALID, detail) }
    }

    /// A body whose fields this role may not set so.
    pub(crate) fn fenced(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(FORBIDDEN, "this needs the role platform_admin, as the fields say") }
    }

    /// A change of one part that the other parts do not allow.
    pub(crate) fn unfit(errors: Vec<FieldError>) -> Self {
        let detail = "the tenant would not be valid with this change: other parts of it, which the pointers name in the tenant's \
                      document, would have to be changed first";
        Self { errors, ..Self::new(CONFLICT, detail) }
    }

    /// A body in a form that is not understood.
    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(UNSUPPORTED, detail)
    }

    /// What is done for others now, as often as it may be done at once.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(BUSY, detail) }
    }

    /// A body that is longer than is read.
    pub(crate) fn too_large() -> Self {
        Self::new(TOO_LARGE, format!("expected a body of {ADMIN_BODY_BYTES_MAX} bytes at the most"))
    }

    /// An `Idempotency-Key` that came with another body before.
    pub(crate) fn reused() -> Self {
        Self::new(REUSED, "this Idempotency-Key came with another body before: take a new key for a new request")
    }

    /// Too many sign-ins failed.
    pub(crate) fn limited(after: std::time::Duration) -> Self {
        let seconds = u32::try_from(after.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
        let detail = "too many sign-ins from your address have failed: try again later";
        Self { retry_after_s: Some(seconds), ..Self::new(BUSY, detail) }
    }

    /// What cannot be done now, and may be later. Nothing was changed.
    pub(crate) fn away(detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), is_unchanged: true, ..Self::new(AWAY, detail) }
    }

    /// What broke off, so that nobody knows whether it was done.
    pub(crate) fn broken_off(detail: impl Into<String>) -> Self {
        Self { is_unchanged: false, ..Self::away(detail) }
    }

    /// What only a running gateway can answer.
    pub(crate) fn needs_gateway() -> Self {
        Self::away("only a running gateway knows this: ask one with --server URL")
    }

    /// Our own fault. What it was is in the log.
    pub(crate) fn internal() -> Self {
        Self::new(INTERNAL, "this is a fault of the gateway; its log says more")
    }

    /// The HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            // It may have been away only for the answer.
            StoreError::Unavailable { .. } => Self::broken_off(
                "the store does not answer now: before you make a change again, look whether it was made",
            ),
            StoreError::Conflict { .. } => Self::stale(),
            // Whoever gives such secrets anew gets out of it, so the words have to reach them.
            StoreError::Sealed(what) => Self::conflict(what),
            StoreError::NotFound(what) => Self::bad_request(what.to_string()),
            StoreError::Exists(what) => Self::conflict(what.to_string()),
            other => {
                error!(error = %other, "a request of the admin API failed");
                Self::internal()
            }
        }
    }
}

impl From<ConfigErrors> for Problem {
    fn from(errors: ConfigErrors) -> Self {
        let of = |error: &patchbay_config::ConfigError| FieldError {
            pointer: error.pointer(),
            detail: error.message.clone(),
        };
        Self::invalid(errors.iter().map(of).collect())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.is_unchanged {
            response.extensions_mut().insert(Unchanged);
        }
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"patchbay admin\""));
        }
        response
    }
}
