//! One request's place in the audit. The edge opens it, each room adds what it learned, and whoever ends the request closes it;
//! a trail that is dropped open closes itself, as cancelled, or as broken when it falls in a panic.
//!
//! A call writes two records, [`Trail::intent`] before it goes out and another when it ends; for tenants whose level is `async`
//! it writes the second alone. What ends in the gateway writes one. What is of no interest (a ping) writes none. For tenants
//! whose level is `sync`, [`Trail::kept`] waits after either until the disk has it.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use patchbay_core::{
    Generation, Slug, TenantId,
    audit::{
        Action, Actor, Arguments, AuditArguments, AuditLevel, AuditPolicy, Decision, DigestKey, Ending, Event, EventId,
        How, OUTCOME_BYTES_MAX, OUTCOME_UNKNOWN, Outcome, Target, WhenFull, rpc_digest,
    },
    method::Method,
};

use super::{
    Audit, NotKept, SpoolFull, Stage, now_ms,
    record::{HEAD_BYTES, Head},
};
use crate::telemetry::{RequestTrace, log::LogIds};

/// See the module.
#[derive(Debug)]
#[must_use = "a trail that is dropped says that its request was cancelled"]
pub struct Trail {
    open: Option<Open>,
    /// What it wrote is not known to be on the disk, and should be.
    owed: Option<Arc<Audit>>,
}

