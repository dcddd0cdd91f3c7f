//! The spans of a request: parents, names, words, and an end on every way out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use patchbay_core::audit::{Ending, How};

use super::*;
use crate::audit::{Audit, SEGMENT_BYTES_MIN, SpoolOptions, Trail};

fn setting(id: &[u8]) -> Setting<'_> {
    Setting { tenant: "acme", toolset: "default", version: "2026-07-28", id, event: None, came: None }
}

fn call(telemetry: &Telemetry, parent: &str) -> RequestTrace {
    let mut trace = telemetry.begin(&came(parent), &Method::ToolsCall);
    trace.set(&setting(b"\"seven\""));
    trace.target("shop", "shop_query", "query");
    trace
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[test]
fn a_call_is_a_server_span_below_the_callers_and_a_client_span_below_that() {
    let telemetry = recording();
    let mut trace = call(&telemetry, SAMPLED);
    let out = trace.call();
    trace.end(&Ending::answered(200));
    let spans = ended(&telemetry);
    let [client, server] = &spans[..] else { panic!("expected two spans: {spans:?}") };
    let caller = TraceParent::parse(SAMPLED).unwrap();
    assert_eq!((server.kind(), client.kind()), (SpanKind::Server, SpanKind::Client));
    for span in [server, client] {
        assert_eq!(span.trace_id, caller.trace.bytes());
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
        assert_eq!(attribute(span, "mcp.method.name"), Some("tools/call"));
        assert_eq!(attribute(span, "gen_ai.operation.name"), Some("execute_tool"));
        assert_eq!(attribute(span, "patchbay.tenant"), Some("acme"));
        assert_eq!(attribute(span, "patchbay.server"), Some("shop"));
        assert_eq!((attribute(span, "error.type"), is_error(span)), (None, false));
    }
    assert_eq!(server.parent_span_id, caller.span.bytes());
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(out.parent.span.bytes().as_slice(), client.span_id, "the server is told of the client's span");
    assert!(out.parent.is_sampled() && out.parent.trace == caller.trace);
    assert_eq!((&*server.name, &*client.name), ("tools/call shop_query", "tools/call query"));
    assert_eq!(attribute(server, "gen_ai.tool.name"), Some("shop_query"));
    assert_eq!(attribute(client, "gen_ai.tool.name"), Some("query"));
    assert_eq!(attribute(server, "jsonrpc.request.id"), Some("seven"));
    assert_eq!(attribute(server, "mcp.protocol.version"), Some("2026-07-28"));
    assert_eq!(attribute(server, "patchbay.toolset"), Some("default"));
    assert_eq!(attribute(server, "patchbay.outcome"), Some("answered"));
    assert_eq!((server.flags & 0xff, server.flags & IS_REMOTE, client.flags & IS_REMOTE), (1, IS_REMOTE, 0));
}

/// The flag of OTLP for a parent in another process.
const IS_REMOTE: u32 = 0x200;

#[test]
fn a_request_without_a_context_begins_a_trace() {
    let telemetry = recording();
    let trace = telemetry.begin(&Came::default(), &Method::ToolsList);
    let id = trace.trace_id();
    trace.end(&Ending::answered(200));
    let spans = ended(&telemetry);
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].trace_id, id.bytes());
    assert!(spans[0].parent_span_id.is_empty() && spans[0].flags & IS_REMOTE == 0);
}

#[test]
fn a_trace_that_is_not_recorded_is_handed_on_and_leaves_nothing() {
    let telemetry = recording();
    let mut came = came(UNSAMPLED);
    came.context = TraceContext::parse(UNSAMPLED, Some("vendor=1"));
    let mut trace = telemetry.begin(&came, &Method::ToolsCall);
    trace.target("shop", "shop_query", "query");
    let (first, second) = (trace.call(), trace.call());
    trace.end(&Ending::answered(200));
    let caller = TraceParent::parse(UNSAMPLED).unwrap();
    for out in [&first, &second] {
        assert_eq!((out.parent.trace, out.parent.is_sampled()), (caller.trace, false));
        assert_ne!(out.parent.span, caller.span);
        assert_eq!(out.state.as_ref().map(|state| state.as_str()), Some("vendor=1"));
    }
    assert!(ended(&telemetry).is_empty());
}

#[test]
fn the_other_context_is_a_link() {
    let telemetry = recording();
    let link = TraceParent::parse("00-11111111111111111111111111111111-2222222222222222-01");
    telemetry.begin(&Came { link, ..came(SAMPLED) }, &Method::Ping).end(&Ending::answered(200));
    let spans = ended(&telemetry);
    assert_eq!((spans[0].links.len(), &*spans[0].links[0].span_id), (1, &[0x22_u8; 8][..]));
}

