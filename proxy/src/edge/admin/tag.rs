//! Entity tags: which state of something a request is about (RFC 9110, sections 8.8.3 and 13.1). A tag is a digest of what is shown,
//! so two admins who change different things of a tenant are not in each other's way.

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// The tag of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    /// The tag of what is shown.
    pub(crate) fn of(shown: &impl Serialize) -> Self {
        let text = serde_json::to_vec(shown).expect("what is shown is always JSON");
        let digest = Sha256::digest(&text);
        Self(format!("\"{}\"", crate::ledger::lines::hex(&digest[..12])))
    }

    /// As a header.
    pub(crate) fn header(&self) -> (HeaderName, HeaderValue) {
        (header::ETAG, HeaderValue::from_str(&self.0).expect("a tag has hexadecimal digits"))
    }

    /// Whether a reader has this state already. Weak tags count: something between us may have packed it otherwise.
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        joined(headers, header::IF_NONE_MATCH).is_some_and(|listed| names(&listed.replace("W/", ""), self))
    }
}

/// The condition of a request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Condition {
    /// Whether the request has no condition.
    pub(crate) const fn is_absent(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Whether the request would change any state.
    pub(crate) fn is_any(&self) -> bool {
        self.if_none_match.is_none() && self.if_match.as_deref().is_some_and(|listed| listed.trim() == "*")
    }

    /// Lets through a change of what has this tag.
    ///
    /// # Errors
    /// 428 without `If-Match`, 412 when it names other states.
    pub(crate) fn change(&self, now: &Tag) -> Result<(), Problem> {
        self.change_one(&[now])
    }

    /// The same for what is shown in several forms, each with a tag of its own.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub(crate) fn change_one(&self, now: &[&Tag]) -> Result<(), Problem> {
        let names = |listed: &str, now: &[&Tag]| now.iter().any(|tag| names(listed, tag));
        if self.if_none_match.as_deref().is_some_and(|listed| names(listed, now)) {
            return Err(Problem::stale());
        }
        match &self.if_match {
            None => Err(Problem::unconditional(
                "send If-Match with the ETag of the state that you saw, or `If-Match: *` for any",
            )),
            Some(listed) if names(listed, now) => Ok(()),
            Some(_) => Err(Problem::stale()),
        }
    }

    /// Lets through a PUT: of what has this tag, or of what is not there yet.
    ///
    /// # Errors
    /// 428 without `If-Match` or `If-None-Match: *`, 412 when the state is another one.
    pub(crate) fn put(&self, now: Option<&Tag>) -> Result<(), Problem> {
        match (now, &self.if_match, &self.if_none_match) {
            (Some(now), ..) => self.change(now),
            (None, Some(_), _) => Err(Problem::stale()),
            (None, None, Some(listed)) if listed.trim() == "*" => Ok(()),
            (None, None, _) => Err(Problem::unconditional(
                "it is not there: send `If-None-Match: *` to make it (or If-Match with an ETag to change it)",
            )),
        }
    }
}

/// Whether the list of a conditional header names the tag; weak tags never match.
fn names(listed: &str, tag: &Tag) -> bool {
    listed.trim() == "*" || listed.split(',').any(|one| one.trim() == tag.0)
}

fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let texts: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

impl<S: Sync> FromRequestParts<S> for Condition {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let headers = &parts.headers;
        Ok(Self { if_match: joined(headers, header::IF_MATCH), if_none_match: joined(headers, header::IF_NONE_MATCH) })
    }
}
