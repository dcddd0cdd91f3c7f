//! The ids of the request on every line of the log that is written while it is dealt with, wherever the line comes from. A request's
//! future is polled within [`Within`], which puts its ids where the formatter finds them: two copies per poll, and nothing else
//! for a request that logs nothing.
//!
//! Lines of tasks that serve many requests (a child that ends, keys that are fetched) carry no ids: they belong to none.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use patchbay_core::{audit::EventId, trace::TraceId};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};
use uuid::Uuid;

/// What a line says of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIds {
    /// The event of the audit.
    pub request: EventId,
    /// The trace, when there is one.
    pub trace: Option<TraceId>,
}

thread_local! {
    static CURRENT: Cell<Option<LogIds>> = const { Cell::new(None) };
}

/// The ids of the request that is dealt with here and now.
pub fn current() -> Option<LogIds> {
    CURRENT.get()
}

/// Adds the trace to the ids of the current request.
pub fn note_trace(trace: TraceId) {
    CURRENT.set(CURRENT.get().map(|ids| LogIds { trace: Some(trace), ..ids }));
}

/// Until it is dropped, lines carry these ids.
#[derive(Debug)]
#[must_use = "the ids are put on lines until this is dropped"]
pub struct Entered {
    before: Option<LogIds>,
}

/// Puts these ids on the lines that follow on this thread.
pub fn enter(ids: Option<LogIds>) -> Entered {
    Entered { before: CURRENT.replace(ids) }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// A future whose lines carry ids.
#[derive(Debug)]
pub struct Within<F> {
    ids: Option<LogIds>,
    work: F,
}

/// Puts these ids on the lines of a future. It is taken pinned: futures of requests are long, and not to be moved.
pub const fn within<F: Future + Unpin>(ids: Option<LogIds>, work: F) -> Within<F> {
    Within { ids, work }
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _entered = enter(this.ids);
        let polled = Pin::new(&mut this.work).poll(cx);
        // The trace may have become known.
        this.ids = current();
        polled
    }
}

/// The identity of an event as the audit writes it.
pub(crate) const fn uuid(event: EventId) -> Uuid {
    Uuid::from_u128(event.bits())
}

/// The form of the lines, with the ids of the current request.
#[derive(Debug)]
pub struct WithIds<F> {
    inner: F,
    json: bool,
}

impl<F> WithIds<F> {
    /// For lines that are JSON objects.
    pub const fn json(inner: F) -> Self {
        Self { inner, json: true }
    }

    /// For lines of text.
    pub const fn text(inner: F) -> Self {
        Self { inner, json: false }
    }

    fn write(&self, line: &str, ids: &LogIds, out: &mut Writer<'_>) -> fmt::Result {
        let request = uuid(ids.request);
        if !self.json {
            write!(out, "{} request={request}", line.trim_end_matches('\n'))?;
            ids.trace.map_or(Ok(()), |trace| write!(out, " trace={trace}"))?;
            return out.write_str("\n");
        }
        let Some(open) = line.trim_end_matches('\n').strip_suffix('}') else { return out.write_str(line) };
        write!(out, r#"{open},"request":"{request}""#)?;
        ids.trace.map_or(Ok(()), |trace| write!(out, r#","trace":"{trace}""#))?;
        out.write_str("}\n")
    }
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(ids) = current() else { return self.inner.format_event(context, out, event) };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        self.write(&line, &ids, &mut out)
    }
}
