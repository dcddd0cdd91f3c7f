//! Sealed request states: what a modern client brings back with the answers to a server's questions. A state says which server
//! asked, in which request, in which round, and how the call goes on; it opens for the principal that was asked alone. How the
//! questions are put is in [`asking`], that a state counts once is held by [`claims`]. Called by `call` and `relay`.

pub(crate) mod asking;
pub(crate) mod claims;

use std::time::Duration;

use bytes::Bytes;
use patchbay_core::{
    ServerId, TenantId,
    envelope::{Params, Request},
    era::Era,
    json,
    method::Method,
    seal::{Purpose, SEALED_TEXT_BYTES_MAX},
    snapshot::ServerEntry,
};
use patchbay_downstream::Outgoing;
use sha2::{Digest, Sha256};

use super::Cx;
use crate::{app::App, audit::now_ms, error::GatewayError, metrics::QuestionEnd, replica::home::Home};

/// Rounds of questions within one call.
pub(crate) const ROUNDS_MAX: u8 = 16;
/// Questions of one round.
pub(crate) const REQUESTS_MAX: usize = 16;
/// How long a state is good beyond the time that a person has for the answer.
const LIFE_SLACK: Duration = Duration::from_secs(60);

const VERSION: u8 = 1;
/// Bytes of a sealed state before what its kind adds.
const HEAD: usize = 61;

/// One text for whatever is wrong with a state: who made it up learns nothing.
const INVALID: &str = "the requestState is unknown, expired, used already or belongs to another request: make the request again \
                       without requestState and inputResponses, and the user is asked again";

/// A state that was opened and fits its request.
#[derive(Debug)]
pub(super) struct State {
    /// How the call goes on.
    pub(super) way: Way,
    /// The round whose answers it brings; the first is 1.
    pub(super) round: u8,
    /// Whether it counts only once: what was answered is not answered twice.
    asked: bool,
    digest: [u8; 32],
    expires_ms: i64,
}

/// How a call goes on when its answers are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// The server is asked again, with its own state, a JSON string, if it gave one.
    Server(Option<Bytes>),
    /// The call waits.
    Parked(Place),
    /// The server is asked again as if for the first time.
    Afresh,
}

/// Where a call waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its id among the parked ones.
    pub(super) id: [u8; 16],
    /// The process that has it.
    pub(super) replica: Box<str>,
    /// How others reach that.
    pub(super) url: Box<str>,
}

impl Place {
    /// A place here.
    pub(super) fn here(app: &App, id: [u8; 16]) -> Self {
        let url = app.replica.home.url().map_or("", |url| url);
        Self { id, replica: app.replica.id.as_str().into(), url: url.into() }
    }

    /// Whether it is in this process.
    pub(super) fn is_here(&self, app: &App) -> bool {
        *self.replica == *app.replica.id
    }

    /// Whether it was in a process that this one has taken the place of.
    pub(super) fn was_here(&self, app: &App) -> bool {
        app.replica.home.url().is_some_and(|own| **own == *self.url)
    }
}

/// Where the parked call is that a request wants to wake; `None` when this process has it, or nothing is parked.
pub(crate) fn home(app: &App, tenant: TenantId, principal: [u8; 16], params: &Params) -> Option<Home> {
    let sealed = params.string("requestState")?;
    let plain = app.sealer.open(Purpose::RequestState, &aad(tenant, principal).each(), &sealed)?;
    match Plain::read(&plain)?.way {
        Way::Parked(place) if !place.is_here(app) => Home::of_texts(&place.replica, &place.url),
        Way::Parked(_) | Way::Server(_) | Way::Afresh => None,
    }
}

