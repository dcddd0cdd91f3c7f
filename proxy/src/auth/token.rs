//! Access tokens at a door: known ones are let through at once, others are verified by the tenant's issuers. Whether a token is
//! good is `patchbay-token`'s to say; where a door takes none, [`super::foreign`] decides how to refuse it.

use patchbay_token::{TokenError, Wanted};

use super::{Principal, foreign, site::Site};
use crate::{
    app::App,
    audit::Trail,
    error::GatewayError,
    metrics::Credential,
    tenancy::{Door, TenantState},
};

/// Why a token is not even looked at where nobody knows the address that it would have to be for.
const NO_ADDRESS: &str = "no_public_url";

/// Who shows this token at this door. Waits only for a token that is not known.
pub(super) async fn identify(
    app: &App,
    door: &Door,
    token: &str,
    site: Option<&Site>,
    now_ms: i64,
    trail: &mut Trail,
) -> Result<Principal, GatewayError> {
    let Some((state, view)) = door.behind().filter(|(_, view)| view.access.takes_tokens()) else {
        return Err(Box::pin(foreign::refuse(app, token, site, now_ms)).await);
    };
    let Some(site) = site else {
        return Err(refused(app, door, None, NO_ADDRESS, trail));
    };
    let resource = site.resource(state.snapshot.slug.as_str(), view.toolset.as_str());
    let (tenant, wanted) = (state.snapshot.tenant, Wanted { resource: &resource });
    if let Some(verified) = app.tokens.find(tenant, &state.issuers, token, wanted, now_ms) {
        return Ok(Principal::of_token(tenant, verified));
    }
    // Boxed, since it is large and seldom needed.
    match Box::pin(verify(app, state, token, wanted, now_ms)).await {
        Ok(principal) => {
            app.metrics.signed_in(Credential::Token);
            Ok(principal)
        }
        Err(TokenError::Refused(reason)) => Err(refused(app, door, Some(site), reason.as_str(), trail)),
        Err(TokenError::Unavailable { .. }) => {
            app.metrics.sign_in_unavailable();
            Err(GatewayError::SignInUnavailable)
        }
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

/// The refusal, which tells the caller the same whatever the reason; the trail and the metrics have that.
fn refused(app: &App, door: &Door, site: Option<&Site>, reason: &'static str, trail: &mut Trail) -> GatewayError {
    app.metrics.sign_in_refused(Credential::Token, reason);
    trail.because(reason);
    GatewayError::BadCredential(door.challenge(site))
}
