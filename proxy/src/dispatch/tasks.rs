//! The Tasks extension: calls that go on as tasks. A client knows a task by a sealed id that is its owner's alone and names
//! server and tool, so no replica remembers anything; what may be done with the task is decided anew each time.

pub(super) mod feed;

use std::time::Duration;

use bytes::Bytes;
use patchbay_core::{
    ServerId,
    envelope::Request,
    era::{Era, META_SERVER_INFO},
    json,
    method::Method,
    seal::{Purpose, Sealer},
    snapshot::{SERVER_INFO, TASKS, ToolRoute, View},
};
use tracing::warn;

use super::{
    Answer, Cx,
    call::{self, Target},
    extensions::{About, Draft},
    relay::Relay,
};
use crate::{
    audit::{self, Trail},
    bridge::{self, ask},
    error::GatewayError,
};

/// The longest id that a server may give a task, in bytes: it comes back in a header.
const TASK_ID_BYTES_MAX: usize = 1024;
/// How much longer than the task itself its id is good: the server should be the one that says that it is over.
const TASK_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an id is good at the most, also of a task that has no end.
const TASK_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is said of every id that is not, or no longer, one of this caller's tasks.
const UNKNOWN: GatewayError = GatewayError::InvalidParams(std::borrow::Cow::Borrowed(
    "unknown task: expected the taskId of a task that this caller began here and that is not over for long",
));

/// `tasks/get`, `tasks/update`, `tasks/cancel`
pub(super) async fn about(mut cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    if !cx.tenant.view().has.extensions.tasks {
        super::first_word(&mut cx).await;
    }
    let view = cx.tenant.view().clone();
    if !view.has.extensions.tasks {
        return Err(GatewayError::MethodNotFound(request.method.as_str().to_owned()));
    }
    if !cx.caller.can.tasks {
        return Err(GatewayError::Undeclared(TASKS));
    }
    let sealed = call::string_param(&request, "taskId", "this needs params.taskId, a string")?;
    let task = Task::open(&cx, &sealed).ok_or(UNKNOWN)?;
    let (server, exposed, route) = task.route(&cx, &view).ok_or(UNKNOWN)?;
    if let Some(needed) = &route.scopes
        && let Err(lacking) = cx.tenant.admits(&cx.principal, needed, cx.site.as_deref())
    {
        trail.target(cx.tenant.server(server).slug.as_str(), &route.native, exposed);
        return Err(lacking);
    }
    let (method, idempotent) = match request.method {
        Method::TasksGet => ("tasks/get", true),
        Method::TasksCancel => ("tasks/cancel", true),
        _ => ("tasks/update", false),
    };
    let params = request.params.pieces("taskId", &json::quote(&task.id));
    let mut outgoing = call::outgoing(&cx, &request, method, params)?;
    outgoing.mirror_name = Some(task.id.as_str().into());
    let target = Target {
        idempotent,
        about: Some(About::Task(sealed.into()).into()),
        ..Target::plain(server, &route.native, exposed, view.server_limits[server])
    };
    call::send(cx, &request, target, outgoing, trail).await
}

/// The answer to a call that goes on as a task: with an id that is the caller's own. A caller that has not said that it can
/// follow tasks is told so, in words for the model.
pub(super) fn begun(relay: &Relay, body: &Bytes) -> Bytes {
    let server = relay.server.slug.as_str();
    let sealed = match relay.about.as_deref() {
        Some(About::Call { native, exposed }) => sealed(relay, native, exposed, body),
        _ => Err("this client has not said that it can follow tasks"),
    };
    match sealed {
        Ok(body) => body,
        Err(why) => {
            warn!(server, why, "server {server} went on with a call as a task that nobody can follow");
            let text = format!(
                "The server \"{server}\" went on with this in the background, as a task, and {why}. It may still be \
                 carried out: check before trying again."
            );
            if relay.method == Method::ToolsCall {
                bridge::tool_error(&relay.plan.id, &text, relay.plan.to == Era::Modern)
            } else {
                crate::error::error_body(Some(&relay.plan.id), -32603, &text, None).into()
            }
        }
    }
}

fn sealed(relay: &Relay, native: &str, exposed: &str, body: &Bytes) -> Result<Bytes, &'static str> {
    let mut draft = Draft::of(body).ok_or("it gave no result")?;
    let raw = json::at_path(draft.result, &["taskId"]).ok_or("it gave no taskId")?;
    let id = json::unquote(raw).filter(|id| (1..=TASK_ID_BYTES_MAX).contains(&id.len()));
    let id = id.ok_or("its taskId is no text, or too long")?.into_owned();
    let ttl_ms = json::at_path(draft.result, &["ttlMs"]).and_then(|raw| raw.parse().ok());
    let task = Task {
        expires_ms: audit::now_ms().saturating_add_unsigned(life_ms(ttl_ms)),
        server: relay.cx.tenant.snapshot().servers[relay.index].id,
        native: native.to_owned(),
        exposed: exposed.to_owned(),
        id,
    };
    draft.swap(raw, json::quote(&task.seal(&relay.cx)));
    Ok(draft.finish(body))
}

/// How long the id of a task is good.
fn life_ms(ttl_ms: Option<u64>) -> u64 {
    let life = ttl_ms.map_or(TASK_LIFE_MAX, |ttl_ms| Duration::from_millis(ttl_ms).saturating_add(TASK_GRACE));
    u64::try_from(life.min(TASK_LIFE_MAX).as_millis()).unwrap_or_default()
}

