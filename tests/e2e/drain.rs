//! A gateway that is told to stop: it says so first, serves on for as long as load balancers need, and lets everything end that
//! runs. Nothing that a client had sent is lost, and nothing that was broken off looks like an answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use patchbay_e2e::{
    Ask, Client, Event, Exchange, Fixture, Setup, TestGateway,
    client::gather,
    kept::Kept,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A tenant that holds nobody back, with a server over HTTP and one that is a child.
fn acme(far: &Fixture) -> Value {
    let servers = [("far", far.server()), ("near", scripted(&["--no-odd"]))];
    let mut acme = tenant("acme", servers);
    acme["limits"] = json!({
        "principal_per_second": 100_000, "principal_burst": 100_000, "principal_concurrency": 10_000,
    });
    acme
}

fn setup(far: &Fixture) -> Setup {
    TestGateway::setup().tenant(acme(far)).limit("concurrency_per_server", 1000)
}

/// Calls that were sent and are not awaited.
fn in_flight(client: &Client, tool: &str, arguments: &Value, count: usize) -> JoinSet<Exchange> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let (ask, address) = (client.ask_tool(tool, arguments.clone()), client.address);
        calls.spawn(async move { gather(ask.send(address).await).await });
    }
    calls
}

/// A number among the metrics.
async fn metric(gateway: &TestGateway, name: &str) -> f64 {
    let metrics = gateway.metrics().await;
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("there is no {name} in {metrics}"))
}

async fn streams(gateway: &TestGateway, count: f64) {
    wait_until(format!("{count} streams are open"), || async { metric(gateway, "patchbay_streams").await >= count })
        .await;
}

async fn unready(gateway: &TestGateway) {
    wait_until("it says that it is not ready", || async {
        Ask::get("/readyz").try_send(gateway.operations).await.is_ok_and(|reply| reply.status == 503)
    })
    .await;
}

/// Clients that call without a pause until they are told to stop; what they lost.
struct Steady {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: JoinSet<Result<(), String>>,
}

impl Steady {
    fn begin() -> Self {
        Self { stop: Arc::default(), done: Arc::default(), clients: JoinSet::new() }
    }

