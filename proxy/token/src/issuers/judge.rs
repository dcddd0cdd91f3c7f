//! The checks of a token, in their order: the one list that judging and explaining share. All that costs nothing comes before
//! what may ask the issuer, so a forgery causes a fetch only when it names an issuer of the tenant and looks right in all else.

use std::sync::Arc;

use patchbay_core::{audit::TokenActor, issuer::Algorithm};
use serde_json::{Map, Value};

use super::{
    Issuers, Wanted,
    claims::{Times, audiences, foreign, text},
    issuer::Issuer,
    person,
    revoked::Bearer,
};
use crate::{
    Reason, TokenError, Verified,
    explain::{Failed, Walk, list, shown, time},
    jwt::{Form, Parts, form, header::Header, kind, signature},
    verified::digest_of,
};

/// The most issuers that an opaque token is shown to.
const ASKED_MAX: usize = 4;

/// What a token is judged by.
pub(super) struct Judge<'a> {
    pub(super) issuers: &'a Issuers,
    pub(super) wanted: Wanted<'a>,
    pub(super) now_ms: i64,
    /// Whether issuers are asked about opaque tokens.
    pub(super) asks: bool,
    pub(super) walk: &'a mut Walk,
}

/// What the claims say once they were checked. What an explanation has found wrong is `None`.
struct Said {
    times: Times,
    audiences: Option<Box<[Box<str>]>>,
    subject: Option<Box<str>>,
    jti: Option<Box<str>>,
    scopes: patchbay_core::access::Scopes,
}

