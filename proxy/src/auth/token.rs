//! Access tokens at a door: known ones are let through at once, others are verified by the tenant's issuers. Whether a token is
//! good is `patchbay-token`'s to say; where a door takes none, [`super::foreign`] decides how to refuse it.

use patchbay_token::{TokenError, Wanted};

use super::{Peer, Principal, foreign, site::Site};
use crate::{
    admission,
    app::App,
    audit::Trail,
    error::GatewayError,
    metrics::Credential,
    tenancy::{Door, TenantState},
};

/// Why a token is refused where none is taken.
const NOT_TAKEN: &str = "not_taken";
/// Why a token is not even looked at where nobody knows the address that it would have to be for.
const NO_ADDRESS: &str = "no_public_url";

/// Who shows this token at this door. Waits only for a token that is not known.
pub(super) async fn identify(
    app: &App,
    door: &Door,
    token: &str,
    peer: Peer,
    site: Option<&Site>,
    now_ms: i64,
    trail: &mut Trail,
) -> Result<Principal, GatewayError> {
    let Some((state, view)) = door.behind().filter(|(_, view)| view.access.takes_tokens()) else {
        return Err(elsewhere(app, token, NOT_TAKEN, peer, now_ms, trail).await);
    };
    let Some(site) = site else {
        trail.because(NO_ADDRESS);
        return Err(elsewhere(app, token, NO_ADDRESS, peer, now_ms, trail).await);
    };
    let resource = site.resource(state.snapshot.slug.as_str(), view.toolset.as_str());
    let (tenant, wanted) = (state.snapshot.tenant, Wanted { resource: &resource });
    if let Some(verified) = app.tokens.find(tenant, &state.issuers, token, wanted, now_ms) {
        return Ok(Principal::of_token(tenant, verified));
    }
    admission::door::before_judging(app, peer.ip, trail).await?;
    // Boxed, since it is large and seldom needed.
    let error = match Box::pin(verify(app, state, token, wanted, now_ms)).await {
        Ok(principal) => {
            app.metrics.signed_in(Credential::Token);
            return Ok(principal);
        }
        Err(error) => error,
    };
    // Where nobody is told how to sign in, others than its own people are told that nothing is here.
    let Some(challenge) = door.challenge(Some(site)) else {
        return Err(elsewhere(app, token, NOT_TAKEN, peer, now_ms, trail).await);
    };
    match error {
        TokenError::Refused(reason) => {
            // The caller is told the same whatever the reason; the trail and the metrics have that.
            app.metrics.sign_in_refused(Credential::Token, reason.as_str());
            trail.because(reason.as_str());
            let error = GatewayError::BadCredential(Some(challenge));
            Err(admission::door::failed(app, peer.ip, error, trail).await)
        }
        TokenError::Unavailable { .. } => {
            app.metrics.sign_in_unavailable();
            Err(GatewayError::SignInUnavailable)
        }
    }
}

/// How a token is refused where none are taken. Also a token that is good elsewhere fails to open this door, but nobody guessed
/// it, so it does not count.
async fn elsewhere(
    app: &App,
    token: &str,
    reason: &'static str,
    peer: Peer,
    now_ms: i64,
    trail: &mut Trail,
) -> GatewayError {
    if let Err(crowded) = admission::door::before_judging(app, peer.ip, trail).await {
        return crowded;
    }
    match Box::pin(foreign::refuse(app, token, reason, now_ms)).await {
        error @ GatewayError::BadCredential(_) => admission::door::failed(app, peer.ip, error, trail).await,
        error => error,
    }
}

async fn verify(
    app: &App,
    state: &TenantState,
    token: &str,
    wanted: Wanted<'_>,
    now_ms: i64,
) -> Result<Principal, TokenError> {
    let tenant = state.snapshot.tenant;
    let verified = app.tokens.verify(tenant, &state.issuers, token, wanted, now_ms).await?;
    Ok(Principal::of_token(tenant, verified))
}
