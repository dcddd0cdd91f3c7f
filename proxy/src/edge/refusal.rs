//! What somebody is told whose request was not answered as asked: an entry of the error table as a response, with its headers.
//! The trail is closed and the chain is logged here, once.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use patchbay_core::era::Era;
use tracing::{error, warn};

use super::{
    body::ReplyBody,
    challenge,
    mcp::{Reply, json},
    rate_headers,
};
use crate::{
    app::App,
    audit::Trail,
    error::{Blame, Facts, GatewayError, error_body},
};

/// A request that was not answered as asked, with what is known of how to say so.
pub(super) struct Refusal {
    pub error: GatewayError,
    pub era: Era,
    pub id: Option<Bytes>,
}

impl Refusal {
    pub(super) const fn new(error: GatewayError, era: Era, id: Option<Bytes>) -> Self {
        Self { error, era, id }
    }
}

/// Turns an error into a response, closes the trail and logs the chain once.
pub(super) fn refuse(app: &App, refusal: &Refusal, trail: &mut Trail) -> Reply {
    let facts = refusal.error.facts(refusal.era);
    log(&refusal.error, &facts);
    app.metrics.error(facts.blame);
    note_rule(&refusal.error, trail);
    trail.refuse(facts.status, facts.code, facts.label);
    let body = error_body(refusal.id.as_deref(), code_of(&facts), &facts.public, facts.data.as_deref());
    let status = StatusCode::from_u16(facts.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, ReplyBody::Whole(body.into()));
    add_headers(&refusal.error, &facts, response.headers_mut());
    response
}

/// Tells the trail which rule it was.
pub(super) fn note_rule(error: &GatewayError, trail: &mut Trail) {
    match error {
        GatewayError::Limited { limit, .. } => trail.rule(limit),
        GatewayError::InsufficientScope(challenge) => trail.rule(&challenge.scopes.join(" ")),
        _ => {}
    }
}

/// What stands in the body of an answer that has no JSON-RPC code of its own.
const fn code_of(facts: &Facts) -> i32 {
    match facts.code {
        0 => -32600,
        code => code,
    }
}

fn add_headers(error: &GatewayError, facts: &Facts, headers: &mut HeaderMap) {
    if let Some(challenge) = challenge::header(error) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if matches!(error, GatewayError::MethodNotAllowed(_)) {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
    }
    if let GatewayError::Limited { told, .. } = error {
        rate_headers::add(told.as_deref(), headers);
    }
    if let Some(after) = facts.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(rate_headers::seconds(after)));
    }
}

fn log(gateway_error: &GatewayError, facts: &Facts) {
    match facts.blame {
        Blame::Gateway if facts.status == 500 => error!(error = %gateway_error, "a request failed inside the gateway"),
        Blame::Gateway | Blame::Server => warn!(error = %gateway_error, "a request failed"),
        Blame::Caller => tracing::debug!(error = %gateway_error, "a request was refused"),
    }
}
