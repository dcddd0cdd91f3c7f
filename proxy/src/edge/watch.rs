//! Slow clients: how long a connection may take for each phase, without a timer for each request. A connection notes its phase
//! and the second in which it began; once a second a worker looks over its connections and ends those that are over time.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify};

/// How long each phase of a connection may take, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Between two requests.
    pub idle_s: u32,
    /// From the first byte of a head to its last.
    pub head_s: u32,
    /// From the end of the head to the end of the body.
    pub body_s: u32,
    /// While the client takes nothing of what is written.
    pub write_s: u32,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for a request.
    Idle,
    /// Reading a head.
    Head,
    /// Reading a body.
    Body,
    /// Answering.
    Serving,
}

/// One connection's note of what it is doing.
#[derive(Debug)]
pub(crate) struct Watched {
    phase: Cell<Phase>,
    since_s: Cell<u32>,
    stalled_since_s: Cell<Option<u32>>,
    told: Notify,
    order: Cell<Option<Order>>,
    /// Whether it was told to finish.
    is_draining: Cell<bool>,
}

/// How many seconds a connection lies idle at least before it is closed by a gateway that stops: what its client sends in the same
/// moment would be lost, so one that was just used gets its next request answered, by an answer that says that it closes.
const QUIET_S: u32 = 2;

/// What a connection is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is over time: drop it.
    Drop,
    /// Finish what runs and take no more; also a call to look whether the thread [breaks off](is_breaking) what runs.
    Drain,
}

thread_local! {
    static WATCH: Watch = Watch::new();
}

/// The connections of one worker thread.
struct Watch {
    began: Instant,
    now_s: Cell<u32>,
    is_breaking: Cell<bool>,
    connections: RefCell<Vec<Weak<Watched>>>,
}

impl Watch {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            now_s: Cell::new(0),
            is_breaking: Cell::new(false),
            connections: RefCell::default(),
        }
    }
}

impl Watched {
    /// A new connection on this thread. The first one of a thread starts the look-over.
    pub(crate) fn begin(patience: Patience) -> Rc<Self> {
        WATCH.with(|watch| {
            let watched = Rc::new(Self {
                phase: Cell::new(Phase::Idle),
                since_s: Cell::new(watch.now_s.get()),
                stalled_since_s: Cell::new(None),
                told: Notify::new(),
                order: Cell::new(None),
                is_draining: Cell::new(false),
            });
            let mut connections = watch.connections.borrow_mut();
            if connections.is_empty() {
                tokio::task::spawn_local(look_over(patience));
            }
            connections.push(Rc::downgrade(&watched));
            watched
        })
    }

    /// Notes a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since_s.set(WATCH.with(|watch| watch.now_s.get()));
    }

    /// What the connection is doing.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Waits for an order.
    pub(crate) async fn ordered(&self) -> Order {
        loop {
            if let Some(order) = self.order.take() {
                return order;
            }
            self.told.notified().await;
        }
    }

    /// Gives an order.
    pub(crate) fn tell(&self, order: Order) {
        self.order.set(Some(order));
        self.told.notify_one();
    }

    fn over_time(&self, now_s: u32, patience: Patience) -> bool {
        let allowed_s = match self.phase.get() {
            Phase::Idle => patience.idle_s,
            Phase::Head => patience.head_s,
            Phase::Body => patience.body_s,
            Phase::Serving => u32::MAX,
        };
        let stalled =
            self.stalled_since_s.get().is_some_and(|since_s| now_s.saturating_sub(since_s) > patience.write_s);
        stalled || now_s.saturating_sub(self.since_s.get()) > allowed_s
    }
}

/// Once a second: tells the connections that are over time, and ends when none is left.
async fn look_over(patience: Patience) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let any = WATCH.with(|watch| {
            let now_s = u32::try_from(watch.began.elapsed().as_secs()).unwrap_or(u32::MAX);
            watch.now_s.set(now_s);
            let mut connections = watch.connections.borrow_mut();
            connections.retain(|weak| {
                let Some(watched) = weak.upgrade() else { return false };
                if watched.over_time(now_s, patience) {
                    watched.tell(Order::Drop);
                }
                true
            });
            !connections.is_empty()
        });
        if !any {
            return;
        }
    }
}

/// Tells the connections of this thread to finish, apart from those that were just used and wait for a request; to be
/// called again for these, and for new ones.
pub(crate) fn drain_thread() {
    drain(|watched, now_s| {
        watched.phase.get() != Phase::Idle || now_s.saturating_sub(watched.since_s.get()) >= QUIET_S
    });
}

/// Tells all connections of this thread to finish.
pub(crate) fn drain_thread_at_once() {
    drain(|_, _| true);
}

fn drain(is_due: impl Fn(&Watched, u32) -> bool) {
    WATCH.with(|watch| {
        let now_s = watch.now_s.get();
        for watched in watch.connections.borrow().iter().filter_map(Weak::upgrade) {
            if !watched.is_draining.get() && is_due(&watched, now_s) {
                watched.is_draining.set(true);
                watched.tell(Order::Drain);
            }
        }
    });
}

/// Has this thread break off what still runs: answers that have not begun and streams of events end with an error, see
/// [`is_breaking`].
pub(crate) fn break_thread() {
    WATCH.with(|watch| {
        watch.is_breaking.set(true);
        watch.connections.borrow().iter().filter_map(Weak::upgrade).for_each(|watched| watched.tell(Order::Drain));
    });
}

/// Drops all connections of this thread.
pub(crate) fn drop_thread() {
    WATCH.with(|watch| {
        watch.connections.borrow().iter().filter_map(Weak::upgrade).for_each(|watched| watched.tell(Order::Drop));
    });
}

/// Whether this thread breaks off what still runs. Whoever waits looks when it is polled; connections are then.
pub(crate) fn is_breaking() -> bool {
    WATCH.with(|watch| watch.is_breaking.get())
}

/// A socket that notes when a head begins and when its client takes nothing.
pub(crate) struct WatchedIo {
    inner: TokioIo<TcpStream>,
    watched: Rc<Watched>,
}

impl WatchedIo {
    /// Wraps a socket.
    pub(crate) fn new(stream: TcpStream, watched: Rc<Watched>) -> Self {
        Self { inner: TokioIo::new(stream), watched }
    }

    fn note_write<T>(&self, outcome: Poll<T>) -> Poll<T> {
        let stalled = &self.watched.stalled_since_s;
        if outcome.is_ready() {
            stalled.set(None);
        } else if stalled.get().is_none() {
            stalled.set(Some(WATCH.with(|watch| watch.now_s.get())));
        }
        outcome
    }
}

impl Read for WatchedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if outcome.is_ready() && self.watched.phase.get() == Phase::Idle {
            self.watched.enter(Phase::Head);
        }
        outcome
    }
}

impl Write for WatchedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_write(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(outcome)
    }
}