impl Judge<'_> {
    /// All checks.
    pub(super) async fn judge(&mut self, token: &str) -> Result<Arc<Verified>, TokenError> {
        let form = self.walk.need("form", form(token), |form| match form {
            Form::Signed(_) => format!("{} bytes in three parts: a signed token", token.len()),
            Form::Opaque => format!("{} bytes: an opaque token, which only its issuer can read", token.len()),
        })?;
        let Form::Signed(parts) = form else { return self.opaque(token).await };
        match Header::read(&parts) {
            Err(_) if self.asked().next().is_some() => {
                self.walk.note("header", || "it cannot be read, so the token counts as an opaque one".to_owned());
                self.opaque(token).await
            }
            header => self.signed(&parts, header).await,
        }
    }

    async fn signed(&mut self, parts: &Parts<'_>, header: Result<Header, Failed>) -> Result<Arc<Verified>, TokenError> {
        let header = self.walk.need("header", header, |_| "it can be read".to_owned())?;
        let algorithm = self.walk.need("algorithm", header.algorithm(), |found| format!("`{}`", found.as_str()))?;
        self.walk.need("extensions", header.critical(), |()| "none".to_owned())?;
        let kid = self.walk.need("key name", header.kid(), |kid| kid.map_or_else(|| "none".to_owned(), shown))?;
        let claims = self.walk.need("payload", parts.claims(), |claims| format!("{} claims", claims.len()))?;
        let issuer = self.walk.need("issuer", self.issuer(&claims), |issuer| {
            format!("{} is issuer `{}`", shown(&issuer.iss), issuer.name)
        })?;
        self.walk.hold("allowed", allowed(&issuer, algorithm), |()| "the issuer may use the algorithm".to_owned())?;
        let kind = header.typ().and_then(|typ| kind::check(typ, &claims, &issuer.spec.token_types).map(|()| typ));
        self.walk.hold("type", kind, |typ| typ.map_or_else(|| "none, which counts as `JWT`".to_owned(), shown))?;
        let said = self.said(&issuer, &claims, true)?;
        self.genuine(&issuer, parts, kid, algorithm).await?;
        self.close(&issuer, &claims, said, i64::MAX)
    }

    /// The issuer that the token names, which must be one of the tenant's.
    fn issuer(&self, claims: &Map<String, Value>) -> Result<Arc<Issuer>, Failed> {
        let known = || list(self.issuers.all.iter().map(|issuer| &*issuer.iss));
        let named = match claims.get("iss") {
            Some(Value::String(iss)) => match self.issuers.by_iss(iss) {
                Some(issuer) => return Ok(issuer.clone()),
                None => shown(iss),
            },
            Some(_) => "no text".to_owned(),
            None => "missing".to_owned(),
        };
        let found = format!("`iss` is {named}; expected exactly one of the tenant's issuers: {}", known());
        Err(Failed::new(Reason::UnknownIssuer, found))
    }

    /// What the claims say, whether the issuer signed them or told them.
    fn said(&mut self, issuer: &Issuer, claims: &Map<String, Value>, signed: bool) -> Result<Said, TokenError> {
        let read = || {
            let times = Times::read(claims, signed)?;
            let jti = text(claims, "jti", Reason::Claims)?.map(Box::from);
            Ok(Said { times, audiences: None, subject: None, jti, scopes: person::scopes(claims, &issuer.spec)? })
        };
        let mut said = self.walk.need("claims", read(), |said| match &said.jti {
            Some(jti) => format!("they have the right types; the token's own id (`jti`) is {}", shown(jti)),
            None => "they have the right types; the token has no `jti`, so it can be revoked by its subject alone"
                .to_owned(),
        })?;
        self.walk.hold("times", said.times.check(self.now_ms), |()| said.times.found())?;
        let audiences = audiences(claims).and_then(|found| {
            let fits = issuer.takes(found.iter().map(|audience| &**audience), self.wanted);
            if fits { Ok(found) } else { Err(foreign(&found, &issuer.spec, self.wanted.resource)) }
        });
        said.audiences =
            self.walk.hold("audience", audiences, |found| list(found.iter().map(|audience| &**audience)))?;
        let subject = person::subject(claims, &issuer.spec).map(Box::<str>::from);
        said.subject = self.walk.hold("subject", subject, |subject| shown(subject))?;
        Ok(said)
    }

    /// The signature, by the issuer's keys. They are fetched now when they are not known.
    async fn genuine(
        &mut self,
        issuer: &Issuer,
        parts: &Parts<'_>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(), TokenError> {
        let set = issuer.keys_for(kid).await;
        let set = self.walk.need("keys", set, |_| signature::known(&issuer.keys.status()))?;
        let keys = self.walk.need("key", signature::candidates(&set, kid, algorithm), |keys| match keys.len() {
            1 => "one key fits".to_owned(),
            several => format!("{several} keys fit"),
        })?;
        self.walk.need("signature", signature::check(parts, &keys, algorithm), |()| "made by the issuer".to_owned())
    }

    /// The issuers that are asked about opaque tokens.
    fn asked(&self) -> impl Iterator<Item = &Arc<Issuer>> + use<'_> {
        let asked = self.issuers.all.iter().filter(|issuer| self.asks && issuer.answers_count_ms().is_some());
        asked.take(ASKED_MAX)
    }

    /// Asks who may have issued it, one after the other.
    async fn opaque(&mut self, token: &str) -> Result<Arc<Verified>, TokenError> {
        let asked: Vec<_> = self.asked().cloned().collect();
        let mut last = match asked.is_empty() {
            true => Failed::new(
                Reason::Malformed,
                "no issuer of the tenant is asked about opaque tokens; expected a signed token, or introspection set for an issuer",
            ),
            false => Failed::new(
                Reason::Inactive,
                "no issuer calls it active: it expired, was revoked, or is none of theirs",
            ),
        };
        for issuer in asked {
            match issuer.ask(token, self.now_ms).await {
                Ok(Some(claims)) => {
                    let verified = self.told(&issuer, claims)?;
                    issuer.was_good(token, self.now_ms);
                    return Ok(verified);
                }
                Ok(None) => {
                    self.walk.note("introspection", || format!("issuer `{}` does not call it active", issuer.name))
                }
                Err(failed) => last = failed,
            }
        }
        Err(self.walk.fail("introspection", last))
    }

    /// What an issuer says of an opaque token that it calls active.
    fn told(&mut self, issuer: &Issuer, mut claims: Map<String, Value>) -> Result<Arc<Verified>, TokenError> {
        // Some providers write members that they have nothing to say in.
        claims.retain(|_, value| !value.is_null());
        let own = match claims.get("iss") {
            None => Ok(()),
            Some(Value::String(iss)) if **iss == *issuer.iss => Ok(()),
            Some(other) => {
                let other = shown(&other.to_string());
                let found = format!("the answer has `iss` {other}; expected {}, exactly", shown(&issuer.iss));
                Err(Failed::new(Reason::UnknownIssuer, found))
            }
        };
        self.walk.need("introspection", own, |()| format!("issuer `{}` calls it active", issuer.name))?;
        self.walk.hold("type", kind::check_told(&claims), |()| "nothing says that it is no access token".to_owned())?;
        let said = self.said(issuer, &claims, false)?;
        let until_ms = self.now_ms.saturating_add(issuer.answers_count_ms().unwrap_or(0));
        self.close(issuer, &claims, said, until_ms)
    }

    /// The last checks, and all that is known then.
    fn close(
        &mut self,
        issuer: &Issuer,
        claims: &Map<String, Value>,
        said: Said,
        until_ms: i64,
    ) -> Result<Arc<Verified>, TokenError> {
        // Only an explanation comes here without them, and has said so.
        let Some(subject) = said.subject else { return Err(TokenError::Refused(Reason::Subject)) };
        let bearer =
            Bearer { iss: &issuer.iss, subject: &subject, jti: said.jti.as_deref(), issued_ms: said.times.iat };
        let standing = self.issuers.revoked.check(&bearer, self.now_ms);
        self.walk.hold("revocations", standing, |()| "none stands against it".to_owned())?;
        let Some(audiences) = said.audiences else { return Err(TokenError::Refused(Reason::Audience)) };
        let until_ms = said.times.until_ms().min(until_ms);
        self.walk.note("counts until", || time(until_ms));
        Ok(Arc::new(Verified {
            digest: digest_of(&issuer.iss, &subject),
            who: Arc::new(TokenActor {
                issuer: issuer.name.clone(),
                iss: issuer.iss.clone(),
                subject: Arc::from(subject),
                name: person::label(claims, &issuer.spec.claims.name),
                client: person::client(claims),
            }),
            jti: said.jti,
            groups: person::groups(claims, &issuer.spec.claims.groups),
            scopes: said.scopes,
            audiences,
            issued_ms: said.times.iat,
            until_ms,
        }))
    }
}

/// Whether the operator lets the issuer use the algorithm at all; no key has to be asked for to know.
fn allowed(issuer: &Issuer, algorithm: Algorithm) -> Result<(), Failed> {
    let allowed = &issuer.spec.algorithms;
    if allowed.is_empty() || allowed.contains(&algorithm) {
        return Ok(());
    }
    let allowed = list(allowed.iter().map(|allowed| allowed.as_str()));
    let found = format!("`alg` is `{}`; the issuer may use {allowed}", algorithm.as_str());
    Err(Failed::new(Reason::Algorithm, found))
}
