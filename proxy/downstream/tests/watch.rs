//! What children are told beside calls — which resources are watched, levels, roots — and calls whose deadline moves.

#[path = "support/world.rs"]
mod world;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use patchbay_core::model::{EraPin, Sharing};
use patchbay_downstream::{
    CallCx, Downstream, Event, Extension, Fault, HealthState, Message, Outgoing, Reply, ShareKey,
    stdio::{ChildBudget, StdioDownstream, StdioOptions},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use world::{call, control, cx, eventually, finish, result, tool};

fn options(mode: &str) -> StdioOptions {
    let exe = env!("CARGO_BIN_EXE_patchbay-test-child");
    let mut options = StdioOptions::new("child", exe, ChildBudget::new(16), control());
    options.args = vec![mode.to_owned()];
    options.era = if mode == "modern" { EraPin::Modern } else { EraPin::Legacy };
    options
}

fn set(uris: &[&str]) -> Arc<BTreeSet<Arc<str>>> {
    Arc::new(uris.iter().map(|uri| Arc::from(*uri)).collect())
}

async fn told(server: &dyn Downstream) -> Vec<Value> {
    let told = call(server, "told", &json!({})).await.expect("answered");
    told.as_array().expect("a list").clone()
}

/// Waits until the child was told something that fits.
async fn told_until(server: &dyn Downstream, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let told = told(server).await;
        if fits(&told) {
            return told;
        }
        assert!(Instant::now() < end, "only {told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn subscribe(uri: &str) -> Value {
    json!(["resources/subscribe", uri, null])
}

#[tokio::test]
async fn a_legacy_child_is_told_what_is_new_and_what_is_gone_and_all_of_it_after_a_restart() {
    let server = StdioDownstream::new(options("plain"));
    let mut events = server.events();
    server.watch(set(&["a:1", "a:2"]));
    assert_eq!(server.health().state, HealthState::Idle, "nothing is started for it");
    let child = call(&*server, "pid", &json!({})).await.expect("it runs")["pid"].as_i64().expect("a pid");
    let first = told_until(&*server, |told| told.len() == 2).await;
    assert!(first.contains(&subscribe("a:1")) && first.contains(&subscribe("a:2")));
    server.watch(set(&["a:2", "a:3"]));
    let then = told_until(&*server, |told| told.len() == 4).await;
    assert!(then.contains(&json!(["resources/unsubscribe", "a:1", null])) && then.contains(&subscribe("a:3")));
    call(&*server, "update", &json!({"uri": "a:2"})).await.expect("answered");
    assert_eq!(events.recv().await, Ok(Event::ResourceUpdated("a:2".into())));
    kill(Pid::from_raw(i32::try_from(child).expect("a pid")), Signal::SIGKILL).expect("it runs");
    eventually("the child is missed", || server.health().state == HealthState::Down).await;
    let again = told_until(&*server, |told| told.len() == 2).await;
    assert!(again.contains(&subscribe("a:2")) && again.contains(&subscribe("a:3")));
    assert_eq!(events.recv().await, Ok(Event::Reconnected));
    server.close().await;
}

#[tokio::test]
async fn a_modern_child_is_asked_anew_before_the_last_listening_ends() {
    let server = StdioDownstream::new(options("modern"));
    let _events = server.events();
    let first = told_until(&*server, |told| told.len() == 1).await;
    assert_eq!(first[0]["listen"], json!({"toolsListChanged": true}));
    server.watch(set(&["a:1"]));
    let then = told_until(&*server, |told| told.len() == 2).await;
    assert_eq!(then[1]["listen"], json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]}));
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let cancelled = call(&*server, "cancelled", &json!({})).await.expect("answered");
        if cancelled["ids"] == json!([first[0]["id"]]) {
            break;
        }
        assert!(Instant::now() < end && cancelled["ids"] == json!([]), "{cancelled}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.close().await;
}

#[tokio::test]
async fn a_watched_child_is_not_stopped_for_idleness_and_one_that_is_watched_no_more_is() {
    let idle_stop = Some(Duration::from_millis(100));
    let server = StdioDownstream::new(StdioOptions { idle_stop, ..options("plain") });
    let other = StdioDownstream::new(StdioOptions { idle_stop, ..options("plain") });
    let (_events, _others) = (server.events(), other.events());
    server.watch(set(&["a:1"]));
    for server in [&server, &other] {
        call(&**server, "echo", &json!({})).await.expect("answered");
    }
    eventually("the other child is stopped", || other.health().state == HealthState::Idle).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.health().state, HealthState::Up);
    server.watch(set(&[]));
    eventually("the child is stopped", || server.health().state == HealthState::Idle).await;
    futures_util::join!(server.close(), other.close());
}

