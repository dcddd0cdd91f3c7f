//! What a response with another status than 200 means: the response to the request all the same, a session that the server
//! lost, an era that it does not speak, or a refusal. Its body is read, bounded, since only the words tell these apart.

use bytes::Bytes;
use http::{Response, StatusCode};
use patchbay_core::{
    era::{Era, Version},
    json::{self, MessageHead},
};
use tokio::time::{Duration, Instant};

use super::{client::Client, heads::raw_id, live::Body, oauth::signed::Wanted, patience::Patience, reply::gather};
use crate::{Answer, Delivery, DownstreamError, Fault};

/// What is read of a refusal, and for how long.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);
/// A response that is no 200.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    body: Bytes,
    excerpt: String,
    /// What the gateway's sign-in says of it.
    wanted: Option<Wanted>,
}

/// Reads a refusal, as far as it matters and as long as it makes sense.
pub(crate) async fn read_refusal(
    client: &Client,
    mut response: Response<Body>,
    patience: &Patience,
) -> Result<Refusal, DownstreamError> {
    let status = response.status();
    let wanted = response.extensions_mut().remove::<Wanted>();
    let wanted = wanted.map(|wanted| Wanted { text: client.struck(&wanted.text), ..wanted });
    let patience = patience.until(Instant::now() + REFUSAL_PATIENCE);
    let mut body = response.into_body();
    // The status counts, whatever becomes of the words after it.
    let mut said = gather(&mut body, REFUSAL_BYTES_MAX, &patience).await.unwrap_or_default();
    said.truncate(REFUSAL_BYTES_MAX);
    let excerpt = client.excerpt(&said);
    Ok(Refusal { status, body: said, excerpt, wanted })
}

/// What a refusal means for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the response, with another status than 200.
    Response,
    /// The server does not know the session: the request was not acted on.
    SessionLost,
    /// The server may be of the other era: the request was not acted on.
    EraDoubt,
    /// It is no answer.
    Refused,
}

