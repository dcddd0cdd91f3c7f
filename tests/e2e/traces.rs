//! What an operator sees of single requests: one trace from the client over the gateway to the server, whatever they speak, and the
//! same ids on the lines of the log. And that nobody pays for a collector that misbehaves.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use http::StatusCode;
use patchbay_e2e::{
    Ask, Client, Collector, Fixture, TestGateway,
    collector::Span,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};

/// The trace of a caller, by its number; and the caller's own span.
fn parent(number: u32) -> (String, String, String) {
    let (trace, span) = (format!("{:032x}", 0xa000_0000_u64 + u64::from(number)), format!("{:016x}", 0xb0 + number));
    let text = format!("00-{trace}-{span}-01");
    (text, trace, span)
}

/// What must be in no span and on no line.
const CANARY: &str = "canary-5fd1c2a0b7e94c55";

/// A call of a tool with these members of `_meta`.
fn call(client: &Client, tool: &str, meta: &Value) -> Ask {
    client.ask("tools/call", json!({ "name": tool, "arguments": { "secret": CANARY }, "_meta": meta }))
}

/// What a server was told of traces.
async fn told(client: &Client, server: &str) -> Vec<Value> {
    let seen = client.call(&format!("{server}_seen"), json!({})).await;
    let seen: Value = serde_json::from_str(seen.text()).unwrap();
    seen["traces"].as_array().unwrap().clone()
}

/// The two spans of a call: the gateway's own, and that of its call to the server.
async fn spans(collector: &Collector, trace: &str) -> (Span, Span) {
    wait_until(format!("the spans of {trace}"), || async { collector.trace(trace).len() == 2 }).await;
    let spans = collector.trace(trace);
    let of =
        |kind| spans.iter().find(|span| span.kind == kind).unwrap_or_else(|| panic!("no {kind}: {spans:?}")).clone();
    (of("server"), of("client"))
}

