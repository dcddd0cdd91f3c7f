//! The trace context that a request came with: in its HTTP headers, in the `_meta` of its message, or in both. Read for every
//! request, also when nothing is recorded, since the log and the audit name the caller's trace. Called by the edge.

use std::borrow::Cow;

use http::HeaderMap;
use patchbay_core::trace::{
    TRACEPARENT, TRACESTATE, TRACESTATE_BYTES_MAX, TraceContext, TraceId, TraceParent, TraceState,
};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// What counts: `_meta` before the headers, since it belongs to this message and not to the leg that carried it
    /// (OpenTelemetry, semantic conventions for MCP, context propagation).
    pub context: Option<TraceContext>,
    /// The other one, when both are there and differ.
    pub link: Option<TraceParent>,
}

impl Came {
    /// From what the headers said and from the raw `_meta` of the message.
    pub fn of(headers: Option<&TraceContext>, meta: Option<&str>) -> Self {
        match (meta.and_then(TraceContext::of_meta), headers) {
            (Some(own), headers) => {
                let link = headers.map(|context| context.parent).filter(|parent| *parent != own.parent);
                Self { context: Some(own), link }
            }
            (None, headers) => Self { context: headers.cloned(), link: None },
        }
    }

    /// The caller's trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.context.as_ref().map(|context| context.parent.trace)
    }
}

/// What the headers of a request say. A `traceparent` that stands twice says nothing; several `tracestate` are one list.
pub fn of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = TraceParent::parse(parents.next()?.to_str().ok()?)?;
    parents.next().is_none().then(|| TraceContext { parent, state: state_of(headers) })
}

fn state_of(headers: &HeaderMap) -> Option<TraceState> {
    let mut values = headers.get_all(TRACESTATE).iter();
    let mut all = Cow::Borrowed(values.next()?.to_str().ok()?);
    for more in values {
        let more = more.to_str().ok().filter(|more| all.len() + more.len() < TRACESTATE_BYTES_MAX)?;
        let all = all.to_mut();
        all.push(',');
        all.push_str(more);
    }
    TraceState::parse(&all)
}
