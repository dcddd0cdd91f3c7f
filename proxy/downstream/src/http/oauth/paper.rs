//! A token with all that belongs to it, in memory and as it is kept in the vault: what server, client, issuer and scopes it is
//! for, and when it is to be replaced. A token that is for something else is not taken out of the vault.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;
use patchbay_core::model::ServerOauth;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Position, Url};

use super::{
    StoredToken,
    authority::{Authority, is_same},
    grant::Granted,
    problem::spread,
};

/// How long before its end a token is replaced, at the least; shorter lives give a share.
const RENEW_AHEAD: Duration = Duration::from_secs(60);
/// How long before its end a token is not used any more, so that it does not end on its way.
const LAST_USE: Duration = Duration::from_secs(5);

/// A token.
pub(super) struct Held {
    pub(super) paper: Paper,
    /// The header that carries it.
    pub(super) bearer: HeaderValue,
    /// It as it is in the vault.
    pub(super) stored: StoredToken,
    /// From when on it is to be replaced, and from when on it is not used; milliseconds since 1970.
    pub(super) due_ms: i64,
    pub(super) dead_ms: i64,
}

/// What is written into the vault.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Paper {
    token: String,
    server: String,
    client: String,
    pub(super) issuer: String,
    resource: String,
    /// The scopes that were asked for.
    pub(super) scopes: BTreeSet<String>,
    got_ms: i64,
    expires_ms: i64,
}

impl Paper {
    pub(super) fn new(
        granted: Granted,
        server: &Url,
        spec: &ServerOauth,
        authority: &Authority,
        scopes: BTreeSet<String>,
    ) -> Self {
        let got_ms = now_ms();
        Self {
            token: granted.token,
            server: place(server),
            client: spec.client_id.clone(),
            issuer: authority.issuer.clone(),
            resource: authority.resource.clone(),
            scopes,
            got_ms,
            expires_ms: got_ms + ms(granted.life),
        }
    }

    /// What is in the vault, when it was written for this client at this server.
    pub(super) fn read(stored: &StoredToken, server: &Url, spec: &ServerOauth) -> Option<Self> {
        let paper: Self = serde_json::from_str(stored.secret.expose_secret()).ok()?;
        let is_ours = paper.server == place(server)
            && paper.client == spec.client_id
            && spec.issuer.as_ref().is_none_or(|issuer| is_same(issuer, &paper.issuer))
            && spec.resource.as_ref().is_none_or(|resource| *resource == paper.resource);
        is_ours.then_some(paper)
    }

    /// Whether it was asked for with these scopes among others.
    pub(super) fn covers<'a>(&self, scopes: impl IntoIterator<Item = &'a String>) -> bool {
        scopes.into_iter().all(|scope| self.scopes.contains(scope))
    }

    /// It as it is used; `None` when it cannot be.
    pub(super) fn held(self) -> Option<Held> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.token)).ok()?;
        bearer.set_sensitive(true);
        let text = serde_json::to_string(&self).ok()?;
        let life = Duration::from_millis(u64::try_from(self.expires_ms - self.got_ms).ok()?);
        // A fifth of its life, or a minute; of a short life half.
        let ahead = (life / 5).max(RENEW_AHEAD.min(life / 2));
        // Replicas do not all come at once: the tenth before that is spread.
        let due_ms = self.expires_ms - ms(ahead) - ms(spread(ahead / 10));
        let dead_ms = self.expires_ms - ms(LAST_USE.min(life / 10));
        let stored = StoredToken { secret: SecretString::from(text), expires_ms: self.expires_ms };
        Some(Held { paper: self, bearer, stored, due_ms, dead_ms })
    }
}

impl Held {
    pub(super) fn is_alive(&self) -> bool {
        now_ms() < self.dead_ms
    }

    pub(super) fn is_due(&self) -> bool {
        now_ms() >= self.due_ms
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.paper.token == other.paper.token
    }

    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        self.paper.expires_ms > other.paper.expires_ms
    }

    /// The token itself, to strike it out of what others say.
    pub(super) fn token(&self) -> &str {
        &self.paper.token
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("issuer", &self.paper.issuer)
            .field("dead_ms", &self.dead_ms)
            .finish_non_exhaustive()
    }
}

/// A server's place, by which a token belongs to it. The query may hold a key, and is left out.
fn place(server: &Url) -> String {
    server[..Position::AfterPath].to_owned()
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