fn member<'a>(what: &'a Value, place: &str, name: &str) -> &'a str {
    what[place][name].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_one_trace_from_the_client_over_the_gateway_to_the_server() {
    let collector = Collector::start().await;
    let fixtures = [Fixture::scripted(&["--no-odd"]), Fixture::scripted(&["--no-odd", "--era", "modern"])];
    let servers = [
        ("old", fixtures[0].server()),
        ("new", fixtures[1].server()),
        ("child", scripted(&["--no-odd"])),
        ("kid", scripted(&["--no-odd", "--era", "modern"])),
    ];
    let gateway = TestGateway::setup().tenant(tenant("acme", servers)).set("traces", collector.traces()).start().await;
    let mut number = 0;
    for client in gateway.both("acme").await {
        for server in ["old", "new", "child", "kid"] {
            number += 1;
            let what = format!("{} to {server}", client.version);
            let (text, trace, caller) = parent(number);
            let meta = json!({ "traceparent": text, "tracestate": "vendor=\"1\"", "baggage": format!("x={CANARY}"), "kept": 1 });
            let answer = client.gather(&call(&client, &format!("{server}_echo"), &meta)).await;
            assert!(answer.text().contains(CANARY), "{what}");
            let (own, leg) = spans(&collector, &trace).await;
            assert_eq!((&own.parent, &leg.parent), (&caller, &own.id), "{what}");
            assert_eq!((&*own.name, &*leg.name), (&*format!("tools/call {server}_echo"), "tools/call echo"));
            assert!(!own.is_error && !leg.is_error && own.took_ns >= leg.took_ns, "{what}: {own:?} {leg:?}");
            for (name, value) in [
                ("mcp.method.name", "tools/call"),
                ("gen_ai.operation.name", "execute_tool"),
                ("gen_ai.tool.name", &format!("{server}_echo")),
                ("mcp.protocol.version", &client.version),
                ("patchbay.tenant", "acme"),
                ("patchbay.toolset", "default"),
                ("patchbay.server", server),
                ("patchbay.outcome", "answered"),
            ] {
                assert_eq!(own.get(name), value, "{what}: {name}");
            }
            assert_eq!((leg.get("gen_ai.tool.name"), leg.get("patchbay.server")), ("echo", server));

            let told = told(&client, server).await;
            let mine: Vec<_> =
                told.iter().filter(|said| member(said, "meta", "traceparent").contains(&trace)).collect();
            let [mine] = mine[..] else { panic!("{what}: the server was told {told:?}") };
            let expected = format!("00-{trace}-{}-01", leg.id);
            let places: &[&str] = if matches!(server, "old" | "new") { &["meta", "headers"] } else { &["meta"] };
            for place in places {
                assert_eq!(member(mine, place, "traceparent"), expected, "{what}: {mine}");
                assert_eq!(member(mine, place, "tracestate"), "vendor=\"1\"", "{what}: {mine}");
                assert_eq!(mine[place].get("baggage"), None, "{what}: {mine}");
            }
        }
    }
    let said = format!("{:?}", collector.spans());
    assert!(!said.contains(CANARY), "a span says what was said: {said}");
    assert!(!gateway.log().contains(CANARY), "the log says what was said");
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_comes_before_the_headers_and_garbage_is_passed_over() {
    let collector = Collector::start().await;
    let gateway = TestGateway::setup()
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
        .set("traces", collector.traces())
        .start()
        .await;
    for client in gateway.both("acme").await {
        let base = if client.is_modern() { 100 } else { 200 };
        let (by_header, header_trace, header_span) = parent(base);
        let (by_meta, meta_trace, meta_span) = parent(base + 1);
        let alone = call(&client, "one_echo", &json!({})).header("traceparent", &by_header).header("tracestate", "a=1");
        assert_eq!(client.gather(&alone).await.status, 200);
        let (own, _) = spans(&collector, &header_trace).await;
        assert_eq!((&own.parent, &*own.state), (&header_span, "a=1"));

        let both = call(&client, "one_echo", &json!({ "traceparent": by_meta })).header("traceparent", &by_header);
        assert_eq!(client.gather(&both).await.status, 200);
        let (own, _) = spans(&collector, &meta_trace).await;
        assert_eq!((own.parent, own.links), (meta_span, vec![header_span]));

        let before = collector.spans().len();
        let garbage = json!({ "traceparent": "garbage", "tracestate": { "not": "a text" } });
        let garbage = call(&client, "one_echo", &garbage).header("traceparent", "00-also-garbage-01");
        let answer = client.gather(&garbage).await;
        assert_eq!((answer.status, answer.is_error()), (200, false), "{}", answer.raw);
        wait_until("the spans of a new trace", || async { collector.spans().len() >= before + 2 }).await;
        let fresh = &collector.spans()[before..];
        assert!(fresh.iter().any(|span| span.kind == "server" && span.parent.is_empty()), "{fresh:?}");
        let told = told(&client, "one").await;
        assert!(!told.iter().any(|said| said.to_string().contains("garbage")), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_refused_or_is_taken_back_says_so() {
    let collector = Collector::start().await;
    let far = Fixture::scripted(&["--no-odd"]);
    let mut acme = tenant("acme", [("far", far.server())]);
    acme["servers"]["far"]["call_timeout_s"] = json!(30);
    acme["servers"]["late"] = far.server();
    acme["servers"]["late"]["call_timeout_s"] = json!(1);
    let gateway = TestGateway::setup().tenant(acme).set("traces", collector.traces()).start().await;
    let client = gateway.modern("acme");
    let meta = |number| json!({ "traceparent": parent(number).0 });

    client.gather(&call(&client, "late_hang", &meta(1))).await;
    let (own, leg) = spans(&collector, &parent(1).1).await;
    for span in [&own, &leg] {
        assert_eq!((span.get("error.type"), span.is_error), ("timeout", true), "{span:?}");
    }
    assert_eq!(own.get("patchbay.outcome"), "failed");
    assert!(own.took_ns >= 900_000_000, "{own:?}");

    let failing = json!({ "name": "far_raw_result", "arguments": { "result": { "content": [], "isError": true } }, "_meta": meta(2) });
    client.request("tools/call", failing).await;
    let (own, leg) = spans(&collector, &parent(2).1).await;
    assert_eq!((own.get("error.type"), leg.get("error.type")), ("tool_error", "tool_error"));

    client.gather(&call(&client, &format!("no_{CANARY}"), &meta(3))).await;
    wait_until("the refusal", || async { collector.trace(&parent(3).1).len() == 1 }).await;
    let refused = &collector.trace(&parent(3).1)[0];
    assert_eq!((&*refused.name, refused.get("rpc.response.status_code")), ("tools/call", "-32602"), "{refused:?}");
    assert!(refused.is_error && refused.get("patchbay.outcome") == "refused", "{refused:?}");

    let hang = call(&client, "far_hang", &meta(4));
    let address = gateway.address;
    let hanging = tokio::spawn(async move { hang.try_send(address).await.map(drop) });
    wait_until("the call runs", || async {
        told(&client, "far").await.iter().any(|said| said.to_string().contains(&parent(4).1))
    })
    .await;
    hanging.abort();
    let (own, leg) = spans(&collector, &parent(4).1).await;
    assert_eq!((own.get("patchbay.outcome"), own.is_error, leg.is_error), ("cancelled", false, false));

    let legacy = gateway.legacy("acme").await;
    legacy.request("ping", json!({ "_meta": meta(5) })).await;
    legacy.request("tools/list", json!({ "_meta": meta(6) })).await;
    for (number, name) in [(5, "ping"), (6, "tools/list")] {
        let trace = parent(number).1;
        wait_until(format!("the span of {name}"), || async { collector.trace(&trace).len() == 1 }).await;
        let span = &collector.trace(&trace)[0];
        assert_eq!((&*span.name, span.get("patchbay.outcome")), (name, "answered"), "{span:?}");
    }
    wait_until("the handshake", || async { collector.spans().iter().any(|span| span.name == "initialize") }).await;
    assert!(!format!("{:?}", collector.spans()).contains(CANARY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_context_reaches_another_tenants_server_or_another_call() {
    let collector = Collector::start().await;
    let mut setup = TestGateway::setup().set("traces", collector.traces());
    let names = ["acme", "umbrella"];
    for name in names {
        setup = setup.tenant(tenant(name, [("one", scripted(&["--no-odd"]))]));
    }
    let gateway = setup.start().await;
    let mut callers = tokio::task::JoinSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let clients = gateway.both(name).await;
        for number in 0..40_u32 {
            let client = clients[number as usize % 2].clone();
            let (text, ..) = parent(1000 * (u32::try_from(index).unwrap() + 1) + number);
            callers.spawn(async move {
                let answer = client.gather(&call(&client, "one_echo", &json!({ "traceparent": text }))).await;
                assert_eq!(answer.status, 200, "{}", answer.raw);
            });
        }
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    for (index, name) in names.into_iter().enumerate() {
        let told = told(&gateway.modern(name), "one").await;
        let traces: Vec<_> =
            told.iter().map(|said| member(said, "meta", "traceparent").split('-').nth(1).unwrap_or_default()).collect();
        let base = 1000 * (u32::try_from(index).unwrap() + 1);
        let own: BTreeSet<_> = (0..40).map(|number| parent(base + number).1).collect();
        let other: BTreeSet<_> = (0..40).map(|number| parent(3000 - base + number).1).collect();
        let found: BTreeSet<_> = traces.iter().map(|trace| (*trace).to_owned()).collect();
        assert!(own.is_subset(&found), "{name}: {found:?}");
        assert!(other.is_disjoint(&found), "{name}: {found:?}");
        for trace in own {
            assert_eq!(traces.iter().filter(|known| **known == trace).count(), 1, "{name}: {trace}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_traces_what_callers_say_passes_as_it_came_and_is_on_the_log() {
    let collector = Collector::start().await;
    let far = Fixture::scripted(&["--no-odd"]);
    let mut acme = tenant("acme", [("far", far.server()), ("child", scripted(&["--no-odd"]))]);
    acme["servers"]["far"]["call_timeout_s"] = json!(1);
    let gateway = TestGateway::setup().tenant(acme).start().await;
    let mut number = 0;
    for client in gateway.both("acme").await {
        for server in ["far", "child"] {
            number += 1;
            let (text, trace, _) = parent(number);
            let meta = json!({ "traceparent": text, "tracestate": "not a state" });
            client.gather(&call(&client, &format!("{server}_echo"), &meta).header("traceparent", parent(77).0)).await;
            let told = told(&client, server).await;
            let mine = told.iter().find(|said| said.to_string().contains(&trace)).unwrap();
            assert_eq!(mine["meta"], json!({ "traceparent": text, "tracestate": "not a state" }));
            assert_eq!(mine.get("headers"), None, "headers of a client go to no server");
        }
        let (text, trace, _) = parent(10 + number);
        client.gather(&call(&client, "far_hang", &json!({ "traceparent": text }))).await;
        wait_until("the failure is on the log and in the audit", || async {
            let Some(line) = lines(&gateway).into_iter().find(|line| line["trace"] == trace) else { return false };
            assert_eq!(line["server"], "far", "{line}");
            gateway.audit().await.iter().any(|record| record["event"] == line["request"] && record["native"] == "hang")
        })
        .await;
    }
    let plain = lines(&gateway).into_iter().filter(|line| line.get("request").is_none()).count();
    assert!(plain > 2, "lines of no request carry none");
    assert!(!gateway.log().contains(CANARY));
    assert_eq!(collector.requests(), 0);
}

/// The whole lines of the log, which are JSON.
fn lines(gateway: &TestGateway) -> Vec<Value> {
    let log = gateway.log();
    let (log, _) = log.rsplit_once('\n').unwrap_or_default();
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_misbehaves_costs_no_call_and_no_time_at_the_end() {
    for status in [Some(StatusCode::INTERNAL_SERVER_ERROR), Some(StatusCode::SERVICE_UNAVAILABLE), None] {
        let collector = Collector::start().await;
        collector.answer_with(status);
        let mut traces = collector.traces();
        traces["headers"] = json!({ "authorization": format!("Bearer {CANARY}") });
        let gateway = TestGateway::setup()
            .tenant(tenant("acme", [("one", scripted(&["--no-odd"]))]))
            .set("traces", traces)
            .start()
            .await;
        let client = gateway.modern("acme");
        let mut slowest = Duration::ZERO;
        for _ in 0..40 {
            let asked = Instant::now();
            assert_eq!(client.call("one_echo", json!({})).await.status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        wait_until("the collector is asked", || async { collector.requests() > 0 }).await;
        assert!(slowest < Duration::from_secs(2), "{status:?}: a call took {slowest:?}");
        let stopping = Instant::now();
        let said = {
            let mut gateway = gateway;
            gateway.terminate();
            gateway.ended();
            gateway.log()
        };
        assert!(stopping.elapsed() < Duration::from_secs(10), "{status:?}: {:?}", stopping.elapsed());
        let told = said.lines().filter(|line| line.contains("did not reach the collector of traces:")).count();
        assert!(told <= 1, "{status:?}: it is said again and again: {said}");
        assert!(said.contains("did not reach the collector of traces"), "{status:?}: nobody says it: {said}");
        assert!(!said.contains(CANARY), "{status:?}: a secret is on the log");
    }
}