#[tokio::test]
async fn a_child_is_asked_for_more_log_messages_once_and_only_when_a_call_wants_them() {
    let server = StdioDownstream::new(options("plain"));
    for level in ["", "\"info\"", "\"warning\"", "\"info\"", "\"debug\""] {
        let log_level = (!level.is_empty()).then(|| Bytes::copy_from_slice(level.as_bytes()));
        let request = Outgoing { log_level, ..tool("echo", &json!({})) };
        finish(server.call(cx(ShareKey::Tenant, "{}"), request).await.expect("a reply")).await.expect("answered");
    }
    let said: Vec<_> = told(&*server).await.into_iter().map(|told| told[2].clone()).collect();
    assert_eq!(said, ["info", "debug"]);
    server.close().await;
}

#[tokio::test]
async fn only_a_child_that_was_offered_roots_hears_that_they_changed() {
    let server = StdioDownstream::new(StdioOptions { sharing: Sharing::Principal, ..options("plain") });
    let (able, unable) = (r#"{"roots":{"listChanged":true}}"#, r#"{"roots":{}}"#);
    let of = |capabilities: &str| cx(ShareKey::Principal([1; 16]), capabilities);
    server.roots_changed(of(able)).await;
    assert_eq!(server.health().state, HealthState::Idle, "nothing is started for it");
    for (capabilities, expected) in [(able, json!(["roots"])), (unable, json!([]))] {
        let ask = async || {
            let reply = server.call(of(capabilities), tool("told", &json!({}))).await.expect("a reply");
            result(&finish(reply).await.expect("answered"))
        };
        ask().await;
        server.roots_changed(of(capabilities)).await;
        assert_eq!(ask().await, expected);
    }
    server.close().await;
}

fn patient(by: u64, latest: u64) -> CallCx {
    let now = Instant::now();
    let (by, latest) = (Duration::from_millis(by), now + Duration::from_millis(latest));
    CallCx { deadline: now + by, extension: Some(Extension { by, latest }), ..cx(ShareKey::Tenant, "{}") }
}

fn dripping(count: u64) -> Outgoing {
    Outgoing { progress: true, ..tool("drip", &json!({"count": count})) }
}

#[tokio::test]
async fn signs_of_life_move_the_deadline_and_its_bound_does_not() {
    let server = StdioDownstream::new(options("plain"));
    call(&*server, "echo", &json!({})).await.expect("it runs");
    // Twelve times 60 ms, with 500 ms at a time.
    let reply = server.call(patient(500, 20_000), dripping(12)).await.expect("a reply");
    assert_eq!(result(&finish(reply).await.expect("in time"))["done"], true);
    let began = Instant::now();
    let reply = server.call(patient(500, 700), dripping(1000)).await.expect("a reply");
    let error = finish(reply).await.expect_err("too late");
    assert_eq!(error.fault, Fault::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(700));
    server.close().await;
}

#[tokio::test]
async fn a_question_to_a_person_gives_time_beyond_the_bound() {
    let server = StdioDownstream::new(StdioOptions { sharing: Sharing::Principal, ..options("plain") });
    let share = ShareKey::Principal([1; 16]);
    let able = || CallCx { share: share.clone(), capabilities: r#"{"elicitation":{}}"#.into(), ..patient(5000, 5000) };
    finish(server.call(able(), tool("echo", &json!({}))).await.expect("it runs")).await.expect("answered");
    let now = Instant::now();
    let brief = CallCx { deadline: now + Duration::from_millis(300), ..able() };
    let Ok(Reply::Stream(mut stream)) = server.call(brief, tool("ask", &json!({}))).await else {
        panic!("no question")
    };
    let Ok(Message::Request(question)) = stream.next().await else { panic!("no question") };
    stream.extend(Duration::from_secs(20));
    tokio::time::sleep_until(now + Duration::from_millis(400)).await;
    question.answer.answer(Bytes::from_static(br#""result":{"action":"accept"}"#)).await.expect("sent");
    assert!(matches!(stream.next().await, Ok(Message::Response(_))));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_progress_keeps_nobody_else_waiting() {
    let server = StdioDownstream::new(options("plain"));
    let other = StdioDownstream::new(options("plain"));
    call(&*other, "echo", &json!({})).await.expect("it runs");
    let flooded = Outgoing { progress: true, ..tool("progress", &json!({"count": 100_000})) };
    let Ok(Reply::Stream(mut stream)) = server.call(cx(ShareKey::Tenant, "{}"), flooded).await else {
        panic!("no progress")
    };
    // Nobody reads; the other child shares the thread of the one that floods.
    for _ in 0..20 {
        let began = std::time::Instant::now();
        call(&*other, "echo", &json!({})).await.expect("answered");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    call(&*server, "echo", &json!({})).await.expect("what was sent before was read before");
    let mut last = None;
    let mut count = 0;
    let done = loop {
        match stream.next().await.expect("a message") {
            Message::Notification(message) => (last, count) = (Some(message), count + 1),
            Message::Response(answer) => break answer,
            Message::Request(_) => panic!("no question"),
        }
    };
    assert_eq!(result(&done)["done"], true);
    assert!(count <= 257, "{count} messages were kept beside the first");
    let last: Value = serde_json::from_slice(&last.expect("some")).expect("JSON");
    assert_eq!(last["params"]["progress"], 99_999, "the newest stay");
    futures_util::join!(server.close(), other.close());
}
