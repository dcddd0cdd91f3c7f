//! Requests that go to a server: from the exposed name to the route, the permit and the request in native words. The one
//! place that sends a request a second time, and only where the server cannot have acted on the first.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use patchbay_core::{
    audit::{Arguments, ToolAudit},
    envelope::{Meta, Request},
    era::Era,
    json,
    limits::RuleSet,
    method::Method,
    mirror::{self, Sent},
    model::Sharing,
    rewrite::Plan,
    snapshot::{SERVER_INFO, ServerEntry, ServerKind},
};
use patchbay_downstream::{CallCx, Delivery, DownstreamError, Extension, Fault, Outgoing, Reply, ShareKey};
use tokio::time::Instant;

use super::{
    Answer, Cx,
    extensions::About,
    relay::{Asking, Relay, fault_label},
    rounds::Again,
    state::{self, State, Way},
};
use crate::{
    admission::{self, Toll},
    audit::Trail,
    caller::{Capabilities, Leg, LogLevel},
    error::GatewayError,
    telemetry::{RequestTrace, log},
};

/// `tools/call`
pub(super) async fn tool(mut cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    let name = string_param(&request, "name", "tools/call needs params.name, a string")?;
    if !cx.tenant.view().tools.contains_key(&*name) {
        super::first_word(&mut cx).await;
    }
    let view = cx.tenant.view().clone();
    // A page knows its server's tools by no names but the server's own.
    let of_page = || view.tools.get_key_value(view.page_tools.get(&*name)?);
    let found = view.tools.get_key_value(&*name).or_else(of_page);
    let (exposed, route) = found.ok_or_else(|| GatewayError::Unknown { kind: "tool", name: name.clone() })?;
    if let Some(needed) = &route.scopes
        && let Err(lacking) = cx.tenant.admits(&cx.principal, needed, cx.site.as_deref())
    {
        trail.target(cx.tenant.server(route.server).slug.as_str(), &route.native, exposed);
        return Err(lacking);
    }
    let arguments = request.params.raw("arguments");
    let mirrored = route.headers.as_ref().filter(|headers| !headers.is_empty());
    if let Some(headers) = mirrored.filter(|_| cx.caller.era() == Era::Modern) {
        headers
            .check(arguments, |name| sent(&cx.caller.params_sent, name))
            .map_err(|mismatch| GatewayError::HeaderMismatch(mismatch.to_string()))?;
    }
    let mirror_params = mirrored.map_or_else(Vec::new, |headers| {
        let values = headers.values(arguments).into_iter();
        values
            .map(|(name, value)| (name.strip_prefix(mirror::HEADER_PREFIX).unwrap_or(name).to_owned(), value))
            .collect()
    });
    let can_follow = cx.caller.can.tasks && cx.caller.era() == Era::Modern;
    let target = Target {
        server: route.server,
        native: &route.native,
        exposed,
        idempotent: route.idempotent,
        limits: route.limits,
        cost: route.cost,
        audit: Some(&route.audit),
        about: can_follow.then(|| About::Call { native: route.native.clone(), exposed: exposed.clone() }.into()),
    };
    let params = request.params.pieces("name", &json::quote(&route.native));
    let mut outgoing = outgoing(&cx, &request, "tools/call", params)?;
    outgoing.mirror_name = Some(route.native.clone());
    outgoing.mirror_params = mirror_params;
    send(cx, &request, target, outgoing, trail).await
}

/// `prompts/get`
pub(super) async fn prompt(mut cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    let name = string_param(&request, "name", "prompts/get needs params.name, a string")?;
    if !cx.tenant.view().prompts.contains_key(&*name) {
        super::first_word(&mut cx).await;
    }
    let view = cx.tenant.view().clone();
    let route = view.prompts.get(&*name).ok_or_else(|| GatewayError::Unknown { kind: "prompt", name: name.clone() })?;
    let limits = view.server_limits[route.server];
    let target = Target::plain(route.server, &route.native, &name, limits);
    let params = request.params.pieces("name", &json::quote(&route.native));
    let mut outgoing = outgoing(&cx, &request, "prompts/get", params)?;
    outgoing.mirror_name = Some(route.native.clone());
    send(cx, &request, target, outgoing, trail).await
}

