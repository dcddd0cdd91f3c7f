//! Questions that servers ask clients within a call (legacy era): each goes out on the stream of the call that it belongs to,
//! under an id of ours, and the answer finds its way back here. Only the principal that was asked can answer.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use patchbay_core::{TenantId, json};
use patchbay_downstream::AnswerSink;
use tracing::debug;

use crate::replica::home::{Home, QuestionIds};

/// The most questions that wait for an answer at once, over all tenants.
const WAITING_MAX: usize = 10_000;

/// The questions that wait for an answer.
pub struct Questions {
    waiting: Arc<DashMap<Bytes, Waiting>>,
    ids: QuestionIds,
}

struct Waiting {
    tenant: TenantId,
    principal: [u8; 16],
    sink: Box<dyn AnswerSink>,
}

/// A question that was found again by its answer.
pub struct Pending(Box<dyn AnswerSink>);

/// A question's place among the waiting ones; given up on drop, so that an answer after the call's end goes nowhere.
pub struct Asked {
    waiting: Arc<DashMap<Bytes, Waiting>>,
    id: Bytes,
}

impl Questions {
    /// None yet.
    pub(crate) fn new(ids: QuestionIds) -> Self {
        Self { waiting: Arc::default(), ids }
    }

    /// Enters a question and gives the message as the client gets it, under an id that cannot be guessed.
    ///
    /// # Errors
    /// With the sink, so that the server can be told, when too many questions wait or the message is none.
    pub fn ask(
        &self,
        message: &Bytes,
        sink: Box<dyn AnswerSink>,
        tenant: TenantId,
        principal: [u8; 16],
    ) -> Result<(Bytes, Asked), Box<dyn AnswerSink>> {
        let id = self.ids.fresh(tenant, principal);
        let asked = std::str::from_utf8(message).ok().and_then(|text| with_id(text, &id));
        let (Some(asked), true) = (asked, self.waiting.len() < WAITING_MAX) else { return Err(sink) };
        self.waiting.insert(id.clone(), Waiting { tenant, principal, sink });
        Ok((asked, Asked { waiting: self.waiting.clone(), id }))
    }

    /// How many of a tenant wait for their answers.
    pub(crate) fn count(&self, tenant: TenantId) -> usize {
        self.waiting.iter().filter(|waiting| waiting.tenant == tenant).count()
    }

    /// The process that has the question with this id, when it was asked of this principal and is not here.
    pub(crate) fn elsewhere(&self, id: &Bytes, tenant: TenantId, principal: [u8; 16]) -> Option<Home> {
        self.ids.elsewhere(id, tenant, principal)
    }

    /// The question with this id, when it was asked of this principal. It can be answered once.
    pub fn take(&self, id: &Bytes, tenant: TenantId, principal: [u8; 16]) -> Option<Pending> {
        let own = |waiting: &Waiting| waiting.tenant == tenant && waiting.principal == principal;
        self.waiting.remove_if(id, |_, waiting| own(waiting)).map(|(_, waiting)| Pending(waiting.sink))
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

impl Drop for Asked {
    fn drop(&mut self) {
        self.waiting.remove(&self.id);
    }
}

fn with_id(text: &str, id: &Bytes) -> Option<Bytes> {
    let old = json::unique(text, "id").ok()??;
    let start = old.as_ptr() as usize - text.as_ptr() as usize;
    let text = text.as_bytes();
    Some([&text[..start], id, &text[start + old.len()..]].concat().into())
}
