//! The stdio transport against real child processes that behave well, badly and not at all.

#[path = "support/world.rs"]
mod world;

use std::{path::PathBuf, sync::Arc, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use patchbay_core::{
    era::{Era, Version},
    model::{EraPin, Sharing},
};
use patchbay_downstream::{
    CallCx, Children, Delivery, Downstream, DownstreamError, Event, Fault, HealthState, List, Message, Reply, ShareKey,
    stdio::{ChildBudget, StdioDownstream, StdioOptions},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use world::{call, control, cx, eventually, finish, result, soon, tool};

/// Options for the scripted child in this mode.
fn options(mode: &str) -> StdioOptions {
    let exe = env!("CARGO_BIN_EXE_patchbay-test-child");
    let mut options = StdioOptions::new("child", exe, ChildBudget::new(16), control());
    options.args = vec![mode.to_owned()];
    options
}

fn server(mode: &str) -> Arc<StdioDownstream> {
    StdioDownstream::new(options(mode))
}

async fn pid(server: &dyn Downstream) -> i32 {
    let found = call(server, "pid", &json!({})).await.expect("it runs");
    i32::try_from(found["pid"].as_i64().expect("a number")).expect("a pid")
}

/// Whether a process exists at all, be it as a zombie.
fn exists(pid: i32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

/// Whether a process runs.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
}

fn failure<T>(outcome: Result<T, DownstreamError>) -> (Fault, Delivery) {
    match outcome {
        Ok(_) => panic!("it went well"),
        Err(error) => (error.fault, error.delivery),
    }
}

/// Starts this many calls that are never answered and waits until the child has them.
async fn waiting_calls(
    server: &Arc<StdioDownstream>,
    count: u32,
) -> Vec<tokio::task::JoinHandle<Result<Value, DownstreamError>>> {
    let calls = (0..count).map(|_| {
        let server = Arc::clone(server);
        tokio::spawn(async move { call(&*server, "never", &json!({})).await })
    });
    let calls = calls.collect();
    eventually("the calls wait", || server.health().in_flight == count).await;
    call(&**server, "echo", &json!({})).await.expect("what was written before was read before");
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_of_one_child_each_get_their_own_answer() {
    let server = server("plain");
    let calls = (0..200).map(|n| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { (n, call(&*server, "hold", &json!({"nonce": n, "count": 200})).await) })
    });
    for outcome in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
        let (n, answer) = outcome.expect("joined");
        assert_eq!(answer.expect("answered")["nonce"], n);
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_child_fails_its_calls_at_once_and_the_next_call_gets_a_new_one() {
    let server = server("plain");
    let child = pid(&*server).await;
    let mut events = server.events();
    let calls = waiting_calls(&server, 100).await;
    let killed = std::time::Instant::now();
    kill(Pid::from_raw(child), Signal::SIGKILL).expect("it runs");
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(failure(outcome.expect("joined")), (Fault::Closed, Delivery::MayHaveRun));
    }
    assert!(killed.elapsed() < Duration::from_secs(5), "calls waited {:?} for a dead child", killed.elapsed());
    let health = server.health();
    assert_eq!((health.state, health.in_flight), (HealthState::Down, 0));
    assert!(health.last_error.is_some_and(|text| text.contains("signal 9")));
    assert_eq!(server.load().children, Some(Children { running: 0, starts: 1, failures: 1 }));
    assert_ne!(pid(&*server).await, child);
    assert_eq!(server.load().children, Some(Children { running: 1, starts: 2, failures: 1 }));
    assert_eq!(events.recv().await, Ok(Event::Reconnected));
    eventually("the dead child is reaped", || !exists(child)).await;
    server.close().await;
}

#[tokio::test]
async fn the_environment_is_what_was_declared_and_nothing_else() {
    let mut options = options("plain");
    options.env = vec![("TOKEN".to_owned(), "t0ken".into()), ("HOME".to_owned(), "/nowhere".into())];
    let server = StdioDownstream::new(options);
    let found = call(&*server, "env", &json!({})).await.expect("answered");
    let found = found.as_object().expect("an object");
    assert_eq!((&found["TOKEN"], &found["HOME"]), (&json!("t0ken"), &json!("/nowhere")));
    let allowed = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TOKEN"];
    assert!(found.keys().all(|name| allowed.contains(&&**name)), "{:?}", found.keys().collect::<Vec<_>>());
    server.close().await;
}

#[tokio::test]
async fn a_variable_that_loads_code_is_refused_before_anything_starts() {
    let mut options = options("plain");
    options.env = vec![("NODE_OPTIONS".to_owned(), "--require=/tmp/x".into())];
    let error = call(&*StdioDownstream::new(options), "echo", &json!({})).await.expect_err("refused");
    assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent));
    assert!(error.detail.contains("NODE_OPTIONS") && !error.detail.contains("require"));
}