/// What the tenant wants of its records. The defaults are for what is of no tenant.
#[derive(Debug, Clone, Copy, Default)]
struct Terms {
    level: AuditLevel,
    arguments: AuditArguments,
    when_full: WhenFull,
    /// It is never called without a record.
    closed: bool,
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
    revision: Option<Generation>,
    terms: Terms,
    actor: Actor,
    ip: Option<IpAddr>,
    agent: Option<Box<str>>,
    rpc: Option<[u8; 8]>,
    trace: Option<[u8; 16]>,
    /// The rule that refused it.
    rule: Option<Box<str>>,
    /// Why its credential was refused.
    because: Option<&'static str>,
    bytes_in: u64,
    /// The line without its end, once the target is known; empty before.
    line: Vec<u8>,
    /// It goes out, or has gone.
    sent: bool,
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
            revision: None,
            terms: Terms::default(),
            actor: Actor::Unknown,
            ip: ip.into(),
            agent: agent.map(|agent| agent[..agent.floor_char_boundary(AGENT_BYTES_MAX)].into()),
            rpc: None,
            trace: None,
            rule: None,
            because: None,
            bytes_in: 0,
            line: Vec::new(),
            sent: false,
            promised: None,
            spans: None,
        };
        Self { open: Some(open), owed: None }
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
                rpc: None,
                rule: None,
                bytes_in: 0,
                line: Vec::new(),
                sent: false,
                promised: None,
                spans: None,
                ..*open
            }
        });
        Self { open, owed: None }
    }

    /// Hands the trail on; what stays behind is closed and says nothing.
    pub const fn take(&mut self) -> Self {
        Self { open: self.open.take(), owed: self.owed.take() }
    }

    /// The id by which the audit and the log know the request; `None` once the trail is closed.
    pub fn request_id(&self) -> Option<EventId> {
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

    /// Whether anybody knows whose it is.
    pub fn is_known(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.tenant.is_some())
    }

    /// What the tenant wants of its records, and the state of its configuration that the request sees.
    pub fn policy(&mut self, policy: &AuditPolicy, revision: Generation) {
        if let Some(open) = &mut self.open {
            let AuditPolicy { level, arguments, when_full, .. } = *policy;
            open.terms = Terms { level, arguments, when_full, ..open.terms };
            open.revision = Some(revision);
        }
    }

    /// The trace that the request is part of; known before its target is.
    pub fn trace(&mut self, id: [u8; 16]) {
        if let Some(open) = &mut self.open {
            open.trace = Some(id);
        }
    }

    /// The rule that refuses it: the name of a limit, the scopes that are needed.
    pub fn rule(&mut self, rule: &str) {
        if let Some(open) = &mut self.open {
            open.rule = Some(rule.into());
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

    /// The id of the message, as it was written.
    pub fn rpc(&mut self, id: &[u8]) {
        if let Some(open) = self.open.as_mut().filter(|open| open.action.is_some()) {
            open.rpc = Some(rpc_digest(id));
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
            if let Some(spans) = &mut open.spans {
                spans.target(server, exposed, native);
            }
            open.begin_line(Some(Target { server, exposed, native }));
        }
    }

    /// The target is never called without a record, whatever else the tenant wants. To be said before [`Self::intent`].
    pub fn closed(&mut self) {
        if let Some(open) = &mut self.open {
            open.terms.closed = true;
        }
    }

    /// With which arguments, as far as the tenant's records may know them. The target is known by now. Costs nothing where
    /// they hold none.
    pub fn arguments(&mut self, arguments: Arguments<'_>, key: &DigestKey) {
        let Some(open) = self.open.as_mut().filter(|open| open.terms.arguments != AuditArguments::None) else { return };
        if let Some(tenant) = open.tenant.filter(|_| !open.line.is_empty()) {
            arguments.write(open.terms.arguments, key, tenant, &mut open.line);
        }
    }

    /// Holds the call up for a moment when the spool is nearly full, so that the store can follow. All wait alike; whoever
    /// goes on without a record does not.
    pub async fn pace(&self) {
        if let Some(pause) = self.open.as_ref().and_then(Open::pause) {
            tokio::time::sleep(pause).await;
        }
    }

    /// Writes the first record of a call, to be done before it goes out. From here on the second has its room and will be
    /// written. Where the tenant lets calls pass for which there is no room, they go on without.
    ///
    /// # Errors
    /// [`SpoolFull`]: the call must not go out.
    pub fn intent(&mut self) -> Result<(), SpoolFull> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.intent()?;
        self.owed = open.debt();
        Ok(())
    }

    /// Waits until what was written so far is kept as surely as the tenant wants it: at once, except at the level `sync`.
    ///
    /// # Errors
    /// [`NotKept`], when the disk did not take it. It is not asked again for this request.
    pub async fn kept(&mut self) -> Result<(), NotKept> {
        let Some(keeping) = self.keeping() else { return Ok(()) };
        let kept = keeping.await;
        if let (Err(NotKept), Some(open)) = (kept, &mut self.open) {
            open.terms.level = AuditLevel::Ack;
        }
        kept
    }

    /// The same, for who cannot wait here; `None` when there is nothing to wait for.
    pub fn keeping(&mut self) -> Option<impl Future<Output = Result<(), NotKept>> + Send + use<>> {
        self.owed.take().map(|audit| audit.durable())
    }

    /// Ends it. A record that finds no room is counted, and the audit will say how many there were. A trail that is closed
    /// stays as it is.
    pub fn close(&mut self, ending: Ending<'_>, bytes_out: usize) {
        if let Some(mut open) = self.open.take() {
            if let Some(spans) = open.spans.take() {
                spans.end(&ending);
            }
            self.owed = open.close(ending, bytes_out);
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
        let ending = if open.sent { failed } else { refused };
        self.close(ending, 0);
    }

    /// The admin API refused what this admin, or nobody knows who, wanted, for the reason that the word says.
    pub fn admin_refused(&mut self, who: Actor, what: &str, status: u16, reason: &'static str) {
        if let Some(open) = &mut self.open {
            open.action = Some(Action::AdminRefused);
            open.actor = who;
        }
        self.rule(what);
        self.refuse(status, 0, reason);
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

    /// A server asks before it answers, and the client was told its questions: the answers come with another request.
    pub fn asked(&mut self, bytes_out: usize) {
        self.close(Ending { reason: Some("asked"), ..Ending::answered(200) }, bytes_out);
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
            revision: self.revision,
            actor: &self.actor,
            ip: self.ip,
            agent: self.agent.as_deref(),
            rpc: self.rpc,
            trace: self.trace,
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

    /// How surely its records are kept. What is never called without a record has one before it is called.
    fn level(&self) -> AuditLevel {
        match self.terms.level {
            AuditLevel::Async if self.terms.closed => AuditLevel::Ack,
            level => level,
        }
    }

    fn pause(&self) -> Option<Duration> {
        if self.level() == AuditLevel::Async { None } else { self.audit.spool.pause() }
    }

    fn intent(&mut self) -> Result<(), SpoolFull> {
        if self.sent {
            return Ok(());
        }
        if self.line.is_empty() {
            self.begin_line(None);
        }
        if self.level() != AuditLevel::Async {
            let promise = HEAD_BYTES + self.line.len() + OUTCOME_BYTES_MAX;
            let head = self.head(Stage::Sent);
            match self.audit.spool.append_promising(&[&head, &self.line, OUTCOME_UNKNOWN], promise) {
                Ok(()) => self.promised = Some(promise),
                // The outcome may find room yet; when it does not, it is counted then.
                Err(SpoolFull) if self.terms.when_full == WhenFull::Pass && !self.terms.closed => {}
                Err(SpoolFull) => return Err(SpoolFull),
            }
        }
        self.sent = true;
        Ok(())
    }

    /// Who is to be asked whether what was written is on the disk, where that matters.
    fn debt(&self) -> Option<Arc<Audit>> {
        (self.level() == AuditLevel::Sync).then(|| self.audit.clone())
    }

    fn close(mut self, ending: Ending<'_>, bytes_out: usize) -> Option<Arc<Audit>> {
        if self.action.is_none() && !self.sent {
            return None;
        }
        if self.line.is_empty() {
            self.begin_line(None);
        }
        let decision = match ending.how {
            How::Refused => Some(Decision::Deny),
            How::Answered => Some(Decision::Allow),
            How::Cancelled | How::Broken | How::Failed => self.sent.then_some(Decision::Allow),
        };
        let rule = self.rule.take();
        let outcome = Outcome {
            decision,
            rule: rule.as_deref(),
            ending,
            bytes_in: self.bytes_in,
            bytes_out: bytes_out as u64,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        outcome.write(&mut self.line);
        let head = self.head(Stage::Closed);
        let parts: [&[u8]; 2] = [&head, &self.line];
        let written = match self.promised {
            Some(promised) => self.audit.spool.append_promised(&parts, promised),
            None => self.audit.spool.append(&parts),
        };
        if written.is_err() {
            self.audit.missed();
            return None;
        }
        self.debt()
    }
}

/// What a method is in the audit; `None` for what leaves no record.
const fn action(method: &Method) -> Option<Action> {
    match method {
        Method::ToolsCall => Some(Action::ToolCall),
        Method::PromptsGet => Some(Action::PromptGet),
        Method::ResourcesRead | Method::SkillsGet | Method::DirectoryRead => Some(Action::ResourceRead),
        Method::ToolsList
        | Method::PromptsList
        | Method::ResourcesList
        | Method::TemplatesList
        | Method::SkillsList => Some(Action::List),
        Method::TasksGet => Some(Action::TaskGet),
        Method::TasksUpdate => Some(Action::TaskUpdate),
        Method::TasksCancel => Some(Action::TaskCancel),
        Method::Complete => Some(Action::Complete),
        Method::Listen => Some(Action::Listen),
        Method::Initialize => Some(Action::SessionOpen),
        _ => None,
    }
}