/// `resources/read`
pub(super) async fn resource(cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    let uri = string_param(&request, "uri", "resources/read needs params.uri, a string")?;
    let view = cx.tenant.view().clone();
    let (server, native) = view.uris.to_native(&uri).ok_or_else(|| GatewayError::ResourceNotFound(uri.clone()))?;
    let limits = view.server_limits[server];
    let target = Target::plain(server, &native, &uri, limits);
    let params = request.params.pieces("uri", &json::quote(&native));
    let mut outgoing = outgoing(&cx, &request, "resources/read", params)?;
    outgoing.mirror_name = Some(Arc::from(&*native));
    send(cx, &request, target, outgoing, trail).await
}

/// `completion/complete`: routed by what it refers to.
pub(super) async fn complete(cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    let invalid = || {
        GatewayError::InvalidParams("completion/complete needs params.ref, of type ref/prompt or ref/resource".into())
    };
    let reference = request.params.raw("ref").ok_or_else(invalid)?;
    let of = |name: &str| json::at_path(reference, &[name]).and_then(json::unquote);
    let view = cx.tenant.view().clone();
    let (member, exposed, server, native) = match of("type").as_deref() {
        Some("ref/prompt") => {
            let name = of("name").ok_or_else(invalid)?.into_owned();
            let route = view.prompts.get(&*name);
            let route = route.ok_or_else(|| GatewayError::Unknown { kind: "prompt", name: name.clone() })?;
            ("name", name, route.server, route.native.to_string())
        }
        Some("ref/resource") => {
            let uri = of("uri").ok_or_else(invalid)?.into_owned();
            let found = view.uris.template_to_native(&uri).or_else(|| view.uris.to_native(&uri));
            let (server, native) =
                found.ok_or_else(|| GatewayError::InvalidParams(format!("unknown resource template: {uri}").into()))?;
            let native = native.into_owned();
            ("uri", uri, server, native)
        }
        _ => return Err(invalid()),
    };
    if !cx.tenant.snapshot().servers[server].completions {
        cx.telling.tell(admission::request(&cx.app, &cx.tenant, &cx.principal).await?);
        trail.answered(0);
        trail.kept().await.map_err(|_| super::OUTCOME_NOT_KEPT)?;
        let empty = [b"{\"jsonrpc\":\"2.0\",\"id\":", &*request.id, NO_VALUES].concat();
        return Ok(Answer::Whole(empty.into()));
    }
    let limits = view.server_limits[server];
    let target = Target::plain(server, &native, &exposed, limits);
    let reference = replaced(reference, member, &native);
    let params = request.params.pieces("ref", &reference);
    let outgoing = outgoing(&cx, &request, "completion/complete", params)?;
    send(cx, &request, target, outgoing, trail).await
}

/// The rest of a completion's answer for a server that completes nothing.
const NO_VALUES: &[u8] =
    b",\"result\":{\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false},\"resultType\":\"complete\"}}";

/// Where a request goes.
pub(super) struct Target<'a> {
    pub(super) server: usize,
    pub(super) native: &'a str,
    pub(super) exposed: &'a str,
    pub(super) idempotent: bool,
    pub(super) limits: RuleSet,
    pub(super) cost: u32,
    /// What the tenant's audit says of this tool.
    pub(super) audit: Option<&'a ToolAudit>,
    /// What an extension has to know on the way back.
    pub(super) about: Option<Box<About>>,
}

impl<'a> Target<'a> {
    /// Where a request goes that is for no tool and may run twice.
    pub(super) const fn plain(server: usize, native: &'a str, exposed: &'a str, limits: RuleSet) -> Self {
        Self { server, native, exposed, idempotent: true, limits, cost: 1, audit: None, about: None }
    }
}

pub(super) fn string_param(request: &Request, name: &str, expected: &'static str) -> Result<String, GatewayError> {
    let value = request.params.string(name).ok_or(GatewayError::InvalidParams(expected.into()))?;
    Ok(value.into_owned())
}