/// The state that a modern client brings with its request; `None` when it brings none.
///
/// # Errors
/// In the same words for whatever is wrong with it: made up, expired, somebody else's, of another request or server.
pub(super) fn opened(cx: &Cx, request: &Request, server: &ServerEntry) -> Result<Option<State>, GatewayError> {
    let (sealed, answers) = (request.params.string("requestState"), request.params.raw("inputResponses"));
    let is_object = answers.is_none_or(|answers| answers.starts_with('{'));
    // Answers alone are for the server to judge: it may have been told them in another way.
    if cx.caller.era() == Era::Legacy || (request.params.raw("requestState").is_none() && is_object) {
        return Ok(None);
    }
    // Answers to a task go to the task, which nothing but its id names.
    if request.method.is_of_tasks() {
        return Ok(None);
    }
    let read = || {
        is_object.then_some(())?;
        let aad = aad(cx.tenant.id(), cx.principal.digest());
        let sealed = sealed?;
        let plain = Plain::read(&cx.app.sealer.open(Purpose::RequestState, &aad.each(), &sealed)?)?;
        let params = request.params.source();
        // Who has become another one since does not know the state that it gave.
        let is_known = !matches!(plain.way, Way::Server(_)) || server.era == Some(Era::Modern);
        let fits = plain.server == server.id
            && is_known
            && method_code(&request.method) == Some(plain.method)
            && plain.expires_ms > now_ms()
            && plain.params == digest(&params);
        // Of the sealed text, which has one spelling, and not of the member, which has many.
        let digest = Sha256::digest(sealed.as_bytes()).into();
        let Plain { way, round, asked, expires_ms, .. } = plain;
        fits.then_some(State { way, round, asked, digest, expires_ms })
    };
    read().map(Some).ok_or_else(|| invalid(&cx.app))
}

/// The one refusal of states.
fn invalid(app: &App) -> GatewayError {
    app.metrics.question(QuestionEnd::Invalid);
    GatewayError::InvalidParams(INVALID.into())
}

impl State {
    /// Uses it up. To be done when nothing else keeps the request from going out.
    ///
    /// # Errors
    /// When somebody did before, in the words for all states that do not count.
    pub(super) async fn claim(&self, cx: &Cx) -> Result<(), GatewayError> {
        if !self.asked {
            return Ok(());
        }
        // A parked call can be woken once by itself, and in one process.
        let is_shared = !matches!(self.way, Way::Parked(_));
        let first = claims::claim(&cx.app, cx.tenant.id(), self.digest, self.expires_ms, is_shared).await?;
        if first { Ok(()) } else { Err(invalid(&cx.app)) }
    }

    /// Puts the server's own state in the place of ours, or takes away what the server does not know.
    pub(super) fn put_into(&self, outgoing: &mut Outgoing) {
        match &self.way {
            Way::Server(Some(own)) => {
                let own = [b"\"requestState\":", &own[..]].concat().into();
                replace(outgoing, "requestState", Some(own));
            }
            Way::Server(None) => replace(outgoing, "requestState", None),
            Way::Parked(_) | Way::Afresh => strip(outgoing),
        }
    }
}

/// Takes away what belongs to questions where a side of the call knows nothing of them: a client of the legacy era must not be
/// heard with them, and a server of that era is called as if for the first time.
pub(super) fn strip_foreign(outgoing: &mut Outgoing, params: &Params, client: Era, server: Era) {
    let has_any = params.raw("requestState").is_some() || params.raw("inputResponses").is_some();
    if has_any && client != server {
        strip(outgoing);
    }
}

/// Takes both members away.
fn strip(outgoing: &mut Outgoing) {
    replace(outgoing, "requestState", None);
    replace(outgoing, "inputResponses", None);
}

/// Replaces one member of the params, or takes it away with its comma.
fn replace(outgoing: &mut Outgoing, name: &str, with: Option<Bytes>) {
    let is_it = |piece: &Bytes| {
        let text = std::str::from_utf8(piece).unwrap_or_default();
        json::end_of_string(text.as_bytes(), 0).is_ok_and(|end| json::unquote(&text[..end]).as_deref() == Some(name))
    };
    let Some(at) = outgoing.params.iter().position(is_it) else { return };
    match with {
        Some(member) => outgoing.params[at] = member,
        // Members and commas take turns.
        None if at > 0 => drop(outgoing.params.drain(at - 1..=at)),
        None => drop(outgoing.params.drain(..outgoing.params.len().min(2))),
    }
}

/// A state that is to be made.
pub(super) struct Draft<'a> {
    pub(super) way: Way,
    pub(super) server: ServerId,
    pub(super) method: &'a Method,
    /// The params as the client sent them.
    pub(super) params: &'a [u8],
    pub(super) round: u8,
    /// Whether there are questions with it.
    pub(super) asked: bool,
}