#[tokio::test]
async fn a_deadline_cancels_the_call_at_the_server() {
    let server = server("plain");
    pid(&*server).await;
    let brief = CallCx { deadline: Instant::now() + Duration::from_millis(100), ..cx(ShareKey::Tenant, "{}") };
    let outcome = server.call(brief, tool("never", &json!({}))).await;
    assert_eq!(failure(outcome), (Fault::Timeout, Delivery::MayHaveRun));
    let seen = call(&*server, "cancelled", &json!({})).await.expect("answered");
    assert_eq!(seen["ids"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.health().in_flight, 0);
    server.close().await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_and_its_late_answer_is_nobodys() {
    let server = server("plain");
    pid(&*server).await;
    let first = json!({"n": 1, "count": 2});
    let mut held = Box::pin(call(&*server, "hold", &first));
    assert!(futures_util::poll!(&mut held).is_pending());
    eventually("the call waits", || server.health().in_flight == 1).await;
    call(&*server, "echo", &json!({})).await.expect("the held call was read before");
    drop(held);
    let seen = call(&*server, "cancelled", &json!({})).await.expect("answered");
    assert_eq!(seen["ids"].as_array().map(Vec::len), Some(1));
    let second = call(&*server, "hold", &json!({"n": 2, "count": 2})).await.expect("answered");
    assert_eq!(second["n"], 2);
    server.close().await;
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_taken_once() {
    let server = server("plain");
    assert_eq!(call(&*server, "twice", &json!({})).await.expect("answered")["n"], 1);
    assert_eq!(call(&*server, "echo", &json!({"a": 1})).await.expect("answered")["a"], 1);
    server.close().await;
}

#[tokio::test]
async fn progress_comes_in_order_before_the_response_and_never_after() {
    let server = server("plain");
    let mut request = tool("progress", &json!({"count": 5}));
    request.progress = true;
    let Ok(Reply::Stream(mut stream)) = server.call(cx(ShareKey::Tenant, "{}"), request).await else {
        panic!("no stream")
    };
    for n in 0..5 {
        let Ok(Message::Notification(message)) = stream.next().await else { panic!("no notification {n}") };
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        assert_eq!(message["params"]["progress"], n);
    }
    let Ok(Message::Response(answer)) = stream.next().await else { panic!("no response") };
    assert_eq!(result(&answer)["done"], true);
    assert!(stream.next().await.is_err());
    server.close().await;
}

#[tokio::test]
async fn a_flood_of_progress_is_bounded_and_the_response_still_comes() {
    let server = server("plain");
    let mut request = tool("progress", &json!({"count": 20_000}));
    request.progress = true;
    let reply = server.call(cx(ShareKey::Tenant, "{}"), request).await.expect("a reply");
    eventually("the flood is over", || server.health().in_flight == 0).await;
    assert_eq!(result(&finish(reply).await.expect("a response"))["done"], true);
    server.close().await;
}

#[tokio::test]
async fn changes_are_told_to_everybody() {
    let server = server("plain");
    let mut events = server.events();
    call(&*server, "change", &json!({})).await.expect("answered");
    assert_eq!(events.recv().await, Ok(Event::ListChanged(List::Tools)));
    assert_eq!(events.recv().await, Ok(Event::ResourceUpdated("a:b".into())));
    server.close().await;
}

#[tokio::test]
async fn a_shared_child_can_ask_nobody_and_its_logs_go_to_nobody() {
    let server = server("plain");
    let told = call(&*server, "capabilities", &json!({})).await.expect("answered");
    assert_eq!(told, json!({}));
    let got = call(&*server, "ask", &json!({})).await.expect("answered");
    assert_eq!(got["got"]["error"]["code"], -32601);
    let reply = server.call(cx(ShareKey::Tenant, "{}"), tool("log", &json!({}))).await.expect("a reply");
    assert!(matches!(reply, Reply::One(_)), "a log message of a shared child reached a caller");
    server.close().await;
}

#[tokio::test]
async fn a_child_of_one_principal_asks_its_caller_and_gets_the_answer() {
    let mut options = options("plain");
    options.sharing = Sharing::Principal;
    let server = StdioDownstream::new(options);
    let caller = || cx(ShareKey::Principal([1; 16]), r#"{"elicitation":{}}"#);
    let Ok(Reply::Stream(mut stream)) = server.call(caller(), tool("ask", &json!({}))).await else {
        panic!("no stream")
    };
    let Ok(Message::Request(question)) = stream.next().await else { panic!("no question") };
    assert!(question.message.starts_with(b"{"));
    question.answer.answer("\"result\":{\"action\":\n\"accept\"}".into()).await.expect("sent");
    let Ok(Message::Response(answer)) = stream.next().await else { panic!("no response") };
    assert_eq!(result(&answer)["got"]["result"]["action"], "accept");
    assert_eq!(result(&answer)["got"]["id"], "q-1");
    let told = server.call(caller(), tool("capabilities", &json!({}))).await.expect("a reply");
    assert_eq!(result(&finish(told).await.expect("answered")), json!({"elicitation": {}}));
    let logged = server.call(caller(), tool("log", &json!({}))).await.expect("a reply");
    assert!(matches!(logged, Reply::Stream(_)), "the only caller did not get the log message");
    server.close().await;
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_answered_with_an_error() {
    let mut options = options("plain");
    options.sharing = Sharing::Session;
    let server = StdioDownstream::new(options);
    let caller = || cx(ShareKey::Session([1; 16]), "{}");
    drop(server.call(caller(), tool("ask", &json!({}))).await.expect("a reply"));
    let seen = server.call(caller(), tool("answers", &json!({}))).await.expect("a reply");
    let seen = result(&finish(seen).await.expect("answered"));
    assert_eq!(seen["answers"][0]["error"]["code"], -32603);
    server.close().await;
}

#[tokio::test]
async fn principals_have_children_of_their_own_within_the_budget() {
    let mut options = options("plain");
    options.sharing = Sharing::Principal;
    options.budget = ChildBudget::new(2);
    let budget = options.budget.clone();
    let server = StdioDownstream::new(options);
    let ask = |n: u8, name: &'static str| {
        let server = Arc::clone(&server);
        async move {
            let reply = server.call(cx(ShareKey::Principal([n; 16]), "{}"), tool(name, &json!({}))).await?;
            Ok::<_, DownstreamError>(result(&finish(reply).await?))
        }
    };
    let (first, second) = (ask(1, "pid").await.expect("a child"), ask(2, "pid").await.expect("a child"));
    assert_ne!(first, second);
    assert_eq!((ask(1, "pid").await.expect("its child"), budget.free()), (first, 0));
    let third = ask(3, "pid").await.expect("the child that was idle longest gives way");
    assert_ne!(third, second);
    let busy = [tokio::spawn(ask(1, "never")), tokio::spawn(ask(3, "never"))];
    eventually("both children are busy", || server.health().in_flight == 2).await;
    assert_eq!(failure(ask(4, "pid").await), (Fault::Busy, Delivery::NotSent));
    server.close().await;
    for call in busy {
        assert_eq!(failure(call.await.expect("joined")).0, Fault::Closed);
    }
    assert_eq!(budget.free(), 2);
}

#[tokio::test]
async fn every_way_to_open_ends_in_the_right_era() {
    let cases = [
        ("plain", EraPin::Auto, Version::V2025_11_25),
        ("plain", EraPin::Legacy, Version::V2025_11_25),
        ("oldest", EraPin::Auto, Version::V2025_03_26),
        ("silent", EraPin::Auto, Version::V2025_11_25),
        ("dies-of-probe", EraPin::Auto, Version::V2025_11_25),
        ("garbage-first", EraPin::Auto, Version::V2025_11_25),
        ("speaks-first", EraPin::Auto, Version::V2025_11_25),
        ("modern", EraPin::Auto, Version::V2026_07_28),
        ("modern", EraPin::Modern, Version::V2026_07_28),
    ];
    for (mode, pin, version) in cases {
        let mut options = options(mode);
        options.era = pin;
        options.probe_timeout = Duration::from_millis(300);
        let server = StdioDownstream::new(options);
        let hello = server.hello(soon()).await.unwrap_or_else(|error| panic!("{mode}: {error}"));
        assert_eq!(hello.version, version, "{mode}");
        assert_eq!((&*hello.server_info, hello.instructions.as_deref()), (r#"{"name":"child"}"#, None), "{mode}");
        assert_eq!(call(&*server, "echo", &json!({"a": 1})).await.expect(mode)["a"], 1);
        server.close().await;
    }
}

#[tokio::test]
async fn a_remembered_era_that_no_longer_holds_is_found_out_anew() {
    let remembered = server("plain").hello(soon()).await.expect("hello");
    let mut options = options("modern");
    options.remembered = Some(remembered);
    let server = StdioDownstream::new(options);
    let mut events = server.events();
    assert_eq!(server.hello(soon()).await.expect("hello").era(), Era::Modern);
    assert!(matches!(events.recv().await, Ok(Event::HelloChanged(hello)) if hello.era() == Era::Modern));
    server.close().await;
}

#[tokio::test]
async fn a_modern_child_gets_its_meta_and_is_listened_to() {
    let server = server("modern");
    let mut events = server.events();
    let meta = call(&*server, "meta", &json!({})).await.expect("answered");
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    assert_eq!(events.recv().await, Ok(Event::ListChanged(List::Tools)));
    server.close().await;
}

#[tokio::test]
async fn an_idle_child_is_stopped_and_the_next_call_starts_another() {
    let mut options = options("plain");
    options.idle_stop = Some(Duration::from_millis(200));
    let server = StdioDownstream::new(options);
    let child = pid(&*server).await;
    eventually("the idle child is gone", || !exists(child)).await;
    assert_eq!(server.health().state, HealthState::Idle);
    assert_ne!(pid(&*server).await, child);
    // To be idle is no failure.
    assert_eq!(server.load().children, Some(Children { running: 1, starts: 2, failures: 0 }));
    server.close().await;
    assert_eq!(failure(call(&*server, "echo", &json!({})).await), (Fault::Closed, Delivery::NotSent));
    assert_eq!(server.health().state, HealthState::Closed);
}

#[tokio::test]
async fn closing_ends_stubborn_children_and_what_they_started() {
    let server = server("stubborn");
    let child = pid(&*server).await;
    let grandchild = call(&*server, "grandchild", &json!({})).await.expect("answered")["pid"].as_i64();
    let grandchild = i32::try_from(grandchild.expect("a pid")).expect("a pid");
    assert!(runs(grandchild));
    server.close().await;
    assert!(!exists(child), "the child is still there");
    eventually("the grandchild is gone", || !runs(grandchild)).await;
}

#[tokio::test]
async fn what_a_dead_child_started_dies_too() {
    let server = server("plain");
    let grandchild = call(&*server, "grandchild", &json!({})).await.expect("answered")["pid"].as_i64();
    let grandchild = i32::try_from(grandchild.expect("a pid")).expect("a pid");
    assert_eq!(failure(call(&*server, "die", &json!({})).await), (Fault::Closed, Delivery::MayHaveRun));
    eventually("the grandchild is gone", || !runs(grandchild)).await;
    server.close().await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_nobody_behind() {
    use tokio::io::AsyncBufReadExt;

    let mut gateway = tokio::process::Command::new(env!("CARGO_BIN_EXE_patchbay-test-child"))
        .arg("gateway")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a gateway");
    let mut lines = tokio::io::BufReader::new(gateway.stdout.take().expect("piped")).lines();
    let mut pids = Vec::new();
    for _ in 0..2 {
        let line = lines.next_line().await.expect("readable").expect("a line");
        let message: Value = serde_json::from_str(&line).expect("JSON");
        pids.push(i32::try_from(message["result"]["pid"].as_i64().expect("a pid")).expect("a pid"));
    }
    assert!(pids.iter().all(|pid| runs(*pid)));
    gateway.kill().await.expect("killed");
    eventually("child and grandchild are gone", || !pids.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn a_line_over_the_bound_fails_only_its_own_call() {
    let mut options = options("plain");
    options.line_bytes_max = 10_000;
    let server = StdioDownstream::new(options);
    let other = waiting_calls(&server, 1).await.remove(0);
    for id_last in [false, true] {
        let outcome = call(&*server, "huge", &json!({"count": 1_000_000, "id_last": id_last})).await;
        assert_eq!(failure(outcome), (Fault::TooLarge, Delivery::MayHaveRun));
    }
    let fits = call(&*server, "huge", &json!({"count": 9_000})).await.expect("answered");
    assert_eq!(fits["x"].as_str().map(str::len), Some(9_000));
    assert!(!other.is_finished());
    server.close().await;
}

#[tokio::test]
async fn half_a_rune_fails_only_its_own_call() {
    let server = server("plain");
    let other = waiting_calls(&server, 1).await.remove(0);
    assert_eq!(failure(call(&*server, "rune", &json!({})).await).0, Fault::Protocol);
    assert_eq!(call(&*server, "echo", &json!({"a": 1})).await.expect("answered")["a"], 1);
    assert!(!other.is_finished());
    server.close().await;
}

#[tokio::test]
async fn a_child_that_floods_garbage_is_given_up() {
    let server = server("garbage-flood");
    let error = call(&*server, "echo", &json!({})).await.expect_err("no message among the garbage");
    assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent));
    assert!(error.detail.contains("are no messages"), "{}", error.detail);
    server.close().await;
}

#[tokio::test]
async fn a_child_that_cannot_start_backs_off_and_says_why() {
    for mut broken in [options("quits"), StdioOptions { command: "/no/such/program".into(), ..options("") }] {
        broken.env = vec![("TOKEN".to_owned(), "s3cr3t-value".into())];
        let server = StdioDownstream::new(broken);
        for _ in 0..3 {
            assert_eq!(failure(call(&*server, "echo", &json!({})).await), (Fault::Unavailable, Delivery::NotSent));
        }
        let health = server.health();
        assert_eq!(health.state, HealthState::Down);
        assert!(health.retry_in.is_some_and(|left| left > Duration::from_millis(300)), "{health:?}");
        assert!(health.last_error.is_some());
        server.close().await;
    }
}

#[tokio::test]
async fn a_child_that_hangs_is_killed_after_a_call_timed_out() {
    let mut options = options("plain");
    options.hang_grace = Duration::from_millis(200);
    let server = StdioDownstream::new(options);
    let child = pid(&*server).await;
    kill(Pid::from_raw(child), Signal::SIGSTOP).expect("it runs");
    let brief = CallCx { deadline: Instant::now() + Duration::from_millis(100), ..cx(ShareKey::Tenant, "{}") };
    assert_eq!(failure(server.call(brief, tool("echo", &json!({}))).await).0, Fault::Timeout);
    eventually("the stopped child is killed", || !exists(child)).await;
    assert_ne!(pid(&*server).await, child);
    server.close().await;
}

#[tokio::test]
async fn a_child_that_does_not_read_blocks_nobody_beyond_the_deadline() {
    let server = server("plain");
    pid(&*server).await;
    let brief = || CallCx { deadline: Instant::now() + Duration::from_millis(300), ..cx(ShareKey::Tenant, "{}") };
    let filler = "x".repeat(100_000);
    let hang = server.call(brief(), tool("hang", &json!({})));
    let calls = (0..20).map(|_| server.call(brief(), tool("echo", &json!({"x": filler}))));
    let (hung, others) = futures_util::join!(hang, futures_util::future::join_all(calls));
    assert_eq!(failure(hung), (Fault::Timeout, Delivery::MayHaveRun));
    let others: Vec<_> = others.into_iter().map(failure).collect();
    assert!(others.iter().all(|(fault, _)| *fault == Fault::Timeout));
    assert!(others.contains(&(Fault::Timeout, Delivery::NotSent)), "what was never written was not sent");
    server.close().await;
}

#[tokio::test]
async fn line_breaks_between_tokens_of_a_caller_do_not_end_the_message() {
    let server = server("plain");
    let mut request = tool("echo", &json!({}));
    request.params = vec!["\"name\":\"echo\",\r\n\"arguments\":{\n\"a\":\"b\\nc\"\n}".into()];
    let reply = server.call(cx(ShareKey::Tenant, "{}"), request).await.expect("a reply");
    assert_eq!(result(&finish(reply).await.expect("answered"))["a"], "b\nc");
    server.close().await;
}

#[tokio::test]
async fn the_last_lines_of_standard_error_are_kept_without_secrets() {
    let mut options = options("stderr");
    options.env = vec![("TOKEN".to_owned(), "s3cr3t-value".into())];
    let server = StdioDownstream::new(options);
    call(&*server, "echo", &json!({})).await.expect("answered");
    eventually("the last line is there", || {
        server.health().stderr_tail.last().is_some_and(|line| line == "line 299 [redacted]")
    })
    .await;
    assert_eq!(server.health().stderr_tail.len(), 200);
    server.close().await;
}

#[tokio::test]
async fn more_calls_than_the_child_may_hold_are_refused() {
    let mut options = options("plain");
    options.calls_max = 3;
    let server = StdioDownstream::new(options);
    let calls = (0..3).map(|_| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { call(&*server, "never", &json!({})).await })
    });
    let _calls: Vec<_> = calls.collect();
    eventually("the calls wait", || server.health().in_flight == 3).await;
    assert_eq!(failure(call(&*server, "echo", &json!({})).await), (Fault::Busy, Delivery::NotSent));
    server.close().await;
}