#[test]
fn errors_are_said_by_their_labels_and_codes() {
    let with_code = |mut trace: RequestTrace| {
        trace.code(Some(-32602));
        trace
    };
    let answered = Ending::answered(200);
    let cases: [(Ending<'_>, bool, Option<&str>, Option<&str>); 7] = [
        (answered, false, None, None),
        (answered.with_is_error(true), false, Some("tool_error"), None),
        (Ending { reason: Some("error response"), ..answered }, true, Some("-32602"), Some("-32602")),
        (Ending { reason: Some("error response"), ..answered }, false, Some("_OTHER"), None),
        (Ending::refused(429, Some(42901), "rate_limited"), false, Some("rate_limited"), Some("42901")),
        (Ending::failed(200, None, "timeout"), false, Some("timeout"), None),
        (Ending { how: How::Cancelled, ..answered }, false, None, None),
    ];
    for (ending, coded, kind, code) in cases {
        let telemetry = recording();
        let mut trace = call(&telemetry, SAMPLED);
        trace.call();
        if coded { with_code(trace) } else { trace }.end(&ending);
        let spans = ended(&telemetry);
        assert_eq!(spans.len(), 2);
        for span in &spans {
            assert_eq!(attribute(span, "error.type"), kind, "{ending:?}");
            assert_eq!(attribute(span, "rpc.response.status_code"), code, "{ending:?}");
            assert_eq!(is_error(span), kind.is_some(), "{ending:?}");
        }
    }
}

#[test]
fn a_call_that_is_sent_twice_leaves_a_span_for_each() {
    let telemetry = recording();
    let mut trace = call(&telemetry, SAMPLED);
    let first = trace.call();
    trace.call_failed("session_lost");
    let second = trace.call();
    trace.end(&Ending::answered(200));
    let spans = ended(&telemetry);
    let said: Vec<_> = spans.iter().map(|span| (span.span_id.clone(), attribute(span, "error.type"))).collect();
    assert_eq!(said[0], (first.parent.span.bytes().to_vec(), Some("session_lost")));
    assert_eq!(said[1], (second.parent.span.bytes().to_vec(), None));
    assert_eq!(said.len(), 3);
    assert!(spans[..2].iter().all(|span| span.parent_span_id == spans[2].span_id));
}

#[test]
fn what_clients_make_up_is_no_name_and_uris_are_left_out() {
    let telemetry = recording();
    let canary = "canary-0123456789";
    let mut read = telemetry.begin(&Came::default(), &Method::ResourcesRead);
    let uri = format!("db://table?token={canary}");
    read.set(&setting(format!("\"{canary}{}\"", "x".repeat(64)).as_bytes()));
    read.target("shop", &uri, &uri);
    read.call();
    read.end(&Ending::answered(200));
    telemetry.begin(&Came::default(), &Method::Other(canary.into())).end(&Ending::refused(404, Some(-32601), "method"));
    let mut odd = telemetry.begin(&Came::default(), &Method::Ping);
    odd.set(&setting(b"7"));
    odd.end(&Ending::answered(200));
    let spans = ended(&telemetry);
    assert!(!format!("{spans:?}").contains(canary), "{spans:?}");
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["resources/read", "resources/read", "_OTHER", "ping"]);
    assert_eq!(attribute(&spans[3], "jsonrpc.request.id"), Some("7"));
}

#[test]
fn every_way_out_of_a_trail_ends_the_spans_once() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), SpoolOptions { segment_bytes: SEGMENT_BYTES_MIN, segments_max: 2 }).unwrap();
    type Way = fn(Trail);
    let ways: [(Way, &str); 9] = [
        (|mut trail| trail.done(false, false, 5), "answered"),
        (|mut trail| trail.answered(5), "answered"),
        (|mut trail| trail.refuse(429, 42901, "rate_limited"), "refused"),
        (|mut trail| trail.failed("timeout", 5), "failed"),
        (|mut trail| trail.broken("closed", 5), "broken"),
        (|mut trail| trail.cancelled(), "cancelled"),
        (drop, "cancelled"),
        (|mut trail| drop(trail.take()), "cancelled"),
        (
            |trail| {
                let fell = catch_unwind(AssertUnwindSafe(move || {
                    let _trail = trail;
                    panic!("expected by the test");
                }));
                assert!(fell.is_err());
            },
            "broken",
        ),
    ];
    for known in [true, false] {
        for (way, how) in ways {
            let telemetry = recording();
            let mut trail = Trail::open(&audit, None, None);
            trail.traced(telemetry.begin(&came(SAMPLED), &Method::ToolsCall));
            if known {
                trail.method(&Method::ToolsCall);
                trail.target("shop", "query", "shop_query");
            }
            way(trail);
            let spans = ended(&telemetry);
            assert_eq!(spans.len(), 1, "{how}, known: {known}");
            assert_eq!(attribute(&spans[0], "patchbay.outcome"), Some(how), "known: {known}");
        }
    }
}

#[test]
fn a_span_begins_when_its_request_came() {
    let telemetry = recording();
    let mut trace = telemetry.begin(&came(SAMPLED), &Method::Ping);
    let came = std::time::Instant::now().checked_sub(std::time::Duration::from_millis(500));
    trace.set(&Setting { came, ..setting(b"1") });
    trace.end(&Ending::answered(200));
    let spans = ended(&telemetry);
    assert!(spans[0].end_time_unix_nano - spans[0].start_time_unix_nano >= 500_000_000);
}

#[test]
fn spans_that_find_no_room_are_counted_and_the_oldest_stay() {
    let telemetry = recording();
    for number in 0..outbox::SPANS_WAITING_MAX + 10 {
        let mut trace = telemetry.begin(&Came::default(), &Method::Ping);
        trace.set(&setting(number.to_string().as_bytes()));
        trace.end(&Ending::answered(200));
    }
    let stats = telemetry.stats();
    assert_eq!((stats.waiting, stats.dropped, stats.lost()), (outbox::SPANS_WAITING_MAX as u64, 10, 10));
    assert_eq!(attribute(&ended(&telemetry)[0], "jsonrpc.request.id"), Some("0"));
}
