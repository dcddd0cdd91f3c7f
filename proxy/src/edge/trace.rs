//! The beginning of a request's spans: from the trace context that it came with, in its headers and in its message. What is refused
//! before anybody knows what it asks for has none: strangers do not fill a collector.

use std::sync::Arc;

use bytes::Bytes;
use patchbay_core::{
    envelope::Request,
    era::{Era, Version},
    json,
    method::Method,
    trace::TraceContext,
};

use crate::{
    app::App,
    audit::Trail,
    dispatch::Cx,
    telemetry::{
        Came, Setting,
        log::{self, LogIds},
    },
    tenancy::Tenant,
};

/// A request that is dispatched. Gives what its lines of the log say.
pub(super) fn calling(cx: &Cx, request: &Request, http: Option<&TraceContext>, trail: &mut Trail) -> Option<LogIds> {
    let came = Came::of(http, request.params.raw("_meta"));
    let what = What { method: &request.method, version: cx.caller.version.as_str(), id: &request.id };
    begin(&cx.app, &cx.tenant, &came, &what, trail)
}

/// An `initialize`, which the edge answers itself: its message was found good.
pub(super) fn opening(app: &Arc<App>, tenant: &Tenant, http: Option<&TraceContext>, body: &Bytes, trail: &mut Trail) {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let came = Came::of(http, json::at_path(text, &["params", "_meta"]));
    let asked = json::at_path(text, &["params", "protocolVersion"]).and_then(json::unquote);
    let version = asked.as_deref().and_then(Version::parse).filter(|version| version.era() == Era::Legacy);
    let version = version.unwrap_or(Version::NEWEST_LEGACY).as_str();
    let id = json::at_path(text, &["id"]).unwrap_or_default();
    let what = What { method: &Method::Initialize, version, id: id.as_bytes() };
    begin(app, tenant, &came, &what, trail);
}

/// What is asked for.
struct What<'a> {
    method: &'a Method,
    version: &'a str,
    id: &'a [u8],
}

fn begin(app: &App, tenant: &Tenant, came: &Came, what: &What<'_>, trail: &mut Trail) -> Option<LogIds> {
    let mut trace_id = came.trace_id();
    if let Some(telemetry) = &app.telemetry {
        let mut trace = telemetry.begin(came, what.method);
        trace_id = Some(trace.trace_id());
        trace.set(&Setting {
            tenant: tenant.snapshot().slug.as_str(),
            toolset: tenant.view().toolset.as_str(),
            version: what.version,
            id: what.id,
            event: trail.request_id(),
            came: trail.began(),
        });
        trail.traced(trace);
    }
    if let Some(trace) = trace_id {
        log::note_trace(trace);
        trail.trace(trace.bytes());
    }
    trail.log_ids().map(|ids| LogIds { trace: trace_id, ..ids })
}
