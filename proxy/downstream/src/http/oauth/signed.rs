//! Requests with the gateway's token: it is put in last, whatever headers a session was opened with. A token that the server
//! refuses is replaced and the request sent once more, and so is one with too few scopes; each once for a request. What stays
//! refused goes back with words that say what is wrong.

use std::sync::{Arc, atomic::Ordering};

use http::{HeaderMap, Response, StatusCode, header::AUTHORIZATION};

use super::{
    challenge::{Challenge, ChallengeError},
    keeper::Keeper,
    paper::Held,
    problem::{Problem, shown, words},
};
use crate::{
    DownstreamError, Fault,
    http::{
        client::{Client, Draft},
        live::Body,
    },
};

/// What a refusal means, beside its status. Travels with the response.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) fault: Fault,
    pub(crate) text: String,
}

impl Client {
    /// Sends a request with the gateway's token.
    pub(crate) async fn send_signed(
        &self,
        keeper: &Arc<Keeper>,
        mut draft: Draft<'_>,
    ) -> Result<Response<Body>, DownstreamError> {
        let mut held = keeper.token(draft.patience).await?;
        let (mut renewed, mut stepped_up) = (false, false);
        loop {
            draft.headers.insert(AUTHORIZATION, held.bearer.clone());
            let mut response = self.send_plain(draft.clone()).await?;
            let status = response.status();
            if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                keeper.accepted();
                return Ok(response);
            }
            let challenge = Challenge::of(response.headers());
            let (next, wanted) = if status == StatusCode::UNAUTHORIZED {
                let next = match std::mem::replace(&mut renewed, true) {
                    false => keeper.refused(&held, challenge, draft.patience).await.inspect_err(|_| unsent(&draft))?,
                    true => None,
                };
                (next, Some(unwelcome(&held)))
            } else {
                let Some(mut needed) = challenge.filter(is_too_little).map(|challenge| challenge.scopes) else {
                    // The token is good; what was asked for is forbidden.
                    keeper.accepted();
                    return Ok(response);
                };
                needed.retain(|scope| !keeper.is_told(scope));
                let got = match std::mem::replace(&mut stepped_up, true) {
                    false => keeper.step_up(&held, &needed, draft.patience).await.inspect_err(|_| unsent(&draft))?,
                    true => Err(None),
                };
                match got {
                    Ok(next) => (Some(next), None),
                    Err(problem) => (None, Some(too_little(&held, &needed, problem.as_ref()))),
                }
            };
            match next {
                Some(next) => {
                    response.into_body().finish_aside();
                    held = next;
                    unsent(&draft);
                }
                None => {
                    if let Some(wanted) = wanted {
                        response.extensions_mut().insert(wanted);
                    }
                    return Ok(response);
                }
            }
        }
    }
}

/// The server refused it, so nothing was sent that it may have acted on.
fn unsent(draft: &Draft<'_>) {
    draft.sent.store(false, Ordering::Relaxed);
}

fn is_too_little(challenge: &Challenge) -> bool {
    challenge.error == Some(ChallengeError::InsufficientScope)
}

fn unwelcome(held: &Held) -> Wanted {
    let text = format!(
        "the server refuses the tokens that {} gives the gateway for it; see there what the gateway's client may do, and \
         whether oauth.resource is what the server expects",
        Keeper::issuer(held)
    );
    Wanted { fault: Fault::SignIn, text }
}

fn too_little(held: &Held, needed: &[String], problem: Option<&Problem>) -> Wanted {
    let list = |scopes: Vec<&str>| match &*words(&scopes.join(" "), &[]) {
        "" => "none".to_owned(),
        listed => listed.to_owned(),
    };
    let why = problem.map_or(String::new(), |problem| format!("; more were asked for: {}", problem.text));
    let text = format!(
        "the server wants the scopes {}, and the gateway's token was asked for with {}; let {} give them to the gateway's \
         client, and name them in oauth.scopes{why}",
        list(needed.iter().map(String::as_str).collect()),
        list(held.paper.scopes.iter().map(String::as_str).collect()),
        Keeper::issuer(held),
    );
    Wanted { fault: Fault::Refused(403), text }
}

/// What a server wants that answers a request without any credential with a challenge.
pub(crate) fn sign_in_wanted(headers: &HeaderMap) -> Option<Wanted> {
    let challenge = Challenge::of(headers)?;
    let place = challenge.resource_metadata.map_or(String::new(), |url| format!(" (its metadata: {})", shown(&url)));
    let scopes = match &*words(&challenge.scopes.join(" "), &[]) {
        "" => String::new(),
        scopes => format!(", with the scopes {scopes}"),
    };
    let text = format!(
        "the server wants a sign-in: it takes only tokens of its authorization server{place}{scopes}. If that gives tokens to \
         programs, set the server's oauth to a client id and a secret or key of the gateway's own; where it wants each user's \
         own sign-in, this gateway cannot hand that on"
    );
    Some(Wanted { fault: Fault::SignIn, text })
}