/// What a server says of a task, in the client's words: under the id that the client has, with its questions as they may be
/// put, and with a result like that of a direct call.
pub(super) fn told(relay: &Relay, sealed: &str, body: &Bytes) -> Bytes {
    let Some(mut draft) = Draft::of(body) else { return body.clone() };
    match put(&relay.cx, relay.index, &mut draft, sealed) {
        Ok(()) => draft.finish(body),
        Err(why) => {
            let server = relay.server.slug.as_str();
            let text = format!("The task of the server \"{server}\" asks for what this client cannot be asked: {why}");
            crate::error::error_body(Some(&relay.plan.id), -32603, &text, None).into()
        }
    }
}

/// Puts how a task of a server stands in the client's words.
fn put(cx: &Cx, server: usize, draft: &mut Draft<'_>, sealed: &str) -> Result<(), &'static str> {
    let state = draft.result;
    if let Some(raw) = json::at_path(state, &["taskId"]) {
        draft.swap(raw, json::quote(sealed));
    }
    if let Some(result) = json::at_path(state, &["result"]) {
        draft.links(cx, server, result);
        if let Some(info) = json::at_path(result, &["_meta", META_SERVER_INFO]) {
            draft.swap(info, SERVER_INFO.to_owned());
        }
    }
    let Some(requests) = json::at_path(state, &["inputRequests"]) else { return Ok(()) };
    for member in json::members(requests).flatten() {
        let question = question(cx, server, member.value)?;
        draft.swap(member.value, question);
    }
    Ok(())
}

/// A question of a task as it may be put to the client.
fn question(cx: &Cx, server: usize, raw: &str) -> Result<String, &'static str> {
    let entry = &cx.tenant.snapshot().servers[server];
    let offered = call::offered(cx, server);
    let method = json::at_path(raw, &["method"]).and_then(json::unquote).unwrap_or_default();
    let asked = ask::put(&method, json::at_path(raw, &["params"]), offered, entry.slug.as_str());
    let asked = asked.map_err(|refused| refused.message)?.without_elicitation_id();
    Ok(String::from_utf8_lossy(&asked.input_request()).into_owned())
}

/// A task as its sealed id names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    expires_ms: i64,
    server: ServerId,
    /// The tool that began it, in the server's words and, as far as it still has that name, in the client's.
    native: String,
    exposed: String,
    /// The server's id.
    pub(super) id: String,
}

impl Task {
    fn seal(&self, cx: &Cx) -> String {
        bound(cx, |parts| self.seal_for(&cx.app.sealer, parts))
    }

    fn seal_for(&self, sealer: &Sealer, parts: &[&[u8]]) -> String {
        let mut plain = Vec::with_capacity(32 + self.native.len() + self.exposed.len() + self.id.len());
        plain.extend_from_slice(&self.expires_ms.to_be_bytes());
        plain.extend_from_slice(&self.server.bits().to_be_bytes());
        for text in [&self.native, &self.exposed] {
            plain.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        plain.extend_from_slice(self.id.as_bytes());
        sealer.seal(Purpose::Task, parts, &plain)
    }

    /// The task that an id of this caller stands for, here and now.
    pub(super) fn open(cx: &Cx, sealed: &str) -> Option<Self> {
        bound(cx, |parts| Self::open_for(&cx.app.sealer, parts, sealed, audit::now_ms()))
    }

    fn open_for(sealer: &Sealer, parts: &[&[u8]], sealed: &str, now_ms: i64) -> Option<Self> {
        let plain = sealer.open(Purpose::Task, parts, sealed)?;
        let (expires, rest) = plain.split_first_chunk::<8>()?;
        let (server, rest) = rest.split_first_chunk::<16>()?;
        let (native, rest) = short_text(rest)?;
        let (exposed, rest) = short_text(rest)?;
        let task = Self {
            expires_ms: i64::from_be_bytes(*expires),
            server: ServerId::from_bits(u128::from_be_bytes(*server)),
            native,
            exposed,
            id: String::from_utf8(rest.to_vec()).ok()?,
        };
        (now_ms < task.expires_ms).then_some(task)
    }

    /// Where it is now: the server's place, and the tool, if this caller may still call that.
    pub(super) fn route<'v>(&self, cx: &Cx, view: &'v View) -> Option<(usize, &'v str, &'v ToolRoute)> {
        let server = cx.tenant.snapshot().servers.iter().position(|entry| entry.id == self.server)?;
        let fits = |route: &ToolRoute| route.server == server && *route.native == *self.native;
        let known = view.tools.get_key_value(self.exposed.as_str()).filter(|(_, route)| fits(route));
        // Renamed since.
        let (exposed, route) = known.or_else(|| view.tools.iter().find(|(_, route)| fits(route)))?;
        Some((server, exposed, route))
    }
}

fn short_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

/// Whose an id is.
fn bound<T>(cx: &Cx, with: impl FnOnce(&[&[u8]]) -> T) -> T {
    let tenant = cx.tenant.id().bits().to_be_bytes();
    with(&[&tenant, &cx.principal.digest(), cx.tenant.view().toolset.as_str().as_bytes()])
}

#[cfg(test)]
mod tests;