fn replaced(object: &str, name: &str, value: &str) -> String {
    let members = json::members(object).flatten().map(|member| {
        if member.is(name) { format!("\"{name}\":{}", json::quote(value)) } else { member.whole.to_owned() }
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A header that the caller sent, by the name of the parameter.
fn sent<'a>(headers: &'a [(String, String)], name: &str) -> Sent<'a> {
    let mut found = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (None, _) => Sent::Nothing,
        (Some((_, value)), None) => Sent::One(value),
        _ => Sent::Unreadable,
    }
}

pub(super) fn outgoing(
    cx: &Cx,
    request: &Request,
    method: &'static str,
    params: Vec<Bytes>,
) -> Result<Outgoing, GatewayError> {
    let meta: Meta<'_> = request.params.meta()?;
    // A modern request says so each time, a legacy session once.
    let level = cx.caller.log_level.filter(|level| *level > LogLevel::Unset);
    Ok(Outgoing {
        meta: if meta.whole.is_empty() { Bytes::new() } else { meta.passing(cx.app.telemetry.is_some()) },
        progress: meta.progress_token.is_some(),
        log_level: level.map(|level| format!("\"{}\"", level.as_str()).into()),
        ..Outgoing::plain(method, params)
    })
}

/// Takes the permit, writes the intent, sends the request and hands the reply to the relay.
pub(super) async fn send(
    cx: Cx,
    request: &Request,
    mut target: Target<'_>,
    mut outgoing: Outgoing,
    trail: &mut Trail,
) -> Result<Answer, GatewayError> {
    let server = cx.tenant.server(target.server).clone();
    // Again, since the tenant may have been looked at once more after it came.
    trail.policy(&cx.tenant.snapshot().audit, cx.tenant.snapshot().generation);
    trail.target(server.slug.as_str(), target.native, target.exposed);
    let entry = &cx.tenant.snapshot().servers[target.server];
    let server_era = entry.era.unwrap_or(Era::Legacy);
    let answered = state::opened(&cx, request, entry)?;
    let permit = admission::call(&cx, toll(&cx, request, &target, entry)).await?;
    match &answered {
        Some(state) => {
            state.claim(&cx).await?;
            state.put_into(&mut outgoing);
        }
        None => state::strip_foreign(&mut outgoing, &request.params, cx.caller.era(), server_era),
    }
    record(&cx, request, target.audit, trail).await?;
    let now = Instant::now();
    let tool = (request.method == Method::ToolsCall).then_some(target.native);
    let offered = cx.caller.can.offered(leg(&cx, entry));
    let (timeout, timeout_max) = (timeout(&cx, entry.call_timeout_s), cx.app.config.limits.call_timeout_max);
    let call_cx = CallCx {
        deadline: now + timeout,
        extension: Some(Extension { by: timeout, latest: now + timeout_max }),
        share: share(&cx, entry.sharing),
        capabilities: offered.written(server_era),
    };
    // Read once more only for those who want progress.
    let meta = if outgoing.progress { request.params.meta()? } else { Meta::default() };
    let mut relay = Relay {
        plan: Plan {
            id: request.id.clone(),
            from: server_era,
            to: cx.caller.era(),
            cacheable: matches!(request.method, Method::ResourcesRead | Method::SkillsGet | Method::DirectoryRead),
            server_info: SERVER_INFO,
        },
        method: request.method.clone(),
        server: server.clone(),
        index: target.server,
        about: target.about.take(),
        progress_token: meta.progress_token.map(str::to_owned),
        meter: server.meter.begin(tool, now.into_std()),
        _permit: permit,
        trail: trail.take(),
        log: log::current(),
        asking: Asking {
            params: if cx.caller.era() == Era::Modern { request.params.source() } else { Bytes::new() },
            round: answered.as_ref().map_or(0, |state| state.round),
            is_afresh: answered.as_ref().is_some_and(|state| state.way == Way::Afresh),
            is_answer: answered.is_some(),
            timeout,
            ..Asking::default()
        },
        cx,
    };
    if let Some(State { way: Way::Parked(place), .. }) = &answered {
        return relay.wake(place, request.params.raw("inputResponses")).await;
    }
    let outcome = with_retry(&mut relay, &call_cx, &mut outgoing, target.idempotent).await;
    if relay.plan.to == Era::Legacy && server_era == Era::Modern && outcome.is_ok() && state::may_ask(&relay.method) {
        let (answer, method) = (relay.cx.app.config.limits.answer, relay.method.clone());
        relay.asking.again =
            Some(Arc::new(Again { server, call_cx, outgoing, method, offered, timeout, timeout_max, answer }));
    }
    match outcome {
        Ok(reply) => relay.reply(reply).await,
        Err(error) => relay.failed(&error).await,
    }
}

