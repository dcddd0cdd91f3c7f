//! What was said, and in which revision: the body of a POST together with the headers that must agree with it. Sessions of the
//! legacy era are opened and found here; the modern era states everything in each request. (2026-07-28 and 2025-11-25,
//! basic/transports and basic/lifecycle.)

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use patchbay_core::{
    envelope::{EnvelopeError, Incoming, Meta, Notification, Request, Response},
    era::{Era, META_CLIENT_CAPABILITIES, META_PROTOCOL_VERSION, Version},
    json,
    method::Method,
    mirror,
};

use super::{
    forward::held::{self, Elsewhere},
    refusal::Refusal,
    session::Session,
};
use crate::{
    admission::told::Telling,
    app::App,
    auth::Principal,
    caller::{Caller, Capabilities, LogLevel},
    dispatch::{
        self, Cx,
        questions::{Pending, Who},
    },
    error::GatewayError,
    tenancy::Tenant,
};

/// The header with the revision.
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The header with the legacy session.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What the headers that repeat arguments begin with.
const PARAM_PREFIX: &str = "mcp-param-";
/// The most messages of a batch of 2025-03-26.
const BATCH_MAX: usize = 50;

/// Who listens to one request.
pub(super) struct Listener<'a> {
    pub app: &'a Arc<App>,
    pub tenant: &'a Tenant,
    pub principal: &'a Principal,
    pub headers: &'a HeaderMap,
    pub now_ms: i64,
}

/// What was heard.
pub(super) enum Heard {
    /// Nothing that wants an answer.
    Nothing,
    /// A legacy session was opened.
    Opened { body: Bytes, session: String },
    /// A request that the edge has answered itself.
    Answered(Bytes),
    /// A request.
    Request { caller: Caller, request: Box<Request> },
    /// Several messages of 2025-03-26.
    Batch { caller: Caller, messages: Vec<Incoming> },
    /// The answer to a question that a server asked.
    Question(Pending, Bytes),
    /// What another process of the gateway has to answer.
    Elsewhere(Elsewhere),
}

