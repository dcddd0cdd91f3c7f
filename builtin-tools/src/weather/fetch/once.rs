//! A single attempt: the request, the status, the body within its bound. Errors of the HTTP client are classified here and
//! go no further, since their texts have the URL in them, and with it a key.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::{Again, Ask, Failure, Fetched, Fetcher, PAUSE_MAX, PAUSE_UNSAID, headers, limited};
use crate::weather::error::{WeatherError, Why};

/// The largest answer; the largest seen is a state's alerts in a bad week, a fifth of it.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How much of a refusal is read.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// How much of a provider's own words about a refusal is passed on, in characters.
const SAID_CHARS_MAX: usize = 200;

impl Fetcher {
    pub(super) async fn once(&self, ask: &Ask) -> Result<Fetched, Failure> {
        let failed = |why, again| Failure { error: ask.provider.unavailable(why), again };
        let client = self.client().await.map_err(|why| failed(why, Again::Never))?;
        let request = client.get(whole(ask)).header(ACCEPT, ask.provider.accept()).send();
        // The client bounds the connecting itself; this is the time after it, for the head.
        let response = match timeout(self.patience.connect + self.patience.read, request).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() => return Err(failed(Why::Connect, Again::Soon)),
            Ok(Err(_)) => return Err(failed(Why::BrokeOff, Again::Soon)),
            Err(_) => return Err(failed(Why::Slow, Again::Soon)),
        };
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(ask, status, response).await);
        }
        if status != StatusCode::OK || !is_json(response.headers()) {
            return Err(failed(Why::Unreadable, Again::Never));
        }
        let said = headers::freshness(response.headers(), Timestamp::now());
        let body = body(response, self.patience.read, BODY_BYTES_MAX).await;
        let body = body.map_err(|why| match why {
            Why::TooLarge(_) => failed(why, Again::Never),
            why => failed(why, Again::Soon),
        })?;
        let document = (ask.read)(&body).ok_or_else(|| failed(Why::Unreadable, Again::Never))?;
        let fresh_for = said.fresh_for.unwrap_or(ask.fresh_default).min(ask.fresh_max);
        Ok(Fetched { document, fresh_for, keep: said.keep, age: said.age, weight: body.len() })
    }

    async fn refusal(&self, ask: &Ask, status: StatusCode, response: Response) -> Failure {
        let after = headers::retry_after(response.headers(), Timestamp::now()).map(|after| after.min(PAUSE_MAX));
        let again = after.map_or(Again::Soon, Again::After);
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Failure { error: limited(ask.provider, after.unwrap_or(PAUSE_UNSAID)), again };
        }
        let unavailable = |why, again| Failure { error: ask.provider.unavailable(why), again };
        if status.is_redirection() {
            return unavailable(Why::Redirect, Again::Never);
        }
        if !status.is_client_error() || status == StatusCode::REQUEST_TIMEOUT {
            return unavailable(Why::Status(status.as_u16()), again);
        }
        let body = body(response, self.patience.read, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let error = (ask.refusal)(status.as_u16(), &body).unwrap_or_else(|| WeatherError::Refused {
            provider: ask.provider.name(),
            status: status.as_u16(),
            // The provider that gets a key is not quoted.
            said: if ask.key.is_none() { text_of(&problem(&body)) } else { String::new() },
        });
        Failure { error, again: Again::Never }
    }
}

/// The URL as it is sent.
fn whole(ask: &Ask) -> Url {
    let mut url = ask.url.clone();
    if let Some((name, key)) = &ask.key {
        url.query_pairs_mut().append_pair(name, key.expose_secret());
    }
    url
}

/// Whether the body claims to be JSON of some sort, or nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    kind.to_str().is_ok_and(|kind| kind.to_ascii_lowercase().contains("json"))
}

/// The whole body, if it is not larger than `bytes_max` and never silent for longer than `patience`.
async fn body(mut response: Response, patience: Duration, bytes_max: usize) -> Result<Vec<u8>, Why> {
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(Why::TooLarge(bytes_max));
    }
    let mut body = Vec::new();
    loop {
        match timeout(patience, response.chunk()).await {
            Err(_) => return Err(Why::Slow),
            Ok(Err(_)) => return Err(Why::BrokeOff),
            Ok(Ok(None)) => return Ok(body),
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > bytes_max => return Err(Why::TooLarge(bytes_max)),
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
        }
    }
}

/// What a provider says about a refusal: the National Weather Service by RFC 9457, Open-Meteo with `reason`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    reason: String,
}

/// The problem in a refusal's body; an empty one where there is none.
pub(crate) fn problem(body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The provider's words as the end of a bracket in our own sentence.
fn text_of(problem: &Problem) -> String {
    let said = [&problem.detail, &problem.reason, &problem.title].into_iter().find(|text| !text.trim().is_empty());
    let Some(said) = said else { return String::new() };
    let said: String = said.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect();
    format!(": {}", said.trim().trim_end_matches('.'))
}
