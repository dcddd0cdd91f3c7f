//! One request's place in the audit. The edge opens it, each room adds what it learned, and whoever ends the request closes it;
//! a trail that is dropped open closes itself, as cancelled, or as broken when it falls in a panic.
//!
//! A call writes two records, [`Trail::intent`] before it goes out and another when it ends. What ends in the gateway writes
//! one. What is of no interest (a ping) writes none.

use std::{net::IpAddr, sync::Arc, time::Instant};

use patchbay_core::{
    Slug, TenantId,
    audit::{Action, Actor, Ending, Event, EventId, How, OUTCOME_BYTES_MAX, OUTCOME_UNKNOWN, Outcome, Target},
    method::Method,
};

use super::{
    Audit, SpoolFull, Stage, now_ms,
    record::{HEAD_BYTES, Head},
};
use crate::telemetry::{RequestTrace, log::LogIds};

/// See the module.
#[derive(Debug)]
#[must_use = "a trail that is dropped says that its request was cancelled"]
pub struct Trail {
    open: Option<Open>,
}

/// What is known so far.
#[derive(Debug)]
struct Open {
    audit: Arc<Audit>,
    id: EventId,
    at_ms: i64,
    started: Instant,
    action: Option<Action>,
    tenant: Option<TenantId>,
    toolset: Option<Slug>,
    actor: Actor,
    ip: Option<IpAddr>,
    agent: Option<Box<str>>,
    /// Why its credential was refused.
    because: Option<&'static str>,
    bytes_in: u64,
    /// The line without its end, once the target is known; empty before.
    line: Vec<u8>,
    /// What the spool keeps free for the outcome, once the intent is on it.
    promised: Option<usize>,
    /// The spans of the request, which end with it.
    spans: Option<Box<RequestTrace>>,
}

/// The longest `User-Agent` that is kept, in bytes.
const AGENT_BYTES_MAX: usize = 128;

impl Trail {
    /// Opens the trail of a request that has just come.
    pub fn open(audit: &Arc<Audit>, ip: impl Into<Option<IpAddr>>, agent: Option<&str>) -> Self {
        let at_ms = now_ms();
        let open = Open {
            id: audit.event_id(at_ms),
            audit: audit.clone(),
            at_ms,
            started: Instant::now(),
            action: None,
            tenant: None,
            toolset: None,
            actor: Actor::Unknown,
            ip: ip.into(),
            agent: agent.map(|agent| agent[..agent.floor_char_boundary(AGENT_BYTES_MAX)].into()),
            because: None,
            bytes_in: 0,
            line: Vec::new(),
            promised: None,
            spans: None,
        };
        Self { open: Some(open) }
    }

    /// A trail of the same caller, for another message of the same request (a batch).
    pub fn sibling(&self) -> Self {
        let open = self.open.as_ref().map(|open| {
            let at_ms = now_ms();
            Open {
                id: open.audit.event_id(at_ms),
                audit: open.audit.clone(),
                at_ms,
                started: Instant::now(),
                action: None,
                toolset: open.toolset.clone(),
                actor: open.actor.clone(),
                agent: open.agent.clone(),
                bytes_in: 0,
                line: Vec::new(),
                promised: None,
                spans: None,
                ..*open
            }
        });
        Self { open }
    }

    /// Hands the trail on; what stays behind is closed and says nothing.
    pub const fn take(&mut self) -> Self {
        Self { open: self.open.take() }
    }

    /// The event, as logs may name it; `None` once the trail is closed.
    pub fn event(&self) -> Option<EventId> {
        self.open.as_ref().map(|open| open.id)
    }

    /// What the lines of the log say of the request.
    pub fn log_ids(&self) -> Option<LogIds> {
        self.open.as_ref().map(|open| LogIds { request: open.id, trace: None })
    }