impl Listener<'_> {
    /// Reads the body and decides the era.
    pub(super) fn hear(&self, body: &Bytes) -> Result<Heard, Refusal> {
        let depth_max = self.app.config.limits.depth_max;
        let header = self.header(&PROTOCOL_VERSION).map_err(|error| Refusal::new(error, Era::Legacy, None))?;
        let era_said = header.and_then(Version::parse).map(Version::era);
        let early = |error: EnvelopeError| Refusal::new(error.into(), era_said.unwrap_or(Era::Legacy), None);
        let message = match Incoming::parse(body, depth_max) {
            Err(EnvelopeError::Batch) if era_said != Some(Era::Modern) => return self.hear_batch(body, depth_max),
            outcome => outcome.map_err(early)?,
        };
        let (id, method, meta) = match &message {
            Incoming::Request(request) => (Some(request.id.clone()), Some(&request.method), request.params.meta()),
            Incoming::Notification(note) => (None, Some(&note.method), note.params.meta()),
            Incoming::Response(_) => (None, None, Ok(Meta::default())),
        };
        let meta = meta.map_err(early)?;
        let modern = meta.protocol_version.is_some() || era_said == Some(Era::Modern);
        if method == Some(&Method::Initialize) && meta.protocol_version.is_none() {
            return self.initialize(&message).map_err(|error| Refusal::new(error, Era::Legacy, id));
        }
        if modern {
            let caller = self.modern(header, &message, &meta);
            let caller = caller.map_err(|error| Refusal::new(error, Era::Modern, id))?;
            return Ok(match message {
                Incoming::Request(request) => Heard::Request { caller, request: Box::new(request) },
                // Closing the stream is what cancels in this era; a note that says so is taken and dropped.
                _ => Heard::Nothing,
            });
        }
        if let Some(unknown) = header.filter(|version| Version::parse(version).is_none()) {
            return Err(Refusal::new(GatewayError::Version(unknown.to_owned()), Era::Modern, id));
        }
        let session = self.session().map_err(|error| Refusal::new(error, Era::Legacy, id.clone()))?;
        self.legacy(&session, message).map_err(|error| Refusal::new(error, Era::Legacy, id))
    }

    /// The session that the header names.
    pub(super) fn session(&self) -> Result<Session, GatewayError> {
        let token = self.header(&SESSION_ID)?.ok_or(GatewayError::SessionMissing)?;
        self.app.sessions.find(token, self.tenant, self.principal, self.now_ms)
    }

    fn hear_batch(&self, body: &Bytes, depth_max: usize) -> Result<Heard, Refusal> {
        let refused = |error| Refusal::new(error, Era::Legacy, None);
        let session = self.session().map_err(refused)?;
        if session.version != Version::V2025_03_26 {
            return Err(refused(EnvelopeError::Batch.into()));
        }
        let messages = Incoming::parse_batch(body, depth_max, BATCH_MAX).map_err(|error| refused(error.into()))?;
        let here = &self.app.replica.home;
        if let Some(elsewhere) = held::batch_by_session(self.tenant, &session, here, &messages) {
            return Ok(Heard::Elsewhere(elsewhere));
        }
        for message in &messages {
            if let Incoming::Notification(note) = message {
                self.noted(&session, note);
            }
        }
        Ok(Heard::Batch { caller: self.legacy_caller(&session), messages })
    }

    /// The header of this name, which must not stand twice.
    pub(super) fn header(&self, name: &HeaderName) -> Result<Option<&str>, GatewayError> {
        let mut values = self.headers.get_all(name).iter();
        let Some(first) = values.next() else { return Ok(None) };
        match (first.to_str(), values.next()) {
            (Ok(text), None) => Ok(Some(text)),
            _ => Err(GatewayError::HeaderMismatch(format!("the {name} header stands twice or is not plain text"))),
        }
    }

    // --- legacy ---------------------------------------------------------------------------------------------------------

    fn initialize(&self, message: &Incoming) -> Result<Heard, GatewayError> {
        let Incoming::Request(request) = message else {
            return Err(EnvelopeError::Invalid("initialize is a request and needs an id").into());
        };
        if !self.app.audit.lets_on(&self.tenant.snapshot().audit) {
            return Err(dispatch::NO_ROOM);
        }
        let missing = |what| GatewayError::InvalidParams(format!("initialize needs params.{what}").into());
        let asked =
            request.params.any("protocolVersion").and_then(json::unquote).ok_or_else(|| missing("protocolVersion"))?;
        let can = request.params.any("capabilities").ok_or_else(|| missing("capabilities"))?;
        let version = Version::parse(&asked).filter(|version| version.era() == Era::Legacy);
        let version = version.unwrap_or(Version::NEWEST_LEGACY);
        let session =
            self.app.sessions.begin(self.tenant, self.principal, version, Capabilities::read(can), self.now_ms);
        Ok(Heard::Opened { body: dispatch::discover::initialized(self.tenant, version, &request.id), session })
    }

    fn legacy_caller(&self, session: &Session) -> Caller {
        Caller {
            version: session.version,
            can: session.can,
            share: session.id,
            log_level: Some(self.app.hub.wishes.level(session.id)),
            params_sent: Vec::new(),
        }
    }

    fn legacy(&self, session: &Session, message: Incoming) -> Result<Heard, GatewayError> {
        match message {
            Incoming::Request(request) => match request.method {
                Method::SetLevel => self.set_level(session, &request),
                _ if let Some(elsewhere) = held::by_session(self.tenant, session, &self.app.replica.home, &request) => {
                    Ok(Heard::Elsewhere(elsewhere))
                }
                _ => Ok(Heard::Request { caller: self.legacy_caller(session), request: Box::new(request) }),
            },
            Incoming::Notification(note) => {
                self.noted(session, &note);
                Ok(Heard::Nothing)
            }
            Incoming::Response(response) => Ok(self.answered(session, response)),
        }
    }

    fn set_level(&self, session: &Session, request: &Request) -> Result<Heard, GatewayError> {
        let level = request.params.any("level").and_then(json::unquote);
        let level = level.as_deref().and_then(LogLevel::parse).ok_or(GatewayError::InvalidParams(
            "logging/setLevel needs params.level: debug, info, notice, warning, error, critical, alert or emergency"
                .into(),
        ))?;
        self.app.hub.wishes.set_level(self.tenant.id(), session.id, level);
        Ok(Heard::Answered(dispatch::empty_result(&request.id)))
    }

    fn noted(&self, session: &Session, note: &Notification) {
        match note.method {
            Method::Cancelled => {
                if let Some(id) = note.params.any("requestId") {
                    let reason = note.params.any("reason").and_then(json::unquote);
                    let runs_here = self.app.calls.cancel(session.id, id.as_bytes(), reason.as_deref());
                    if !runs_here && self.app.replica.is_shared {
                        self.app.replica.cancels.tell(session.id, id.as_bytes());
                    }
                }
            }
            Method::RootsChanged if session.can.roots_changed => self.app.roots.changed(&Cx {
                app: self.app.clone(),
                tenant: self.tenant.clone(),
                principal: self.principal.clone(),
                caller: self.legacy_caller(session),
                site: None,
                telling: Telling::default(),
            }),
            _ => {}
        }
    }

    /// Late answers, and answers to what was never asked in this session, are taken and dropped.
    fn answered(&self, session: &Session, response: Response) -> Heard {
        let who = Who { tenant: self.tenant.id(), principal: self.principal.digest(), session: session.id };
        let questions = &self.app.questions;
        match questions.take(&response.id, who) {
            Some(pending) => Heard::Question(pending, response.outcome),
            None => questions
                .elsewhere(&response.id, who)
                .map_or(Heard::Nothing, |home| Heard::Elsewhere(Elsewhere::question(home))),
        }
    }

    // --- modern ---------------------------------------------------------------------------------------------------------

    /// Holds the headers against the body (2026-07-28, transports: request headers).
    fn modern(&self, header: Option<&str>, message: &Incoming, meta: &Meta<'_>) -> Result<Caller, GatewayError> {
        let mismatch = |text: &str| Err(GatewayError::HeaderMismatch(text.to_owned()));
        let Incoming::Request(request) = message else {
            if matches!(message, Incoming::Response(_)) {
                return Err(
                    EnvelopeError::Invalid("this protocol version has no requests that a client could answer").into()
                );
            }
            return Ok(self.modern_caller(meta));
        };
        let said = meta.protocol_version.ok_or(GatewayError::MetaMissing(META_PROTOCOL_VERSION))?;
        let said = json::unquote(said).ok_or(GatewayError::MetaMissing(META_PROTOCOL_VERSION))?;
        match header {
            None => return mismatch("the MCP-Protocol-Version header is missing"),
            Some(header) if header != said => {
                return mismatch("the MCP-Protocol-Version header and the request's _meta name different versions");
            }
            Some(_) if Version::parse(&said).map(Version::era) != Some(Era::Modern) => {
                return Err(GatewayError::Version(said.into_owned()));
            }
            Some(_) => {}
        }
        if meta.client_capabilities.is_none_or(|raw| !raw.starts_with('{')) {
            return Err(GatewayError::MetaMissing(META_CLIENT_CAPABILITIES));
        }
        match self.header(&METHOD)? {
            None => return mismatch("the Mcp-Method header is missing"),
            Some(method) if method != request.method.as_str() => {
                return mismatch("the Mcp-Method header and the body name different methods");
            }
            Some(_) => {}
        }
        if let Some(member) = request.method.mirrored() {
            let in_body = request.params.string(member);
            let in_header = self.header(&NAME)?.map(mirror::decode_value);
            match (in_header, in_body) {
                (None, _) => return mismatch("the Mcp-Name header is missing"),
                (Some(Some(header)), Some(body)) if header == body => {}
                _ => return mismatch("the Mcp-Name header and the body name different things"),
            }
        }
        Ok(self.modern_caller(meta))
    }

    fn modern_caller(&self, meta: &Meta<'_>) -> Caller {
        let params_sent = self.headers.iter().filter_map(|(name, value)| {
            let is_param = name.as_str().starts_with(PARAM_PREFIX);
            is_param.then(|| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        });
        Caller {
            version: Version::NEWEST,
            can: meta.client_capabilities.map(Capabilities::read).unwrap_or_default(),
            share: self.principal.digest(),
            log_level: meta.log_level.and_then(json::unquote).as_deref().and_then(LogLevel::parse),
            params_sent: params_sent.collect(),
        }
    }
}
