//! Who administers, and may they. [`Admin::may`] is the one place where role and tenant are decided; a handler has a [`Pass`] only
//! from there, and can change nothing without one. How somebody proves who they are is [`crate::auth`]'s.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::extract::FromRequestParts;
use http::request::Parts;
use patchbay_core::{
    Slug,
    admin::{Grant, Need},
    audit::Actor,
};
use patchbay_store::Note;

use super::problem::Problem;
use crate::audit;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Admin(Arc<Signed>);

#[derive(Debug)]
struct Signed {
    actor: Actor,
    grants: Vec<Grant>,
    /// Whether they wanted something that they may not do.
    refused: AtomicBool,
}

/// The proof that somebody may do what they ask for.
#[derive(Debug)]
pub(crate) struct Pass {
    actor: Actor,
}

impl Admin {
    /// Somebody who may do this.
    pub(crate) fn new(actor: Actor, grants: Vec<Grant>) -> Self {
        Self(Arc::new(Signed { actor, grants, refused: AtomicBool::new(false) }))
    }

    /// Whoever runs the command line on the store itself.
    pub(crate) fn operator() -> Self {
        Self::new(Actor::Operator, vec![Grant::PlatformAdmin])
    }

    /// Who it is to the audit.
    pub(crate) fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// What they may do.
    pub(crate) fn grants(&self) -> &[Grant] {
        &self.0.grants
    }

    /// Whether they may do it.
    pub(crate) fn covers(&self, need: Need<'_>) -> bool {
        self.0.grants.iter().any(|grant| grant.covers(need))
    }

    /// Role and tenant, both at once.
    ///
    /// # Errors
    /// 404 for a tenant that they may not see, in the words for one that is not there; 403 for what they may see and not do.
    pub(crate) fn may(&self, need: Need<'_>) -> Result<Pass, Problem> {
        if self.covers(need) {
            return Ok(Pass { actor: self.0.actor.clone() });
        }
        self.refused();
        match need {
            Need::Platform => Err(Problem::forbidden("this needs the role platform_admin")),
            Need::Change(tenant) if self.covers(Need::See(tenant)) => {
                Err(Problem::forbidden(format!("this needs the role tenant_admin of {tenant}, or platform_admin")))
            }
            Need::Change(_) | Need::See(_) => Err(Problem::not_found()),
        }
    }

    /// Whether they may change anything at all; for what is of a tenant that is only known once it is found. What is found then
    /// still needs [`Self::may`].
    ///
    /// # Errors
    /// 403 for those who may only look.
    pub(crate) fn may_change_something(&self) -> Result<(), Problem> {
        let changes = |grant: &Grant| grant.tenant().is_none_or(|tenant| grant.covers(Need::Change(tenant)));
        if self.0.grants.iter().any(changes) {
            return Ok(());
        }
        self.refused();
        Err(Problem::forbidden("this needs the role tenant_admin or platform_admin"))
    }

    fn refused(&self) {
        self.0.refused.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::may`] has refused them anything.
    pub(crate) fn was_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Whether they may see the tenant; for lists.
    pub(crate) fn sees(&self, tenant: &Slug) -> bool {
        self.covers(Need::See(tenant))
    }
}

impl Pass {
    /// What the audit says of what they do now.
    pub(crate) fn note(&self, what: impl Into<String>) -> Note {
        Note::by(self.actor.clone(), what, audit::now_ms())
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthorized)
    }
}