/// Writes down what is about to be sent, as surely as the tenant wants it.
pub(super) async fn record(
    cx: &Cx,
    request: &Request,
    audit: Option<&ToolAudit>,
    trail: &mut Trail,
) -> Result<(), GatewayError> {
    let closed = audit.is_some_and(|audit| audit.closed);
    if closed {
        trail.closed();
    }
    if matches!(request.method, Method::ToolsCall | Method::PromptsGet) {
        let keep = audit.and_then(|audit| audit.keep.as_deref()).unwrap_or_default();
        trail.arguments(Arguments { raw: request.params.raw("arguments"), keep }, &cx.app.digests);
    }
    trail.pace().await;
    trail.intent().map_err(|_| if closed { GatewayError::AuditFull } else { super::NO_ROOM })?;
    trail.kept().await.map_err(|_| super::NOT_KEPT)
}

/// Calls, and calls once more where the first request cannot have had an effect.
async fn with_retry(
    relay: &mut Relay,
    call_cx: &CallCx,
    outgoing: &mut Outgoing,
    idempotent: bool,
) -> Result<Reply, DownstreamError> {
    let downstream = &relay.server.downstream;
    outgoing.trace = relay.trail.trace_mut().map(RequestTrace::call);
    let error = match downstream.call(call_cx.clone(), outgoing.clone()).await {
        Ok(reply) => return Ok(reply),
        Err(error) => error,
    };
    let passing = matches!(error.fault, Fault::Closed | Fault::SessionLost);
    let harmless = error.delivery == Delivery::NotSent || idempotent;
    if passing && harmless && Instant::now() < call_cx.deadline {
        if let Some(trace) = relay.trail.trace_mut() {
            trace.call_failed(fault_label(error.fault));
            outgoing.trace = Some(trace.call());
        }
        return downstream.call(call_cx.clone(), outgoing.clone()).await;
    }
    Err(error)
}

/// What the call is counted by.
fn toll<'a>(cx: &Cx, request: &Request, target: &Target<'a>, entry: &ServerEntry) -> Toll<'a> {
    Toll {
        rules: target.limits,
        cost: target.cost,
        server: entry.id,
        tool: (request.method == Method::ToolsCall).then_some(target.native),
        timeout: timeout(cx, entry.call_timeout_s),
    }
}

pub(super) fn timeout(cx: &Cx, configured_s: Option<u32>) -> Duration {
    let limits = &cx.app.config.limits;
    let timeout = configured_s.map_or(limits.call_timeout, |seconds| Duration::from_secs(seconds.into()));
    timeout.min(limits.call_timeout_max)
}

/// What of the caller is offered to this server of its tenant.
pub(super) fn offered(cx: &Cx, server: usize) -> Capabilities {
    cx.caller.can.offered(leg(cx, &cx.tenant.snapshot().servers[server]))
}

/// What stands between the caller and this server.
pub(super) fn leg(cx: &Cx, entry: &ServerEntry) -> Leg {
    Leg {
        client: cx.caller.version,
        server: entry.era.unwrap_or(Era::Legacy),
        asks: entry.asks,
        is_shared_child: entry.kind != ServerKind::Http && entry.sharing == Sharing::Shared,
    }
}

pub(super) fn share(cx: &Cx, sharing: Sharing) -> ShareKey {
    match sharing {
        Sharing::Shared => ShareKey::Tenant,
        Sharing::Principal => ShareKey::Principal(cx.principal.digest()),
        Sharing::Session => ShareKey::Session(cx.caller.share),
    }
}
