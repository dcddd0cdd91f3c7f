//! The life of one child, as one task on the server's runtime: start, handshake, watch, stop. Every way out ends the child,
//! tells who waits and leaves the seat so that the next call knows what to do.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use patchbay_core::era::Era;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Body, Launched, Phase, Seat, Started};
use crate::{
    DownstreamError, Event, Fault, Hello,
    pipe::{End, OpenError, Opening, Pipe, Wiring, open},
    watched::Watched,
};

/// How long the output of a child that has exited is read for what it still holds.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long a child that has closed its output may take to exit, so that it is known how.
const LAST_BREATH: Duration = Duration::from_millis(50);

/// A child with its connection.
struct Child {
    pipe: Arc<Pipe>,
    driver: JoinHandle<End>,
    body: Box<dyn Body>,
}

impl Child {
    /// Ends it. Its output is read until it is gone, so that it does not hang in a write.
    async fn stop(self, why: &str) {
        self.pipe.close(why);
        self.pipe.close_input();
        self.body.stop().await;
        self.driver.abort();
    }
}

pub(super) async fn run(seat: Arc<Seat>, report: watch::Sender<Option<Started>>) {
    let stop = seat.common.closing.child_token();
    let began = Instant::now();
    let started = tokio::select! {
        biased;
        () = stop.cancelled() => Err(DownstreamError::not_sent(Fault::Closed, "the server was closed")),
        started = start(&seat, began + seat.common.rules.start_timeout) => started,
    };
    match started {
        Ok((child, hello)) => {
            let hello = seat.common.learn(hello);
            seat.arrived(&child.pipe, &stop);
            report.send_replace(Some(Ok(Arc::clone(&child.pipe))));
            live(&seat, child, &hello, &stop).await;
        }
        Err(error) => {
            seat.missed(&error);
            report.send_replace(Some(Err(error)));
        }
    }
}

impl Seat {
    fn arrived(&self, pipe: &Arc<Pipe>, stop: &CancellationToken) {
        let mut state = self.state();
        state.phase = Phase::Up { pipe: Arc::clone(pipe), stop: stop.clone() };
        state.backoff.up();
        let again = std::mem::replace(&mut state.was_up, true);
        drop(state);
        self.common.starts.fetch_add(1, Ordering::Relaxed);
        if again {
            // Without receivers there is nobody to tell.
            let _ = self.common.events.send(Event::Reconnected);
        }
    }

    /// A start failed. That all places were taken is no fault of the child and needs no pause.
    fn missed(&self, error: &DownstreamError) {
        let mut state = self.state();
        state.phase = Phase::Empty;
        if !matches!(error.fault, Fault::Busy | Fault::Closed) {
            state.backoff.fail(Duration::ZERO);
            drop(state);
            self.common.failed(&error.detail);
        }
    }

    /// The child ended by itself: nobody finds it any more, then those who wait are told.
    fn lost(&self, pipe: &Arc<Pipe>, why: &str, lived: Duration) {
        self.left(pipe);
        let mut state = self.state();
        state.backoff.fail(lived);
        drop(state);
        self.common.failed(why);
        pipe.close(why);
    }

    /// Nobody finds the child any more.
    pub(super) fn left(&self, pipe: &Arc<Pipe>) {
        let mut state = self.state();
        if matches!(&state.phase, Phase::Up { pipe: current, .. } if Arc::ptr_eq(current, pipe)) {
            state.phase = Phase::Empty;
        }
    }
}

/// Starts a child and shakes hands, once more without a probe when it died of one.
async fn start(seat: &Arc<Seat>, deadline: Instant) -> Result<(Child, Hello), DownstreamError> {
    let rules = &seat.common.rules;
    let mut opening =
        Opening { pin: rules.era, remembered: seat.common.era(), probe_timeout: rules.probe_timeout, deadline };
    match attempt(seat, &opening).await {
        Err(OpenError::DiedOfProbe) => opening.remembered = Some(Era::Legacy),
        Err(OpenError::Failed(error)) => return Err(error),
        Ok(started) => return Ok(started),
    }
    attempt(seat, &opening).await.map_err(|error| match error {
        OpenError::Failed(error) => error,
        OpenError::DiedOfProbe => DownstreamError::not_sent(Fault::Unavailable, "it ended during the handshake"),
    })
}

async fn attempt(seat: &Arc<Seat>, opening: &Opening) -> Result<(Child, Hello), OpenError> {
    let common = &seat.common;
    let slow = || DownstreamError::not_sent(Fault::Unavailable, "the child could not be started in time");
    let launching = timeout_at(opening.deadline, common.launcher.launch(seat));
    let Launched { reader, outlet, body } = launching.await.map_err(|_| slow())??;
    let wiring = Wiring {
        name: Arc::clone(&common.name),
        shared: seat.shared,
        capabilities: Arc::clone(&seat.capabilities),
        ids: Arc::clone(&common.ids),
        events: common.events.clone(),
        limits: common.rules.limits.clone(),
    };
    let (pipe, driver) = Pipe::new(reader, outlet, wiring);
    let mut child = Child { driver: tokio::spawn(driver), pipe, body };
    let failed = match shake_hands(&mut child, opening).await {
        Ok(hello) => return Ok((child, hello)),
        Err(error) => error,
    };
    // Whoever waits for the start need not wait for the end.
    common.tasks.spawn(async move { child.stop("the start failed").await });
    Err(failed)
}