    /// One that takes a new connection for each call, or keeps one until an answer says that it closes and then goes on over
    /// another if it may.
    fn add(&mut self, client: Client, keeps: bool, comes_again: bool) {
        let (stop, done) = (self.stop.clone(), self.done.clone());
        self.clients.spawn(async move {
            let mut kept = None;
            for turn in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let text = format!("turn {turn}");
                let ask = client.ask_tool("far_echo", json!({ "text": text.clone() }));
                let mut connection = match kept.take() {
                    Some(connection) => connection,
                    None if turn > 0 && keeps && !comes_again => return Ok(()),
                    None => Kept::open(client.address).await?,
                };
                let answer = connection.send(&ask).await.map_err(|why| format!("turn {turn}: {why}"))?;
                if answer.status != 200 || !answer.body.contains(&text) {
                    return Err(format!("turn {turn}: {answer:?}"));
                }
                kept = (keeps && !answer.closes).then_some(connection);
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits for the end of all; nobody may have lost a call.
    async fn end(mut self) {
        while let Some(client) = self.clients.join_next().await {
            client.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_told_to_stop_says_so_serves_on_and_loses_nothing() {
    let far = Fixture::scripted(&["--no-odd"]);
    let mut gateway = setup(&far).limit("sse_after_s", 2).limit("drain_delay_s", 6).start().await;
    let [legacy, modern] = gateway.both("acme").await;
    let mut calls = Vec::new();
    for client in [&legacy, &modern] {
        calls.push(("slept 14000 ms", in_flight(client, "far_slow", &json!({ "ms": 14_000 }), 50)));
    }
    streams(&gateway, 100.0).await;
    for client in [&legacy, &modern] {
        for tool in ["far_slow", "near_slow"] {
            calls.push(("slept 8000 ms", in_flight(client, tool, &json!({ "ms": 8000 }), 50)));
        }
    }
    wait_until("300 calls run", || async { metric(&gateway, "patchbay_in_flight").await >= 300.0 }).await;
    let mut steady = Steady::begin();
    for keeps in [false, true] {
        for client in [&legacy, &modern] {
            steady.add(client.clone(), keeps, true);
        }
    }

    let told = Instant::now();
    gateway.terminate();
    unready(&gateway).await;
    assert!(told.elapsed() < Duration::from_secs(5), "it said so late");
    let before = steady.done();
    wait_until("calls go on while it is not ready", || async {
        steady.done() > before + 40 || told.elapsed() > Duration::from_secs(4)
    })
    .await;
    assert!(steady.done() > before, "nobody was served any more");
    steady.stop.store(true, Ordering::Relaxed);
    steady.end().await;

    for (said, calls) in calls {
        for answer in calls.join_all().await {
            assert_eq!(answer.text(), said, "{}", answer.raw);
        }
    }
    gateway.ended();
    assert!(told.elapsed() < Duration::from_secs(6 + 25 + 10), "it took {:?}", told.elapsed());
    let records = gateway.audit().await;
    let slept = records.iter().filter(|record| record["native"] == "slow" && record["outcome"] == "answered");
    assert_eq!(slept.count(), 300, "the audit went to the store before the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_in_use_are_closed_by_their_answers_and_never_under_a_request() {
    let far = Fixture::scripted(&["--no-odd"]);
    let mut gateway = setup(&far).start().await;
    let [legacy, modern] = gateway.both("acme").await;
    let mut steady = Steady::begin();
    for _ in 0..16 {
        for client in [&legacy, &modern] {
            steady.add(client.clone(), true, false);
        }
    }
    let done = steady.done.clone();
    wait_until("all call", || async { done.load(Ordering::Relaxed) > 200 }).await;
    gateway.terminate();
    // Each ends with an answer that says that the connection closes.
    steady.end().await;
    gateway.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_in_time_is_told_that_it_was_broken_off() {
    let far = Fixture::scripted(&["--no-odd"]);
    let mut gateway = setup(&far).limit("sse_after_s", 3).limit("drain_s", 1).start().await;
    let [legacy, modern] = gateway.both("acme").await;
    // Streams by the time that it is told to stop.
    let mut hung = Vec::new();
    for client in [&legacy, &modern] {
        for tool in ["far_hang", "near_hang"] {
            hung.push(in_flight(client, tool, &json!({}), 5));
        }
    }
    streams(&gateway, 20.0).await;
    // These have no answer yet, and their status is still to be told. (Where the machine is slow, some are streams by then.)
    for client in [&legacy, &modern] {
        hung.push(in_flight(client, "far_hang", &json!({}), 5));
    }
    // Nor is one that its client has left.
    drop(in_flight(&legacy, "near_hang", &json!({}), 1));
    wait_until("30 calls run", || async { metric(&gateway, "patchbay_in_flight").await >= 30.0 }).await;
    let told = Instant::now();
    gateway.terminate();
    for calls in hung {
        for answer in calls.join_all().await {
            assert_eq!(answer.code(), 50301, "{}", answer.raw);
            assert!([200, 503].contains(&answer.status), "{}", answer.status);
            let message = answer.response["error"]["message"].as_str().unwrap();
            assert!(message.contains("stopping") && message.contains("may have been carried out"), "{message}");
        }
    }
    gateway.ended();
    assert!(told.elapsed() < Duration::from_secs(20), "it took {:?}", told.elapsed());
    let records = gateway.audit().await;
    // A call that lasts has a record of its beginning as well, whose outcome is not known.
    let ends = records.iter().filter(|record| record["native"] == "hang" && record["outcome"] != "unknown");
    let outcomes: Vec<_> = ends.map(|record| record["outcome"].as_str().unwrap_or_default()).collect();
    assert!(outcomes.len() >= 30, "only {} calls have their end on record", outcomes.len());
    assert!(!outcomes.contains(&"answered"), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_was_half_sent_is_never_passed_off_as_whole() {
    let far = Fixture::scripted(&["--no-odd"]);
    let mut gateway = setup(&far).limit("sse_after_s", 1).limit("drain_s", 1).start().await;
    // Progress, and no end in sight: what came was good, and the stream says that there is no more.
    let client = gateway.modern("acme");
    let reply = client.ask_tool("far_hang", json!({})).send(gateway.address).await;
    let mut events = reply.events();
    gateway.terminate();
    let mut last = None;
    while let Some(event) = events.next().await.unwrap() {
        if matches!(event, Event::Message(_)) {
            last = Some(event.json());
        }
    }
    assert_eq!(last.unwrap()["error"]["code"], 50301);
    gateway.ended();
}

#[tokio::test]
async fn a_person_at_a_terminal_does_not_wait_for_the_delay() {
    let far = Fixture::scripted(&["--no-odd"]);
    let mut gateway = setup(&far).limit("drain_delay_s", 300).start().await;
    let mut idle = Kept::open(gateway.address).await.unwrap();
    let ask = gateway.modern("acme").ask("tools/list", json!({}));
    assert_eq!(idle.send(&ask).await.unwrap().status, 200);
    let told = Instant::now();
    gateway.signal(Signal::SIGINT);
    gateway.ended();
    assert!(told.elapsed() < Duration::from_secs(15), "it took {:?}", told.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_the_delay_at_once() {
    let far = Fixture::scripted(&["--no-odd"]);
    let gateway = setup(&far).limit("drain_delay_s", 300).start().await;
    gateway.terminate();
    unready(&gateway).await;
    let answer = gateway.modern("acme").call("far_echo", json!({ "text": "still here" })).await;
    assert!(!answer.is_error(), "{}", answer.raw);
    gateway.signal(Signal::SIGTERM);
    wait_until("it ended", || async { !gateway.lives() }).await;
}