impl Refusal {
    fn head(&self) -> Option<MessageHead<'_>> {
        std::str::from_utf8(&self.body).ok().and_then(|text| MessageHead::read(text).ok())
    }

    /// The code of the JSON-RPC error in it, whichever request that names.
    pub(crate) fn code(&self) -> Option<i64> {
        json::at_path(self.head()?.error?, &["code"])?.parse().ok()
    }

    /// Whether the error says that this version is one that the server takes.
    pub(crate) fn names(&self, version: Version) -> bool {
        let error = self.head().and_then(|head| head.error);
        let supported = error.and_then(|error| json::at_path(error, &["data", "supported"]));
        let supported = supported.and_then(|supported| json::elements(supported).ok()).unwrap_or_default();
        supported.into_iter().any(|named| json::unquote(named).as_deref() == Some(version.as_str()))
    }

    fn answers(&self, id: u64) -> bool {
        self.head().is_some_and(|head| head.is_response() && head.id == Some(&*raw_id(id)))
    }

    /// Servers that keep sessions in memory answer 400 after a restart, in words.
    fn speaks_of_session(&self) -> bool {
        self.body.to_ascii_lowercase().windows(7).any(|word| word == b"session")
    }

    /// What it means for request `id`, sent in this era, in a session with an id or without.
    pub(crate) fn verdict(&self, id: u64, era: Era, in_session: bool) -> Verdict {
        let status = self.status.as_u16();
        let code = self.code();
        match (era, status) {
            (_, 401 | 403 | 407 | 408 | 429 | 503) => Verdict::Refused,
            (Era::Legacy, 404) if in_session && code != Some(-32601) => Verdict::SessionLost,
            (Era::Legacy, 400)
                if in_session && matches!(code, None | Some(-32600 | -32000 | -32001)) && self.speaks_of_session() =>
            {
                Verdict::SessionLost
            }
            (Era::Legacy, 400) if matches!(code, Some(-32022..=-32020)) => Verdict::EraDoubt,
            (Era::Modern, 400) if code == Some(-32022) => Verdict::EraDoubt,
            _ if self.answers(id) => Verdict::Response,
            (Era::Modern, 400 | 404 | 405 | 406 | 415 | 422) => Verdict::EraDoubt,
            (Era::Legacy, 400 | 404 | 405) if !in_session => Verdict::EraDoubt,
            _ => Verdict::Refused,
        }
    }

    /// It as an error.
    pub(crate) fn error(&self) -> DownstreamError {
        let status = self.status.as_u16();
        // Who is not let in yet did nothing.
        let is_shut = matches!(status, 401 | 429 | 503) || self.wanted.is_some();
        let delivery = if is_shut { Delivery::NotSent } else { Delivery::MayHaveRun };
        let detail = match (&*self.excerpt, self.status.is_redirection()) {
            (_, true) => {
                format!("HTTP {status}; redirects are not followed, so the server's URL must be the final one")
            }
            ("", _) => format!("HTTP {status} without words"),
            (said, _) => format!("HTTP {status}: {said}"),
        };
        match &self.wanted {
            Some(wanted) => {
                let detail = format!("{} ({detail})", wanted.text);
                DownstreamError { fault: wanted.fault, delivery, detail }
            }
            None => DownstreamError { fault: Fault::Refused(status), delivery, detail },
        }
    }

    /// It as the response that it is.
    pub(crate) fn into_answer(self, era: Era) -> Answer {
        Answer { head: self.body, rest: None, era }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &'static str) -> Refusal {
        let status = StatusCode::from_u16(status).expect("a status");
        Refusal { status, body: Bytes::from_static(body.as_bytes()), excerpt: body.into(), wanted: None }
    }

    #[test]
    fn a_refusal_is_read_by_era_session_and_words() {
        use {Era::*, Verdict::*};
        let unsupported = r#"{"id":7,"error":{"code":-32022,"message":"x"}}"#;
        let mismatch = r#"{"id":7,"error":{"code":-32020,"message":"x"}}"#;
        let unknown = r#"{"id":7,"error":{"code":-32601,"message":"x"}}"#;
        let sessionless = r#"{"id":7,"error":{"code":-32000,"message":"Bad Request: No valid Session ID"}}"#;
        let foreign = r#"{"id":8,"error":{"code":-32602,"message":"x"}}"#;
        for (status, body, era, in_session, expected) in [
            (400, unsupported, Modern, false, EraDoubt),
            (400, mismatch, Modern, false, Response),
            (404, unknown, Modern, false, Response),
            (400, sessionless, Modern, false, Response),
            (400, foreign, Modern, false, EraDoubt),
            (400, "no", Modern, false, EraDoubt),
            (401, unknown, Modern, false, Refused),
            (500, "oops", Modern, false, Refused),
            (500, unknown, Modern, false, Response),
            (404, "", Legacy, true, SessionLost),
            (404, unknown, Legacy, true, Response),
            (404, "", Legacy, false, EraDoubt),
            (400, sessionless, Legacy, true, SessionLost),
            (400, sessionless, Legacy, false, Response),
            (400, mismatch, Legacy, true, EraDoubt),
            (400, foreign, Legacy, true, Refused),
            (429, "", Legacy, true, Refused),
            (302, "", Legacy, true, Refused),
        ] {
            let found = refusal(status, body).verdict(7, era, in_session);
            assert_eq!(found, expected, "{status} {body} in the {era:?} era, in a session: {in_session}");
        }
    }

    #[test]
    fn only_shut_and_busy_servers_are_known_not_to_have_acted() {
        for (status, delivery) in [
            (401, Delivery::NotSent),
            (403, Delivery::MayHaveRun),
            (429, Delivery::NotSent),
            (503, Delivery::NotSent),
            (500, Delivery::MayHaveRun),
        ] {
            let error = refusal(status, "").error();
            assert_eq!((error.fault, error.delivery), (Fault::Refused(status), delivery));
        }
    }
}