impl Draft<'_> {
    /// Sealed for who is asked; `None` when it is too long to be taken back.
    pub(super) fn seal(self, cx: &Cx) -> Option<String> {
        let plain = Plain {
            method: method_code(self.method)?,
            way: self.way,
            server: self.server,
            params: digest(self.params),
            round: self.round,
            asked: self.asked,
            expires_ms: now_ms().saturating_add(i64::try_from(life(&cx.app).as_millis()).unwrap_or(i64::MAX)),
        };
        let aad = aad(cx.tenant.id(), cx.principal.digest());
        let sealed = cx.app.sealer.seal(Purpose::RequestState, &aad.each(), &plain.written());
        (sealed.len() <= SEALED_TEXT_BYTES_MAX).then_some(sealed)
    }
}

/// How long a state is good.
pub(super) fn life(app: &App) -> Duration {
    app.config.limits.answer.saturating_add(LIFE_SLACK)
}

/// To whom a state belongs.
struct Aad([u8; 16], [u8; 16]);

fn aad(tenant: TenantId, principal: [u8; 16]) -> Aad {
    Aad(tenant.bits().to_be_bytes(), principal)
}

impl Aad {
    const fn each(&self) -> [&[u8]; 2] {
        [&self.0, &self.1]
    }
}

/// The methods that may be answered with questions.
const METHODS: [Method; 3] = [Method::ToolsCall, Method::PromptsGet, Method::ResourcesRead];

fn method_code(method: &Method) -> Option<u8> {
    METHODS.iter().position(|known| known == method).map(|at| at as u8)
}

/// Whether a method may be answered with questions.
pub(super) fn may_ask(method: &Method) -> bool {
    METHODS.contains(method)
}

/// What makes two requests the same one: all params but what changes from round to round, whatever their order.
fn digest(params: &[u8]) -> [u8; 32] {
    let text = std::str::from_utf8(params).unwrap_or_default();
    let members = json::members(text).flatten().map(|member| (member.name(), member.value));
    let mut members: Vec<_> =
        members.filter(|(name, _)| !matches!(&**name, "_meta" | "requestState" | "inputResponses")).collect();
    members.sort_unstable();
    let mut digest = Sha256::new();
    for (name, value) in members {
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name.as_bytes());
        digest.update((value.len() as u64).to_le_bytes());
        digest.update(value.as_bytes());
    }
    digest.finalize().into()
}

/// What is sealed.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    way: Way,
    server: ServerId,
    method: u8,
    params: [u8; 32],
    round: u8,
    asked: bool,
    expires_ms: i64,
}

impl Plain {
    fn written(&self) -> Vec<u8> {
        let kind = match &self.way {
            Way::Server(None) => 0,
            Way::Server(Some(_)) => 1,
            Way::Parked(_) => 2,
            Way::Afresh => 3,
        };
        let mut out = vec![VERSION, kind, u8::from(self.asked), self.method, self.round];
        out.extend_from_slice(&self.server.bits().to_be_bytes());
        out.extend_from_slice(&self.params);
        out.extend_from_slice(&self.expires_ms.to_be_bytes());
        match &self.way {
            Way::Server(Some(own)) => out.extend_from_slice(own),
            Way::Parked(Place { id, replica, url }) => {
                out.extend_from_slice(id);
                out.push(u8::try_from(replica.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(replica.as_bytes());
                out.extend_from_slice(url.as_bytes());
            }
            Way::Server(None) | Way::Afresh => {}
        }
        out
    }

    fn read(plain: &[u8]) -> Option<Self> {
        let (head, rest) = plain.split_at_checked(HEAD)?;
        let [VERSION, kind, asked, method, round, ..] = *head else { return None };
        let way = match kind {
            0 => Way::Server(None),
            1 => Way::Server(Some(Bytes::copy_from_slice(rest))),
            2 => {
                let (id, rest) = rest.split_at_checked(16)?;
                let (length, rest) = rest.split_first()?;
                let (replica, url) = rest.split_at_checked(usize::from(*length))?;
                let text = |bytes| std::str::from_utf8(bytes).ok().map(Box::from);
                Way::Parked(Place { id: id.try_into().ok()?, replica: text(replica)?, url: text(url)? })
            }
            3 => Way::Afresh,
            _ => return None,
        };
        Some(Self {
            way,
            server: ServerId::from_bits(u128::from_be_bytes(head[5..21].try_into().ok()?)),
            method,
            params: head[21..53].try_into().ok()?,
            round,
            asked: asked == 1,
            expires_ms: i64::from_be_bytes(head[53..61].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests;
