//! One token request (RFC 6749 section 4.4, RFC 8707) and what comes back: a token, or why there is none, told apart by whether
//! trying again can help. Nothing is kept here.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use url::form_urlencoded::Serializer;

use super::{
    GRANT,
    authority::{Authority, BOUNDS, is_trouble},
    client::Client,
    problem::{Problem, shown, words},
};
use crate::fetch::{FetchBounds, Fetcher};

/// What one token request may take: it does more than hand out a document.
const TOKEN_PATIENCE: Duration = Duration::from_secs(10);
/// The longest token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The life of a token whose issuer says nothing of it, and the shortest and longest that are believed: one that ends at once
/// would have every call ask for another.
const TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(1);
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A token as it was given.
pub(super) struct Granted {
    pub(super) token: String,
    pub(super) life: Duration,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Why a request failed, and whether the client was not believed.
struct Failed {
    problem: Problem,
    is_unbelieved: bool,
}

/// Asks for a token.
pub(super) async fn ask(
    fetcher: &Fetcher,
    client: &Client,
    authority: &Authority,
    scopes: &[String],
) -> Result<Granted, Problem> {
    let first = request(fetcher, client, authority, scopes, &authority.issuer).await;
    let failed = match first {
        Ok(granted) => return Ok(granted),
        Err(failed) => failed,
    };
    // Authorization servers of old want assertions to name the token endpoint and not the issuer. They get to see one only
    // where it leads to the issuer itself: elsewhere it could be shown to somebody else.
    let endpoint = &authority.token_endpoint;
    let is_own = url::Url::parse(&authority.issuer).is_ok_and(|issuer| issuer.origin() == endpoint.origin());
    if failed.is_unbelieved && client.asserts() && is_own {
        let second = request(fetcher, client, authority, scopes, endpoint.as_str()).await;
        return second.map_err(|_| failed.problem);
    }
    Err(failed.problem)
}

async fn request(
    fetcher: &Fetcher,
    client: &Client,
    authority: &Authority,
    scopes: &[String],
    audience: &str,
) -> Result<Granted, Failed> {
    let built = build(client, authority, scopes, audience);
    let request = built.map_err(|why| Failed { problem: Problem::lasting(why), is_unbelieved: false })?;
    let bounds = FetchBounds { timeout: TOKEN_PATIENCE, ..BOUNDS };
    let answer = fetcher.send(request, bounds).await.map_err(|fault| Failed {
        problem: Problem::fetching("a token from the authorization server", &authority.token_endpoint, &fault),
        is_unbelieved: false,
    })?;
    match answer.status() {
        StatusCode::OK => granted(&answer).map_err(|why| Failed { problem: why, is_unbelieved: false }),
        _ => Err(refused(&answer, client, authority, scopes)),
    }
}

fn build(client: &Client, authority: &Authority, scopes: &[String], audience: &str) -> Result<Request<Bytes>, String> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", GRANT).append_pair("resource", &authority.resource);
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    let header = client.prove(&mut form, audience)?;
    let mut request = Request::post(authority.token_endpoint.as_str())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .body(Bytes::from(form.finish()))
        .map_err(|_| "the token endpoint cannot be asked".to_owned())?;
    if let Some(header) = header {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    Ok(request)
}

fn granted(answer: &Response<Bytes>) -> Result<Granted, Problem> {
    let Ok(answer) = serde_json::from_slice::<Answer>(answer.body()) else {
        return Err(Problem::passing("the authorization server's answer is no token answer (RFC 6749 section 5.1)"));
    };
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(Problem::lasting("the authorization server gave a token of another type; expected Bearer"));
    }
    let token = answer.access_token;
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::lasting("the authorization server gave a token that cannot stand in a header"));
    }
    let life = answer.expires_in.map_or(TOKEN_LIFE, Duration::from_secs).clamp(TOKEN_LIFE_MIN, TOKEN_LIFE_MAX);
    Ok(Granted { token, life })
}

fn refused(answer: &Response<Bytes>, client: &Client, authority: &Authority, scopes: &[String]) -> Failed {
    let (status, issuer) = (answer.status(), words(&authority.issuer, &[]));
    let read = serde_json::from_slice::<Refusal>(answer.body()).ok();
    let Some(refusal) = read.filter(|_| !is_trouble(status)) else {
        let text = format!(
            "the authorization server {issuer} answered HTTP {} at {}",
            status.as_u16(),
            shown(&authority.token_endpoint)
        );
        return Failed { problem: Problem::passing(text), is_unbelieved: false };
    };
    let secrets: Vec<&SecretString> = client.secrets().collect();
    let code = words(&refusal.error, &secrets);
    let said = match &*words(&refusal.error_description, &secrets) {
        "" => String::new(),
        said => format!(" ({said})"),
    };
    let what = match &*refusal.error {
        "invalid_client" => {
            let listed = authority.methods.join(", ");
            let listed = if listed.is_empty() { String::new() } else { format!("; it takes {}", words(&listed, &[])) };
            format!("it does not take the gateway's client, shown by {}{listed}", client.method())
        }
        "unauthorized_client" => "the gateway's client may not get tokens for itself (client credentials)".to_owned(),
        "unsupported_grant_type" => "it gives no tokens to programs (client credentials)".to_owned(),
        "invalid_scope" => format!("it does not give the scopes {}", words(&scopes.join(" "), &[])),
        "invalid_target" => format!("it does not know the resource {}", words(&authority.resource, &[])),
        "temporarily_unavailable" | "server_error" => {
            let text = format!("the authorization server {issuer} answered {code}{said}");
            return Failed { problem: Problem::passing(text), is_unbelieved: false };
        }
        _ => "it gives no token".to_owned(),
    };
    let problem = Problem::lasting(format!("the authorization server {issuer} answered {code}{said}: {what}"));
    Failed { problem, is_unbelieved: matches!(&*refusal.error, "invalid_client" | "invalid_request") }
}

/// Seconds as a number, or as a text of one, which some write.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let number = value.as_u64().or_else(|| value.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64));
    Ok(number.or_else(|| value.as_str().and_then(|text| text.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<Granted, Problem> {
        granted(&Response::new(Bytes::copy_from_slice(body.as_bytes())))
    }

    #[test]
    fn the_life_of_a_token_is_believed_within_bounds() {
        for (written, expected) in [
            (r#","expires_in":60"#, 60),
            (r#","expires_in":"61""#, 61),
            (r#","expires_in":62.0"#, 62),
            (r#","expires_in":null"#, TOKEN_LIFE.as_secs()),
            ("", TOKEN_LIFE.as_secs()),
            (r#","expires_in":0"#, TOKEN_LIFE_MIN.as_secs()),
            (r#","expires_in":99999999999"#, TOKEN_LIFE_MAX.as_secs()),
        ] {
            let granted = answer(&format!(r#"{{"access_token":"t","token_type":"bearer"{written}}}"#));
            assert_eq!(granted.map(|granted| granted.life.as_secs()).ok(), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_none_and_never_shown() {
        for body in [
            r#"{"access_token":"canary-1","token_type":"DPoP"}"#,
            r#"{"access_token":"canary-1"}"#,
            r#"{"access_token":"canary-1\r\nx: y","token_type":"Bearer"}"#,
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"token":"canary-1"}"#,
            "canary-1",
        ] {
            let problem = answer(body).map(|_| ()).expect_err("no token");
            assert!(!problem.text.contains("canary"), "{problem:?}");
        }
    }
}
