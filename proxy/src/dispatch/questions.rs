//! Questions that servers ask clients within a call (legacy era): each goes out on the stream of the call that it belongs to,
//! under an id of ours, and the answer finds its way back here. Only the session that was asked can answer, and once.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use patchbay_core::TenantId;
use patchbay_downstream::AnswerSink;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    bridge::ask::Asked,
    replica::home::{Home, QuestionIds},
};

/// The most questions that wait for an answer at once, over all tenants.
const WAITING_MAX: usize = 10_000;

/// The questions that wait for an answer.
pub struct Questions {
    waiting: Arc<DashMap<Bytes, Waiting>>,
    ids: QuestionIds,
}

/// Who is asked, and alone can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Of which tenant.
    pub tenant: TenantId,
    /// The principal's digest.
    pub principal: [u8; 16],
    /// The session.
    pub session: [u8; 16],
}

struct Waiting {
    who: Who,
    sink: Box<dyn AnswerSink>,
}

/// A question that was found again by its answer.
pub struct Pending(Box<dyn AnswerSink>);

/// A question's place among the waiting ones; given up on drop, so that an answer after the call's end goes nowhere.
pub struct Open {
    waiting: Arc<DashMap<Bytes, Waiting>>,
    /// Our id, raw.
    pub id: Bytes,
    /// The server's id, raw.
    pub theirs: Box<str>,
    /// Until when it can be answered.
    pub until: Instant,
}

impl Questions {
    /// None yet.
    pub(crate) fn new(ids: QuestionIds) -> Self {
        Self { waiting: Arc::default(), ids }
    }

    /// Enters a question, which has the id `theirs` at the server, and gives the message as the client gets it, under an id that
    /// cannot be guessed.
    ///
    /// # Errors
    /// With the sink, so that the server can be told, when too many questions wait.
    pub fn ask(
        &self,
        asked: &Asked,
        theirs: &str,
        sink: Box<dyn AnswerSink>,
        who: Who,
        until: Instant,
    ) -> Result<(Bytes, Open), Box<dyn AnswerSink>> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(sink);
        }
        let id = self.ids.fresh(who.tenant, who.principal);
        self.waiting.insert(id.clone(), Waiting { who, sink });
        let message = asked.message(&id);
        Ok((message, Open { waiting: self.waiting.clone(), id, theirs: theirs.into(), until }))
    }

    /// How many of a tenant wait for their answers.
    pub(crate) fn count(&self, tenant: TenantId) -> usize {
        self.waiting.iter().filter(|waiting| waiting.who.tenant == tenant).count()
    }

    /// The process that has the question with this id, when it was asked of this principal and is not here.
    pub(crate) fn elsewhere(&self, id: &Bytes, who: Who) -> Option<Home> {
        self.ids.elsewhere(id, who.tenant, who.principal)
    }

    /// The question with this id, when it was asked of them. It can be answered once.
    pub fn take(&self, id: &Bytes, who: Who) -> Option<Pending> {
        self.waiting.remove_if(id, |_, waiting| waiting.who == who).map(|(_, waiting)| Pending(waiting.sink))
    }
}

impl Pending {
    /// Sends the answer on to the server that asked.
    pub async fn answer(self, outcome: Bytes) {
        if let Err(error) = self.0.answer(outcome).await {
            debug!(%error, "an answer did not reach the server that asked");
        }
    }
}

impl Open {
    /// Whether nobody has answered it yet.
    pub fn is_open(&self) -> bool {
        self.waiting.contains_key(&self.id)
    }

    /// Takes it back, so that no answer is taken any more; gives the way to the server if none was.
    pub fn withdraw(&self) -> Option<Pending> {
        self.waiting.remove(&self.id).map(|(_, waiting)| Pending(waiting.sink))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.waiting.remove(&self.id);
    }
}
