//! The gate before a server, with time that stands still until a test moves it.

#[path = "support/fake.rs"]
mod fake;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use fake::{Fake, one};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, poll};
use patchbay_core::era::Era;
use patchbay_downstream::{
    Answer, CallCx, Delivery, Downstream, DownstreamError, Fault, HealthState, Message, MessageStream, Outgoing, Reply,
    ShareKey,
    gate::{GateOptions, Gated},
};
use tokio::{sync::Semaphore, time::Instant};

const OK: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

fn cx(patience: Duration) -> CallCx {
    CallCx { deadline: Instant::now() + patience, extension: None, share: ShareKey::Tenant, capabilities: "{}".into() }
}

async fn call(gate: &Gated) -> Result<Reply, DownstreamError> {
    gate.call(cx(Duration::from_secs(30)), Outgoing::plain("tools/call", Vec::new())).await
}

fn failure(outcome: Result<Reply, DownstreamError>) -> (Fault, Delivery) {
    match outcome {
        Ok(_) => panic!("it went well"),
        Err(error) => (error.fault, error.delivery),
    }
}

/// A server that fails with what stands here, or answers; and how often it was asked.
fn moody() -> (Arc<Fake>, Arc<Mutex<Option<Fault>>>, Arc<AtomicUsize>) {
    let mood = Arc::new(Mutex::new(None));
    let asked = Arc::new(AtomicUsize::new(0));
    let (its_mood, its_count) = (Arc::clone(&mood), Arc::clone(&asked));
    let server = Fake::new(move |_, _| {
        its_count.fetch_add(1, SeqCst);
        let mood: Option<Fault> = *its_mood.lock().expect("no panic in here");
        async move { mood.map_or_else(|| Ok(one(OK)), |fault| Err(DownstreamError::may_have_run(fault, "it is moody"))) }
    });
    (server, mood, asked)
}

