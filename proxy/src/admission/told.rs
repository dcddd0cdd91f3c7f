//! How a limit stands, as answers may tell it: the tightest one that a request met, or the one that refused it. Nothing is
//! kept or copied unless `limits.headers` is on. Writing it into headers is the edge's.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use patchbay_core::limits::{Planned, PlannedAmount};
use patchbay_limit::Standing;

use super::Limits;

/// How a limit stands for whoever asked. Says nothing of anybody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub limit: Arc<str>,
    /// What it lets through.
    pub policy: Policy,
    /// Units that are left now.
    pub left: u32,
    /// When all are there again; after a refusal, when it makes sense to come again.
    pub after: Duration,
}

/// What a limit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// So many in each period.
    Rate {
        /// How many.
        count: u32,
        /// In which time.
        period: Duration,
    },
    /// So many at once.
    Concurrent(u32),
}

impl Policy {
    const fn of(rule: &Planned) -> Self {
        match rule.amount {
            PlannedAmount::Rate(rate, _) => Self::Rate { count: rate.count, period: rate.period },
            PlannedAmount::Concurrent(max) => Self::Concurrent(max),
        }
    }
}

impl Told {
    /// What is left.
    pub(super) fn left(rule: &Planned, standing: &Standing) -> Self {
        let (limit, policy) = (rule.name.clone(), Policy::of(rule));
        Self { limit, policy, left: standing.remaining, after: standing.reset_after }
    }

    /// That it refused.
    pub(super) fn over(rule: &Planned, retry_after: Duration) -> Self {
        Self { limit: rule.name.clone(), policy: Policy::of(rule), left: 0, after: retry_after }
    }
}

/// The way from where a request is admitted to where its answer's headers are written; empty while answers tell nothing. The
/// messages of a batch share it, and the last one counts.
#[derive(Debug, Clone, Default)]
pub struct Telling(Option<Arc<Mutex<Option<Told>>>>);

impl Telling {
    /// For a request that has just come.
    pub fn begin(limits: &Limits) -> Self {
        Self(limits.headers.then(Arc::default))
    }

    /// Leaves word.
    pub(crate) fn tell(&self, told: Option<Told>) {
        if let (Some(place), Some(told)) = (&self.0, told) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        }
    }

    /// What was left.
    pub(crate) fn told(&self) -> Option<Told> {
        self.0.as_ref().and_then(|place| place.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