async fn shake_hands(child: &mut Child, opening: &Opening) -> Result<Hello, OpenError> {
    let mut opened = pin!(open(&child.pipe, opening));
    let why = tokio::select! {
        biased;
        opened = &mut opened => return opened,
        why = ended(&mut child.driver, &mut child.body) => why,
    };
    child.pipe.close(&why);
    // The handshake ends now, and knows whether it was the probe.
    match opened.await {
        Err(OpenError::Failed(_)) => Err(OpenError::Failed(DownstreamError::not_sent(
            Fault::Unavailable,
            format!("it ended before it had answered the handshake: {why}"),
        ))),
        Err(OpenError::DiedOfProbe) => Err(OpenError::DiedOfProbe),
        Ok(hello) => Ok(hello),
    }
}

/// Resolves when the child or its connection ends by itself, with how. Of a child that exits, both do, in either order.
async fn ended(driver: &mut JoinHandle<End>, body: &mut Box<dyn Body>) -> String {
    tokio::select! {
        biased;
        how = body.exited() => {
            let _ = timeout(LAST_WORDS, driver).await;
            how
        }
        end = &mut *driver => match end {
            Ok(End::Eof | End::Write(_)) => {
                timeout(LAST_BREATH, body.exited()).await.unwrap_or_else(|_| End::Eof.to_string())
            }
            Ok(end) => end.to_string(),
            Err(_) => "its connection broke down".to_owned(),
        },
    }
}

/// Why a child is to be stopped.
enum Why {
    /// The server is closed, or the child's place is needed, or nobody used it.
    Asked,
    /// It failed.
    Failed(String),
}

async fn live(seat: &Arc<Seat>, mut child: Child, hello: &Hello, stop: &CancellationToken) {
    let began = Instant::now();
    let why = watch_over(seat, &mut child, hello, stop).await;
    match why {
        Why::Asked => {
            seat.left(&child.pipe);
            child.stop("the server was stopped").await;
        }
        Why::Failed(why) => {
            seat.lost(&child.pipe, &why, began.elapsed());
            child.stop(&why).await;
        }
    }
}

async fn watch_over(seat: &Arc<Seat>, child: &mut Child, hello: &Hello, stop: &CancellationToken) -> Why {
    let Child { pipe, driver, body } = child;
    let pipe = &*pipe;
    tokio::select! {
        biased;
        () = stop.cancelled() => Why::Asked,
        why = ended(driver, body) => Why::Failed(why),
        () = idle(seat, pipe, hello) => Why::Asked,
        why = hung(seat, pipe) => Why::Failed(why),
        () = listen(seat, pipe, hello) => Why::Asked,
    }
}

/// Resolves when the child was retired for idleness.
async fn idle(seat: &Seat, pipe: &Pipe, hello: &Hello) {
    let Some(patience) = seat.common.rules.idle_stop else { return std::future::pending().await };
    loop {
        let left = match pipe.idle_for() {
            Some(idle) if idle >= patience && !seat.is_watched(hello) => {
                if seat.retire() {
                    return;
                }
                patience
            }
            Some(idle) if idle < patience => patience - idle,
            Some(_) => patience,
            None => patience,
        };
        sleep_until(Instant::now() + left).await;
    }
}

/// Resolves when the child stayed silent after a call had timed out in silence, though it was asked for a sign of life.
async fn hung(seat: &Seat, pipe: &Pipe) -> String {
    let grace = seat.common.rules.hang_grace;
    loop {
        pipe.suspected().await;
        let heard = pipe.heard();
        pipe.nudge();
        sleep_until(Instant::now() + grace).await;
        if pipe.heard() == heard {
            return format!("it has said nothing since a call timed out {} s ago, not even to a ping", grace.as_secs());
        }
    }
}

/// Listens for changes once somebody wants to hear of them; never resolves. Resources are watched in the shared child alone.
async fn listen(seat: &Seat, pipe: &Arc<Pipe>, hello: &Hello) {
    let mut wanted = seat.common.events_wanted.subscribe();
    if wanted.wait_for(|wanted| *wanted).await.is_ok() {
        let mut uris = if seat.shared { seat.common.watched.subscribe() } else { Watched::default().subscribe() };
        let again = || drop(seat.common.events.send(Event::Reconnected));
        pipe.keep_listening(hello, &mut uris, again).await;
    }
    std::future::pending().await
}