fn set(mood: &Mutex<Option<Fault>>, fault: Option<Fault>) {
    *mood.lock().expect("no panic in here") = fault;
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_the_breaker_and_one_probe_closes_it() {
    let (server, mood, asked) = moody();
    let gate = Gated::new(server, &GateOptions::default());
    set(&mood, Some(Fault::Timeout));
    for _ in 0..5 {
        assert_eq!(failure(call(&gate).await).0, Fault::Timeout);
    }
    assert_eq!(failure(call(&gate).await), (Fault::Unavailable, Delivery::NotSent));
    assert_eq!(failure(call(&gate).await), (Fault::Unavailable, Delivery::NotSent));
    assert_eq!(asked.load(SeqCst), 5, "an open breaker asked the server");
    let health = gate.health();
    assert_eq!((health.state, health.retry_in), (HealthState::Down, Some(Duration::from_secs(1))));
    assert_eq!(health.last_error.as_deref(), Some("it is moody"));
    assert!(gate.load().breaker_open);

    tokio::time::advance(Duration::from_secs(1)).await;
    set(&mood, None);
    assert!(call(&gate).await.is_ok());
    assert!(call(&gate).await.is_ok());
    assert_ne!(gate.health().state, HealthState::Down);
    assert!(!gate.load().breaker_open);
}

#[tokio::test(start_paused = true)]
async fn each_probe_that_fails_doubles_the_pause_up_to_its_bound() {
    let (server, mood, asked) = moody();
    let gate = Gated::new(server, &GateOptions::default());
    set(&mood, Some(Fault::Unavailable));
    for _ in 0..5 {
        assert!(call(&gate).await.is_err());
    }
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let before = asked.load(SeqCst);
        tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
        assert!(call(&gate).await.is_err());
        assert_eq!(asked.load(SeqCst), before, "asked before {seconds} s were over");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(call(&gate).await.is_err());
        assert_eq!(asked.load(SeqCst), before + 1, "not asked after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_in_a_hurry_gets_the_probe_now_and_no_more_than_that() {
    let (server, mood, asked) = moody();
    let gate = Gated::new(server, &GateOptions { failures_max: 1, ..GateOptions::default() });
    gate.hurry();
    set(&mood, Some(Fault::Unavailable));
    let _ = call(&gate).await;
    assert_eq!((failure(call(&gate).await).0, asked.load(SeqCst)), (Fault::Unavailable, 1), "it is left alone");
    gate.hurry();
    let _ = call(&gate).await;
    assert_eq!(asked.load(SeqCst), 2);
    // The probe failed, so it is left alone for longer.
    assert_eq!(gate.health().retry_in, Some(Duration::from_secs(2)));
    let _ = call(&gate).await;
    assert_eq!(asked.load(SeqCst), 2);
    set(&mood, None);
    gate.hurry();
    assert!(call(&gate).await.is_ok() && call(&gate).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn while_a_probe_runs_nobody_else_asks_and_a_dropped_probe_makes_room_for_the_next() {
    let mood = Arc::new(Semaphore::new(0));
    let gone = Arc::new(Mutex::new(true));
    let (its_mood, its_gone) = (Arc::clone(&mood), Arc::clone(&gone));
    let server = Fake::new(move |_, _| {
        let (mood, gone) = (Arc::clone(&its_mood), *its_gone.lock().expect("no panic in here"));
        async move {
            if gone {
                return Err(DownstreamError::not_sent(Fault::Unavailable, "gone"));
            }
            let _turn = mood.acquire().await;
            Ok(one(OK))
        }
    });
    let gate = Gated::new(server, &GateOptions::default());
    for _ in 0..5 {
        assert!(call(&gate).await.is_err());
    }
    *gone.lock().expect("no panic in here") = false;
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut probe = Box::pin(call(&gate));
    assert!(poll!(&mut probe).is_pending());
    assert_eq!(failure(call(&gate).await), (Fault::Unavailable, Delivery::NotSent));
    drop(probe);
    let mut probe = Box::pin(call(&gate));
    assert!(poll!(&mut probe).is_pending());
    mood.add_permits(1);
    assert!(probe.await.is_ok() && call(&gate).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn failures_far_apart_or_between_answers_or_of_the_request_do_not_open_it() {
    let (server, mood, _) = moody();
    let gate = Gated::new(server, &GateOptions::default());
    for fault in [Fault::TooLarge, Fault::Refused(404), Fault::Protocol, Fault::Busy, Fault::SessionLost] {
        set(&mood, Some(fault));
        for _ in 0..10 {
            assert_eq!(failure(call(&gate).await).0, fault);
        }
    }
    for _ in 0..10 {
        set(&mood, Some(Fault::Timeout));
        for _ in 0..4 {
            assert_eq!(failure(call(&gate).await).0, Fault::Timeout);
        }
        set(&mood, None);
        assert!(call(&gate).await.is_ok());
    }
    set(&mood, Some(Fault::Timeout));
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(16)).await;
        assert_eq!(failure(call(&gate).await).0, Fault::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn one_death_that_takes_many_calls_along_is_one_failure() {
    let (server, mood, _) = moody();
    let gate = Gated::new(server, &GateOptions::default());
    set(&mood, Some(Fault::Closed));
    for _ in 0..100 {
        assert_eq!(failure(call(&gate).await).0, Fault::Closed);
    }
    for _ in 0..4 {
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(failure(call(&gate).await).0, Fault::Closed);
    }
    assert_eq!(failure(call(&gate).await), (Fault::Unavailable, Delivery::NotSent));
}

/// A server whose calls wait for permits.
fn gated_by(turns: &Arc<Semaphore>, options: &GateOptions) -> Arc<Gated> {
    let turns = Arc::clone(turns);
    let server = Fake::new(move |_, _| {
        let turns = Arc::clone(&turns);
        async move {
            if let Ok(turn) = turns.acquire().await {
                turn.forget();
            }
            Ok(one(OK))
        }
    });
    Gated::new(server, options)
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_waiting_ends_at_the_deadline() {
    let turns = Arc::new(Semaphore::new(0));
    let gate = gated_by(&turns, &GateOptions { concurrency_max: 2, waiting_max: 2, ..GateOptions::default() });
    let mut calls: Vec<BoxFuture<'_, _>> = (0..4).map(|_| call(&gate).boxed()).collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    assert_eq!(gate.health().in_flight, 2);
    assert_eq!((gate.load().in_flight, gate.load().waiting), (2, 2));
    assert_eq!(failure(call(&gate).await), (Fault::Busy, Delivery::NotSent));
    drop(calls.pop());
    let brief = gate.call(cx(Duration::from_secs(2)), Outgoing::plain("tools/call", Vec::new()));
    let asked = Instant::now();
    assert_eq!(failure(brief.await), (Fault::Busy, Delivery::NotSent));
    assert_eq!(asked.elapsed().as_secs(), 2);
    turns.add_permits(3);
    for call in calls {
        assert!(call.await.is_ok());
    }
    assert_eq!(gate.health().in_flight, 0);
    assert_eq!((gate.load().in_flight, gate.load().waiting), (0, 0));
}

struct TwoMessages(u8);

impl MessageStream for TwoMessages {
    fn next(&mut self) -> BoxFuture<'_, Result<Message, DownstreamError>> {
        self.0 += 1;
        let message = match self.0 {
            1 => Ok(Message::Notification(OK.into())),
            2 => Ok(Message::Response(long_answer())),
            _ => Err(DownstreamError::may_have_run(Fault::Closed, "over")),
        };
        Box::pin(async move { message })
    }
}

fn long_answer() -> Answer {
    let chunks = futures_util::stream::iter([Ok("a".into()), Ok("b".into())]);
    Answer { head: OK.into(), rest: Some(Box::pin(chunks)), era: Era::Legacy }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_until_the_last_byte_was_taken_or_the_reply_is_dropped() {
    let server = Fake::new(|_, request: Outgoing| async move {
        match request.method {
            "ping" => Ok(Reply::One(long_answer())),
            _ => Ok(Reply::Stream(Box::new(TwoMessages(0)))),
        }
    });
    let gate = Gated::new(server, &GateOptions { concurrency_max: 1, ..GateOptions::default() });
    let Ok(Reply::Stream(mut stream)) = call(&gate).await else { panic!("no stream") };
    assert_eq!(gate.health().in_flight, 1);
    let _first = stream.next().await.expect("a notification");
    let Ok(Message::Response(answer)) = stream.next().await else { panic!("no response") };
    drop(stream);
    assert_eq!(gate.health().in_flight, 1);
    let mut rest = answer.rest.expect("more");
    while rest.next().await.is_some() {}
    assert_eq!(gate.health().in_flight, 0);

    let ping = gate.call(cx(Duration::from_secs(1)), Outgoing::plain("ping", Vec::new())).await.expect("a reply");
    assert_eq!(gate.health().in_flight, 1);
    drop(ping);
    assert_eq!(gate.health().in_flight, 0);
    drop(call(&gate).await.expect("a reply"));
    assert_eq!(gate.health().in_flight, 0);
}