    /// When the request came.
    pub fn began(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.started)
    }

    /// Takes the request's spans along; whatever ends the trail ends them.
    pub fn traced(&mut self, trace: RequestTrace) {
        if let Some(open) = &mut self.open {
            open.spans = Some(Box::new(trace));
        }
    }

    /// The request in its trace, when traces are on.
    pub fn trace_mut(&mut self) -> Option<&mut RequestTrace> {
        self.open.as_mut()?.spans.as_deref_mut()
    }

    /// Whose it is and who calls.
    pub fn known(&mut self, tenant: TenantId, toolset: &Slug, actor: Actor) {
        if let Some(open) = &mut self.open {
            open.tenant = Some(tenant);
            open.toolset = Some(toolset.clone());
            open.actor = actor;
        }
    }

    /// Why the credential is refused, in one word that only operators see: it takes the place of the refusal's label.
    pub fn because(&mut self, word: &'static str) {
        if let Some(open) = &mut self.open {
            open.because = Some(word);
        }
    }

    /// What the message asks for. Some methods leave no record when they are answered.
    pub fn method(&mut self, method: &Method) {
        if let Some(open) = &mut self.open {
            open.action = action(method);
        }
    }

    /// How long the message was.
    pub fn bytes_in(&mut self, bytes: usize) {
        if let Some(open) = &mut self.open {
            open.bytes_in = bytes as u64;
        }
    }

    /// Where the message goes. Tenant, caller and method are known by now.
    pub fn target(&mut self, server: &str, native: &str, exposed: &str) {
        if let Some(open) = &mut self.open {
            if let Some(trace) = &mut open.spans {
                trace.target(server, exposed, native);
            }
            open.begin_line(Some(Target { server, exposed, native }));
        }
    }

    /// Writes the first record of a call, to be done before it goes out. From here on the second has its room and will be
    /// written.
    ///
    /// # Errors
    /// [`SpoolFull`]: the call must not go out.
    pub fn intent(&mut self) -> Result<(), SpoolFull> {
        self.open.as_mut().map_or(Ok(()), Open::intent)
    }

    /// Ends it. A record that finds no room is counted, and the audit will say how many there were. A trail that is closed
    /// stays as it is.
    pub fn close(&mut self, ending: Ending<'_>, bytes_out: usize) {
        if let Some(mut open) = self.open.take() {
            if let Some(trace) = open.spans.take() {
                trace.end(&ending);
            }
            open.close(ending, bytes_out);
        }
    }

    /// A session was opened.
    pub fn session_opened(&mut self) {
        self.close_as(Action::SessionOpen, Ending::answered(200));
    }

    /// A session was ended.
    pub fn session_ended(&mut self) {
        self.close_as(Action::SessionEnd, Ending::answered(200));
    }

    /// The gateway refused, with that status and JSON-RPC code (0 for none), for the reason that the label says.
    pub fn refuse(&mut self, status: u16, code: i32, label: &str) {
        let Some(open) = &mut self.open else { return };
        if open.action.is_none() {
            open.action = Some(if status == 401 { Action::AuthFail } else { Action::Refused });
        }
        let code = Some(code).filter(|code| *code != 0);
        let label = open.because.unwrap_or(label);
        let refused = Ending::refused(status, code, label);
        // What has gone out was not refused any more.
        let failed = Ending::failed(status, code, label);
        self.close(if self.is_promised() { failed } else { refused }, 0);
    }

    /// The gateway answered by itself.
    pub fn answered(&mut self, bytes_out: usize) {
        self.close(Ending::answered(200), bytes_out);
    }

    /// A server answered: with a JSON-RPC error or not, for a tool with `isError` or not.
    pub fn done(&mut self, error: bool, is_error: bool, bytes_out: usize) {
        let reason = error.then_some("error response");
        self.close(Ending { is_error, reason, ..Ending::answered(200) }, bytes_out);
    }

    /// A server gave no answer, for the reason that the label says.
    pub fn failed(&mut self, label: &str, bytes_out: usize) {
        self.close(Ending::failed(200, None, label), bytes_out);
    }

    /// The answer broke off after so many bytes.
    pub fn broken(&mut self, label: &str, bytes_out: usize) {
        self.close(Ending { how: How::Broken, ..Ending::failed(200, None, label) }, bytes_out);
    }

    /// The client took it back.
    pub fn cancelled(&mut self) {
        self.close(Ending { how: How::Cancelled, reason: None, ..Ending::answered(0) }, 0);
    }

    fn close_as(&mut self, action: Action, ending: Ending<'_>) {
        if let Some(open) = &mut self.open {
            open.action = Some(action);
        }
        self.close(ending, 0);
    }

    fn is_promised(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.promised.is_some())
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let Some(open) = &self.open else { return };
        if std::thread::panicking() {
            // Also what would have left no record: somebody should look at it.
            let action = open.action.unwrap_or(Action::Refused);
            self.close_as(action, Ending { how: How::Broken, ..Ending::failed(500, None, "panic") });
        } else if !open.line.is_empty() {
            self.cancelled();
        }
    }
}

impl Open {
    fn begin_line(&mut self, target: Option<Target<'_>>) {
        let event = Event {
            id: self.id,
            at_ms: self.at_ms,
            action: self.action.unwrap_or(Action::Refused),
            tenant: self.tenant,
            toolset: self.toolset.as_ref().map(Slug::as_str),
            actor: &self.actor,
            ip: self.ip,
            agent: self.agent.as_deref(),
            request: None,
            target,
        };
        self.line.clear();
        self.line.reserve(640);
        event.write(&mut self.line);
    }

    fn head(&self, stage: Stage) -> [u8; HEAD_BYTES] {
        let action = self.action.unwrap_or(Action::Refused);
        Head { stage, event: self.id, tenant: self.tenant, at_ms: self.at_ms, action }.bytes()
    }

    fn intent(&mut self) -> Result<(), SpoolFull> {
        if self.promised.is_some() {
            return Ok(());
        }
        if self.line.is_empty() {
            self.begin_line(None);
        }
        let promise = HEAD_BYTES + self.line.len() + OUTCOME_BYTES_MAX;
        let head = self.head(Stage::Sent);
        self.audit.spool.append_promising(&[&head, &self.line, OUTCOME_UNKNOWN], promise)?;
        self.promised = Some(promise);
        Ok(())
    }

    fn close(mut self, ending: Ending<'_>, bytes_out: usize) {
        if self.action.is_none() && self.promised.is_none() {
            return;
        }
        if self.line.is_empty() {
            self.begin_line(None);
        }
        let duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Outcome { ending, bytes_in: self.bytes_in, bytes_out: bytes_out as u64, duration_us }.write(&mut self.line);
        let head = self.head(Stage::Closed);
        let parts: [&[u8]; 2] = [&head, &self.line];
        let written = match self.promised {
            Some(promised) => self.audit.spool.append_promised(&parts, promised),
            None => self.audit.spool.append(&parts),
        };
        if written.is_err() {
            self.audit.missed();
        }
    }
}

/// What a method is in the audit; `None` for what leaves no record.
const fn action(method: &Method) -> Option<Action> {
    match method {
        Method::ToolsCall => Some(Action::ToolCall),
        Method::PromptsGet => Some(Action::PromptGet),
        Method::ResourcesRead => Some(Action::ResourceRead),
        Method::ToolsList | Method::PromptsList | Method::ResourcesList | Method::TemplatesList => Some(Action::List),
        Method::Complete => Some(Action::Complete),
        Method::Listen => Some(Action::Listen),
        Method::Initialize => Some(Action::SessionOpen),
        _ => None,
    }
}
