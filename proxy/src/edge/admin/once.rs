//! Requests that must not be done twice: a POST with an `Idempotency-Key` is reserved before it is done, and its answer is kept
//! sealed for a day. Whoever sends it again, for whatever reason, has that answer and not a second key, tenant or deed.
//!
//! What is done goes on when its client goes away. An answer that certainly changed nothing frees the key again; one of which
//! nobody knows that keeps it, so that nothing is done twice by mistake.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, response::Parts};
use http_body_util::LengthLimitError;
use patchbay_core::{admin::Grant, audit::Actor};
use patchbay_store::{Reservation, Reserved};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{
    ADMIN_BODY_BYTES_MAX,
    desk::Desk,
    gate::panicked,
    problem::{Problem, Unchanged},
    who::Admin,
};
use crate::audit::now_ms;

/// The header.
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Stands in an answer that was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// How long an answer is kept, in milliseconds.
const KEPT_MS: i64 = 24 * 3600 * 1000;
/// The longest answer that is kept, with its head, in bytes; below what the store takes.
const KEPT_BYTES_MAX: usize = 60 * 1024;
/// The headers that are kept with an answer.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// The head of a kept answer; its body follows after a line break.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    /// What whoever asked could do then.
    grants: Vec<Grant>,
    /// Whether the body was too long to be kept.
    is_cut: bool,
}

/// Sees to it that a POST with a key is done once.
pub(crate) async fn once(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    match answer(desk, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn answer(desk: Arc<Desk>, request: Request, next: Next) -> Result<Response, Problem> {
    let key = if request.method() == Method::POST { key(request.headers())? } else { None };
    let Some((key, admin)) = key.zip(request.extensions().get::<Admin>().cloned()) else {
        return Ok(next.run(request).await);
    };
    let of = digest(&admin, &key, &request);
    let (head, body) = request.into_parts();
    let body = to_bytes(body, ADMIN_BODY_BYTES_MAX).await.map_err(|error| unread(&error))?;
    let now_ms = now_ms();
    let reservation =
        Reservation { request: of, body: Sha256::digest(&body).into(), now_ms, expires_ms: now_ms + KEPT_MS };
    match desk.store().request_reserve(&reservation).await? {
        Reserved::New => {}
        Reserved::Done(kept) => return replay(&kept, &admin),
        Reserved::Differs => return Err(Problem::reused()),
        Reserved::Begun => {
            return Err(Problem::conflict(
                "a request with this Idempotency-Key still runs, or broke off: look whether it was done",
            ));
        }
    }
    let request = Request::from_parts(head, body.into());
    let done = tokio::spawn(async move { carry_out(&desk, of, &admin, next, request).await });
    done.await.map_err(|_| Problem::internal())
}

/// The key of a request, if it has one.
fn key(headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
    if values.next().is_some() || !is_visible || !(1..=KEY_BYTES_MAX).contains(&value.len()) {
        let expected = format!("Idempotency-Key: expected one text of 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(Problem::bad_request(expected));
    }
    Ok(Some(value.clone()))
}

/// The digest of who asks, what for, and their key. Each part has its length before it, so that no two lists run together.
fn digest(admin: &Admin, key: &HeaderValue, request: &Request) -> [u8; 32] {
    let (kind, who, more) = match admin.actor() {
        Actor::AdminKey(key) => ("admin key", key.to_string(), String::new()),
        Actor::Token(token) => ("token", token.iss.to_string(), token.subject.to_string()),
        other => ("other", format!("{other:?}"), String::new()),
    };
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let mut hash = Sha256::new();
    let texts = [kind, &who, &more, request.method().as_str(), target].map(str::as_bytes);
    for part in texts.into_iter().chain([key.as_bytes()]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn unread(error: &axum::Error) -> Problem {
    let is_too_long = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
    if is_too_long { Problem::too_large() } else { Problem::bad_request("the body broke off") }
}

/// Does it, and keeps the answer or frees the key.
async fn carry_out(desk: &Desk, of: [u8; 32], admin: &Admin, next: Next, request: Request) -> Response {
    let response = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let (head, body) = response.unwrap_or_else(|_| panicked()).into_parts();
    match Fate::of(&head) {
        Fate::Free => {
            if let Err(error) = desk.store().request_release(of).await {
                warn!(%error, "an Idempotency-Key that was used for nothing is not free again before tomorrow");
            }
            Response::from_parts(head, body)
        }
        Fate::Hold => Response::from_parts(head, body),
        Fate::Keep => keep(desk, of, admin, head, body).await,
    }
}

/// What becomes of a key.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The answer is kept for it.
    Keep,
    /// Nothing was changed: it may be used again.
    Free,
    /// Nobody knows whether something was changed: it may not.
    Hold,
}

impl Fate {
    fn of(head: &Parts) -> Self {
        match head.status {
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::TOO_MANY_REQUESTS => Self::Free,
            status if status.is_server_error() => match head.extensions.get::<Unchanged>() {
                Some(Unchanged) => Self::Free,
                None => Self::Hold,
            },
            _ => Self::Keep,
        }
    }
}

async fn keep(desk: &Desk, of: [u8; 32], admin: &Admin, head: Parts, body: Body) -> Response {
    let Ok(body) = to_bytes(body, ADMIN_BODY_BYTES_MAX).await else {
        warn!("an answer to a request with an Idempotency-Key broke off");
        return Problem::internal().into_response();
    };
    if let Err(error) = desk.store().request_answer(of, &kept(&head, &body, admin)).await {
        warn!(%error, "an answer is not kept: another request with its Idempotency-Key is told that it broke off");
    }
    Response::from_parts(head, body.into())
}

/// An answer as it is kept.
fn kept(head: &Parts, body: &Bytes, admin: &Admin) -> Vec<u8> {
    let header = |name: &HeaderName| Some((name.to_string(), head.headers.get(name)?.to_str().ok()?.to_owned()));
    let mut kept = Head {
        status: head.status.as_u16(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        grants: admin.grants().to_vec(),
        is_cut: false,
    };
    let written = |head: &Head| serde_json::to_vec(head).expect("texts and numbers are always JSON");
    let whole = [&written(&kept)[..], b"\n", body].concat();
    if whole.len() <= KEPT_BYTES_MAX {
        return whole;
    }
    kept.is_cut = true;
    [&written(&kept)[..], b"\n"].concat()
}

/// The answer that was given before.
fn replay(kept: &[u8], admin: &Admin) -> Result<Response, Problem> {
    let end = kept.iter().position(|byte| *byte == b'\n').ok_or_else(Problem::internal)?;
    let head: Head = serde_json::from_slice(&kept[..end]).map_err(|_| Problem::internal())?;
    let done = format!("this was done before and answered with the status {}", head.status);
    if head.grants != admin.grants() {
        return Err(Problem::conflict(format!("{done}; what you may do has changed since, so look at what it did")));
    }
    if head.is_cut {
        return Err(Problem::conflict(format!("{done}; the answer was too long to be kept, so look at what it did")));
    }
    let mut response = Response::new(Body::from(kept[end + 1..].to_vec()));
    *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Problem::internal())?;
    for (name, value) in head.headers {
        let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests;
